//! Memory images: how memories begin, what modules say about it, and that one
//! artifact is enough for all strategies.

use super::settings::{LIMITS, SLOTS, Setting, config};
use super::{call, compile, module, pre, try_load};
use std::collections::HashSet;
use wasmc_loader::{
    Config, Engine, InstanceLimits, InstantiationStrategy, MemoryInitialization, Module, PoolExhaustion, Store,
};

const MEMORIES: &str = r#"(module (memory 4) (memory 1) (memory 200)
    (data (memory 0) (i32.const 3) "x") (data (memory 2) (i32.const 70) "y")
    (data (memory 2) (i32.const 13000000) "z"))"#;

pub fn the_engine_reports_the_strategy_and_modules_how_memories_begin(setting: &Setting) {
    let engine = setting.engine();
    assert_eq!(engine.instantiation_strategy(), setting.strategy);
    for (text, extents) in [(MEMORIES, vec![1, 0, 2]), ("(module)", vec![]), ("(module (memory 5))", vec![0])] {
        let all = module(&engine, text).memory_initialization();
        assert_eq!(all.len(), extents.len());
        for (found, expected) in all.iter().zip(extents) {
            let view = setting.strategy.is_copy_on_write();
            match *found {
                MemoryInitialization::Zero => assert_eq!(expected, 0),
                MemoryInitialization::CopyOnWrite { extents, bytes } => {
                    assert!(view && extents == expected && bytes > 0, "{found:?}");
                }
                MemoryInitialization::Copied { extents, bytes, reason } => {
                    assert!(!view && extents == expected && bytes > 0, "{found:?}");
                    assert!(reason.contains("switched off in the engine's configuration"), "{reason}");
                }
                _ => panic!("{found:?}"),
            }
            assert!(expected > 0 || *found == MemoryInitialization::Zero, "{found:?}");
        }
    }
}

/// 64 MiB with data at both ends.
const SPARSE: &str = r#"(module (memory (export "memory") 1024)
    (data (i32.const 16) "the beginning") (data (i32.const 67108850) "the end")
    (func (export "change") (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 30000000) (i32.const 1))
        (i32.store (i32.const 67108850) (i32.const 0)))
    (func (export "check") (result i32)
        (i32.add (i32.add (i32.load8_u (i32.const 16)) (i32.load8_u (i32.const 67108850)))
            (i32.load (i32.const 30000000)))))"#;

pub fn a_sparse_image_is_mapped_as_a_whole(setting: &Setting) {
    let artifact = compile(SPARSE);
    assert!(artifact.len() < 512 << 10, "{} bytes", artifact.len());
    let module = try_load(&setting.engine(), &artifact).unwrap();
    match module.memory_initialization()[..] {
        [
            MemoryInitialization::CopyOnWrite { extents, bytes } | MemoryInitialization::Copied { extents, bytes, .. },
        ] => {
            assert!(extents == 2 && bytes <= 2 * 65_536, "{extents} extents, {bytes} bytes");
        }
        ref other => panic!("{other:?}"),
    }
    let mut guest = setting.guest_of::<()>(&module, |_| {});
    for _ in 0..4 {
        guest.with((), |store, instance| {
            assert_eq!(call::<(), i32, _>(store, instance, "check", ()).unwrap(), i32::from(b't') * 2);
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let bytes = memory.data(&*store);
            assert!(bytes[16..].starts_with(b"the beginning") && bytes[67_108_850..].starts_with(b"the end"));
            call::<(), (), _>(store, instance, "change", ()).unwrap();
            assert_eq!(call::<(), i32, _>(store, instance, "check", ()).unwrap(), 1);
        });
    }
}

pub fn an_artifact_of_a_file_works_like_one_of_bytes(setting: &Setting) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.cwasm");
    std::fs::write(&path, compile(SPARSE)).unwrap();
    for sealed in [false, true] {
        let engine = setting.engine_with(|config| {
            config.sealed_artifacts(sealed);
        });
        // SAFETY: the bytes come straight from the compiler, and nobody
        // changes the file.
        let module = unsafe { Module::open(&engine, &path) }.unwrap();
        let mut guest = setting.guest_of::<()>(&module, |_| {});
        for _ in 0..3 {
            assert_eq!(guest.number("check").unwrap(), i32::from(b't') * 2);
            guest.with((), |store, instance| call::<(), (), _>(store, instance, "change", ()).unwrap());
        }
    }
}

