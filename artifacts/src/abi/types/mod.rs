//! Types: of values, functions, structs and arrays, their encoding in
//! artifacts, and their identity.
//!
//! * this file: value and reference types;
//! * [`composite`]: what a module's type section defines;
//! * [`encoding`]: bytes, and canonical ids.

mod composite;
mod encoding;

pub use composite::{ArrayType, CompositeType, FieldType, FuncType, StorageType, StructType, SubType};
pub use encoding::{TypeError, TypeOutline, ValTypeCode, group_ids};

use std::fmt;

/// The canonical identity of a defined type: equal ids mean equal types, in
/// every module.
///
/// Taken from the SHA-256 of the type's recursion group, with the highest bit
/// set, so never 0. Two different types with one id are refused when the
/// second is loaded. While the ids of a group are computed, a number without
/// that bit stands for the member at that position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u64);

/// What a defined type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TypeKind {
    /// A function.
    Func = 0x60,
    /// A struct.
    Struct = 0x5f,
    /// An array.
    Array = 0x5e,
}

impl TypeKind {
    /// The kind with this number (that of the wasm binary format), if any.
    pub const fn from_code(code: u8) -> Option<TypeKind> {
        Some(match code {
            0x60 => TypeKind::Func,
            0x5f => TypeKind::Struct,
            0x5e => TypeKind::Array,
            _ => return None,
        })
    }
}

/// A defined type, as references name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConcreteType {
    /// What it is.
    pub kind: TypeKind,
    /// Which one it is.
    pub id: TypeId,
}

/// What a reference may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// No function.
    NoFunc,
    /// Any value of the host's.
    Extern,
    /// No value of the host's.
    NoExtern,
    /// Anything of wasm's own, and values of the host's taken in.
    Any,
    /// What can be compared: structs, arrays and small integers.
    Eq,
    /// A 31-bit integer.
    I31,
    /// Any struct.
    Struct,
    /// Any array.
    Array,
    /// Nothing.
    None,
    /// Any exception.
    Exn,
    /// No exception.
    NoExn,
    /// Something of a defined type.
    Concrete(ConcreteType),
}

/// Every abstract heap type, with its number in the wasm binary format, its
/// name, and that of its nullable reference type.
macro_rules! abstract_types {
    ($($heap:ident $code:literal $name:literal $nullable:literal,)*) => {
        // Not a table with the names in it: each would have to be relocated
        // when a program starts.
        impl HeapType {
            #[cfg(test)]
            const ABSTRACT: &[HeapType] = &[$(HeapType::$heap),*];

            /// The number; none for defined types.
            const fn code(self) -> Option<u8> {
                match self {
                    $(HeapType::$heap => Some($code),)*
                    HeapType::Concrete(_) => None,
                }
            }

            const fn from_code(code: u8) -> Option<HeapType> {
                match code {
                    $($code => Some(HeapType::$heap),)*
                    _ => None,
                }
            }

            /// Both names; none for defined types.
            const fn name(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(HeapType::$heap => Some(($name, $nullable)),)*
                    HeapType::Concrete(_) => None,
                }
            }
        }
    };
}

abstract_types! {
    Func 0x70 "func" "funcref",
    NoFunc 0x73 "nofunc" "nullfuncref",
    Extern 0x6f "extern" "externref",
    NoExtern 0x72 "noextern" "nullexternref",
    Any 0x6e "any" "anyref",
    Eq 0x6d "eq" "eqref",
    I31 0x6c "i31" "i31ref",
    Struct 0x6b "struct" "structref",
    Array 0x6a "array" "arrayref",
    None 0x71 "none" "nullref",
    Exn 0x69 "exn" "exnref",
    NoExn 0x74 "noexn" "nullexnref",
}

/// Heap types that share subtypes, and how their references are represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// Functions: an address.
    Func,
    /// Values of the host's: 32 bits.
    Extern,
    /// Structs, arrays and small integers: 32 bits.
    Any,
    /// Exceptions: 32 bits.
    Exn,
}

