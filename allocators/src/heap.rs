//! The program's heap.

use crate::allocator::{Allocator, relocate};
use crate::error::AllocError;
use std::alloc::{self, Layout};
use std::ptr::NonNull;

/// The global heap, whichever allocator is behind it.
///
/// A request for zero bytes takes one, so that its block has an address of its
/// own like every other.
///
/// `Send` and `Sync`: there is nothing in it, and the global heap is for all
/// threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeapAllocator;

/// The same with a size that the global heap accepts. Of all layouts of zero
/// bytes only one, aligned to half of the address space, has no such.
fn at_least_one_byte(layout: Layout) -> Result<Layout, AllocError> {
    Layout::from_size_align(layout.size().max(1), layout.align()).map_err(|_| AllocError::OutOfMemory { layout })
}

fn block(start: *mut u8, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let start = NonNull::new(start).ok_or(AllocError::OutOfMemory { layout })?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

// SAFETY: the global heap's promises are the same, for layouts of one byte and
// more.
unsafe impl Allocator for HeapAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let at_least = at_least_one_byte(layout)?;
        // SAFETY: the size is not 0.
        block(unsafe { alloc::alloc(at_least) }, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // There is no block of a layout that `allocate` refuses.
        if let Ok(layout) = at_least_one_byte(layout) {
            // SAFETY: blocks are exactly as large as asked for, so this is the
            // layout that the heap gave the block out with.
            unsafe { alloc::dealloc(block.as_ptr(), layout) };
        }
    }

    unsafe fn reallocate(&self, old_block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if old.align() != new.align() {
            // SAFETY: the caller promises the same.
            return unsafe { relocate(self, old_block, old, self, new) };
        }
        let (old, at_least) = (at_least_one_byte(old)?, at_least_one_byte(new)?);
        // SAFETY: as for `deallocate`; the new size is not 0, and it is one
        // that a layout with this alignment can have.
        block(unsafe { alloc::realloc(old_block.as_ptr(), old, at_least.size()) }, new)
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, at_least_one_byte};

    /// To ask the global heap for no bytes would be undefined behaviour, which
    /// works most of the time.
    #[test]
    fn the_global_heap_is_never_asked_for_no_bytes() {
        for (size, align) in [(0, 1), (0, 4096), (1, 1), (100, 8)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let asked = at_least_one_byte(layout).unwrap();
            assert_eq!((asked.size(), asked.align()), (size.max(1), align));
        }
    }
}
