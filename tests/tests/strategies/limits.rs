//! Modules that a pool was not made for, and pools that are too large.

use super::settings::{LIMITS, config};
use super::{call, compile, module, pre, try_load};
use wasmc_loader::{
    Config, Engine, HeapAllocStrategy, Instance, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy,
    LimitError, Linker, Module, PoolSizeError, PoolingAllocationStrategy, Store,
};

fn with_limits(limits: InstanceLimits) -> Config {
    let mut config = Config::new();
    config.allocation_strategy(limits);
    config
}

/// Three of each where there is a limit.
const THREE: &str = r#"(module
    (memory (export "memory") 3) (memory 1) (memory 2)
    (table 300 funcref) (table 10 20 externref) (table (export "table") 5 600 funcref)
    (global (mut i32) (i32.const 1))
    (func (export "run") (result i32) (memory.size)))"#;

const FITTING: InstanceLimits =
    InstanceLimits { count: 2, size: 1 << 16, tables: 3, table_elements: 300, memories: 3, memory_pages: 3 };

/// Makes an instance, in each of the ways that there are.
fn attempt(config: &Config, artifact: &[u8]) -> wasmc_loader::Result<()> {
    let engine = Engine::new(config)?;
    let module = try_load(&engine, artifact)?;
    let pre = Linker::new(&engine).instantiate_pre(&module);
    let directly = Instance::new(Store::new(&engine, ()), &module, &[]);
    match (pre, directly) {
        (Ok(pre), Ok(_)) => pre.instantiate(Store::new(&engine, ())).map(|_| ()),
        (Err(pre), Err(directly)) => {
            assert_eq!(pre.downcast_ref::<LimitError>(), directly.downcast_ref());
            Err(pre)
        }
        (pre, directly) => panic!("{:?}, but {directly:?}", pre.err()),
    }
}

#[test]
fn what_exceeds_a_limit_is_refused_with_name_limit_and_value() {
    let artifact = compile(THREE);
    let needs = try_load(&Engine::default(), &artifact).unwrap().resources_required();
    let size = needs.context_size;
    assert!(size < FITTING.size, "{needs:?}");
    attempt(&with_limits(FITTING), &artifact).unwrap();
    let exact = InstanceLimits { size, ..FITTING };
    attempt(&with_limits(exact), &artifact).unwrap();
    let cases = [
        (InstanceLimits { size: size - 1, ..FITTING }, "size", size as u64 - 1, size as u64),
        (InstanceLimits { size: 0, ..FITTING }, "size", 0, size as u64),
        (InstanceLimits { tables: 2, ..FITTING }, "tables", 2, 3),
        (InstanceLimits { table_elements: 299, ..FITTING }, "table_elements", 299, 300),
        (InstanceLimits { memories: 2, ..FITTING }, "memories", 2, 3),
        (InstanceLimits { memories: 0, ..FITTING }, "memories", 0, 3),
        (InstanceLimits { memory_pages: 2, ..FITTING }, "memory_pages", 2, 3),
    ];
    for (limits, limit, allowed, required) in cases {
        let error = attempt(&with_limits(limits), &artifact).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&LimitError { limit, allowed, required }), "{error:?}");
        let message = error.to_string();
        for part in [limit.to_owned(), allowed.to_string(), required.to_string()] {
            assert!(message.contains(&part), "{part} is not in {message:?}");
        }
    }
}

#[test]
fn code_that_relies_on_more_address_space_is_refused() {
    let artifact = compile(THREE);
    let small = |reservation: u64, guard: u64| {
        let mut config = with_limits(FITTING);
        config.pool_memory_reservation(reservation).pool_memory_guard(guard);
        attempt(&config, &artifact).map_err(|e| *e.downcast_ref::<LimitError>().unwrap())
    };
    let (gib, mib) = (1 << 30, 1 << 20);
    small(4 * gib, 32 * mib).unwrap();
    small(5 * gib, 33 * mib).unwrap();
    let error = small(2 * gib, 32 * mib).unwrap_err();
    assert_eq!(error, LimitError { limit: "pool_memory_reservation", allowed: 2 * gib, required: 4 * gib });
    let error = small(4 * gib, 31 * mib).unwrap_err();
    assert_eq!(error, LimitError { limit: "pool_memory_guard", allowed: 31 * mib, required: 32 * mib });
    // Code that was compiled for less fits.
    let mut options = wasmc::Options::new();
    options.tunables.memory_reservation = 1 << 20;
    options.tunables.memory_guard = 1 << 16;
    let little = wasmc::compile(&wat::parse_str(THREE).unwrap(), &options).unwrap();
    let mut config = with_limits(FITTING);
    config.pool_memory_reservation(1 << 20).pool_memory_guard(1 << 16);
    attempt(&config, &little).unwrap();
}

