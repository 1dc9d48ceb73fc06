//! Leaving a signal handler without asking the kernel to restore the thread: a
//! quarter of the time that a trap takes.
//!
//! When a handler returns, the kernel gives the thread all its registers back,
//! the signals that it blocks and its signal stack. Code that is left for good
//! needs none of its registers, and where it is left to, no others than stack
//! and frame pointer are expected. The handler is installed so that no further
//! signal is blocked while it runs. So it can go there itself, if all else is as
//! it was. Where something is not, the kernel does it.

use super::ucontext::Registers;
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bits of MXCSR that say how to compute; the others say what happened, and no
/// function has to keep them.
const MXCSR_CONTROL: u32 = 0xffc0;

/// What the kernel has set them and the x87 control word to when a handler begins.
const MXCSR: u32 = 0x1f80;
const X87_CONTROL: u16 = 0x37f;

/// The flag of a signal stack that is taken away while a handler runs.
const SS_AUTODISARM: c_int = 1 << 31;

/// The trap flag: somebody goes through the code step by step.
const SINGLE_STEP: usize = 1 << 8;

/// In the words of a context, where the pointer to the floating-point state is.
const FPREGS: usize = 23;

/// Where protection keys are in the state that is saved for a handler, as far as
/// that is known: `NO_KEYS` if the machine does not have them switched on.
static KEYS: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = u32::MAX;
const NO_KEYS: u32 = 0;

/// Finds out what [`is_possible`] has to know. To be called before the handler
/// is installed; until then nothing is possible.
pub(super) fn prepare() {
    // Whoever has this architecture has this instruction; the leaves are there if the
    // first one says so.
    let known = __cpuid_count(0, 0).eax;
    let has_keys = known >= 7 && __cpuid_count(7, 0).ecx & 1 << 4 != 0;
    let place = match has_keys {
        false => NO_KEYS,
        true if known >= 0xd => __cpuid_count(0xd, 9).ebx,
        true => UNKNOWN,
    };
    KEYS.store(if has_keys && place == 0 { UNKNOWN } else { place }, Ordering::Relaxed);
}

/// What the kernel calls. It has put the context right above the return address,
/// so that whoever calls our handler in its place can be told apart: that one
/// waits for the handler to return.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn entered(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    std::arch::naked_asm!(
        "lea rcx, [rsp + 8]",
        "jmp {handler}",
        handler = sym super::signals::handler,
    )
}

/// Whether a handler can go on elsewhere without returning, which was entered
/// with the context at `entered`.
///
/// # Safety
/// `context` is that of the handler which runs.
pub(super) unsafe fn is_possible(context: *mut c_void, entered: *mut c_void) -> bool {
    // SAFETY: the kernel's context is valid as long as the handler runs, and its
    // floating-point state, if it has one, is in front of it on the same stack.
    unsafe {
        let context = context.cast::<libc::ucontext_t>();
        let machine = (&raw const (*context).uc_mcontext).cast::<usize>();
        let flags = *machine.add(libc::REG_EFL as usize);
        let state = *machine.add(FPREGS) as *const u8;
        context.cast() == entered
            && (*context).uc_stack.ss_flags & SS_AUTODISARM == 0
            && flags & SINGLE_STEP == 0
            && !state.is_null()
            && computes_as_ever(state)
            && !has_shadow_stack()
            && has_same_keys(state)
    }
}

/// Whether the interrupted code computes as handlers do.
///
/// # Safety
/// `state` is a floating-point state as FXSAVE writes it.
unsafe fn computes_as_ever(state: *const u8) -> bool {
    // SAFETY: the caller's; these are the first two bytes, and four at 24.
    let (x87, mxcsr) = unsafe { (state.cast::<u16>().read_unaligned(), state.add(24).cast::<u32>().read_unaligned()) };
    x87 == X87_CONTROL && mxcsr & MXCSR_CONTROL == MXCSR
}

/// Whether the thread has a stack of return addresses that only the kernel can
/// take back.
fn has_shadow_stack() -> bool {
    let pointer: u64;
    // SAFETY: reads a register; without one, the instruction does nothing.
    unsafe { asm!("xor eax, eax", "rdsspq rax", out("rax") pointer, options(nomem, nostack)) };
    pointer != 0
}

