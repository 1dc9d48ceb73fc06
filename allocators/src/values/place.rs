//! A block that waits for its value.

use super::AllocBox;
use crate::allocator::Allocator;
use crate::error::AllocError;
use std::alloc::Layout;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

/// A block for a `T`, which is not in it yet. Dropped, it gives the block back.
///
/// A place is had before the value is made, so that there is nothing to lose
/// if there is no memory; and a large value can be made where it will stay.
///
/// ```
/// use wasmc_allocators::{AllocError, HeapAllocator, Place};
///
/// let mut place = Place::<[u8; 1 << 20], _>::new(HeapAllocator)?;
/// // SAFETY: one array is written, which is all that there is room for; then
/// // all of its bytes are initialised.
/// let large = unsafe {
///     place.memory().as_mut_ptr().write_bytes(7, 1);
///     place.assume_init()
/// };
/// assert_eq!(large[12345], 7);
/// # Ok::<(), AllocError>(())
/// ```
pub struct Place<T, A: Allocator> {
    block: NonNull<T>,
    allocator: A,
}

// SAFETY: the block belongs to the place alone.
unsafe impl<T: Send, A: Allocator + Send> Send for Place<T, A> {}
// SAFETY: shared access shows nothing of the block.
unsafe impl<T: Sync, A: Allocator + Sync> Sync for Place<T, A> {}

impl<T, A: Allocator> Place<T, A> {
    /// A place in a new block.
    ///
    /// # Errors
    /// If the allocator has none.
    pub fn new(allocator: A) -> Result<Place<T, A>, AllocError> {
        let block = allocator.allocate(Layout::new::<T>())?.cast();
        Ok(Place { block, allocator })
    }

    /// The memory for the value.
    pub fn memory(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: the block is large and aligned enough, and the place's own.
        unsafe { self.block.cast().as_mut() }
    }

    /// Puts the value in.
    pub fn fill(mut self, value: T) -> AllocBox<T, A> {
        self.memory().write(value);
        // SAFETY: the value has just been written.
        unsafe { self.assume_init() }
    }

    /// Makes the value and puts it in. If `make` panics, the block goes back.
    pub fn fill_with(self, make: impl FnOnce() -> T) -> AllocBox<T, A> {
        let value = make();
        self.fill(value)
    }

    /// The value is in, says the caller.
    ///
    /// # Safety
    /// It is.
    pub unsafe fn assume_init(self) -> AllocBox<T, A> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the allocator is moved out of a value that is not dropped.
        let allocator = unsafe { ptr::read(&this.allocator) };
        // SAFETY: the allocator gave the block out for a `T`, which is in it.
        unsafe { AllocBox::from_raw(this.block, allocator) }
    }

    /// A place in a block that held a value.
    ///
    /// # Safety
    /// `allocator` gave `block` out for a `T`, and nobody uses it any more.
    pub(super) unsafe fn from_raw(block: NonNull<T>, allocator: A) -> Place<T, A> {
        Place { block, allocator }
    }
}

impl<T, A: Allocator> Drop for Place<T, A> {
    fn drop(&mut self) {
        // SAFETY: the allocator gave it out with this layout.
        unsafe { self.allocator.deallocate(self.block.cast(), Layout::new::<T>()) };
    }
}

impl<T, A: Allocator> fmt::Debug for Place<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("block", &self.block).finish_non_exhaustive()
    }
}
