//! What stays in memory when nobody uses it: as much as the settings say.
#![cfg(target_os = "linux")]

use super::settings::{LIMITS, config};
use super::smaps::{Resident, resident};
use super::{call, module, pre};
use std::ops::Range;
use wasmc_loader::{
    Config, Engine, InstanceAllocationStrategy, InstanceLimits, InstancePre, InstantiationStrategy,
    MemoryInitialization, PoolingAllocationStrategy, Store,
};

/// 32 pages of 64 KiB, with 260 KiB of data.
fn text() -> String {
    let data = "\\01".repeat(65 << 10);
    format!(
        r#"(module (memory (export "memory") 32 40)
        (table (export "table") 10 20000 funcref)
        (data (i32.const 65536) "{data}") (data (i32.const 140000) "{data}")
        (data (i32.const 1000000) "{data}") (data (i32.const 1900000) "{data}")
        (func (export "nothing"))
        (func (export "read") (drop (i32.load (i32.const 65536))) (drop (i32.load (i32.const 1900000))))
        (func (export "one page") (i32.store (i32.const 65540) (i32.const 5)))
        (func (export "few pages")
            (memory.fill (i32.const 50000) (i32.const 7) (i32.const 30000))
            (memory.fill (i32.const 1500000) (i32.const 7) (i32.const 30000)))
        (func (export "every other page") (local $i i32)
            (loop $next
                (i32.store (local.get $i) (i32.const 1))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8192))) (i32.const 2097152)))))
        (func (export "everything") (memory.fill (i32.const 0) (i32.const 3) (i32.const 2097152)))
        (func (export "growth") (drop (memory.grow (i32.const 8)))
            (memory.fill (i32.const 2097152) (i32.const 3) (i32.const 524288)))
        (func (export "trap") (memory.fill (i32.const 100000) (i32.const 3) (i32.const 100000)) unreachable))"#
    )
}

const CALLS: [&str; 8] =
    ["nothing", "read", "one page", "few pages", "every other page", "everything", "growth", "trap"];

/// One slot, so that every instance is in the same.
fn one_slot(strategy: InstantiationStrategy, allocation: PoolingAllocationStrategy) -> Config {
    let mut config = config(strategy);
    let instance_limits = InstanceLimits { count: 1, ..LIMITS };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: allocation, instance_limits });
    config
}

/// Calls an export in a store of its own. Nothing else is done with the
/// instance, as that may be noticed.
fn request(pre: &InstancePre<()>, name: &str) {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    assert_eq!(call::<(), (), ()>(&mut store, instance, name, ()).is_err(), name == "trap");
}

/// The addresses of the memory that the next instance will have.
fn memory_of(pre: &InstancePre<()>) -> Range<usize> {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let start = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
    start..start + (4 << 30)
}

#[test]
fn after_a_call_as_much_of_a_memory_is_resident_as_the_setting_says() {
    let tells = !cfg!(feature = "portable-unix") && wasmc_tests::kernel_tells_written_pages();
    for strategy in [InstantiationStrategy::PoolingCopyOnWrite, InstantiationStrategy::Pooling] {
        for keep in [0, 4096, 100_000, 256 << 10, 1 << 20, 64 << 20] {
            let mut config = one_slot(strategy, PoolingAllocationStrategy::ReuseAffinity);
            config.linear_memory_keep_resident(keep);
            let engine = Engine::new(&config).unwrap();
            let pre = pre(&module(&engine, &text()));
            let memory = memory_of(&pre);
            let mut order: Vec<&str> = CALLS.to_vec();
            order.extend(CALLS.iter().rev());
            order.extend(["one page"; 40]);
            order.extend(["every other page", "nothing", "everything", "read"]);
            for name in order {
                request(&pre, name);
                let left = resident(memory.clone());
                let what = format!("{strategy}, {keep} bytes kept, after {name}: {left:?}");
                assert!(left.own <= keep, "{what}");
                assert!(keep > 0 || left.all == 0, "{what}");
                assert_eq!(left.accessible, 32 << 16, "{what}");
                // What is kept is of use: pages that were written stay. Where
                // the system does not say which, large memories keep none.
                let small = tells && name == "one page" && keep >= 256 << 10;
                assert!(!small || left.own > 0, "{what}");
            }
        }
    }
}

#[test]
fn an_instance_that_was_never_called_keeps_no_more_than_the_setting_either() {
    for strategy in [InstantiationStrategy::PoolingCopyOnWrite, InstantiationStrategy::Pooling] {
        for keep in [0, 100_000] {
            for (kind, text) in [
                ("plain", text()),
                ("started", text().replace("(func (export \"read\")", "(start 0) (func (export \"read\")")),
            ] {
                let mut config = one_slot(strategy, PoolingAllocationStrategy::NextAvailable);
                config.linear_memory_keep_resident(keep);
                let engine = Engine::new(&config).unwrap();
                let module = module(&engine, &text);
                let set = wasmc_loader::PageRange { memory: 0, first: 300, pages: 60 };
                let pre = pre(&module);
                let memory = memory_of(&pre);
                for round in 0..3 {
                    pre.instantiate(Store::new(&engine, ())).unwrap();
                    let left = resident(memory.clone());
                    assert!(left.own <= keep, "{strategy}, {keep}, {kind}, round {round}: {left:?}");
                }
                // Pages that are fetched beforehand count as well.
                let source = super::working_set::source(&text);
                module.set_working_set(&wasmc_loader::WorkingSet::new(source, vec![set]).unwrap()).unwrap();
                let other = super::pre(&super::module(&engine, "(module (memory 1))"));
                for round in 0..3 {
                    // The other module takes the slot, so that it is prepared anew.
                    other.instantiate(Store::new(&engine, ())).unwrap();
                    pre.instantiate(Store::new(&engine, ())).unwrap();
                    let left = resident(memory.clone());
                    assert!(left.own <= keep, "{strategy}, {keep}, {kind}, fetched, round {round}: {left:?}");
                }
            }
        }
    }
}

