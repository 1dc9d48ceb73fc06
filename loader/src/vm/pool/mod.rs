//! Pools: slots that are reserved when the engine is made.
//!
//! ```text
//! one reservation:  | slot 0 | slot 1 | slot 2 | ...      each with room for any module
//!
//! slot:  cold ── build ──▶ live ── restore, retire ──▶ idle ── revive ──▶ live
//!          ▲                 │                          │
//!          └──── decommit ◀──┴──────────────────────────┘
//! ```
//!
//! * [`blocks`]: cold slots, a composition of the allocators of
//!   `wasmc-allocators`;
//! * [`shards`]: idle instances by module and thread, for
//!   [`ReuseAffinity`](PoolingAllocationStrategy::ReuseAffinity);
//! * [`placed`]: idle instances by slot, for the other strategies;
//! * [`idle`]: what such an instance is.

mod blocks;
mod idle;
mod placed;
mod shards;

pub(super) use idle::Idle;

use super::blueprint::Blueprint;
use super::shared::Padded;
use super::slot::{MemoryPlan, Slot, SlotLayout};
use crate::config::{Config, PoolSettings};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::strategy::{
    InstanceLimits, LimitError, PoolConcurrencyLimitError, PoolExhaustion, PoolMetrics, PoolSizeError,
    PoolingAllocationStrategy,
};
use crate::sys;
use blocks::Blocks;
use placed::Placed;
use shards::Shards;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an instance can be made of.
pub(super) enum Taken {
    /// A retired instance of the same module.
    Warm(Idle),
    /// A slot of which nothing is accessible.
    Cold(Slot),
}

