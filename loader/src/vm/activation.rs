//! Entering wasm code: who is running on this thread, and how much stack it
//! may use.
//!
//! The usual call comes from outside any wasm code, on the thread and at about
//! the stack depth of the call before. For it, entering means to compare two
//! numbers and to set one pointer.

#[cfg(feature = "async")]
use super::fiber::Suspendable;
use super::state::{Limit, StoreState, Suspended};
use crate::sys;
use std::cell::Cell;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmc_artifacts::abi::STACK_SLACK;

/// How far the stack pointer of an entry may be from the one that the limit
/// was computed for. A new limit has to be written into every instance, so
/// that small differences between callers should not cost one; on the other
/// hand wasm may have so much more or less stack than configured.
const HYSTERESIS: usize = 16 << 10;

struct Thread {
    /// The store whose code runs on this thread, or null.
    current: Cell<*const StoreState>,
    /// The thread's number, 0 before it first enters wasm.
    number: Cell<u64>,
    /// Where the stack is that it runs on; empty if that is not known.
    stack: Cell<(usize, usize)>,
    /// Whether that is one of ours rather than the thread's own.
    #[cfg(feature = "async")]
    switched: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            current: Cell::new(ptr::null()),
            number: Cell::new(0),
            stack: Cell::new((0, 0)),
            #[cfg(feature = "async")]
            switched: Cell::new(false),
        }
    };
}

/// What is noted about this thread.
///
/// Entering wasm code within a closure for [`LocalKey::with`] would leave it
/// to the optimiser whether to pass the arguments of the call through memory
/// and the address of the thread through a function pointer; this is one
/// instruction.
///
/// [`LocalKey::with`]: std::thread::LocalKey::with
#[inline(always)]
fn thread() -> &'static Thread {
    let at = THREAD.with(ptr::from_ref);
    // SAFETY: nothing is dropped at the end of a thread, so that the value is
    // there as long as the thread is; and the reference does not leave the
    // thread, since cells cannot be shared.
    unsafe { &*at }
}

/// The store whose code runs on this thread.
#[inline]
pub(super) fn current() -> Option<NonNull<StoreState>> {
    NonNull::new(thread().current.get().cast_mut())
}

/// Does something with the store whose code runs on this thread, if there is
/// one. Whatever fails meanwhile is none of that code's faults.
pub(super) fn hidden<R>(body: impl FnOnce(&StoreState) -> Option<R>) -> Option<R> {
    let current = &thread().current;
    let state = current.replace(ptr::null());
    // SAFETY: the pointer is set only while the store is borrowed by the call
    // that entered it, on this thread.
    let result = unsafe { state.as_ref() }.and_then(body);
    current.set(state);
    result
}

#[inline(always)]
fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    sp
}

/// Runs `call`, which enters code of this store, as an activation of it.
/// `host` is the store itself, exclusively borrowed.
#[inline(always)]
pub(super) fn enter<R>(state: &StoreState, host: *mut u8, call: impl FnOnce() -> R) -> R {
    let thread = thread();
    let sp = stack_pointer();
    let previous = thread.current.get();
    // Between activations there is no entry stub to go back to. If there is
    // one, this is called by a host function, perhaps on another thread than
    // the activation is on.
    if previous.addr() as u64 | state.context.entry_fp.get() != 0 {
        let (mut call, mut result) = (Some(call), None);
        nested(thread, state, host, previous, sp, &mut || result = call.take().map(|call| call()));
        return result.unwrap_or_else(|| unreachable!("`nested` has called the closure"));
    }
    if !state.limit.is_for(thread, sp) {
        state.renew_limit(thread, sp);
    }
    thread.current.set(state);
    state.context.host.set(host);
    let result = call();
    state.context.entry_fp.set(0);
    thread.current.set(ptr::null());
    result
}

#[cold]
#[inline(never)]
fn nested(
    thread: &Thread,
    state: &StoreState,
    host: *mut u8,
    previous: *const StoreState,
    sp: usize,
    call: &mut dyn FnMut(),
) {
    let (context, limit) = (&state.context, &state.limit);
    let outer = (limit.thread.get(), limit.sp.get(), limit.value.get());
    let saved = Suspended::of(state);
    let is_active = saved.entry_fp != 0;
    // A nested activation shares the stack that the outer one was given, unless
    // the host has gone over to another stack in between.
    let switched = is_active && limit.is_for_other_stack(thread, saved.entry_sp as usize, sp);
    if (switched || previous != ptr::from_ref(state)) && !limit.is_for(thread, sp) {
        state.renew_limit(thread, sp);
    }
    #[cfg(feature = "async")]
    let suspendable = Suspendable::begin(state);
    thread.current.set(state);
    context.host.set(host);
    // Until the entry stub has noted its own, there is none to go back to.
    context.entry_fp.set(0);
    state.entered.set(true);
    // Otherwise the values are left over from a call that is finished: they
    // are restored all the same, but not walked.
    if is_active {
        state.suspended.set(&raw const saved);
    }
    call();
    saved.restore(state);
    #[cfg(feature = "async")]
    suspendable.end(state);
    let ours = set_current(previous);
    // With a limit that was for one of ours, nobody goes on.
    if ours && previous != ptr::from_ref(state) {
        limit.sp.set(NOWHERE);
    }
    if is_active && (limit.thread.get(), limit.value.get()) != (outer.0, outer.2) {
        // The outer activation goes on, on its own stack.
        state.set_limit(outer.0, outer.1, outer.2);
    }
}

