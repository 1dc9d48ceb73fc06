//! Allocators with an observer.

use crate::allocator::Allocator;
use crate::error::AllocError;
use crate::held::{Held, without_unwinding};
use crate::owner::BlockOwner;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Is told what an allocator does. Every method does nothing unless it is
/// written anew; `()` is a logger that does nothing at all and costs nothing.
///
/// A panic goes through to the user of the allocator. The block is given back
/// in that case, except from [`reallocate_success`], where it ends the process
/// since the user could not know which block is left.
///
/// [`reallocate_success`]: ProxyLogger::reallocate_success
pub trait ProxyLogger {
    /// `block` has just been given out for `layout`.
    fn allocate_success(&self, layout: Layout, block: NonNull<[u8]>) {
        let _ = (layout, block);
    }

    /// There was no block for `layout`.
    fn allocate_failure(&self, layout: Layout, error: &AllocError) {
        let _ = (layout, error);
    }

    /// `block` goes back now. It is told before, so that no other thread can
    /// have got the same block yet.
    fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let _ = (block, layout);
    }

    /// What was `old_block`, which may be another's by now, has become `block`.
    fn reallocate_success(&self, old_block: NonNull<u8>, old: Layout, new: Layout, block: NonNull<[u8]>) {
        let _ = (old_block, old, new, block);
    }

    /// `block` could not be made to fit `new` and is as it was.
    fn reallocate_failure(&self, block: NonNull<u8>, old: Layout, new: Layout, error: &AllocError) {
        let _ = (block, old, new, error);
    }
}

impl ProxyLogger for () {}

macro_rules! forward {
    ($($pointer:ty),*) => { $(
        impl<L: ProxyLogger + ?Sized> ProxyLogger for $pointer {
            fn allocate_success(&self, layout: Layout, block: NonNull<[u8]>) {
                (**self).allocate_success(layout, block);
            }
            fn allocate_failure(&self, layout: Layout, error: &AllocError) {
                (**self).allocate_failure(layout, error);
            }
            fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                (**self).deallocate(block, layout);
            }
            fn reallocate_success(&self, old_block: NonNull<u8>, old: Layout, new: Layout, block: NonNull<[u8]>) {
                (**self).reallocate_success(old_block, old, new, block);
            }
            fn reallocate_failure(&self, block: NonNull<u8>, old: Layout, new: Layout, error: &AllocError) {
                (**self).reallocate_failure(block, old, new, error);
            }
        }
    )* };
}

forward!(&L, Box<L>, Rc<L>, Arc<L>);

/// An allocator, and a logger that is told what it does.
///
/// `Send` and `Sync` if both are.
///
/// ```
/// use std::alloc::Layout;
/// use std::ptr::NonNull;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use wasmc_allocators::{AllocError, Allocator, HeapAllocator, Proxy, ProxyLogger};
///
/// #[derive(Default)]
/// struct Live(AtomicUsize);
///
/// impl ProxyLogger for Live {
///     fn allocate_success(&self, _: Layout, _: NonNull<[u8]>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
///     fn deallocate(&self, _: NonNull<u8>, _: Layout) {
///         self.0.fetch_sub(1, Ordering::Relaxed);
///     }
/// }
///
/// let counted = Proxy::new(HeapAllocator, Live::default());
/// let block = counted.allocate(Layout::new::<u64>())?;
/// assert_eq!(counted.logger().0.load(Ordering::Relaxed), 1);
/// // SAFETY: it was just given out.
/// unsafe { counted.deallocate(block.cast(), Layout::new::<u64>()) };
/// assert_eq!(counted.logger().0.load(Ordering::Relaxed), 0);
/// # Ok::<(), AllocError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Proxy<A, L> {
    allocator: A,
    logger: L,
}

impl<A, L> Proxy<A, L> {
    /// From now on `logger` is told what `allocator` does.
    pub const fn new(allocator: A, logger: L) -> Proxy<A, L> {
        Proxy { allocator, logger }
    }

    /// The allocator, without the logger.
    pub const fn allocator(&self) -> &A {
        &self.allocator
    }

    /// The logger.
    pub const fn logger(&self) -> &L {
        &self.logger
    }
}

// SAFETY: all blocks are the inner allocator's, which keeps the promises; a
// panic of the logger does not change what has become of them.
unsafe impl<A: Allocator, L: ProxyLogger> Allocator for Proxy<A, L> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let result = self.allocator.allocate(layout);
        match &result {
            Ok(block) => {
                // SAFETY: it was just given out, and if the logger panics
                // nobody learns of it.
                let held = unsafe { Held::new(&self.allocator, block.cast(), layout) };
                self.logger.allocate_success(layout, *block);
                held.keep();
            }
            Err(error) => self.logger.allocate_failure(layout, error),
        }
        result
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises that; it goes back at the end, or when
        // the logger panics.
        let _held = unsafe { Held::new(&self.allocator, block, layout) };
        self.logger.deallocate(block, layout);
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller promises the same.
        let result = unsafe { self.allocator.reallocate(block, old, new) };
        match &result {
            Ok(moved) => without_unwinding(|| self.logger.reallocate_success(block, old, new, *moved)),
            Err(error) => self.logger.reallocate_failure(block, old, new, error),
        }
        result
    }
}

// SAFETY: all blocks are the inner allocator's, which answers.
unsafe impl<A: BlockOwner, L: ProxyLogger> BlockOwner for Proxy<A, L> {
    fn owns_block(&self, block: NonNull<u8>, layout: Layout) -> bool {
        self.allocator.owns_block(block, layout)
    }
}
