//! What a store's heap costs, how it ends, and who has it next.

use super::{artifact, instance, linker, module, stressed};
use std::thread;
use wasmc::OptLevel;
use wasmc_loader::{
    Config, Engine, Error, Instance, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, Module, Result,
    Store, Trap,
};

/// A list that grows, one whose cells are garbage at once, and rings.
const LISTS: &str = r#"(module
    (import "host" "gc" (func $gc))
    (type $list (sub (struct (field (mut (ref null $list))) (field i64))))
    (type $bytes (array (mut i8)))
    (type $longs (array (mut i64)))
    (global $kept (export "kept") (mut (ref null $list)) (ref.null $list))
    (table $table 1 (ref null $list))

    (func (export "keep") (param $n i32)
        (loop $next
            (global.set $kept (struct.new $list (global.get $kept) (i64.extend_i32_u (local.get $n))))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "waste") (param $n i32) (local $last (ref null $list))
        (loop $next
            (local.set $last (struct.new $list (ref.null $list) (i64.extend_i32_u (local.get $n))))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "rings") (param $n i32) (local $a (ref null $list)) (local $b (ref null $list))
        (loop $next
            (local.set $a (struct.new $list (ref.null $list) (i64.const 1)))
            (local.set $b (struct.new $list (local.get $a) (i64.const 2)))
            (struct.set $list 0 (local.get $a) (local.get $b))
            (table.set $table (i32.const 0) (local.get $b))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (table.set $table (i32.const 0) (ref.null $list)))
    (func (export "drop") (global.set $kept (ref.null $list)))
    (func (export "bytes") (param $n i32) (result i32)
        (array.len (array.new $bytes (i32.const 1) (local.get $n))))
    (func (export "longs") (param $n i32) (result i32)
        (array.len (array.new_default $longs (local.get $n))))
    (func (export "sum") (result i64) (local $list (ref null $list)) (local $sum i64)
        (local.set $list (global.get $kept))
        (block $end
            (loop $next
                (br_if $end (ref.is_null (local.get $list)))
                (local.set $sum (i64.add (local.get $sum) (struct.get $list 1 (local.get $list))))
                (local.set $list (struct.get $list 0 (local.get $list)))
                (br $next)))
        (local.get $sum))
    (func $deep (export "deep") (param $n i32) (result i64) (local $mine (ref null $list))
        (if (i32.eqz (local.get $n)) (then (call $gc) (return (i64.const 0))))
        (local.set $mine (struct.new $list (ref.null $list) (i64.extend_i32_u (local.get $n))))
        (i64.add (call $deep (i32.sub (local.get $n) (i32.const 1))) (struct.get $list 1 (local.get $mine))))
)"#;

/// Bytes of a cell of those lists.
const CELL: usize = 24;

fn lists(engine: &Engine) -> (Store<()>, Instance) {
    instance(engine, LISTS, OptLevel::Speed)
}

/// Calls a function that takes a number.
fn with(store: &mut Store<()>, instance: Instance, name: &str, n: i32) -> Result<()> {
    instance.get_typed_func::<i32, ()>(&mut *store, name)?.call(store, n)
}

fn sum(store: &mut Store<()>, instance: Instance) -> i64 {
    instance.get_typed_func::<(), i64>(&mut *store, "sum").unwrap().call(store, ()).unwrap()
}

fn length(store: &mut Store<()>, instance: Instance, name: &str, n: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, name)?.call(store, n)
}

fn below(n: i64) -> i64 {
    n * (n + 1) / 2
}

fn is_exhausted(error: &Error) -> bool {
    error.downcast_ref::<Trap>() == Some(&Trap::HeapExhausted)
}

