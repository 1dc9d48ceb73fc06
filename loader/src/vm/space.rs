//! Address space as an allocator.

use crate::sys::Region;
use std::alloc::Layout;
use std::ptr::NonNull;
use wasmc_allocators::{AllocError, Allocator};

/// Allocates address space that cannot be accessed yet, in whole pages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AddressSpace;

// SAFETY: the system gives address space to one owner at a time, at least as
// much as is asked for, aligned to pages.
unsafe impl Allocator for AddressSpace {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.align() > crate::sys::page_size() {
            return Err(AllocError::UnsupportedAlignment { layout, supported: crate::sys::page_size() });
        }
        let start = Region::reserve(layout.size()).map_err(AllocError::from)?.into_raw();
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: made in `allocate` from a region of this size, says the
        // caller, and nobody uses it.
        drop(unsafe { Region::from_raw(block, layout.size()) });
    }
}
