//! Objects as the collector sees them: the address of a descriptor, then
//! content of which the descriptor says where references are.

use std::mem::offset_of;
use std::ptr;
use wasmc_artifacts::abi::descriptor::{self as abi, ObjectKind};

/// Bytes that are left where objects were, in stress mode: no address of
/// anything, and not what is left of an object that has moved.
pub(super) const POISON: u8 = 0xa4;
pub(super) const POISON_WORD: u64 = u64::from_ne_bytes([POISON; 8]);

/// Set in an object's first word once it has moved; the rest is where to.
pub(super) const MOVED: u64 = 1;

/// The fixed part of a descriptor: read-only data in the text of a module, or
/// the host's.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Descriptor {
    id: u64,
    kind: u32,
    depth: u32,
    size: u32,
    refs: u32,
    refs_at: u32,
    reserved: u32,
}

const _: () = {
    assert!(offset_of!(Descriptor, id) == abi::ID as usize);
    assert!(offset_of!(Descriptor, kind) == abi::KIND as usize);
    assert!(offset_of!(Descriptor, depth) == abi::DEPTH as usize);
    assert!(offset_of!(Descriptor, size) == abi::SIZE as usize);
    assert!(offset_of!(Descriptor, refs) == abi::REFS as usize);
    assert!(offset_of!(Descriptor, refs_at) == abi::REFS_AT as usize);
    assert!(size_of::<Descriptor>() == abi::SUPERS as usize);
};

const STRUCT: u32 = ObjectKind::Struct as u32;
const ARRAY: u32 = ObjectKind::Array as u32;
const EXCEPTION: u32 = ObjectKind::Exception as u32;

/// Where the elements of an array are that have `size` bytes each.
#[inline(always)]
const fn elements(size: usize) -> usize {
    if size <= 4 { 12 } else { 16 }
}

// As the ABI says, in a form that is compiled in place.
const _: () = assert!(elements(4) == abi::array_elements(4) as usize && elements(8) == abi::array_elements(8) as usize);

/// What the collector has to know of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A struct or an exception, with so many references, whose offsets in the
    /// object are there.
    Fields { size: usize, refs: usize, offsets: *const u32 },
    /// An array without references.
    Opaque { size: usize },
    /// An array of so many references.
    References { size: usize, length: usize },
}

impl Shape {
    /// Bytes of the object.
    pub(super) fn size(self) -> usize {
        match self {
            Shape::Fields { size, .. } | Shape::Opaque { size } | Shape::References { size, .. } => size,
        }
    }

    /// The shape of the object at `at`; `None` if there is none, because the
    /// descriptor has been lost with the file that it was in.
    ///
    /// # Safety
    /// An object is there.
    #[inline(always)]
    pub(super) unsafe fn of(at: *const u8) -> Option<Shape> {
        // SAFETY: the first word of an object is its descriptor's address.
        unsafe { Self::described(at.cast::<*const Descriptor>().read(), at) }
    }

    /// The same, of an object with this descriptor.
    ///
    /// # Safety
    /// As for `of`.
    #[inline(always)]
    pub(super) unsafe fn described(descriptor: *const Descriptor, at: *const u8) -> Option<Shape> {
        // SAFETY: the caller's.
        let Descriptor { kind, size, refs, refs_at, .. } = unsafe { ptr::read(descriptor) };
        let size = size as usize;
        match kind {
            STRUCT | EXCEPTION if size >= 8 => {
                let offsets = descriptor.wrapping_byte_add(refs_at as usize).cast();
                Some(Shape::Fields { size, refs: refs as usize, offsets })
            }
            ARRAY if size > 0 => {
                // SAFETY: an array has its length there.
                let length = unsafe { at.wrapping_add(abi::ARRAY_LENGTH as usize).cast::<u32>().read() };
                let bytes = (elements(size) + size * length as usize).next_multiple_of(8);
                Some(match refs {
                    0 => Shape::Opaque { size: bytes },
                    _ => Shape::References { size: bytes, length: length as usize },
                })
            }
            _ => None,
        }
    }
}
