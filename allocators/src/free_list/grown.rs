//! Blocks that were allocated one by one.

use super::BlockIndex;
use std::collections::TryReserveError;
use std::ptr::NonNull;

/// Where the blocks of a list that grows are.
#[derive(Default)]
pub(super) struct Grown {
    /// By index; `None` where a block was given back to the parent.
    starts: Vec<Option<NonNull<u8>>>,
    /// Addresses in order, each with its index.
    indices: Vec<(usize, BlockIndex)>,
    /// Indices without block. Has room for all of them.
    vacant: Vec<BlockIndex>,
}

// SAFETY: the pointers are only handed on; who may access the blocks is a
// matter of those who hold them.
unsafe impl Send for Grown {}

impl Grown {
    pub(super) fn start_of(&self, index: BlockIndex) -> Option<NonNull<u8>> {
        *self.starts.get(index.as_usize())?
    }

    pub(super) fn index_of(&self, block: NonNull<u8>) -> Option<BlockIndex> {
        let place = self.place_of(block).ok()?;
        self.indices.get(place).map(|&(_, index)| index)
    }

    /// Where a block is among the addresses, or where it would have to be.
    fn place_of(&self, block: NonNull<u8>) -> Result<usize, usize> {
        self.indices.binary_search_by_key(&block.addr().get(), |&(address, _)| address)
    }

    /// Makes sure that [`Grown::add`] needs no memory, and tells the index that
    /// it will take; `None` if there is none left.
    pub(super) fn prepare(&mut self) -> Result<Option<BlockIndex>, TryReserveError> {
        self.indices.try_reserve(1)?;
        if let Some(&index) = self.vacant.last() {
            return Ok(Some(index));
        }
        self.starts.try_reserve(1)?;
        self.vacant.try_reserve(self.starts.len() + 1)?;
        Ok(u32::try_from(self.starts.len()).ok().filter(|&index| index < u32::MAX).map(BlockIndex::new))
    }

    /// Takes a block in; `index` is what [`Grown::prepare`] has just told.
    pub(super) fn add(&mut self, index: BlockIndex, block: NonNull<u8>) {
        self.vacant.pop();
        if index.as_usize() == self.starts.len() {
            self.starts.push(None);
        }
        self.starts[index.as_usize()] = Some(block);
        let (Ok(place) | Err(place)) = self.place_of(block);
        self.indices.insert(place, (block.addr().get(), index));
    }

    pub(super) fn remove(&mut self, index: BlockIndex) -> Option<NonNull<u8>> {
        let block = self.starts.get_mut(index.as_usize())?.take()?;
        if let Ok(place) = self.place_of(block) {
            self.indices.remove(place);
        }
        self.vacant.push(index);
        Some(block)
    }

    pub(super) fn remove_all(&mut self) -> Vec<Option<NonNull<u8>>> {
        self.indices.clear();
        self.vacant.clear();
        std::mem::take(&mut self.starts)
    }
}
