//! What a module's type section defines.

use super::{ConcreteType, TypeId, TypeKind, ValType};
use std::fmt;

/// The type of a function.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    pub(super) params: Box<[ValType]>,
    pub(super) results: Box<[ValType]>,
}

impl FuncType {
    /// A type from its parameters and results.
    pub fn new(params: impl IntoIterator<Item = ValType>, results: impl IntoIterator<Item = ValType>) -> Self {
        FuncType { params: params.into_iter().collect(), results: results.into_iter().collect() }
    }

    /// Parameter types.
    pub fn params(&self) -> &[ValType] {
        &self.params
    }

    /// Result types.
    pub fn results(&self) -> &[ValType] {
        &self.results
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, t) in types.iter().enumerate() {
                write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, &self.params)?;
        f.write_str(" -> ")?;
        list(f, &self.results)
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a field or element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// 8 bits.
    I8,
    /// 16 bits.
    I16,
    /// A value.
    Val(ValType),
}

impl StorageType {
    /// The type of the value that is read from it and written to it.
    pub const fn unpack(self) -> ValType {
        match self {
            StorageType::I8 | StorageType::I16 => ValType::I32,
            StorageType::Val(ty) => ty,
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageType::I8 => f.write_str("i8"),
            StorageType::I16 => f.write_str("i16"),
            StorageType::Val(ty) => ty.fmt(f),
        }
    }
}

/// The type of a struct's field or an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// What it holds.
    pub storage: StorageType,
    /// Whether it can change.
    pub mutable: bool,
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mutable { write!(f, "(mut {})", self.storage) } else { self.storage.fmt(f) }
    }
}

/// The type of a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructType {
    /// The fields in order.
    pub fields: Box<[FieldType]>,
}

/// The type of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArrayType {
    /// Of every element.
    pub element: FieldType,
}

/// A function, struct or array type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// A function type.
    Func(FuncType),
    /// A struct type.
    Struct(StructType),
    /// An array type.
    Array(ArrayType),
}

impl CompositeType {
    /// What it is.
    pub fn kind(&self) -> TypeKind {
        match self {
            CompositeType::Func(_) => TypeKind::Func,
            CompositeType::Struct(_) => TypeKind::Struct,
            CompositeType::Array(_) => TypeKind::Array,
        }
    }
}

impl fmt::Display for CompositeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompositeType::Func(ty) => ty.fmt(f),
            CompositeType::Struct(ty) => {
                f.write_str("struct {")?;
                for (i, field) in ty.fields.iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            CompositeType::Array(ty) => write!(f, "array of {}", ty.element),
        }
    }
}

/// A type as it is defined: with its place among its sub- and supertypes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubType {
    /// Whether it can have no subtypes.
    pub is_final: bool,
    /// Its supertype, of the same kind, if one is declared.
    pub supertype: Option<TypeId>,
    /// What it is.
    pub composite: CompositeType,
}

impl SubType {
    /// A final type without a supertype, which most types are.
    pub fn plain(composite: CompositeType) -> SubType {
        SubType { is_final: true, supertype: None, composite }
    }

    /// Whether it is final and has no supertype.
    pub fn is_plain(&self) -> bool {
        self.is_final && self.supertype.is_none()
    }

    /// The function type, if it is one.
    pub fn as_func(&self) -> Option<&FuncType> {
        if let CompositeType::Func(ty) = &self.composite { Some(ty) } else { None }
    }

    /// The struct type, if it is one.
    pub fn as_struct(&self) -> Option<&StructType> {
        if let CompositeType::Struct(ty) = &self.composite { Some(ty) } else { None }
    }

    /// The array type, if it is one.
    pub fn as_array(&self) -> Option<&ArrayType> {
        if let CompositeType::Array(ty) = &self.composite { Some(ty) } else { None }
    }

    /// The same type with every id replaced by what `id` makes of it.
    pub fn map_ids(&self, id: impl Fn(TypeId) -> TypeId) -> SubType {
        let value = |ty: ValType| map_value(ty, &id);
        let field = |field: &FieldType| FieldType {
            storage: match field.storage {
                StorageType::Val(ty) => StorageType::Val(value(ty)),
                packed => packed,
            },
            mutable: field.mutable,
        };
        let composite = match &self.composite {
            CompositeType::Func(ty) => CompositeType::Func(FuncType::new(
                ty.params.iter().map(|ty| value(*ty)),
                ty.results.iter().map(|ty| value(*ty)),
            )),
            CompositeType::Struct(ty) => {
                CompositeType::Struct(StructType { fields: ty.fields.iter().map(field).collect() })
            }
            CompositeType::Array(ty) => CompositeType::Array(ArrayType { element: field(&ty.element) }),
        };
        SubType { is_final: self.is_final, supertype: self.supertype.map(&id), composite }
    }
}

fn map_value(ty: ValType, id: &impl Fn(TypeId) -> TypeId) -> ValType {
    match ty {
        ValType::Ref(mut reference) => {
            if let super::HeapType::Concrete(ConcreteType { kind, id: old }) = reference.heap {
                reference.heap = super::HeapType::Concrete(ConcreteType { kind, id: id(old) });
            }
            ValType::Ref(reference)
        }
        number => number,
    }
}

impl fmt::Display for SubType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_final {
            f.write_str("open ")?;
        }
        self.composite.fmt(f)?;
        match self.supertype {
            Some(supertype) => write!(f, " below {:016x}", supertype.0),
            None => Ok(()),
        }
    }
}
