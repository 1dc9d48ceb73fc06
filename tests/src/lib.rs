//! What the tests of wasmc share. The tests themselves are in `tests/`, one
//! file per kind of evidence.

pub mod carriers;
pub mod corpus;
pub mod guide;
pub mod rng;
pub mod samples;

/// The host program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
