//! Collecting garbage on demand.

use crate::caller::Caller;
use crate::store::{Store, StoreContextMut};

impl<T: 'static> Store<T> {
    /// Drops everything on the store's garbage-collected heap, and all values
    /// of the host's that wasm referred to, which neither wasm nor the host can
    /// reach any more.
    ///
    /// Collections happen on their own when memory gets scarce; this makes one
    /// happen now.
    pub fn gc(&mut self) {
        StoreContextMut::from(self).gc();
    }

    /// Bytes of the objects on the store's heap; of those that are dead, a
    /// collection finds out.
    pub fn gc_heap_size(&self) -> usize {
        self.inner.opaque.state.heap_size()
    }

    /// Bytes of memory that the store's heap has taken from the system.
    pub fn gc_heap_capacity(&self) -> usize {
        self.inner.opaque.state.heap_resident()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::gc`]. What wasm code that has called the host needs later is
    /// kept.
    pub fn gc(&mut self) {
        self.0.opaque.state.collect_garbage();
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`StoreContextMut::gc`].
    pub fn gc(&mut self) {
        self.opaque().state.collect_garbage();
    }
}
