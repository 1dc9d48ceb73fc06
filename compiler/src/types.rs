//! The types that a module defines, canonical: equal types have one index.

use crate::error::Error;
use std::collections::HashMap;
use wasmc_artifacts::abi::{
    ArrayType, CompositeType, ConcreteType, FieldType, FuncType, HeapType, RefType, StorageType, StructType, SubType,
    TypeId, TypeKind, ValType, group_ids,
};
use wasmparser::{AbstractHeapType, CompositeInnerType, RecGroup, UnpackedIndex};

/// Index of a distinct type: equal types have one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeIndex(pub u32);

/// A distinct type.
#[derive(Debug)]
pub struct DefinedType {
    /// Its identity in every module.
    pub id: TypeId,
    /// What it is.
    pub ty: SubType,
    /// Its supertype, which has a lower index.
    pub supertype: Option<TypeIndex>,
}

impl DefinedType {
    /// Whether it is a function type that no other defined type plays a part
    /// in.
    pub fn is_self_contained(&self) -> bool {
        let named = std::cell::Cell::new(false);
        self.ty.map_ids(|id| {
            named.set(true);
            id
        });
        self.ty.is_plain() && self.ty.as_func().is_some() && !named.get()
    }
}

/// The types of a module.
#[derive(Debug, Default)]
pub struct Types {
    distinct: Vec<DefinedType>,
    indices: Vec<TypeIndex>,
    kinds: Vec<TypeKind>,
    by_id: HashMap<TypeId, TypeIndex>,
}

impl Types {
    /// The distinct types, supertypes before their subtypes.
    pub fn distinct(&self) -> impl Iterator<Item = (TypeIndex, &DefinedType)> {
        (0..).map(TypeIndex).zip(&self.distinct)
    }

    /// A distinct type.
    pub fn get(&self, index: TypeIndex) -> &DefinedType {
        &self.distinct[index.0 as usize]
    }

    /// The distinct type with this index in the module, if there is one.
    pub fn index(&self, index: u32) -> Option<TypeIndex> {
        self.indices.get(index as usize).copied()
    }

    /// The distinct type with this identity, if the module defines it.
    pub fn find(&self, id: TypeId) -> Option<TypeIndex> {
        self.by_id.get(&id).copied()
    }

    /// A function type.
    pub fn func(&self, index: TypeIndex) -> &FuncType {
        self.get(index).ty.as_func().unwrap_or_else(|| unreachable!("validation has seen a function type"))
    }

    /// How a reference names a type.
    pub fn concrete(&self, index: TypeIndex) -> ConcreteType {
        let defined = self.get(index);
        ConcreteType { kind: defined.ty.composite.kind(), id: defined.id }
    }

    /// Ids of a type's ancestors from the topmost one, and last its own.
    pub fn supers(&self, index: TypeIndex) -> Vec<TypeId> {
        let mut ids: Vec<TypeId> =
            std::iter::successors(Some(index), |at| self.get(*at).supertype).map(|at| self.get(at).id).collect();
        ids.reverse();
        ids
    }

    /// Takes in the next recursion group.
    ///
    /// # Errors
    /// A type of a proposal that is not supported.
    pub fn add_group(&mut self, group: RecGroup) -> Result<(), Error> {
        let first = self.indices.len() as u32;
        let members: Vec<wasmparser::SubType> = group.into_types().collect();
        for member in &members {
            self.kinds.push(match member.composite_type.inner {
                CompositeInnerType::Func(_) => TypeKind::Func,
                CompositeInnerType::Struct(_) => TypeKind::Struct,
                CompositeInnerType::Array(_) => TypeKind::Array,
                CompositeInnerType::Cont(_) => return Err(unsupported("continuation types")),
            });
        }
        let relative = members.iter().map(|member| self.sub_type(member, first)).collect::<Result<Vec<_>, _>>()?;
        let ids = group_ids(&relative);
        for (member, id) in relative.iter().zip(&ids) {
            let next = TypeIndex(self.distinct.len() as u32);
            let index = *self.by_id.entry(*id).or_insert(next);
            self.indices.push(index);
            if index == next {
                let ty = member.map_ids(|id| ids.get(id.0 as usize).copied().unwrap_or(id));
                let supertype = ty.supertype.and_then(|id| self.find(id));
                self.distinct.push(DefinedType { id: *id, ty, supertype });
            }
        }
        Ok(())
    }

    /// The id of the type with index `index` in the module, or its position in
    /// the group that begins at `first`.
    fn id(&self, index: u32, first: u32) -> TypeId {
        match index.checked_sub(first) {
            Some(position) => TypeId::relative(position),
            None => self.get(self.indices[index as usize]).id,
        }
    }

