//! Which slot an instance gets, and what a pool counts.

use super::settings::{LIMITS, SLOTS, config};
use super::{call, module, pre};
use std::collections::HashSet;
use wasmc_loader::{
    Config, Engine, InstanceAllocationStrategy, InstanceLimits, InstancePre, InstantiationStrategy, PoolMetrics,
    PoolingAllocationStrategy, Store,
};

const SMALL: &str = r#"(module (memory (export "memory") 1)
    (func (export "write") (param i32) (i32.store (local.get 0) (i32.const 1))))"#;

fn pool(strategy: PoolingAllocationStrategy, count: u32) -> Config {
    let mut config = config(InstantiationStrategy::PoolingCopyOnWrite);
    let instance_limits = InstanceLimits { count, ..LIMITS };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits });
    config
}

fn guest(engine: &Engine) -> InstancePre<()> {
    pre(&module(engine, SMALL))
}

/// An instance's store, and the address of its memory.
type Tenant = (Store<()>, usize);

fn tenant(pre: &InstancePre<()>) -> Tenant {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap_or_else(|e| panic!("{e:?}"));
    let at = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
    (store, at)
}

/// Where the pool's slots have their memories, the lowest first.
fn places(pre: &InstancePre<()>) -> Vec<usize> {
    let slots = pre.module().engine().pool_metrics().unwrap().slots;
    let mut places: Vec<usize> = (0..slots).map(|_| tenant(pre)).collect::<Vec<_>>().iter().map(|t| t.1).collect();
    places.sort_unstable();
    let distance = places[1] - places[0];
    assert!(distance > 4 << 30 && places.windows(2).all(|pair| pair[1] - pair[0] == distance), "{places:x?}");
    places
}

fn metrics(engine: &Engine) -> PoolMetrics {
    engine.pool_metrics().unwrap()
}

#[test]
fn a_pool_is_used_and_given_back() {
    for strategy in InstantiationStrategy::ALL.iter().filter(|strategy| strategy.is_pooling()) {
        let engine = Engine::new(&config(*strategy)).unwrap();
        let pre = guest(&engine);
        let before = metrics(&engine);
        assert_eq!((before.slots, before.live, before.peak, before.cold_hits), (SLOTS, 0, 0, 0));
        let places: HashSet<usize> = places(&pre).into_iter().collect();
        for _ in 0..3 {
            let tenants: Vec<Tenant> = (0..SLOTS).map(|_| tenant(&pre)).collect();
            assert_eq!(tenants.iter().map(|t| t.1).collect::<HashSet<_>>(), places, "{strategy}");
            assert_eq!((metrics(&engine).live, metrics(&engine).unused_warm), (SLOTS.into(), 0));
        }
        // One store can have several slots.
        let mut store = Store::new(&engine, ());
        for _ in 0..SLOTS {
            pre.instantiate(&mut store).unwrap();
        }
        assert_eq!(metrics(&engine).live, SLOTS.into());
        pre.instantiate(&mut store).unwrap_err();
        drop(store);
        let after = metrics(&engine);
        assert_eq!((after.live, after.peak, after.unused_warm), (0, SLOTS.into(), SLOTS.into()));
    }
}

#[test]
fn next_available_is_the_lowest_free_slot() {
    let engine = Engine::new(&pool(PoolingAllocationStrategy::NextAvailable, 6)).unwrap();
    let (one, other) = (guest(&engine), guest(&engine));
    let first = tenant(&one);
    let places = {
        let mut all = vec![first.1];
        let rest: Vec<Tenant> = (0..5).map(|_| tenant(&one)).collect();
        all.extend(rest.iter().map(|t| t.1));
        all
    };
    assert!(places.is_sorted(), "{places:x?}");
    let mut tenants: Vec<Option<Tenant>> = vec![Some(first)];
    // Whoever asks, and whatever was in the slot before.
    for (index, place) in places.iter().enumerate().skip(1) {
        let next = tenant(if index % 2 == 0 { &one } else { &other });
        assert_eq!(next.1, *place);
        tenants.push(Some(next));
    }
    for free in [&[3][..], &[5, 1], &[0, 4, 2], &[2, 1, 0, 5, 4, 3]] {
        for index in free {
            tenants[*index] = None;
        }
        let mut expected = free.to_vec();
        expected.sort_unstable();
        for index in expected {
            let next = tenant(if index % 2 == 0 { &other } else { &one });
            assert_eq!(next.1, places[index]);
            tenants[index] = Some(next);
        }
    }
}

