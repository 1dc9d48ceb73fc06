//! Calls from the host: of wasm functions through their entry stubs, and of
//! host functions directly.

use super::activation;
use super::handle::Stored;
use super::host::HostFuncDef;
use super::state::{Cause, StoreState};
use super::structs::{VMFuncRef, ValRaw};
use super::typed::{WasmParams, WasmResults};
use crate::backtrace;
use crate::error::{Error, Result};
use crate::exception::ThrownException;
use crate::func::Func;
use crate::parts;
use crate::store::{AsContext, AsContextMut, StoreInner, StoreOpaque};
use crate::types::{FuncType, HeapType, RefType};
use crate::values::{Val, matches};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::transmute;
use std::panic::resume_unwind;
use std::ptr::{self, NonNull};
use wasmc_artifacts::abi::{self, ConcreteType, TypeId, TypeKind, ValType};

/// A function whose type is known to the Rust compiler; from
/// [`Func::typed`] or [`Instance::get_typed_func`](crate::Instance::get_typed_func).
///
/// Types are checked when it is made, not when it is called, and arguments and
/// results pass in registers.
///
/// ```
/// # use wasmc_loader::{Engine, Instance, Module, Result, Store, Trap};
/// # fn main() -> Result<()> {
/// # let engine = Engine::default();
/// # let artifact = wasmc::compile(br#"(module (func (export "div_rem") (param i32 i32) (result i32 i32)
/// #     (i32.div_s (local.get 0) (local.get 1)) (i32.rem_s (local.get 0) (local.get 1))))"#,
/// #     &wasmc::Options::new())?;
/// # // SAFETY: the artifact was made by `wasmc`.
/// # let module = unsafe { Module::from_bytes(&engine, &artifact)? };
/// # let mut store = Store::new(&engine, ());
/// # let instance = Instance::new(&mut store, &module, &[])?;
/// let div_rem = instance.get_typed_func::<(i32, i32), (i32, i32)>(&mut store, "div_rem")?;
/// assert_eq!(div_rem.call(&mut store, (17, 5))?, (3, 2));
///
/// let error = div_rem.call(&mut store, (1, 0)).unwrap_err();
/// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero));
///
/// assert!(instance.get_typed_func::<i64, i64>(&mut store, "div_rem").is_err());
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<Params, Results> {
    func: Func,
    /// Whether the function takes less than values of these types can be, so
    /// that each argument has to be looked at.
    narrower: bool,
    ty: PhantomData<fn(Params) -> Results>,
}

impl<Params, Results> Clone for TypedFunc<Params, Results> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Params, Results> Copy for TypedFunc<Params, Results> {}

impl<Params, Results> std::fmt::Debug for TypedFunc<Params, Results> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.func.fmt(f)
    }
}