#[test]
fn on_demand_nothing_of_a_memory_is_resident_when_its_store_is_dropped() {
    for strategy in [InstantiationStrategy::RecreateInstanceCopyOnWrite, InstantiationStrategy::RecreateInstance] {
        let engine = Engine::new(&config(strategy)).unwrap();
        let pre = pre(&module(&engine, &text()));
        // Two stores, as the addresses must not be given to somebody else
        // meanwhile, and one is kept.
        for name in CALLS {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let start = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
            let _ = call::<(), (), ()>(&mut store, instance, name, ());
            drop(store);
            if strategy.is_copy_on_write() || name == "nothing" {
                let left = resident(start..start + (4 << 30));
                assert_eq!((left.all, left.own), (0, 0), "{strategy}, after {name}");
            }
        }
    }
}

#[test]
fn a_reset_keeps_no_more_than_the_setting() {
    for (strategy, keep) in
        InstantiationStrategy::ALL.iter().flat_map(|strategy| [0, 100_000, 1 << 20].map(|keep| (*strategy, keep)))
    {
        let mut config = config(strategy);
        config.linear_memory_keep_resident(keep);
        let engine = Engine::new(&config).unwrap();
        let pre = pre(&module(&engine, &text()));
        // A copy of the image has to be there again.
        let image = match pre.module().memory_initialization()[..] {
            [MemoryInitialization::CopyOnWrite { .. }] => 0,
            [MemoryInitialization::Copied { bytes, .. }] => bytes as usize,
            ref other => panic!("{other:?}"),
        };
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store).unwrap();
        let start = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
        for name in CALLS.iter().chain(CALLS.iter().rev()) {
            let _ = call::<(), (), ()>(&mut store, instance, name, ());
            instance.reset(&mut store).unwrap();
            let Resident { own, .. } = resident(start..start + (4 << 30));
            assert!(own <= keep + image, "{strategy}, {keep} bytes kept, after {name}: {own}");
        }
    }
}

#[test]
fn an_idle_slot_that_keeps_nothing_is_two_pages_and_metrics_say_so() {
    for (keep, most) in [(0, 0), (64 << 10, 64 << 10)] {
        let mut config = one_slot(InstantiationStrategy::PoolingCopyOnWrite, PoolingAllocationStrategy::ReuseAffinity);
        config.linear_memory_keep_resident(keep).table_keep_resident(0);
        let engine = Engine::new(&config).unwrap();
        let pre = pre(&module(&engine, &text()));
        let memory = memory_of(&pre);
        // The context and the loader's notes are before it.
        let head = memory.start - LIMITS.size - (64 << 10)..memory.start;
        for name in CALLS {
            request(&pre, name);
            let (head, memory) = (resident(head.clone()), resident(memory.clone()));
            assert!(head.own <= 8192 && memory.own <= most, "after {name}: {head:?}, {memory:?}");
            let metrics = engine.pool_metrics().unwrap();
            assert_eq!(metrics.unused_warm, 1);
            let expected = (head.own + memory.own) as u64;
            assert!((expected..=expected + 8192).contains(&metrics.resident_bytes), "{expected}, {metrics:?}");
        }
    }
}

/// On Linux only, as the setting says of itself.
#[cfg(not(feature = "portable-unix"))]
#[test]
fn tables_keep_no_more_than_the_setting() {
    let text = r#"(module (memory (export "memory") 1) (table $t (export "table") 10 20000 funcref)
        (func $f) (elem declare func $f)
        (func (export "fill") (drop (table.grow $t (ref.func $f) (i32.const 19000)))))"#;
    for keep in [0, 10_000, 64 << 10, 1 << 20] {
        let mut config = one_slot(InstantiationStrategy::PoolingCopyOnWrite, PoolingAllocationStrategy::ReuseAffinity);
        config.table_keep_resident(keep);
        let engine = Engine::new(&config).unwrap();
        let pre = pre(&module(&engine, text));
        let memory = memory_of(&pre);
        // Tables are at the start of a slot, and 20,000 elements of 8 bytes
        // are less than 40 pages.
        let tables = (LIMITS.tables as usize * 20_000 * 8).next_multiple_of(4096);
        let start = memory.start - (64 << 10) - LIMITS.size - tables;
        let tables = start..start + tables;
        for round in 0..3 {
            request(&pre, "fill");
            let left = resident(tables.clone());
            let most = keep.next_multiple_of(4096).min(39 * 4096);
            // The page in which the table ends is shared with the next one.
            assert!(left.own <= most + 4096, "{keep} bytes kept, round {round}: {left:?}");
            assert!(left.own > 0 || keep < 4096, "{keep} bytes kept, round {round}: {left:?}");
        }
    }
}
