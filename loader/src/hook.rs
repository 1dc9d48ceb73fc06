//! Hooks: what the host does whenever wasm code is entered or left.

use crate::error::Result;
use crate::store::{Store, StoreContextMut, StoreInner};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a hook is: see [`Store::call_hook`].
pub(crate) type Hook<T> = Box<dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync>;

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
        self.inner.hook = Some(Box::new(hook));
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
        #[cfg(feature = "async")]
        let suspendable = self.opaque.state.forbid_suspending();
        let ran = catch_unwind(AssertUnwindSafe(|| hook(StoreContextMut(self), when)));
        #[cfg(feature = "async")]
        self.opaque.state.allow_suspending(suspendable);
        self.hook = Some(hook);
        ran.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