#[test]
fn only_what_an_instance_has_at_first_counts() {
    // Memories and tables that could become larger stay within the slot.
    let text = r#"(module (memory (export "memory") 1 100) (table $t (export "table") 1 100 funcref)
        (func (export "memory grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "table grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0))))"#;
    let engine = Engine::new(&with_limits(InstanceLimits { memory_pages: 3, table_elements: 600, ..FITTING })).unwrap();
    let unlimited = r#"(module (memory (export "memory") 1) (table $t (export "table") 1 funcref)
        (func (export "memory grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "table grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0))))"#;
    for (text, largest) in [(text, 100), (unlimited, 600)] {
        let pre = pre(&module(&engine, text));
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let mut grow = |name, delta| call::<i32, i32, ()>(&mut store, instance, name, delta).unwrap();
            assert_eq!([3, 2, 1, 0].map(|delta| grow("memory grow", delta)), [-1, 1, -1, 3]);
            let deltas = [largest, largest - 1, 1, 0].map(|delta| grow("table grow", delta));
            assert_eq!(deltas, [-1, 1, -1, largest]);
        }
    }
    // A heap that is larger at first counts as that.
    let mut config = with_limits(FITTING);
    config.heap_alloc_strategy(HeapAllocStrategy::Static { extra_pages: 5 });
    let error = attempt(&config, &compile(text)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LimitError { limit: "memory_pages", allowed: 3, required: 6 }));
}

