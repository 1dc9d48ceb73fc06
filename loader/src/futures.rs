//! Calls and host functions that can be awaited: what there is otherwise, on
//! stacks of their own.
//!
//! Each async call runs its wasm code on a stack from a pool. Where an async
//! host function has to wait, that stack is left, and the future of the call is
//! pending; the next poll, on whatever thread, goes on there.
//!
//! ```
//! # use wasmc_loader::{Caller, Engine, Linker, Module, Result, Store};
//! # async fn sleep(seconds: u32) {}
//! # async fn example(module: &Module) -> Result<()> {
//! let mut linker = Linker::<u32>::new(module.engine());
//! linker.func_wrap_async("host", "sleep", |mut caller: Caller<'_, u32>, (seconds,): (u32,)| {
//!     Box::new(async move {
//!         sleep(seconds).await;
//!         *caller.data_mut() += seconds;
//!     })
//! })?;
//! let mut store = Store::new(module.engine(), 0);
//! let instance = linker.instantiate_async(&mut store, module).await?;
//! let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
//! run.call_async(&mut store, ()).await?;
//! # Ok(())
//! # }
//! ```

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::func::{Func, TypedFunc};
use crate::instance::Instance;
use crate::linker::Linker;
use crate::memory::Memory;
use crate::module::Module;
use crate::pre::InstancePre;
use crate::store::{AsContextMut, Store, StoreContextMut, StoreInner};
use crate::table::Table;
use crate::types::{ExternType, FuncType, MemoryType, TableType};
use crate::values::{Ref, Val};
use crate::vm::fiber::OnFiber;
use crate::vm::host::{HostFunc, HostFuncDef, WasmRet};
use crate::vm::host_async::{Names, WasmTyList};
use crate::vm::typed::{WasmParams, WasmResults};
use std::sync::Arc;
use wasmc_artifacts::format::NONE;

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    /// Calls the function, which may reach async host functions.
    ///
    /// Nothing happens before the future is polled. If it is dropped before it
    /// is done, the call ends where it waits: the future of the host function
    /// is dropped, then the wasm code is left as by a trap. The store can be used
    /// as before, with memories, globals and tables as the code has left them;
    /// where it matters that work is finished, make a new instance or
    /// [`reset`](Instance::reset) this one. If the future is leaked
    /// ([`forget`](std::mem::forget)), its stack is too, with what is on it.
    ///
    /// # Errors
    /// As for [`call`](TypedFunc::call); if there is no stack for the call, or
    /// stacks are configured to be smaller than
    /// [`Config::max_wasm_stack`](crate::Config::max_wasm_stack).
    ///
    /// # Panics
    /// As for [`call`](TypedFunc::call), while it is polled; if the future of a
    /// host function panics, or, while this one is dropped, that one's
    /// destructor.
    pub async fn call_async(&self, mut store: impl AsContextMut<Data: Send>, params: Params) -> Result<Results> {
        let (func, store) = (*self, store.as_context_mut().0);
        OnFiber::new(store, move |store| func.call(StoreContextMut(store), params)).await?
    }
}

impl Func {
    /// Calls the function, which may reach async host functions; see
    /// [`TypedFunc::call_async`].
    ///
    /// # Errors
    /// As for [`call`](Self::call); if there is no stack for the call.
    ///
    /// # Panics
    /// As for [`TypedFunc::call_async`].
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let (func, store) = (*self, store.as_context_mut().0);
        OnFiber::new(store, move |store| func.call_in(store, params, results)).await?
    }

    /// A host function of any type, which returns a future; see [`Func::new`].
    /// It can be reached by async calls only.
    ///
    /// # Panics
    /// If the engine has seen another type with this type's id.
    pub fn new_async<T, F>(mut store: impl AsContextMut<Data = T>, ty: FuncType, func: F) -> Func
    where
        T: Send + 'static,
        F: for<'a> Fn(Caller<'a, T>, &'a [Val], &'a mut [Val]) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        let opaque = &mut store.as_context_mut().0.opaque;
        let def = untyped(&opaque.engine, ty, func, None).unwrap_or_else(|e| panic!("{e:#}"));
        HostFunc::install(opaque, Arc::new(def))
    }

    /// A host function that returns a future, with native arguments in a tuple
    /// of up to 16 that are [`WasmTy`](crate::WasmTy). The future may yield
    /// nothing, a value or a tuple, or a [`Result`] of them. It can be reached
    /// by async calls only.
    ///
    /// # Panics
    /// If the engine has seen another type with this type's id.
    pub fn wrap_async<T, F, P, R>(mut store: impl AsContextMut<Data = T>, func: F) -> Func
    where
        T: Send + 'static,
        F: for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
        P: WasmTyList,
        R: WasmRet,
    {
        let opaque = &mut store.as_context_mut().0.opaque;
        let def = typed(&opaque.engine, func, None).unwrap_or_else(|e| panic!("{e:#}"));
        HostFunc::install(opaque, Arc::new(def))
    }
}

