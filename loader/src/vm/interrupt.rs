//! Where compiled code comes when it found that it may have to stop: the
//! builtins `interrupted` and `out_of_fuel`.
//!
//! ```text
//!   code ─▶ builtin: a frame like an adapter's, ─▶ reached, exhausted ─▶ callback
//!     ▲       with all registers that a call                  │
//!     │       may change                                       │
//!     └──────────────── all registers ◀── go on ──────────────┴── stop ──▶ entry stub
//! ```
//!
//! Code keeps all values in registers over such a call, so that the places where
//! it looks cost it nothing but the look. References that the collector may
//! change are in the frame all the same, as at any call.

use super::activation;
use super::of::Of;
use super::state::{Cause, StoreState};
use super::unwind::{frame, raise};
use crate::epochs::{Deadline, Epochs, QUIET, Reason};
use crate::error::{Error, Result};
use crate::interruption::UpdateDeadline;
use crate::parts;
use crate::store::{StoreContextMut, StoreInner};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use wasmc_artifacts::abi::Trap;

/// Asks the owner of the store what to do about a deadline that is over.
type Callback = unsafe fn(&StoreState) -> Result<UpdateDeadline>;

/// What a store knows of when it is to be stopped.
#[derive(Default)]
pub(super) struct Interruption {
    /// Its cell, if the engine has epochs.
    deadline: Of<Option<Deadline>, { parts::INTERRUPTION.is_on() }>,
    /// What is asked when the deadline is over; otherwise code traps.
    callback: Cell<Option<Callback>>,
    /// Fuel that code does not get before it has used up what it has.
    fuel_reserve: Cell<u64>,
    /// How much of it code gets at a time, if it is to yield in between.
    #[cfg(feature = "async")]
    fuel_interval: Cell<Option<u64>>,
}

impl Interruption {
    /// Forgets what the store wanted that is gone.
    pub(super) fn clear(&mut self) {
        self.callback.set(None);
        self.fuel_reserve.set(0);
        #[cfg(feature = "async")]
        self.fuel_interval.set(None);
        if parts::INTERRUPTION.is_on()
            && let Some(deadline) = self.deadline.as_ref()
        {
            deadline.rest();
        }
    }

    /// Prepares for a store of an engine with these epochs, if it has any.
    fn begin(&mut self, epochs: Option<&Arc<Epochs>>) {
        match (&mut *self.deadline, epochs) {
            (None, None) => {}
            (Some(deadline), Some(epochs)) if deadline.is_of(epochs) => deadline.renew(),
            (old, epochs) => *old = epochs.map(Deadline::new),
        }
    }
}

impl StoreState {
    /// Makes the state that of a store of an engine with these epochs, if it
    /// has any, and with or without a limit to what code does.
    pub(super) fn limit_work(&mut self, epochs: Option<&Arc<Epochs>>, fuel: bool) {
        if parts::INTERRUPTION.is_on() {
            self.interruption.begin(epochs);
        }
        self.set_fuel(if fuel { 0 } else { i64::MAX as u64 });
    }

    /// The address of what code of the store looks at.
    pub(super) fn epoch_cell(&self) -> *mut u8 {
        self.deadline().map_or(QUIET.address(), |deadline| deadline.cell().address())
    }

    /// The store's deadline, if the engine has epochs.
    pub(crate) fn deadline(&self) -> Option<&Deadline> {
        self.interruption.deadline.as_ref().filter(|_| parts::INTERRUPTION.is_on())
    }

    /// Lets code trap when the deadline is over.
    pub(crate) fn trap_at_deadline(&self) {
        self.interruption.callback.set(None);
    }

    /// The fuel that is left.
    pub(crate) fn fuel(&self) -> u64 {
        let total =
            i128::from(self.context.fuel.get().cast_signed()) + i128::from(self.interruption.fuel_reserve.get());
        total.max(0) as u64
    }

    /// Sets the fuel that is left.
    pub(crate) fn set_fuel(&self, fuel: u64) {
        let active = fuel.min(i64::MAX as u64);
        #[cfg(feature = "async")]
        let active = active.min(self.interruption.fuel_interval.get().unwrap_or(u64::MAX));
        self.context.fuel.set(active);
        self.interruption.fuel_reserve.set(fuel - active);
    }

