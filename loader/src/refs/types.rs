//! Types of structs, arrays and exceptions, as the host names and makes them.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::types::{FuncType, HeapType, Mutability, RefType, TagType, ValType};
use crate::values::matches;
use crate::vm::gc::layouts::ObjectType;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use wasmc_artifacts::abi::descriptor::ObjectKind;
use wasmc_artifacts::abi::{self, CompositeType, ConcreteType, SubType, TypeId, TypeKind, group_ids};

/// Whether a type can have subtypes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finality {
    /// It cannot.
    Final,
    /// It can.
    NonFinal,
}

/// What a field or element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// 8 bits, read and written as an i32.
    I8,
    /// 16 bits, read and written as an i32.
    I16,
    /// A value.
    ValType(ValType),
}

impl StorageType {
    /// The type of the value that is read from it and written to it.
    pub fn unpack(&self) -> ValType {
        abi::StorageType::from(*self).unpack()
    }
}

impl From<ValType> for StorageType {
    fn from(ty: ValType) -> StorageType {
        StorageType::ValType(ty)
    }
}
impl From<abi::StorageType> for StorageType {
    fn from(ty: abi::StorageType) -> StorageType {
        match ty {
            abi::StorageType::I8 => StorageType::I8,
            abi::StorageType::I16 => StorageType::I16,
            abi::StorageType::Val(ty) => StorageType::ValType(ty),
        }
    }
}
impl From<StorageType> for abi::StorageType {
    fn from(ty: StorageType) -> abi::StorageType {
        match ty {
            StorageType::I8 => abi::StorageType::I8,
            StorageType::I16 => abi::StorageType::I16,
            StorageType::ValType(ty) => abi::StorageType::Val(ty),
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        abi::StorageType::from(*self).fmt(f)
    }
}

/// The type of a struct's field or of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldType {
    mutability: Mutability,
    element_type: StorageType,
}

impl FieldType {
    /// A type from its parts.
    pub fn new(mutability: Mutability, element_type: StorageType) -> FieldType {
        FieldType { mutability, element_type }
    }

    /// Whether it can change.
    pub fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// What it holds.
    pub fn element_type(&self) -> &StorageType {
        &self.element_type
    }
}

impl From<abi::FieldType> for FieldType {
    fn from(ty: abi::FieldType) -> FieldType {
        let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
        FieldType { mutability, element_type: ty.storage.into() }
    }
}
impl From<FieldType> for abi::FieldType {
    fn from(ty: FieldType) -> abi::FieldType {
        abi::FieldType { storage: ty.element_type.into(), mutable: ty.mutability == Mutability::Var }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        abi::FieldType::from(*self).fmt(f)
    }
}

/// A type of objects, in the engine that knows it.
#[derive(Clone)]
struct Known {
    engine: Engine,
    ty: Arc<ObjectType>,
}

impl Known {
    /// Makes a type known, alone in its recursion group.
    fn define(engine: &Engine, ty: SubType) -> Result<Known> {
        let kind = match ty.composite {
            CompositeType::Struct(_) => ObjectKind::Struct,
            CompositeType::Array(_) => ObjectKind::Array,
            CompositeType::Func(_) => ObjectKind::Exception,
        };
        if let Some(supertype) = ty.supertype {
            engine.check_subtype(&ty, supertype)?;
        }
        let id = group_ids(std::slice::from_ref(&ty)).first().copied();
        let id = id.ok_or_else(|| Error::msg("a group of one type has one id"))?;
        let encoding = ty.encode();
        engine.types().register([(id.0, &*encoding)].into_iter())?;
        let ty = engine.object_type(kind, id).ok_or_else(|| Error::msg("the type cannot be made known"))?;
        Ok(Known { engine: engine.clone(), ty })
    }

    fn id(&self) -> TypeId {
        self.ty.id()
    }

    fn concrete(&self) -> ConcreteType {
        let kind = match self.ty.kind() {
            ObjectKind::Array => TypeKind::Array,
            ObjectKind::Struct => TypeKind::Struct,
            ObjectKind::Func | ObjectKind::Exception => TypeKind::Func,
        };
        ConcreteType { kind, id: self.id() }
    }

    fn finality(&self) -> Finality {
        if self.ty.ty().is_final { Finality::Final } else { Finality::NonFinal }
    }

    fn supertype(&self) -> Option<Known> {
        let ty = self.engine.object_type(self.ty.kind(), self.ty.ty().supertype?)?;
        Some(Known { engine: self.engine.clone(), ty })
    }

    fn matches(&self, other: &Known) -> bool {
        self.id() == other.id() || self.engine.is_subtype(self.id(), other.id())
    }
}

fn sub_type(finality: Finality, supertype: Option<&Known>, composite: CompositeType) -> SubType {
    SubType { is_final: finality == Finality::Final, supertype: supertype.map(Known::id), composite }
}

