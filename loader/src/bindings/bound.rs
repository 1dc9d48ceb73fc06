//! Handles together with the store that they belong to.

use super::{ConstGlobal, TableElement, TypedGlobal, TypedTable};
use crate::error::Result;
use crate::memory::{Memory, MemoryAccessError};
use crate::store::{StoreContext, StoreContextMut};
use crate::table::Table;
use crate::types::{MemoryType, TableType};
use crate::values::{Ref, Val};
use crate::vm::global::Global;
use crate::vm::typed::WasmTy;

/// Something that an instance exports, with the store that it lives in: what
/// can be done with it needs no store as an argument.
///
/// Generated bindings return it: `instance.memory().write(0, b"text")?`.
pub struct Bound<'a, T: 'static, H> {
    store: StoreContextMut<'a, T>,
    handle: H,
}

impl<'a, T: 'static, H: Copy> Bound<'a, T, H> {
    /// A handle with its store.
    pub fn new(store: impl Into<StoreContextMut<'a, T>>, handle: H) -> Self {
        Bound { store: store.into(), handle }
    }

    /// The handle, which can be kept.
    pub fn handle(&self) -> H {
        self.handle
    }

    /// The store.
    pub fn store(&mut self) -> &mut StoreContextMut<'a, T> {
        &mut self.store
    }
}

impl<T: 'static, H: std::fmt::Debug> std::fmt::Debug for Bound<'_, T, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.handle.fmt(f)
    }
}

impl<'a, T: 'static> Bound<'a, T, Memory> {
    /// The content.
    pub fn data(&self) -> &[u8] {
        self.handle.data(&self.store)
    }

    /// The content, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.handle.data_mut(&mut self.store)
    }

    /// The content, to be changed, for as long as the store is borrowed.
    pub fn into_data_mut(self) -> &'a mut [u8] {
        self.handle.data_mut(self.store)
    }

    /// The content, to be changed, and the host's data with it.
    pub fn data_and_store_mut(&mut self) -> (&mut [u8], &mut T) {
        self.handle.data_and_store_mut(&mut self.store)
    }

    /// Copies bytes from `offset` on into `buffer`.
    ///
    /// # Errors
    /// [`MemoryAccessError`] if they are not all within the memory.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        self.handle.read(&self.store, offset, buffer)
    }

    /// Copies bytes from `buffer` to `offset` and on.
    ///
    /// # Errors
    /// [`MemoryAccessError`] if they would not all be within the memory.
    pub fn write(&mut self, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        self.handle.write(&mut self.store, offset, buffer)
    }

    /// Grows by `delta` pages; the old size in pages.
    ///
    /// # Errors
    /// If the memory cannot become that large.
    pub fn grow(&mut self, delta: u64) -> Result<u64> {
        self.handle.grow(&mut self.store, delta)
    }

    /// Size in pages.
    pub fn size(&self) -> u64 {
        self.handle.size(&self.store)
    }

    /// Length in bytes.
    pub fn data_size(&self) -> usize {
        self.handle.data_size(&self.store)
    }

    /// The type, with the current size as its minimum.
    pub fn ty(&self) -> MemoryType {
        self.handle.ty(&self.store)
    }
}

impl<T: 'static, V: WasmTy> Bound<'_, T, TypedGlobal<V>> {
    /// The value.
    pub fn get(&mut self) -> V {
        self.handle.get(&mut self.store)
    }

    /// Changes the value.
    ///
    /// # Errors
    /// As for [`TypedGlobal::set`].
    pub fn set(&mut self, value: V) -> Result<()> {
        self.handle.set(&mut self.store, value)
    }
}

impl<T: 'static, V: WasmTy> Bound<'_, T, ConstGlobal<V>> {
    /// The value.
    pub fn get(&mut self) -> V {
        self.handle.get(&mut self.store)
    }
}

impl<T: 'static> Bound<'_, T, Global> {
    /// The value.
    pub fn get(&mut self) -> Val {
        self.handle.get(&mut self.store)
    }

    /// Changes the value.
    ///
    /// # Errors
    /// As for [`Global::set`].
    pub fn set(&mut self, value: Val) -> Result<()> {
        self.handle.set(&mut self.store, value)
    }
}

macro_rules! tables {
    ($($table:ty, $element:ty, ($($generics:tt)*);)*) => {$(
        impl<T: 'static, $($generics)*> Bound<'_, T, $table> {
            /// The element at `index`, if there is one.
            pub fn get(&mut self, index: u64) -> Option<$element> {
                self.handle.get(&mut self.store, index)
            }

            /// Sets the element at `index`.
            ///
            /// # Errors
            /// If there is none, or `value` is of another type.
            pub fn set(&mut self, index: u64, value: $element) -> Result<()> {
                self.handle.set(&mut self.store, index, value)
            }

            /// Grows by `delta` elements, which are `init`; the old length.
            ///
            /// # Errors
            /// If the table cannot become that large, or `init` is of another type.
            pub fn grow(&mut self, delta: u64, init: $element) -> Result<u64> {
                self.handle.grow(&mut self.store, delta, init)
            }

            /// Sets `count` elements from `to` on.
            ///
            /// # Errors
            /// If there are not so many, or `value` is of another type.
            pub fn fill(&mut self, to: u64, value: $element, count: u64) -> Result<()> {
                self.handle.fill(&mut self.store, to, value, count)
            }

            /// Number of elements.
            pub fn size(&self) -> u64 {
                self.handle.size(&self.store)
            }

            /// The type, with the current size as its minimum.
            pub fn ty(&self) -> TableType {
                self.handle.ty(&self.store)
            }
        }
    )*};
}

tables! {
    TypedTable<R>, R, (R: TableElement);
    Table, Ref, ();
}

impl<'a, T: 'static, H> From<&'a Bound<'_, T, H>> for StoreContext<'a, T> {
    fn from(bound: &'a Bound<'_, T, H>) -> Self {
        StoreContext(bound.store.0)
    }
}