/// Forgets the values of frames that were skipped, after an activation of this
/// store failed and is over. A nested one has set the number back already; an
/// outermost one that does not fail leaves it at 0, as it was.
pub(super) fn settle(state: &StoreState) {
    if !is_active(state) {
        state.context.stack_values.set(0);
    }
}

/// Runs `call`, which calls a host function of this store without wasm code
/// in between.
pub(super) fn direct<R>(state: &StoreState, host: *mut u8, call: impl FnOnce() -> R) -> R {
    let context = &state.context;
    let (outer_host, outer_fp) = (context.host.replace(host), context.exit_fp.get());
    // Frames of an activation are below this call; without one there are none.
    if !is_active(state) {
        context.exit_fp.set(0);
    }
    // The host function can enter code, of which the host that is restored
    // below tells nothing.
    state.entered.set(true);
    #[cfg(feature = "async")]
    let suspendable = Suspendable::begin(state);
    let result = call();
    #[cfg(feature = "async")]
    suspendable.end(state);
    context.host.set(outer_host);
    context.exit_fp.set(outer_fp);
    result
}

impl Suspended {
    /// The innermost activation of a store.
    fn of(state: &StoreState) -> Suspended {
        let context = &state.context;
        Suspended {
            entry_fp: context.entry_fp.get(),
            entry_sp: context.entry_sp.get(),
            entry_pc: context.entry_pc.get(),
            exit_fp: context.exit_fp.get(),
            exit_pc: context.exit_pc.get(),
            host: context.host.get(),
            stack_values: context.stack_values.get(),
            older: state.suspended.get(),
        }
    }

    /// Makes it the innermost one again.
    fn restore(&self, state: &StoreState) {
        let context = &state.context;
        context.entry_fp.set(self.entry_fp);
        context.entry_sp.set(self.entry_sp);
        context.entry_pc.set(self.entry_pc);
        context.exit_fp.set(self.exit_fp);
        context.exit_pc.set(self.exit_pc);
        context.host.set(self.host);
        context.stack_values.set(self.stack_values);
        state.suspended.set(self.older);
    }
}

/// Notes whose code runs on this thread, which need not be the thread that the
/// caller was on when it was entered: in between, it may have been suspended.
/// So the compiler must not compute the thread's address for both. Whether the
/// thread is on a stack of ours.
#[inline(never)]
fn set_current(state: *const StoreState) -> bool {
    let thread = thread();
    thread.current.set(state);
    #[cfg(feature = "async")]
    return thread.switched.get();
    #[cfg(not(feature = "async"))]
    false
}

/// The number of this thread, which no other one has.
#[inline]
pub(super) fn thread_number() -> u64 {
    let thread = thread();
    if thread.number.get() == 0 {
        thread.describe();
    }
    thread.number.get()
}

/// Makes this thread another one, for all that was noted of it so far.
pub(super) fn renumber() {
    thread().number.set(0);
}

/// Whether code of this store is on the stack of any thread, below the host
/// function that runs.
pub(super) fn is_active(state: &StoreState) -> bool {
    state.context.entry_fp.get() != 0
}

impl Thread {
    #[cold]
    fn describe(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        let Range { start, end } = sys::stack_bounds().unwrap_or_default();
        self.stack.set((start, end));
    }
}

impl Limit {
    /// Whether an activation at `sp` is on another stack than the one above it,
    /// which was entered at `outer`, and which the limit is for. Of two stacks that
    /// are not known, nothing is but that they grow down: then the higher one counts
    /// as the other's, and what is left of that limits both.
    fn is_for_other_stack(&self, thread: &Thread, outer: usize, sp: usize) -> bool {
        let (low, high) = thread.stack.get();
        let is_known = |at| (low..high).contains(&at);
        match (is_known(outer), is_known(sp)) {
            (true, known) => !known,
            (false, false) => sp > outer,
            // Who has gone over to one of ours has set its limit.
            (false, true) => self.sp.get() != NOWHERE,
        }
    }
}

/// A stack pointer that no limit can be for.
const NOWHERE: usize = usize::MAX / 2;

