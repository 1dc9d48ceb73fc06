//! Cases that need a process of their own: this test binary started again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

const CASE: &str = "WASMC_TEST_CASE";
const STEP: &str = "WASMC_TEST_STEP";
const DONE: &str = "the case has run";

/// The child's heap: all threads share one, which grows by `brk` alone, takes
/// many MiB at a time and gives nothing back. So it never fails where a test
/// makes the system refuse memory, and it does not map anything. Stacks of
/// threads that have been joined are not kept for others.
const HEAP: [(&str, &str); 5] = [
    ("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0"),
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "1099511627776"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// Whether this is such a process.
pub fn is_child() -> bool {
    std::env::var(CASE).is_ok()
}

/// Sees to it that what the process has of the system is its own doing: no
/// descriptors of whoever has started the tests, and no memory that the kernel
/// joins to large pages when it finds the time.
fn prepare() {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open: Vec<libc::c_int> =
        open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // SAFETY: nobody in this process has opened anything so far but the list,
    // which is closed again; the other call has no preconditions, and a kernel
    // that does not know it has no such pages.
    unsafe {
        for number in open.into_iter().filter(|number| *number > 2) {
            libc::close(number);
        }
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Runs `case`, which the test `name` consists of, in a process of its own.
pub fn alone(name: &str, case: impl FnOnce()) {
    run(name, "", |_| case());
}

/// As [`alone`]; the case is told which `step` of the test it is.
pub fn run(name: &str, step: &str, case: impl FnOnce(&str)) {
    if std::env::var(CASE).is_ok_and(|case| case == name) {
        let step = std::env::var(STEP).expect("the parent says which step it is");
        prepare();
        let result = catch_unwind(AssertUnwindSafe(|| case(&step)));
        // Ending a thread takes system calls that a case may have forbidden.
        println!("{DONE}");
        std::process::exit(i32::from(result.is_err()));
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .envs(HEAP)
        .env(CASE, name)
        .env(STEP, step)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{name} {step}: {}\n{out}\n{err}", child.status);
    assert!(out.contains(DONE), "{name} {step}: the case did not run\n{out}\n{err}");
}
