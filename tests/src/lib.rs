//! What the tests of wasmc share. The tests themselves are in `tests/`, one
//! file per kind of evidence.

pub mod carriers;
pub mod corpus;
pub mod graft;
pub mod guide;
pub mod rng;
pub mod samples;

use std::path::Path;
use std::process::Command;

/// Copies a program that is going to be started.
///
/// Another process does it: if this one did, children that other threads start
/// meanwhile would have the copy open for writing, and the system does not start
/// such a file.
///
/// # Panics
/// If it cannot be copied.
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").args([from, to]).status().expect("the program cp");
    assert!(status.success(), "cannot copy {} to {}", from.display(), to.display());
}

/// The host program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
