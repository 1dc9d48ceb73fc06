//! No memory at all.

use crate::allocator::Allocator;
use crate::error::AllocError;
use crate::owner::BlockOwner;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Has no block for anybody: the end of a chain that must not go on, and the
/// parent of what never needs one.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{AllocError, Allocator, NullAllocator};
///
/// assert!(matches!(NullAllocator.allocate(Layout::new::<u8>()), Err(AllocError::OutOfMemory { .. })));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NullAllocator;

// SAFETY: no block is ever given out.
unsafe impl Allocator for NullAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Err(AllocError::OutOfMemory { layout })
    }

    /// # Panics
    /// Always: no block comes from here.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        panic!(
            "a block of {} bytes at {:#x} was given back to NullAllocator, which has none",
            layout.size(),
            block.addr()
        );
    }

    /// # Panics
    /// Always: no block comes from here.
    unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, _: Layout) -> Result<NonNull<[u8]>, AllocError> {
        panic!(
            "a block of {} bytes at {:#x} was to be resized by NullAllocator, which has none",
            old.size(),
            block.addr()
        );
    }
}

// SAFETY: it never gave out a block.
unsafe impl BlockOwner for NullAllocator {
    fn owns_block(&self, _: NonNull<u8>, _: Layout) -> bool {
        false
    }
}
