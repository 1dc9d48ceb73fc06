//! What can be imported and exported.

use crate::func::Func;
use crate::memory::Memory;
use crate::shared_memory::SharedMemory;
use crate::store::{AsContext, StoreOpaque};
use crate::table::Table;
use crate::tag::Tag;
use crate::types::ExternType;
use crate::vm::global::Global;
use crate::vm::handle::StoreId;

/// Something that can be imported and exported.
#[derive(Debug, Clone)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A tag.
    Tag(Tag),
    /// A memory that threads share; it belongs to no store.
    SharedMemory(SharedMemory),
}

impl Extern {
    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        if let Extern::Func(func) = self { Some(func) } else { None }
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        if let Extern::Global(global) = self { Some(global) } else { None }
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        if let Extern::Table(table) = self { Some(table) } else { None }
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        if let Extern::Memory(memory) = self { Some(memory) } else { None }
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        if let Extern::Tag(tag) = self { Some(tag) } else { None }
    }

    /// The shared memory, if it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        if let Extern::SharedMemory(memory) = self { Some(memory) } else { None }
    }

    /// The type, of a memory or table with its current size as minimum.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> ExternType {
        match self {
            Extern::Func(func) => ExternType::Func(func.ty_in(store)),
            Extern::Global(global) => ExternType::Global(global.ty_in(store)),
            Extern::Table(table) => ExternType::Table(table.ty_in(store)),
            Extern::Memory(memory) => ExternType::Memory(memory.ty_in(store)),
            Extern::Tag(tag) => ExternType::Tag(tag.ty_in(store)),
            Extern::SharedMemory(memory) => ExternType::Memory(memory.ty()),
        }
    }

    /// The store that it belongs to, if it does.
    pub(crate) fn store(&self) -> Option<StoreId> {
        Some(match self {
            Extern::Func(func) => func.0.store(),
            Extern::Global(global) => global.store(),
            Extern::Table(table) => table.0.store(),
            Extern::Memory(memory) => memory.0.store(),
            Extern::Tag(tag) => tag.0.store(),
            Extern::SharedMemory(_) => return None,
        })
    }
}

impl From<Func> for Extern {
    fn from(func: Func) -> Extern {
        Extern::Func(func)
    }
}
impl From<Global> for Extern {
    fn from(global: Global) -> Extern {
        Extern::Global(global)
    }
}
impl From<Table> for Extern {
    fn from(table: Table) -> Extern {
        Extern::Table(table)
    }
}
impl From<Memory> for Extern {
    fn from(memory: Memory) -> Extern {
        Extern::Memory(memory)
    }
}
impl From<Tag> for Extern {
    fn from(tag: Tag) -> Extern {
        Extern::Tag(tag)
    }
}
impl From<SharedMemory> for Extern {
    fn from(memory: SharedMemory) -> Extern {
        Extern::SharedMemory(memory)
    }
}

/// An export of an instance: a name and what it stands for.
#[derive(Debug, Clone)]
pub struct Export<'instance> {
    pub(crate) name: &'instance str,
    pub(crate) value: Extern,
}

impl<'instance> Export<'instance> {
    /// The name.
    pub fn name(&self) -> &'instance str {
        self.name
    }

    /// Its type, of a memory or table with its current size as minimum.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.value.ty(store)
    }

    /// What it stands for.
    pub fn into_extern(self) -> Extern {
        self.value
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.value.into_func()
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.value.into_memory()
    }

    /// The shared memory, if it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        self.value.into_shared_memory()
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.value.into_table()
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.value.into_global()
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        self.value.into_tag()
    }
}
