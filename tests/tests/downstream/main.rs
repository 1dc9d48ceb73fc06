//! A program outside of this workspace that compiles guests in its build
//! scripts: `tests/downstream`, built by cargo as its users build it, offline,
//! in a folder whose name has spaces and letters of all kinds.
//!
//! All of them share a target folder, so that the compiler, which is a
//! dependency of their build scripts, is compiled once for each profile.

mod carriers;
mod changes;
mod cross;
mod failures;
mod package;
