//! Exceptions on their way: from a `throw` in compiled code, or out of a host
//! function, to the innermost handler.
//!
//! ```text
//!   throw ──▶ wasm ──▶ wasm, in a `try` ──▶ ... ──▶ entry stub ──▶ host
//!               │        │                            │
//!               └────────┴─ frames are walked as      └─ here if none of them has a
//!                           for backtraces; every        handler: the call fails, and a
//!                           return address is looked     host function below it may return
//!                           up in its module's list      the error, with which this goes on
//! ```
//!
//! A handler is found without taking a lock or allocating anything. Only frames
//! of wasm are skipped; what is on their stack needs no cleaning up.

use super::state::{Cause, PENDING_EXCEPTION, StoreState};
use super::structs::VMHeader;
use super::traps::leave;
use crate::module::Module;
use crate::parts;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_artifacts::abi::{Trap, vm_header, vm_store_context};

/// Where to go on; read by the assembly below.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Landing {
    /// The exception, for the first payload register.
    payload: usize,
    pc: usize,
    fp: usize,
    sp: usize,
}

impl StoreState {
    /// The handler for an exception that comes out of the call which returns
    /// to `pc`, in the frame with frame pointer `fp`. `Err` if none of the
    /// innermost activation's frames has one; whether their lists could be read.
    fn find_handler(&self, mut pc: usize, mut fp: usize) -> Result<Landing, bool> {
        let entry_fp = self.context.entry_fp.get() as usize;
        // The module of the frame before, which is mostly that of the next too.
        let (mut text, mut found) = (0..0, None);
        let mut intact = true;
        let is_intact = |module: Option<&Module>| !module.is_some_and(Module::is_damaged);
        while fp != entry_fp {
            if !text.contains(&pc) {
                intact &= is_intact(found);
                found = self.code_list().map(|instance| instance.module()).find(|module| module.text().contains(&pc));
                text = found.map_or(0..0, Module::text);
            }
            let handler = found.and_then(|module| module.artifact().handler_at((pc - text.start) as u32));
            if let Some(row) = handler {
                if !intact || !is_intact(found) {
                    return Err(false);
                }
                let sp = fp.wrapping_sub(row.frame as usize);
                return Ok(Landing { payload: 0, pc: text.start + row.handler as usize, fp, sp });
            }
            let (caller, to) = frame(fp);
            if caller <= fp {
                break;
            }
            (pc, fp) = (to, caller);
        }
        Err(intact && is_intact(found))
    }

    /// The entry stub of the innermost activation.
    fn entry(&self) -> Landing {
        let context = &self.context;
        let (pc, fp, sp) = (context.entry_pc.get(), context.entry_fp.get(), context.entry_sp.get());
        Landing { payload: 0, pc: pc as usize, fp: fp as usize, sp: sp as usize }
    }

    /// Ends the activation, as an exception went through code that has lost
    /// pages, so that nobody knows who would have caught it.
    #[cold]
    fn lost(&self) -> Landing {
        self.cause.set(None);
        self.context.exception.set(0);
        self.trap.set(Some(Trap::ArtifactLost));
        self.context.pending.set(1);
        // The entry stub may be among what is lost.
        Landing { pc: leave as *const () as usize, ..self.entry() }
    }
}

/// The frame pointer and return address that are saved in a frame.
pub(super) fn frame(fp: usize) -> (usize, usize) {
    let at = fp as *const usize;
    // SAFETY: compiled code and its stubs keep frame pointers, and `fp` is that
    // of a frame above the innermost entry stub.
    unsafe { (*at, *at.add(1)) }
}

/// Finds out where an exception goes that compiled code throws.
unsafe extern "C" fn find_thrown(state: *const StoreState, exception: u32, landing: *mut Landing) {
    // SAFETY: `throw` passes its store, and room for the landing.
    let (state, landing) = unsafe { (&*state, &mut *landing) };
    let context = &state.context;
    let (pc, fp) = (context.exit_pc.get() as usize, context.exit_fp.get() as usize);
    if !parts::EXCEPTIONS.is_on() {
        // No module with exceptions was loaded.
        *landing = state.lost();
        return;
    }
    *landing = match state.find_handler(pc, fp) {
        Ok(found) => Landing { payload: exception as usize, ..found },
        Err(true) => {
            context.exception.set(exception.into());
            context.pending.set(PENDING_EXCEPTION);
            state.cause.set(Some(Cause::Exception));
            state.capture_call(pc, fp);
            state.entry()
        }
        Err(false) => state.lost(),
    };
}

