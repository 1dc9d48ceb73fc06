//! What can be made of a type alone: functions that return zeros, globals of
//! zeros, empty memories and tables of nulls.

use super::{ExternType, FuncType, GlobalType, MemoryType, TableType, TagType};
use crate::error::{Context, Result};
use crate::externs::Extern;
use crate::func::Func;
use crate::memory::Memory;
use crate::shared_memory::SharedMemory;
use crate::store::AsContextMut;
use crate::table::Table;
use crate::tag::Tag;
use crate::values::{Ref, Val};
use crate::vm::global::Global;
use wasmc_artifacts::abi::ValType;

/// Whether there is a value without anything being said about it: zero or
/// null, which a reference that cannot be null is not.
pub(crate) fn has_default(ty: &ExternType) -> bool {
    match ty {
        ExternType::Func(_) | ExternType::Memory(_) | ExternType::Tag(_) => true,
        ExternType::Global(ty) => ty.content().has_default(),
        ExternType::Table(ty) => ty.element().has_default(),
    }
}

fn default_of(ty: &ValType) -> Result<Val> {
    Val::default_for_ty(ty).with_context(|| format!("there is no default value of type {ty}, which has no null"))
}

impl FuncType {
    /// A function of this type that returns zeros and nulls.
    ///
    /// # Errors
    /// If a result has no default value.
    ///
    /// # Panics
    /// If the engine has seen another type with this type's id.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Func> {
        self.results().iter().try_for_each(|ty| default_of(ty).map(|_| ()))?;
        // What a host function does not set are zeros and nulls.
        Ok(Func::new(store, self.clone(), |_, _, _| Ok(())))
    }
}

impl GlobalType {
    /// A global of this type that is zero or null.
    ///
    /// # Errors
    /// If its content has no default value.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Global> {
        Global::new(store, self.clone(), default_of(self.content())?)
    }
}

impl TableType {
    /// A table of this type and of the least size, all elements null.
    ///
    /// # Errors
    /// If its elements have no default value, or as for [`Table::new`].
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Table> {
        let null: Option<Ref> = default_of(&self.element())?.ref_();
        Table::new(store, self.clone(), null.with_context(|| format!("no table can have the type {self}"))?)
    }
}

impl MemoryType {
    /// A memory of this type and of the least size: a [`SharedMemory`] if it is
    /// shared, which the store's limiter is asked about too.
    ///
    /// # Errors
    /// As for [`Memory::new`] and [`SharedMemory::new`].
    pub fn default_value(&self, mut store: impl AsContextMut) -> Result<Extern> {
        if !self.is_shared() {
            return Ok(Memory::new(store, self.clone())?.into());
        }
        store.as_context_mut().0.limited(
            |limiter| limiter.memory(self, usize::MAX),
            |store| Ok(SharedMemory::new(&store.engine, self.clone())?.into()),
        )
    }
}

impl TagType {
    /// A tag of this type, which nobody else has.
    ///
    /// # Errors
    /// As for [`Tag::new`].
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Tag> {
        Tag::new(store, self)
    }
}

impl ExternType {
    /// Something of this type, as new and empty as it can be.
    ///
    /// # Errors
    /// If there is no default value, or the store has no room for it.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Extern> {
        Ok(match self {
            ExternType::Func(ty) => ty.default_value(store)?.into(),
            ExternType::Global(ty) => ty.default_value(store)?.into(),
            ExternType::Table(ty) => ty.default_value(store)?.into(),
            ExternType::Memory(ty) => ty.default_value(store)?,
            ExternType::Tag(ty) => ty.default_value(store)?.into(),
        })
    }
}
