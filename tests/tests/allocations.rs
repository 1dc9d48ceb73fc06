//! What stores and instances cost in allocations. A binary of its own, since it counts those
//! of the whole process, each thread's for itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wasmc_loader::{
    AnyRef, Caller, Config, Engine, ExternRef, InstantiationStrategy, Linker, Module, RootScope, Rooted, Store,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while it does something.
fn allocations<R>(work: impl FnOnce() -> R) -> usize {
    let before = ALLOCATIONS.get();
    let result = work();
    let count = ALLOCATIONS.get() - before;
    drop(result);
    count
}

#[test]
fn a_store_after_another_one_is_one_allocation() {
    let engine = Engine::default();
    assert!(allocations(|| Store::new(&engine, [0u64; 4])) > 1, "the first one has to be made");
    for _ in 0..3 {
        assert_eq!(allocations(|| Store::new(&engine, [0u64; 4])), 1);
    }
    let mut nested = Vec::with_capacity(3);
    for _ in 0..2 {
        nested.extend((0..3).map(|_| Store::new(&engine, ())));
        nested.clear();
    }
    assert_eq!(allocations(|| nested.extend((0..3).map(|_| Store::new(&engine, ())))), 3);
}

const GUEST: &str = r#"(module
  (import "host" "tick" (func $tick))
  (memory (export "memory") 2) (data (i32.const 1024) "image")
  (global $count (mut i32) (i32.const 1))
  (table 4 8 funcref) (elem (i32.const 1) $work)
  (func $work (export "work")
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store (i32.const 4096) (global.get $count))
    (drop (table.grow (ref.null func) (i32.const 2)))
    (call $tick)))"#;

#[test]
fn a_warm_instance_takes_no_allocation_beside_its_store() {
    for strategy in [InstantiationStrategy::PoolingCopyOnWrite, InstantiationStrategy::Pooling] {
        let mut config = Config::new();
        config.instantiation_strategy(strategy);
        let engine = Engine::new(&config).unwrap();
        let wasm = wat::parse_str(GUEST).unwrap();
        let artifact = wasmc::compile(&wasm, &wasmc::Options::default()).unwrap();
        // SAFETY: just compiled.
        let module = unsafe { Module::from_bytes(&engine, &artifact).unwrap() };
        let mut linker = Linker::<u32>::new(&engine);
        linker.func_wrap("host", "tick", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        let request = || {
            let mut store = Store::new(&engine, 0);
            let instance = pre.instantiate(&mut store).unwrap();
            let work = instance.get_typed_func::<(), ()>(&mut store, "work").unwrap();
            work.call(&mut store, ()).unwrap();
            assert_eq!(*store.data(), 1);
            store
        };
        // Dropping is part of the request: what it allocates counts, too.
        let once = || allocations(|| drop(request()));
        assert!(once() > 1, "the first one has to be made");
        once();
        for round in 0..100 {
            assert_eq!(once(), 1, "{strategy}, round {round}");
        }

        let mut store = request();
        let instance = pre.instantiate(&mut store).unwrap();
        instance.reset(&mut store).unwrap();
        for round in 0..100 {
            assert_eq!(allocations(|| instance.reset(&mut store).unwrap()), 0, "{strategy}, reset {round}");
        }
    }
}

const REFERENCES: &str = r#"(module
  (import "host" "echo" (func $echo (param externref anyref) (result externref)))
  (func (export "work") (param externref i32) (result externref)
    (loop $again
      (local.set 0 (call $echo (local.get 0) (ref.i31 (local.get 1))))
      (br_if $again (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (local.get 0)))"#;

#[test]
fn calls_with_references_take_no_allocation() {
    let engine = Engine::default();
    let wasm = wat::parse_str(REFERENCES).unwrap();
    let artifact = wasmc::compile(&wasm, &wasmc::Options::default()).unwrap();
    // SAFETY: just compiled.
    let module = unsafe { Module::from_bytes(&engine, &artifact).unwrap() };
    let mut linker = Linker::<u32>::new(&engine);
    let echo = |mut caller: Caller<'_, u32>, value: Rooted<ExternRef>, any: Option<Rooted<AnyRef>>| {
        *caller.data_mut() += u32::from(any.is_some());
        value
    };
    let refused = linker.func_wrap("host", "echo", echo).unwrap().instantiate(&mut Store::new(&engine, 0), &module);
    assert!(refused.is_err(), "the host function takes no null");
    let mut linker = Linker::<u32>::new(&engine);
    let echo = |mut caller: Caller<'_, u32>, value: Option<Rooted<ExternRef>>, any: Option<Rooted<AnyRef>>| {
        *caller.data_mut() += u32::from(any.is_some());
        value
    };
    linker.func_wrap("host", "echo", echo).unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    type Reference = Option<Rooted<ExternRef>>;
    let work = instance.get_typed_func::<(Reference, i32), Reference>(&mut store, "work").unwrap();
    let value = ExternRef::new(&mut store, 5u8).unwrap();
    let mut round = || {
        let mut scope = RootScope::new(&mut store);
        assert!(work.call(&mut scope, (Some(value), 1000)).unwrap().is_some());
    };
    round();
    assert_eq!(allocations(&mut round), 0);
    assert_eq!(*store.data(), 2000);
}
