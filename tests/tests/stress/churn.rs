//! Instances, engines and modules that come and go very often, of which
//! nothing may be left.

use crate::child;
use crate::guests::{self, PROGRAM, PROGRAM_FIRST, SMALL, SMALL_FIRST, Tenant};
use crate::usage::{self, Usage};
use std::sync::Barrier;
use std::thread;
use wasmc_loader::{Config, Engine, InstancePre, Module, Store};
use wasmc_tests::rng::rounds;

/// Makes, uses and drops an instance `count` times; after the first tenth
/// nothing becomes more.
fn churn(pres: &[InstancePre<()>], count: usize) {
    let cycle = |number: usize| {
        let mut tenant = Tenant::new(&pres[number % pres.len()]).unwrap();
        tenant.check(0);
        tenant.put(number as i32 + 1).unwrap();
    };
    (0..count / 10).for_each(cycle);
    let before = Usage::now();
    (count / 10..count).for_each(cycle);
    before.assert_flat(0, 64);
}

#[test]
fn a_million_instances_in_a_pool_leave_nothing() {
    child::alone("churn::a_million_instances_in_a_pool_leave_nothing", || {
        let engine = Engine::new(&guests::pool(10)).unwrap();
        churn(&[guests::guest(&engine, PROGRAM)], rounds(1_000_000));
        let metrics = engine.pool_metrics().unwrap();
        assert_eq!((metrics.live, metrics.cold_hits, metrics.peak), (0, 1, 1), "{metrics:?}");
    });
}

#[test]
fn instances_in_cold_slots_leave_nothing() {
    child::alone("churn::instances_in_cold_slots_leave_nothing", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.cwasm");
        std::fs::write(&path, guests::artifact(PROGRAM)).unwrap();
        for strategy in guests::STRATEGIES {
            // Two modules that take one slot from each other, one from a file
            // that is watched; and slots that are not kept warm.
            for (slots, warm) in [(1, 1), (3, 0)] {
                let mut config = guests::pool_with(slots, strategy);
                let engine = Engine::new(config.max_unused_warm_slots(warm)).unwrap();
                let opened = guests::link(&guests::open(&engine, &path).unwrap()).unwrap();
                churn(&[opened, guests::guest(&engine, SMALL)], rounds(6_000));
                let metrics = engine.pool_metrics().unwrap();
                assert_eq!((metrics.live, metrics.warm_hits), (0, 0), "{metrics:?}");
            }
        }
    });
}

#[test]
fn instances_on_demand_leave_nothing() {
    child::alone("churn::instances_on_demand_leave_nothing", || {
        for spare in [0, 8] {
            let engine = Engine::new(Config::new().spare_slots(spare)).unwrap();
            churn(&[guests::guest(&engine, PROGRAM), guests::guest(&engine, SMALL)], rounds(20_000));
        }
    });
}

#[test]
fn one_store_that_is_reset_a_hundred_thousand_times_does_not_grow() {
    child::alone("churn::one_store_that_is_reset_a_hundred_thousand_times_does_not_grow", || {
        for config in [Config::new(), guests::pool(1)] {
            let engine = Engine::new(&config).unwrap();
            let mut tenant = Tenant::new(&guests::guest(&engine, PROGRAM)).unwrap();
            let mut cycle = |number: usize| {
                tenant.settle(PROGRAM_FIRST, number as i32 + 1);
                tenant.store.reset().unwrap();
            };
            (0..rounds(10_000)).for_each(&mut cycle);
            let before = Usage::now();
            (0..rounds(90_000)).for_each(&mut cycle);
            before.assert_flat(0, 64);
        }
    });
}

#[test]
fn a_thousand_pools_leave_nothing() {
    child::alone("churn::a_thousand_pools_leave_nothing", || {
        let artifact = guests::artifact(SMALL);
        let cycle = |number: usize| {
            let strategy = guests::STRATEGIES[number % 3];
            let engine = Engine::new(&guests::pool_with(1000, strategy)).unwrap();
            let pre = guests::link(&guests::load(&engine, &artifact).unwrap()).unwrap();
            let mut tenants = [0; 3].map(|_| Tenant::new(&pre).unwrap());
            tenants.iter_mut().for_each(|tenant| tenant.settle(SMALL_FIRST, 7));
        };
        (0..100).for_each(cycle);
        let before = Usage::now();
        (0..rounds(1000)).for_each(cycle);
        before.assert_flat(0, 64);
    });
}

