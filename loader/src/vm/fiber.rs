//! Calls that can be suspended: each on a stack of its own, which is left when
//! a host function has to wait, and entered again when the call is polled.
//!
//! ```text
//! the poller's stack         | ... poll ──┐                ┌──▶ poll ... |
//! the call's own stack                    └▶ enter ... block_on
//!                                            wasm, its stubs and this module only
//! ```
//!
//! Between two polls a call may change threads. So no frame may be left on such
//! a stack that does not expect this, and frames of the host's in general do
//! not: a lock may be held there, a thread-local value borrowed. Therefore only
//! the outermost call on the stack can be suspended; in calls that host
//! functions make in turn, waiting is an error ([`Suspendable`]). What is polled
//! there has no frame while it waits, and is `Send`.
//!
//! All that a thread and the store have noted of the call changes with the
//! stack ([`activation`](super::activation)): a call that is never polled again
//! leaves its store as if it had never been.

use super::activation::{Inner, Outer};
use super::stacks::{FiberStack, Stacks};
use super::state::StoreState;
use crate::error::{Error, Result};
use crate::store::StoreInner;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::Cell;
use std::fmt;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};
use wasmc_artifacts::abi::STACK_SLACK;

/// Why an async host function could not wait for what it began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuspendError {
    /// The function was reached by a call that cannot be suspended: one that
    /// was not made with `call_async` or `instantiate_async`, or that was made
    /// by another host function. With the names that a linker has for it.
    NotAsync {
        /// The module and name that it was defined as, if it was defined so.
        function: Option<(Box<str>, Box<str>)>,
    },
    /// Code was to yield to other tasks, at its deadline or for its fuel, in a
    /// call that cannot be suspended.
    CannotYield,
    /// The store's limiter is one that has to be waited for
    /// ([`Store::limiter_async`](crate::Store::limiter_async)), and was to be
    /// asked by a call that cannot be suspended.
    Limiter,
    /// The store's call hook is one that has to be waited for
    /// (`Store::call_hook_async`), in a call that cannot be suspended.
    CallHook,
    /// The future of the call was dropped before it was done. Nobody gets to
    /// see this: it ends the wasm code of the call.
    Cancelled,
}

impl fmt::Display for SuspendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = match self {
            SuspendError::NotAsync { function } => function,
            SuspendError::CannotYield => {
                return f.write_str(
                    "code is to yield to other tasks in a call that cannot be suspended: use `call_async` or `instantiate_async`, in async host functions too",
                );
            }
            SuspendError::Limiter => {
                return f.write_str(
                    "the store's limiter is async, and was to be asked where nothing can wait for it: use `call_async`, `instantiate_async`, `new_async` or `grow_async`, in async host functions too",
                );
            }
            SuspendError::CallHook => {
                return f.write_str(
                    "the store's call hook is async, and was to run where nothing can wait for it: use `call_async` or `instantiate_async`, in async host functions too",
                );
            }
            SuspendError::Cancelled => {
                return f.write_str("the future of an async call was dropped before the call was done");
            }
        };
        f.write_str("an async host function ")?;
        if let Some((module, name)) = function {
            write!(f, "(`{name}` of `{module}`) ")?;
        }
        f.write_str(
            "was called where nothing can wait for it: use `call_async` or `instantiate_async` for wasm code that reaches one, in async host functions too",
        )
    }
}

impl std::error::Error for SuspendError {}

/// What a call and those who poll it share.
pub(super) struct Control {
    /// The task of the poll in progress.
    task: Cell<*mut Context<'static>>,
    /// How to leave the stack.
    yielder: Cell<*const Yielder<(), ()>>,
    /// Whether a call is active, so that another one would be inside of it.
    called: Cell<bool>,
    cancelled: Cell<bool>,
}

impl Control {
    const fn new() -> Control {
        Control {
            task: Cell::new(ptr::null_mut()),
            yielder: Cell::new(ptr::null()),
            called: Cell::new(false),
            cancelled: Cell::new(false),
        }
    }