    fn sub_type(&self, ty: &wasmparser::SubType, first: u32) -> Result<SubType, Error> {
        let value = |ty: wasmparser::ValType| self.value(ty, first);
        let field = |field: &wasmparser::FieldType| {
            let storage = match field.element_type {
                wasmparser::StorageType::I8 => StorageType::I8,
                wasmparser::StorageType::I16 => StorageType::I16,
                wasmparser::StorageType::Val(ty) => StorageType::Val(value(ty)?),
            };
            Ok::<_, Error>(FieldType { storage, mutable: field.mutable })
        };
        let list = |types: &[wasmparser::ValType]| types.iter().map(|ty| value(*ty)).collect::<Result<Vec<_>, _>>();
        let composite = match &ty.composite_type.inner {
            CompositeInnerType::Func(ty) => CompositeType::Func(FuncType::new(list(ty.params())?, list(ty.results())?)),
            CompositeInnerType::Struct(ty) => {
                CompositeType::Struct(StructType { fields: ty.fields.iter().map(field).collect::<Result<_, _>>()? })
            }
            CompositeInnerType::Array(ty) => CompositeType::Array(ArrayType { element: field(&ty.0)? }),
            CompositeInnerType::Cont(_) => return Err(unsupported("continuation types")),
        };
        let supertype = match ty.supertype_idxs.first().copied().map(|index| index.unpack()) {
            None => None,
            Some(UnpackedIndex::Module(index)) => Some(self.id(index, first)),
            Some(_) => return Err(unsupported("supertypes that are not in the module")),
        };
        Ok(SubType { is_final: ty.is_final, supertype, composite })
    }

    /// The ABI's type for a type of the module.
    ///
    /// # Errors
    /// A type of a proposal that is not supported.
    pub fn val_type(&self, ty: wasmparser::ValType) -> Result<ValType, Error> {
        self.value(ty, self.indices.len() as u32)
    }

    /// The ABI's type for a reference type of the module.
    ///
    /// # Errors
    /// As for [`val_type`](Self::val_type).
    pub fn ref_type(&self, ty: wasmparser::RefType) -> Result<RefType, Error> {
        Ok(RefType::new(ty.is_nullable(), self.heap(ty.heap_type(), self.indices.len() as u32)?))
    }

    /// The ABI's type for a heap type of the module.
    ///
    /// # Errors
    /// As for [`val_type`](Self::val_type).
    pub fn heap_type(&self, ty: wasmparser::HeapType) -> Result<HeapType, Error> {
        self.heap(ty, self.indices.len() as u32)
    }

    fn value(&self, ty: wasmparser::ValType, first: u32) -> Result<ValType, Error> {
        use wasmparser::ValType as W;
        Ok(match ty {
            W::I32 => ValType::I32,
            W::I64 => ValType::I64,
            W::F32 => ValType::F32,
            W::F64 => ValType::F64,
            W::V128 => ValType::V128,
            W::Ref(ty) => ValType::Ref(RefType::new(ty.is_nullable(), self.heap(ty.heap_type(), first)?)),
        })
    }

    fn heap(&self, ty: wasmparser::HeapType, first: u32) -> Result<HeapType, Error> {
        use AbstractHeapType as A;
        use wasmparser::HeapType as W;
        Ok(match ty {
            W::Concrete(UnpackedIndex::Module(index)) => {
                HeapType::Concrete(ConcreteType { kind: self.kinds[index as usize], id: self.id(index, first) })
            }
            W::Abstract { shared: false, ty } => match ty {
                A::Func => HeapType::Func,
                A::NoFunc => HeapType::NoFunc,
                A::Extern => HeapType::Extern,
                A::NoExtern => HeapType::NoExtern,
                A::Any => HeapType::Any,
                A::Eq => HeapType::Eq,
                A::I31 => HeapType::I31,
                A::Struct => HeapType::Struct,
                A::Array => HeapType::Array,
                A::None => HeapType::None,
                A::Exn => HeapType::Exn,
                A::NoExn => HeapType::NoExn,
                A::Cont | A::NoCont => return Err(unsupported("continuation types")),
            },
            W::Abstract { shared: true, .. } => return Err(unsupported("shared references")),
            W::Concrete(_) | W::Exact(_) => return Err(unsupported("exact references")),
        })
    }
}

fn unsupported(what: &str) -> Error {
    Error::Options(format!("{what} are not supported"))
}
