//! From a fault in compiled code to a trap, and from a program counter to the
//! frames below it.
//!
//! Frames are walked through frame pointers, which all compiled code keeps:
//!
//! ```text
//!   fp ──▶ | caller's fp     |      until the frame pointer is that of the
//!          | return address  |      entry stub
//! ```

use super::activation;
use super::state::{StoreState, Suspended};
use crate::parts;
use crate::sys;
use crate::sys::signals::{Fault, Next};
use wasmc_artifacts::abi::Trap;

/// Decides whether a fault is a trap of the wasm code that runs on this
/// thread. Called inside a signal handler: takes no lock, allocates nothing.
pub(crate) fn decide(fault: Fault) -> Option<Next> {
    activation::hidden(|state| decide_for(state, fault))
}

fn decide_for(state: &StoreState, fault: Fault) -> Option<Next> {
    // Not only code itself: builtins write for it.
    if !fault.lost && fault.address.is_some_and(|address| state.take_guard_off(address)) {
        return Some(Next::Resume(fault.registers));
    }
    let pc = fault.registers.pc;
    let instance = state.code_list().find(|instance| instance.module().text().contains(&pc))?;
    let module = instance.module();
    if parts::TRUNCATION.is_on() && fault.lost && fault.address.is_some_and(sys::note_loss) || module.is_damaged() {
        return state.abandon(fault);
    }
    let listed = module.artifact().trap_at((pc - module.text().start) as u32);
    let trap = match (listed, fault.address) {
        (Some(trap), _) => trap,
        (None, Some(address)) if state.is_memory(address) => Trap::MemoryOutOfBounds,
        // What cannot be null is all the same, in an instance whose reset failed.
        (None, Some(address)) if state.is_null_access(address) => Trap::NullReference,
        // The table of traps may have been found lost just now, or the code
        // is zeros.
        _ if module.is_damaged() || module.is_shortened() => return state.abandon(fault),
        _ => return None,
    };
    state.trap.set(Some(trap));
    state.capture(pc, fault.registers.fp);
    state.context.pending.set(1);
    let context = &state.context;
    let (sp, fp) = (context.entry_sp.get() as usize, context.entry_fp.get() as usize);
    Some(Next::Land(fault.registers.at(context.entry_pc.get() as usize, sp, fp)))
}

impl StoreState {
    /// Ends code that has lost pages it needs. The entry stub, to which traps
    /// go otherwise, may be among them.
    #[cold]
    fn abandon(&self, fault: Fault) -> Option<Next> {
        let context = &self.context;
        let entered = context.entry_fp.get() != 0;
        let next = if entered {
            let (sp, fp) = (context.entry_sp.get() as usize, context.entry_fp.get() as usize);
            Next::Land(fault.registers.at(leave as *const () as usize, sp, fp))
        } else if fault.address == Some(fault.registers.pc) {
            // The entry stub itself cannot be executed. It is within one page,
            // so this is its first instruction.
            // SAFETY: no instruction of the stub was executed.
            Next::Resume(unsafe { fault.registers.returned() })
        } else {
            return None;
        };
        // If the code was about to be left for another reason, that one stays.
        if context.pending.replace(1) == 0 {
            self.trap.set(Some(Trap::ArtifactLost));
            self.frame_count.set(0);
            if entered {
                self.capture(fault.registers.pc, fault.registers.fp);
            }
        }
        Some(next)
    }
}

/// Does what an entry stub does last, given its frame pointer: gives the
/// caller its registers back, which the stub has saved below its frame
/// pointer, and returns.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn leave() {
    std::arch::naked_asm!(
        "mov rbx, [rbp - 48]",
        "mov r12, [rbp - 40]",
        "mov r13, [rbp - 32]",
        "mov r14, [rbp - 24]",
        "mov r15, [rbp - 16]",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

/// Does what an entry stub does last, given its frame pointer: gives the
/// caller its registers back, which the stub has saved below its frame
/// pointer, and returns.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn leave() {
    std::arch::naked_asm!(
        "sub sp, x29, #144",
        "ldp d8, d9, [sp], #16",
        "ldp d10, d11, [sp], #16",
        "ldp d12, d13, [sp], #16",
        "ldp d14, d15, [sp], #16",
        "ldp x19, x20, [sp], #16",
        "ldp x21, x22, [sp], #16",
        "ldp x23, x24, [sp], #16",
        "ldp x25, x26, [sp], #16",
        "ldp x27, x28, [sp], #16",
        "ldp x29, x30, [sp], #16",
        "ret",
    )
}

