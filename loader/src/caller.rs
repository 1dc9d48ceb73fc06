//! What a host function knows of who called it.

use crate::engine::Engine;
use crate::externs::Extern;
use crate::instance::Instance;
use crate::module::ModuleExport;
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreInner, StoreOpaque};
use crate::vm::handle::Stored;
use crate::vm::instance::InstanceData;

/// The store that a host function was called in, and the instance that
/// imports the function.
pub struct Caller<'a, T: 'static> {
    store: StoreContextMut<'a, T>,
    instance: Option<Stored<InstanceData>>,
}

impl<'a, T: 'static> Caller<'a, T> {
    #[inline(always)]
    pub(crate) fn new(store: StoreContextMut<'a, T>, instance: Option<Stored<InstanceData>>) -> Self {
        Caller { store, instance }
    }

    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Caller<'_, T> {
        Caller { store: StoreContextMut(self.store.0), instance: self.instance }
    }

    #[inline(always)]
    pub(crate) fn opaque(&mut self) -> &mut StoreOpaque {
        &mut self.store.0.opaque
    }

    /// Runs the store's hook, if it has one.
    #[cfg(feature = "call-hook")]
    #[inline(always)]
    pub(crate) fn hook(&mut self, when: crate::hook::CallHook) -> crate::error::Result<()> {
        if self.store.0.hook.is_some() { self.store.0.run_hook(when) } else { Ok(()) }
    }

    /// The store.
    pub(crate) fn inner(&self) -> &StoreInner<T> {
        self.store.0
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The host's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// The export `name` of the calling instance; `None` also if the function
    /// was not called as an import of an instance, but through a table, as a
    /// value, or by the host.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        Instance(self.instance?).get_export(&mut self.store, name)
    }

    /// The same without a search by name.
    pub fn get_module_export(&mut self, export: &ModuleExport) -> Option<Extern> {
        Instance(self.instance?).get_module_export(&mut self.store, export)
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.store.0)
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.store.0)
    }
}
