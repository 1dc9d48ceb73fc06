//! The epochs of an engine, and how a thread tells code of a store to stop.
//!
//! ```text
//!   Engine ── Epochs { epoch, cells }          code looks at the first word of
//!                              │               its store's cell: 0, go on
//!   Store ───────▶ cell { flag, deadline, interrupted }
//!   InterruptHandle ───┘
//! ```
//!
//! A store has a cell of its own in a line of the cache of its own, so that code
//! that looks at it shares nothing with other threads until one of them writes.
//! Cells are made in blocks that never move and are freed with the last store,
//! handle or engine; ticking walks them without a lock. The flag only says that
//! there is something to look at: whoever finds it set takes it back first, and
//! then finds out what it is.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The number of cells in the first block; each next one is twice as large.
const FIRST_BLOCK: usize = 16;

/// So many blocks have room for more stores than there is address space for.
const BLOCKS: usize = 28;

/// A flag that is set: what compiled code takes for that.
const SET: u64 = u64::MAX;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a store's code and other threads share.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Cell {
    /// 0, or `SET` if the code is to look what the matter is. First, since it
    /// is what code reads.
    flag: AtomicU64,
    /// The epoch from which on the store is to be stopped.
    deadline: AtomicU64,
    /// The latest store, by the number of its lease, that a handle has stopped.
    interrupted: AtomicU64,
    /// The number of the present lease.
    lease: AtomicU64,
}

impl Cell {
    const fn new() -> Cell {
        Cell {
            flag: AtomicU64::new(0),
            deadline: AtomicU64::new(NEVER),
            interrupted: AtomicU64::new(0),
            lease: AtomicU64::new(0),
        }
    }

    /// The address that compiled code knows the cell by.
    pub(crate) fn address(&self) -> *mut u8 {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

/// For code whose engine has no epochs: never set.
pub(crate) static QUIET: Cell = Cell::new();

/// The epoch of an engine, and the cells of its stores.
pub(crate) struct Epochs {
    epoch: AtomicU64,
    blocks: [OnceLock<Box<[Cell]>>; BLOCKS],
    /// How many cells are in use or were.
    used: AtomicU32,
    /// Those of them that are free again.
    free: Mutex<Vec<u32>>,
}

impl Default for Epochs {
    fn default() -> Self {
        Epochs {
            epoch: AtomicU64::new(0),
            blocks: [const { OnceLock::new() }; BLOCKS],
            used: AtomicU32::new(0),
            free: Mutex::default(),
        }
    }
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epochs").field("epoch", &self.epoch).field("cells", &self.used).finish_non_exhaustive()
    }
}

/// The block of a cell, and its place there.
fn place(index: u32) -> (usize, usize) {
    let index = index as usize + FIRST_BLOCK;
    let block = (index / FIRST_BLOCK).ilog2() as usize;
    (block, index - (FIRST_BLOCK << block))
}

impl Epochs {
    /// The present epoch.
    pub(crate) fn now(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Begins the next epoch. Takes no lock and allocates nothing.
    pub(crate) fn tick(&self) {
        let now = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        let mut left = self.used.load(Ordering::SeqCst) as usize;
        for block in &self.blocks {
            let Some(cells) = block.get().filter(|_| left > 0) else { break };
            for cell in cells.iter().take(left) {
                if cell.deadline.load(Ordering::SeqCst) <= now {
                    cell.flag.store(SET, Ordering::SeqCst);
                }
            }
            left = left.saturating_sub(cells.len());
        }
    }

    fn cell(&self, index: u32) -> &Cell {
        let (block, at) = place(index);
        self.blocks[block].get().map_or(&QUIET, |cells| &cells[at])
    }

    /// The number of a cell that nobody uses.
    fn take(&self) -> u32 {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = free.pop() {
            return index;
        }
        let index = self.used.load(Ordering::SeqCst);
        let (block, _) = place(index);
        self.blocks[block].get_or_init(|| (0..FIRST_BLOCK << block).map(|_| Cell::new()).collect());
        self.used.store(index + 1, Ordering::SeqCst);
        index
    }
}

/// A store's use of a cell.
#[derive(Debug)]
pub(crate) struct Deadline {
    epochs: Arc<Epochs>,
    index: u32,
    lease: u64,
}

impl Deadline {
    /// A cell for a store, whose deadline has come: it is for the store's owner
    /// to set one.
    pub(crate) fn new(epochs: &Arc<Epochs>) -> Deadline {
        let mut deadline = Deadline { epochs: epochs.clone(), index: epochs.take(), lease: 0 };
        deadline.renew();
        deadline
    }

    /// Whether the cell is one of these.
    pub(crate) fn is_of(&self, epochs: &Arc<Epochs>) -> bool {
        Arc::ptr_eq(&self.epochs, epochs)
    }

    /// Gives the cell to another store; handles for the one before do nothing
    /// from now on.
    pub(crate) fn renew(&mut self) {
        let cell = self.cell();
        let lease = cell.lease.fetch_add(1, Ordering::SeqCst) + 1;
        cell.flag.store(0, Ordering::SeqCst);
        self.lease = lease;
        self.set(0);
    }

    /// The store is gone.
    pub(crate) fn rest(&self) {
        self.cell().deadline.store(NEVER, Ordering::SeqCst);
    }

    /// What code looks at.
    pub(crate) fn cell(&self) -> &Cell {
        self.epochs.cell(self.index)
    }