impl StoreState {
    /// Notes the wasm frames of all activations of this store, innermost
    /// first: the function that is at the instruction `pc`, then the callers of
    /// its frame, which has the frame pointer `fp`.
    pub(super) fn capture(&self, pc: usize, fp: usize) {
        self.capture_from(pc, true, fp);
    }

    /// The same from a call that returns to `pc`, in the frame with frame
    /// pointer `fp`.
    pub(super) fn capture_call(&self, pc: usize, fp: usize) {
        self.capture_from(pc, false, fp);
    }

    fn capture_from(&self, pc: usize, exact: bool, fp: usize) {
        self.frame_count.set(0);
        self.exact.set(exact);
        if !parts::BACKTRACES.is_on() {
            return;
        }
        self.note(pc);
        walk(fp, self.context.entry_fp.get() as usize, &mut |pc| self.note(pc));
        self.walk_suspended(&mut |pc| self.note(pc));
    }

    /// The return addresses of the wasm frames that are active while a host
    /// function of this store runs, innermost first, but no more than `most`;
    /// none if no wasm code has called the host.
    pub(crate) fn active_frames(&self, most: usize) -> Vec<usize> {
        let mut frames = Vec::new();
        if most > 0 && activation::is_active(self) {
            let note = &mut |pc| {
                let room = frames.len() < most;
                if room {
                    frames.push(pc);
                }
                room
            };
            let context = &self.context;
            walk_exit((context.exit_pc.get(), context.exit_fp.get()), context.entry_fp.get(), note);
            self.walk_suspended(note);
        }
        frames
    }

    /// The same where the innermost frame has called the host, which runs now.
    pub(super) fn capture_exit(&self) {
        let context = &self.context;
        let (pc, fp) = (context.exit_pc.get(), context.exit_fp.get());
        self.frame_count.set(0);
        self.exact.set(false);
        if parts::BACKTRACES.is_on() {
            walk_exit((pc, fp), context.entry_fp.get(), &mut |pc| self.note(pc));
            self.walk_suspended(&mut |pc| self.note(pc));
        }
    }

    /// Passes the return addresses of all activations of this store but the
    /// innermost to `note`, until that says that it has enough of an activation's.
    fn walk_suspended(&self, note: &mut dyn FnMut(usize) -> bool) {
        let mut older = self.suspended.get();
        // SAFETY: suspended activations are in frames further up this stack.
        while let Some(Suspended { exit_pc, exit_fp, entry_fp, older: next, .. }) = unsafe { older.as_ref() } {
            walk_exit((*exit_pc, *exit_fp), *entry_fp, note);
            older = *next;
        }
    }

    /// What `capture` noted, once.
    pub(super) fn captured(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().take(self.frame_count.replace(0)).map(std::cell::Cell::get)
    }

    fn note(&self, pc: usize) -> bool {
        let count = self.frame_count.get();
        let Some(frame) = self.frames.get(count) else { return false };
        frame.set(pc);
        self.frame_count.set(count + 1);
        true
    }
}

/// Passes on what is below a call that returns to `pc`, in the frame with frame
/// pointer `fp`: nothing if that is the entry stub's, as it is if all wasm code
/// between has made tail calls, or if no wasm code is active.
fn walk_exit((pc, fp): (u64, u64), entry_fp: u64, note: &mut dyn FnMut(usize) -> bool) {
    if fp != 0 && fp != entry_fp && note(pc as usize) {
        walk(fp as usize, entry_fp as usize, note);
    }
}

/// Passes on the return addresses of the functions above the one whose frame
/// pointer is `fp`.
fn walk(mut fp: usize, entry_fp: usize, note: &mut dyn FnMut(usize) -> bool) {
    while fp != 0 && fp != entry_fp {
        let frame = fp as *const usize;
        // SAFETY: compiled code and its stubs keep frame pointers, so this
        // is a frame between the entry stub's and the current one.
        let (caller, pc) = unsafe { (*frame, *frame.add(1)) };
        if caller == entry_fp || caller <= fp || !note(pc) {
            break;
        }
        fp = caller;
    }
}
