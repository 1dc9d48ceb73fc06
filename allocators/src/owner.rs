//! Allocators that know their blocks.

use crate::allocator::Allocator;
use crate::fallback::Fallback;
use std::alloc::Layout;
use std::ptr::NonNull;

/// An allocator that tells its own blocks from those of others.
///
/// Shared pointers to one, such as `&A` and `Arc<A>`, are allocators but no
/// owners. Otherwise one allocator could be the main one of a [`Fallback`] and
/// also the parent of its second one, and a block of the second one would be
/// inside a block of the main one: both would know it.
///
/// ```compile_fail,E0277
/// use std::alloc::Layout;
/// use wasmc_allocators::{BlockOwner, Fallback, FreeList, HeapAllocator, Lifo};
///
/// let page = Layout::new::<[u8; 4096]>();
/// let pages = FreeList::slab(HeapAllocator, page, 10, Lifo::new()).unwrap();
/// let parts = FreeList::slab(&pages, Layout::new::<u64>(), 10, Lifo::new()).unwrap();
/// let memory = (&pages).with_fallback(parts);
/// ```
///
/// # Safety
/// Those who implement it promise that the answer of [`owns_block`] is right,
/// and remains the same as long as the block is given out, since blocks are
/// given back according to it; and that the value is not one of several handles to
/// the same allocator, for the reason above.
///
/// [`owns_block`]: BlockOwner::owns_block
pub unsafe trait BlockOwner: Allocator {
    /// Whether this allocator gave out `block`, which some allocator gave out
    /// and which fits `layout`.
    ///
    /// Of blocks that are parts of this allocator's blocks, because another one
    /// cut them, it may say either.
    fn owns_block(&self, block: NonNull<u8>, layout: Layout) -> bool;

    /// This allocator, and another one for what it cannot give.
    ///
    /// ```
    /// use std::alloc::Layout;
    /// use wasmc_allocators::{Allocator, BlockOwner, FreeList, HeapAllocator, Lifo};
    ///
    /// let layout = Layout::new::<u64>();
    /// let alone = FreeList::slab(HeapAllocator, layout, 0, Lifo::new())?;
    /// assert!(alone.allocate(layout).is_err());
    /// let both = alone.with_fallback(HeapAllocator);
    /// let block = both.allocate(layout)?;
    /// // SAFETY: `both` just gave it out.
    /// unsafe { both.deallocate(block.cast(), layout) };
    /// # Ok::<(), wasmc_allocators::AllocError>(())
    /// ```
    fn with_fallback<Second: Allocator>(self, second: Second) -> Fallback<Self, Second>
    where
        Self: Sized,
    {
        Fallback::new(self, second)
    }
}

// SAFETY: the allocator in the box answers, and it is the one that gives the
// blocks out.
unsafe impl<A: BlockOwner + ?Sized> BlockOwner for Box<A> {
    fn owns_block(&self, block: NonNull<u8>, layout: Layout) -> bool {
        (**self).owns_block(block, layout)
    }
}