    /// Lets code have no more than so much fuel at a time.
    #[cfg(feature = "async")]
    pub(crate) fn set_fuel_interval(&self, interval: Option<u64>) {
        let fuel = self.fuel();
        self.interruption.fuel_interval.set(interval);
        self.set_fuel(fuel);
    }

    /// Lets code go on that has used up the fuel it was given, if there is more.
    fn exhausted(&self) -> Result<()> {
        if !self.refuel() {
            return Err(Error::new(Trap::OutOfFuel));
        }
        #[cfg(feature = "async")]
        if self.interruption.fuel_interval.get().is_some() {
            self.yield_now()?;
        }
        Ok(())
    }

    /// Whether there is fuel beyond what code has used up, which it then gets.
    fn refuel(&self) -> bool {
        let used = self.context.fuel.get().cast_signed();
        let total = i128::from(used) + i128::from(self.interruption.fuel_reserve.get());
        if total < 0 {
            // No further below: one day it would be positive again.
            self.context.fuel.set(u64::MAX);
            self.interruption.fuel_reserve.set(0);
            return false;
        }
        self.set_fuel(total as u64);
        true
    }

    /// Finds out why the code was told to look, and what is to be done.
    fn look(&self) -> Result<()> {
        let Some(deadline) = self.deadline() else { return Ok(()) };
        match deadline.take() {
            Reason::Nothing => return Ok(()),
            Reason::Interrupted => return Err(Error::new(Trap::Interrupt)),
            Reason::Deadline => {}
        }
        // For code that the callback calls, and for the next call.
        deadline.remind();
        let update = match self.interruption.callback.get() {
            // SAFETY: the callback was set for this store, whose code runs.
            Some(callback) => unsafe { callback(self) }?,
            None => UpdateDeadline::Interrupt,
        };
        match update {
            UpdateDeadline::Continue(ticks) => {
                deadline.set(ticks);
                Ok(())
            }
            UpdateDeadline::Interrupt => Err(Error::new(Trap::Interrupt)),
            #[cfg(feature = "async")]
            UpdateDeadline::Yield(ticks) => {
                self.yield_now()?;
                deadline.set(ticks);
                Ok(())
            }
        }
    }

    /// Looks on behalf of a builtin that takes long, and has noted its caller;
    /// whether the code is to be left when it returns.
    pub(super) fn stops(&self) -> bool {
        self.deadline().is_some_and(Deadline::is_due) && self.ends(|| self.look())
    }

    /// Runs what may end the activation; whether it does.
    fn ends(&self, body: impl FnOnce() -> Result<()>) -> bool {
        let scope = self.roots().depth();
        let outcome = catch_unwind(AssertUnwindSafe(body));
        self.roots().leave(scope);
        let cause = match outcome {
            Ok(Ok(())) => return false,
            Ok(Err(error)) => Cause::Error(error),
            Err(panic) => Cause::Panic(panic),
        };
        self.capture_exit();
        self.cause.set(Some(cause));
        self.context.pending.set(1);
        true
    }
}

impl<T: 'static> StoreInner<T> {
    /// Asks the host from now on when the deadline is over.
    pub(crate) fn ask_at_deadline(&mut self) {
        self.opaque.state.interruption.callback.set(Some(ask::<T>));
    }
}

/// # Safety
/// `state` is that of a `Store<T>` that is exclusively borrowed by the call in
/// progress.
unsafe fn ask<T: 'static>(state: &StoreState) -> Result<UpdateDeadline> {
    // SAFETY: `host` is what the innermost call into this store lent, and that
    // call waits for this one.
    let store = unsafe { &mut *state.context.host.get().cast::<StoreInner<T>>() };
    // Code that the callback itself calls has nobody to ask.
    let Some(mut callback) = store.on_deadline.take() else { return Ok(UpdateDeadline::Interrupt) };
    let update = catch_unwind(AssertUnwindSafe(|| callback(StoreContextMut(store))));
    // SAFETY: as above; the callback's borrow is over.
    unsafe { &mut *state.context.host.get().cast::<StoreInner<T>>() }.on_deadline = Some(callback);
    update.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The store whose code has called a builtin, and is to stop if `look` fails:
