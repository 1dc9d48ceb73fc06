//! What the two sides of the differential test have in common.

use std::collections::BTreeMap;

/// A value as both sides see it. A function is only null or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    Func(bool),
    /// A value of the host's, by its number.
    Extern(Option<u32>),
}

/// The types that arguments have to be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    I32,
    I64,
    F32,
    F64,
    V128,
    Func,
    Extern,
}

/// Everything about an instance that its host can see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) globals: BTreeMap<String, Value>,
    pub(crate) memories: BTreeMap<String, Vec<u8>>,
    pub(crate) tables: BTreeMap<String, Vec<Value>>,
    /// Calls of host functions: which imported function, and its arguments.
    pub(crate) log: Vec<(usize, Vec<Value>)>,
}

impl State {
    /// The first difference, in words.
    pub(crate) fn difference(&self, other: &State) -> Option<String> {
        let (a, b) = (self, other);
        if a.log != b.log {
            return Some(format!("calls of imports: {:?} and {:?}", a.log, b.log));
        }
        if a.globals != b.globals {
            let differ = a.globals.iter().filter(|(name, value)| b.globals.get(*name) != Some(value));
            return Some(
                differ
                    .map(|(name, value)| format!("global {name:?}: {value:?} and {:?}", b.globals.get(name)))
                    .collect(),
            );
        }
        if a.tables != b.tables {
            return Some(format!("tables: {:?} and {:?}", a.tables, b.tables));
        }
        for (name, left) in &a.memories {
            let right = b.memories.get(name).map(Vec::as_slice).unwrap_or_default();
            if left.len() != right.len() {
                return Some(format!("memory {name:?}: {} and {} bytes", left.len(), right.len()));
            }
            if let Some(at) = left.iter().zip(right).position(|(left, right)| left != right) {
                return Some(format!("memory {name:?} at {at:#x}: {:#x} and {:#x}", left[at], right[at]));
            }
        }
        None
    }
}

/// An instance of a module, on one of the sides.
///
/// Imported functions note their arguments and return zeros and nulls; other
/// imports are zero, null, or as small as their type allows.
pub(crate) trait Side: Sized {
    /// A module that is ready to be instantiated.
    type Module;

    /// An instance, or how its making trapped.
    fn instantiate(module: &Self::Module) -> Result<Self, String>;

    /// Calls an exported function. Traps by name.
    fn call(&mut self, name: &str, args: &[Value]) -> Result<Vec<Value>, String>;

    /// What can be seen.
    fn state(&mut self) -> State;
}
