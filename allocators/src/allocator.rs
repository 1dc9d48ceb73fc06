//! What every allocator can do.

use crate::error::AllocError;
use crate::held::without_unwinding;
use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;

/// Gives out blocks of bytes.
///
/// A block *fits* a layout if it was last allocated or reallocated with that
/// layout; in place of the size that was asked for, the layout may have any
/// size up to that of the block, which can be larger than asked for.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{Allocator, HeapAllocator};
///
/// let (small, large) = (Layout::new::<u32>(), Layout::new::<[u32; 100]>());
/// let block = HeapAllocator.allocate(small)?.cast::<u32>();
/// // SAFETY: each block is used within its size, and given back once.
/// unsafe {
///     block.write(7);
///     let block = HeapAllocator.reallocate(block.cast(), small, large)?.cast::<u32>();
///     assert_eq!(block.read(), 7);
///     HeapAllocator.deallocate(block.cast(), large);
/// }
/// # Ok::<(), wasmc_allocators::AllocError>(())
/// ```
///
/// # Safety
/// Those who implement it promise of every block that they give out:
/// * it is at least as large, and aligned, as the layout says;
/// * until it is given back, or the allocator is dropped, its bytes belong to
///   whoever holds it; moving the allocator does not move or invalidate it;
/// * its address is that of no other block that is given out now, even if it is
///   asked for zero bytes, unless one is cut out of the other. This is what lets
///   a [`BlockOwner`](crate::BlockOwner) answer by address.
///
/// Failing and panicking change nothing: a panic of `allocate` gives nothing
/// out, and after an error or panic of `reallocate` the old block is as it was.
/// After a panic of `deallocate` the block counts as given back.
pub unsafe trait Allocator {
    /// A block of `layout.size()` bytes or more. What is in it is undefined.
    ///
    /// # Errors
    /// If there is none.
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError>;

    /// Takes a block back.
    ///
    /// # Safety
    /// This allocator gave `block` out, it fits `layout`, and nobody uses it
    /// any more.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// Makes a block larger or smaller, or aligns it otherwise. The content is
    /// kept as far as it fits; the block may have moved. As provided, it always
    /// moves.
    ///
    /// # Errors
    /// If there is no block for `new`. The old one is as it was then.
    ///
    /// # Safety
    /// This allocator gave `block` out and it fits `old`. Unless there is an
    /// error, nobody uses the old block any more.
    unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller promises the same.
        unsafe { relocate(self, block, old, self, new) }
    }
}

/// Moves a block's content into a new one of `to`.
///
/// # Safety
/// `from` gave `block` out and it fits `old`; nobody uses it any more unless
/// there is an error.
pub(crate) unsafe fn relocate<From: Allocator + ?Sized, To: Allocator + ?Sized>(
    from: &From,
    block: NonNull<u8>,
    old: Layout,
    to: &To,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    let target = to.allocate(new)?;
    let bytes = old.size().min(new.size());
    // SAFETY: the old block fits `old` and the new one `new`, and as both are
    // given out they do not overlap.
    unsafe { ptr::copy_nonoverlapping(block.as_ptr(), target.cast::<u8>().as_ptr(), bytes) };
    // SAFETY: `from` gave the block out, says the caller, who does not use it
    // any more. A panic would leave the caller with neither block.
    without_unwinding(|| unsafe { from.deallocate(block, old) });
    Ok(target)
}

macro_rules! forward {
    ($($pointer:ty),*) => { $(
        // SAFETY: the blocks are the inner allocator's, which lives as long as
        // the pointer and does not move with it.
        unsafe impl<A: Allocator + ?Sized> Allocator for $pointer {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                (**self).allocate(layout)
            }

            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller promises the same.
                unsafe { (**self).deallocate(block, layout) }
            }

            unsafe fn reallocate(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller promises the same.
                unsafe { (**self).reallocate(block, old, new) }
            }
        }
    )* };
}

forward!(&A, Box<A>, Rc<A>, Arc<A>);
