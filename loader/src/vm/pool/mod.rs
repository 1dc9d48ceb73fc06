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
use super::of::Of;
use super::shared::Padded;
use super::slot::{MemoryPlan, Slot, SlotLayout};
use crate::config::{Config, PoolSettings};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::parts;
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
use wasmc_allocators::BlockIndex;

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
    placed: Of<Option<Placed>, { parts::POOL_POLICIES.is_on() }>,
    /// Instances that are to give their memory back.
    pending: Mutex<Vec<Idle>>,
    /// Slots that could not be made inaccessible so far.
    stuck: Mutex<Vec<Slot>>,
    /// How many threads are moving slots from one list to another, so that
    /// nobody finds these.
    moving: AtomicU32,
    /// How many slots have come into a list other than the shards'.
    arrivals: AtomicU64,
    settings: PoolSettings,
    slots: u32,
    /// The most instances that lived at once.
    peak: Padded<AtomicU64>,
    waiting: Padded<AtomicU32>,
    /// How often something was freed while threads waited.
    gate: Mutex<u64>,
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
        let span = MemoryPlan::new(0, config.pool_memory_room(limits), settings.memory_guard, page);
        let layout = span.and_then(|plan| SlotLayout::of_pool(limits, plan.span(), page));
        let layout = layout.ok_or(PoolSizeError { slots: limits.count, slot_bytes: u64::MAX, largest: 0 })?;
        let overflow = settings.exhaustion == PoolExhaustion::OnDemand;
        // First, since only what can be addressed is worth keeping lists of.
        let blocks = Blocks::new(layout, limits.count, strategy, overflow)?;
        let placed = (parts::POOL_POLICIES.is_on() && strategy != PoolingAllocationStrategy::ReuseAffinity)
            .then(|| Placed::new(limits.count, settings.max_unused_warm_slots));
        Ok(Pool {
            blocks,
            shards: Shards::new(settings.max_unused_warm_slots),
            placed: Of::new(placed),
            pending: Mutex::default(),
            stuck: Mutex::default(),
            moving: AtomicU32::new(0),
            arrivals: AtomicU64::new(0),
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
        blueprint.check(limits, config.pool_memory_room(limits), self.settings.memory_guard)
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
        if let Some(taken) = self.search(module).or_else(|| self.try_take(module)) {
            return Ok(taken);
        }
        let full = || self.full();
        match self.settings.exhaustion {
            PoolExhaustion::Error => Err(full()),
            _ if !parts::POOL_POLICIES.is_on() => Err(full()),
            PoolExhaustion::Block { timeout } => self.wait(module, timeout).ok_or_else(full),
            PoolExhaustion::OnDemand => loop {
                let slot = self.blocks.allocate().map_err(Error::new)?;
                if slot.origin().block().is_none() {
                    self.shards.count(|counts| counts.live += 1);
                    self.note_peak(self.shards.counts().live);
                    return Ok(Taken::Cold(slot));
                }
                // One that was freed just now, perhaps with something in it.
                if let Some(taken) = self.open(slot, module) {
                    return Ok(taken);
                }
            },
        }
    }

    #[cold]
    fn full(&self) -> Error {
        let full = Error::new(PoolConcurrencyLimitError { slots: self.slots });
        if cfg!(not(feature = "messages")) {
            return full;
        }
        match lock(&self.pending).len() + lock(&self.stuck).len() {
            0 => full,
            unusable => full.context(format!(
                "{unusable} free slots of the pool cannot be used as long as the system refuses to take their memory back"
            )),
        }
    }

    fn cold(&self, slot: Slot) -> Taken {
        self.shards.count(|counts| {
            counts.live += 1;
            counts.cold_hits += 1;
        });
        self.note_peak(self.shards.counts().live);
        Taken::Cold(slot)
    }

    fn note_peak(&self, live: i64) -> u64 {
        let live = live.try_into().unwrap_or(0);
        self.peak.0.fetch_max(live, Ordering::Relaxed).max(live)
    }

    /// As [`search`](Self::search), but `None` only if at some moment
    /// meanwhile all slots were in use, or those that were not could not be
    /// given back to the system. A search alone can miss a slot that goes from
    /// one list to another; then there is something that moves before or after
    /// it, or that has arrived.
    #[cold]
    fn try_take(&self, module: &Module) -> Option<Taken> {
        let retired = || if parts::RECYCLING.is_on() { self.shards.retired() } else { 0 };
        let arrivals = || self.arrivals.load(Ordering::SeqCst).wrapping_add(retired());
        let moving = || self.moving.load(Ordering::SeqCst) > 0;
        loop {
            let before = (arrivals(), moving());
            if let Some(taken) = self.search(module) {
                return Some(taken);
            }
            if (moving(), arrivals()) == (false, before.0) && !before.1 {
                return None;
            }
            std::thread::yield_now();
        }
    }

    /// Looks once for something to make an instance of `module` of.
    /// Idle instances by slot, if that is how slots are chosen.
    #[inline(always)]
    fn placed(&self) -> Option<&Placed> {
        self.placed.as_ref().filter(|_| parts::POOL_POLICIES.is_on())
    }

    fn search(&self, module: &Module) -> Option<Taken> {
        match self.placed() {
            None => self.search_any(module),
            Some(_) => self.search_placed(module),
        }
    }

    fn search_any(&self, module: &Module) -> Option<Taken> {
        if parts::RECYCLING.is_on()
            && let Some(idle) = self.shards.take(module.id())
        {
            return Some(Taken::Warm(idle));
        }
        if !self.blocks.has_free() {
            self.flush(1);
        }
        while parts::RECYCLING.is_on() && !self.blocks.has_free() {
            let idle = self.shards.take_coldest()?;
            match idle.dismantle() {
                Ok(slot) => return Some(self.cold(slot)),
                Err(idle) => lock(&self.pending).push(idle),
            }
        }
        self.blocks.take().map(|slot| self.cold(slot))
    }

    fn search_placed(&self, module: &Module) -> Option<Taken> {
        if !self.blocks.has_free() {
            self.flush(1);
        }
        std::iter::from_fn(|| self.blocks.take()).find_map(|slot| self.open(slot, module))
    }

    /// Uses a free slot of the pool, in which something may wait. `None` if
    /// that stays out of the list until its memory can be given back.
    fn open(&self, slot: Slot, module: &Module) -> Option<Taken> {
        let waits = || self.placed()?.take(slot.origin().block()?);
        let Some(idle) = waits() else { return Some(self.cold(slot)) };
        if idle.module == module.id() {
            self.shards.count(|counts| {
                counts.live += 1;
                counts.warm_hits += 1;
            });
            return Some(Taken::Warm(idle));
        }
        let slot = idle.dismantle().map_err(|idle| lock(&self.pending).push(idle)).ok()?;
        Some(self.cold(slot))
    }

    /// Waits for something to be freed.
    fn wait(&self, module: &Module, timeout: Duration) -> Option<Taken> {
        let start = Instant::now();
        self.waiting.0.fetch_add(1, Ordering::SeqCst);
        // With the fence in `notify`: either this thread sees what was freed,
        // or whoever frees it sees this thread waiting.
        fence(Ordering::SeqCst);
        let taken = loop {
            let seen = *lock(&self.gate);
            if let Some(taken) = self.try_take(module) {
                break Some(taken);
            }
            let Some(left) = timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else { break None };
            let gate = lock(&self.gate);
            if *gate == seen {
                drop(self.freed.wait_timeout(gate, left));
            }
        };
        self.waiting.0.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    /// Tells threads that wait, if there are any, that something was freed.
    fn notify(&self) {
        if !parts::POOL_POLICIES.is_on() || !matches!(self.settings.exhaustion, PoolExhaustion::Block { .. }) {
            return;
        }
        fence(Ordering::SeqCst);
        if self.waiting.0.load(Ordering::Relaxed) > 0 {
            *lock(&self.gate) += 1;
            self.freed.notify_all();
        }
    }

    /// Takes a retired instance back.
    ///
    /// # Safety
    /// What [`Idle::new`] says holds now.
    pub(super) unsafe fn put(&self, idle: Idle) {
        let refused = match self.placed() {
            _ if !parts::RECYCLING.is_on() || !idle.reusable => {
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
                placed.keep(idle).map(|slot| unsafe { self.give_back(slot) })
            }
        };
        if let Err(idle) = refused {
            lock(&self.pending).push(idle);
            self.arrivals.fetch_add(1, Ordering::SeqCst);
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

    /// Puts a slot of the pool back into the list of free ones.
    ///
    /// # Safety
    /// As for [`Blocks::give_back`].
    unsafe fn give_back(&self, slot: BlockIndex) {
        // SAFETY: the caller's.
        unsafe { self.blocks.give_back(slot) };
        self.arrivals.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives a slot back to where it came from.
    ///
    /// # Safety
    /// As for [`Blocks::deallocate`].
    unsafe fn free(&self, slot: Slot) {
        // SAFETY: the caller's.
        unsafe { self.blocks.deallocate(slot) };
        self.arrivals.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes a slot inaccessible and gives it back; if the system refuses, it
    /// is tried again later.
    ///
    /// # Safety
    /// Nobody uses it.
    unsafe fn close(&self, slot: Slot) {
        // SAFETY: the whole slot is nobody's.
        unsafe {
            let vanishes = slot.origin().block().is_none();
            if vanishes || sys::make_inaccessible(slot.start().as_ptr(), self.layout().total()).is_ok() {
                self.free(slot);
            } else {
                lock(&self.stuck).push(slot);
            }
        }
    }

    /// Gives the memory of pending instances back, if there are `enough`, and
    /// that of slots for which this has failed before.
    fn flush(&self, enough: usize) {
        self.moving.fetch_add(1, Ordering::SeqCst);
        let mut pending = lock(&self.pending);
        let batch = if pending.len() < enough.max(1) { Vec::new() } else { std::mem::take(&mut *pending) };
        drop(pending);
        let before = self.arrivals.load(Ordering::SeqCst);
        let mut refused = Vec::new();
        for idle in batch {
            match idle.dismantle() {
                // SAFETY: nothing of the slot is accessible.
                Ok(slot) => unsafe { self.free(slot) },
                Err(idle) => refused.push(idle),
            }
        }
        if !refused.is_empty() {
            lock(&self.pending).append(&mut refused);
        }
        let stuck = std::mem::take(&mut *lock(&self.stuck));
        for slot in stuck {
            // SAFETY: nobody uses it, since it is stuck.
            unsafe { self.close(slot) };
        }
        self.moving.fetch_sub(1, Ordering::SeqCst);
        if self.arrivals.load(Ordering::SeqCst) != before {
            self.notify();
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
        if !parts::RECYCLING.is_on() {
            return;
        }
        self.moving.fetch_add(1, Ordering::SeqCst);
        let mut idle = self.shards.take_all(module);
        if let Some(placed) = self.placed() {
            for slot in placed.slots_of(module) {
                if self.blocks.claim(slot) {
                    match placed.take(slot) {
                        Some(found) => idle.push(found),
                        // SAFETY: just claimed, and cold.
                        None => unsafe { self.give_back(slot) },
                    }
                }
            }
        }
        lock(&self.pending).append(&mut idle);
        self.flush(1);
        self.moving.fetch_sub(1, Ordering::SeqCst);
        self.notify();
    }

    /// What the pool has done so far.
    pub(crate) fn metrics(&self) -> PoolMetrics {
        let counts = self.shards.counts();
        let placed = self.placed().map_or((0, 0), Placed::count);
        PoolMetrics {
            slots: self.slots,
            live: counts.live.try_into().unwrap_or(0),
            peak: self.note_peak(counts.live),
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