#[test]
fn memory_stays_flat_over_millions_of_dead_objects() {
    let (mut store, instance) = lists(&Engine::default());
    with(&mut store, instance, "keep", 1000).unwrap();
    with(&mut store, instance, "waste", 100_000).unwrap();
    let before = store.gc_heap_capacity();
    with(&mut store, instance, "waste", 10_000_000).unwrap();
    with(&mut store, instance, "rings", 5_000_000).unwrap();
    assert!(store.gc_heap_capacity() <= before + (256 << 10), "{} bytes, then {}", before, store.gc_heap_capacity());
    assert!(before < 4 << 20, "{before} bytes");
    assert_eq!(sum(&mut store, instance), below(1000));
    store.gc();
    assert_eq!(store.gc_heap_size(), 1000 * CELL);
}

#[test]
fn a_heap_grows_with_its_live_objects_and_gives_memory_back() {
    let (mut store, instance) = lists(&Engine::default());
    with(&mut store, instance, "keep", 2_000_000).unwrap();
    store.gc();
    assert_eq!(store.gc_heap_size(), 2_000_000 * CELL);
    let large = store.gc_heap_capacity();
    assert!(large > 2_000_000 * CELL);
    assert_eq!(sum(&mut store, instance), below(2_000_000));
    instance.get_typed_func::<(), ()>(&mut store, "drop").unwrap().call(&mut store, ()).unwrap();
    store.gc();
    assert_eq!(store.gc_heap_size(), 0);
    store.gc();
    assert!(store.gc_heap_capacity() < 16 << 20, "{large} bytes, then {}", store.gc_heap_capacity());
}

#[test]
fn an_exhausted_heap_traps_and_the_store_goes_on() {
    for limit in [10_000, 1 << 20, 20 << 20] {
        for stress in [false, true] {
            if stress && limit > 10_000 {
                continue;
            }
            let engine = Engine::new(Config::new().gc_heap_limit(limit).gc_stress(stress)).unwrap();
            let (mut store, instance) = lists(&engine);
            for _ in 0..3 {
                assert!(is_exhausted(&with(&mut store, instance, "keep", i32::MAX).unwrap_err()));
                assert!(store.gc_heap_size() <= limit && store.gc_heap_size() > limit / 10 * 9);
                // Nothing is lost, and what is dead makes room.
                assert!(sum(&mut store, instance) > 0);
                assert!(is_exhausted(&with(&mut store, instance, "keep", i32::MAX).unwrap_err()));
                instance.get_typed_func::<(), ()>(&mut store, "drop").unwrap().call(&mut store, ()).unwrap();
                with(&mut store, instance, "waste", 2000).unwrap();
                with(&mut store, instance, "keep", 100).unwrap();
                assert_eq!(sum(&mut store, instance), below(100));
            }
        }
    }
}

#[test]
fn arrays_of_any_size_have_room_or_trap() {
    let (mut store, instance) = lists(&Engine::default());
    with(&mut store, instance, "keep", 1000).unwrap();
    for n in [0, 1, 1 << 10, 1 << 18, 1 << 20, 1 << 24, 1 << 27] {
        for _ in 0..3 {
            assert_eq!(length(&mut store, instance, "bytes", n).unwrap(), n);
        }
    }
    assert_eq!(length(&mut store, instance, "longs", 10_000_000).unwrap(), 10_000_000);
    for n in [i32::MAX, -1, 1 << 29] {
        let error = length(&mut store, instance, "longs", n).unwrap_err();
        let trap = *error.downcast_ref::<Trap>().unwrap();
        assert!(matches!(trap, Trap::HeapExhausted | Trap::AllocationTooLarge), "{trap:?}");
    }
    assert_eq!(sum(&mut store, instance), below(1000));
    let engine = Engine::new(Config::new().gc_heap_limit(1 << 20)).unwrap();
    let (mut store, instance) = lists(&engine);
    for _ in 0..10 {
        assert_eq!(length(&mut store, instance, "bytes", 1_000_000).unwrap(), 1_000_000);
        assert!(is_exhausted(&length(&mut store, instance, "bytes", 1_100_000).unwrap_err()));
    }
}