/// A module from a file of its own, which is removed: the mapping remains.
fn fresh(engine: &Engine, folder: &std::path::Path, number: usize, artifact: &[u8]) -> (Module, std::path::PathBuf) {
    let path = folder.join(format!("module-{number}.cwasm"));
    std::fs::write(&path, artifact).unwrap();
    let module = guests::open(engine, &path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (module, path)
}

#[test]
fn a_pool_forgets_modules_that_are_dropped() {
    child::alone("churn::a_pool_forgets_modules_that_are_dropped", || {
        let artifact = guests::artifact(PROGRAM);
        let folder = tempfile::tempdir().unwrap();
        for strategy in guests::STRATEGIES {
            let engine = Engine::new(&guests::pool_with(4, strategy)).unwrap();
            let mut before = None;
            for number in 0..rounds(300) {
                let (module, path) = fresh(&engine, folder.path(), number, &artifact);
                let pre = guests::link(&module).unwrap();
                let mut tenants = [0; 3].map(|_| Tenant::new(&pre).unwrap());
                tenants.iter_mut().for_each(|tenant| tenant.settle(PROGRAM_FIRST, number as i32 + 1));
                drop(tenants);
                assert_eq!(engine.pool_metrics().unwrap().unused_warm, 3);
                assert!(usage::is_mapped(&path));
                drop((pre, module));
                let metrics = engine.pool_metrics().unwrap();
                assert_eq!((metrics.unused_warm, metrics.resident_bytes, metrics.live), (0, 0, 0), "{metrics:?}");
                assert!(!usage::is_mapped(&path));
                if number == 30 {
                    before = Some(Usage::now());
                }
            }
            before.unwrap().assert_flat(0, 64);
        }
    });
}

#[test]
fn modules_are_unmapped_when_the_last_instance_on_any_thread_is_gone() {
    child::alone("churn::modules_are_unmapped_when_the_last_instance_on_any_thread_is_gone", || {
        const THREADS: usize = 6;
        let artifact = guests::artifact(PROGRAM);
        let folder = tempfile::tempdir().unwrap();
        for strategy in guests::STRATEGIES {
            let engine = Engine::new(&guests::pool_with(THREADS as u32, strategy)).unwrap();
            let (mut before, mut tags) = (None, 1..);
            for number in 0..rounds(40) {
                let (module, path) = fresh(&engine, folder.path(), number, &artifact);
                let pre = guests::link(&module).unwrap();
                let (living, dropped) = (&Barrier::new(THREADS + 1), &Barrier::new(THREADS + 1));
                thread::scope(|scope| {
                    let threads = [0; THREADS].map(|_| {
                        let (pre, tag) = (pre.clone(), tags.next().unwrap());
                        scope.spawn(move || {
                            let mut tenant = Tenant::new(&pre).unwrap();
                            tenant.settle(PROGRAM_FIRST, tag);
                            drop(pre);
                            living.wait();
                            dropped.wait();
                            tenant.check(tag);
                            tenant.store.reset().unwrap();
                            tenant.settle(PROGRAM_FIRST, tag);
                        })
                    });
                    living.wait();
                    drop((pre, module));
                    assert!(usage::is_mapped(&path), "instances live");
                    dropped.wait();
                    // The scope waits for the closures only, and while a thread
                    // is still ending, the next round maps another stack.
                    threads.into_iter().for_each(|thread| thread.join().unwrap());
                });
                let metrics = engine.pool_metrics().unwrap();
                assert_eq!((metrics.unused_warm, metrics.live), (0, 0), "{metrics:?}");
                assert!(!usage::is_mapped(&path));
                if number == 10 {
                    before = Some(Usage::now());
                }
            }
            before.unwrap().assert_flat(4, 512);
            drop(Store::new(&engine, ()));
        }
    });
}