impl HeapType {
    /// The hierarchy that it belongs to.
    pub const fn hierarchy(self) -> Hierarchy {
        match self {
            HeapType::Func | HeapType::NoFunc | HeapType::Concrete(ConcreteType { kind: TypeKind::Func, .. }) => {
                Hierarchy::Func
            }
            HeapType::Extern | HeapType::NoExtern => Hierarchy::Extern,
            HeapType::Exn | HeapType::NoExn => Hierarchy::Exn,
            HeapType::Any
            | HeapType::Eq
            | HeapType::I31
            | HeapType::Struct
            | HeapType::Array
            | HeapType::None
            | HeapType::Concrete(_) => Hierarchy::Any,
        }
    }

    /// Whether everything that is a `self` is also an `other`; `is_subtype`
    /// decides that for defined types.
    pub fn matches(self, other: HeapType, is_subtype: impl Fn(ConcreteType, ConcreteType) -> bool) -> bool {
        use HeapType as H;
        if self == other {
            return true;
        }
        match (self, other) {
            (H::Concrete(a), H::Concrete(b)) => is_subtype(a, b),
            (H::Concrete(a), H::Struct) => a.kind == TypeKind::Struct,
            (H::Concrete(a), H::Array) => a.kind == TypeKind::Array,
            (H::NoFunc, _) | (_, H::Func) => self.hierarchy() == other.hierarchy() && self != H::Func,
            (H::NoExtern, H::Extern) | (H::NoExn, H::Exn) => true,
            (H::None, _) | (_, H::Any) => self.hierarchy() == other.hierarchy() && self != H::Any,
            (H::I31 | H::Struct | H::Array, H::Eq) => true,
            (H::Concrete(a), H::Eq) => a.kind != TypeKind::Func,
            _ => false,
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeapType::Concrete(ty) => ty.fmt(f),
            other => f.write_str(other.name().map_or("?", |names| names.0)),
        }
    }
}

impl fmt::Display for ConcreteType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TypeKind::Func => "func",
            TypeKind::Struct => "struct",
            TypeKind::Array => "array",
        };
        write!(f, "{kind}:{:016x}", self.id.0)
    }
}

/// The type of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether it may be null.
    pub nullable: bool,
    /// What it refers to otherwise.
    pub heap: HeapType,
}

impl RefType {
    /// A type from its parts.
    pub const fn new(nullable: bool, heap: HeapType) -> RefType {
        RefType { nullable, heap }
    }

