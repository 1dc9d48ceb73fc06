//! A list of indices, linked in both directions.

use crate::free_list::BlockIndex;
use std::collections::TryReserveError;

/// No index: there are at most `u32::MAX` blocks, so the last one is one less.
const NONE: u32 = u32::MAX;

/// The neighbours of an index that is in the list.
#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

/// Adding and taking out cost the same at either end and in the middle.
#[derive(Debug, Clone)]
pub(super) struct Links {
    first: u32,
    last: u32,
    /// By index; those of indices that are not in the list mean nothing.
    links: Vec<Link>,
}

impl Links {
    pub(super) const fn new() -> Links {
        Links { first: NONE, last: NONE, links: Vec::new() }
    }

    pub(super) fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        let count = count as usize;
        self.links.try_reserve(count.saturating_sub(self.links.len()))?;
        self.links.resize(count.max(self.links.len()), Link { before: NONE, after: NONE });
        Ok(())
    }

    pub(super) fn push_first(&mut self, index: BlockIndex) {
        self.connect(index.get(), self.first);
        self.connect(NONE, index.get());
    }

    pub(super) fn push_last(&mut self, index: BlockIndex) {
        self.connect(self.last, index.get());
        self.connect(index.get(), NONE);
    }

    pub(super) fn pop_first(&mut self) -> Option<BlockIndex> {
        let first = (self.first != NONE).then(|| BlockIndex::new(self.first))?;
        self.remove(first);
        Some(first)
    }

    pub(super) fn remove(&mut self, index: BlockIndex) {
        let Link { before, after } = *self.link(index.get());
        self.connect(before, after);
    }

    fn link(&mut self, index: u32) -> &mut Link {
        &mut self.links[index as usize]
    }

    /// Makes two indices neighbours; [`NONE`] stands for either end.
    fn connect(&mut self, before: u32, after: u32) {
        match before {
            NONE => self.first = after,
            _ => self.link(before).after = after,
        }
        match after {
            NONE => self.last = before,
            _ => self.link(after).before = before,
        }
    }
}