fn names(module: &str, name: &str) -> Names {
    Some((module.into(), name.into()))
}

fn untyped<T, F>(engine: &Engine, ty: FuncType, func: F, names: Names) -> Result<HostFuncDef>
where
    T: Send + 'static,
    F: for<'a> Fn(Caller<'a, T>, &'a [Val], &'a mut [Val]) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
        + Send
        + Sync
        + 'static,
{
    let types = engine.types();
    let (id, descriptor) = (types.id(&ty)?, types.descriptor(&ty));
    Ok(HostFuncDef::untyped_async(ty, id, func, names).described(descriptor))
}

fn typed<T, F, P, R>(engine: &Engine, func: F, names: Names) -> Result<HostFuncDef>
where
    T: Send + 'static,
    F: for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
    P: WasmTyList,
    R: WasmRet,
{
    let mut failure = None;
    let def = P::define(func, names, &mut |ty| {
        engine.types().id(ty).unwrap_or_else(|e| {
            failure = Some(e);
            0
        })
    });
    failure.map_or(Ok(def.0), Err)
}

impl<T: Send + 'static> Linker<T> {
    /// Defines a host function that returns a future, with native arguments;
    /// see [`Func::wrap_async`].
    ///
    /// # Errors
    /// As for [`func_wrap`](Self::func_wrap).
    pub fn func_wrap_async<F, Params: WasmTyList, Args: WasmRet>(
        &mut self,
        module: &str,
        name: &str,
        func: F,
    ) -> Result<&mut Self>
    where
        F: for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = Args> + Send + 'a> + Send + Sync + 'static,
    {
        let def = typed(self.engine(), func, names(module, name))?;
        self.insert_host(module, name, def)
    }

    /// Defines a host function of any type that returns a future; see
    /// [`Func::new_async`].
    ///
    /// # Errors
    /// As for [`func_wrap`](Self::func_wrap).
    pub fn func_new_async<F>(&mut self, module: &str, name: &str, ty: FuncType, func: F) -> Result<&mut Self>
    where
        F: for<'a> Fn(Caller<'a, T>, &'a [Val], &'a mut [Val]) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        let def = untyped(self.engine(), ty, func, names(module, name))?;
        self.insert_host(module, name, def)
    }

    /// Finds everything that a module imports, and instantiates it with a start
    /// function that may reach async host functions.
    ///
    /// # Errors
    /// As for [`instantiate`](Self::instantiate); if there is no stack for the
    /// call of the start function.
    pub async fn instantiate_async(&self, store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        self.instantiate_pre(module)?.instantiate_async(store).await
    }

    /// Defines the exports of a module, as [`module`](Self::module) does, for a
    /// module whose functions may reach async host functions.
    ///
    /// # Errors
    /// As for [`module`](Self::module); if there is no stack for a call.
    pub async fn module_async(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        if module.get_export("_start").is_some() {
            return self.command_async(name, module);
        }
        let instance = self.instantiate_async(&mut store, module).await?;
        if let Some(Extern::Func(initialize)) = instance.get_export(&mut store, "_initialize") {
            initialize.call_async(&mut store, &[], &mut []).await?;
        }
        self.instance(store, name, instance)
    }

    fn command_async(&mut self, name: &str, module: &Module) -> Result<&mut Self> {
        let pre = self.instantiate_pre(module)?;
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else { continue };
            let command = Arc::new((pre.clone(), export.name().to_owned()));
            let exported = if export.name() == "_start" { "" } else { export.name() };
            self.func_new_async(name, exported, ty, move |mut caller, params, results| {
                let command = command.clone();
                Box::new(async move {
                    let (pre, function) = &*command;
                    let instance = pre.instantiate_async(&mut caller).await?;
                    let func = instance.get_func(&mut caller, function);
                    let func =
                        func.ok_or_else(|| Error::msg(format!("the module exports no function `{function}`")))?;
                    func.call_async(&mut caller, params, results).await
                })
            })?;
        }
        Ok(self)
    }
}

/// Runs what may have to wait, for a start function or the store's limiter, on a
/// stack of its own if it does.
async fn begin<T: Send + 'static, R: Send>(
    store: &mut StoreInner<T>,
    waits: bool,
    body: impl FnOnce(&mut StoreInner<T>) -> Result<R> + Send,
) -> Result<R> {
    if waits { OnFiber::new(store, body).await? } else { body(store) }
}

