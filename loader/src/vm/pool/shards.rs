//! Idle instances by module, divided among threads.
//!
//! A thread looks into its own shard first, so that threads meet at a lock
//! only when a shard has nothing for its thread. How many idle instances there
//! may be is divided among the shards as they need it: each has a quota, taken
//! from what is left of the whole or from other shards' quotas.

use super::super::of::Of;
use super::super::shared::{Padded, shard, shards};
use super::idle::Idle;
use crate::parts;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What happened in a shard.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// Instances made less instances ended, by threads of this shard.
    pub(super) live: i64,
    pub(super) warm_hits: u64,
    pub(super) cold_hits: u64,
    pub(super) resets: u64,
    pub(super) measured: u64,
    pub(super) nanoseconds: u64,
    /// Idle instances.
    pub(super) idle: u32,
    /// Bytes of these.
    pub(super) resident: u64,
}

/// Each with when it was retired, by the ids of their modules.
type IdleLists = Vec<(u64, Vec<(u64, Idle)>)>;

#[derive(Default)]
struct Shard {
    /// By the ids of modules, which are in order. The last of a list was
    /// retired last; the number says when.
    idle: Of<IdleLists, { parts::RECYCLING.is_on() }>,
    /// How many idle instances there may be.
    quota: u32,
    /// Instances retired here so far.
    retired: u64,
    counts: Counts,
}

impl Shard {
    /// Where the list of a module is, or where it would have to be.
    fn place(&self, module: u64) -> Result<usize, usize> {
        self.idle.binary_search_by_key(&module, |(module, _)| *module)
    }

    fn pop(&mut self, module: u64) -> Option<Idle> {
        let place = self.place(module).ok()?;
        let (_, idle) = self.idle[place].1.pop()?;
        self.taken(&idle);
        Some(idle)
    }

    fn taken(&mut self, idle: &Idle) {
        self.counts.idle -= 1;
        self.counts.resident -= idle.resident as u64;
    }

    fn push(&mut self, idle: Idle) {
        self.retired += 1;
        self.counts.idle += 1;
        self.counts.resident += idle.resident as u64;
        let place = self.place(idle.module).unwrap_or_else(|place| {
            self.idle.insert(place, (idle.module, Vec::new()));
            place
        });
        self.idle[place].1.push((self.retired, idle));
    }

    /// The instance that was retired first.
    fn pop_coldest(&mut self) -> Option<Idle> {
        let firsts = self.idle.iter().enumerate().filter_map(|(place, (_, list))| Some((list.first()?.0, place)));
        let (_, place) = firsts.min()?;
        let (_, idle) = self.idle[place].1.remove(0);
        if self.idle[place].1.is_empty() {
            self.idle.remove(place);
        }
        self.taken(&idle);
        Some(idle)
    }
}

/// Idle instances, and what there is to count.
pub(super) struct Shards {
    shards: Box<[Padded<Mutex<Shard>>]>,
    /// Of the idle instances that there may be, those in no shard's quota.
    unassigned: AtomicU32,
}

impl Shards {
    /// For at most `limit` idle instances.
    pub(super) fn new(limit: u32) -> Shards {
        Shards { shards: (0..shards()).map(|_| Padded::default()).collect(), unassigned: AtomicU32::new(limit) }
    }

    fn lock(shard: &Padded<Mutex<Shard>>) -> MutexGuard<'_, Shard> {
        // Nothing panics while it is held, other than for want of memory.
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This thread's shard.
    fn own(&self) -> MutexGuard<'_, Shard> {
        Self::lock(&self.shards[shard()])
    }

    /// All shards, this thread's first.
    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        let (before, after) = self.shards.split_at_checked(shard()).unwrap_or((&[], &self.shards));
        after.iter().chain(before).map(Self::lock)
    }

    /// Counts something that this thread did.
    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.own().counts);
    }

    /// An idle instance of this module, which lives from now on.
    pub(super) fn take(&self, module: u64) -> Option<Idle> {
        let mut own = self.own();
        if let Some(idle) = own.pop(module) {
            own.counts.live += 1;
            own.counts.warm_hits += 1;
            return Some(idle);
        }
        drop(own);
        let idle = self.all().skip(1).find_map(|mut shard| shard.pop(module))?;
        self.count(|counts| {
            counts.live += 1;
            counts.warm_hits += 1;
        });
        Some(idle)
    }

    /// Keeps an instance that lives no more, unless there are too many.
    pub(super) fn keep(&self, idle: Idle) -> Result<(), Idle> {
        let mut own = self.own();
        own.counts.live -= 1;
        own.counts.resets += 1;
        if own.counts.idle >= own.quota {
            drop(own);
            let more = self.more();
            own = self.own();
            own.quota += more;
            if own.counts.idle >= own.quota {
                return Err(idle);
            }
        }
        own.push(idle);
        Ok(())
    }

    /// Takes some of what is in no shard's quota, or else something that
    /// another shard does not need.
    fn more(&self) -> u32 {
        const BATCH: u32 = 4;
        let most = |left: u32| Some(left.saturating_sub(BATCH));
        let (Ok(left) | Err(left)) = self.unassigned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, most);
        if left > 0 {
            return left.min(BATCH);
        }
        let unused = |mut shard: MutexGuard<'_, Shard>| {
            let unused = shard.quota > shard.counts.idle;
            shard.quota -= u32::from(unused);
            unused
        };
        u32::from(self.all().skip(1).any(unused))
    }

    /// The instance that was retired first: in this thread's shard, or in the
    /// next one that has any.
    pub(super) fn take_coldest(&self) -> Option<Idle> {
        self.all().find_map(|mut shard| shard.pop_coldest())
    }

    /// All instances of a module.
    pub(super) fn take_all(&self, module: u64) -> Vec<Idle> {
        let mut found = Vec::new();
        for mut shard in self.all() {
            while let Some(idle) = shard.pop(module) {
                found.push(idle);
            }
            if let Ok(place) = shard.place(module) {
                shard.idle.remove(place);
            }
        }
        found
    }

    /// How many instances were retired so far.
    pub(super) fn retired(&self) -> u64 {
        self.all().fold(0, |sum, shard| sum.wrapping_add(shard.retired))
    }

    /// The sum of what is counted, at one moment: an instance that ends in one
    /// shard and another one that begins in another are not both counted.
    pub(super) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        // Nobody else locks more than one, so that the order is always this.
        let shards: Vec<MutexGuard<'_, Shard>> = self.shards.iter().map(Self::lock).collect();
        for shard in &shards {
            let counts = &shard.counts;
            sum.live += counts.live;
            sum.warm_hits += counts.warm_hits;
            sum.cold_hits += counts.cold_hits;
            sum.resets += counts.resets;
            sum.measured += counts.measured;
            sum.nanoseconds += counts.nanoseconds;
            sum.idle += counts.idle;
            sum.resident += counts.resident;
        }
        sum
    }
}
