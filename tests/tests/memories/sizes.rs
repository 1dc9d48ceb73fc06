//! Sizes: memories beyond 4 GiB, what cannot be had, and resets.

use super::module;
use wasmc::Tunables;
use wasmc_loader::{
    Config, Engine, IncompatibleError, Instance, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy,
    Module, Store,
};

const TEXT: &str = r#"(module
    (memory $wide (export "wide") i64 1)
    (memory $bytes (export "bytes") 10 9000 (pagesize 1))
    (data (memory $wide) (i64.const 65528) "contents")
    (data (memory $bytes) (i32.const 2) "contents")
    (func (export "grow") (param i64) (result i64) (memory.grow $wide (local.get 0)))
    (func (export "grow bytes") (param i64) (result i64)
      (i64.extend_i32_s (memory.grow $bytes (i32.wrap_i64 (local.get 0)))))
    (func (export "load") (param i64) (result i64) (i64.load8_u $wide (local.get 0)))
    (func (export "load bytes") (param i64) (result i64) (i64.load8_u $bytes (i32.wrap_i64 (local.get 0))))
    (func (export "store") (param i64) (result i64) (i64.store8 $wide (local.get 0) (i64.const 9)) (i64.const 0))
    (func (export "store bytes") (param i64) (result i64)
      (i64.store8 $bytes (i32.wrap_i64 (local.get 0)) (i64.const 9)) (i64.const 0)))"#;

fn call(store: &mut Store<()>, instance: Instance, name: &str, operand: i64) -> wasmc_loader::Result<i64> {
    let function = instance.get_typed_func::<i64, i64>(&mut *store, name).unwrap();
    function.call(store, operand)
}

/// What nobody has changed yet.
fn assert_fresh(store: &mut Store<()>, instance: Instance, what: &str) {
    for (name, length, at) in [("wide", 65_536, 65_528), ("bytes", 10, 2)] {
        let memory = instance.get_memory(&mut *store, name).unwrap();
        let data = memory.data(&*store);
        assert_eq!((data.len(), &data[at..at + 8]), (length, b"contents".as_slice()), "{name}, {what}");
        assert!(data[..at].iter().all(|byte| *byte == 0), "{name}, {what}");
    }
    let error = call(store, instance, "load", 65_536).unwrap_err();
    assert!(error.to_string().contains("out of bounds"), "{error:?}, {what}");
    let error = call(store, instance, "load bytes", 10).unwrap_err();
    assert!(error.to_string().contains("out of bounds"), "{error:?}, {what}");
}

#[test]
fn resets_restore_sizes_and_what_lies_beyond_them_under_every_strategy() {
    let limits = InstanceLimits { count: 2, memories: 2, memory_pages: 32, ..InstanceLimits::default() };
    for strategy in InstantiationStrategy::ALL {
        let mut config = Config::new();
        let pool = wasmc_loader::PoolingAllocationStrategy::NextAvailable;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: pool, instance_limits: limits });
        config.instantiation_strategy(*strategy);
        let engine = Engine::new(&config).unwrap();
        let module = module(&engine, TEXT, Tunables::default());
        for round in 0..6 {
            let what = format!("{strategy}, round {round}");
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            for part in ["new", "reset"] {
                let what = format!("{what}, {part}");
                assert_fresh(&mut store, instance, &what);
                // A page of the host's has room for more of the small pages;
                // what is written there must be gone the next time.
                assert_eq!(call(&mut store, instance, "grow bytes", 20).unwrap(), 10, "{what}");
                assert_eq!(call(&mut store, instance, "load bytes", 29).unwrap(), 0, "{what}");
                call(&mut store, instance, "store bytes", 29).unwrap();
                assert_eq!(call(&mut store, instance, "grow bytes", 8970).unwrap(), 30, "{what}");
                call(&mut store, instance, "store bytes", 8999).unwrap();
                assert_eq!(call(&mut store, instance, "grow bytes", 1).unwrap(), -1, "{what}");
                assert_eq!(call(&mut store, instance, "grow", 3).unwrap(), 1, "{what}");
                for at in [0, 65_530, 65_536, 262_143] {
                    call(&mut store, instance, "store", at).unwrap();
                }
                instance.reset(&mut store).unwrap();
            }
            assert_fresh(&mut store, instance, &what);
        }
    }
}

