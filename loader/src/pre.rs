//! Modules with their imports looked up and checked, ready to be
//! instantiated any number of times.

use crate::error::Result;
use crate::instance::{Instance, instantiate};
use crate::linking::{self, Items};
use crate::module::Module;
use crate::store::AsContextMut;
use crate::vm::shared::Shared;
use std::marker::PhantomData;

/// A module with everything it imports; from
/// [`Linker::instantiate_pre`](crate::Linker::instantiate_pre).
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
        let inner = store.as_context_mut().0;
        if self.bound {
            linking::check_bound(&inner.opaque, &self.module, &self.items)?;
        }
        instantiate(inner, &self.module, &self.items)
    }
}
