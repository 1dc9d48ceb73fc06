//! Functions: of instances and of the host.

use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::parts;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::FuncType;
use crate::values::Val;
use crate::vm::handle::Stored;
use crate::vm::host::{HostFunc, HostFuncDef, IntoFunc};
use crate::vm::structs::VMFuncRef;
use crate::vm::typed::{WasmParams, WasmResults};
use std::sync::Arc;

pub use crate::vm::call::TypedFunc;

/// A function of an instance or of the host; belongs to a store.
#[derive(Debug, Clone, Copy)]
pub struct Func(pub(crate) Stored<VMFuncRef>);

impl Func {
    /// A host function of any type, which gets its arguments in a slice and
    /// puts its results into another, where zeros and nulls of their types
    /// are.
    ///
    /// # Panics
    /// If the engine has seen another type with this type's id.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        let opaque = &mut store.as_context_mut().0.opaque;
        let types = opaque.engine.types();
        let (id, descriptor) = (types.id(&ty).unwrap_or_else(|e| panic!("{e:#}")), types.descriptor(&ty));
        let def = HostFuncDef::untyped::<T>(ty, id, func).described(descriptor);
        HostFunc::install(opaque, Arc::new(def))
    }

    /// A host function from a closure with native arguments: up to 16 that
    /// are [`WasmTy`](crate::WasmTy), before them if wanted a [`Caller`]. It
    /// may return nothing, a value or a tuple, or a [`Result`] of them.
    ///
    /// # Panics
    /// If the engine has seen another type with this type's id.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Func {
        let opaque = &mut store.as_context_mut().0.opaque;
        let engine = &opaque.engine;
        let def = func.into_def(&mut |ty| engine.types().id(ty).unwrap_or_else(|e| panic!("{e:#}")));
        HostFunc::install(opaque, Arc::new(def.0))
    }

    /// The type.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.ty_in(&store.as_context().0.opaque)
    }

    /// Calls the function.
    ///
    /// # Errors
    /// If number or types of the arguments, or the number of results, are not
    /// those of the function; if it traps, or a host function fails.
    ///
    /// # Panics
    /// If the function or an argument belongs to another store; if a host
    /// function panics.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        self.call_in(store.as_context_mut().0, params, results)
    }

    /// The function with its type known to the Rust compiler, which makes
    /// calls as cheap as calls can be.
    ///
    /// # Errors
    /// If `Params` and `Results` are not the function's.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn typed<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<Params, Results>> {
        let opaque = &store.as_context().0.opaque;
        TypedFunc::checked(opaque, *self).ok_or_else(|| {
            if !parts::MESSAGES.is_on() {
                return Error::msg("the function has another type");
            }
            let expected = FuncType::new(Params::TYPES.iter().copied(), Results::TYPES.iter().copied());
            Error::msg(format!("the function has type {}, and is asked for as {expected}", self.ty_in(opaque)))
        })
    }

    /// Whether the function can be used where one of type `ty` is wanted.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &FuncType) -> bool {
        let opaque = &store.as_context().0.opaque;
        self.ty_in(opaque).matches(&opaque.engine, ty)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> FuncType {
        let id = self.0.get(store).type_id.get();
        let ty = store.engine.types().func_type(id);
        debug_assert!(ty.is_some(), "type {id:016x} of a function is not registered");
        ty.unwrap_or_else(|| FuncType::new([], []))
    }
}
