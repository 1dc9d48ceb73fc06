//! More threads than slots.

use crate::guests::{self, PROGRAM, PROGRAM_FIRST, SMALL, SMALL_FIRST, STRATEGIES, Tenant};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use wasmc_loader::{
    Engine, InstancePre, PoolConcurrencyLimitError, PoolExhaustion, PoolMetrics, PoolingAllocationStrategy,
};
use wasmc_tests::rng::{Rng, rounds};

const THREADS: usize = 8;

/// An engine with a pool, and two modules that share it.
struct House {
    engine: Engine,
    pres: [(InstancePre<()>, i32); 2],
    slots: usize,
}

impl House {
    fn new(
        slots: usize,
        strategy: PoolingAllocationStrategy,
        policy: PoolExhaustion,
        warm: u32,
        batch: usize,
    ) -> House {
        let mut config = guests::pool_with(slots as u32, strategy);
        config.pool_exhaustion(policy).max_unused_warm_slots(warm).decommit_batch_size(batch);
        let engine = Engine::new(&config).unwrap();
        let pres = [(PROGRAM, PROGRAM_FIRST), (SMALL, SMALL_FIRST)];
        let pres = pres.map(|(text, first)| (guests::guest(&engine, text), first));
        House { engine, pres, slots }
    }

    fn metrics(&self) -> PoolMetrics {
        self.engine.pool_metrics().unwrap()
    }

    /// Eight threads have an instance each at the same time, if they get one,
    /// and then up to two each for a while; how many they got, and how often
    /// there was none.
    fn storm(&self, rounds: usize) -> (u64, u64) {
        let (made, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let opened = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (made, refused, opened) = (&made, &refused, &opened);
                scope.spawn(move || {
                    let mut rng = Rng::new(thread as u64);
                    let mut tenants: Vec<(Tenant, i32)> = Vec::new();
                    for round in 0..rounds {
                        if tenants.len() == 2 || rng.below(3) == 0 && !tenants.is_empty() {
                            let (mut tenant, number) = tenants.swap_remove(rng.below(tenants.len()));
                            tenant.check(number);
                        } else if self.enter(&mut rng, (round * THREADS + thread) as i32 + 1, &mut tenants) {
                            made.fetch_add(1, Ordering::Relaxed);
                        } else {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        if round == 0 {
                            opened.wait();
                        } else if round % 8 == 0 {
                            thread::yield_now();
                        }
                    }
                    tenants.iter_mut().for_each(|(tenant, number)| tenant.check(*number));
                });
            }
        });
        (made.into_inner(), refused.into_inner())
    }

    fn enter(&self, rng: &mut Rng, number: i32, tenants: &mut Vec<(Tenant, i32)>) -> bool {
        let (pre, first) = &self.pres[rng.below(2)];
        match Tenant::new(pre) {
            Ok(mut tenant) => {
                tenant.settle(*first, number);
                tenants.push((tenant, number));
                true
            }
            Err(error) => {
                self.assert_full(&error);
                // Somebody who waits for all cannot be waited for.
                tenants.clear();
                false
            }
        }
    }

    fn assert_full(&self, error: &wasmc_loader::Error) {
        let full = error.downcast_ref::<PoolConcurrencyLimitError>();
        assert!(full.is_some_and(|full| full.slots as usize == self.slots), "{error:?}");
    }

    /// All slots are free, and no more than there are.
    fn assert_whole(&self, on_demand: bool) {
        for (pre, first) in &self.pres {
            assert_eq!(self.metrics().live, 0);
            let overflow = self.metrics().overflow_hits;
            let mut tenants: Vec<Tenant> = (0..self.slots).map(|_| Tenant::new(pre).unwrap()).collect();
            tenants.iter_mut().for_each(|tenant| tenant.settle(*first, 1));
            assert_eq!(self.metrics().overflow_hits, overflow, "all slots are the pool's");
            assert_eq!(self.metrics().live as usize, self.slots);
            match Tenant::new(pre) {
                Ok(mut more) => {
                    assert!(on_demand);
                    more.settle(*first, 1);
                    assert_eq!(self.metrics().overflow_hits, overflow + 1);
                }
                Err(error) => {
                    assert!(!on_demand);
                    self.assert_full(&error);
                }
            }
        }
    }
}

