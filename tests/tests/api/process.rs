//! Signal handlers, which belong to the whole process: each case runs in a
//! process of its own, this test binary started again.

use super::alone;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};

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
fn a_handler_from_before_runs_with_the_signals_blocked_that_it_asked_for() {
    const NAME: &str = "process::a_handler_from_before_runs_with_the_signals_blocked_that_it_asked_for";
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: allowed in a signal handler, and so is all that `blocked` does but
        // allocating, and what was interrupted here does not allocate.
        unsafe { libc::_exit(if blocked() == [libc::SIGUSR1, libc::SIGSEGV] { 76 } else { 1 }) };
    }
    if child(NAME) {
        // SAFETY: the handler has the type that the flags say.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1);
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        }
        trap_and_go_on();
        crash();
        return;
    }
    assert_eq!(in_child(NAME).code(), Some(76));
}

#[test]
fn a_handler_from_before_that_fails_itself_is_not_called_again() {
    const NAME: &str = "process::a_handler_from_before_that_fails_itself_is_not_called_again";
    extern "C" fn handler(_: libc::c_int) {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        if CALLS.fetch_add(1, Ordering::Relaxed) > 0 {
            // SAFETY: allowed in a signal handler.
            unsafe { libc::_exit(1) };
        }
        crash();
    }
    if child(NAME) {
        // SAFETY: a handler of that type.
        unsafe { libc::signal(libc::SIGSEGV, handler as extern "C" fn(libc::c_int) as usize) };
        trap_and_go_on();
        crash();
        return;
    }
    assert_eq!(in_child(NAME).signal(), Some(libc::SIGSEGV));
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

#[test]
fn a_handler_that_calls_ours_gets_control_back() {
    const NAME: &str = "process::a_handler_that_calls_ours_gets_control_back";
    static OURS: AtomicUsize = AtomicUsize::new(0);
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    static RETURNED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn around(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        CALLED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what was there before is a handler of this type.
        unsafe {
            let ours: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(OURS.load(Ordering::Relaxed));
            ours(signal, info, context);
        }
        RETURNED.fetch_add(1, Ordering::Relaxed);
    }
    if child(NAME) {
        trap_and_go_on();
        // SAFETY: as above.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut action);
            OURS.store(action.sa_sigaction, Ordering::Relaxed);
            action.sa_sigaction =
                around as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        }
        for _ in 0..3 {
            trap_and_go_on();
        }
        assert_eq!((CALLED.load(Ordering::Relaxed), RETURNED.load(Ordering::Relaxed)), (3, 3));
        return;
    }
    assert!(in_child(NAME).success());
}

/// The signals that the thread blocks, of the first 64.
fn blocked() -> Vec<libc::c_int> {
    // SAFETY: fills in a set and asks it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set), 0);
        (1..32).filter(|signal| libc::sigismember(&raw const set, *signal) == 1).collect()
    }
}

#[test]
fn a_trap_leaves_the_signals_that_a_thread_blocks_as_they_were() {
    let check = || {
        // SAFETY: a set with one signal, which nobody sends.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGUSR2);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()), 0);
        }
        let before = blocked();
        assert!(before.contains(&libc::SIGUSR2) && !before.contains(&libc::SIGSEGV), "{before:?}");
        for _ in 0..3 {
            trap_and_go_on();
            assert_eq!(blocked(), before);
        }
    };
    std::thread::spawn(check).join().unwrap();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_trap_leaves_the_rounding_of_a_thread_as_it_was() {
    fn rounding() -> (u32, u16) {
        let (mut mxcsr, mut x87) = (0_u32, 0_u16);
        // SAFETY: stores two control words.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut x87);
        }
        (mxcsr & 0xffc0, x87)
    }
    /// Computes with these control words while code runs that traps.
    fn trap_with(mxcsr: u32, x87: u16) {
        let text = r#"(module (memory 1) (func (export "f") (drop (i32.load (i32.const 65536)))))"#;
        let (mut store, instance) = alone(text);
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let usual = rounding();
        let set = |(mxcsr, x87): (u32, u16)| {
            // SAFETY: control words with another rounding; nothing here computes.
            unsafe { std::arch::asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const mxcsr, in(reg) &raw const x87) };
        };
        set((mxcsr, x87));
        let failed = f.call(&mut store, ()).is_err();
        let after = rounding();
        set(usual);
        assert_eq!((failed, after), (true, (mxcsr, x87)));
    }
    trap_with(0x1f80, 0x37f);
    // Towards zero, in either unit.
    trap_with(0x7f80, 0x37f);
    trap_with(0x1f80, 0xf7f);
}

#[cfg(target_os = "linux")]
#[test]
fn a_trap_gives_a_signal_stack_back_that_is_taken_away_in_handlers() {
    const SS_AUTODISARM: libc::c_int = 1 << 31;
    fn current() -> (usize, usize, libc::c_int) {
        // SAFETY: fills in a description.
        unsafe {
            let mut stack: libc::stack_t = std::mem::zeroed();
            assert_eq!(libc::sigaltstack(std::ptr::null(), &raw mut stack), 0);
            (stack.ss_sp as usize, stack.ss_size, stack.ss_flags)
        }
    }
    let check = || {
        let usual = current();
        let mut bytes = vec![0_u8; 1 << 18];
        let set = |(at, size, flags): (usize, usize, libc::c_int)| {
            let stack = libc::stack_t { ss_sp: at as *mut libc::c_void, ss_flags: flags, ss_size: size };
            // SAFETY: that many bytes, which stay until the stack is another one.
            assert_eq!(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) }, 0);
        };
        let ours = (bytes.as_mut_ptr() as usize, bytes.len(), SS_AUTODISARM);
        set(ours);
        for _ in 0..3 {
            trap_and_go_on();
            assert_eq!(current(), ours);
        }
        set(usual);
    };
    std::thread::spawn(check).join().unwrap();
}
