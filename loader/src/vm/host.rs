//! Host functions: Rust closures as wasm code calls them.
//!
//! A typed closure is monomorphised into an `extern "C"` function with the
//! native arguments of its wasm signature. Everything that a closure can do
//! wrong (return an error, panic) is caught here and put into the store; then
//! wasm is left, and whoever called into it finds the reason.
//!
//! ```text
//! wasm ──▶ entry ┄┄▶ native ──▶ closure      arguments in registers: `entry` is part of
//!                                            `native`, which returns to wasm
//! wasm ──▶ native adapter ──▶ native ──▶ closure
//! wasm ──▶ array adapter ──▶ array ──▶ closure      untyped functions
//! host ──▶ array ──▶ closure
//! ```

use super::handle::Stored;
use super::instance::InstanceData;
use super::state::{Cause, PENDING_EXCEPTION, StoreState};
use super::structs::{VMFuncRef, VMHostFunc, ValRaw};
use super::typed::{WasmResults, WasmTy};
#[cfg(target_arch = "x86_64")]
use super::unwind::note_caller;
use super::unwind::raise;
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::Error;
use crate::exception::ThrownException;
use crate::func::Func;
#[cfg(feature = "call-hook")]
use crate::hook::CallHook;
use crate::module::Module;
use crate::parts;
use crate::store::{StoreContextMut, StoreInner, StoreOpaque};
use crate::types::{FuncType, ValType};
use crate::values::Val;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use wasmc_artifacts::abi::TypeId;
#[cfg(target_arch = "x86_64")]
use wasmc_artifacts::abi::{vm_host_func, vm_store_context};
use wasmc_artifacts::format::{NONE, TypeRow};

type ArrayFn = unsafe extern "C" fn(*mut VMHostFunc, *mut ValRaw);

/// What a host function is, whatever stores it is used in.
pub(crate) struct HostFuncDef {
    ty: FuncType,
    type_id: u64,
    /// There are none for untyped functions.
    native: Option<Native>,
    array: ArrayFn,
    /// What all of them get as `env`: a box's, which this owns. Not a box, which
    /// nothing else may point into.
    closure: NonNull<dyn Any + Send + Sync>,
    /// The descriptor of a type that has one.
    descriptor: Box<[u64]>,
}

/// What takes native arguments.
#[derive(Clone, Copy)]
struct Native {
    /// For compiled code, without an adapter; null if that would have to move
    /// arguments or results.
    entry: *mut u8,
    /// For adapters. It does not return if it fails.
    code: *mut u8,
}

// SAFETY: the pointers are to functions and to the closure, which is Send.
unsafe impl Send for HostFuncDef {}
// SAFETY: as above; the closure is Sync.
unsafe impl Sync for HostFuncDef {}

impl std::fmt::Debug for HostFuncDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host function {}", self.ty)
    }
}

impl HostFuncDef {
    fn new<C: Any + Send + Sync>(
        (ty, type_id): (FuncType, u64),
        native: Option<Native>,
        array: ArrayFn,
        closure: C,
    ) -> HostFuncDef {
        let closure: NonNull<dyn Any + Send + Sync> = NonNull::from(Box::leak(Box::new(closure)));
        HostFuncDef { ty, type_id, native, array, closure, descriptor: [].into() }
    }

    /// A function that takes any values.
    pub(crate) fn untyped<T: 'static>(
        ty: FuncType,
        type_id: u64,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> HostFuncDef {
        fn shim<T: 'static, F: Untyped<T>>(_: &F) -> ArrayFn {
            untyped_shim::<T, F>
        }
        let array = shim::<T, _>(&closure);
        HostFuncDef::new((ty.clone(), type_id), None, array, UntypedEnv { ty, closure })
    }

    /// The type.
    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// The id of the type.
    pub(crate) fn type_id(&self) -> u64 {
        self.type_id
    }

    /// What compiled code of this engine can call without an adapter.
    fn entry(&self, engine: &Engine) -> Option<*mut u8> {
        // Adapters look at the fuel.
        let counts = parts::INTERRUPTION.is_on() && engine.config().consume_fuel;
        self.native.map(|native| native.entry).filter(|entry| !entry.is_null() && !counts)
    }

    /// The function that takes an array of values.
    pub(crate) fn array(&self) -> *mut u8 {
        self.array as *mut u8
    }

    /// The same with the descriptor of its type.
    pub(crate) fn described(mut self, descriptor: Box<[u64]>) -> HostFuncDef {
        self.descriptor = descriptor;
        self
    }

    /// The descriptor of the type, null if it has none.
    pub(crate) fn descriptor(&self) -> *mut u8 {
        if self.descriptor.is_empty() { ptr::null_mut() } else { self.descriptor.as_ptr().cast_mut().cast() }
    }

    /// What either gets as `env`.
    pub(crate) fn env(&self) -> *mut u8 {
        self.closure.as_ptr().cast()
    }
}

