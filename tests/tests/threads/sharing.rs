//! Who has which shared memory: types and links, instances that define one,
//! resets, pools, and how memories end.

use super::{Guest, module};
use std::sync::atomic::{AtomicU32, Ordering};
use wasmc_loader::{
    Config, Engine, Extern, ExternType, Instance, InstanceLimits, InstantiationStrategy, LinkError, Linker, Memory,
    MemoryType, SharedMemory, Store,
};

/// Defines a shared memory with something in it.
const DEFINES: &str = r#"(module
    (memory (export "memory") 2 8 shared)
    (data (i32.const 16) "\2a\00\00\00")
    (func (export "get") (param i32) (result i32) (i32.atomic.load (local.get 0)))
    (func (export "set") (param i32 i32) (i32.atomic.store (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size)))"#;

fn word(memory: &SharedMemory, at: usize) -> &AtomicU32 {
    // SAFETY: aligned, in the memory, which the result borrows; guests use
    // atomics there too.
    unsafe { AtomicU32::from_ptr(memory.data()[at].get().cast()) }
}

fn get(store: &mut Store<()>, instance: Instance, at: i32) -> i32 {
    instance.get_typed_func::<i32, i32>(&mut *store, "get").unwrap().call(store, at).unwrap()
}

fn size(store: &mut Store<()>, instance: Instance) -> i32 {
    instance.get_typed_func::<(), i32>(&mut *store, "size").unwrap().call(store, ()).unwrap()
}

/// Writes, and grows, as far as an instance that defines a memory can.
fn change(store: &mut Store<()>, instance: Instance) {
    let set = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "set").unwrap();
    set.call(&mut *store, (16, 7)).unwrap();
    set.call(&mut *store, (1000, 8)).unwrap();
    let grow = instance.get_typed_func::<i32, i32>(&mut *store, "grow").unwrap();
    assert_eq!(grow.call(&mut *store, 3).unwrap(), 2);
    set.call(store, (4 << 16, 9)).unwrap();
}

fn assert_fresh(store: &mut Store<()>, instance: Instance) {
    assert_eq!((size(store, instance), get(store, instance, 16), get(store, instance, 1000)), (2, 42, 0));
}

fn engines() -> Vec<Engine> {
    let limits = InstanceLimits { count: 2, ..InstanceLimits::default() };
    let strategies = InstantiationStrategy::ALL.iter();
    let engine = |strategy: &InstantiationStrategy| {
        let mut config = Config::new();
        if strategy.is_pooling() {
            config.allocation_strategy(limits);
        }
        Engine::new(config.instantiation_strategy(*strategy)).unwrap()
    };
    strategies.map(engine).collect()
}

#[test]
fn a_shared_memory_is_one_for_all_who_have_it() {
    let engine = Engine::default();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 3)).unwrap();
    assert_eq!((memory.size(), memory.data_size(), memory.page_size()), (1, 65536, 65536));
    assert!(memory.ty().is_shared());
    let other = memory.clone();
    assert!(SharedMemory::same(&memory, &other));
    std::thread::spawn(move || {
        word(&other, 8).store(5, Ordering::SeqCst);
        assert_eq!(other.grow(2).unwrap(), 1);
    })
    .join()
    .unwrap();
    assert_eq!((word(&memory, 8).load(Ordering::SeqCst), memory.size()), (5, 3));
    assert_eq!((memory.ty().minimum(), memory.ty().maximum()), (3, Some(3)));
    let full = memory.grow(1).unwrap_err().to_string();
    assert!(full.contains("cannot grow a shared memory of 3..=3 pages by 1 pages"), "{full}");
    assert_eq!(memory.grow(0).unwrap(), 3);
    assert!(memory.grow(u64::MAX).is_err());
    assert!(!SharedMemory::same(&memory, &SharedMemory::new(&engine, MemoryType::shared(1, 3)).unwrap()));
}