/// The slots of an engine.
pub(crate) struct Pool {
    blocks: Blocks,
    /// Idle instances of which any may be taken; also counts for all.
    shards: Shards,
    /// Idle instances that go with their slots, unless any may be taken.
    placed: Option<Placed>,
    /// Instances that are to give their memory back.
    pending: Mutex<Vec<Idle>>,
    /// Slots that could not be made inaccessible so far.
    stuck: Mutex<Vec<Slot>>,
    settings: PoolSettings,
    slots: u32,
    /// The most instances that lived at once.
    peak: Padded<AtomicU64>,
    waiting: Padded<AtomicU32>,
    gate: Mutex<()>,
    freed: Condvar,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Reserves the address space of a pool.
    ///
    /// # Errors
    /// [`PoolSizeError`] if it cannot be had.
    pub(crate) fn new(
        config: &Config,
        strategy: PoolingAllocationStrategy,
        limits: &InstanceLimits,
    ) -> Result<Pool, PoolSizeError> {
        let settings = config.pool;
        let page = sys::page_size();
        let span = MemoryPlan::new(
            limits.memory_pages.saturating_mul(64 << 10).max(settings.memory_reservation),
            0,
            settings.memory_guard,
            page,
        );
        let layout = span.and_then(|plan| SlotLayout::of_pool(limits, plan.span(), page));
        let layout = layout.ok_or(PoolSizeError { slots: limits.count, slot_bytes: u64::MAX, largest: 0 })?;
        let overflow = settings.exhaustion == PoolExhaustion::OnDemand;
        let placed = (strategy != PoolingAllocationStrategy::ReuseAffinity)
            .then(|| Placed::new(limits.count, settings.max_unused_warm_slots));
        Ok(Pool {
            blocks: Blocks::new(layout, limits.count, strategy, overflow)?,
            shards: Shards::new(settings.max_unused_warm_slots),
            placed,
            pending: Mutex::default(),
            stuck: Mutex::default(),
            settings,
            slots: limits.count,
            peak: Padded::default(),
            waiting: Padded::default(),
            gate: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// Checks that instances of a module fit into the slots.
    pub(crate) fn check(&self, config: &Config, blueprint: &Blueprint) -> Result<(), LimitError> {
        let Some(limits) = config.limits() else { return Ok(()) };
        let reservation = self.settings.memory_reservation.max(limits.memory_pages.saturating_mul(64 << 10));
        blueprint.check(limits, reservation, self.settings.memory_guard)
    }

    /// Where things are in the slots.
    pub(super) fn layout(&self) -> &SlotLayout {
        self.blocks.layout()
    }

    /// Something to make an instance of `module` of.
    ///
    /// # Errors
    /// [`PoolConcurrencyLimitError`] if there is nothing, or the system's if
    /// it has no address space.
    pub(super) fn take(&self, module: &Module) -> Result<Taken> {
        if let Some(taken) = self.try_take(module) {
            return Ok(taken);
        }
        let full = || Error::new(PoolConcurrencyLimitError { slots: self.slots });
        match self.settings.exhaustion {
            PoolExhaustion::Error => Err(full()),
            PoolExhaustion::Block { timeout } => self.wait(module, timeout).ok_or_else(full),
            PoolExhaustion::OnDemand => {
                let slot = self.blocks.allocate().map_err(Error::new)?;
                self.shards.count(|counts| counts.live += 1);
                self.note_peak();
                Ok(Taken::Cold(slot))
            }
        }
    }

    fn cold(&self, slot: Slot) -> Taken {
        self.shards.count(|counts| {
            counts.live += 1;
            counts.cold_hits += 1;
        });
        self.note_peak();
        Taken::Cold(slot)
    }

    fn note_peak(&self) -> u64 {
        let live = self.shards.counts().live.try_into().unwrap_or(0);
        self.peak.0.fetch_max(live, Ordering::Relaxed).max(live)
    }

    fn try_take(&self, module: &Module) -> Option<Taken> {
        match &self.placed {
            None => self.try_take_any(module),
            Some(placed) => self.try_take_placed(placed, module),
        }
    }

    fn try_take_any(&self, module: &Module) -> Option<Taken> {
        if let Some(idle) = self.shards.take(module.id()) {
            return Some(Taken::Warm(idle));
        }
        if !self.blocks.has_free() {
            self.flush(1);
        }
        while !self.blocks.has_free() {
            let idle = self.shards.take_coldest()?;
            match idle.dismantle() {
                Ok(slot) => return Some(self.cold(slot)),
                Err(idle) => lock(&self.pending).push(idle),
            }
        }
        self.blocks.take().map(|slot| self.cold(slot))
    }

    fn try_take_placed(&self, placed: &Placed, module: &Module) -> Option<Taken> {
        if !self.blocks.has_free() {
            self.flush(1);
        }
        while let Some(slot) = self.blocks.take() {
            let Some(idle) = slot.origin().block().and_then(|block| placed.take(block)) else {
                return Some(self.cold(slot));
            };
            if idle.module == module.id() {
                self.shards.count(|counts| {
                    counts.live += 1;
                    counts.warm_hits += 1;
                });
                return Some(Taken::Warm(idle));
            }
            match idle.dismantle() {
                Ok(slot) => return Some(self.cold(slot)),
                // It stays out of the list until its memory can be given back.
                Err(idle) => lock(&self.pending).push(idle),
            }
        }
        None
    }

    /// Waits for something to be freed.
    fn wait(&self, module: &Module, timeout: Duration) -> Option<Taken> {
        let start = Instant::now();
        let mut gate = lock(&self.gate);
        self.waiting.0.fetch_add(1, Ordering::SeqCst);
        // With the fence in `notify`: either this thread sees what was freed,
        // or whoever frees it sees this thread waiting.
        fence(Ordering::SeqCst);
        let taken = loop {
            if let Some(taken) = self.try_take(module) {
                break Some(taken);
            }
            let Some(left) = timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else { break None };
            gate = self.freed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        self.waiting.0.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    /// Tells a thread that waits, if there is any, that something was freed.
    fn notify(&self) {
        if !matches!(self.settings.exhaustion, PoolExhaustion::Block { .. }) {
            return;
        }
        fence(Ordering::SeqCst);
        if self.waiting.0.load(Ordering::Relaxed) > 0 {
            drop(lock(&self.gate));
            self.freed.notify_one();
        }
    }

    /// Takes a retired instance back.
    ///
    /// # Safety
    /// What [`Idle::new`] says holds now.
    pub(super) unsafe fn put(&self, idle: Idle) {
        let refused = match &self.placed {
            _ if !idle.reusable => {
                self.shards.count(|counts| counts.live -= 1);
                Err(idle)
            }
            None => self.shards.keep(idle),
            Some(placed) => {
                self.shards.count(|counts| {
                    counts.live -= 1;
                    counts.resets += 1;
                });
                // SAFETY: the list may give the slot out at once, with what
                // waits in it.
                placed.keep(idle).map(|slot| unsafe { self.blocks.give_back(slot) })
            }
        };
        if let Err(idle) = refused {
            lock(&self.pending).push(idle);
            self.flush(self.settings.decommit_batch_size);
        }
        self.notify();
    }

    /// Takes back a slot of which an instance could not be made.
    ///
    /// # Safety
    /// It came from [`take`](Self::take), and nobody uses it.
    pub(super) unsafe fn discard(&self, slot: Slot) {
        self.shards.count(|counts| counts.live -= 1);
        // SAFETY: the caller's.
        unsafe { self.close(slot) };
        self.notify();
    }

    /// Makes a slot inaccessible and gives it back; if the system refuses, it
    /// is tried again later.
    ///
    /// # Safety
    /// Nobody uses it.
    unsafe fn close(&self, slot: Slot) {
        // SAFETY: the whole slot is nobody's.
        unsafe {
            match sys::make_inaccessible(slot.start().as_ptr(), self.layout().total()) {
                Ok(()) => self.blocks.deallocate(slot),
                Err(_) => lock(&self.stuck).push(slot),
            }
        }
    }

    /// Gives the memory of pending instances back, if there are `enough`.
    fn flush(&self, enough: usize) {
        let mut pending = lock(&self.pending);
        if pending.len() < enough.max(1) {
            return;
        }
        let batch = std::mem::take(&mut *pending);
        drop(pending);
        let mut refused = Vec::new();
        for idle in batch {
            match idle.dismantle() {
                // SAFETY: nothing of the slot is accessible.
                Ok(slot) => unsafe { self.blocks.deallocate(slot) },
                Err(idle) => refused.push(idle),
            }
        }
        if !refused.is_empty() {
            lock(&self.pending).append(&mut refused);
        }
        for slot in std::mem::take(&mut *lock(&self.stuck)) {
            // SAFETY: nobody uses it, since it is stuck.
            unsafe { self.close(slot) };
        }
    }

    /// Notes how long a reset took.
    pub(super) fn note_reset(&self, time: Duration) {
        self.shards.count(|counts| {
            counts.measured += 1;
            counts.nanoseconds += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        });
    }

    /// Gives up what waits for further instances of a module.
    pub(crate) fn forget(&self, module: u64) {
        let mut idle = self.shards.take_all(module);
        if let Some(placed) = &self.placed {
            for slot in placed.slots_of(module) {
                if self.blocks.claim(slot) {
                    match placed.take(slot) {
                        Some(found) => idle.push(found),
                        // SAFETY: just claimed, and cold.
                        None => unsafe { self.blocks.give_back(slot) },
                    }
                }
            }
        }
        lock(&self.pending).append(&mut idle);
        self.flush(1);
        self.notify();
    }

    /// What the pool has done so far.
    pub(crate) fn metrics(&self) -> PoolMetrics {
        let counts = self.shards.counts();
        let placed = self.placed.as_ref().map_or((0, 0), Placed::count);
        PoolMetrics {
            slots: self.slots,
            live: counts.live.try_into().unwrap_or(0),
            peak: self.note_peak(),
            warm_hits: counts.warm_hits,
            cold_hits: counts.cold_hits,
            overflow_hits: self.blocks.overflowed(),
            unused_warm: (counts.idle + placed.0).into(),
            resident_bytes: counts.resident + placed.1,
            resets: counts.resets,
            reset_nanoseconds: counts.nanoseconds.checked_div(counts.measured).unwrap_or(0),
        }
    }
}