#[test]
fn thousands_of_frames_are_walked() {
    for (engine, n) in [(Engine::default(), 4000), (stressed(), 1000)] {
        let (mut store, instance) = lists(&engine);
        let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();
        assert_eq!(deep.call(&mut store, n).unwrap(), below(n.into()));
    }
    // Until the stack is full, and again.
    let (mut store, instance) = lists(&Engine::default());
    let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();
    for _ in 0..3 {
        let error = deep.call(&mut store, i32::MAX).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
        assert_eq!(deep.call(&mut store, 100).unwrap(), below(100));
    }
}

#[test]
fn threads_have_heaps_of_their_own() {
    let engine = Engine::default();
    let module = module(&engine, LISTS, OptLevel::Speed);
    let work = |seed: i32| {
        for round in 1..20 {
            let mut store = Store::new(&engine, ());
            let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
            let n = seed * 1000 + round;
            with(&mut store, instance, "keep", n).unwrap();
            with(&mut store, instance, "waste", 100_000).unwrap();
            assert_eq!(sum(&mut store, instance), below(n.into()));
        }
    };
    thread::scope(|scope| {
        for seed in 1..=8 {
            scope.spawn(move || work(seed));
        }
    });
}

#[test]
fn a_store_moves_to_another_thread_with_its_heap() {
    let (mut store, instance) = lists(&Engine::default());
    for n in 1..10 {
        with(&mut store, instance, "keep", 10_000).unwrap();
        store = thread::spawn(move || {
            let mut store = store;
            with(&mut store, instance, "waste", 100_000).unwrap();
            assert_eq!(sum(&mut store, instance), n * below(10_000));
            store
        })
        .join()
        .unwrap();
    }
}

/// Engines whose instances are used again.
fn pools() -> Vec<Engine> {
    let limits = InstanceLimits { count: 2, ..InstanceLimits::default() };
    let strategies = [
        InstantiationStrategy::PoolingCopyOnWrite,
        InstantiationStrategy::Pooling,
        InstantiationStrategy::RecreateInstanceCopyOnWrite,
    ];
    let pool = |strategy: InstantiationStrategy| {
        let mut config = Config::new();
        if strategy.is_pooling() {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling {
                strategy: Default::default(),
                instance_limits: limits,
            });
        }
        config.instantiation_strategy(strategy);
        Engine::new(&config).unwrap()
    };
    strategies.into_iter().map(pool).collect()
}

#[test]
fn the_next_tenant_finds_nothing_of_the_last() {
    for engine in pools() {
        let module = module(&engine, LISTS, OptLevel::Speed);
        let pre = linker(&engine).instantiate_pre(&module).unwrap();
        let mut kept = Vec::new();
        for round in 0..40 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            assert_eq!((sum(&mut store, instance), store.gc_heap_size()), (0, 0));
            with(&mut store, instance, "keep", 1 + round * 1000).unwrap();
            with(&mut store, instance, "rings", 1000).unwrap();
            if round % 3 == 0 {
                store.gc();
            }
            assert_eq!(sum(&mut store, instance), below((1 + round * 1000).into()));
            if round % 4 == 0 {
                kept = vec![store];
            }
        }
        drop(kept);
    }
}

#[test]
fn resets_empty_the_heap_or_leave_it_to_others() {
    for engine in pools().into_iter().chain([Engine::default()]) {
        let (mut store, first) = lists(&engine);
        let second = linker(&engine).instantiate(&mut store, &module(&engine, LISTS, OptLevel::Speed)).unwrap();
        for _ in 0..5 {
            with(&mut store, first, "keep", 10).unwrap();
            with(&mut store, second, "keep", 20).unwrap();
            first.reset(&mut store).unwrap();
            assert_eq!((sum(&mut store, first), sum(&mut store, second)), (0, below(20)));
            store.gc();
            assert_eq!(store.gc_heap_size(), 20 * CELL);
            store.reset().unwrap();
            assert_eq!((sum(&mut store, first), sum(&mut store, second), store.gc_heap_size()), (0, 0, 0));
        }
    }
}

