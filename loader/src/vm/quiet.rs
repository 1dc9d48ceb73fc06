//! What can be known, without looking at memories, about what happened to
//! them.
//!
//! Writing to a page for the first time takes a page fault, and the system
//! counts the faults of each thread. So if a store was used on one thread only,
//! and that thread has taken no fault since the store was made, then no page
//! was written that had not been written before. Asking for the count takes a
//! system call, so it is done once a store, when that is dropped; the count at
//! its beginning is the one that was found last on the thread, which is not
//! more than the true one.

use super::activation;
use super::reset::Activity;
use super::state::StoreState;
use crate::sys;
use std::cell::Cell;

/// No count is known.
const UNKNOWN: u64 = u64::MAX;
/// After so many vain questions, fewer are asked.
const PATIENCE: u32 = 8;
/// Then only one of so many stores asks.
const RARELY: u32 = 16;

#[derive(Debug)]
struct Known {
    /// The thread's page faults when it was last asked for them.
    faults: Cell<u64>,
    /// How often in a row asking was in vain.
    vain: Cell<u32>,
}

thread_local! {
    static KNOWN: Known = const { Known { faults: Cell::new(UNKNOWN), vain: Cell::new(0) } };
}

/// The beginning of a time in which perhaps no page fault happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    thread: u64,
    /// Not more than the thread's page faults at the time.
    faults: u64,
}

impl Beginning {
    /// From now on, on this thread.
    #[inline]
    pub(super) fn now() -> Beginning {
        Beginning { thread: activation::thread_number(), faults: KNOWN.with(|known| known.faults.get()) }
    }

    /// Whether this thread is the same, and has taken no page fault since.
    fn is_quiet(self) -> bool {
        KNOWN.with(|known| {
            let vain = known.vain.get();
            if vain >= PATIENCE && !vain.is_multiple_of(RARELY) {
                known.vain.set(vain.wrapping_add(1).max(PATIENCE));
                known.faults.set(UNKNOWN);
                return false;
            }
            let Some(faults) = sys::thread_faults() else {
                known.vain.set(PATIENCE);
                return false;
            };
            known.faults.set(faults);
            let quiet = self.thread == activation::thread_number() && self.faults == faults;
            known.vain.set(if quiet { 0 } else { vain.wrapping_add(1) });
            quiet
        })
    }
}

impl StoreState {
    /// What has happened in the store since it was made or last began anew.
    pub(super) fn activity(&self) -> Activity {
        let Some(beginning) = self.beginning.get() else { return Activity::Unknown };
        // Entering code sets one or the other.
        if self.context.host.get().is_null() && !self.entered.get() {
            return Activity::None;
        }
        // The limit is the last thread's that entered code, perhaps long ago.
        let ran_here = [0, beginning.thread].contains(&self.limit.thread.get()) && !self.moved.get();
        if ran_here && beginning.is_quiet() { Activity::NoFaults } else { Activity::Unknown }
    }

    /// Notes that a memory is written to on this thread; whether that is the
    /// thread on which page faults are counted for the store.
    #[inline]
    pub(super) fn writes_here(&self) -> bool {
        self.entered.set(true);
        self.beginning.get().is_some_and(|beginning| beginning.thread == activation::thread_number())
    }

    /// Whether a call into the store is active: the host function that it has
    /// called is what asks.
    pub(crate) fn is_running(&self) -> bool {
        activation::is_current(self)
    }

    /// Notes that all memories are as they were at first. No code runs.
    pub(crate) fn begin(&self) {
        self.context.host.set(std::ptr::null_mut());
        self.entered.set(false);
        self.moved.set(false);
        self.beginning.set(Some(Beginning::now()));
    }
}