/// Every way to choose and to keep slots.
fn houses(policy: PoolExhaustion) -> impl Iterator<Item = House> {
    let kinds = STRATEGIES.into_iter().flat_map(|strategy| [(strategy, 100, 1), (strategy, 1, 3)]);
    kinds.map(move |(strategy, warm, batch)| House::new(5, strategy, policy, warm, batch))
}

#[test]
fn a_full_pool_refuses_and_loses_no_slot() {
    for house in houses(PoolExhaustion::Error) {
        let (made, refused) = house.storm(rounds(1000));
        let metrics = house.metrics();
        assert!(made > 5 && refused >= 3, "{made} made, {refused} refused");
        assert_eq!((metrics.live, metrics.overflow_hits), (0, 0), "{metrics:?}");
        assert_eq!(metrics.warm_hits + metrics.cold_hits, made, "{metrics:?}");
        assert!(metrics.peak <= 5 && metrics.resets <= made, "{metrics:?}");
        house.assert_whole(false);
    }
}

#[test]
fn a_full_pool_waits_and_loses_no_slot() {
    for house in houses(PoolExhaustion::Block { timeout: Duration::from_micros(300) }) {
        let (made, refused) = house.storm(rounds(1000));
        let metrics = house.metrics();
        assert!(made > 5 && refused >= 3, "{made} made, {refused} refused");
        assert_eq!((metrics.live, metrics.overflow_hits), (0, 0), "{metrics:?}");
        assert_eq!(metrics.warm_hits + metrics.cold_hits, made, "{metrics:?}");
        assert!(metrics.peak <= 5, "{metrics:?}");
        house.assert_whole(false);
    }
}

#[test]
fn who_waits_long_enough_always_gets_a_slot() {
    let policy = PoolExhaustion::Block { timeout: Duration::from_secs(10_000) };
    for strategy in STRATEGIES {
        for (slots, warm, batch) in [(1, 1, 1), (3, 0, 1), (3, 2, 3)] {
            let house = House::new(slots, strategy, policy, warm, batch);
            let count = rounds(200);
            thread::scope(|scope| {
                for thread in 0..THREADS {
                    let house = &house;
                    scope.spawn(move || {
                        for round in 0..count {
                            let (pre, first) = &house.pres[(thread + round) % 2];
                            let mut tenant = Tenant::new(pre).unwrap();
                            tenant.settle(*first, 1);
                            if round % 16 == 0 {
                                thread::yield_now();
                            }
                        }
                    });
                }
            });
            let metrics = house.metrics();
            assert_eq!(metrics.warm_hits + metrics.cold_hits, (THREADS * count) as u64, "{metrics:?}");
            assert!(metrics.live == 0 && metrics.peak <= slots as u64, "{metrics:?}");
        }
    }
}

#[test]
fn a_full_pool_overflows_and_loses_no_slot() {
    for house in houses(PoolExhaustion::OnDemand) {
        let (made, refused) = house.storm(rounds(1000));
        let metrics = house.metrics();
        assert_eq!((metrics.live, refused), (0, 0), "{metrics:?}");
        assert!(metrics.overflow_hits >= 3, "{metrics:?}");
        assert_eq!(metrics.warm_hits + metrics.cold_hits + metrics.overflow_hits, made, "{metrics:?}");
        assert!(metrics.peak <= 2 * THREADS as u64, "{metrics:?}");
        house.assert_whole(true);
    }
}

/// A pool with a slot for each worker is never full, wherever the slots are at
/// the moment.
#[test]
fn as_many_threads_as_slots_never_find_the_pool_full() {
    for strategy in STRATEGIES {
        for (threads, warm, batch) in [(2, 0, 1), (2, 1, 2), (3, 2, 2), (8, 100, 1), (8, 3, 4)] {
            let house = House::new(threads, strategy, PoolExhaustion::Error, warm, batch);
            thread::scope(|scope| {
                for thread in 0..threads {
                    let house = &house;
                    scope.spawn(move || {
                        let mut rng = Rng::new(thread as u64);
                        for number in 0..rounds(6000 / threads) {
                            let (pre, first) = &house.pres[rng.below(2)];
                            let mut tenant = Tenant::new(pre).unwrap_or_else(|e| panic!("round {number}: {e:?}"));
                            tenant.settle(*first, thread as i32 + 1);
                            tenant.check(thread as i32 + 1);
                        }
                    });
                }
            });
            house.assert_whole(false);
        }
    }
}
