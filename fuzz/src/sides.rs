//! What both sides of a comparison have in common.

use std::collections::BTreeMap;

/// A value as both sides see it: references are compared by what they are, not
/// by which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    I32(i32),
    /// A number.
    I64(i64),
    /// A float's bits.
    F32(u32),
    /// A float's bits.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A null reference of any type.
    Null,
    /// A function.
    Func,
    /// A value of the host's, by its number.
    Extern(u32),
    /// A number in a reference.
    I31(i32),
    /// An object.
    Struct,
    /// An object.
    Array,
    /// An exception.
    Exn,
    /// A reference of which nothing can be told.
    Opaque,
}

impl Value {
    /// Whether the two may be the same, as far as can be told.
    pub fn agrees(self, other: Value) -> bool {
        let is_reference = |value: Value| {
            !matches!(value, Value::I32(_) | Value::I64(_) | Value::F32(_) | Value::F64(_) | Value::V128(_))
        };
        self == other || [self, other].contains(&Value::Opaque) && is_reference(self) && is_reference(other)
    }
}

/// The types of arguments that can be made on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A number.
    I32,
    /// A number.
    I64,
    /// A float.
    F32,
    /// A float.
    F64,
    /// A vector.
    V128,
    /// A reference to which null is passed.
    Null,
    /// A value of the host's, or null.
    Extern,
    /// A number in a reference, or null.
    Any,
}

/// Why something ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A trap, by its name.
    Trap(String),
    /// An exception that nobody caught.
    Exception,
    /// The stack, whose end depends on how large frames are.
    Deep,
    /// The heap of objects, or another resource, whose limits differ.
    Exhausted,
    /// Something else, which is none of WebAssembly's ways to end.
    Other(String),
}

impl Stop {
    /// Whether it depends on the side when this happens.
    pub fn is_limit(&self) -> bool {
        matches!(self, Stop::Deep | Stop::Exhausted)
    }
}

/// The content of a memory, by its length and a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub length: usize,
    /// Of all of them.
    pub hash: u64,
}

impl Content {
    /// The content of a memory (FNV-1a, eight bytes at a time).
    pub fn of(bytes: &[u8]) -> Content {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        for byte in chunks.remainder() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Content { length: bytes.len(), hash }
    }
}

/// Everything about an instance that its host can see.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// By name.
    pub globals: BTreeMap<String, Value>,
    /// By name.
    pub memories: BTreeMap<String, Content>,
    /// By name.
    pub tables: BTreeMap<String, Vec<Value>>,
    /// Calls of host functions: which imported function, and its arguments.
    pub log: Vec<(usize, Vec<Value>)>,
}

impl State {
    /// The first difference, in words.
    pub fn difference(&self, other: &State) -> Option<String> {
        if self.log.len() != other.log.len() {
            return Some(format!("{} and {} calls of imports", self.log.len(), other.log.len()));
        }
        for (left, right) in self.log.iter().zip(&other.log) {
            if left.0 != right.0 || !agree(&left.1, &right.1) {
                return Some(format!("calls of imports: {left:?} and {right:?}"));
            }
        }
        for (name, left) in &self.globals {
            match other.globals.get(name) {
                Some(right) if left.agrees(*right) => {}
                right => return Some(format!("global {name:?}: {left:?} and {right:?}")),
            }
        }
        for (name, left) in &self.tables {
            let right = other.tables.get(name).map(Vec::as_slice).unwrap_or_default();
            if left.len() != right.len() {
                return Some(format!("table {name:?}: {} and {} elements", left.len(), right.len()));
            }
            if let Some(at) = left.iter().zip(right).position(|(left, right)| !left.agrees(*right)) {
                return Some(format!("table {name:?} at {at}: {:?} and {:?}", left[at], right[at]));
            }
        }
        for (name, left) in &self.memories {
            if other.memories.get(name) != Some(left) {
                return Some(format!("memory {name:?}: {left:?} and {:?}", other.memories.get(name)));
            }
        }
        None
    }
}

/// Whether two lists of values may be the same.
pub fn agree(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.agrees(*right))
}

/// A call of an export, and what it came to.
#[derive(Debug, Clone)]
pub struct Call {
    /// The export.
    pub name: String,
    /// What it was given.
    pub args: Vec<Value>,
    /// What it gave.
    pub result: Result<Vec<Value>, Stop>,
    /// What could be seen afterwards.
    pub state: State,
}

/// What happened to an instance.
#[derive(Debug, Clone)]
pub struct Session {
    /// What could be seen of it when it was new, or why it was not made.
    pub new: Result<State, Stop>,
    /// In order. After one that ended at a limit of its side there are none.
    pub calls: Vec<Call>,
}

/// Functions to call, and what with: a list for each instance.
pub type Script = Vec<Vec<(String, Vec<Value>)>>;