impl Drop for HostFuncDef {
    fn drop(&mut self) {
        // SAFETY: leaked from a box in `new`, and given back here only.
        drop(unsafe { Box::from_raw(self.closure.as_ptr()) });
    }
}

/// A host function of one store, as a function value.
pub(crate) struct HostFunc {
    func_ref: VMFuncRef,
    record: VMHostFunc,
    def: Arc<HostFuncDef>,
}

impl HostFunc {
    /// Makes a host function in a store.
    pub(crate) fn install(store: &mut StoreOpaque, def: Arc<HostFuncDef>) -> Func {
        let state = &store.state;
        let host = state.keep(HostFunc { func_ref: VMFuncRef::default(), record: VMHostFunc::default(), def });
        let this = host.get(store);
        this.func_ref.ctx.set(ptr::from_ref(&this.record).cast_mut().cast());
        this.func_ref.type_id.set(this.def.type_id);
        this.func_ref.descriptor.set(this.def.descriptor());
        this.func_ref.host.set(Arc::as_ptr(&this.def).cast_mut().cast());
        this.record.env.set(this.def.env());
        this.record.store.set(state.address());
        // SAFETY: part of what the store keeps.
        let func = Func(unsafe { state.handle(&this.func_ref) });
        if let Some(entry) = this.def.entry(&store.engine) {
            this.func_ref.code.set(entry);
        } else if !state.code_list().any(|instance| this.adapt(instance.module())) {
            store.unadapted.push(host);
        }
        func
    }

    /// Takes the adapter that compiled code calls the function through from a
    /// module; whether it has one.
    pub(crate) fn adapt(&self, module: &Module) -> bool {
        let types = module.artifact().tables().types;
        // An adapter for a supertype does the same: parameters and results
        // that are references have one representation in both.
        let (id, known) = (self.def.type_id, module.engine().types());
        let below = |row: &TypeRow| !self.def.descriptor.is_empty() && known.is_subtype(TypeId(id), TypeId(row.id));
        let mut fitting = types.iter().filter(|row| row.id == id || below(row));
        let Some((code, native)) = fitting.find_map(|row| adapter(&row, &self.def)) else { return false };
        self.record.native.set(native);
        self.func_ref.code.set(module.code_at(code));
        true
    }
}

/// What a module's code calls for an imported function of the row's type, and
/// the function that this then calls if it is an adapter.
pub(super) fn code_for(module: &Module, row: &TypeRow, def: &HostFuncDef) -> Option<(*mut u8, *mut u8)> {
    if let Some(entry) = def.entry(module.engine()) {
        return Some((entry, ptr::null_mut()));
    }
    adapter(row, def).map(|(code, native)| (module.code_at(code), native))
}

/// The adapter of a module, as an offset in its text, for a host function of
/// the row's type, and the function that it then calls.
fn adapter(row: &TypeRow, def: &HostFuncDef) -> Option<(u32, *mut u8)> {
    match def.native {
        Some(native) if row.native_host != NONE => Some((row.native_host, native.code)),
        _ => (row.array_host != NONE).then(|| (row.array_host, def.array())),
    }
}

