//! What artifacts are: whose code they depend on, what they contain, that the
//! same input makes the same bytes, and that damaged ones are refused.

mod corruption;
mod damage;
mod dependency_rule;
mod determinism;
mod disassembly;
mod images;
mod loading;
mod snapshots;
mod working_set;
