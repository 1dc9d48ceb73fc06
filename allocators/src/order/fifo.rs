//! The coldest block.

use super::Order;
use super::links::Links;
use crate::free_list::BlockIndex;
use std::collections::TryReserveError;

/// The coldest block goes out first: one that was never used, the lowest of
/// them, then the one that came back longest ago. What others remember of the
/// blocks used last is disturbed least.
#[derive(Debug, Clone)]
pub struct Fifo(Links);

impl Fifo {
    /// An order without blocks.
    pub const fn new() -> Fifo {
        Fifo(Links::new())
    }
}

impl Default for Fifo {
    fn default() -> Fifo {
        Fifo::new()
    }
}

impl Order for Fifo {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        self.0.grow(count)
    }

    fn insert(&mut self, index: BlockIndex) {
        self.0.push_last(index);
    }

    fn take(&mut self) -> Option<BlockIndex> {
        self.0.pop_first()
    }

    fn remove(&mut self, index: BlockIndex) {
        self.0.remove(index);
    }
}