/// then what `raise` gets, and otherwise null. `fp` is the builtin's frame
/// pointer.
fn ask_store(fp: usize, look: impl FnOnce(&StoreState) -> Result<()>) -> *const StoreState {
    let Some(state) = activation::current() else { return ptr::null() };
    // SAFETY: the pointer is set only while the store is borrowed by the call
    // that entered it, on this thread.
    let state = unsafe { state.as_ref() };
    let (caller, pc) = frame(fp);
    state.context.exit_fp.set(caller as u64);
    state.context.exit_pc.set(pc as u64);
    if state.ends(|| look(state)) { state } else { ptr::null() }
}

extern "C" fn reached(fp: usize) -> *const StoreState {
    ask_store(fp, StoreState::look)
}

extern "C" fn exhausted(fp: usize) -> *const StoreState {
    ask_store(fp, StoreState::exhausted)
}

/// A builtin that keeps all registers, and asks a function whether to go on.
#[cfg(target_arch = "x86_64")]
macro_rules! keeping_registers {
    ($ask:ident) => {
        std::arch::naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "sub rsp, 336",
            "mov [rsp], rax",
            "mov [rsp + 8], rcx",
            "mov [rsp + 16], rdx",
            "mov [rsp + 24], rsi",
            "mov [rsp + 40], r8",
            "mov [rsp + 48], r9",
            "mov [rsp + 56], r10",
            "mov [rsp + 64], r11",
            "movaps [rsp + 80], xmm0",
            "movaps [rsp + 96], xmm1",
            "movaps [rsp + 112], xmm2",
            "movaps [rsp + 128], xmm3",
            "movaps [rsp + 144], xmm4",
            "movaps [rsp + 160], xmm5",
            "movaps [rsp + 176], xmm6",
            "movaps [rsp + 192], xmm7",
            "movaps [rsp + 208], xmm8",
            "movaps [rsp + 224], xmm9",
            "movaps [rsp + 240], xmm10",
            "movaps [rsp + 256], xmm11",
            "movaps [rsp + 272], xmm12",
            "movaps [rsp + 288], xmm13",
            "movaps [rsp + 304], xmm14",
            "movaps [rsp + 320], xmm15",
            "mov [rsp + 32], rdi",
            "mov rdi, rbp",
            "call {ask}",
            "mov rdi, rax",
            "test rax, rax",
            "jne {raise}",
            "mov rax, [rsp]",
            "mov rcx, [rsp + 8]",
            "mov rdx, [rsp + 16]",
            "mov rsi, [rsp + 24]",
            "mov rdi, [rsp + 32]",
            "mov r8, [rsp + 40]",
            "mov r9, [rsp + 48]",
            "mov r10, [rsp + 56]",
            "mov r11, [rsp + 64]",
            "movaps xmm0, [rsp + 80]",
            "movaps xmm1, [rsp + 96]",
            "movaps xmm2, [rsp + 112]",
            "movaps xmm3, [rsp + 128]",
            "movaps xmm4, [rsp + 144]",
            "movaps xmm5, [rsp + 160]",
            "movaps xmm6, [rsp + 176]",
            "movaps xmm7, [rsp + 192]",
            "movaps xmm8, [rsp + 208]",
            "movaps xmm9, [rsp + 224]",
            "movaps xmm10, [rsp + 240]",
            "movaps xmm11, [rsp + 256]",
            "movaps xmm12, [rsp + 272]",
            "movaps xmm13, [rsp + 288]",
            "movaps xmm14, [rsp + 304]",
            "movaps xmm15, [rsp + 320]",
            "leave",
            "ret",
            ask = sym $ask,
            raise = sym raise,
        )
    };
}