fn has_start(module: &Module) -> bool {
    module.artifact().header().start != NONE
}

impl<T: Send + 'static> InstancePre<T> {
    /// Makes an instance and calls its start function, which may reach async
    /// host functions. If the future is dropped while that waits, the instance
    /// stays in the store until this is dropped.
    ///
    /// # Errors
    /// As for [`instantiate`](Self::instantiate); if there is no stack for the
    /// call of the start function.
    pub async fn instantiate_async(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let store = store.as_context_mut().0;
        let waits = has_start(self.module()) || store.waits_for_limiter();
        begin(store, waits, |store| self.instantiate(StoreContextMut(store))).await
    }
}

impl Instance {
    /// Instantiates a module, as [`new`](Self::new) does, with a start function
    /// that may reach async host functions.
    ///
    /// # Errors
    /// As for [`new`](Self::new); if there is no stack for the call of the start
    /// function.
    pub async fn new_async(
        mut store: impl AsContextMut<Data: Send>,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let store = store.as_context_mut().0;
        let waits = has_start(module) || store.waits_for_limiter();
        begin(store, waits, |store| Instance::new(StoreContextMut(store), module, imports)).await
    }

    /// Makes the instance as it was, as [`reset`](Self::reset) does, with a start
    /// function that may reach async host functions.
    ///
    /// # Errors
    /// As for [`reset`](Self::reset); if there is no stack for the call of the
    /// start function.
    ///
    /// # Panics
    /// If the instance belongs to another store.
    pub async fn reset_async(&self, mut store: impl AsContextMut<Data: Send>) -> Result<()> {
        let calls = has_start(self.module(&store.as_context_mut()));
        begin(store.as_context_mut().0, calls, |store| self.reset(StoreContextMut(store))).await
    }
}

impl<T: Send + 'static> Store<T> {
    /// Makes everything in the store as it was, as [`reset`](Self::reset) does,
    /// with start functions that may reach async host functions.
    ///
    /// # Errors
    /// As for [`reset`](Self::reset); if there is no stack for the calls of the
    /// start functions.
    pub async fn reset_async(&mut self) -> Result<()> {
        let calls = self.inner.opaque.state.instances().any(|instance| has_start(instance.module()));
        begin(&mut self.inner, calls, StoreInner::reset).await
    }
}

impl Memory {
    /// A memory of the host's, as from [`new`](Self::new), in a store whose
    /// limiter may be one that has to be awaited.
    ///
    /// # Errors
    /// As for [`new`](Self::new); if there is no stack to wait on.
    pub async fn new_async(mut store: impl AsContextMut<Data: Send>, ty: MemoryType) -> Result<Memory> {
        let store = store.as_context_mut().0;
        let waits = store.waits_for_limiter();
        begin(store, waits, |store| Memory::new(StoreContextMut(store), ty)).await
    }

    /// Grows the memory, as [`grow`](Self::grow) does, in a store whose limiter may
    /// be one that has to be awaited.
    ///
    /// # Errors
    /// As for [`grow`](Self::grow); if there is no stack to wait on.
    ///
    /// # Panics
    /// If the memory belongs to another store.
    pub async fn grow_async(&self, mut store: impl AsContextMut<Data: Send>, delta: u64) -> Result<u64> {
        let store = store.as_context_mut().0;
        let waits = store.waits_for_limiter();
        begin(store, waits, |store| self.grow(StoreContextMut(store), delta)).await
    }
}

impl Table {
    /// A table of the host's, as from [`new`](Self::new), in a store whose limiter
    /// may be one that has to be awaited.
    ///
    /// # Errors
    /// As for [`new`](Self::new); if there is no stack to wait on.
    ///
    /// # Panics
    /// If `init` belongs to another store.
    pub async fn new_async(mut store: impl AsContextMut<Data: Send>, ty: TableType, init: Ref) -> Result<Table> {
        let store = store.as_context_mut().0;
        let waits = store.waits_for_limiter();
        begin(store, waits, |store| Table::new(StoreContextMut(store), ty, init)).await
    }

    /// Grows the table, as [`grow`](Self::grow) does, in a store whose limiter may
    /// be one that has to be awaited.
    ///
    /// # Errors
    /// As for [`grow`](Self::grow); if there is no stack to wait on.
    ///
    /// # Panics
    /// If the table belongs to another store.
    pub async fn grow_async(&self, mut store: impl AsContextMut<Data: Send>, delta: u64, init: Ref) -> Result<u64> {
        let store = store.as_context_mut().0;
        let waits = store.waits_for_limiter();
        begin(store, waits, |store| self.grow(StoreContextMut(store), delta, init)).await
    }
}
