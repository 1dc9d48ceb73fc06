//! The account of a list's blocks.

use super::{BlockIndex, Grown};
use crate::order::Order;
use std::collections::TryReserveError;
use std::ptr::NonNull;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// There is no block.
    Vacant,
    Free,
    InUse,
}

/// What is free. The order chooses, but is not trusted: what it chooses has to
/// be free.
pub(super) struct State<O> {
    order: O,
    /// By index.
    statuses: Vec<Status>,
    free: u32,
    in_use: u32,
    /// The blocks, unless they are parts of a slab.
    grown: Grown,
}

impl<O: Order> State<O> {
    /// Of a list that has no block yet.
    pub(super) fn empty(order: O) -> State<O> {
        State { order, statuses: Vec::new(), free: 0, in_use: 0, grown: Grown::default() }
    }

    /// Of `count` free blocks, which the order knows.
    pub(super) fn all_free(count: u32, order: O) -> Result<State<O>, TryReserveError> {
        let mut state = State::empty(order);
        state.statuses.try_reserve_exact(count as usize)?;
        state.statuses.resize(count as usize, Status::Free);
        state.free = count;
        Ok(state)
    }

    pub(super) fn grown(&self) -> &Grown {
        &self.grown
    }

    pub(super) fn count(&self) -> u32 {
        self.free + self.in_use
    }

    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    /// A free block, which is in use from now on.
    ///
    /// # Panics
    /// If the order chooses a block that is not free.
    pub(super) fn take(&mut self) -> Option<BlockIndex> {
        if self.free == 0 {
            return None;
        }
        let index = self.order.take()?;
        match self.statuses.get_mut(index.as_usize()) {
            Some(status) if *status == Status::Free => *status = Status::InUse,
            _ => not_so(index, "was chosen by the order, but it is not free"),
        }
        self.free -= 1;
        self.in_use += 1;
        Some(index)
    }

    /// Whether the block was free; it is in use from now on.
    pub(super) fn take_at(&mut self, index: BlockIndex) -> bool {
        if self.statuses.get(index.as_usize()) != Some(&Status::Free) {
            return false;
        }
        self.order.remove(index);
        self.statuses[index.as_usize()] = Status::InUse;
        self.free -= 1;
        self.in_use += 1;
        true
    }

    /// Takes a new block in, which is in use.
    pub(super) fn add(&mut self, block: NonNull<u8>) -> Result<BlockIndex, Full> {
        let index = self.grown.prepare().map_err(|_| Full)?.ok_or(Full)?;
        let count = index.as_usize() + 1;
        if count > self.statuses.len() {
            self.statuses.try_reserve(1).map_err(|_| Full)?;
            self.order.grow(index.get() + 1).map_err(|_| Full)?;
            self.statuses.push(Status::Vacant);
        }
        self.grown.add(index, block);
        self.statuses[index.as_usize()] = Status::InUse;
        self.in_use += 1;
        Ok(index)
    }

    /// Takes a block back. If there are `keep` free ones already, it is no
    /// longer the list's: the parent's block is returned. Blocks of a slab
    /// always stay.
    ///
    /// # Panics
    /// If it is not in use.
    pub(super) fn give_back(&mut self, index: BlockIndex, keep: u32) -> Option<NonNull<u8>> {
        let status = match self.statuses.get_mut(index.as_usize()) {
            Some(status) if *status == Status::InUse => status,
            _ => not_so(index, "was given back, but it is not in use"),
        };
        if super::GROWING && self.free >= keep {
            let block = self.grown.remove(index);
            debug_assert!(block.is_some(), "a list keeps as many blocks as its slab has");
            *status = Status::Vacant;
            self.in_use -= 1;
            return block;
        }
        self.order.insert(index);
        *status = Status::Free;
        self.in_use -= 1;
        self.free += 1;
        None
    }

    /// The blocks of a list that grows, all of them, which ends with that.
    pub(super) fn remove_all(&mut self) -> impl Iterator<Item = NonNull<u8>> {
        self.statuses.clear();
        (self.free, self.in_use) = (0, 0);
        self.grown.remove_all().into_iter().flatten()
    }
}

/// There is no memory for the account of one block more, or no index.
#[derive(Debug)]
pub(super) struct Full;
/// Ends what would give one block to two, or lose it.
#[cold]
#[inline(never)]
pub(super) fn not_so(index: BlockIndex, what: &str) -> ! {
    panic!("block {} {what}", index.get())
}