#[test]
fn random_slots_cannot_be_predicted_and_are_all_used() {
    const COUNT: u32 = 16;
    let order = |engine: &Engine| {
        let pre = guest(engine);
        let tenants: Vec<Tenant> = (0..COUNT).map(|_| tenant(&pre)).collect();
        let lowest = tenants.iter().map(|t| t.1).min().unwrap();
        tenants.iter().map(|t| t.1 - lowest).collect::<Vec<_>>()
    };
    // 16! orders: two equal ones, or a sorted one, do not happen by chance.
    let orders: Vec<Vec<usize>> =
        (0..8).map(|_| order(&Engine::new(&pool(PoolingAllocationStrategy::Random, COUNT)).unwrap())).collect();
    assert_eq!(orders.iter().collect::<HashSet<_>>().len(), 8, "engines choose alike");
    let mut sorted = orders[0].clone();
    sorted.sort_unstable();
    for order in &orders {
        assert!(*order != sorted && !order.iter().rev().eq(&sorted), "not random: {order:x?}");
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), COUNT as usize);
    }
    // One instance at a time: every slot gets its turn, and no slot nearly all.
    let engine = Engine::new(&pool(PoolingAllocationStrategy::Random, COUNT)).unwrap();
    let pre = guest(&engine);
    let mut uses = std::collections::HashMap::new();
    let mut repeated = 0;
    let mut last = 0;
    for _ in 0..800 {
        let place = tenant(&pre).1;
        *uses.entry(place).or_insert(0) += 1;
        repeated += i32::from(place == last);
        last = place;
    }
    // 50 are expected of each, and of repetitions: these are 6 deviations.
    assert_eq!(uses.len(), COUNT as usize);
    assert!(uses.values().all(|uses| (9..=92).contains(uses)), "{uses:?}");
    assert!((9..=92).contains(&repeated), "{repeated}");
}

#[test]
fn reuse_affinity_gives_a_module_its_slot_again_and_others_the_coldest() {
    let engine = Engine::new(&pool(PoolingAllocationStrategy::ReuseAffinity, 4)).unwrap();
    let [a, b, c, d, e] = [(); 5].map(|()| guest(&engine));
    let place = |pre: &InstancePre<()>| tenant(pre).1;
    // Slots that were never used come first.
    let (of_a, of_b) = (place(&a), place(&b));
    let (of_c, of_d) = (place(&c), place(&d));
    assert_eq!(HashSet::from([of_a, of_b, of_c, of_d]).len(), 4);
    // The same one again, in whatever order.
    for _ in 0..3 {
        assert_eq!([place(&d), place(&b), place(&c), place(&a)], [of_d, of_b, of_c, of_a]);
    }
    assert_eq!((metrics(&engine).warm_hits, metrics(&engine).cold_hits), (12, 4));
    // Another module gets the one that was not used for the longest time.
    let of_e = place(&e);
    assert_eq!(of_e, of_d);
    assert_eq!(place(&e), of_e);
    // Which is gone for the module that had it: again the coldest.
    assert_eq!(place(&d), of_b);
    assert_eq!([place(&c), place(&a), place(&e)], [of_c, of_a, of_e]);
    assert_eq!((metrics(&engine).warm_hits, metrics(&engine).cold_hits), (12 + 4, 4 + 2));
    // Of two slots of a module, the one that was used last.
    let (first, second) = (tenant(&c), tenant(&c));
    let (first_place, second_place) = (first.1, second.1);
    drop(first);
    drop(second);
    assert_eq!(place(&c), second_place);
    let both = (tenant(&c), tenant(&c));
    assert_eq!((both.0.1, both.1.1), (second_place, first_place));
}

#[test]
fn a_slot_that_was_used_is_not_taken_while_there_are_unused_ones() {
    let engine = Engine::new(&pool(PoolingAllocationStrategy::ReuseAffinity, 6)).unwrap();
    let mut seen = HashSet::new();
    let pres: Vec<InstancePre<()>> = (0..6).map(|_| guest(&engine)).collect();
    for pre in &pres {
        assert!(seen.insert(tenant(pre).1));
    }
    assert_eq!(metrics(&engine).unused_warm, 6);
}