    /// Sets the deadline so many epochs from now.
    pub(crate) fn set(&self, ticks: u64) {
        let cell = self.cell();
        let deadline = self.epochs.now().saturating_add(ticks);
        cell.deadline.store(deadline, Ordering::SeqCst);
        cell.flag.store(0, Ordering::SeqCst);
        // A tick that did not see the deadline, or an interrupt whose flag was
        // taken back, has come before this.
        if self.is_over() || cell.interrupted.load(Ordering::SeqCst) == self.lease {
            cell.flag.store(SET, Ordering::SeqCst);
        }
    }

    /// Whether there is something to look at.
    pub(crate) fn is_due(&self) -> bool {
        self.cell().flag.load(Ordering::SeqCst) != 0
    }

    /// What the flag was set for, which is taken back.
    pub(crate) fn take(&self) -> Reason {
        let cell = self.cell();
        cell.flag.store(0, Ordering::SeqCst);
        let interrupted = cell.interrupted.load(Ordering::SeqCst) == self.lease;
        if interrupted && cell.interrupted.compare_exchange(self.lease, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            // The deadline may have come as well; that is for the next call.
            self.remind();
            return Reason::Interrupted;
        }
        if self.is_over() { Reason::Deadline } else { Reason::Nothing }
    }

    /// Leaves the flag set if the deadline is over still: for the next call.
    pub(crate) fn remind(&self) {
        if self.is_over() {
            self.cell().flag.store(SET, Ordering::SeqCst);
        }
    }

    fn is_over(&self) -> bool {
        self.cell().deadline.load(Ordering::SeqCst) <= self.epochs.now()
    }

    /// What stops the store from elsewhere.
    pub(crate) fn handle(&self) -> InterruptHandle {
        InterruptHandle { epochs: self.epochs.clone(), index: self.index, lease: self.lease }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.rest();
        self.epochs.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

/// Why code was told to stop and look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A handle wants it to stop.
    Interrupted,
    /// The deadline is over.
    Deadline,
    /// That was settled already.
    Nothing,
}

/// Stops the code of a store from any thread; from
/// [`Store::interrupt_handle`](crate::Store::interrupt_handle).
///
/// Cheap to clone; clones stop the same store. Once the store was dropped, it
/// does nothing.
#[derive(Debug, Clone)]
pub struct InterruptHandle {
    epochs: Arc<Epochs>,
    index: u32,
    lease: u64,
}

impl InterruptHandle {
    /// Ends the call that the store is in, with
    /// [`Trap::Interrupt`](crate::Trap::Interrupt): in the loop that it is in or
    /// comes to, in a function that could call itself again, between two pieces
    /// of a bulk operation (1 MiB, or 65,536 elements), or in a
    /// `memory.atomic.wait`, which looks every 10 ms. If the store is in none, the
    /// next one ends, as soon as it gets to such a place. Several interrupts
    /// before that are one. A host function is not interrupted, but the code that
    /// has called it.
    ///
    /// Takes no lock and allocates nothing, so that signal handlers may call it.
    pub fn interrupt(&self) {
        let cell = self.epochs.cell(self.index);
        if cell.lease.load(Ordering::SeqCst) != self.lease {
            return;
        }
        // If another store has got the cell just now, the number is not its
        // own, and it finds that nothing is the matter.
        cell.interrupted.fetch_max(self.lease, Ordering::SeqCst);
        cell.flag.store(SET, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_distinct_places() {
        let mut expected = (0..8).flat_map(|block| (0..FIRST_BLOCK << block).map(move |at| (block, at)));
        for index in 0..2000 {
            assert_eq!(Some(place(index)), expected.next(), "cell {index}");
        }
        assert!(place(u32::MAX).0 < BLOCKS + 1);
    }

    #[test]
    fn a_tick_sets_the_flags_of_deadlines_that_are_over_and_no_others() {
        let epochs = Arc::new(Epochs::default());
        let deadlines: Vec<Deadline> = (0..100).map(|_| Deadline::new(&epochs)).collect();
        for (ticks, deadline) in (1..).zip(&deadlines) {
            assert_eq!(deadline.take(), Reason::Deadline, "a new store has no time");
            deadline.set(ticks);
            assert_eq!(deadline.take(), Reason::Nothing);
        }
        for now in 1..=100 {
            epochs.tick();
            let flags: Vec<u64> = deadlines.iter().map(|d| d.cell().flag.load(Ordering::SeqCst)).collect();
            assert_eq!(flags.iter().filter(|flag| **flag != 0).count(), now);
            assert!(flags[..now].iter().all(|flag| *flag != 0));
        }
    }

    #[test]
    fn a_cell_is_used_again_and_old_handles_do_nothing() {
        let epochs = Arc::new(Epochs::default());
        let first = Deadline::new(&epochs);
        let (handle, at) = (first.handle(), first.cell().address());
        drop(first);
        let second = Deadline::new(&epochs);
        second.set(NEVER);
        second.take();
        assert_eq!(second.cell().address(), at);
        handle.interrupt();
        assert_eq!(second.cell().flag.load(Ordering::SeqCst), 0);
        second.handle().interrupt();
        assert_eq!((second.take(), second.take()), (Reason::Interrupted, Reason::Nothing));
    }

    #[test]
    fn an_interrupt_and_a_deadline_are_two_events() {
        let epochs = Arc::new(Epochs::default());
        let deadline = Deadline::new(&epochs);
        deadline.handle().interrupt();
        deadline.handle().interrupt();
        assert_eq!(deadline.take(), Reason::Interrupted);
        assert_eq!(deadline.cell().flag.load(Ordering::SeqCst), SET);
        assert_eq!(deadline.take(), Reason::Deadline);
    }
}
