//! Ten thousand instances at once.

use crate::child;
use crate::guests::{self, PROGRAM, PROGRAM_FIRST, SMALL, SMALL_FIRST, Tenant};
use crate::usage::{self, Usage};
use wasmc_loader::{Config, Engine, InstancePre, PoolConcurrencyLimitError};

const COUNT: usize = 10_000;

/// Twice, makes ten thousand instances, of which each takes no more than
/// `maps` mappings, uses all, and drops them. The second time leaves no more
/// than the first: the heap that they had, and what threads keep.
fn live(config: &Config, text: &str, first: i32, maps: usize) {
    round(config, text, first, maps);
    let before = Usage::now();
    round(config, text, first, maps);
    before.assert_flat(0, 256);
}

fn round(config: &Config, text: &str, first: i32, maps: usize) {
    let engine = Engine::new(config).unwrap();
    let pre = guests::guest(&engine, text);
    let loaded = usage::maps();
    let mut tenants: Vec<Tenant> = Vec::new();
    for number in 0..COUNT {
        let mut tenant = Tenant::new(&pre).unwrap_or_else(|e| panic!("instance {number}: {e:?}"));
        tenant.settle(first, number as i32 + 1);
        tenants.push(tenant);
    }
    let taken = usage::maps() - loaded;
    assert!(taken <= COUNT * maps, "{COUNT} instances take {taken} mappings");
    if engine.pool_metrics().is_some() {
        refuses_one_more(&pre);
    }
    for (number, tenant) in tenants.iter_mut().enumerate() {
        tenant.check(number as i32 + 1);
    }
    tenants.clear();
    if let Some(metrics) = engine.pool_metrics() {
        assert_eq!((metrics.live, metrics.peak, metrics.slots), (0, COUNT as u64, COUNT as u32), "{metrics:?}");
        assert_eq!(metrics.warm_hits + metrics.cold_hits, COUNT as u64, "{metrics:?}");
        assert!(metrics.unused_warm <= 100, "{metrics:?}");
    }
    // What is left are warm slots, 100 by default, or spare ones, 8.
    let kept = usage::maps() - loaded;
    assert!(kept <= 100 * maps, "{kept} mappings are left");
}

fn refuses_one_more(pre: &InstancePre<()>) {
    let Err(error) = Tenant::new(pre) else { panic!("one more instance than there are slots") };
    let full = error.downcast_ref::<PoolConcurrencyLimitError>();
    assert!(full.is_some_and(|full| full.slots == COUNT as u32), "{error:?}");
}

#[test]
fn ten_thousand_small_instances_in_a_pool() {
    child::alone("live::ten_thousand_small_instances_in_a_pool", || {
        live(&guests::pool(COUNT as u32), SMALL, SMALL_FIRST, 6);
    });
}

#[test]
fn ten_thousand_programs_in_a_pool() {
    child::alone("live::ten_thousand_programs_in_a_pool", || {
        live(&guests::pool(COUNT as u32), PROGRAM, PROGRAM_FIRST, 6);
    });
}

#[test]
fn ten_thousand_small_instances_on_demand() {
    child::alone("live::ten_thousand_small_instances_on_demand", || live(&Config::new(), SMALL, SMALL_FIRST, 6));
}

#[test]
fn ten_thousand_programs_on_demand() {
    child::alone("live::ten_thousand_programs_on_demand", || live(&Config::new(), PROGRAM, PROGRAM_FIRST, 6));
}
