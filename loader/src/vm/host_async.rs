//! Host functions that can wait: as such a function is an ordinary one to
//! compiled code, it is made of one, which waits for the future on the stack
//! that it is called on.

#[cfg(feature = "call-hook")]
use super::fiber::SuspendError;
use super::fiber::block_on;
use super::host::{Definition, HostFuncDef, IntoFunc, WasmRet};
use super::state::StoreState;
use super::typed::{WasmParams, WasmTy};
use crate::caller::Caller;
use crate::error::Error;
#[cfg(feature = "call-hook")]
use crate::hook::{CallHook, CallHookHandler};
#[cfg(feature = "call-hook")]
use crate::store::{StoreContextMut, StoreInner};
use crate::types::FuncType;
use crate::values::Val;
use std::pin::Pin;
use std::ptr::NonNull;

/// The module and name that a linker has for a function.
pub(crate) type Names = Option<(Box<str>, Box<str>)>;

/// The state of the caller's store, for use while the caller is lent on.
fn state_of<T: 'static>(caller: &mut Caller<'_, T>) -> NonNull<StoreState> {
    NonNull::from(&*caller.opaque().state)
}

/// Calls the host's closure. What follows in the function that calls this can be
/// on another thread: in one with it, the compiler could take the address of a
/// thread-local value that the closure uses for what is dropped there.
#[inline(never)]
fn begin<'a, O>(
    call: impl FnOnce() -> Box<dyn Future<Output = O> + Send + 'a>,
) -> Pin<Box<dyn Future<Output = O> + Send + 'a>> {
    Box::into_pin(call())
}

/// Parameters of an async host function: a tuple of up to 16 [`WasmTy`].
#[diagnostic::on_unimplemented(message = "`{Self}` is not a tuple of WebAssembly parameters")]
pub trait WasmTyList: WasmParams {
    /// Makes the definition; `intern` gives a type's id.
    #[doc(hidden)]
    fn define<T, F, R>(func: F, names: Names, intern: &mut dyn FnMut(&FuncType) -> u64) -> Definition
    where
        T: Send + 'static,
        F: for<'a> Fn(Caller<'a, T>, Self) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
        R: WasmRet;
}

macro_rules! lists {
    ($($a:ident)*) => {
        #[allow(non_snake_case, reason = "a parameter is named like its type")]
        impl<$($a: WasmTy,)*> WasmTyList for ($($a,)*) {
            fn define<T, Func, R>(func: Func, names: Names, intern: &mut dyn FnMut(&FuncType) -> u64) -> Definition
            where
                T: Send + 'static,
                Func: for<'a> Fn(Caller<'a, T>, Self) -> Box<dyn Future<Output = R> + Send + 'a>
                    + Send
                    + Sync
                    + 'static,
                R: WasmRet,
            {
                let waiting = move |mut caller: Caller<'_, T>, $($a: $a),*| -> Result<R::Results, Error> {
                    let state = state_of(&mut caller);
                    let future = begin(|| func(caller, ($($a,)*)));
                    // SAFETY: the caller's store lives as long as the call.
                    block_on(unsafe { state.as_ref() }, future, &names)?.into_results()
                };
                IntoFunc::<T, (Caller<'_, T>, $($a,)*), Result<R::Results, Error>>::into_def(waiting, intern)
            }
        }
    };
}

lists!();
lists!(A0);
lists!(A0 A1);
lists!(A0 A1 A2);
lists!(A0 A1 A2 A3);
lists!(A0 A1 A2 A3 A4);
lists!(A0 A1 A2 A3 A4 A5);
lists!(A0 A1 A2 A3 A4 A5 A6);
lists!(A0 A1 A2 A3 A4 A5 A6 A7);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
lists!(A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);

#[cfg(feature = "call-hook")]
impl<T: 'static> StoreInner<T> {
    /// Runs the store's hook, and waits for it.
    ///
    /// # Errors
    /// [`SuspendError`](super::fiber::SuspendError), or the hook's.
    pub(crate) fn wait_for_hook(&mut self, hook: &dyn CallHookHandler<T>, when: CallHook) -> Result<(), Error> {
        let state = NonNull::from(&*self.opaque.state);
        // SAFETY: the store is borrowed, and its state is only ever shared.
        let state = unsafe { state.as_ref() };
        // The host's own calls may be made by a host function, which cannot wait.
        let calls = matches!(when, CallHook::CallingWasm | CallHook::ReturningFromWasm);
        let _outside = calls.then(|| state.wait_outside_calls());
        state.wait_for(hook.handle_call_event(StoreContextMut(self), when), SuspendError::CallHook)
    }
}

impl HostFuncDef {
    /// An async function that takes any values.
    pub(crate) fn untyped_async<T, F>(ty: FuncType, type_id: u64, func: F, names: Names) -> HostFuncDef
    where
        T: Send + 'static,
        F: for<'a> Fn(
                Caller<'a, T>,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<(), Error>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        HostFuncDef::untyped::<T>(ty, type_id, move |mut caller, params, results| {
            let state = state_of(&mut caller);
            let future = begin(|| func(caller, params, results));
            // SAFETY: the caller's store lives as long as the call.
            block_on(unsafe { state.as_ref() }, future, &names)?
        })
    }
}
