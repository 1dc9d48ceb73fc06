//! Linkers: names for what modules import.

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::func::Func;
use crate::instance::Instance;
use crate::linking::{self, Item, Provided, UnknownImportError};
use crate::module::Module;
use crate::names::Names;
use crate::parts;
use crate::pre::InstancePre;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{ExternType, FuncType, ImportType, has_default};
use crate::values::Val;
use crate::vm::host::{HostFunc, HostFuncDef, IntoFunc};
use std::marker::PhantomData;
use std::sync::Arc;

/// Names for host functions and exports of instances, by which modules'
/// imports are found.
///
/// Host functions can be used with any store; whatever belongs to a store can
/// be used with that store only.
///
/// ```
/// # use wasmc_loader::{Caller, Engine, Linker, Module, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::default();
/// # let artifact = wasmc::compile(br#"(module (import "host" "count" (func $count))
/// #     (func (export "run") (call $count) (call $count)))"#, &wasmc::Options::new())?;
/// // SAFETY: the artifact was made by `wasmc`.
/// let module = unsafe { Module::from_bytes(&engine, &artifact)? };
/// let mut linker = Linker::<u64>::new(&engine);
/// linker.func_wrap("host", "count", |mut caller: Caller<'_, u64>| *caller.data_mut() += 1)?;
/// let pre = linker.instantiate_pre(&module)?;
/// let mut store = Store::new(&engine, 0);
/// let instance = pre.instantiate(&mut store)?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(*store.data(), 2);
/// # Ok(())
/// # }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    allow_shadowing: bool,
    names: Names,
    data: PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            allow_shadowing: self.allow_shadowing,
            names: self.names.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without names.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker { engine: engine.clone(), allow_shadowing: false, names: Names::default(), data: PhantomData }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name can be defined anew. Default: no, that is an error.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.allow_shadowing = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, provided: Provided) -> Result<&mut Self> {
        self.names.define(module, name, provided, self.allow_shadowing)?;
        Ok(self)
    }

    fn find(&self, module: &str, name: &str) -> Option<&Provided> {
        self.names.find(module, name)
    }

    pub(crate) fn insert_host(&mut self, module: &str, name: &str, def: HostFuncDef) -> Result<&mut Self> {
        self.insert(module, name, (Item::Host(Arc::new(def)), None))
    }

    /// Defines a host function with native arguments; see [`Func::wrap`].
    ///
    /// The types of the closure's arguments and result are those of the wasm
    /// function. Before them it may take a [`Caller`], by which it gets at the
    /// store's data and the calling instance's exports; an error that it returns
    /// ends the wasm code and is what the host's call returns.
    ///
    /// ```
    /// # use wasmc_loader::{Caller, Context, Engine, Extern, Linker, Module, Result, Store};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::default();
    /// # let artifact = wasmc::compile(br#"(module
    /// #     (import "host" "log" (func $log (param i32 i32)))
    /// #     (memory (export "memory") 1) (data (i32.const 8) "hello")
    /// #     (func (export "run") (call $log (i32.const 8) (i32.const 5))))"#, &wasmc::Options::new())?;
    /// # // SAFETY: the artifact was made by `wasmc`.
    /// # let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    /// let mut linker = Linker::<String>::new(&engine);
    /// linker.func_wrap("host", "log", |mut caller: Caller<'_, String>, at: u32, length: u32| -> Result<()> {
    ///     let memory = caller.get_export("memory").and_then(Extern::into_memory).context("no memory")?;
    ///     let (bytes, log) = memory.data_and_store_mut(&mut caller);
    ///     let text = bytes.get(at as usize..).and_then(|rest| rest.get(..length as usize));
    ///     log.push_str(std::str::from_utf8(text.context("the text is out of bounds")?)?);
    ///     Ok(())
    /// })?;
    ///
    /// let mut store = Store::new(&engine, String::new());
    /// let instance = linker.instantiate(&mut store, &module)?;
    /// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
    /// assert_eq!(store.data(), "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the name is defined already, or the engine has seen another type
    /// with the function's type's id.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Self> {
        let (engine, mut failure) = (self.engine.clone(), None);
        let def = func.into_def(&mut |ty| {
            engine.types().id(ty).unwrap_or_else(|e| {
                failure = Some(e);
                0
            })
        });
        match failure {
            Some(error) => Err(error),
            None => self.insert_host(module, name, def.0),
        }
    }

    /// Defines a host function of any type; see [`Func::new`].
    ///
    /// # Errors
    /// As for [`func_wrap`](Self::func_wrap).
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let types = self.engine.types();
        let (id, descriptor) = (types.id(&ty)?, types.descriptor(&ty));
        let def = HostFuncDef::untyped::<T>(ty, id, func).described(descriptor);
        self.insert_host(module, name, def)
    }

    /// Defines something that belongs to a store.
    ///
    /// # Errors
    /// If the name is defined already.
    ///
    /// # Panics
    /// If `item` belongs to another store.
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        self.define_in(&store.as_context().0.opaque, module, name, item.into())
    }

    fn define_in(&mut self, store: &StoreOpaque, module: &str, name: &str, item: Extern) -> Result<&mut Self> {
        parts::LINKING.need("a definition in a linker other than of a function of the host's")?;
        let ty = item.ty_in(store);
        self.insert(module, name, (Item::Extern(item), Some(ty)))
    }

    /// Defines all exports of an instance under the name `module`.
    ///
    /// # Errors
    /// If a name is defined already.
    ///
    /// # Panics
    /// If `instance` belongs to another store.
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        let exporting = instance.module(&store.as_context_mut()).clone();
        for export in exporting.exports() {
            if let Some(item) = instance.get_export(&mut store, export.name()) {
                self.define_in(&store.as_context().0.opaque, module, export.name(), item)?;
            }
        }
        Ok(self)
    }

    /// Defines the exports of a module under the name `name`.
    ///
    /// A module that exports `_start` is a command: each call of one of its
    /// functions, which are all that is defined, is made on a new instance in
    /// the caller's store. Any other module is instantiated once, now, and its
    /// `_initialize` is called if it exports such a function.
    ///
    /// # Errors
    /// If its imports are not defined, it cannot be instantiated, or a name
    /// is defined already.
    pub fn module(&mut self, mut store: impl AsContextMut<Data = T>, name: &str, module: &Module) -> Result<&mut Self> {
        if module.get_export("_start").is_some() {
            return self.command(name, module);
        }
        let instance = self.instantiate(&mut store, module)?;
        if let Some(Extern::Func(initialize)) = instance.get_export(&mut store, "_initialize") {
            initialize.call(&mut store, &[], &mut [])?;
        }
        self.instance(store, name, instance)
    }

    fn command(&mut self, name: &str, module: &Module) -> Result<&mut Self> {
        let pre = self.instantiate_pre(module)?;
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else { continue };
            let (pre, function) = (pre.clone(), export.name().to_owned());
            let call = move |mut caller: Caller<'_, T>, params: &[Val], results: &mut [Val]| {
                let instance = pre.instantiate(&mut caller)?;
                let func = instance.get_func(&mut caller, &function);
                let func = func.ok_or_else(|| Error::msg(format!("the module exports no function `{function}`")))?;
                func.call(&mut caller, params, results)
            };
            let exported = if export.name() == "_start" { "" } else { export.name() };
            self.func_new(name, exported, ty, call)?;
        }
        Ok(self)
    }

    /// Defines one name as another.
    ///
    /// # Errors
    /// If the old name is not defined, or the new one is.
    pub fn alias(&mut self, module: &str, name: &str, as_module: &str, as_name: &str) -> Result<&mut Self> {
        let provided = self.find(module, name).cloned();
        let provided = provided.ok_or_else(|| Error::msg(format!("`{name}` of `{module}` is not defined")))?;
        self.insert(as_module, as_name, provided)
    }

    /// Defines all names of a module under another module's name too.
    ///
    /// # Errors
    /// If one of the new names is defined already.
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<&mut Self> {
        for (name, provided) in self.names.of_module(module) {
            self.insert(as_module, &name, provided)?;
        }
        Ok(self)
    }

    /// Defines every function that `module` imports and that is not defined
    /// yet as one that fails with an [`UnknownImportError`] when it is called.
    ///
    /// # Errors
    /// If the engine has seen another type with the id of one of the types.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<&mut Self> {
        for import in module.imports() {
            if let (ExternType::Func(ty), None) = (import.ty(), self.find(import.module(), import.name())) {
                let error = UnknownImportError::new(import.module(), import.name(), ty.clone());
                self.func_new(import.module(), import.name(), ty, move |_, _, _| Err(Error::new(error.clone())))?;
            }
        }
        Ok(self)
    }

    /// Defines everything that `module` imports and that is not defined yet:
    /// functions that return zeros and nulls, globals that are zero or null,
    /// empty memories and tables of the least size.
    ///
    /// # Errors
    /// If a memory or table cannot be made.
    pub fn define_unknown_imports_as_default_values(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<&mut Self> {
        for import in module.imports() {
            if self.find(import.module(), import.name()).is_some() {
                continue;
            }
            let item = match import.ty() {
                // One for any store, whatever its results: if they have no
                // default, calling it fails.
                ExternType::Func(ty) => {
                    self.func_new(import.module(), import.name(), ty, |_, _, _| Ok(()))?;
                    continue;
                }
                ty if has_default(&ty) => ty.default_value(&mut store)?,
                _ => continue,
            };
            self.define(&store, import.module(), import.name(), item)?;
        }
        Ok(self)
    }

    /// Everything that is defined, for use in a store: module, name, and what
    /// stands for it, in the order of definition.
    pub fn iter<'a: 'store, 'store>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'store,
    ) -> impl ExactSizeIterator<Item = (&'a str, &'a str, Extern)> + 'store {
        self.names.iter().map(move |(module, name, (item, _))| (module, name, provide(&mut store, item)))
    }

    /// What is defined under a name, for use in a store.
    pub fn get(&self, mut store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        let (item, _) = self.find(module, name)?;
        Some(provide(&mut store, item))
    }

    /// What is defined under the names of an import.
    pub fn get_by_import(&self, store: impl AsContextMut<Data = T>, import: &ImportType<'_>) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// The function that a module defined by [`module`](Self::module) consists
    /// of: what is defined under the empty name or as `_start`, or else a
    /// function that does nothing.
    ///
    /// # Errors
    /// If that is not a function.
    pub fn get_default(&self, mut store: impl AsContextMut<Data = T>, module: &str) -> Result<Func> {
        for name in ["", "_start"] {
            if let Some(item) = self.get(&mut store, module, name) {
                return item.into_func().ok_or_else(|| Error::msg(format!("`{name}` of `{module}` is not a function")));
            }
        }
        Ok(Func::wrap(store, || {}))
    }

    /// Finds everything that a module imports.
    ///
    /// # Errors
    /// [`LinkError`](crate::LinkError), which names every import that is not
    /// defined or has the wrong type; [`LimitError`](crate::LimitError) if
    /// instances do not fit into the engine's pool.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        module.check_limits()?;
        let items = linking::resolve(module, false, &mut |_, row| {
            let (from, name) = module.artifact().import_name(row);
            let provided = self.find(from, name)?;
            if let (Item::Host(def), _) = provided {
                return Some((Item::Host(def.clone()), None));
            }
            if !parts::LINKING.is_on() {
                return None;
            }
            let (item, ty) = provided.clone();
            // It may have grown since it was defined.
            let ty = match &item {
                Item::Extern(Extern::SharedMemory(memory)) => Some(memory.ty().into()),
                _ => ty,
            };
            Some((item, ty))
        });
        // Where names were lost with the file, nothing said of them helps.
        module.intact()?;
        let items = items?;
        linking::check_shared(module, &items)?;
        Ok(InstancePre::new(module, items))
    }

    /// Finds everything that a module imports, and instantiates it.
    ///
    /// # Errors
    /// As for [`instantiate_pre`](Self::instantiate_pre) and
    /// [`InstancePre::instantiate`].
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        self.instantiate_pre(module)?.instantiate(store)
    }
}

/// Something that a linker has, in a store.
fn provide(store: &mut impl AsContextMut, item: &Item) -> Extern {
    match item {
        Item::Extern(item) => item.clone(),
        Item::Host(def) => Extern::Func(HostFunc::install(&mut store.as_context_mut().0.opaque, def.clone())),
    }
}