    /// Whether every `self` is also an `other`; `is_subtype` decides that for
    /// defined types.
    pub fn matches(self, other: RefType, is_subtype: impl Fn(ConcreteType, ConcreteType) -> bool) -> bool {
        (other.nullable || !self.nullable) && self.heap.matches(other.heap, is_subtype)
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heap.name() {
            Some((_, nullable)) if self.nullable => f.write_str(nullable),
            _ => write!(f, "(ref {}{})", if self.nullable { "null " } else { "" }, self.heap),
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference.
    Ref(RefType),
}

macro_rules! nullable {
    ($($(#[$meta:meta])* $name:ident $heap:ident,)*) => {
        impl ValType {
            $($(#[$meta])* pub const $name: ValType = ValType::Ref(RefType::$name);)*
        }
        impl RefType {
            $($(#[$meta])* pub const $name: RefType = RefType::new(true, HeapType::$heap);)*
        }
    };
}

nullable! {
    /// Nullable reference to any function.
    FUNCREF Func,
    /// Null in the hierarchy of functions.
    NULLFUNCREF NoFunc,
    /// Nullable reference to any value of the host's.
    EXTERNREF Extern,
    /// Null in the hierarchy of the host's values.
    NULLEXTERNREF NoExtern,
    /// Nullable reference to anything of wasm's own.
    ANYREF Any,
    /// Nullable reference to what can be compared.
    EQREF Eq,
    /// Nullable 31-bit integer.
    I31REF I31,
    /// Nullable reference to any struct.
    STRUCTREF Struct,
    /// Nullable reference to any array.
    ARRAYREF Array,
    /// Null.
    NULLREF None,
    /// Nullable reference to any exception.
    EXNREF Exn,
    /// Null in the hierarchy of exceptions.
    NULLEXNREF NoExn,
}

impl ValType {
    /// Whether this is a reference type.
    pub const fn is_ref(self) -> bool {
        matches!(self, ValType::Ref(_))
    }

    /// The reference type, if this is one.
    pub const fn as_ref(self) -> Option<RefType> {
        match self {
            ValType::Ref(ty) => Some(ty),
            _ => None,
        }
    }

    /// Whether this is a reference to a function, represented by an address.
    pub const fn is_func_ref(self) -> bool {
        matches!(self, ValType::Ref(ty) if matches!(ty.heap.hierarchy(), Hierarchy::Func))
    }

    /// Whether this is a reference of 32 bits, which the collector follows.
    pub const fn is_gc_ref(self) -> bool {
        self.is_ref() && !self.is_func_ref()
    }

    /// Whether this is a number type.
    pub const fn is_num(self) -> bool {
        matches!(self, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
    }

    /// Whether zero, or null, is a value of this type.
    pub const fn has_default(self) -> bool {
        !matches!(self, ValType::Ref(RefType { nullable: false, .. }))
    }

    /// Whether every `self` is also an `other`; `is_subtype` decides that for
    /// defined types.
    pub fn matches(self, other: ValType, is_subtype: impl Fn(ConcreteType, ConcreteType) -> bool) -> bool {
        match (self, other) {
            (ValType::Ref(a), ValType::Ref(b)) => a.matches(b, is_subtype),
            (a, b) => a == b,
        }
    }
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> ValType {
        ValType::Ref(ty)
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValType::I32 => "i32",
            ValType::I64 => "i64",
            ValType::F32 => "f32",
            ValType::F64 => "f64",
            ValType::V128 => "v128",
            ValType::Ref(ty) => return ty.fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concrete(kind: TypeKind, id: u64) -> HeapType {
        HeapType::Concrete(ConcreteType { kind, id: TypeId(id | 1 << 63) })
    }

    #[test]
    fn abstract_types_form_four_hierarchies() {
        use HeapType as H;
        let all: Vec<HeapType> = H::ABSTRACT.to_vec();
        let sub = |a: HeapType, b: HeapType| a.matches(b, |_, _| false);
        for &a in &all {
            for &b in &all {
                assert!(!sub(a, b) || a.hierarchy() == b.hierarchy(), "{a} {b}");
                assert!(a == b || !sub(a, b) || !sub(b, a), "{a} {b}");
            }
        }
        let tops = [H::Func, H::Extern, H::Any, H::Exn];
        assert!(all.iter().all(|a| tops.iter().filter(|top| sub(*a, **top)).count() == 1));
        let bottoms = [H::NoFunc, H::NoExtern, H::None, H::NoExn];
        assert!(all.iter().all(|a| bottoms.iter().filter(|bottom| sub(**bottom, *a)).count() == 1));
        assert!(sub(H::I31, H::Eq) && sub(H::Struct, H::Eq) && sub(H::Array, H::Any));
        assert!(!sub(H::Struct, H::Array) && !sub(H::Any, H::Eq) && !sub(H::Eq, H::Struct));
    }

    #[test]
    fn defined_types_are_below_the_abstract_type_of_their_kind() {
        use HeapType as H;
        let sub = |a: HeapType, b: HeapType| a.matches(b, |a, b| a.id.0 > b.id.0);
        let (f, s, a) = (concrete(TypeKind::Func, 1), concrete(TypeKind::Struct, 2), concrete(TypeKind::Array, 3));
        assert!(sub(f, H::Func) && sub(H::NoFunc, f) && !sub(f, H::Any) && !sub(f, H::Eq));
        assert!(sub(s, H::Struct) && sub(s, H::Eq) && sub(s, H::Any) && !sub(s, H::Array) && sub(H::None, s));
        assert!(sub(a, H::Array) && !sub(a, H::Struct) && !sub(H::NoFunc, a) && !sub(H::None, f));
        assert!(sub(concrete(TypeKind::Struct, 5), s) && !sub(s, concrete(TypeKind::Struct, 5)));
    }

    #[test]
    fn types_print_as_in_the_text_format() {
        assert_eq!(ValType::FUNCREF.to_string(), "funcref");
        assert_eq!(ValType::from(RefType::new(false, HeapType::I31)).to_string(), "(ref i31)");
        let ty = ValType::Ref(RefType::new(true, concrete(TypeKind::Struct, 0x12)));
        assert_eq!(ty.to_string(), "(ref null struct:8000000000000012)");
        assert!(ty.is_gc_ref() && ty.has_default() && !ValType::FUNCREF.is_gc_ref());
    }
}