#[test]
fn objects_that_globals_have_at_first_are_made_again_by_resets() {
    const COUNTER: &str = r#"(module
        (type $box (struct (field (mut i32))))
        (global $mine (ref $box) (struct.new $box (i32.const 7)))
        (global $same (export "same") (ref $box) (global.get $mine))
        (table $table 3 (ref $box) (struct.new $box (i32.const 7)))
        (func (export "count") (param $n i32) (result i32)
            (struct.set $box 0 (global.get $mine)
                (i32.add (struct.get $box 0 (global.get $mine)) (local.get $n)))
            (struct.set $box 0 (table.get $table (i32.const 0))
                (i32.add (struct.get $box 0 (table.get $table (i32.const 0))) (local.get $n)))
            (table.set $table (i32.const 1) (struct.new $box (i32.const 100)))
            (i32.add (struct.get $box 0 (global.get $same))
                (struct.get $box 0 (table.get $table (i32.const 2))))))"#;
    for engine in pools().into_iter().chain([Engine::default(), stressed()]) {
        let module = module(&engine, COUNTER, OptLevel::Speed);
        let pre = linker(&engine).instantiate_pre(&module).unwrap();
        for _ in 0..5 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            for round in 0..4 {
                assert_eq!(length(&mut store, instance, "count", 5).unwrap(), 2 * 12);
                store.gc();
                assert_eq!(length(&mut store, instance, "count", 1).unwrap(), 2 * 13);
                if round % 2 == 0 { instance.reset(&mut store).unwrap() } else { store.reset().unwrap() }
            }
        }
    }
}

#[test]
fn modules_pass_objects_to_each_other() {
    const OTHER: &str = r#"(module
        (type $list (sub (struct (field (mut (ref null $list))) (field i64))))
        (import "first" "sum" (func $sum (result i64)))
        (import "first" "kept" (global $kept (mut (ref null $list))))
        (import "host" "gc" (func $gc))
        (func (export "run") (param $n i32) (result i64) (local $mine (ref null $list))
            (local.set $mine (struct.new $list (global.get $kept) (i64.const 1000)))
            (global.set $kept (local.get $mine))
            (call $gc)
            (i64.add (call $sum) (struct.get $list 1 (struct.get $list 0 (local.get $mine))))))"#;
    for level in [OptLevel::None, OptLevel::Speed] {
        for engine in [stressed(), Engine::default()] {
            let mut store = Store::new(&engine, ());
            let mut linker = linker(&engine);
            let first = linker.instantiate(&mut store, &module(&engine, LISTS, level)).unwrap();
            linker.instance(&mut store, "first", first).unwrap();
            let second = linker.instantiate(&mut store, &module(&engine, OTHER, level)).unwrap();
            with(&mut store, first, "keep", 5).unwrap();
            let run = second.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 0).unwrap(), 1000 + below(5) + 1);
            assert_eq!(run.call(&mut store, 0).unwrap(), 2000 + below(5) + 1000);
        }
    }
}

#[test]
fn a_module_without_objects_has_no_heap() {
    let engine = Engine::default();
    let (mut store, _) = instance(&engine, r#"(module (func (export "f") (param externref)))"#, OptLevel::Speed);
    store.gc();
    assert_eq!((store.gc_heap_size(), store.gc_heap_capacity()), (0, 0));
    let bytes = artifact(LISTS, OptLevel::Speed);
    // SAFETY: the bytes come straight from the compiler.
    let module = unsafe { Module::from_bytes(&engine, &bytes) }.unwrap();
    linker(&engine).instantiate(&mut store, &module).unwrap();
    assert_eq!(store.gc_heap_size(), 0);
}