const fn any_reference(mut types: &[ValType]) -> bool {
    while let [first, rest @ ..] = types {
        if first.is_ref() {
            return true;
        }
        types = rest;
    }
    false
}

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    /// The function, if it has this type.
    pub(crate) fn checked(store: &StoreOpaque, func: Func) -> Option<Self> {
        let id = func.0.get(store).type_id.get();
        let encoding = store.engine.types().encoding(id)?;
        let mut narrower = false;
        if !abi::FuncType::is_encoding(encoding, Params::TYPES, Results::TYPES) {
            // Other types than references have neither sub- nor supertypes.
            if const { !any_reference(Params::TYPES) && !any_reference(Results::TYPES) } {
                return None;
            }
            let ty = abi::FuncType::decode(encoding).ok()?;
            if (ty.params().len(), ty.results().len()) != (Params::TYPES.len(), Results::TYPES.len()) {
                return None;
            }
            for (expected, given) in ty.params().iter().zip(Params::TYPES) {
                if !matches(&store.engine, *given, *expected) {
                    // Arguments can only be narrower in what they refer to.
                    let (expected, given) = (expected.as_ref()?, given.as_ref()?);
                    let concrete = matches!(expected.heap, HeapType::Concrete(_));
                    let is_below = |a, b| RefType::new(true, a).matches(RefType::new(true, b), |_, _| false);
                    if !concrete || !is_below(expected.heap, given.heap) {
                        return None;
                    }
                    narrower = true;
                }
            }
            if !ty.results().iter().zip(Results::TYPES).all(|(made, wanted)| matches(&store.engine, *made, *wanted)) {
                return None;
            }
        }
        Some(TypedFunc { func, narrower, ty: PhantomData })
    }

    /// Looks whether each argument is of the type that the function expects.
    #[cold]
    #[inline(never)]
    fn check(&self, store: &StoreOpaque, params: &Params) -> Result<()> {
        let ty = self.func.ty_in(store);
        match params.misfit(store, ty.params())? {
            Some(index) => Err(Error::msg(format!(
                "argument {index} of a function of type {ty} does not refer to something of type {}",
                ty.params()[index]
            ))),
            None => Ok(()),
        }
    }

    /// The function without its type.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// If it traps, or a host function fails. If an argument is a reference of
    /// another store or one whose scope has ended, or refers to something of
    /// another type than the function takes.
    ///
    /// # Panics
    /// If the function, or one that is an argument, belongs to another store;
    /// if a host function panics.
    // A call of this would save all registers once more than the entry stub does.
    #[inline(always)]
    pub fn call(&self, mut store: impl AsContextMut, params: Params) -> Result<Results> {
        let store = store.as_context_mut().0;
        let func = self.func.0.address(&store.opaque);
        if self.narrower {
            self.check(&store.opaque, &params)?;
        }
        #[cfg(feature = "call-hook")]
        if store.hook.is_some() {
            // SAFETY: as below.
            return store.hooked(|store| unsafe { typed(store, func.as_ref(), params) });
        }
        // SAFETY: `checked` compared the type, and `address` the store.
        unsafe { typed(store, func.as_ref(), params) }
    }
}

impl Func {
    /// The function at an address that compiled code passed as a value.
    ///
    /// # Safety
    /// It is null or the address of a function value of this store.
    pub(super) unsafe fn from_address(at: *mut u8, store: &StoreOpaque) -> Option<Func> {
        // SAFETY: the caller's; function values live as long as the store.
        NonNull::new(at).map(|at| Func(unsafe { Stored::new(store.id(), at.cast()) }))
    }

    /// The function as an address, for a host that keeps it where only numbers
    /// can be; good as long as the store exists.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn to_raw(&self, store: impl AsContext) -> *mut c_void {
        self.address(&store.as_context().0.opaque).cast()
    }

    /// The function that [`to_raw`](Self::to_raw) has given; `None` for null.
    ///
    /// # Safety
    /// The address is null or comes from a function of this very store.
    pub unsafe fn from_raw(store: impl AsContext, raw: *mut c_void) -> Option<Func> {
        // SAFETY: the caller's.
        unsafe { Func::from_address(raw.cast(), &store.as_context().0.opaque) }
    }

    /// The most precise type of references to the function.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub(crate) fn heap_type(&self, store: &StoreOpaque) -> HeapType {
        let id = TypeId(self.0.get(store).type_id.get());
        HeapType::Concrete(ConcreteType { kind: TypeKind::Func, id })
    }

    /// The address that compiled code knows the function by.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub(super) fn address(self, store: &StoreOpaque) -> *mut u8 {
        self.0.address(store).as_ptr().cast()
    }

    /// Calls a start function.
    ///
    /// # Errors
    /// As for other calls; also if it has parameters or results.
    // A reset calls several, each perhaps on another thread than the one before
    // has begun on: the compiler must not compute the thread's address for all.
    #[inline(never)]
    pub(crate) fn call_start<T: 'static>(self, store: &mut StoreInner<T>) -> Result<()> {
        let func = self.0.address(&store.opaque);
        // SAFETY: the store owns it.
        let func = unsafe { func.as_ref() };
        let encoding = store.opaque.engine.types().encoding(func.type_id.get()).unwrap_or_default();
        if !abi::FuncType::is_encoding(encoding, &[], &[]) {
            return Err(Error::msg("the start function has parameters or results; the artifact is damaged"));
        }
        #[cfg(feature = "call-hook")]
        if store.hook.is_some() {
            // SAFETY: as below.
            return store.hooked(|store| unsafe { run(store, func) });
        }
        // SAFETY: the type was just looked at.
        unsafe { run(store, func) }
    }

    /// Calls the function with values of any type.
    pub(crate) fn call_in<T: 'static>(
        self,
        store: &mut StoreInner<T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        #[cfg(feature = "call-hook")]
        if store.hook.is_some() {
            return store.hooked(|store| self.call_unhooked(store, params, results));
        }
        self.call_unhooked(store, params, results)
    }

    fn call_unhooked<T: 'static>(self, store: &mut StoreInner<T>, params: &[Val], results: &mut [Val]) -> Result<()> {
        let ty = self.ty_in(&store.opaque);
        let opaque = &store.opaque;
        let mut fit = params.len() == ty.params().len();
        for (value, expected) in params.iter().zip(ty.params()) {
            fit = fit && value.matches_in(opaque, *expected)?;
        }
        if !fit {
            let given: Vec<_> = params.iter().map(|value| value.ty_in(opaque)).collect::<Result<_>>()?;
            let given = FuncType::new(given, []);
            return Err(Error::msg(format!("a function of type {ty} was called with arguments of types {given}")));
        }
        if results.len() != ty.results().len() {
            return Err(Error::msg(format!(
                "a function of type {ty} was called with room for {} results",
                results.len()
            )));
        }
        let mut values: Vec<ValRaw> = params.iter().map(|value| value.to_raw(opaque)).collect::<Result<_>>()?;
        values.resize(params.len().max(results.len()), ValRaw::default());
        // SAFETY: the values have the types that the function's type says.
        unsafe { untyped(store, self.0.address(&store.opaque).as_ref(), &mut values) }?;
        for ((result, raw), ty) in results.iter_mut().zip(values).zip(ty.results()) {
            // SAFETY: a result of this type comes from this store.
            *result = unsafe { Val::from_raw(raw, *ty, &store.opaque) };
        }
        Ok(())
    }
}

