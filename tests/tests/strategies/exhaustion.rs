//! Full pools: who is refused, who waits, and who gets memory from elsewhere.

use super::settings::{LIMITS, config};
use super::{call, module, pre};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use wasmc_loader::{
    Config, Engine, InstanceAllocationStrategy, InstanceLimits, InstancePre, InstantiationStrategy, Linker,
    PoolConcurrencyLimitError, PoolExhaustion, PoolingAllocationStrategy, Store, StoreLimits, StoreLimitsBuilder,
};

const ALLOCATION: [PoolingAllocationStrategy; 3] = [
    PoolingAllocationStrategy::ReuseAffinity,
    PoolingAllocationStrategy::NextAvailable,
    PoolingAllocationStrategy::Random,
];

const TEXT: &str = r#"(module (memory (export "memory") 1 3) (data (i32.const 100) "\05")
    (func (export "use") (result i32)
        (i32.add (i32.load (i32.const 100)) (i32.load (i32.const 50000)))
        (i32.store (i32.const 100) (i32.const 1)) (i32.store (i32.const 50000) (i32.const 1))
        (drop (memory.grow (i32.const 1)))))"#;

fn full_at(count: u32, strategy: PoolingAllocationStrategy, policy: PoolExhaustion) -> Config {
    let mut config = config(InstantiationStrategy::PoolingCopyOnWrite);
    let instance_limits = InstanceLimits { count, ..LIMITS };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits });
    config.pool_exhaustion(policy);
    config
}

/// A store with an instance that works.
fn tenant(pre: &InstancePre<()>) -> wasmc_loader::Result<Store<()>> {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store)?;
    assert_eq!(call::<(), i32, ()>(&mut store, instance, "use", ()).unwrap(), 5);
    Ok(store)
}

#[test]
fn a_full_pool_refuses_and_has_room_again() {
    for strategy in ALLOCATION {
        let engine = Engine::new(&full_at(3, strategy, PoolExhaustion::Error)).unwrap();
        let (one, other) = (pre(&module(&engine, TEXT)), pre(&module(&engine, TEXT)));
        for round in 0..4 {
            let mut tenants = vec![tenant(&one).unwrap(), tenant(&other).unwrap(), tenant(&one).unwrap()];
            for pre in [&one, &other] {
                let error = tenant(pre).err().unwrap();
                assert_eq!(error.downcast_ref(), Some(&PoolConcurrencyLimitError { slots: 3 }), "{error:?}");
                assert!(error.to_string().contains("all 3 slots"), "{error}");
            }
            tenants.swap_remove(round % 3);
            tenants.push(tenant(&other).unwrap());
            assert!(tenant(&one).is_err());
        }
    }
}

/// An instance that was not made does not count.
#[test]
fn a_limiter_counts_no_instance_for_which_the_pool_had_no_room() {
    let engine = Engine::new(&full_at(1, PoolingAllocationStrategy::ReuseAffinity, PoolExhaustion::Error)).unwrap();
    let pre = Linker::<StoreLimits>::new(&engine).instantiate_pre(&module(&engine, TEXT)).unwrap();
    let store = || Store::new(&engine, StoreLimitsBuilder::new().instances(1).memories(1).build());
    let mut holder = store();
    pre.instantiate(&mut holder).unwrap();
    let mut limited = store();
    limited.limiter(|limits| limits);
    for _ in 0..3 {
        let error = pre.instantiate(&mut limited).unwrap_err();
        assert!(error.is::<PoolConcurrencyLimitError>(), "{error:?}");
    }
    drop(holder);
    pre.instantiate(&mut limited).unwrap();
    let error = pre.instantiate(&mut limited).unwrap_err();
    assert!(error.to_string().contains("2 instances"), "{error:?}");
}

#[test]
fn who_waits_gets_what_another_thread_gives_back() {
    for strategy in ALLOCATION {
        let policy = PoolExhaustion::Block { timeout: Duration::from_secs(1000) };
        let engine = Engine::new(&full_at(1, strategy, policy)).unwrap();
        let (one, other) = (pre(&module(&engine, TEXT)), pre(&module(&engine, TEXT)));
        for (holder, waiting) in [(&one, &one), (&one, &other), (&other, &one)] {
            let held = tenant(holder).unwrap();
            let asked = Barrier::new(2);
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    asked.wait();
                    tenant(waiting).map(drop)
                });
                asked.wait();
                // Most likely it waits by now; if not, nothing is different.
                std::thread::sleep(Duration::from_millis(5));
                assert_eq!(engine.pool_metrics().unwrap().live, 1);
                drop(held);
                waiter.join().unwrap().unwrap();
            });
        }
    }
}

