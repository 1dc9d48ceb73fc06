//! Objects on the garbage-collected heap, and the descriptors of their types.
//!
//! A reference of 32 bits is one of:
//!
//! ```text
//! 0          null
//! ....1      a 31-bit integer, shifted left by one
//! ..010      a value of the host's: its handle's number, shifted left by three
//! ..000      an object: its distance from the base of the store's heap
//! ```
//!
//! An object begins with the address of its type's descriptor. Structs have
//! their fields from offset 8 on, in order, each at a multiple of its size (of
//! 8 for a vector); a subtype's fields therefore begin as its supertype's do.
//! Arrays have their length at 8, and elements after it. Exceptions have the
//! address of their tag at 8, then their values like a struct's fields.
//!
//! A descriptor is read-only data in the text:
//!
//! ```text
//! | id: 8 | kind: 4 | depth: 4 | size: 4 | references: 4 | distance of the list: 4 | 0: 4 |
//! | ids of the ancestors from the topmost one down to the type itself, then zeros up to 8 entries |
//! | offsets of references: 4 each |
//! ```
//!
//! So whether an object is of a type at depth `d` below 8 takes one load of
//! entry `d` and a comparison with a constant.

use super::types::{FieldType, StorageType, TypeId, ValType};

/// Offset of the type's id in a descriptor.
pub const ID: i32 = 0;
/// Offset of the [`ObjectKind`].
pub const KIND: i32 = 8;
/// Offset of the number of proper supertypes.
pub const DEPTH: i32 = 12;
/// Offset of the size in bytes: of an object, or of an array's element.
pub const SIZE: i32 = 16;
/// Offset of the number of references; 1 if an array's elements are some.
pub const REFS: i32 = 20;
/// Offset of the distance from the descriptor to the offsets of references.
pub const REFS_AT: i32 = 24;
/// Offset of the ids of supertypes and the type itself.
pub const SUPERS: i32 = 32;
/// Entries that every descriptor has room for there.
pub const MIN_SUPERS: usize = 8;

/// Alignment of descriptors and objects, and what sizes are multiples of.
pub const ALIGNMENT: u32 = 8;
/// Bytes before a struct's first field.
pub const STRUCT_HEADER: u32 = 8;
/// Offset of an array's length, 32 bits.
pub const ARRAY_LENGTH: u32 = 8;
/// Offset of the address of an exception's tag.
pub const EXCEPTION_TAG: u32 = 8;
/// Bytes before an exception's first value.
pub const EXCEPTION_HEADER: u32 = 16;

/// The bit that tells small integers.
pub const I31_BIT: u32 = 1;
/// The bits that are clear in references to objects.
pub const NOT_OBJECT_MASK: u32 = 7;
/// Those bits in references to values of the host's.
pub const EXTERN_TAG: u32 = 2;
/// How far the number of such a value's handle is shifted.
pub const EXTERN_SHIFT: u32 = 3;

/// What a descriptor describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ObjectKind {
    /// No object: a function type.
    Func = 0,
    /// A struct.
    Struct = 1,
    /// An array.
    Array = 2,
    /// An exception.
    Exception = 3,
}

impl ObjectKind {
    /// The kind with this number, if any.
    pub const fn from_code(code: u32) -> Option<ObjectKind> {
        Some(match code {
            0 => ObjectKind::Func,
            1 => ObjectKind::Struct,
            2 => ObjectKind::Array,
            3 => ObjectKind::Exception,
            _ => return None,
        })
    }
}

/// Bytes that a field or element of this type takes.
pub const fn storage_size(ty: StorageType) -> u32 {
    match ty {
        StorageType::I8 => 1,
        StorageType::I16 => 2,
        StorageType::Val(ValType::I32 | ValType::F32) => 4,
        StorageType::Val(ValType::I64 | ValType::F64) => 8,
        StorageType::Val(ValType::V128) => 16,
        StorageType::Val(ty) => {
            if ty.is_func_ref() {
                8
            } else {
                4
            }
        }
    }
}

/// Whether a field or element of this type is for the collector to follow.
pub const fn is_gc_ref(ty: StorageType) -> bool {
    matches!(ty, StorageType::Val(ty) if ty.is_gc_ref())
}

/// Where the fields of a struct or exception are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLayout {
    /// The offset of each field.
    pub offsets: Vec<u32>,
    /// Bytes of the object, a multiple of [`ALIGNMENT`].
    pub size: u32,
    /// The offsets of references.
    pub refs: Vec<u32>,
}

impl FieldLayout {
    /// The layout of a struct.
    pub fn of_struct(fields: &[FieldType]) -> FieldLayout {
        Self::new(STRUCT_HEADER, fields.iter().map(|field| field.storage))
    }

    /// The layout of an exception.
    pub fn of_exception(values: &[ValType]) -> FieldLayout {
        Self::new(EXCEPTION_HEADER, values.iter().map(|ty| StorageType::Val(*ty)))
    }

