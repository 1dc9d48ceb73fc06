//! What an instance consists of, for the compiler: it makes artifacts whose
//! instances begin in a state that another instance has reached.

use crate::instance::Instance;
use crate::store::Store;

/// The state of an instance, in terms of its module. Nothing else of a module
/// changes, but what belongs to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceState {
    /// Every memory that the module defines.
    pub memories: Vec<MemoryState>,
    /// Every table that the module defines; `None` for one that never changes.
    pub tables: Vec<Option<TableState>>,
    /// Every global that the module defines, and behind those the ones that
    /// the compiler has made for values of elements and tables.
    pub globals: Vec<Value>,
    /// Whether each passive data segment was dropped.
    pub dropped_data: Vec<bool>,
    /// Whether each passive element segment was dropped.
    pub dropped_elems: Vec<bool>,
}

/// The state of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryState {
    /// Its size, in pages of its own.
    pub pages: u64,
    /// What is not zero, in order.
    pub runs: Vec<Run>,
}

/// Bytes of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where the first one is.
    pub position: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The state of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// Number of elements.
    pub length: u64,
    /// Elements that are not null, and where the first of each run is.
    pub runs: Vec<(u64, Vec<Value>)>,
}

/// A value, in terms of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number or a vector, as its bits.
    Number(u128),
    /// A null reference.
    Null,
    /// A function of the module's index space.
    Function(u32),
    /// An unboxed integer, as it is in memory.
    I31(u32),
    /// A struct or an array. Equal numbers are the same object.
    Object(u32),
    /// An exception.
    Exception,
    /// A value of the host's.
    Host,
    /// A function that is neither the module's nor imported by it.
    ForeignFunction,
}

impl InstanceState {
    /// The state of an instance.
    ///
    /// # Panics
    /// If the instance belongs to another store.
    pub fn of<T: 'static>(store: &mut Store<T>, instance: &Instance) -> InstanceState {
        let opaque = &store.inner.opaque;
        let data = instance.0.get(opaque);
        let counts = *data.module().artifact().layout().counts();
        let range = |imported: u32, defined: u32| imported..imported + defined;
        InstanceState {
            memories: range(counts.memory_imports, counts.memories).filter_map(|i| data.memory_state(i)).collect(),
            tables: range(counts.table_imports, counts.tables).map(|i| data.table_state(i)).collect(),
            globals: range(counts.global_imports, counts.globals).filter_map(|i| data.global_state(i)).collect(),
            dropped_data: data.dropped_data(),
            dropped_elems: data.dropped_elems(),
        }
    }
}