macro_rules! object_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $name(Known);

        impl $name {
            /// The engine that knows the type.
            pub fn engine(&self) -> &Engine {
                &self.0.engine
            }

            pub(crate) fn object_type(&self) -> &Arc<ObjectType> {
                &self.0.ty
            }

            pub(crate) fn known(engine: &Engine, ty: &Arc<ObjectType>) -> $name {
                $name(Known { engine: engine.clone(), ty: ty.clone() })
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                self.0.id() == other.0.id()
            }
        }
        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

macro_rules! declared_type {
    ($name:ident) => {
        impl $name {
            /// Whether the type can have subtypes.
            pub fn finality(&self) -> Finality {
                self.0.finality()
            }

            /// The declared supertype, if there is one.
            pub fn supertype(&self) -> Option<$name> {
                self.0.supertype().map($name)
            }

            /// Whether everything of this type is also of the other.
            pub fn matches(&self, other: &$name) -> bool {
                self.0.matches(&other.0)
            }

            /// A reference to objects of this type, as a type of values.
            pub fn ref_type(&self, nullable: bool) -> RefType {
                RefType::new(nullable, HeapType::from(self))
            }
        }

        impl From<&$name> for HeapType {
            fn from(ty: &$name) -> HeapType {
                HeapType::Concrete(ty.0.concrete())
            }
        }
        impl From<$name> for HeapType {
            fn from(ty: $name) -> HeapType {
                HeapType::from(&ty)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.ty.ty().composite.fmt(f)
            }
        }
    };
}

object_type! {
    /// The type of a struct. Equal types are the same in host and modules.
    ///
    /// ```
    /// use wasmc_loader::{Engine, FieldType, Mutability, StorageType, StructType, ValType};
    ///
    /// # fn main() -> wasmc_loader::Result<()> {
    /// let engine = Engine::default();
    /// let field = FieldType::new(Mutability::Var, StorageType::ValType(ValType::I64));
    /// let ty = StructType::new(&engine, [field, field])?;
    /// assert_eq!(ty.fields().len(), 2);
    /// assert_eq!(ty.to_string(), "struct {(mut i64), (mut i64)}");
    /// # Ok(())
    /// # }
    /// ```
    StructType
}
declared_type!(StructType);

impl StructType {
    /// A final type without a supertype, alone in its recursion group.
    ///
    /// # Errors
    /// If the engine knows another type by the same id.
    pub fn new(engine: &Engine, fields: impl IntoIterator<Item = FieldType>) -> Result<StructType> {
        Self::with_finality_and_supertype(engine, Finality::Final, None, fields)
    }

    /// A type alone in its recursion group.
    ///
    /// # Errors
    /// If it cannot be below the supertype: if that is final, or the fields do
    /// not begin with its fields.
    pub fn with_finality_and_supertype(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&StructType>,
        fields: impl IntoIterator<Item = FieldType>,
    ) -> Result<StructType> {
        let fields = fields.into_iter().map(abi::FieldType::from).collect();
        let composite = CompositeType::Struct(abi::StructType { fields });
        Ok(StructType(Known::define(engine, sub_type(finality, supertype.map(|ty| &ty.0), composite))?))
    }

    /// The field at `index`, if there is one.
    pub fn field(&self, index: usize) -> Option<FieldType> {
        self.0.ty.fields().get(index).map(|field| (*field).into())
    }

    /// All fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldType> + '_ {
        self.0.ty.fields().iter().map(|field| (*field).into())
    }
}

object_type! {
    /// The type of an array. Equal types are the same in host and modules.
    ArrayType
}
declared_type!(ArrayType);

impl ArrayType {
    /// A final type without a supertype, alone in its recursion group.
    ///
    /// # Panics
    /// If the engine knows another type by the same id.
    pub fn new(engine: &Engine, element: FieldType) -> ArrayType {
        let ty = Self::with_finality_and_supertype(engine, Finality::Final, None, element);
        ty.unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// A type alone in its recursion group.
    ///
    /// # Errors
    /// If it cannot be below the supertype: if that is final, or has other
    /// elements.
    pub fn with_finality_and_supertype(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&ArrayType>,
        element: FieldType,
    ) -> Result<ArrayType> {
        let composite = CompositeType::Array(abi::ArrayType { element: element.into() });
        Ok(ArrayType(Known::define(engine, sub_type(finality, supertype.map(|ty| &ty.0), composite))?))
    }

    /// What every element is.
    pub fn field_type(&self) -> FieldType {
        self.0.ty.fields()[0].into()
    }

    /// Whether elements can change.
    pub fn mutability(&self) -> Mutability {
        self.field_type().mutability()
    }

    /// What every element holds.
    pub fn element_type(&self) -> StorageType {
        *self.field_type().element_type()
    }
}

object_type! {
    /// The type of exceptions: what they carry.
    ExnType
}

impl ExnType {
    /// The type of exceptions with these values.
    ///
    /// # Errors
    /// If the engine knows another type by the same id.
    pub fn new(engine: &Engine, fields: impl IntoIterator<Item = ValType>) -> Result<ExnType> {
        let composite = CompositeType::Func(abi::FuncType::new(fields, []));
        Ok(ExnType(Known::define(engine, SubType::plain(composite))?))
    }