    /// Waits for the next poll, which is perhaps on another thread.
    #[inline(never)]
    fn suspend(&self) -> Result<(), SuspendError> {
        if !self.cancelled.get() {
            // SAFETY: set when the stack was entered, on which this runs.
            unsafe { (*self.yielder.get()).suspend(()) };
        }
        if self.cancelled.get() { Err(SuspendError::Cancelled) } else { Ok(()) }
    }
}

/// Whether what a call does can be suspended. Of the calls on a stack, it is
/// only the outermost one.
pub(super) struct Suspendable {
    fiber: *const Control,
    outermost: bool,
}

impl Suspendable {
    /// Begins a call.
    pub(super) fn begin(state: &StoreState) -> Suspendable {
        let fiber = state.fiber.get();
        // SAFETY: it is set only while its stack is the one that this runs on.
        let outermost = unsafe { fiber.as_ref() }.is_some_and(|fiber| !fiber.called.replace(true));
        if !outermost {
            state.fiber.set(ptr::null());
        }
        Suspendable { fiber, outermost }
    }

    /// Ends it.
    pub(super) fn end(self, state: &StoreState) {
        if self.outermost {
            // SAFETY: as above.
            unsafe { (*self.fiber).called.set(false) };
        }
        state.fiber.set(self.fiber);
    }
}

/// Waits for a future on behalf of an async host function of this store; its
/// `function` is told if that is not possible.
///
/// # Errors
/// [`SuspendError`].
#[inline(never)]
pub(super) fn block_on<O>(
    state: &StoreState,
    mut future: Pin<Box<dyn Future<Output = O> + Send + '_>>,
    function: &Option<(Box<str>, Box<str>)>,
) -> Result<O> {
    // SAFETY: it is set only while its stack is the one that this runs on.
    let Some(fiber) = (unsafe { state.fiber.get().as_ref() }) else {
        return Err(Error::new(SuspendError::NotAsync { function: function.clone() }));
    };
    loop {
        // SAFETY: set by the poll in progress.
        if let Poll::Ready(output) = poll_once(future.as_mut(), unsafe { &mut *fiber.task.get() }) {
            drop_here(future);
            return Ok(output);
        }
        if let Err(error) = fiber.suspend() {
            drop_here(future);
            return Err(error.into());
        }
    }
}

/// As [`poll_once`], for the end of a future. If the future panics, it is
/// dropped on the thread that it was polled on.
#[inline(never)]
fn drop_here<O>(future: Pin<Box<dyn Future<Output = O> + Send + '_>>) {
    drop(future);
}

/// Which call could be suspended, and can again when this is dropped.
pub(crate) struct Outside {
    state: NonNull<StoreState>,
    fiber: *const Control,
}

impl Drop for Outside {
    fn drop(&mut self) {
        // SAFETY: this is on the stack of somebody who has borrowed the store.
        unsafe { self.state.as_ref() }.fiber.set(self.fiber);
    }
}

impl StoreState {
    /// Begins something of the host's that can wait only if no call is active
    /// on the stack that this runs on: then it is an async method that has got
    /// here, without frames of the host's in between.
    pub(crate) fn wait_outside_calls(&self) -> Outside {
        let fiber = self.fiber.get();
        // SAFETY: it is set only while its stack is the one that this runs on.
        if unsafe { fiber.as_ref() }.is_some_and(|fiber| fiber.called.get()) {
            self.fiber.set(ptr::null());
        }
        Outside { state: NonNull::from(self), fiber }
    }

    /// Begins something of the host's during which nothing else can wait.
    pub(crate) fn wait_alone(&self) -> Outside {
        Outside { state: NonNull::from(self), fiber: self.fiber.replace(ptr::null()) }
    }

