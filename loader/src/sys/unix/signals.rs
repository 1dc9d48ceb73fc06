//! The process-wide signal handlers that turn faults of compiled code into
//! traps, replace lost pages of files that are [watched](super::watch), and
//! pass every other fault on to whoever was there before.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

pub(crate) use super::ucontext::Registers;
use crate::parts;

/// Why the handler runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// The registers at the instruction that failed.
    pub(crate) registers: Registers,
    /// The address that could not be accessed, if the signal is about one.
    pub(crate) address: Option<usize>,
    /// Whether the page is mapped, but what it shows does not exist any more:
    /// so it is beyond the end of a file that was truncated.
    pub(crate) lost: bool,
}

/// How to go on after a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// With these registers, and all others as they were.
    Resume(Registers),
    /// With these registers, in code that needs no others.
    Land(Registers),
}

/// Decides about a fault: how to go on, or `None` if the fault is not ours.
/// Runs inside a signal handler.
pub(crate) type Decide = fn(Fault) -> Option<Next>;

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "portable-unix")))]
use super::leap::entered;

/// What the system calls.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "portable-unix"))))]
extern "C" fn entered(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    handler(signal, info, context, std::ptr::null_mut());
}

/// SIGSEGV and SIGBUS come from memory accesses, SIGILL and SIGFPE from trap
/// and division instructions; on x86-64 the former are privileged ones, for
/// which SIGSEGV comes, too.
const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

struct Handlers {
    previous: [UnsafeCell<MaybeUninit<libc::sigaction>>; SIGNALS.len()],
    decide: UnsafeCell<Option<Decide>>,
}

// SAFETY: written once, in `install`, before the handlers that read it exist.
unsafe impl Sync for Handlers {}

static HANDLERS: Handlers = Handlers {
    previous: [const { UnsafeCell::new(MaybeUninit::uninit()) }; SIGNALS.len()],
    decide: UnsafeCell::new(None),
};

/// Installs the handlers, once in a process; later calls do nothing.
///
/// # Errors
/// The system's, if it refuses; also on every later call.
pub(crate) fn install(decide: Decide) -> io::Result<()> {
    static DONE: Mutex<Option<Result<(), c_int>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = *done.get_or_insert_with(|| {
        // SAFETY: no handler of ours exists yet, and the lock keeps other
        // threads out.
        unsafe { *HANDLERS.decide.get() = Some(decide) };
        #[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "portable-unix")))]
        super::leap::prepare();
        for (signal, previous) in SIGNALS.iter().zip(&HANDLERS.previous) {
            // SAFETY: as above; `sigaction` fills in the previous action
            // before the second call makes our handler, its reader, reachable.
            unsafe {
                if libc::sigaction(*signal, std::ptr::null(), (*previous.get()).as_mut_ptr()) != 0 {
                    return Err(last_error());
                }
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = entered as *const () as usize;
                // No signal is blocked while the handler runs, not even this one: the
                // handler can be left without asking the kernel for anything.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigemptyset(&raw mut action.sa_mask);
                if libc::sigaction(*signal, &raw const action, std::ptr::null_mut()) != 0 {
                    return Err(last_error());
                }
            }
        }
        Ok(())
    });
    done.map_err(io::Error::from_raw_os_error)
}

/// Whether the code in a signal's information says that the signal comes from
/// an instruction, not from a process that sent it.
fn is_fault(code: c_int) -> bool {
    if cfg!(target_vendor = "apple") { code < libc::SI_USER } else { code > libc::SI_USER }
}

fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// The handler. `_entered` is where its context is if the kernel has called it.
pub(super) extern "C" fn handler(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
    _entered: *mut c_void,
) {
    // SAFETY: the kernel passes valid pointers; `decide` was set before this
    // handler was installed.
    unsafe {
        let is_fault = is_fault((*info).si_code);
        if is_fault && let Some(decide) = *HANDLERS.decide.get() {
            let address = matches!(signal, libc::SIGSEGV | libc::SIGBUS).then(|| (*info).si_addr() as usize);
            let lost = signal == libc::SIGBUS && (*info).si_code == libc::BUS_ADRERR;
            let fault = Fault { registers: super::ucontext::read(context), address, lost };
            if let Some(next) = decide(fault) {
                let (Next::Resume(registers) | Next::Land(registers)) = next;
                #[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "portable-unix")))]
                if matches!(next, Next::Land(_)) && super::leap::is_possible(context, _entered) {
                    super::leap::leap(registers);
                }
                super::ucontext::write(context, registers);
                return;
            }
            if parts::TRUNCATION.is_on() && lost && address.is_some_and(super::watch::replace_lost) {
                return;
            }
        }
        pass_on(signal, info, context, is_fault);
    }
}

/// Does what would have happened without our handler.
///
/// # Safety
/// The arguments are those of a running signal handler.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, is_fault: bool) {
    let Some(index) = SIGNALS.iter().position(|s| *s == signal) else { return };
    // SAFETY: `install` filled the entry in before the handler was installed,
    // and what is called is what the system would have called.
    unsafe {
        let previous = (*HANDLERS.previous[index].get()).assume_init_ref();
        let code = previous.sa_sigaction;
        match code {
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // A fault happens again when the handler returns, and then the
                // system acts; it never ignores a fault. A signal that was
                // sent has to be sent again.
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigemptyset(&raw mut action.sa_mask);
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                if !is_fault {
                    libc::raise(signal);
                }
            }
            _ => {
                block_for(signal, previous);
                if previous.sa_flags & libc::SA_SIGINFO == 0 {
                    let call: extern "C" fn(c_int) = std::mem::transmute(code);
                    return call(signal);
                }
                let call: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = std::mem::transmute(code);
                call(signal, info, context);
            }
        }
    }
}

/// Blocks the signals that the system would have blocked before it called a
/// handler. It unblocks them when ours returns.
///
/// # Safety
/// A handler of `signal` runs, and `action` was the one before.
unsafe fn block_for(signal: c_int, action: &libc::sigaction) {
    let mut blocked = action.sa_mask;
    // SAFETY: the system has filled the set in, and the signal exists.
    unsafe {
        if action.sa_flags & libc::SA_NODEFER == 0 {
            libc::sigaddset(&raw mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
    }
}
