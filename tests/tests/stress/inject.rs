//! System calls that fail on demand, on one thread of this process.
//!
//! A seccomp filter turns every system call of the kinds in question into a
//! SIGSYS, whose handler counts them and either answers with an error or makes
//! the call itself: from one instruction, whose address the filter lets pass.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static FAIL_AT: Cell<usize> = const { Cell::new(usize::MAX) };
    static FAIL_MANY: Cell<usize> = const { Cell::new(1) };
}

static ARMED: AtomicBool = AtomicBool::new(false);

/// Calls that map, protect or discard memory, and the error they fail with.
/// That unmapping fails, which takes a hole in a mapping and too many of them,
/// is shown with the true limit.
const MEMORY: [(i64, c_int); 4] = [
    (libc::SYS_mmap, libc::ENOMEM),
    (libc::SYS_mprotect, libc::ENOMEM),
    (libc::SYS_madvise, libc::ENOMEM),
    (libc::SYS_mremap, libc::ENOMEM),
];

/// Calls that make, fill and look at files.
const FILES: [(i64, c_int); 8] = [
    (libc::SYS_memfd_create, libc::EMFILE),
    (libc::SYS_openat, libc::EMFILE),
    (libc::SYS_write, libc::ENOSPC),
    (libc::SYS_fcntl, libc::ENOMEM),
    (libc::SYS_statx, libc::EIO),
    (libc::SYS_ioctl, libc::ENOMEM),
    (libc::SYS_ftruncate, libc::ENOSPC),
    (libc::SYS_lseek, libc::EIO),
];

fn error_of(call: i64) -> Option<c_int> {
    MEMORY.iter().chain(&FILES).find(|(number, _)| *number == call).map(|(_, error)| *error)
}

// `pass(number, arguments)` makes a system call; the instruction after it is
// at `passed`.
std::arch::global_asm!(
    ".globl wasmc_test_pass",
    ".globl wasmc_test_passed",
    "wasmc_test_pass:",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov r10, [r11 + 24]",
    "mov r8, [r11 + 32]",
    "mov r9, [r11 + 40]",
    "syscall",
    "wasmc_test_passed:",
    "ret",
);

unsafe extern "C" {
    fn wasmc_test_pass(number: i64, arguments: *const [i64; 6]) -> i64;
    fn wasmc_test_passed();
}

extern "C" fn handler(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid context, of a thread that was about to
    // make this system call; it expects the result in RAX.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let call = registers[libc::REG_RAX as usize];
        let number = COUNT.get() + 1;
        COUNT.set(number);
        let fails = number >= FAIL_AT.get() && number - FAIL_AT.get() < FAIL_MANY.get();
        let arguments = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9]
            .map(|r| registers[r as usize]);
        registers[libc::REG_RAX as usize] = match error_of(call) {
            Some(error) if fails => -i64::from(error),
            _ => wasmc_test_pass(call, &raw const arguments),
        };
    }
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: yes, jf: no, k }
}

/// Makes system calls of this thread pass through the handler, from now on and
/// for ever.
pub fn arm() {
    assert!(!ARMED.swap(true, Ordering::SeqCst), "once in a process");
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let passed = wasmc_test_passed as *const () as u64;
    let calls: Vec<i64> = MEMORY.iter().chain(&FILES).map(|(number, _)| *number).collect();
    // Positions in `struct seccomp_data`: the number at 0, the address of the
    // next instruction at 8.
    let mut filter = vec![
        statement(LOAD, 8),
        jump(passed as u32, 0, 3),
        statement(LOAD, 12),
        jump((passed >> 32) as u32, 0, 1),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
        statement(LOAD, 0),
    ];
    for (index, call) in calls.iter().enumerate() {
        filter.push(jump(*call as u32, (calls.len() - index) as u8, 0));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(RETURN, libc::SECCOMP_RET_TRAP));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the handler has the type that the flags say; the program is
    // valid during the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// Does something while system calls fail, from number `first` on (counted
/// from 1), `many` of them; returns the result, and how many there were.
pub fn failing<R>(first: usize, many: usize, work: impl FnOnce() -> R) -> (R, usize) {
    COUNT.set(0);
    FAIL_MANY.set(many);
    FAIL_AT.set(first);
    let result = work();
    FAIL_AT.set(usize::MAX);
    (result, COUNT.get())
}