    /// Waits for the answer of the store's limiter.
    ///
    /// # Errors
    /// [`SuspendError`], or the limiter's.
    pub(crate) fn ask_limiter<O>(&self, answer: Pin<Box<dyn Future<Output = Result<O>> + Send + '_>>) -> Result<O> {
        self.wait_for(answer, SuspendError::Limiter)
    }

    /// Waits for something of the host's that is not a host function; it fails
    /// with `refusal` where that is not possible.
    #[inline(never)]
    pub(super) fn wait_for<O>(
        &self,
        mut future: Pin<Box<dyn Future<Output = Result<O>> + Send + '_>>,
        refusal: SuspendError,
    ) -> Result<O> {
        // SAFETY: it is set only while its stack is the one that this runs on.
        let Some(fiber) = (unsafe { self.fiber.get().as_ref() }) else { return Err(Error::new(refusal)) };
        loop {
            let polled = {
                // What the future calls has its frames below.
                let _alone = self.wait_alone();
                // SAFETY: set by the poll in progress.
                poll_once(future.as_mut(), unsafe { &mut *fiber.task.get() })
            };
            if let Poll::Ready(output) = polled {
                drop_here(future);
                return output;
            }
            if let Err(error) = fiber.suspend() {
                drop_here(future);
                return Err(error.into());
            }
        }
    }
}

impl StoreState {
    /// Lets other tasks run before the code that has called a builtin goes on.
    ///
    /// # Errors
    /// [`SuspendError`].
    pub(super) fn yield_now(&self) -> Result<()> {
        // SAFETY: it is set only while its stack is the one that this runs on.
        let Some(fiber) = (unsafe { self.fiber.get().as_ref() }) else {
            return Err(Error::new(SuspendError::CannotYield));
        };
        // SAFETY: set by the poll in progress.
        unsafe { (*fiber.task.get()).waker().wake_by_ref() };
        Ok(fiber.suspend()?)
    }
}

