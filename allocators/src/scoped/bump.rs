//! Chunks, one after the other, and whether they may be used.

use super::chunk::Chunk;
use crate::allocator::Allocator;
use crate::error::AllocError;
use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// ```text
///  first:   |          blocks          |
///  latest ─▶ | Extra |     blocks      |
///                └ before ─▶ | Extra |    blocks     |
/// ```
///
/// Only the latest chunk is allocated from. Chunks are added by any thread and
/// taken away by the owner of the value only.
pub(super) struct Bump {
    first: Chunk,
    latest: AtomicPtr<Extra>,
    /// Whether an inner scope has the rest of the latest chunk.
    open: AtomicBool,
}

/// What is at the head of a further chunk.
struct Extra {
    chunk: Chunk,
    before: *mut Extra,
    /// Of the parent's block.
    layout: Layout,
}

/// Where further chunks come from.
pub(super) struct Supply<'a, P> {
    pub(super) parent: &'a P,
    /// The least number of bytes to ask for; 0 if there are no further ones.
    pub(super) chunk: usize,
}

/// The rest of a chunk, taken for an inner scope.
pub(super) struct Rest<'a> {
    outer: &'a Bump,
    chunk: &'a Chunk,
    used: usize,
}

impl Bump {
    pub(super) const fn new(first: Chunk) -> Bump {
        Bump { first, latest: AtomicPtr::new(ptr::null_mut()), open: AtomicBool::new(false) }
    }

    /// The further chunks, the latest first.
    fn extras(&self) -> impl Iterator<Item = &Extra> {
        // SAFETY: an extra is complete before it becomes the latest one, and
        // remains until `give_extras_back`, to which there is no other
        // reference than its own.
        let follow = |extra: *mut Extra| unsafe { extra.as_ref() };
        std::iter::successors(follow(self.latest.load(Ordering::Acquire)), move |extra| follow(extra.before))
    }

    /// All chunks, the one that is allocated from first.
    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.extras().map(|extra| &extra.chunk).chain([&self.first])
    }

    fn latest_chunk(&self) -> &Chunk {
        self.chunks().next().unwrap_or(&self.first)
    }

    fn chunk_of(&self, block: NonNull<u8>) -> Option<&Chunk> {
        self.chunks().find(|chunk| chunk.contains(block))
    }

    pub(super) fn owns(&self, block: NonNull<u8>) -> bool {
        self.chunk_of(block).is_some()
    }

    /// Bytes that cannot be given out, of all chunks.
    pub(super) fn used(&self) -> usize {
        self.chunks().map(Chunk::used).sum()
    }

    fn check_open(&self) -> Result<(), AllocError> {
        if self.open.load(Ordering::Acquire) { Err(AllocError::ScopeOpen) } else { Ok(()) }
    }

    pub(super) fn allocate<P: Allocator>(
        &self,
        supply: &Supply<'_, P>,
        layout: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        loop {
            self.check_open()?;
            let latest = self.latest.load(Ordering::Acquire);
            let chunk = self.latest_chunk();
            let used = match chunk.allocate(layout) {
                Ok(block) => return Ok(block),
                Err(used) => used,
            };
            // A scope may have been opened, and even ended, just before.
            self.check_open()?;
            if chunk.used() != used {
                continue;
            }
            if supply.chunk == 0 {
                return Err(AllocError::OutOfMemory { layout });
            }
            self.add_chunk(supply, layout, latest)?;
        }
    }

    /// Gets a chunk with room for `layout`, unless another thread has added
    /// one to `before` meanwhile.
    fn add_chunk<P: Allocator>(
        &self,
        supply: &Supply<'_, P>,
        layout: Layout,
        before: *mut Extra,
    ) -> Result<(), AllocError> {
        let short = |_| AllocError::OutOfMemory { layout };
        let occupied = Layout::from_size_align(layout.size().max(1), layout.align()).map_err(short)?;
        let (least, _) = Layout::new::<Extra>().extend(occupied).map_err(short)?;
        let whole = Layout::from_size_align(least.size().max(supply.chunk), least.align()).map_err(short)?;

        let head = supply.parent.allocate(whole)?.cast::<Extra>();
        let size = whole.size() - size_of::<Extra>();
        // SAFETY: the block is new, aligned for an `Extra` and larger than one.
        unsafe {
            let chunk = Chunk::new(head.add(1).cast(), size);
            head.write(Extra { chunk, before, layout: whole });
        }
        let added = self.latest.compare_exchange(before, head.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        if added.is_err() {
            // SAFETY: the block came from the parent a moment ago, and nobody
            // else has seen it. An `Extra` needs no drop.
            unsafe { supply.parent.deallocate(head.cast(), whole) };
        }
        Ok(())
    }

    pub(super) fn give_back(&self, block: NonNull<u8>, layout: Layout) {
        match self.chunk_of(block) {
            Some(chunk) => chunk.give_back(block, layout),
            None => panic!("the block at {block:p} was given back to a scope that it is not from"),
        }
    }

    /// Resizes a block without moving it, if that can be done.
    pub(super) fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        self.chunk_of(block)?.resize(block, old, new)
    }

    /// Leaves the rest of the latest chunk to an inner scope. Nothing can be
    /// allocated here until that ends.
    pub(super) fn open(&self) -> Result<(Bump, Rest<'_>), AllocError> {
        if self.open.swap(true, Ordering::AcqRel) {
            return Err(AllocError::ScopeOpen);
        }
        let chunk = self.latest_chunk();
        let (first, used) = chunk.take_rest();
        Ok((Bump::new(first), Rest { outer: self, chunk, used }))
    }

    /// Ends all blocks of all chunks but the first.
    pub(super) fn give_extras_back(&mut self, parent: &impl Allocator) {
        while let Some(extra) = NonNull::new(*self.latest.get_mut()) {
            // SAFETY: as in `extras`; nobody else has a reference now.
            let (before, layout) = unsafe { (extra.as_ref().before, extra.as_ref().layout) };
            *self.latest.get_mut() = before;
            // SAFETY: the parent gave it out with this layout, and it is no
            // longer in the list.
            unsafe { parent.deallocate(extra.cast(), layout) };
        }
    }

    /// Ends all blocks and scopes.
    pub(super) fn clear(&mut self, parent: &impl Allocator) {
        self.first.clear();
        *self.open.get_mut() = false;
        self.give_extras_back(parent);
    }
}

impl Drop for Rest<'_> {
    /// The inner scope's blocks have ended.
    fn drop(&mut self) {
        self.chunk.give_rest_back(self.used);
        self.outer.open.store(false, Ordering::Release);
    }
}