#[test]
fn resources_of_a_module_are_told() {
    let engine = Engine::default();
    let needs = |text: &str| module(&engine, text).resources_required();
    let three = needs(THREE);
    assert_eq!((three.num_memories, three.max_initial_memory_size), (3, Some(3)));
    assert_eq!((three.num_tables, three.max_initial_table_size), (3, Some(300)));
    let nothing = needs("(module)");
    assert_eq!((nothing.num_memories, nothing.max_initial_memory_size), (0, None));
    assert_eq!((nothing.num_tables, nothing.max_initial_table_size), (0, None));
    assert!(0 < nothing.context_size && nothing.context_size < three.context_size, "{nothing:?}, {three:?}");
    // What is imported is another's.
    let imports = needs(r#"(module (import "a" "m" (memory 5)) (import "a" "t" (table 6 funcref)))"#);
    assert_eq!((imports.num_memories, imports.num_tables), (0, 0));
}

#[test]
fn limits_made_for_modules_suffice_and_are_the_least() {
    let texts = [
        THREE.to_owned(),
        "(module)".to_owned(),
        r#"(module (memory 70) (table 1000 funcref) (func (export "run") (result i32) memory.size))"#.to_owned(),
        format!("(module {})", "(global (mut i64) (i64.const 1))".repeat(9000)),
        "(module (table 2 2 funcref) (func) (elem (i32.const 1) func 0))".to_owned(),
        r#"(module (import "a" "b" (func)) (memory 1) (data (i32.const 4) "x"))"#.to_owned(),
    ];
    let artifacts = texts.map(|text| compile(&text));
    let on_demand = Engine::default();
    let modules = artifacts.each_ref().map(|artifact| try_load(&on_demand, artifact).unwrap());
    let limits = InstanceLimits::for_modules(&modules);
    assert_eq!((limits.count, limits.tables, limits.memories), (1000, 3, 3));
    assert_eq!((limits.table_elements, limits.memory_pages), (1000, 70));
    assert_eq!(limits.size, modules.iter().map(|m| m.resources_required().context_size).max().unwrap());
    let runs = |limits: InstanceLimits, artifacts: &[Vec<u8>]| {
        let engine = Engine::new(&with_limits(InstanceLimits { count: 8, ..limits }))?;
        for artifact in artifacts {
            let module = try_load(&engine, artifact)?;
            let mut linker = Linker::new(&engine);
            let pre = linker.define_unknown_imports_as_traps(&module)?.instantiate_pre(&module)?;
            for _ in 0..2 {
                pre.instantiate(Store::new(&engine, ()))?;
            }
        }
        Ok::<_, wasmc_loader::Error>(())
    };
    runs(limits, &artifacts).unwrap();
    for less in [
        InstanceLimits { size: limits.size - 1, ..limits },
        InstanceLimits { tables: limits.tables - 1, ..limits },
        InstanceLimits { table_elements: limits.table_elements - 1, ..limits },
        InstanceLimits { memories: limits.memories - 1, ..limits },
        InstanceLimits { memory_pages: limits.memory_pages - 1, ..limits },
    ] {
        assert!(runs(less, &artifacts).unwrap_err().is::<LimitError>(), "{less:?}");
    }
    // Each of them alone, and none at all.
    for (module, artifact) in modules.iter().zip(&artifacts) {
        runs(InstanceLimits::for_modules([module]), std::slice::from_ref(artifact)).unwrap();
    }
    runs(InstanceLimits::for_modules(std::iter::empty::<&Module>()), &[]).unwrap();
}

#[test]
fn a_pool_larger_than_the_address_space_says_how_large_it_could_be() {
    // It is found out by taking all of it for a moment, which would leave none
    // to other tests.
    if !wasmc_tests::is_alone("limits::a_pool_larger_than_the_address_space_says_how_large_it_could_be") {
        return;
    }
    let strategies = [
        PoolingAllocationStrategy::ReuseAffinity,
        PoolingAllocationStrategy::NextAvailable,
        PoolingAllocationStrategy::Random,
    ];
    for strategy in strategies {
        for count in [100_000, u32::MAX] {
            let mut config = Config::new();
            let pool = |count| InstanceAllocationStrategy::Pooling {
                strategy,
                instance_limits: InstanceLimits { count, ..InstanceLimits::default() },
            };
            config.allocation_strategy(pool(count));
            let error = Engine::new(&config).err().unwrap();
            let size = *error.downcast_ref::<PoolSizeError>().unwrap();
            assert_eq!(size.slots, count);
            assert!(size.slot_bytes > 4 << 30 && size.largest < count, "{size:?}");
            assert!(error.to_string().contains(&size.largest.to_string()), "{error}");
            // 47 bits.
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            assert!(size.largest > 1000 && u64::from(size.largest) * size.slot_bytes < 1 << 47, "{size:?}");
            // What it says can be had.
            config.allocation_strategy(pool(size.largest));
            assert_eq!(Engine::new(&config).unwrap().pool_metrics().unwrap().slots, size.largest);
        }
    }
    for limits in [
        InstanceLimits { memory_pages: u64::MAX, ..LIMITS },
        InstanceLimits { size: usize::MAX, ..LIMITS },
        InstanceLimits { tables: u32::MAX, table_elements: u32::MAX, ..LIMITS },
        InstanceLimits { memories: u32::MAX, ..LIMITS },
    ] {
        let error = Engine::new(&with_limits(limits)).err().unwrap();
        let size = error.downcast_ref::<PoolSizeError>().unwrap();
        assert_eq!((size.slots, size.largest), (LIMITS.count, 0), "{limits:?}");
    }
}

#[test]
fn a_pool_without_slots_is_refused() {
    let error = Engine::new(&with_limits(InstanceLimits { count: 0, ..LIMITS })).unwrap_err();
    assert!(error.to_string().contains("needs at least one slot"), "{error}");
}

#[test]
fn an_engine_without_a_pool_has_no_such_limits() {
    let text = format!("(module {} (memory 65536))", "(table 30000 funcref)".repeat(20));
    for strategy in InstantiationStrategy::ALL.iter().filter(|strategy| !strategy.is_pooling()) {
        let engine = Engine::new(&config(*strategy)).unwrap();
        pre(&module(&engine, &text)).instantiate(Store::new(&engine, ())).unwrap();
    }
}
