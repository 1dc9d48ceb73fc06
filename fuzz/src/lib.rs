//! Fuzzing of wasmc: what `wasmc-fuzz` and the libFuzzer targets share.
//!
//! A *case* is a string of bytes, of which every one is valid: the first few
//! choose what is tried, the rest feed a generator that makes a module of
//! them. So a finding is kept, replayed and made smaller as bytes, whoever
//! found it.
//!
//! ```text
//! bytes ── Case ──┬─ smith:    any valid module, from wasm-smith
//!                 └─ programs: objects, casts, exceptions and calls that mean something
//!          │
//!          ▼
//!        oracle (Wasmtime) ── Trace: calls, results, what can be seen after each
//!          │
//!          ▼
//!        ours: the same calls by several options and strategies ── the first difference
//! ```
//!
//! What this is not: a test suite. Every finding ends up as a test in the
//! workspace proper, which needs nothing of this.

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod case;
pub mod choices;
pub mod compare;
pub mod features;
pub mod oracle;
pub mod ours;
pub mod programs;
pub mod reduce;
pub mod robust;
pub mod sides;
pub mod smith;
