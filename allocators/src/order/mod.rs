//! Which free block is given out next.

mod fifo;
mod lifo;
mod links;
mod lowest;
mod random;

pub use fifo::Fifo;
pub use lifo::Lifo;
pub use lowest::Lowest;
pub use random::{Random, RandomSource};

use crate::free_list::BlockIndex;
use std::collections::TryReserveError;

/// The order in which a [`FreeList`](crate::FreeList) gives its free blocks
/// out: a set of block indices, and a choice among them.
///
/// A free list keeps account of its blocks itself: an order that is written
/// wrongly makes it panic or lose blocks, but never give out one twice.
pub trait Order {
    /// From now on indices below `count` are used, which never becomes less.
    /// No other method allocates memory.
    ///
    /// # Errors
    /// If there is not enough memory for that. Nothing has changed then.
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError>;

    /// `index`, which was not free, is free now.
    fn insert(&mut self, index: BlockIndex);

    /// All indices below `count` are free now, none of which was ever used.
    fn fill(&mut self, count: u32) {
        (0..count).for_each(|index| self.insert(BlockIndex::new(index)));
    }

    /// Chooses a free index, which is not free from then on; `None` if there
    /// is none.
    fn take(&mut self) -> Option<BlockIndex>;

    /// `index`, which is free, is not from now on.
    fn remove(&mut self, index: BlockIndex);
}

/// An order that is chosen at run time.
impl<O: Order + ?Sized> Order for Box<O> {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        (**self).grow(count)
    }

    fn insert(&mut self, index: BlockIndex) {
        (**self).insert(index);
    }

    fn fill(&mut self, count: u32) {
        (**self).fill(count);
    }

    fn take(&mut self) -> Option<BlockIndex> {
        (**self).take()
    }

    fn remove(&mut self, index: BlockIndex) {
        (**self).remove(index);
    }
}
