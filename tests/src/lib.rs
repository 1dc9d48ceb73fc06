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
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether this process runs nothing but the test of this name, on one thread.
/// If not, there has been such a process by now, and the test has passed in it.
///
/// # Panics
/// If the test has failed there, or was not found.
pub fn is_alone(test: &str) -> bool {
    const CASE: &str = "WASMC_TEST_CASE";
    if std::env::var_os(CASE).is_some_and(|case| case == test) {
        return true;
    }
    let program = std::env::current_exe().expect("the test's own program");
    let mut child = Command::new(program);
    child.args(["--exact", test, "--test-threads=1"]).env(CASE, test);
    let output = child.output().expect("the test's own program can be started");
    let printed = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && printed.contains("1 passed");
    assert!(passed, "{test}, alone: {}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    false
}

/// Whether the kernel is a Linux that tells which pages were written: 6.7 or
/// later.
pub fn kernel_tells_written_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(7))
}

/// Sets a flag at its end, also if that is a panic: for those who would
/// otherwise go on for ever.
pub struct Finally<'a>(pub &'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The host program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
