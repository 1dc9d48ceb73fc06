//! Types of objects as the host needs them: where fields are, and a descriptor
//! for objects whose type no module in the store has.

use crate::types::ValType;
use std::sync::Arc;
use wasmc_artifacts::abi::descriptor::{Descriptor, FieldLayout, ObjectKind, array_elements, array_size, storage_size};
use wasmc_artifacts::abi::{CompositeType, FieldType, StorageType, SubType, TypeId};

/// A type of objects. Made for types that an engine knows, and kept by it.
#[derive(Debug)]
pub(crate) struct ObjectType {
    kind: ObjectKind,
    id: TypeId,
    ty: SubType,
    fields: Box<[FieldType]>,
    place: Place,
    /// The bytes of a descriptor, in words so that it is aligned.
    descriptor: Box<[u64]>,
}

#[derive(Debug)]
enum Place {
    /// Offsets of fields, and the size of the whole.
    Fields(Box<[u32]>, u32),
    /// The size of an element.
    Elements(u32),
}

impl ObjectType {
    /// What objects are like whose type, or whose tag's type, has this id.
    /// `supers` are the ids from the topmost ancestor to the type itself.
    /// `None` if a type of this kind has no such objects.
    pub(crate) fn new(kind: ObjectKind, supers: Vec<TypeId>, ty: SubType) -> Option<Arc<ObjectType>> {
        let id = *supers.last()?;
        let (fields, place, size, refs): (Box<[FieldType]>, _, _, _) = match (kind, &ty.composite) {
            (ObjectKind::Struct, CompositeType::Struct(ty)) => {
                let layout = FieldLayout::of_struct(&ty.fields);
                (ty.fields.clone(), Place::Fields(layout.offsets.into(), layout.size), layout.size, layout.refs)
            }
            (ObjectKind::Exception, CompositeType::Func(ty)) => {
                let layout = FieldLayout::of_exception(ty.params());
                let field = |ty: &ValType| FieldType { storage: StorageType::Val(*ty), mutable: false };
                let fields = ty.params().iter().map(field).collect();
                (fields, Place::Fields(layout.offsets.into(), layout.size), layout.size, layout.refs)
            }
            (ObjectKind::Array, CompositeType::Array(ty)) => {
                let size = storage_size(ty.element.storage);
                let is_ref = ty.element.storage.unpack().is_gc_ref();
                let refs = if is_ref { vec![array_elements(size)] } else { Vec::new() };
                ([ty.element].into(), Place::Elements(size), size, refs)
            }
            _ => return None,
        };
        let bytes = Descriptor { kind, supers, size, refs }.encode();
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        };
        let descriptor = bytes.chunks(8).map(word).collect();
        Some(Arc::new(ObjectType { kind, id, ty, fields, place, descriptor }))
    }

    /// What it is.
    pub(crate) fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Its id, or that of its tag's type.
    pub(crate) fn id(&self) -> TypeId {
        self.id
    }

    /// How it is defined.
    pub(crate) fn ty(&self) -> &SubType {
        &self.ty
    }

    /// The fields in order; for an array, what every element is.
    pub(crate) fn fields(&self) -> &[FieldType] {
        &self.fields
    }

    /// What is at `index`, in an object of so many fields or elements, and
    /// where.
    pub(super) fn place(&self, index: usize, length: usize) -> Option<(usize, FieldType)> {
        match &self.place {
            Place::Fields(offsets, _) => Some((*offsets.get(index)? as usize, *self.fields.get(index)?)),
            Place::Elements(size) => {
                let at = array_elements(*size) as usize + index * *size as usize;
                (index < length).then_some((at, self.fields[0]))
            }
        }
    }

    /// Bytes of an object with so many elements, if it has elements.
    pub(super) fn size(&self, length: u32) -> u64 {
        match &self.place {
            Place::Fields(_, size) => u64::from(*size),
            Place::Elements(size) => array_size(*size, length),
        }
    }

    /// The descriptor, which lives as long as the value.
    pub(super) fn descriptor(&self) -> *const u8 {
        self.descriptor.as_ptr().cast()
    }
}
