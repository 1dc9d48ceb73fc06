//! Blocks that end all together.

mod bump;
mod chunk;

use crate::allocator::{Allocator, relocate};
use crate::error::AllocError;
use crate::null::NullAllocator;
use crate::owner::BlockOwner;
use bump::{Bump, Rest, Supply};
use chunk::Chunk;
use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

/// Gives out blocks one behind the other from chunks of a parent, and gives
/// the chunks back all at once: when it is dropped, or cleared.
///
/// In between, an inner [`Scope`] does the same with the rest of the current
/// chunk. While that is open, nothing can be allocated from the outer one; when
/// it ends, in whichever way, its memory is the outer one's again.
///
/// ```text
///   outer: | block | block | inner: | block |  innermost: | block |      |
///                          └ whose rest this is     └ whose rest this is
/// ```
///
/// The last block of a chunk makes room when it is given back or becomes
/// smaller, and can become larger in place; the bytes of others are lost until
/// the end.
///
/// `Send` and `Sync` if the parent is: threads that allocate at the same time
/// do so with atomic operations, and nobody waits. There is no lock, so a panic
/// leaves nothing behind that would have to be repaired.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{AllocError, Allocator, HeapAllocator, Scoped};
///
/// let word = Layout::new::<u64>();
/// let outer = Scoped::fixed(HeapAllocator, Layout::new::<[u64; 100]>())?;
/// outer.allocate(word)?;
/// outer.scope(|inner| {
///     inner.allocate(Layout::new::<[u64; 99]>())?;
///     assert!(matches!(outer.allocate(word), Err(AllocError::ScopeOpen)));
///     Ok::<_, AllocError>(())
/// })??;
/// assert_eq!(outer.used(), 8, "the inner blocks have ended");
/// # Ok::<(), AllocError>(())
/// ```
pub struct Scoped<Parent: Allocator> {
    bump: Bump,
    /// The parent's block that the first chunk is, if it is one.
    first: Option<(NonNull<u8>, Layout)>,
    /// The least size of further chunks; 0 if there are none.
    chunk: usize,
    parent: Parent,
}

// SAFETY: the pointer to the first chunk is only given back to the parent, by
// the owner; the other parts are `Send`.
unsafe impl<Parent: Allocator + Send> Send for Scoped<Parent> {}
// SAFETY: as above; shared access does not use the pointer.
unsafe impl<Parent: Allocator + Sync> Sync for Scoped<Parent> {}

impl Scoped<NullAllocator> {
    /// Gives out parts of `chunk`, and never more.
    ///
    /// ```
    /// use std::alloc::Layout;
    /// use std::ptr::NonNull;
    /// use wasmc_allocators::{Allocator, Scoped};
    ///
    /// let mut bytes = [0u8; 64];
    /// // SAFETY: nobody else uses the bytes as long as `records` is in use.
    /// let records = unsafe { Scoped::within(NonNull::from(&mut bytes)) };
    /// assert!(records.allocate(Layout::new::<[u8; 64]>()).is_ok());
    /// assert!(records.allocate(Layout::new::<u8>()).is_err());
    /// ```
    ///
    /// # Safety
    /// The bytes are valid until the value is dropped and the blocks given out
    /// are no longer used, and nobody else uses them.
    pub const unsafe fn within(chunk: NonNull<[u8]>) -> Scoped<NullAllocator> {
        // SAFETY: the caller promises the same.
        let first = unsafe { Chunk::new(chunk.cast(), chunk.len()) };
        Scoped { bump: Bump::new(first), first: None, chunk: 0, parent: NullAllocator }
    }
}

impl<Parent: Allocator> Scoped<Parent> {
    /// Gives out parts of one chunk of the parent, and never more.
    ///
    /// # Errors
    /// If the parent has no such block.
    pub fn fixed(parent: Parent, chunk: Layout) -> Result<Scoped<Parent>, AllocError> {
        let start = parent.allocate(chunk)?.cast();
        // SAFETY: the parent just gave the bytes out; they go back on drop.
        let first = unsafe { Chunk::new(start, chunk.size()) };
        Ok(Scoped { bump: Bump::new(first), first: Some((start, chunk)), chunk: 0, parent })
    }

    /// Gives out parts of chunks that it gets from the parent when they are
    /// needed, of `chunk` bytes each or of more if a block needs more. A few
    /// bytes of each are used to keep account of the chunks.
    pub const fn growing(parent: Parent, chunk: usize) -> Scoped<Parent> {
        let chunk = if chunk == 0 { 1 } else { chunk };
        Scoped { bump: Bump::new(Chunk::empty()), first: None, chunk, parent }
    }

