//! Blocks of one size.
//!
//! ```text
//! slab:     parent's block  | block 0 | block 1 | block 2 | ...      one address computes the other
//! growing:  parent's blocks | block 1 |   | block 0 |  | block 2 |   a table says which is where
//!
//! beside them   statuses  in use, free, free, in use, ...    and an `Order` of the free ones
//! ```

mod grown;
mod slab;
mod state;

use crate::allocator::Allocator;
use crate::error::AllocError;
use crate::held::Held;
use crate::order::{Lifo, Order};
use crate::owner::BlockOwner;
use grown::Grown;
use slab::Slab;
use state::State;
use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether there are lists that grow.
const GROWING: bool = cfg!(feature = "growing");

/// Which of a [`FreeList`]'s blocks: they are counted from 0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(u32);

impl BlockIndex {
    /// The index with that number.
    pub const fn new(index: u32) -> BlockIndex {
        BlockIndex(index)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Gives out blocks of one size, and keeps those that come back.
///
/// Which blocks are free is written down beside them: the list never touches
/// the bytes of a block, which may be inaccessible. Every request that fits
/// into a block gets a whole one. A reallocation never moves a block: it stays
/// if the new layout fits, even one of zero bytes, and otherwise fails.
///
/// All blocks go back to the parent when the list is dropped.
///
/// `Send` and `Sync` if the parent is and the order is `Send`: a lock, held for
/// a few instructions, guards the account of the blocks. The parent is called
/// without it. After a panic of the parent or the order the list can be used
/// as before.
///
/// ```
/// use std::alloc::Layout;
/// use wasmc_allocators::{AllocError, BlockIndex, Fifo, FreeList, HeapAllocator};
///
/// let list = FreeList::slab(HeapAllocator, Layout::new::<[u64; 8]>(), 2, Fifo::new())?;
/// let (first, block) = list.take()?;
/// let (second, _) = list.take()?;
/// assert_eq!((first.get(), second.get()), (0, 1));
/// assert_eq!(list.index_of(block.cast()), Some(first));
/// assert_eq!(list.take().unwrap_err().to_string(), "all 2 of 2 blocks are in use: \
///     give one back, make more of them, or add a fallback");
///
/// // SAFETY: nobody uses the block.
/// unsafe { list.give_back(second) };
/// assert_eq!(list.take()?.0, second);
/// # Ok::<(), AllocError>(())
/// ```
pub struct FreeList<Parent: Allocator, O: Order = Lifo> {
    parent: Parent,
    /// Of one block; the size is a multiple of the alignment.
    block: Layout,
    /// The parent's block that all blocks are in, unless the list grows.
    slab: Option<Slab>,
    /// How many free blocks to keep for later.
    keep: u32,
    state: Mutex<State<O>>,
}

impl<Parent: Allocator, O: Order> FreeList<Parent, O> {
    /// A list of `count` blocks, which are parts of one block of the parent:
    /// one after the other, at a distance of `block`'s size, rounded up to its
    /// alignment. That is the size of a block, too.
    ///
    /// # Errors
    /// If the parent has no block of the size of all, or there is no such size.
    pub fn slab(parent: Parent, block: Layout, count: u32, mut order: O) -> Result<FreeList<Parent, O>, AllocError> {
        let block = whole(block)?;
        // Before the account of so many blocks is made.
        Slab::layout(block, count)?;
        let short = |_| AllocError::OutOfMemory { layout: block };
        order.grow(count).map_err(short)?;
        order.fill(count);
        let state = State::all_free(count, order).map_err(short)?;
        let slab = Slab::new(&parent, block, count)?;
        Ok(FreeList { parent, block, slab: Some(slab), keep: count, state: Mutex::new(state) })
    }

    /// A list without blocks: it asks the parent for one whenever none is free.
    /// Of those that come back, it keeps as many as `keep` free at a time, and
    /// gives the others back to the parent.
    ///
    /// # Errors
    /// If `block`'s size, rounded up to its alignment, is more than there can be.
    #[cfg(feature = "growing")]
    pub fn growing(parent: Parent, block: Layout, keep: u32, order: O) -> Result<FreeList<Parent, O>, AllocError> {
        let state = Mutex::new(State::empty(order));
        Ok(FreeList { parent, block: whole(block)?, slab: None, keep, state })
    }

    /// The account of the blocks. Each change of it is complete before other
    /// code is called that could panic, so a poisoned lock means nothing.
    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes any free block, as the order says.
    ///
    /// # Errors
    /// If all are in use, or the parent has no further one.
    pub fn take(&self) -> Result<(BlockIndex, NonNull<[u8]>), AllocError> {
        let mut state = self.state();
        if let Some(index) = state.take() {
            return Ok((index, self.start_of(&state, index)));
        }
        let count = state.count();
        drop(state);
        if self.slab.is_some() || !GROWING {
            return Err(AllocError::Exhausted { count });
        }
        let block = self.parent.allocate(self.block)?.cast();
        // SAFETY: the parent just gave it out, and nobody uses it before the
        // end of this function.
        let held = unsafe { Held::new(&self.parent, block, self.block) };
        let index = self.state().add(block).map_err(|_| AllocError::OutOfMemory { layout: self.block })?;
        held.keep();
        Ok((index, self.slice(block)))
    }

    /// Takes a certain block; `None` if that is in use or there is no such.
    pub fn take_at(&self, index: BlockIndex) -> Option<NonNull<[u8]>> {
        let mut state = self.state();
        state.take_at(index).then(|| self.start_of(&state, index))
    }

    /// Takes a block back.
    ///
    /// # Panics
    /// If it is not in use.
    ///
    /// # Safety
    /// Nobody uses the block any more: the list gave it out, and since then it
    /// was not given back.
    pub unsafe fn give_back(&self, index: BlockIndex) {
        let mut state = self.state();
        let surplus = state.give_back(index, self.keep);
        drop(state);
        if let Some(block) = surplus {
            // SAFETY: the parent gave it out, with this layout, and the list
            // has forgotten it.
            unsafe { self.parent.deallocate(block, self.block) };
        }
    }

    /// The index of a block, by its first byte; `None` if no block begins
    /// there. Of a slab, this takes no lock.
    pub fn index_of(&self, block: NonNull<u8>) -> Option<BlockIndex> {
        match &self.slab {
            Some(slab) => slab.index_of(block),
            None if GROWING => self.state().grown().index_of(block),
            None => None,
        }
    }

    /// A block, in use or not; `None` if there is no such. Of a slab, this
    /// takes no lock.
    pub fn block_at(&self, index: BlockIndex) -> Option<NonNull<[u8]>> {
        let start = match &self.slab {
            Some(slab) => slab.start_of(index),
            None if GROWING => self.state().grown().start_of(index),
            None => None,
        };
        start.map(|start| self.slice(start))
    }

    /// Size and alignment of each block. The size is also the distance from
    /// one block of a slab to the next one.
    pub fn block_layout(&self) -> Layout {
        self.block
    }

    /// How many blocks there are; those of a list that grows, at the moment.
    pub fn count(&self) -> u32 {
        self.state().count()
    }

    /// How many blocks are given out.
    pub fn in_use(&self) -> u32 {
        self.state().in_use()
    }

    /// Where the blocks come from.
    pub fn parent(&self) -> &Parent {
        &self.parent
    }

    /// The index of a block that somebody claims to have from here.
    fn known(&self, block: NonNull<u8>) -> BlockIndex {
        self.index_of(block).unwrap_or_else(|| panic!("the block at {block:p} is not from this free list"))
    }

    /// The block with an index that the state has just named.
    fn start_of(&self, state: &State<O>, index: BlockIndex) -> NonNull<[u8]> {
        let start = match &self.slab {
            Some(slab) => slab.start_of(index),
            None if GROWING => state.grown().start_of(index),
            None => None,
        };
        self.slice(start.unwrap_or_else(|| state::not_so(index, "can be taken, but does not exist")))
    }

    fn slice(&self, start: NonNull<u8>) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(start, self.block.size())
    }

    /// Whether a block is large enough, and aligned, for a layout.
    fn check(&self, layout: Layout) -> Result<(), AllocError> {
        if layout.align() > self.block.align() {
            return Err(AllocError::UnsupportedAlignment { layout, supported: self.block.align() });
        }
        if layout.size() > self.block.size() {
            return Err(AllocError::TooLarge { layout, limit: self.block.size() });
        }
        Ok(())
    }
}

/// A layout whose size is the distance between blocks: not 0, so that each has
/// its own address, and a multiple of the alignment.
fn whole(block: Layout) -> Result<Layout, AllocError> {
    Layout::from_size_align(block.size().max(1), block.align())
        .map(|block| block.pad_to_align())
        .map_err(|_| AllocError::OutOfMemory { layout: block })
}

// SAFETY: a block is the parent's or a part of it, lives as long as the list,
// has the size and alignment that `check` compares with, and is given out once
// at a time, which `State` sees to whatever the order says. Blocks do not
// overlap, as they are not smaller than their distance.
unsafe impl<Parent: Allocator, O: Order> Allocator for FreeList<Parent, O> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.check(layout)?;
        self.take().map(|(_, block)| block)
    }

    /// # Panics
    /// If it is not a block of this list that is in use.
    unsafe fn deallocate(&self, block: NonNull<u8>, _: Layout) {
        // SAFETY: the caller promises that.
        unsafe { self.give_back(self.known(block)) };
    }

    /// # Panics
    /// If it is not a block of this list.
    unsafe fn reallocate(&self, block: NonNull<u8>, _: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.check(new)?;
        let index = self.known(block);
        // Not made from the caller's pointer, which may be one to a part.
        Ok(self.block_at(index).expect("an index of a block has a block"))
    }
}

// SAFETY: blocks have addresses of their own, by which a list knows its blocks.
unsafe impl<Parent: Allocator, O: Order> BlockOwner for FreeList<Parent, O> {
    fn owns_block(&self, block: NonNull<u8>, _: Layout) -> bool {
        self.index_of(block).is_some()
    }
}

impl<Parent: Allocator, O: Order> Drop for FreeList<Parent, O> {
    fn drop(&mut self) {
        if let Some(slab) = self.slab.take() {
            slab.give_back(&self.parent);
        }
        if !GROWING {
            return;
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for block in state.remove_all() {
            // SAFETY: the parent gave it out with this layout, and with the
            // list all blocks end.
            unsafe { self.parent.deallocate(block, self.block) };
        }
    }
}

impl<Parent: Allocator + fmt::Debug, O: Order> fmt::Debug for FreeList<Parent, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, in_use) = (self.count(), self.in_use());
        f.debug_struct("FreeList")
            .field("parent", &self.parent)
            .field("block", &self.block)
            .field("count", &count)
            .field("in_use", &in_use)
            .finish_non_exhaustive()
    }
}