/// Runs the body of a host function and turns what goes wrong into a pending
/// cause; then it ends as `failed` says.
///
/// # Safety
/// `record` is the record of a host function of a `Store<T>` that is
/// exclusively borrowed by the call in progress.
#[inline(always)]
unsafe fn run<T: 'static, O: Copy>(
    record: *mut VMHostFunc,
    failed: impl Fn(&StoreState) -> O,
    body: impl FnOnce(Caller<'_, T>) -> Result<O, Error>,
) -> O {
    // SAFETY: the record is valid, and its store is the one that the call is in.
    let (record, state) = unsafe { (&*record, &*(*record).store.get().cast_const().cast::<StoreState>()) };
    let scope = if parts::GC.is_on() { state.roots().depth() } else { 0 };
    // All that is done after a closure that succeeds is in here, and what it
    // returns is not looked at again: a closure that is inlined leaves nothing
    // of this that would have to be kept or told apart.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `host` is what the innermost call into this store lent, and
        // that call waits for this one. The closure was made for this `T`:
        // a `Linker<T>` or a `Store<T>` put the record here.
        let store = unsafe { &mut *state.context.host.get().cast::<StoreInner<T>>() };
        let caller = NonNull::new(record.caller.get().cast::<InstanceData>());
        // SAFETY: instances live as long as their store.
        let caller = caller.map(|at| unsafe { Stored::new(state.id(), at) });
        let results = body(Caller::new(StoreContextMut(store), caller));
        if parts::GC.is_on() {
            state.roots().leave(scope);
        }
        match results {
            Ok(results) => results,
            Err(error) => {
                fail(state, Cause::Error(error));
                failed(state)
            }
        }
    }));
    match outcome {
        Ok(results) => results,
        Err(panic) => {
            if parts::GC.is_on() {
                state.roots().leave(scope);
            }
            fail(state, Cause::Panic(panic));
            failed(state)
        }
    }
}

/// How a host function ends that has failed and was called with an array: its
/// caller looks.
fn told(_: &StoreState) {}

/// How one ends that was called with native arguments: wasm is left.
///
/// What is skipped of the loader are the frames of `run` and `native`, in which
/// nothing is left to be dropped.
#[cold]
#[inline(never)]
fn left<O>(state: &StoreState) -> O {
    // SAFETY: `pending` was just set, in a call from compiled code.
    unsafe { raise(state.address()) };
    unreachable!("wasm code was left")
}

/// The body of a host function, with the store's hook around it: between the
/// conversion of arguments and that of results, since the hook may collect
/// garbage.
macro_rules! body {
    ($caller:ident, $body:expr) => {{
        #[cfg(feature = "call-hook")]
        $caller.hook(CallHook::CallingHost)?;
        let results = $body;
        #[cfg(feature = "call-hook")]
        $caller.hook(CallHook::ReturningFromHost)?;
        results
    }};
}

/// Leaves the cause in the store.
#[cold]
#[inline(never)]
fn fail(state: &StoreState, cause: Cause) {
    // An exception that wasm code may still catch; otherwise the backtrace is
    // noted where that is known.
    let is_exception = match &cause {
        Cause::Error(error) if parts::EXCEPTIONS.is_on() => {
            error.downcast_ref().is_some_and(|thrown: &ThrownException| thrown.waits_in(state))
        }
        _ => false,
    };
    if !is_exception || state.context.exit_fp.get() == 0 {
        state.capture_exit();
    }
    state.cause.set(Some(cause));
    state.context.pending.set(if is_exception { PENDING_EXCEPTION } else { 1 });
}

/// The bound of untyped closures.
pub(crate) trait Untyped<T: 'static>:
    Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static
{
}
impl<T: 'static, F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static> Untyped<T>
    for F
{
}

struct UntypedEnv<F> {
    ty: FuncType,
    closure: F,
}