/// A call of its own for each poll: the compiler must not take addresses of
/// thread-local values from one to the next, which may be on another thread.
#[inline(never)]
fn poll_once<O>(future: Pin<&mut (dyn Future<Output = O> + Send + '_)>, task: &mut Context<'_>) -> Poll<O> {
    future.poll(task)
}

/// A call on a stack of its own that is not done.
struct Fiber {
    coroutine: Coroutine<(), (), (), FiberStack>,
    stack: (usize, usize),
    /// How far code may use it.
    limit: usize,
    /// What was noted of it when it was suspended.
    inner: Option<Inner>,
}

impl Fiber {
    /// Goes on with it, until it is done or waits; whether it is done.
    fn resume(&mut self, state: &StoreState, control: &Control, task: &mut Context<'_>) -> bool {
        control.task.set(ptr::from_mut(task).cast());
        let outer = Outer::leave(state, self.inner.take(), control, (self.stack, self.limit));
        let result = self.coroutine.resume(());
        let inner = outer.come_back(state);
        self.inner = Some(inner);
        matches!(result, CoroutineResult::Return(()))
    }
}

/// A function that uses a store, on a stack of its own, as a future.
pub(crate) struct OnFiber<'a, T: 'static, F, R> {
    /// For the function alone, which has it exclusively between two polls too.
    store: NonNull<StoreInner<T>>,
    /// Of the store, and of its engine: what polls use, and all others share.
    state: NonNull<StoreState>,
    stacks: NonNull<Stacks>,
    body: Option<F>,
    fiber: Option<Fiber>,
    result: Option<std::thread::Result<R>>,
    control: Control,
    lent: PhantomData<&'a mut StoreInner<T>>,
    /// What runs on the stack knows where this is.
    _pinned: PhantomPinned,
}

// SAFETY: on the stack of a suspended call are frames of wasm, and of this
// crate, which expect to go on on another thread, with what the function has
// and makes, the store, and the future that it waits for, which are Send.
unsafe impl<T: Send + 'static, F: Send, R: Send> Send for OnFiber<'_, T, F, R> {}

impl<'a, T, F, R> OnFiber<'a, T, F, R>
where
    T: Send + 'static,
    F: FnOnce(&mut StoreInner<T>) -> R + Send + 'a,
    R: Send,
{
    /// Runs `body` when it is polled.
    pub(crate) fn new(store: &'a mut StoreInner<T>, body: F) -> Self {
        OnFiber {
            state: NonNull::from(&*store.opaque.state),
            stacks: NonNull::from(store.opaque.engine.stacks()),
            store: NonNull::from(store),
            body: Some(body),
            fiber: None,
            result: None,
            control: Control::new(),
            lent: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    /// Gets a stack, and prepares `body` to run on it.
    ///
    /// # Safety
    /// `this` stays where it is until the call is done; `body` is there.
    unsafe fn begin(this: *mut Self, stacks: &Stacks, state: &StoreState) -> Result<Fiber> {
        let stack = stacks.take()?;
        let (low, high) = stack.bounds();
        let limit = high.saturating_sub(Outer::budget(state)).max(low + STACK_SLACK as usize);
        let run = move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: this is run by `poll`, which waits for it and uses nothing
            // of this value but the control block meanwhile; the store is
            // lent to it exclusively.
            unsafe {
                (*this).control.yielder.set(yielder);
                if let Some(body) = (*this).body.take() {
                    let outcome = catch_unwind(AssertUnwindSafe(|| body((*this).store.as_mut())));
                    (*this).result = Some(outcome);
                }
            }
        };
        // SAFETY: all that `run` uses is there until the call is done, or it is
        // never resumed.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, run) };
        Ok(Fiber { coroutine, stack: (low, high), limit, inner: None })
    }
}

impl<'a, T, F, R> Future for OnFiber<'a, T, F, R>
where
    T: Send + 'static,
    F: FnOnce(&mut StoreInner<T>) -> R + Send + 'a,
    R: Send,
{
    type Output = Result<R>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<R>> {
        // SAFETY: nothing is moved out of what is pinned.
        let this: *mut Self = unsafe { self.get_unchecked_mut() };
        // SAFETY: the value is pinned, and exclusively borrowed by this call and
        // the one that it goes on with; state and engine live as long as the
        // store, and are only shared.
        unsafe {
            let (state, stacks) = ((*this).state.as_ref(), (*this).stacks.as_ref());
            if (*this).fiber.is_none() {
                assert!((*this).body.is_some(), "a call that is done was polled");
                (*this).fiber = Some(Self::begin(this, stacks, state)?);
            }
            let fiber = &mut (*this).fiber;
            if !fiber.as_mut().is_some_and(|fiber| fiber.resume(state, &(*this).control, task)) {
                return Poll::Pending;
            }
            if let Some(fiber) = fiber.take() {
                stacks.put(fiber.coroutine.into_stack());
            }
            match (*this).result.take() {
                Some(Ok(result)) => Poll::Ready(Ok(result)),
                Some(Err(panic)) => resume_unwind(panic),
                None => Poll::Ready(Err(Error::new(SuspendError::Cancelled))),
            }
        }
    }
}

impl<T: 'static, F, R> Drop for OnFiber<'_, T, F, R> {
    /// Ends a call that is suspended: what it waits for is dropped, and its wasm
    /// code is left as by a trap.
    fn drop(&mut self) {
        let Some(mut fiber) = self.fiber.take() else { return };
        // SAFETY: the store is still lent.
        let (state, stacks) = unsafe { (self.state.as_ref(), self.stacks.as_ref()) };
        self.control.cancelled.set(true);
        // Nothing can be suspended any more, so that this is once.
        while !fiber.resume(state, &self.control, &mut Context::from_waker(Waker::noop())) {}
        stacks.put(fiber.coroutine.into_stack());
        if let Some(Err(panic)) = self.result.take()
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
