//! What the tests of wasmc share. The tests themselves are in `tests/`, one
//! file per kind of evidence.

pub mod corpus;
pub mod rng;
pub mod samples;
