//! The block that was used last.

use super::Order;
use super::links::Links;
use crate::free_list::BlockIndex;
use std::collections::TryReserveError;

/// The block that came back last goes out first: what is in the processor's
/// caches is used again. Blocks that were never used come after those, the
/// lowest first.
#[derive(Debug, Clone)]
pub struct Lifo(Links);

impl Lifo {
    /// An order without blocks.
    pub const fn new() -> Lifo {
        Lifo(Links::new())
    }
}

impl Default for Lifo {
    fn default() -> Lifo {
        Lifo::new()
    }
}

impl Order for Lifo {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        self.0.grow(count)
    }

    fn insert(&mut self, index: BlockIndex) {
        self.0.push_first(index);
    }

    fn fill(&mut self, count: u32) {
        (0..count).for_each(|index| self.0.push_last(BlockIndex::new(index)));
    }

    fn take(&mut self) -> Option<BlockIndex> {
        self.0.pop_first()
    }

    fn remove(&mut self, index: BlockIndex) {
        self.0.remove(index);
    }
}