    /// Opens an inner scope, which lasts until it is dropped.
    ///
    /// # Errors
    /// If one is open already.
    pub fn open(&self) -> Result<Scope<'_, Parent>, AllocError> {
        Scope::new(&self.bump, self.supply())
    }

    /// Does something in an inner scope.
    ///
    /// # Errors
    /// If one is open already; `work` is not called then.
    pub fn scope<R>(&self, work: impl FnOnce(&Scope<'_, Parent>) -> R) -> Result<R, AllocError> {
        self.open().map(|inner| work(&inner))
    }

    /// Ends all blocks, as if the value were dropped and made anew. The first
    /// chunk of a [`fixed`](Scoped::fixed) one stays.
    ///
    /// A scope that was forgotten ([`mem::forget`](std::mem::forget)) is closed.
    pub fn clear(&mut self) {
        self.bump.clear(&self.parent);
    }

    /// Bytes that cannot be given out at the moment, of all chunks: those of
    /// blocks, including what was lost between them, and those left to an open
    /// scope.
    pub fn used(&self) -> usize {
        self.bump.used()
    }

    /// Where the chunks come from.
    pub fn parent(&self) -> &Parent {
        &self.parent
    }

    fn supply(&self) -> Supply<'_, Parent> {
        Supply { parent: &self.parent, chunk: self.chunk }
    }
}

impl<Parent: Allocator> Drop for Scoped<Parent> {
    fn drop(&mut self) {
        self.bump.give_extras_back(&self.parent);
        if let Some((start, layout)) = self.first.take() {
            // SAFETY: the parent gave it out with this layout, and with this
            // value all blocks in it end.
            unsafe { self.parent.deallocate(start, layout) };
        }
    }
}

/// An inner scope of a [`Scoped`] or of another scope: its blocks end with it.
///
/// It begins in the rest of the outer one's chunk. Further chunks, if there are
/// any, it gets from the same parent and gives back at its end.
///
/// `Send` and `Sync` if the parent is `Sync`.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{AllocError, Allocator, HeapAllocator, Scoped};
///
/// let records = Scoped::growing(HeapAllocator, 4096);
/// let outer = records.open()?;
/// outer.allocate(Layout::new::<u64>())?;
/// let inner = outer.open()?;
/// inner.allocate(Layout::new::<u64>())?;
/// drop(inner);
/// outer.allocate(Layout::new::<u64>())?;
/// # Ok::<(), AllocError>(())
/// ```
pub struct Scope<'a, Parent: Allocator> {
    bump: Bump,
    supply: Supply<'a, Parent>,
    /// Goes back to the outer one after this value's own drop.
    _rest: Rest<'a>,
}

impl<'a, Parent: Allocator> Scope<'a, Parent> {
    fn new(outer: &'a Bump, supply: Supply<'a, Parent>) -> Result<Scope<'a, Parent>, AllocError> {
        let (bump, rest) = outer.open()?;
        Ok(Scope { bump, supply, _rest: rest })
    }

    /// Opens an inner scope of this one, which lasts until it is dropped.
    ///
    /// # Errors
    /// If one is open already.
    pub fn open(&self) -> Result<Scope<'_, Parent>, AllocError> {
        Scope::new(&self.bump, Supply { ..self.supply })
    }

    /// Does something in an inner scope of this one.
    ///
    /// # Errors
    /// If one is open already; `work` is not called then.
    pub fn scope<R>(&self, work: impl FnOnce(&Scope<'_, Parent>) -> R) -> Result<R, AllocError> {
        self.open().map(|inner| work(&inner))
    }

    /// Bytes that cannot be given out at the moment; see [`Scoped::used`].
    pub fn used(&self) -> usize {
        self.bump.used()
    }
}

impl<Parent: Allocator> Drop for Scope<'_, Parent> {
    fn drop(&mut self) {
        self.bump.give_extras_back(self.supply.parent);
    }
}

macro_rules! allocator {
    (impl<$($lifetime:lifetime,)? $parent:ident> for $scoped:ty, |$this:ident| $supply:expr) => {
        // SAFETY: blocks are parts of chunks, which are this value's own until
        // it is dropped; they do not overlap, nor does one begin at the end of
        // a chunk, which `Chunk` sees to.
        unsafe impl<$($lifetime,)? $parent: Allocator> Allocator for $scoped {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                let $this = self;
                self.bump.allocate($supply, layout)
            }

            /// # Panics
            /// If the block is not from here.
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                self.bump.give_back(block, layout);
            }

            unsafe fn reallocate(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                match self.bump.resize(block, old, new) {
                    Some(block) => Ok(block),
                    // SAFETY: the caller promises the same.
                    None => unsafe { relocate(self, block, old, self, new) },
                }
            }
        }

        // SAFETY: a block is inside one of this value's chunks, and those of
        // others that are inside too are parts of this value's blocks or of
        // what it left to an inner scope.
        unsafe impl<$($lifetime,)? $parent: Allocator> BlockOwner for $scoped {
            fn owns_block(&self, block: NonNull<u8>, _: Layout) -> bool {
                self.bump.owns(block)
            }
        }
    };
}

allocator!(impl<P> for Scoped<P>, |this| &this.supply());
allocator!(impl<'a, P> for Scope<'a, P>, |this| &this.supply);

impl<Parent: Allocator + fmt::Debug> fmt::Debug for Scoped<Parent> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("parent", &self.parent).field("used", &self.used()).finish_non_exhaustive()
    }
}

impl<Parent: Allocator> fmt::Debug for Scope<'_, Parent> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("used", &self.used()).finish_non_exhaustive()
    }
}
