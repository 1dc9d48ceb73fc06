//! Ten thousand instances at once.

use crate::child;
use crate::guests::{self, PROGRAM, PROGRAM_FIRST, SMALL, SMALL_FIRST, Tenant};
use crate::scarcity::Ballast;
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
    let kept = usage::maps().saturating_sub(loaded);
    assert!(kept <= 100 * maps, "{kept} mappings are left");
}

fn refuses_one_more(pre: &InstancePre<()>) {
    let Err(error) = Tenant::new(pre) else { panic!("one more instance than there are slots") };
    let full = error.downcast_ref::<PoolConcurrencyLimitError>();
    assert!(full.is_some_and(|full| full.slots == COUNT as u32), "{error:?}");
}

/// A module whose instances take so many mappings that ten thousand of them
/// do not fit into what Linux allows by default.
#[test]
fn too_many_mappings_are_an_error_that_names_the_limit() {
    if !usage::maps_can_be_used_up() {
        return;
    }
    // Most of what maps takes two at a time: whether the last one that there may
    // be is taken as well depends on how many there are at first.
    for step in ["0", "1"] {
        child::run("live::too_many_mappings_are_an_error_that_names_the_limit", step, too_many_mappings);
    }
}

/// Maps a page for good, in a mapping that does not join others.
fn map_a_page() {
    let flags = libc::MAP_SHARED | libc::MAP_ANON;
    // SAFETY: a new mapping.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 1, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
}

fn too_many_mappings(step: &str) {
    let data: String = (1..8).map(|i| format!(r#"(data (i32.const {}) "part {i}")"#, i * 131_072)).collect();
    let text = format!(
        r#"(module (memory 20) {data} (func (export "get") (result i32) (i32.load8_u offset=5 (i32.const 131072))))"#
    );
    // Where more are allowed, there is no address space for so many slots.
    let most = usage::most_maps().min(65_530);
    let _ballast = Ballast::of(usage::most_maps() - most);
    (0..step.parse().unwrap()).for_each(|_| map_a_page());
    // None is kept warm: what is dropped has to be given back.
    let engine = Engine::new(guests::pool(most as u32 / 8).max_unused_warm_slots(0)).unwrap();
    let pre = guests::guest(&engine, &text);
    let mut tenants = Vec::new();
    let error = loop {
        match Tenant::new(&pre) {
            Ok(tenant) => tenants.push(tenant),
            Err(error) => break error,
        }
    };
    assert!(tenants.len() > most / 24, "{} instances", tenants.len());
    let message = format!("{error:#}");
    assert!(message.contains("vm.max_map_count") && message.contains("os error"), "{message}");
    assert_eq!(engine.pool_metrics().unwrap().live, tenants.len() as u64);
    tenants.iter_mut().for_each(|tenant| assert_eq!(tenant.number("get").unwrap(), i32::from(b'1')));
    // There is room again when some are gone.
    tenants.truncate(tenants.len() - 100);
    tenants.extend((0..50).map(|_| Tenant::new(&pre).unwrap()));
    tenants.iter_mut().for_each(|tenant| assert_eq!(tenant.number("get").unwrap(), i32::from(b'1')));
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