#[test]
fn what_happens_in_a_pool_is_counted() {
    for strategy in [PoolingAllocationStrategy::ReuseAffinity, PoolingAllocationStrategy::NextAvailable] {
        let engine = Engine::new(&pool(strategy, 4)).unwrap();
        let pre = guest(&engine);
        let (one, two) = (tenant(&pre), tenant(&pre));
        let now = metrics(&engine);
        assert_eq!((now.live, now.peak, now.warm_hits, now.cold_hits, now.overflow_hits), (2, 2, 0, 2, 0));
        assert_eq!((now.unused_warm, now.resident_bytes, now.resets), (0, 0, 0));
        drop(one);
        let now = metrics(&engine);
        assert_eq!((now.live, now.peak, now.unused_warm, now.resets), (1, 2, 1, 1));
        assert!(now.resident_bytes > 0, "the context is resident");
        let three = tenant(&pre);
        let now = metrics(&engine);
        assert_eq!((now.live, now.peak, now.warm_hits, now.cold_hits), (2, 2, 1, 2));
        assert_eq!((now.unused_warm, now.resident_bytes), (0, 0));
        drop((two, three));
        let now = metrics(&engine);
        assert_eq!((now.live, now.peak, now.unused_warm, now.resets), (0, 2, 2, 3));
        // One in 64 resets is measured.
        for _ in 0..200 {
            drop(tenant(&pre));
        }
        let now = metrics(&engine);
        assert_eq!((now.warm_hits, now.resets, now.cold_hits), (201, 203, 2));
        assert!(now.reset_nanoseconds > 0);
        // What waits for a module is of no use when it is gone.
        drop(pre);
        let now = metrics(&engine);
        assert_eq!((now.live, now.unused_warm, now.resident_bytes), (0, 0, 0));
    }
}

#[test]
fn written_pages_that_are_kept_are_counted_as_resident() {
    let engine = Engine::new(&pool(PoolingAllocationStrategy::ReuseAffinity, 4)).unwrap();
    let pre = guest(&engine);
    let write = |pages: i32| {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store).unwrap();
        for page in 0..pages {
            call::<i32, (), ()>(&mut store, instance, "write", page * 4096).unwrap();
        }
        drop(store);
        metrics(&engine).resident_bytes
    };
    let nothing = write(0);
    let after = write(8);
    assert!(after >= nothing + 8 * 4096 && after <= nothing + (64 << 10), "{nothing}, then {after}");
}

#[test]
fn no_more_slots_stay_warm_than_the_setting_says() {
    for strategy in [
        PoolingAllocationStrategy::ReuseAffinity,
        PoolingAllocationStrategy::NextAvailable,
        PoolingAllocationStrategy::Random,
    ] {
        for most in [0, 1, 3, 100] {
            let mut config = pool(strategy, 8);
            config.max_unused_warm_slots(most);
            let engine = Engine::new(&config).unwrap();
            let pre = guest(&engine);
            for live in [8, 5, 8] {
                let tenants: Vec<Tenant> = (0..live).map(|_| tenant(&pre)).collect();
                drop(tenants);
                let now = metrics(&engine);
                assert!(now.live == 0 && now.unused_warm <= most.into(), "{strategy:?}, {most}: {now:?}");
                assert_eq!(now.resident_bytes == 0, most == 0, "{strategy:?}, {most}: {now:?}");
            }
            // All that may be kept is, and is used.
            let now = metrics(&engine);
            assert_eq!(now.unused_warm, most.min(8).into(), "{strategy:?}, {most}");
            assert_eq!(now.warm_hits > 0, most > 0, "{strategy:?}, {most}: {now:?}");
            assert_eq!(now.warm_hits + now.cold_hits, 21);
        }
    }
}

#[test]
fn slots_that_give_memory_back_wait_for_each_other() {
    for (batch, waits) in [(0, false), (1, false), (2, true), (4, true)] {
        let mut config = pool(PoolingAllocationStrategy::NextAvailable, 4);
        config.max_unused_warm_slots(0).decommit_batch_size(batch);
        let engine = Engine::new(&config).unwrap();
        let pre = guest(&engine);
        let lowest = tenant(&pre).1;
        // While it waits a slot is not free, so that the next one is taken.
        let next = tenant(&pre).1;
        assert_eq!(next != lowest, waits, "batches of {batch}");
        // But nobody is refused a slot because of that.
        for _ in 0..5 {
            drop((0..4).map(|_| tenant(&pre)).collect::<Vec<_>>());
        }
        let now = metrics(&engine);
        assert_eq!((now.live, now.unused_warm, now.cold_hits, now.warm_hits), (0, 0, 22, 0));
    }
}

/// The pages of a slot whose memory is given back are not resident.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_of_slots_gives_its_memory_back() {
    let mut config = pool(PoolingAllocationStrategy::NextAvailable, 4);
    config.max_unused_warm_slots(0).decommit_batch_size(3);
    let engine = Engine::new(&config).unwrap();
    let pre = guest(&engine);
    let mut tenants: Vec<Tenant> = (0..4).map(|_| tenant(&pre)).collect();
    let places: Vec<usize> = tenants.iter().map(|t| t.1).collect();
    let accessible = || {
        let each = places.iter().map(|at| super::smaps::resident(*at..at + (4 << 30)).accessible > 0);
        each.filter(|accessible| *accessible).count()
    };
    for expected in [4, 4, 1, 1] {
        drop(tenants.pop());
        assert_eq!(accessible(), expected, "{} live", tenants.len());
    }
}