#[test]
fn who_waits_in_vain_is_refused_in_the_end() {
    for timeout in [Duration::ZERO, Duration::from_millis(3)] {
        let policy = PoolExhaustion::Block { timeout };
        let engine = Engine::new(&full_at(1, PoolingAllocationStrategy::ReuseAffinity, policy)).unwrap();
        let pre = pre(&module(&engine, TEXT));
        let held = tenant(&pre).unwrap();
        let error = tenant(&pre).err().unwrap();
        assert!(error.is::<PoolConcurrencyLimitError>(), "{error:?}");
        drop(held);
        drop(tenant(&pre).unwrap());
    }
}

#[test]
fn what_does_not_fit_is_allocated_on_demand_and_counted() {
    for strategy in ALLOCATION {
        let engine = Engine::new(&full_at(2, strategy, PoolExhaustion::OnDemand)).unwrap();
        let pre = pre(&module(&engine, TEXT));
        let metrics = || engine.pool_metrics().unwrap();
        for round in 0..3 {
            let tenants: Vec<Store<()>> = (0..7).map(|_| tenant(&pre).unwrap()).collect();
            let now = metrics();
            assert_eq!((now.slots, now.live, now.peak), (2, 7, 7));
            assert_eq!(now.overflow_hits, 5 * (round + 1));
            assert_eq!((now.cold_hits, now.warm_hits), (2, 2 * round));
            drop(tenants);
            assert_eq!((metrics().live, metrics().unused_warm), (0, 2), "the others are freed");
        }
    }
}

/// What a number of threads do with a pool at once, each with one instance at
/// a time; how often they were refused.
fn crowd(engine: &Engine, threads: u64, rounds: u64) -> u64 {
    let pres = [pre(&module(engine, TEXT)), pre(&module(engine, TEXT)), pre(&module(engine, TEXT))];
    let (refused, made, live, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    let start = Barrier::new(threads as usize);
    let slots = i64::from(engine.pool_metrics().unwrap().slots);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (pres, refused, made, live, most, start) = (&pres, &refused, &made, &live, &most, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..rounds {
                    // Mostly the same module, so that there are warm slots.
                    let pre = &pres[if (thread + round) % 5 == 0 { (round % 3) as usize } else { 0 }];
                    match tenant(pre) {
                        Ok(store) => {
                            most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            made.fetch_add(1, Ordering::SeqCst);
                            live.fetch_sub(1, Ordering::SeqCst);
                            drop(store);
                        }
                        Err(error) => {
                            let expected = PoolConcurrencyLimitError { slots: slots as u32 };
                            assert_eq!(error.downcast_ref(), Some(&expected), "{error:?}");
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    let metrics = engine.pool_metrics().unwrap();
    assert_eq!((metrics.live, live.into_inner()), (0, 0));
    assert!(metrics.overflow_hits > 0 || most.into_inner() <= slots, "a slot was given out twice");
    assert_eq!(metrics.warm_hits + metrics.cold_hits + metrics.overflow_hits, made.load(Ordering::SeqCst));
    assert_eq!(made.into_inner() + refused.load(Ordering::SeqCst), threads * rounds);
    assert!(metrics.unused_warm <= slots as u64, "{metrics:?}");
    // All slots are there, and each can be had.
    let all: Vec<Store<()>> = (0..slots).map(|_| tenant(&pres[1]).unwrap()).collect();
    assert_eq!(engine.pool_metrics().unwrap().live, slots as u64);
    assert_eq!(engine.pool_metrics().unwrap().overflow_hits, metrics.overflow_hits);
    drop(all);
    refused.into_inner()
}

/// Configurations in which slots travel in different ways.
fn variants(count: u32, policy: PoolExhaustion) -> impl Iterator<Item = (String, Engine)> {
    ALLOCATION.into_iter().flat_map(move |strategy| {
        [(100, 1), (0, 1), (2, 3)].map(|(warm, batch)| {
            let mut config = full_at(count, strategy, policy);
            config.max_unused_warm_slots(warm).decommit_batch_size(batch);
            (format!("{strategy:?}, {warm} warm, batches of {batch}"), Engine::new(&config).unwrap())
        })
    })
}

#[test]
fn eight_threads_with_eight_slots_are_never_refused() {
    for (name, engine) in variants(8, PoolExhaustion::Error) {
        assert_eq!(crowd(&engine, 8, 1500), 0, "{name}");
    }
}

#[test]
fn eight_threads_with_three_slots_are_refused_or_served() {
    for (_, engine) in variants(3, PoolExhaustion::Error) {
        crowd(&engine, 8, 500);
    }
}

#[test]
fn eight_threads_with_three_slots_wait_for_each_other() {
    for (name, engine) in variants(3, PoolExhaustion::Block { timeout: Duration::from_secs(1000) }) {
        assert_eq!(crowd(&engine, 8, 500), 0, "{name}");
    }
}

#[test]
fn eight_threads_with_three_slots_overflow() {
    for (name, engine) in variants(3, PoolExhaustion::OnDemand) {
        assert_eq!(crowd(&engine, 8, 500), 0, "{name}");
    }
}
