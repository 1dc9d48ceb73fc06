//! The registers of an interrupted thread.

use std::ffi::c_void;

/// The registers that trap handling reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Program counter.
    pub(crate) pc: usize,
    /// Stack pointer.
    pub(crate) sp: usize,
    /// Frame pointer.
    pub(crate) fp: usize,
    /// Where a call returns to, before the callee has put it on the stack.
    #[cfg(target_arch = "aarch64")]
    pub(crate) link: usize,
}

impl Registers {
    /// The registers to go on at another place in the same thread.
    pub(crate) fn at(self, pc: usize, sp: usize, fp: usize) -> Registers {
        Registers {
            pc,
            sp,
            fp,
            #[cfg(target_arch = "aarch64")]
            link: self.link,
        }
    }

    /// The registers with which a function returns none of whose instructions
    /// was executed.
    ///
    /// # Safety
    /// These are the registers at its first instruction.
    pub(crate) unsafe fn returned(self) -> Registers {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the call has pushed the address to return to.
        return Registers { pc: unsafe { *(self.sp as *const usize) }, sp: self.sp + 8, ..self };
        #[cfg(target_arch = "aarch64")]
        return Registers { pc: self.link, ..self };
    }
}

/// The three places in a signal's context, by system and architecture.
macro_rules! places {
    ($context:ident) => {{
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        {
            let registers = &raw mut (*$context).uc_mcontext.gregs;
            let at = |index: libc::c_int| registers.cast::<usize>().add(index as usize);
            (at(libc::REG_RIP), at(libc::REG_RSP), at(libc::REG_RBP))
        }
        #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
        {
            let machine = &raw mut (*$context).uc_mcontext;
            (
                (&raw mut (*machine).pc).cast::<usize>(),
                (&raw mut (*machine).sp).cast::<usize>(),
                (&raw mut (*machine).regs).cast::<usize>().add(29),
            )
        }
        #[cfg(all(target_vendor = "apple", target_arch = "x86_64"))]
        {
            let state = &raw mut (*(*$context).uc_mcontext).__ss;
            (
                (&raw mut (*state).__rip).cast::<usize>(),
                (&raw mut (*state).__rsp).cast::<usize>(),
                (&raw mut (*state).__rbp).cast::<usize>(),
            )
        }
        #[cfg(all(target_vendor = "apple", target_arch = "aarch64"))]
        {
            let state = &raw mut (*(*$context).uc_mcontext).__ss;
            (
                (&raw mut (*state).__pc).cast::<usize>(),
                (&raw mut (*state).__sp).cast::<usize>(),
                (&raw mut (*state).__fp).cast::<usize>(),
            )
        }
    }};
}

/// Reads the registers.
///
/// # Safety
/// `context` is the third argument of a signal handler that is running.
pub(super) unsafe fn read(context: *mut c_void) -> Registers {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller passes the kernel's context, which is valid and
    // aligned for as long as the handler runs.
    unsafe {
        let (pc, sp, fp) = places!(context);
        Registers {
            pc: *pc,
            sp: *sp,
            fp: *fp,
            // The register after the frame pointer, on every system.
            #[cfg(target_arch = "aarch64")]
            link: *fp.add(1),
        }
    }
}

/// Sets the registers with which the thread goes on after the handler.
///
/// # Safety
/// As for [`read`]; and it is right to go on there.
pub(super) unsafe fn write(context: *mut c_void, registers: Registers) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: as in `read`.
    unsafe {
        let (pc, sp, fp) = places!(context);
        *pc = registers.pc;
        *sp = registers.sp;
        *fp = registers.fp;
    }
}