unsafe extern "C" fn untyped_shim<T: 'static, F: Untyped<T>>(record: *mut VMHostFunc, values: *mut ValRaw) {
    let body = |mut caller: Caller<'_, T>| {
        // SAFETY: `HostFuncDef::untyped` pairs this shim with this environment.
        let env = unsafe { &*(*record).env.get().cast::<UntypedEnv<F>>() };
        let (params, results) = (env.ty.params(), env.ty.results());
        let count = params.len();
        let mut all = Vec::with_capacity(count + results.len());
        for (i, ty) in params.iter().enumerate() {
            // SAFETY: the adapter put a value of this type there.
            all.push(unsafe { Val::from_raw(*values.add(i), *ty, caller.opaque()) });
        }
        // Where a type has no null, null is there all the same: it is for the
        // function to replace.
        all.extend(results.iter().map(|ty| match ty {
            ValType::Ref(ty) => Val::null_ref(&ty.heap),
            number => Val::default_for_ty(number).unwrap_or(Val::I32(0)),
        }));
        let (given, made) = all.split_at_mut(count);
        body!(caller, (env.closure)(caller.reborrow(), given, made))?;
        for (i, (value, ty)) in made.iter().zip(results).enumerate() {
            let message = |found| format!("a host function of type {} returned {found} as result {i}", env.ty);
            let raw = value.checked_raw(caller.opaque(), *ty, message)?;
            // SAFETY: the array has room for all results.
            unsafe { *values.add(i) = raw };
        }
        Ok(())
    };
    // SAFETY: called by an adapter, or by `call_host`, with a record that was
    // made for this function.
    unsafe { run::<T, ()>(record, told, body) };
}

/// What a host closure may return: the results, or a `Result` of them.
pub trait WasmRet {
    #[doc(hidden)]
    type Results: WasmResults;
    #[doc(hidden)]
    fn into_results(self) -> Result<Self::Results, Error>;
}

impl<R: WasmResults> WasmRet for R {
    type Results = R;
    #[inline(always)]
    fn into_results(self) -> Result<R, Error> {
        Ok(self)
    }
}

impl<R: WasmResults> WasmRet for Result<R, Error> {
    type Results = R;
    #[inline(always)]
    fn into_results(self) -> Result<R, Error> {
        self
    }
}

/// A closure that can be a host function: up to 16 parameters that are
/// [`WasmTy`], before them if wanted a [`Caller`], and a [`WasmRet`].
pub trait IntoFunc<T, Params, Results>: Send + Sync + 'static {
    /// Makes the definition; `intern` gives a type's id.
    #[doc(hidden)]
    fn into_def(self, intern: &mut dyn FnMut(&FuncType) -> u64) -> Definition;
}

/// The definition of a host function.
pub struct Definition(pub(crate) HostFuncDef);

fn define<F: Any + Send + Sync>(
    closure: F,
    params: &[ValType],
    results: &[ValType],
    native: Native,
    array: ArrayFn,
    intern: &mut dyn FnMut(&FuncType) -> u64,
) -> Definition {
    let ty = FuncType::new(params.iter().copied(), results.iter().copied());
    let id = intern(&ty);
    Definition(HostFuncDef::new((ty, id), Some(native), array, closure))
}

/// Whether compiled code has arguments and results where C has them, so that an
/// adapter would have nothing to do with them: after the record five whole
/// numbers or references and eight other numbers are in registers, and one
/// result.
#[cfg(target_arch = "x86_64")]
fn in_same_registers(params: &[ValType], results: &[ValType]) -> bool {
    let is_float = |ty: &&ValType| matches!(ty, ValType::F32 | ValType::F64 | ValType::V128);
    let floats = params.iter().filter(is_float).count();
    floats <= 8 && params.len() - floats <= 5 && results.len() <= 1
}

/// Does for compiled code what an adapter does first: notes where it was left.
/// `native` then returns there itself.
#[cfg(target_arch = "x86_64")]
macro_rules! enter {
    ($native:expr) => {
        std::arch::naked_asm!(
            note_caller!(),
            "jmp {native}",
            store = const vm_host_func::store,
            fp = const vm_store_context::exit_fp,
            pc = const vm_store_context::exit_pc,
            native = sym $native,
        )
    };
}