    /// The type of the exceptions of a tag.
    ///
    /// # Errors
    /// If the tag's type has results, or the engine knows another type by the
    /// same id.
    pub fn from_tag_type(engine: &Engine, tag: &TagType) -> Result<ExnType> {
        if !tag.ty().results().is_empty() {
            return Err(Error::msg(format!("a {tag} cannot be thrown: its function type has results")));
        }
        Self::new(engine, tag.ty().params().iter().copied())
    }

    /// The type of the tags of such exceptions.
    pub fn tag_type(&self) -> TagType {
        TagType::new(FuncType::new(self.fields().map(|field| field.element_type().unpack()), []))
    }

    /// The value at `index`, if there is one.
    pub fn field(&self, index: usize) -> Option<FieldType> {
        self.0.ty.fields().get(index).map(|field| (*field).into())
    }

    /// All values.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldType> + '_ {
        self.0.ty.fields().iter().map(|field| (*field).into())
    }
}

impl fmt::Display for ExnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("exception (")?;
        for (i, field) in self.fields().enumerate() {
            write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

/// More than any chain of supertypes has that is valid.
const DEEPEST: usize = 64;

/// The types of objects that the host has had to do with, found without
/// decoding them again.
#[derive(Debug, Default)]
pub(crate) struct ObjectTypes(RwLock<Vec<(ObjectKey, Arc<ObjectType>)>>);

/// The kind and the id of a type; in the list they are in order.
type ObjectKey = (u32, TypeId);

impl ObjectTypes {
    fn get(
        &self,
        kind: ObjectKind,
        id: TypeId,
        make: impl FnOnce() -> Option<Arc<ObjectType>>,
    ) -> Option<Arc<ObjectType>> {
        let key = (kind as u32, id);
        let place = |list: &[(ObjectKey, Arc<ObjectType>)]| list.binary_search_by_key(&key, |(known, _)| *known);
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(found) = place(&list) {
            return Some(list[found].1.clone());
        }
        drop(list);
        let made = make()?;
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made the same one meanwhile.
        let found = place(&list).unwrap_or_else(|place| {
            list.insert(place, (key, made));
            place
        });
        Some(list[found].1.clone())
    }
}

/// What references to objects need to know of an engine's types.
impl Engine {
    /// What objects of a type are like, if it is known and of this kind.
    pub(crate) fn object_type(&self, kind: ObjectKind, id: TypeId) -> Option<Arc<ObjectType>> {
        self.0.object_types.get(kind, id, || {
            let mut supers = Vec::new();
            let mut next = Some(id);
            let mut own = None;
            while let Some(id) = next.filter(|_| supers.len() < DEEPEST) {
                let ty = self.sub_type(id)?;
                supers.push(id);
                next = ty.supertype;
                own.get_or_insert(ty);
            }
            supers.reverse();
            ObjectType::new(kind, supers, own?)
        })
    }

    /// The type with this id, if it is known.
    pub(crate) fn sub_type(&self, id: TypeId) -> Option<SubType> {
        SubType::decode(self.types().encoding(id.0)?).ok()
    }

    /// Whether one type is the other, or declared below it.
    pub(crate) fn is_subtype(&self, id: TypeId, other: TypeId) -> bool {
        self.types().is_subtype(id, other)
    }

    /// Whether a type may be declared below another.
    fn check_subtype(&self, ty: &SubType, supertype: TypeId) -> Result<()> {
        let refused = |why: &str| Err(Error::msg(format!("{ty} cannot be declared: {why}")));
        let Some(above) = self.sub_type(supertype) else { return refused("its supertype is not known") };
        if above.is_final {
            return refused("its supertype is final");
        }
        let field = |a: &abi::FieldType, b: &abi::FieldType| {
            let matches = match (a.storage, b.storage) {
                (abi::StorageType::Val(a), abi::StorageType::Val(b)) => matches(self, a, b),
                (a, b) => a == b,
            };
            a.mutable == b.mutable && if a.mutable { a.storage == b.storage } else { matches }
        };
        let fits = match (&ty.composite, &above.composite) {
            (CompositeType::Struct(a), CompositeType::Struct(b)) => {
                a.fields.len() >= b.fields.len() && a.fields.iter().zip(&b.fields).all(|(a, b)| field(a, b))
            }
            (CompositeType::Array(a), CompositeType::Array(b)) => field(&a.element, &b.element),
            _ => false,
        };
        if fits { Ok(()) } else { refused("what it consists of does not begin like its supertype") }
    }
}
