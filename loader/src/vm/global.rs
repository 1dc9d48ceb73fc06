//! Globals.

use super::handle::{StoreId, Stored};
use super::instance::InstanceData;
use super::structs::ValRaw;
use super::typed::WasmTy;
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{GlobalType, Mutability, ValType};
use crate::values::Val;
use std::cell::Cell;

/// A global of an instance or of the host; belongs to a store.
#[derive(Debug, Clone, Copy)]
pub struct Global {
    cell: Stored<Cell<ValRaw>>,
    content: ValType,
    mutability: Mutability,
}

impl Global {
    /// A global of the host's.
    ///
    /// # Errors
    /// If the value does not have the type, or is a reference of another store
    /// or one whose scope has ended.
    ///
    /// # Panics
    /// If the value is a function of another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let opaque = &mut store.as_context_mut().0.opaque;
        let raw = checked(opaque, *ty.content(), value)?;
        let cell = opaque.state.new_global(raw, *ty.content());
        Ok(Global { cell, content: *ty.content(), mutability: ty.mutability() })
    }

    /// The type.
    ///
    /// # Panics
    /// If the global belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> GlobalType {
        self.cell.get(store);
        GlobalType::new(self.content, self.mutability)
    }

    /// The value.
    ///
    /// # Panics
    /// If the global belongs to another store.
    pub fn get(&self, mut store: impl AsContextMut) -> Val {
        let opaque = &store.as_context_mut().0.opaque;
        // SAFETY: the cell of a global of this store and type.
        unsafe { Val::from_raw(self.cell.get(opaque).get(), self.content, opaque) }
    }

    /// Changes the value.
    ///
    /// # Errors
    /// If the global cannot change, or the value does not have its type, or is
    /// a reference of another store or one whose scope has ended.
    ///
    /// # Panics
    /// If the global, or a function that is the value, belongs to another
    /// store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let opaque = &store.as_context_mut().0.opaque;
        let cell = self.cell.get(opaque);
        if self.mutability == Mutability::Const {
            return Err(Error::msg("an immutable global cannot be set"));
        }
        cell.set(checked(opaque, self.content, value)?);
        Ok(())
    }

    /// A global of the host's with a value of its type.
    ///
    /// # Errors
    /// If the value is a reference of another store or one whose scope has
    /// ended.
    pub(crate) fn new_typed<V: WasmTy>(store: &StoreOpaque, ty: GlobalType, value: V) -> Result<Global> {
        assert!(*ty.content() == V::TYPE, "the value is of another type than the global");
        let raw = V::abi_to_raw(value.into_abi(store)?);
        let cell = store.state.new_global(raw, V::TYPE);
        Ok(Global { cell, content: V::TYPE, mutability: ty.mutability() })
    }

    /// The value, which is of type `V`.
    ///
    /// # Panics
    /// If it is not, or the global belongs to another store.
    #[inline]
    pub(crate) fn get_typed<V: WasmTy>(&self, store: &StoreOpaque) -> V {
        assert!(self.content == V::TYPE, "the global is of another type");
        // SAFETY: the cell of a global of this store and type.
        unsafe { V::from_abi(V::raw_to_abi(self.cell.get(store).get()), store) }
    }

    /// Changes the value of a global of type `V` that can change.
    ///
    /// # Errors
    /// If the value is a reference of another store or one whose scope has
    /// ended.
    ///
    /// # Panics
    /// If it is not such a global, or belongs to another store.
    #[inline]
    pub(crate) fn set_typed<V: WasmTy>(&self, store: &StoreOpaque, value: V) -> Result<()> {
        let fits = self.content == V::TYPE && self.mutability == Mutability::Var;
        assert!(fits, "the global is of another type");
        self.cell.get(store).set(V::abi_to_raw(value.into_abi(store)?));
        Ok(())
    }

    /// Whether it is of this very type.
    pub(crate) fn of_type(&self, ty: &GlobalType) -> bool {
        (self.content, self.mutability) == (*ty.content(), ty.mutability())
    }

    pub(crate) fn store(&self) -> StoreId {
        self.cell.store()
    }

    pub(crate) fn cell(&self) -> Stored<Cell<ValRaw>> {
        self.cell
    }

    /// The global `index` of an instance's index space.
    pub(crate) fn of_instance(store: &StoreOpaque, instance: &InstanceData, index: u32) -> Option<Global> {
        let row = instance.module().artifact().tables().globals.get(index as usize)?;
        let ty = GlobalType::of_row(&row)?;
        let cell = instance.handle(&store.state, |instance| instance.global_cell(index))?;
        Some(Global { cell, content: *ty.content(), mutability: ty.mutability() })
    }
}

fn checked(store: &StoreOpaque, expected: ValType, value: Val) -> Result<ValRaw> {
    value.checked_raw(store, expected, |found| {
        format!("a global of type {expected} cannot have a value of type {found}")
    })
}