/// Calls a function whose type is that of `P` and `R`.
///
/// # Safety
/// `func` belongs to the store, and its type is that of `P` and `R`.
#[inline(always)]
unsafe fn typed<T: 'static, P: WasmParams, R: WasmResults>(
    store: &mut StoreInner<T>,
    func: &VMFuncRef,
    params: P,
) -> Result<R> {
    // From here on the store is used through `host` only, as host functions below
    // use it too: they borrow all of it exclusively, but not its state.
    let host = &raw mut *store;
    // SAFETY: just derived from the exclusive borrow.
    let (params, state) = unsafe { (params.into_abi(&(*host).opaque)?, state_of(host)) };
    let entry = func.native_entry.get();
    let out = if entry.is_null() {
        // SAFETY: the caller's.
        unsafe { without_entry::<P, R>(state, host.cast(), func, params) }?
    } else {
        let record = ptr::from_ref(func).cast_mut().cast();
        // What the closure takes with it can stay in registers.
        // SAFETY: the entry stub of a function of this type takes these
        // arguments after the function.
        activation::enter(state, host.cast(), move || unsafe { R::call::<P>(entry, record, params) })
    };
    // SAFETY: whoever has borrowed the store below has returned.
    let opaque = unsafe { &(*host).opaque };
    if state.context.pending.get() != 0 {
        return Err(failure(opaque));
    }
    // SAFETY: the results come from code of this store.
    Ok(unsafe { R::from_out(out, opaque) })
}

/// The state of a store that is borrowed exclusively, for as long as that is:
/// it lies elsewhere, and is only ever shared.
///
/// # Safety
/// `host` is such a store; the result is not used when that is over.
#[inline(always)]
unsafe fn state_of<'a, T: 'static>(host: *mut StoreInner<T>) -> &'a StoreState {
    // SAFETY: the caller's.
    unsafe { &*ptr::from_ref::<StoreState>(&(*host).opaque.state) }
}

