//! What has to happen even if somebody else's code panics.

use crate::allocator::Allocator;
use std::alloc::Layout;
use std::mem;
use std::ptr::NonNull;

/// A block that goes back when this is dropped.
pub(crate) struct Held<'a, A: Allocator + ?Sized> {
    owner: &'a A,
    block: NonNull<u8>,
    layout: Layout,
}

impl<'a, A: Allocator + ?Sized> Held<'a, A> {
    /// # Safety
    /// `owner` gave `block` out, it fits `layout`, and nobody uses it any more
    /// when the value is dropped.
    pub(crate) unsafe fn new(owner: &'a A, block: NonNull<u8>, layout: Layout) -> Held<'a, A> {
        Held { owner, block, layout }
    }

    /// Leaves the block with the caller.
    pub(crate) fn keep(self) {
        mem::forget(self);
    }
}

impl<A: Allocator + ?Sized> Drop for Held<'_, A> {
    fn drop(&mut self) {
        // SAFETY: `new` was promised that.
        unsafe { self.owner.deallocate(self.block, self.layout) };
    }
}

/// Does what must not stop half-way: a panic ends the process.
pub(crate) fn without_unwinding<T>(work: impl FnOnce() -> T) -> T {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let abort = Abort;
    let result = work();
    mem::forget(abort);
    result
}