/// Finds out where an exception goes that a host function has returned.
unsafe extern "C" fn find_returned(state: *const StoreState, landing: *mut Landing) {
    // SAFETY: `raise` passes its store, and room for the landing.
    let (state, landing) = unsafe { (&*state, &mut *landing) };
    let context = &state.context;
    let (pc, fp) = (context.exit_pc.get() as usize, context.exit_fp.get() as usize);
    if !parts::EXCEPTIONS.is_on() {
        *landing = state.lost();
        return;
    }
    *landing = match state.find_handler(pc, fp) {
        Ok(found) => {
            let exception = context.exception.replace(0);
            // What the host said about the exception has nobody to hear it.
            match catch_unwind(AssertUnwindSafe(|| drop(state.cause.take()))) {
                Ok(()) => {
                    context.pending.set(0);
                    Landing { payload: exception as usize, ..found }
                }
                Err(panic) => {
                    state.end(Cause::Panic(panic));
                    state.entry()
                }
            }
        }
        Err(true) => {
            state.capture_exit();
            state.entry()
        }
        Err(false) => state.lost(),
    };
}

/// How code begins that compiled code calls with something that names its store,
/// at `store` bytes, as first argument: notes where that was, at `fp` and `pc`
/// in the store, which is then in rax. r10 is lost.
#[cfg(target_arch = "x86_64")]
macro_rules! note_caller {
    () => {
        "mov rax, [rdi + {store}]
         mov r10, [rsp]
         mov [rax + {fp}], rbp
         mov [rax + {pc}], r10"
    };
}

/// How code begins that compiled code calls with something that names its store,
/// at `store` bytes, as first argument: notes where that was, at `fp` and `pc`
/// in the store, which is then in x9.
#[cfg(target_arch = "aarch64")]
macro_rules! note_caller {
    () => {
        "ldr x9, [x0, {store}]
         str x29, [x9, {fp}]
         str x30, [x9, {pc}]"
    };
}

pub(super) use note_caller;

/// Goes where the [`Landing`] at the stack pointer says.
#[cfg(target_arch = "x86_64")]
macro_rules! land {
    () => {
        "mov rax, [rsp]
         mov rcx, [rsp + 8]
         mov rbp, [rsp + 16]
         mov rsp, [rsp + 24]
         jmp rcx"
    };
}

/// Goes where the [`Landing`] at the stack pointer says.
#[cfg(target_arch = "aarch64")]
macro_rules! land {
    () => {
        "ldp x0, x3, [sp]
         ldp x29, x4, [sp, #16]
         mov sp, x4
         br x3"
    };
}

/// Throws an exception.
///
/// # Safety
/// Called by compiled code with its own header, and an exception of its store.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn throw(header: *const VMHeader, exception: u32) {
    std::arch::naked_asm!(
        note_caller!(),
        "mov rdi, rax",
        "sub rsp, 40",
        "mov rdx, rsp",
        "call {find}",
        land!(),
        store = const vm_header::store,
        fp = const vm_store_context::exit_fp,
        pc = const vm_store_context::exit_pc,
        find = sym find_thrown,
    )
}

/// Throws an exception.
///
/// # Safety
/// Called by compiled code with its own header, and an exception of its store.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn throw(header: *const VMHeader, exception: u32) {
    std::arch::naked_asm!(
        note_caller!(),
        "mov x0, x9",
        "sub sp, sp, #32",
        "mov x2, sp",
        "bl {find}",
        land!(),
        store = const vm_header::store,
        fp = const vm_store_context::exit_fp,
        pc = const vm_store_context::exit_pc,
        find = sym find_thrown,
    )
}

/// Unwinds to the entry stub, whose caller finds out why; or to the handler
/// of an exception that a host function has returned.
///
/// # Safety
/// `store` is the state of the store whose code runs, and `pending` is set.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn raise(store: *mut u8) {
    std::arch::naked_asm!(
        "cmp dword ptr [rdi + {pending}], {exception}",
        "je 2f",
        "mov rsp, [rdi + {sp}]",
        "mov rbp, [rdi + {fp}]",
        "jmp qword ptr [rdi + {pc}]",
        "2:",
        "sub rsp, 40",
        "mov rsi, rsp",
        "call {find}",
        land!(),
        pending = const vm_store_context::pending,
        exception = const PENDING_EXCEPTION,
        sp = const vm_store_context::entry_sp,
        fp = const vm_store_context::entry_fp,
        pc = const vm_store_context::entry_pc,
        find = sym find_returned,
    )
}

/// Unwinds to the entry stub, whose caller finds out why; or to the handler
/// of an exception that a host function has returned.
///
/// # Safety
/// `store` is the state of the store whose code runs, and `pending` is set.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn raise(store: *mut u8) {
    std::arch::naked_asm!(
        "ldr x1, [x0, {pending}]",
        "cmp x1, {exception}",
        "b.eq 2f",
        "ldr x1, [x0, {sp}]",
        "ldr x29, [x0, {fp}]",
        "ldr x2, [x0, {pc}]",
        "mov sp, x1",
        "br x2",
        "2:",
        "sub sp, sp, #32",
        "mov x1, sp",
        "bl {find}",
        land!(),
        pending = const vm_store_context::pending,
        exception = const PENDING_EXCEPTION,
        sp = const vm_store_context::entry_sp,
        fp = const vm_store_context::entry_fp,
        pc = const vm_store_context::entry_pc,
        find = sym find_returned,
    )
}

// What `raise` gets is a StoreState: its context comes first.
const _: () = assert!(std::mem::offset_of!(StoreState, context) == 0);