macro_rules! into_func {
    ($($n:tt $a:ident)*) => {
        #[allow(non_snake_case, reason = "a parameter is named like its type")]
        impl<T: 'static, F, R, $($a: WasmTy,)*> IntoFunc<T, ($($a,)*), R> for F
        where
            F: Fn($($a),*) -> R + Send + Sync + 'static,
            R: WasmRet,
        {
            fn into_def(self, intern: &mut dyn FnMut(&FuncType) -> u64) -> Definition {
                let closure = move |_: Caller<'_, T>, $($a: $a),*| self($($a),*);
                IntoFunc::<T, (Caller<'_, T>, $($a,)*), R>::into_def(closure, intern)
            }
        }

        #[allow(non_snake_case, unused_variables, reason = "a parameter is named like its type")]
        impl<T: 'static, F, R, $($a: WasmTy,)*> IntoFunc<T, (Caller<'_, T>, $($a,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($a),*) -> R + Send + Sync + 'static,
            R: WasmRet,
        {
            fn into_def(self, intern: &mut dyn FnMut(&FuncType) -> u64) -> Definition {
                /// Calls `direct` for compiled code.
                #[cfg(target_arch = "x86_64")]
                #[unsafe(naked)]
                unsafe extern "C" fn entry<T, F, R, $($a: WasmTy),*>()
                where
                    T: 'static,
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: WasmRet,
                {
                    enter!(direct::<T, F, R, $($a),*>)
                }

                /// At most one result, in a register.
                unsafe extern "C" fn direct<T, F, R, $($a: WasmTy),*>(
                    record: *mut VMHostFunc,
                    $($a: $a::Abi),*
                ) -> <R::Results as WasmResults>::Ret
                where
                    T: 'static,
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: WasmRet,
                {
                    // SAFETY: called with a record that was made for this function.
                    unsafe { indirect::<T, F, R, $($a),*>(record, $($a,)* ptr::null_mut()) }
                }

                /// Several results, to `out`.
                #[inline(always)]
                unsafe extern "C" fn indirect<T, F, R, $($a: WasmTy),*>(
                    record: *mut VMHostFunc,
                    $($a: $a::Abi,)*
                    out: *mut ValRaw,
                ) -> <R::Results as WasmResults>::Ret
                where
                    T: 'static,
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: WasmRet,
                {
                    // SAFETY: as above; `env` is the closure; the arguments
                    // come from code of the caller's store.
                    unsafe {
                        run::<T, _>(record, left, |mut caller| {
                            let closure = &*(*record).env.get().cast::<F>();
                            $(let $a = $a::from_abi($a, caller.opaque());)*
                            let results = body!(caller, closure(caller.reborrow(), $($a),*).into_results())?;
                            results.into_ret(caller.opaque(), out)
                        })
                    }
                }

                unsafe extern "C" fn array<T, F, R, $($a: WasmTy),*>(record: *mut VMHostFunc, values: *mut ValRaw)
                where
                    T: 'static,
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: WasmRet,
                {
                    // SAFETY: as above, with arguments in the array.
                    unsafe {
                        run::<T, ()>(record, told, |mut caller| {
                            let closure = &*(*record).env.get().cast::<F>();
                            $(let $a = $a::from_abi($a::raw_to_abi(*values.add($n)), caller.opaque());)*
                            let results = body!(caller, closure(caller.reborrow(), $($a),*).into_results())?;
                            results.into_raw(caller.opaque(), values)
                        });
                    }
                }

                let (params, results) = (&[$($a::TYPE),*], R::Results::TYPES);
                let code = if results.len() > 1 {
                    indirect::<T, F, R, $($a),*> as *mut u8
                } else {
                    direct::<T, F, R, $($a),*> as *mut u8
                };
                #[cfg(target_arch = "x86_64")]
                let entry = if in_same_registers(params, results) {
                    entry::<T, F, R, $($a),*> as *mut u8
                } else {
                    ptr::null_mut()
                };
                // The conventions have no register in common.
                #[cfg(not(target_arch = "x86_64"))]
                let entry = ptr::null_mut();
                let native = Native { entry, code };
                define(self, params, results, native, array::<T, F, R, $($a),*>, intern)
            }
        }
    };
}

into_func!();
into_func!(0 A0);
into_func!(0 A0 1 A1);
into_func!(0 A0 1 A1 2 A2);
into_func!(0 A0 1 A1 2 A2 3 A3);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13 14 A14);
into_func!(0 A0 1 A1 2 A2 3 A3 4 A4 5 A5 6 A6 7 A7 8 A8 9 A9 10 A10 11 A11 12 A12 13 A13 14 A14 15 A15);