#[test]
fn types_that_no_shared_memory_has_are_refused() {
    let engine = Engine::default();
    let error = |ty| SharedMemory::new(&engine, ty).unwrap_err().to_string();
    assert!(error(MemoryType::new(1, Some(2))).contains("is not shared"));
    assert!(error(MemoryType::shared(3, 2)).contains("no memory can have the type"));
    assert!(error(MemoryType::shared(65537, 65537)).contains("no memory can have the type"));
    let error = Memory::new(&mut Store::new(&engine, ()), MemoryType::shared(1, 2)).unwrap_err().to_string();
    assert!(error.contains("SharedMemory::new"), "{error}");
}

#[test]
fn modules_that_the_proposal_does_not_allow_are_refused() {
    let compile = |text: &str, features: &str| {
        let mut options = wasmc::Options::new();
        options.features.apply(features).unwrap();
        wasmc::compile(&wat::parse_str(text).unwrap(), &options).map_err(|e| e.to_string())
    };
    // The text format cannot even say that there is no maximum: flags 2.
    let mut wasm = wat::parse_str("(module (memory 1 2 shared))").unwrap();
    let at = wasm.windows(4).position(|bytes| bytes == [1, 3, 1, 2]).unwrap();
    wasm.splice(at - 1..at + 4, [3, 1, 2, 1]);
    let error = wasmc::compile(&wasm, &wasmc::Options::new()).unwrap_err().to_string();
    assert!(error.contains("must have maximum"), "{error}");

    compile("(module (memory 1 2 shared))", "threads").unwrap();
    for text in ["(module (memory 1 2 shared))", "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))"] {
        let error = compile(text, "-threads").unwrap_err();
        assert!(error.contains("threads"), "{error}");
    }
}

#[test]
fn shared_and_unshared_do_not_link() {
    let engine = Engine::default();
    let wants = |ty: &str| module(&engine, &format!(r#"(module (import "m" "memory" (memory {ty})))"#));
    let mut store = Store::new(&engine, ());
    let unshared: Extern = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap().into();
    let shared: Extern = SharedMemory::new(&engine, MemoryType::shared(1, 2)).unwrap().into();
    assert!(matches!(shared.ty(&store), ExternType::Memory(ty) if ty.is_shared()));
    for (item, fits, refused) in
        [(&unshared, "1 2", ["1 2 shared", "2 2"]), (&shared, "1 2 shared", ["1 2", "1 1 shared"])]
    {
        Instance::new(&mut store, &wants(fits), std::slice::from_ref(item)).unwrap();
        for ty in refused {
            let error = Instance::new(&mut store, &wants(ty), std::slice::from_ref(item)).unwrap_err();
            assert!(error.is::<LinkError>() && error.to_string().contains("incompatible import type"), "{error:?}");
            let mut linker = Linker::new(&engine);
            linker.define(&store, "m", "memory", item.clone()).unwrap();
            assert!(linker.instantiate(&mut store, &wants(ty)).is_err());
        }
    }
    // A linker looks at the size of the moment, as memories grow.
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 2)).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.define(&store, "m", "memory", memory.clone()).unwrap();
    assert!(linker.instantiate_pre(&wants("2 2 shared")).is_err());
    memory.grow(1).unwrap();
    linker.instantiate_pre(&wants("2 2 shared")).unwrap();

    let error = linker_of(&Engine::default(), &memory, &wants("1 2 shared")).unwrap_err().to_string();
    assert!(error.contains("another engine"), "{error}");
}

fn linker_of(engine: &Engine, memory: &SharedMemory, wants: &wasmc_loader::Module) -> wasmc_loader::Result<()> {
    let other = SharedMemory::new(engine, memory.ty())?;
    let mut linker: Linker<()> = Linker::new(wants.engine());
    linker.define(&Store::new(wants.engine(), ()), "m", "memory", other)?;
    linker.instantiate_pre(wants).map(drop)
}

#[test]
fn every_instance_that_defines_a_memory_has_one_of_its_own() {
    for engine in engines() {
        let module = module(&engine, DEFINES);
        let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
        let mut memories: Vec<SharedMemory> = Vec::new();
        for _ in 0..4 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            assert_fresh(&mut store, instance);
            assert!(instance.get_memory(&mut store, "memory").is_none());
            let memory = instance.get_shared_memory(&mut store, "memory").unwrap();
            assert!(memories.iter().all(|known| !SharedMemory::same(known, &memory)));
            change(&mut store, instance);
            memories.push(memory);
        }
        // They have outlived their stores, with all that is in them.
        for memory in memories {
            assert_eq!((memory.size(), word(&memory, 16).load(Ordering::SeqCst)), (5, 7));
            assert_eq!(word(&memory, 4 << 16).load(Ordering::SeqCst), 9);
        }
    }
}

