//! Signal handlers, which belong to the whole process: each case runs in a
//! process of its own, this test binary started again.

use super::alone;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

const CASE: &str = "WASMC_TEST_CASE";

/// Runs the test `name` again in a child, where [`child`] is true.
fn in_child(name: &str) -> ExitStatus {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CASE, name)
        .output()
        .unwrap();
    child.status
}

fn child(name: &str) -> bool {
    std::env::var(CASE).is_ok_and(|case| case == name)
}

fn trap_and_go_on() {
    let text = r#"(module (memory 1) (func (export "f") (drop (i32.load (i32.const 65536)))))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap_err();
}

/// Reads from an address that is never mapped.
fn crash() {
    // SAFETY: none; that this faults is the point.
    unsafe { std::ptr::read_volatile(16 as *const u8) };
}

#[test]
fn a_fault_of_the_host_still_kills_the_process() {
    const NAME: &str = "process::a_fault_of_the_host_still_kills_the_process";
    if child(NAME) {
        trap_and_go_on();
        crash();
        return;
    }
    assert_eq!(in_child(NAME).signal(), Some(libc::SIGSEGV));
}

#[test]
fn a_handler_from_before_still_gets_the_faults_of_the_host() {
    const NAME: &str = "process::a_handler_from_before_still_gets_the_faults_of_the_host";
    extern "C" fn handler(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: allowed in a signal handler.
        unsafe { libc::_exit(77) };
    }
    extern "C" fn plain(_: libc::c_int) {
        // SAFETY: allowed in a signal handler.
        unsafe { libc::_exit(78) };
    }
    if child(NAME) {
        // SAFETY: the handlers have the types that the flags say.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction =
                handler as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
            action.sa_sigaction = plain as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = 0;
            libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut());
        }
        trap_and_go_on();
        if std::env::var("WASMC_TEST_SIGNAL").is_ok() {
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGILL) };
        }
        crash();
        return;
    }
    assert_eq!(in_child(NAME).code(), Some(77));
    // A signal that is sent, not a fault, reaches the previous handler too.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(CASE, NAME)
        .env("WASMC_TEST_SIGNAL", "1")
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(78));
}

#[test]
fn a_signal_that_was_ignored_stays_ignored_when_it_is_sent() {
    const NAME: &str = "process::a_signal_that_was_ignored_stays_ignored_when_it_is_sent";
    if child(NAME) {
        // SAFETY: ignoring a signal, and sending it.
        unsafe { libc::signal(libc::SIGFPE, libc::SIG_IGN) };
        trap_and_go_on();
        // SAFETY: sends a signal to this thread.
        unsafe { libc::raise(libc::SIGFPE) };
        trap_and_go_on();
        std::process::exit(55);
    }
    assert_eq!(in_child(NAME).code(), Some(55));
}

#[test]
fn a_fault_in_a_host_function_is_not_taken_for_a_trap() {
    const NAME: &str = "process::a_fault_in_a_host_function_is_not_taken_for_a_trap";
    if child(NAME) {
        let text = r#"(module (import "host" "crash" (func $c)) (func (export "f") call $c))"#;
        let (mut store, instance) = super::with_data((), text, |linker| {
            linker.func_wrap("host", "crash", crash).unwrap();
        });
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let _ = f.call(&mut store, ());
        std::process::exit(0);
    }
    assert_eq!(in_child(NAME).signal(), Some(libc::SIGSEGV));
}