/// Whether the thread may access the same pages as the interrupted code.
///
/// # Safety
/// As for [`is_possible`], of its floating-point state.
unsafe fn has_same_keys(state: *const u8) -> bool {
    match KEYS.load(Ordering::Relaxed) {
        NO_KEYS => true,
        UNKNOWN => false,
        place => {
            let now: u32;
            // SAFETY: the machine has protection keys switched on.
            unsafe { asm!("rdpkru", out("eax") now, out("edx") _, in("ecx") 0, options(nomem, nostack)) };
            // SAFETY: the caller's.
            unsafe { saved_keys(state, place as usize) == Some(now) }
        }
    }
}

/// The rights by protection keys in a state that the kernel has saved, `place`
/// bytes into it; `None` if they are not there.
///
/// # Safety
/// As for [`is_possible`], of its floating-point state.
unsafe fn saved_keys(state: *const u8, place: usize) -> Option<u32> {
    /// The kernel's mark for more than FXSAVE writes; behind it are the state's
    /// parts (at 8 bytes) and its size without what else is on the stack (at 16).
    const MARK: (usize, u32) = (464, 0x4650_5853);
    /// Where the parts that are not in their initial state are noted.
    const PARTS: usize = 512;
    const KEYS: u64 = 1 << 9;
    // SAFETY: FXSAVE's part has 512 bytes; the mark says how many there are in all.
    unsafe {
        let has_more = state.add(MARK.0).cast::<u32>().read_unaligned() == MARK.1;
        let size = state.add(MARK.0 + 16).cast::<u32>().read_unaligned() as usize;
        if !has_more || size < place + 4 || size < PARTS + 8 {
            return None;
        }
        let parts = state.add(PARTS).cast::<u64>().read_unaligned();
        Some(if parts & KEYS != 0 { state.add(place).cast::<u32>().read_unaligned() } else { 0 })
    }
}

/// Goes on elsewhere, as if the handler had returned.
///
/// # Safety
/// [`is_possible`] says that it is; it is right to go on there, and nothing that
/// is there needs another register. No caller has anything to drop.
pub(super) unsafe fn leap(to: Registers) -> ! {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "mov rsp, {sp}",
            "mov rbp, {fp}",
            "jmp {pc}",
            sp = in(reg) to.sp,
            fp = in(reg) to.fp,
            pc = in(reg) to.pc,
            options(noreturn),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_rights_are_found_where_the_machine_puts_them() {
        const PLACE: usize = 576;
        let mut state = [0_u8; 1024];
        let mut put = |at: usize, bytes: &[u8]| state[at..at + bytes.len()].copy_from_slice(bytes);
        put(464, &0x4650_5853_u32.to_le_bytes());
        put(480, &580_u32.to_le_bytes());
        put(512, &(1_u64 << 9 | 7).to_le_bytes());
        put(PLACE, &0x5555_5554_u32.to_le_bytes());
        // SAFETY: the state has all bytes that it says it has.
        let keys = |state: &[u8]| unsafe { saved_keys(state.as_ptr(), PLACE) };
        assert_eq!(keys(&state), Some(0x5555_5554));
        let with = |at: usize, byte| {
            let mut other = state;
            other[at] = byte;
            keys(&other)
        };
        // In its initial state; without the mark; too short.
        assert_eq!([with(513, 0), with(464, 0), with(480, 0)], [Some(0), None, None]);
    }

    #[test]
    fn another_rounding_is_noticed() {
        let mut state = [0_u8; 512];
        state[..2].copy_from_slice(&X87_CONTROL.to_le_bytes());
        // What has happened does not count.
        state[24..28].copy_from_slice(&(MXCSR | 0x21).to_le_bytes());
        // SAFETY: as long as what FXSAVE writes.
        let asks = |state: &[u8]| unsafe { computes_as_ever(state.as_ptr()) };
        assert!(asks(&state));
        for at in [1, 25] {
            let mut other = state;
            other[at] ^= 0x0c;
            assert!(!asks(&other));
        }
    }
}