#[test]
fn a_reset_gives_a_new_memory_and_leaves_the_old_one_to_others() {
    for engine in engines() {
        let module = module(&engine, DEFINES);
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        for round in 0..5 {
            let old = instance.get_shared_memory(&mut store, "memory").unwrap();
            change(&mut store, instance);
            if round % 2 == 0 {
                instance.reset(&mut store).unwrap()
            } else {
                store.reset().unwrap()
            };
            assert_fresh(&mut store, instance);
            let new = instance.get_shared_memory(&mut store, "memory").unwrap();
            assert!(!SharedMemory::same(&old, &new));
            assert_eq!((old.size(), word(&old, 16).load(Ordering::SeqCst)), (5, 7));
            word(&old, 16).store(99, Ordering::SeqCst);
            assert_fresh(&mut store, instance);
        }
    }
}

#[test]
fn who_imports_the_memory_in_the_same_store_follows_a_reset() {
    let engine = Engine::default();
    let owner = module(&engine, DEFINES);
    let user = module(
        &engine,
        r#"(module (import "owner" "memory" (memory 1 8 shared))
            (func (export "get") (param i32) (result i32) (i32.atomic.load (local.get 0)))
            (func (export "size") (result i32) (memory.size))
            (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 1))))"#,
    );
    let mut linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let owner = linker.instantiate(&mut store, &owner).unwrap();
    linker.instance(&mut store, "owner", owner).unwrap();
    let user_here = linker.instantiate(&mut store, &user).unwrap();
    // And one elsewhere, which has the same memory without the owner.
    let mut elsewhere = Store::new(&engine, ());
    let user_there = linker.instantiate_pre(&user).unwrap().instantiate(&mut elsewhere).unwrap();
    change(&mut store, owner);
    assert_eq!((get(&mut store, user_here, 16), size(&mut store, user_here)), (7, 5));
    assert_eq!((get(&mut elsewhere, user_there, 16), size(&mut elsewhere, user_there)), (7, 5));

    store.reset().unwrap();
    assert_fresh(&mut store, owner);
    assert_fresh(&mut store, user_here);
    assert_eq!((get(&mut elsewhere, user_there, 16), size(&mut elsewhere, user_there)), (7, 5));

    change(&mut store, owner);
    assert_eq!((get(&mut store, user_here, 16), size(&mut store, user_here)), (7, 5));
    owner.reset(&mut store).unwrap();
    assert_fresh(&mut store, user_here);
    drop(store);
    assert_eq!(get(&mut elsewhere, user_there, 4 << 16), 9);
}

#[test]
fn an_imported_memory_is_not_reset_by_anybody() {
    for engine in engines() {
        let text = r#"(module (import "m" "memory" (memory 1 2 shared))
            (func (export "count") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))"#;
        let module = module(&engine, text);
        let memory = SharedMemory::new(&engine, MemoryType::shared(1, 2)).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define(&Store::new(&engine, ()), "m", "memory", memory.clone()).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        for round in 0..6 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let mut count = || {
                let f = instance.get_typed_func::<(), i32>(&mut store, "count").unwrap();
                f.call(&mut store, ()).unwrap()
            };
            assert_eq!((count(), count()), (4 * round, 4 * round + 1));
            instance.reset(&mut store).unwrap();
            store.reset().unwrap();
            let f = instance.get_typed_func::<(), i32>(&mut store, "count").unwrap();
            assert_eq!(f.call(&mut store, ()).unwrap(), 4 * round + 2);
            assert_eq!(f.call(&mut store, ()).unwrap(), 4 * round + 3);
        }
    }
}

