//! One block of the parent, cut into blocks.

use super::BlockIndex;
use crate::allocator::Allocator;
use crate::error::AllocError;
use std::alloc::Layout;
use std::ptr::NonNull;

/// Where the blocks of a slab are.
pub(super) struct Slab {
    start: NonNull<u8>,
    /// Of the whole.
    layout: Layout,
    /// From one block to the next one, in bytes; not 0.
    stride: usize,
    count: u32,
}

// SAFETY: the pointer is only computed with; who may access the blocks is a
// matter of those who hold them.
unsafe impl Send for Slab {}
// SAFETY: as above, and nothing changes.
unsafe impl Sync for Slab {}

impl Slab {
    /// The layout of a slab. `block`'s size is a multiple of its alignment.
    pub(super) fn layout(block: Layout, count: u32) -> Result<Layout, AllocError> {
        let size = block.size().checked_mul(count as usize);
        let layout = size.and_then(|size| Layout::from_size_align(size, block.align()).ok());
        layout.ok_or(AllocError::TooMany { count, block })
    }

    /// A slab in a new block of the parent.
    pub(super) fn new(parent: &impl Allocator, block: Layout, count: u32) -> Result<Slab, AllocError> {
        let layout = Slab::layout(block, count)?;
        let start = parent.allocate(layout)?.cast();
        Ok(Slab { start, layout, stride: block.size(), count })
    }

    pub(super) fn start_of(&self, index: BlockIndex) -> Option<NonNull<u8>> {
        // SAFETY: the blocks with indices below `count` are inside the slab.
        (index.get() < self.count).then(|| unsafe { self.start.add(index.as_usize() * self.stride) })
    }

    pub(super) fn index_of(&self, block: NonNull<u8>) -> Option<BlockIndex> {
        let offset = block.addr().get().checked_sub(self.start.addr().get())?;
        let index = u32::try_from(offset / self.stride).ok()?;
        (offset.is_multiple_of(self.stride) && index < self.count).then_some(BlockIndex::new(index))
    }

    /// Ends all blocks. `parent` is the one that they came from.
    pub(super) fn give_back(self, parent: &impl Allocator) {
        // SAFETY: the parent gave it out with this layout. The blocks end with
        // the list, which is being dropped.
        unsafe { parent.deallocate(self.start, self.layout) };
    }
}