    /// Validation keeps fields below some ten thousand, so nothing overflows.
    fn new(header: u32, fields: impl Iterator<Item = StorageType>) -> FieldLayout {
        let mut layout = FieldLayout { offsets: Vec::new(), size: header, refs: Vec::new() };
        for ty in fields {
            let size = storage_size(ty);
            let at = layout.size.next_multiple_of(size.min(ALIGNMENT));
            layout.offsets.push(at);
            if is_gc_ref(ty) {
                layout.refs.push(at);
            }
            layout.size = at + size;
        }
        layout.size = layout.size.next_multiple_of(ALIGNMENT);
        layout
    }
}

/// Offset of an array's first element, given the bytes of one.
pub const fn array_elements(element_size: u32) -> u32 {
    if element_size <= 4 { 12 } else { 16 }
}

/// Bytes of an array; at most about 2^36, so nothing overflows.
pub const fn array_size(element_size: u32, length: u32) -> u64 {
    (array_elements(element_size) as u64 + element_size as u64 * length as u64).next_multiple_of(ALIGNMENT as u64)
}

/// What a descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it describes.
    pub kind: ObjectKind,
    /// Ids from the topmost ancestor to the type itself.
    pub supers: Vec<TypeId>,
    /// Bytes of an object or of an array's element.
    pub size: u32,
    /// Offsets of references; for arrays of references, one entry, whose value
    /// is that of the first element.
    pub refs: Vec<u32>,
}

impl Descriptor {
    /// The bytes; they must be placed at a multiple of [`ALIGNMENT`].
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.supers.len().max(MIN_SUPERS);
        let refs_at = SUPERS as u32 + entries as u32 * 8;
        let mut out = Vec::with_capacity(refs_at as usize + self.refs.len() * 4);
        out.extend(self.supers.last().map_or(0, |id| id.0).to_le_bytes());
        let depth = self.supers.len().saturating_sub(1) as u32;
        for word in [self.kind as u32, depth, self.size, self.refs.len() as u32, refs_at, 0] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.supers.iter().flat_map(|id| id.0.to_le_bytes()));
        out.resize(refs_at as usize, 0);
        out.extend(self.refs.iter().flat_map(|at| at.to_le_bytes()));
        out
    }
}

pub(super) const DEFINITION: &str = "object: descriptor word, fields at multiples of their size up to 8; array: length 8, \
     elements 12 or 16; exception: tag 8, values 16; descriptor: id 0 kind 8 depth 12 size 16 refs 20 refs_at 24 supers 32 (8); \
     reference: i31 1, extern 2 << 3, object 0 of 8";

#[cfg(test)]
mod tests {
    use super::*;

    fn field(storage: StorageType) -> FieldType {
        FieldType { storage, mutable: true }
    }

    #[test]
    fn fields_are_aligned_and_a_subtype_begins_like_its_supertype() {
        let val = StorageType::Val;
        let mut fields = vec![
            field(StorageType::I8),
            field(val(ValType::I64)),
            field(StorageType::I16),
            field(val(ValType::ANYREF)),
        ];
        let base = FieldLayout::of_struct(&fields);
        assert_eq!((&*base.offsets, base.size, &*base.refs), (&[8, 16, 24, 28][..], 32, &[28][..]));
        fields.extend([field(val(ValType::V128)), field(val(ValType::FUNCREF)), field(val(ValType::EXTERNREF))]);
        let derived = FieldLayout::of_struct(&fields);
        assert_eq!(derived.offsets[..4], base.offsets);
        assert_eq!((&derived.offsets[4..], derived.size, &*derived.refs), (&[32, 48, 56][..], 64, &[28, 56][..]));
        assert_eq!(FieldLayout::of_exception(&[]).size, 16);
        assert_eq!(FieldLayout::of_struct(&[]).size, 8);
    }

    #[test]
    fn arrays_begin_where_their_elements_are_aligned() {
        assert_eq!(array_size(1, 0), 16);
        assert_eq!(array_size(4, 1), 16);
        assert_eq!(array_size(8, 1), 24);
        assert_eq!(array_size(16, u32::MAX), 16 + 16 * u64::from(u32::MAX));
    }

    #[test]
    fn a_descriptor_has_its_fields_where_the_constants_say() {
        let ids = [TypeId(1 << 63 | 1), TypeId(1 << 63 | 2)];
        let bytes = Descriptor { kind: ObjectKind::Struct, supers: ids.to_vec(), size: 24, refs: vec![8, 12] }.encode();
        let word = |at: i32| u32::from_le_bytes(bytes[at as usize..][..4].try_into().unwrap());
        let long = |at: i32| u64::from_le_bytes(bytes[at as usize..][..8].try_into().unwrap());
        assert_eq!((long(ID), word(KIND), word(DEPTH), word(SIZE), word(REFS)), (ids[1].0, 1, 1, 24, 2));
        assert_eq!((long(SUPERS), long(SUPERS + 8), long(SUPERS + 16)), (ids[0].0, ids[1].0, 0));
        assert_eq!(word(word(REFS_AT) as i32 + 4), 12);
        assert_eq!(word(REFS_AT), SUPERS as u32 + 64);
    }
}