/// A slot of a pool that held an instance with one memory gets one with
/// another: nothing of the first may be left in the context.
#[test]
fn pooled_instances_use_the_memory_they_are_given() {
    let mut config = Config::new();
    config.allocation_strategy(InstanceLimits { count: 1, ..InstanceLimits::default() });
    let engine = Engine::new(&config).unwrap();
    let module = module(
        &engine,
        r#"(module (import "m" "memory" (memory 1 2 shared))
            (func (export "get") (param i32) (result i32) (i32.atomic.load (local.get 0))))"#,
    );
    for value in 0..20 {
        let memory = SharedMemory::new(&engine, MemoryType::shared(1, 2)).unwrap();
        word(&memory, 4).store(value, Ordering::SeqCst);
        let mut linker = Linker::new(&engine);
        linker.define(&Store::new(&engine, ()), "m", "memory", memory).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            assert_eq!(get(&mut store, instance, 4), value as i32);
        }
    }
    assert!(engine.pool_metrics().unwrap().warm_hits > 0);
}

/// Shared and other memories in one module, in any order: each is its own.
#[test]
fn memories_of_both_kinds_stand_side_by_side() {
    for order in [[true, false, true, false], [false, true, true, false], [true, true, false, false]] {
        let memories: String = order
            .iter()
            .enumerate()
            .map(|(i, shared)| {
                let shared = if *shared { "shared" } else { "" };
                format!(
                    r#"(memory $m{i} (export "m{i}") {min} 9 {shared}) (data (memory $m{i}) (i32.const 8) "\0{i}")
                    (func (export "get{i}") (param i32) (result i32) (i32.atomic.load $m{i} (local.get 0)))
                    (func (export "set{i}") (param i32 i32) (i32.atomic.store $m{i} (local.get 0) (local.get 1)))
                    (func (export "size{i}") (result i32) (memory.size $m{i}))
                    (func (export "grow{i}") (result i32) (memory.grow $m{i} (i32.const 1)))"#,
                    min = i + 1
                )
            })
            .collect();
        for engine in engines().into_iter().filter(|engine| engine.pool_metrics().is_none()) {
            let module = module(&engine, &format!("(module {memories})"));
            let mut store = Store::new(&engine, ());
            let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
            for _ in 0..3 {
                for i in 0..4 {
                    let f = |name: &str| format!("{name}{i}");
                    let get = instance.get_typed_func::<i32, i32>(&mut store, &f("get")).unwrap();
                    let set = instance.get_typed_func::<(i32, i32), ()>(&mut store, &f("set")).unwrap();
                    let grow = instance.get_typed_func::<(), i32>(&mut store, &f("grow")).unwrap();
                    assert_eq!(get.call(&mut store, 8).unwrap(), i);
                    assert_eq!(get.call(&mut store, 12).unwrap(), 0, "memory {i}");
                    set.call(&mut store, (12, 100 + i)).unwrap();
                    assert_eq!(grow.call(&mut store, ()).unwrap(), i + 1);
                    set.call(&mut store, ((i + 1) << 16, 1)).unwrap();
                    let export = instance.get_export(&mut store, &f("m")).unwrap();
                    assert_eq!(export.into_shared_memory().is_some(), order[i as usize]);
                }
                instance.reset(&mut store).unwrap();
            }
        }
    }
}

#[test]
fn a_memory_ends_with_its_last_user() {
    // More address space than there is, if one were not given back: 128 TiB
    // are some 25,000 memories.
    let engine = Engine::default();
    let module = module(&engine, DEFINES);
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    let mut kept = Store::new(&engine, ());
    let instance = pre.instantiate(&mut kept).unwrap();
    for _ in 0..15_000 {
        drop(SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap());
        pre.instantiate(&mut Store::new(&engine, ())).unwrap();
        // Resets of one store are no exception.
        instance.reset(&mut kept).unwrap();
    }
}

/// What a linker defines for imports that nobody has defined.
#[test]
fn unknown_shared_memories_get_a_default() {
    let guest = Guest::new(1, r#"(func (export "size") (result i32) (memory.size))"#);
    let mut store = Store::new(&guest.engine, ());
    let mut linker = Linker::new(&guest.engine);
    linker.define_unknown_imports_as_default_values(&mut store, &guest.module).unwrap();
    let instance = linker.instantiate(&mut store, &guest.module).unwrap();
    assert_eq!(size(&mut store, instance), 1);
}