#[test]
fn a_wide_memory_grows_beyond_what_32_bits_address() {
    let engine = Engine::default();
    let module = module(&engine, TEXT, Tunables::default());
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let (pages, end) = (81_920, 5 << 30);
    assert_eq!(call(&mut store, instance, "grow", pages - 1).unwrap(), 1);
    let memory = instance.get_memory(&mut store, "wide").unwrap();
    assert_eq!((memory.size(&store), memory.data_size(&store) as i64), (pages as u64, end));
    for at in [65_528, 1 << 32, (1 << 32) + 7, end - 1] {
        call(&mut store, instance, "store", at).unwrap();
        assert_eq!(call(&mut store, instance, "load", at).unwrap(), 9);
        assert_eq!(memory.data(&store)[at as usize], 9);
    }
    assert_eq!(call(&mut store, instance, "load", 0).unwrap(), 0);
    for beyond in [end, 1 << 33, 64 << 30, i64::MAX, -1] {
        assert!(call(&mut store, instance, "load", beyond).unwrap_err().to_string().contains("out of bounds"));
    }
    instance.reset(&mut store).unwrap();
    assert_fresh(&mut store, instance, "after a reset");
}

#[test]
fn a_wide_memory_grows_no_further_than_it_has_address_space_for() {
    let mut config = Config::new();
    config.memory64_reservation(4 << 30);
    let limits = InstanceLimits { count: 1, memories: 2, memory_pages: 7, ..InstanceLimits::default() };
    let mut pooled = Config::new();
    let pool = wasmc_loader::PoolingAllocationStrategy::NextAvailable;
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy: pool, instance_limits: limits });
    for (config, most) in [(config, 65_536), (pooled, 7)] {
        let engine = Engine::new(&config).unwrap();
        let module = module(&engine, TEXT, Tunables::default());
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for too_many in [most, most + 1, 1 << 47, -1] {
            assert_eq!(call(&mut store, instance, "grow", too_many).unwrap(), -1, "{too_many} of {most}");
        }
        assert_eq!(call(&mut store, instance, "grow", most - 1).unwrap(), 1);
        assert_eq!(call(&mut store, instance, "grow", 1).unwrap(), -1);
        assert!(call(&mut store, instance, "load", most << 16).is_err());
        assert_eq!(call(&mut store, instance, "load", (most << 16) - 1).unwrap(), 0);
    }
}

#[test]
fn a_memory_that_no_machine_has_is_refused_with_the_reason() {
    for memory in
        ["i64 0x1_0000_0000_0000", "i64 0x1000_0000", "i64 0xffff_ffff_ffff_ffff (pagesize 1)", "i64 0x8000_0000_0000"]
    {
        let artifact =
            wasmc::compile(format!("(module (memory {memory}))").as_bytes(), &wasmc::Options::new()).unwrap();
        // SAFETY: the bytes come straight from the compiler.
        let error = unsafe { Module::from_bytes(&Engine::default(), &artifact) }.unwrap_err();
        let reason = error.downcast_ref::<IncompatibleError>();
        assert!(matches!(reason, Some(IncompatibleError::AddressSpace)), "{memory}: {error:?}");
        assert!(error.to_string().contains("address space"), "{error}");
    }
}

/// Where the first memory's maximum is within what code relies on, and where
/// it is not, and where a table is as large as nobody has.
#[test]
fn a_table_that_no_machine_has_is_refused_with_the_reason() {
    let engine = Engine::default();
    let module = module(&engine, "(module (table (export \"t\") i64 0x1000_0000_0000 funcref))", Tunables::default());
    let error = Instance::new(&mut Store::new(&engine, ()), &module, &[]).unwrap_err();
    assert!(format!("{error:#}").contains("memory"), "{error:#}");
}