/// What a store was doing when one of its calls was begun, or gone on with, on
/// a stack of its own.
#[cfg(feature = "async")]
pub(super) struct Outer {
    activation: Suspended,
    fiber: *const super::fiber::Control,
    limit: (u64, usize, usize),
    current: *const StoreState,
    stack: (usize, usize),
    switched: bool,
}

/// What there is of a suspended call in its store.
#[cfg(feature = "async")]
pub(super) struct Inner(Suspended);

#[cfg(feature = "async")]
impl Outer {
    /// How many bytes of stack a new call may use: what a call that waits for
    /// it has left, or else what is configured.
    pub(super) fn budget(state: &StoreState) -> usize {
        let shared = is_active(state) && state.limit.thread.get() == thread_number();
        let left = if shared { stack_pointer().saturating_sub(state.limit.value.get()) } else { usize::MAX };
        left.min(state.max_wasm_stack)
    }

    /// Goes over to a stack between the two addresses, which code of the store
    /// may use down to `limit`: to a call that was suspended, or to a new one.
    ///
    /// From here on the store is noted as the one whose code runs, even if
    /// none does: so whatever is called on that stack is nested, and the thread
    /// that such a call ends on may be another one.
    #[inline(never)]
    pub(super) fn leave(
        state: &StoreState,
        inner: Option<Inner>,
        fiber: *const super::fiber::Control,
        (stack, limit): ((usize, usize), usize),
    ) -> Outer {
        let (number, thread) = (thread_number(), thread());
        let known = &state.limit;
        let outer = Outer {
            activation: Suspended::of(state),
            fiber: state.fiber.get(),
            limit: (known.thread.get(), known.sp.get(), known.value.get()),
            current: thread.current.get(),
            stack: thread.stack.get(),
            switched: thread.switched.get(),
        };
        if let Some(Inner(suspended)) = inner {
            suspended.restore(state);
        }
        state.fiber.set(fiber);
        if ![0, number].contains(&known.thread.get()) {
            state.moved.set(true);
        }
        state.change_limit((number, NOWHERE, limit));
        thread.current.set(state);
        thread.stack.set(stack);
        thread.switched.set(true);
        outer
    }

    /// Comes back from that stack, on the same thread; what there is of the
    /// call if it is suspended.
    #[inline(never)]
    pub(super) fn come_back(self, state: &StoreState) -> Inner {
        let inner = Inner(Suspended::of(state));
        let (thread, known) = (thread(), &state.limit);
        self.activation.restore(state);
        state.fiber.set(self.fiber);
        // A limit that nobody needs now stays until the next call. Somebody needs
        // it on whose stack code runs, or is about to, as where a hook awaits
        // calls of its own: that one takes it for settled (`nested`).
        if is_active(state) || self.current == ptr::from_ref(state) {
            state.change_limit(self.limit);
        } else {
            known.sp.set(NOWHERE);
        }
        thread.current.set(self.current);
        thread.stack.set(self.stack);
        thread.switched.set(self.switched);
        inner
    }
}

impl Limit {
    /// Whether the limit is right for an activation at `sp` on this thread.
    #[inline(always)]
    fn is_for(&self, thread: &Thread, sp: usize) -> bool {
        let near = sp.wrapping_sub(self.sp.get()).wrapping_add(HYSTERESIS) <= 2 * HYSTERESIS;
        near && self.thread.get() == thread.number.get()
    }
}

impl StoreState {
    /// Computes how far the stack may grow below `sp` on this thread, and
    /// tells every instance.
    #[cold]
    #[inline(never)]
    fn renew_limit(&self, thread: &Thread, sp: usize) {
        if thread.number.get() == 0 {
            thread.describe();
        }
        let mut limit = sp.saturating_sub(self.max_wasm_stack);
        // A stack pointer outside the thread's own stack belongs to a fiber,
        // whose bounds only its owner knows.
        let (low, high) = thread.stack.get();
        if (low..high).contains(&sp) {
            limit = limit.max(low.saturating_add(STACK_SLACK as usize));
        }
        if ![0, thread.number.get()].contains(&self.limit.thread.get()) {
            self.moved.set(true);
        }
        self.set_limit(thread.number.get(), sp, limit);
    }

    /// The same for instances that may have this limit already.
    #[cfg(feature = "async")]
    fn change_limit(&self, (thread, sp, limit): (u64, usize, usize)) {
        if self.limit.value.get() == limit {
            self.limit.thread.set(thread);
            self.limit.sp.set(sp);
        } else {
            self.set_limit(thread, sp, limit);
        }
    }

    /// Sets the limit for a thread's stack pointer.
    fn set_limit(&self, thread: u64, sp: usize, limit: usize) {
        self.limit.thread.set(thread);
        self.limit.sp.set(sp);
        self.limit.value.set(limit);
        for index in 0..self.instance_count() {
            if let Some(instance) = self.instance(index) {
                instance.header().stack_limit.set(limit as u64);
            }
        }
    }
}