/// A builtin that keeps all registers, and asks a function whether to go on.
#[cfg(target_arch = "aarch64")]
macro_rules! keeping_registers {
    ($ask:ident) => {
        std::arch::naked_asm!(
            "stp x29, x30, [sp, #-16]!",
            "mov x29, sp",
            "sub sp, sp, #656",
            "stp x0, x1, [sp]",
            "stp x2, x3, [sp, #16]",
            "stp x4, x5, [sp, #32]",
            "stp x6, x7, [sp, #48]",
            "stp x8, x9, [sp, #64]",
            "stp x10, x11, [sp, #80]",
            "stp x12, x13, [sp, #96]",
            "stp x14, x15, [sp, #112]",
            "stp x16, x17, [sp, #128]",
            "stp q0, q1, [sp, #144]",
            "stp q2, q3, [sp, #176]",
            "stp q4, q5, [sp, #208]",
            "stp q6, q7, [sp, #240]",
            "stp q8, q9, [sp, #272]",
            "stp q10, q11, [sp, #304]",
            "stp q12, q13, [sp, #336]",
            "stp q14, q15, [sp, #368]",
            "stp q16, q17, [sp, #400]",
            "stp q18, q19, [sp, #432]",
            "stp q20, q21, [sp, #464]",
            "stp q22, q23, [sp, #496]",
            "stp q24, q25, [sp, #528]",
            "stp q26, q27, [sp, #560]",
            "stp q28, q29, [sp, #592]",
            "stp q30, q31, [sp, #624]",
            "mov x0, x29",
            "bl {ask}",
            "cbz x0, 2f",
            "b {raise}",
            "2:",
            "ldp x0, x1, [sp]",
            "ldp x2, x3, [sp, #16]",
            "ldp x4, x5, [sp, #32]",
            "ldp x6, x7, [sp, #48]",
            "ldp x8, x9, [sp, #64]",
            "ldp x10, x11, [sp, #80]",
            "ldp x12, x13, [sp, #96]",
            "ldp x14, x15, [sp, #112]",
            "ldp x16, x17, [sp, #128]",
            "ldp q0, q1, [sp, #144]",
            "ldp q2, q3, [sp, #176]",
            "ldp q4, q5, [sp, #208]",
            "ldp q6, q7, [sp, #240]",
            "ldp q8, q9, [sp, #272]",
            "ldp q10, q11, [sp, #304]",
            "ldp q12, q13, [sp, #336]",
            "ldp q14, q15, [sp, #368]",
            "ldp q16, q17, [sp, #400]",
            "ldp q18, q19, [sp, #432]",
            "ldp q20, q21, [sp, #464]",
            "ldp q22, q23, [sp, #496]",
            "ldp q24, q25, [sp, #528]",
            "ldp q26, q27, [sp, #560]",
            "ldp q28, q29, [sp, #592]",
            "ldp q30, q31, [sp, #624]",
            "add sp, sp, #656",
            "ldp x29, x30, [sp], #16",
            "ret",
            ask = sym $ask,
            raise = sym raise,
        )
    };
}

#[unsafe(naked)]
unsafe extern "C" fn ask_reached() {
    keeping_registers!(reached)
}

#[unsafe(naked)]
unsafe extern "C" fn ask_exhausted() {
    keeping_registers!(exhausted)
}

/// Lets code go on, with all its registers.
#[unsafe(naked)]
unsafe extern "C" fn go_on() {
    std::arch::naked_asm!("ret")
}

/// A builtin for code that is to look whether it may go on, if it can ever
/// be told not to.
const fn look(asking: unsafe extern "C" fn()) -> unsafe extern "C" fn() {
    if parts::INTERRUPTION.is_on() { asking } else { go_on }
}

/// The builtin for code that found its flag set. Called by compiled code.
#[expect(non_upper_case_globals, reason = "the table of builtins has functions' names")]
pub(super) const interrupted: unsafe extern "C" fn() = look(ask_reached);

/// The builtin for code that found that its fuel is used up. Called by
/// compiled code.
#[expect(non_upper_case_globals, reason = "as above")]
pub(super) const out_of_fuel: unsafe extern "C" fn() = look(ask_exhausted);
