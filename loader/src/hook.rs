//! Hooks: what the host does whenever wasm code is entered or left.

use crate::error::Result;
use crate::store::{Store, StoreContextMut, StoreInner};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A hook that is done when it returns.
type Function<T> = Box<dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync>;

/// What a hook is: see [`Store::call_hook`].
pub(crate) enum Hook<T: 'static> {
    /// One that is done when it returns.
    Now(Function<T>),
    /// One that is waited for.
    #[cfg(feature = "async")]
    Later(Box<dyn CallHookHandler<T> + Sync>),
}

/// A call hook that can be awaited; given to a store by
/// [`Store::call_hook_async`]. The trait is made with the macro of the crate
/// `async-trait`, and so is what implements it.
///
/// ```
/// use wasmc_loader::{CallHook, CallHookHandler, Engine, Result, Store, StoreContextMut};
///
/// # async fn note_down(_: String) {}
/// struct Journal;
///
/// #[async_trait::async_trait]
/// impl CallHookHandler<String> for Journal {
///     async fn handle_call_event(&self, store: StoreContextMut<'_, String>, when: CallHook) -> Result<()> {
///         note_down(format!("{}: {when:?}", store.data())).await;
///         Ok(())
///     }
/// }
///
/// let mut store = Store::new(&Engine::default(), "guest".to_owned());
/// store.call_hook_async(Journal);
/// ```
#[cfg(feature = "async")]
#[async_trait::async_trait]
pub trait CallHookHandler<T: 'static>: Send {
    /// Called when code is entered or left; see [`Store::call_hook`].
    ///
    /// # Errors
    /// As for a hook there: the call fails.
    async fn handle_call_event(&self, store: StoreContextMut<'_, T>, when: CallHook) -> Result<()>;
}

/// When a hook is called; see [`Store::call_hook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallHook {
    /// The host is about to call a function.
    CallingWasm,
    /// A function that the host called has returned, or failed.
    ReturningFromWasm,
    /// Wasm code has called a function of the host, which is about to run.
    CallingHost,
    /// A function of the host is about to return to wasm code, or to fail.
    ReturningFromHost,
}

impl CallHook {
    /// Whether the host's code runs from here on.
    pub fn entering_host(&self) -> bool {
        matches!(self, CallHook::ReturningFromWasm | CallHook::CallingHost)
    }

    /// Whether the host's code has run up to here.
    pub fn exiting_host(&self) -> bool {
        matches!(self, CallHook::ReturningFromHost | CallHook::CallingWasm)
    }
}

impl<T: 'static> Store<T> {
    /// Has `hook` called whenever code of this store is entered or left, in
    /// place of the hook that was there before. Calls of start functions count,
    /// and so do calls of host functions by the host, for which there are all
    /// four; suspending an async call does not. Calls that a hook makes are not
    /// hooked.
    ///
    /// If the hook fails, so does the call: before it, the function is not run;
    /// after it, the error takes the place of its results or of its error. A
    /// function that panics is not left through the hook.
    pub fn call_hook(
        &mut self,
        hook: impl FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static,
    ) {
        self.inner.hook = Some(Hook::Now(Box::new(hook)));
    }

    /// As [`call_hook`](Self::call_hook), for a hook that can be awaited.
    ///
    /// From now on functions have to be called with `call_async` and modules
    /// instantiated with `instantiate_async`: all other calls fail with
    /// [`SuspendError::CallHook`](crate::SuspendError::CallHook), and so do those
    /// that host functions make without awaiting them. If the future of a call is
    /// leaked while the hook is waited for, the store has none any more.
    #[cfg(feature = "async")]
    pub fn call_hook_async(&mut self, hook: impl CallHookHandler<T> + Sync + 'static)
    where
        T: Send,
    {
        self.inner.hook = Some(Hook::Later(Box::new(hook)));
    }
}

impl<T: 'static> StoreInner<T> {
    /// Makes a call from the host, with the hook around it. Nothing of it may be
    /// converted to what compiled code uses: the hook may collect garbage.
    #[cold]
    #[inline(never)]
    pub(crate) fn hooked<R>(&mut self, call: impl FnOnce(&mut StoreInner<T>) -> Result<R>) -> Result<R> {
        self.run_hook(CallHook::CallingWasm)?;
        let result = call(self);
        self.run_hook(CallHook::ReturningFromWasm)?;
        result
    }

    /// Runs the hook, if there is one.
    #[cold]
    #[inline(never)]
    pub(crate) fn run_hook(&mut self, when: CallHook) -> Result<()> {
        // While it runs there is none.
        let Some(mut hook) = self.hook.take() else { return Ok(()) };
        let ran = catch_unwind(AssertUnwindSafe(|| match &mut hook {
            Hook::Now(hook) => {
                #[cfg(feature = "async")]
                let _alone = self.opaque.state.wait_alone();
                hook(StoreContextMut(self), when)
            }
            #[cfg(feature = "async")]
            Hook::Later(hook) => self.wait_for_hook(&**hook, when),
        }));
        self.hook = Some(hook);
        ran.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
