//! Modules with their imports looked up and checked, ready to be
//! instantiated any number of times.

use crate::error::{Error, Result};
use crate::instance::{Instance, instantiate};
use crate::linking::{self, Items};
use crate::module::Module;
use crate::parts;
use crate::store::{AsContextMut, StoreContextMut, StoreInner};
use crate::strategy::InstantiationStrategy;
use crate::sys;
use crate::vm::instance::Placement;
use crate::vm::shared::Shared;
use std::marker::PhantomData;

/// A module with everything it imports; from
/// [`Linker::instantiate_pre`](crate::Linker::instantiate_pre).
///
/// Made once and shared by threads, so that an instance costs no search.
///
/// ```
/// # use wasmc_loader::{Engine, Linker, Module, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::default();
/// # let artifact = wasmc::compile(br#"(module (global $count (mut i32) (i32.const 0))
/// #     (func (export "next") (result i32)
/// #       (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))"#,
/// #     &wasmc::Options::new())?;
/// # // SAFETY: the artifact was made by `wasmc`.
/// # let module = unsafe { Module::from_bytes(&engine, &artifact)? };
/// let counter = Linker::new(&engine).instantiate_pre(&module)?;
/// let count_to_two = || -> Result<(i32, i32)> {
///     let mut store = Store::new(&engine, ());
///     let instance = counter.instantiate(&mut store)?;
///     let next = instance.get_typed_func::<(), i32>(&mut store, "next")?;
///     Ok((next.call(&mut store, ())?, next.call(&mut store, ())?))
/// };
/// std::thread::scope(|scope| {
///     for worker in [(); 4].map(|()| scope.spawn(count_to_two)) {
///         // Nothing that the other instances do can be seen in one.
///         assert_eq!(worker.join().expect("no panic")?, (1, 2));
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct InstancePre<T: 'static> {
    module: Module,
    items: Shared<Items>,
    /// Whether something imported belongs to a store.
    bound: bool,
    data: PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre { module: self.module.clone(), items: self.items.clone(), bound: self.bound, data: PhantomData }
    }
}

impl<T: 'static> InstancePre<T> {
    pub(crate) fn new(module: &Module, items: Items) -> Self {
        InstancePre { module: module.clone(), bound: items.bound(), items: Shared::new(items), data: PhantomData }
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance and calls its start function.
    ///
    /// # Errors
    /// If something imported belongs to another store or does not fit any
    /// more, a segment is out of bounds, the start function fails, or there is
    /// no memory for the instance.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let engine = self.module.engine();
        let inner = store.as_context_mut().0;
        if parts::INSTANCE_REUSE.is_on() && engine.config().reuse_instances {
            self.reuse(inner)
        } else {
            self.make(inner, engine.placement())
        }
    }

    /// Makes an instance in another way than the engine does.
    ///
    /// # Errors
    /// As for [`instantiate`](Self::instantiate); or if the instance is to live
    /// in a pool and the engine has none.
    pub fn instantiate_with(
        &self,
        mut store: impl AsContextMut<Data = T>,
        strategy: InstantiationStrategy,
    ) -> Result<Instance> {
        let own = self.module.engine().placement();
        let inner = store.as_context_mut().0;
        if strategy.reuses_instances() {
            parts::INSTANCE_REUSE.need("the strategy `legacy-instance-reuse`")?;
            return self.reuse(inner);
        }
        if strategy.is_pooling() && !own.pooled {
            return Err(Error::msg(format!(
                "cannot make an instance with the strategy {strategy}: the engine has no pool; configure one with `Config::allocation_strategy`"
            )));
        }
        let view = strategy.is_copy_on_write() && sys::copy_on_write_works()?;
        if strategy.is_pooling() && view != own.view {
            return Err(Error::msg(format!(
                "cannot make an instance with the strategy {strategy}: the engine's pool is used with {}; only instances on demand can differ from that",
                self.module.engine().instantiation_strategy()
            )));
        }
        if !strategy.is_pooling() {
            parts::ON_DEMAND.need("an instance outside the pool")?;
        }
        self.make(inner, Placement { pooled: strategy.is_pooling(), view })
    }

    /// Resets the store's instance of this module with these imports, or makes
    /// one on demand if there is none.
    fn reuse(&self, inner: &mut StoreInner<T>) -> Result<Instance> {
        if let Some(instance) = self.existing(inner) {
            instance.reset(StoreContextMut(inner))?;
            return Ok(instance);
        }
        self.make(inner, Placement { pooled: false, ..self.module.engine().placement() })
    }

    fn make(&self, inner: &mut StoreInner<T>, placement: Placement) -> Result<Instance> {
        if self.bound {
            linking::check_bound(&inner.opaque, &self.module, &self.items)?;
        }
        instantiate(inner, &self.module, &self.items, placement)
    }

    /// The store's instance of this module with these imports.
    fn existing(&self, inner: &StoreInner<T>) -> Option<Instance> {
        let state = &inner.opaque.state;
        let found = state.instances().find(|instance| instance.is_of(&self.module, &self.items))?;
        Some(Instance(found.itself(state)))
    }
}