/// A typed call of a function without a native entry: a host function, or a
/// wasm function that can only be called with an array.
///
/// # Safety
/// As for `typed`.
#[cold]
#[inline(never)]
unsafe fn without_entry<P: WasmParams, R: WasmResults>(
    state: &StoreState,
    host: *mut u8,
    func: &VMFuncRef,
    params: P::Abi,
) -> Result<R::Out> {
    let mut values = vec![ValRaw::default(); P::TYPES.len().max(R::TYPES.len())];
    P::to_raw(params, &mut values);
    // SAFETY: the array is long enough for parameters and results.
    unsafe { array(state, host, func, values.as_mut_ptr()) }?;
    Ok(R::raw_to_out(&values))
}

/// Calls a function that has neither parameters nor results.
///
/// # Safety
/// `func` belongs to the store.
pub(crate) unsafe fn run<T: 'static>(store: &mut StoreInner<T>, func: &VMFuncRef) -> Result<()> {
    // SAFETY: the caller's.
    unsafe { untyped(store, func, &mut []) }
}

/// Calls a function with an array of values, which is long enough for the
/// parameters and for the results.
///
/// # Safety
/// `func` belongs to the store, the values have the types of its parameters.
unsafe fn untyped<T: 'static>(store: &mut StoreInner<T>, func: &VMFuncRef, values: &mut [ValRaw]) -> Result<()> {
    let host = &raw mut *store;
    // SAFETY: as in `typed`.
    let state = unsafe { state_of(host) };
    // SAFETY: the caller's.
    unsafe { array(state, host.cast(), func, values.as_mut_ptr()) }?;
    // SAFETY: as in `typed`.
    if state.context.pending.get() != 0 { Err(failure(unsafe { &(*host).opaque })) } else { Ok(()) }
}

/// # Safety
/// As for `untyped`.
unsafe fn array(state: &StoreState, host: *mut u8, func: &VMFuncRef, values: *mut ValRaw) -> Result<()> {
    // SAFETY: a host function's definition lives as long as its store.
    if let Some(def) = unsafe { func.host.get().cast::<HostFuncDef>().as_ref() } {
        // SAFETY: this is the type of array host functions.
        let code: unsafe extern "C" fn(*mut u8, *mut ValRaw) = unsafe { transmute(def.array()) };
        // SAFETY: the function was made for this record and these values.
        activation::direct(state, host, || unsafe { code(func.ctx.get(), values) });
        return Ok(());
    }
    let entry = func.array_entry.get();
    if entry.is_null() {
        return Err(Error::msg(
            "the artifact has no stub to call this function from the host; only functions that are exported or used as values have one",
        ));
    }
    // SAFETY: this is the type of array entry stubs.
    let entry: unsafe extern "C" fn(*const VMFuncRef, *mut ValRaw) = unsafe { transmute(entry) };
    // SAFETY: the entry stub of this function, and values of its type.
    activation::enter(state, host, || unsafe { entry(func, values) });
    Ok(())
}

/// Takes the reason why the last call failed out of the store; goes on
/// panicking if it was a panic.
#[cold]
#[inline(never)]
fn failure(opaque: &StoreOpaque) -> Error {
    let state = &opaque.state;
    state.context.pending.set(0);
    activation::settle(state);
    let cause = match (state.cause.take(), state.trap.take()) {
        (Some(cause), _) => cause,
        (None, Some(trap)) => Cause::Trap(trap),
        (None, None) => Cause::Error(Error::msg("wasm code was left for a reason that is not known")),
    };
    let backtrace = if parts::BACKTRACES.is_on() {
        backtrace::of_frames(opaque, state.exact.get(), state.captured())
    } else {
        None
    };
    match cause {
        Cause::Trap(trap) => Error::new(trap).with_backtrace(backtrace),
        Cause::Error(error) => error.with_backtrace(backtrace),
        Cause::Exception if !parts::EXCEPTIONS.is_on() => Error::msg("an exception was thrown"),
        Cause::Exception => thrown(opaque).with_backtrace(backtrace),
        Cause::Panic(payload) => resume_unwind(payload),
    }
}

/// The error for the exception that waits in the context.
#[cold]
fn thrown(opaque: &StoreOpaque) -> Error {
    match opaque.state.pending_tag() {
        Some(tag) => Error::new(ThrownException::new(opaque, tag)),
        None => Error::msg("an exception without a tag was thrown"),
    }
}