#[test]
fn one_artifact_serves_every_strategy() {
    let artifact = compile(SPARSE);
    let mut results = HashSet::new();
    for name in super::SETTINGS {
        let setting = Setting::named(name);
        let module = try_load(&setting.engine(), &artifact).unwrap();
        let mut guest = setting.guest_of::<()>(&module, |_| {});
        results.insert(guest.with((), |store, instance| {
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let both = |store: &Store<()>| {
                // The ends, and what `change` writes between them.
                let bytes = memory.data(store);
                [0..65_536, 30_000_000..30_000_004, (64 << 20) - 65_536..64 << 20].map(|part| bytes[part].to_vec())
            };
            let before = both(store);
            call::<(), (), _>(store, instance, "change", ()).unwrap();
            (before, both(store))
        }));
    }
    assert_eq!(results.len(), 1);
}

#[allow(deprecated, reason = "the deprecated strategy still works")]
#[test]
fn a_strategy_can_be_chosen_for_one_instance() {
    for own in InstantiationStrategy::ALL {
        let mut config = config(*own);
        config.pool_exhaustion(PoolExhaustion::Error);
        let engine = Engine::new(&config).unwrap();
        let pre = pre(&module(&engine, SPARSE));
        let mut stores: Vec<Store<()>> = Vec::new();
        for strategy in InstantiationStrategy::ALL {
            for _ in 0..2 {
                let live = || engine.pool_metrics().map(|metrics| metrics.live);
                let before = live();
                let mut store = Store::new(&engine, ());
                let made = pre.instantiate_with(&mut store, *strategy);
                if strategy.is_pooling() && strategy != own {
                    let message = made.unwrap_err().to_string();
                    let reason = if own.is_pooling() { own.to_string() } else { "no pool".to_owned() };
                    assert!(message.contains(&strategy.to_string()) && message.contains(&reason), "{message}");
                    continue;
                }
                let instance = made.unwrap();
                assert_eq!(live(), before.map(|live| live + u64::from(strategy.is_pooling())));
                assert_eq!(
                    call::<(), i32, _>(&mut store, instance, "check", ()).unwrap(),
                    i32::from(b't') * 2,
                    "{strategy} on an engine with {own}"
                );
                call::<(), (), _>(&mut store, instance, "change", ()).unwrap();
                // Some stay, some go, so that slots are used again.
                if stores.len().is_multiple_of(2) { stores.push(store) } else { drop(store) }
            }
        }
    }
}

#[allow(deprecated, reason = "the deprecated strategy still works")]
#[test]
fn one_instance_of_a_store_is_reused_and_no_other() {
    for (engine, with) in [
        (Engine::new(&config(InstantiationStrategy::LegacyInstanceReuse)).unwrap(), false),
        (Engine::new(&config(InstantiationStrategy::PoolingCopyOnWrite)).unwrap(), true),
    ] {
        let (one, other) = (pre(&module(&engine, SPARSE)), pre(&module(&engine, SPARSE)));
        let mut store = Store::new(&engine, ());
        let mut places = Vec::new();
        for number in 0..9 {
            let pre = if number % 3 == 2 { &other } else { &one };
            let instance = match with {
                false => pre.instantiate(&mut store).unwrap(),
                true => pre.instantiate_with(&mut store, InstantiationStrategy::LegacyInstanceReuse).unwrap(),
            };
            assert_eq!(call::<(), i32, _>(&mut store, instance, "check", ()).unwrap(), i32::from(b't') * 2);
            call::<(), (), _>(&mut store, instance, "change", ()).unwrap();
            places.push(instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize);
        }
        assert!(places.chunks(3).all(|three| three == &places[..3]), "{places:x?}");
        assert!(places[0] == places[1] && places[1] != places[2], "{places:x?}");
        // Another way of making instances makes another one.
        for strategy in [InstantiationStrategy::RecreateInstance, InstantiationStrategy::RecreateInstanceCopyOnWrite] {
            let instance = one.instantiate_with(&mut store, strategy).unwrap();
            let place = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
            assert!(!places.contains(&place), "{strategy}");
            places.push(place);
        }
    }
}

#[test]
fn on_demand_instances_do_not_need_a_free_slot() {
    let mut config = Config::new();
    config.allocation_strategy(InstanceLimits { count: 1, ..LIMITS });
    let engine = Engine::new(&config).unwrap();
    let pre = pre(&module(&engine, SPARSE));
    let mut store = Store::new(&engine, ());
    pre.instantiate(&mut store).unwrap();
    pre.instantiate(&mut store).unwrap_err();
    for strategy in [InstantiationStrategy::RecreateInstance, InstantiationStrategy::RecreateInstanceCopyOnWrite] {
        for _ in 0..2 * SLOTS {
            let instance = pre.instantiate_with(&mut store, strategy).unwrap();
            assert_eq!(call::<(), i32, _>(&mut store, instance, "check", ()).unwrap(), i32::from(b't') * 2);
        }
    }
    let metrics = engine.pool_metrics().unwrap();
    assert_eq!((metrics.live, metrics.overflow_hits), (1, 0));
}
