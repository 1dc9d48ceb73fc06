//! Two allocators, one after the other.

use crate::allocator::{Allocator, relocate};
use crate::error::{AllocError, FallbackError};
use crate::owner::BlockOwner;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Asks the main allocator, and the second one for what that cannot give.
///
/// Only the main one has to know its blocks: those that it does not own are the
/// second one's. A block moves from one to the other when it is reallocated and
/// its own allocator cannot do that. The second one must not cut its blocks out
/// of blocks of the main one; only unsafe code could make it do so.
///
/// `Send` and `Sync` if both are.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{Allocator, BlockOwner, FreeList, HeapAllocator, Lifo};
///
/// let (small, large) = (Layout::new::<[u8; 64]>(), Layout::new::<[u8; 1000]>());
/// let memory = FreeList::slab(HeapAllocator, small, 10, Lifo::new())?.with_fallback(HeapAllocator);
/// let block = memory.allocate(small)?.cast();
/// assert_eq!(memory.main().in_use(), 1);
/// // SAFETY: `memory` gave each block out, with the layout that is named.
/// unsafe {
///     let block = memory.reallocate(block, small, large)?.cast();
///     assert_eq!(memory.main().in_use(), 0, "it is on the heap now");
///     memory.deallocate(block, large);
/// }
/// # Ok::<(), wasmc_allocators::AllocError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Fallback<Main, Second> {
    main: Main,
    second: Second,
}

impl<Main, Second> Fallback<Main, Second> {
    /// Both, in the order in which they are asked. `Main` has to be a
    /// [`BlockOwner`] for the whole to be an allocator.
    pub const fn new(main: Main, second: Second) -> Fallback<Main, Second> {
        Fallback { main, second }
    }

    /// The allocator that is asked first.
    pub const fn main(&self) -> &Main {
        &self.main
    }

    /// The allocator for what the main one cannot give.
    pub const fn second(&self) -> &Second {
        &self.second
    }
}

/// Memory is short if both say so; otherwise what both say.
fn both_failed(main: AllocError, second: AllocError) -> AllocError {
    match (main, second) {
        (AllocError::OutOfMemory { .. }, short @ AllocError::OutOfMemory { .. }) => short,
        (main, second) => AllocError::new(FallbackError { main, second }),
    }
}

// SAFETY: each block is one of the two allocators', which keep the promises,
// and goes back to the one that it came from: the main one if that says so,
// and it knows; otherwise the other one.
unsafe impl<Main: BlockOwner, Second: Allocator> Allocator for Fallback<Main, Second> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.main.allocate(layout).or_else(|main| {
            // The reason is needed only if there is no block here either.
            self.second.allocate(layout).map_err(|second| both_failed(main, second))
        })
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if self.main.owns_block(block, layout) {
            // SAFETY: the block is the main allocator's; the rest the caller
            // promises.
            unsafe { self.main.deallocate(block, layout) };
        } else {
            // SAFETY: the block came from here and not from the main one.
            unsafe { self.second.deallocate(block, layout) };
        }
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let Fallback { main, second } = self;
        if main.owns_block(block, old) {
            // SAFETY: the block is the main allocator's, and after a failure
            // it still is, unchanged.
            let first = unsafe { main.reallocate(block, old, new) };
            // SAFETY: as above.
            first.or_else(|why| unsafe { relocate(main, block, old, second, new) }.map_err(|too| both_failed(why, too)))
        } else {
            // SAFETY: the block is the second allocator's, and after a failure
            // it still is, unchanged.
            let first = unsafe { second.reallocate(block, old, new) };
            // SAFETY: as above.
            first.or_else(|why| unsafe { relocate(second, block, old, main, new) }.map_err(|too| both_failed(too, why)))
        }
    }
}

// SAFETY: a block is one of the two allocators', and both know theirs.
unsafe impl<Main: BlockOwner, Second: BlockOwner> BlockOwner for Fallback<Main, Second> {
    fn owns_block(&self, block: NonNull<u8>, layout: Layout) -> bool {
        self.main.owns_block(block, layout) || self.second.owns_block(block, layout)
    }
}
