//! Memories whose instances write the same pages again and again get a guard:
//! all other pages are read-only. Whoever writes there all the same has to find
//! the memory as it should be, and the next instance must not.

use super::module;
use std::fs::File;
use std::io::Read;
use wasmc_loader::{
    Caller, Config, Engine, Instance, InstancePre, InstantiationStrategy, Linker, Store, Trap, TypedFunc,
};

const GUEST: &str = r#"(module
  (import "host" "call" (func $call))
  (memory (export "memory") 4 8)
  (data (i32.const 1024) "image")
  (data (i32.const 200000) "more")
  (func (export "steady") (i32.store (i32.const 70000) (i32.const 1)))
  (func (export "store") (param i32) (i32.store (local.get 0) (i32.const -1)))
  (func (export "vector") (param i32) (v128.store (local.get 0) (v128.const i64x2 -1 -1)))
  (func (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 255) (i32.const 9000)))
  (func (export "copy") (param i32) (memory.copy (local.get 0) (i32.const 1000) (i32.const 9000)))
  (func (export "host") (param i32) (call $call))
  (func (export "grow") (param i32)
    (drop (memory.grow (i32.const 1)))
    (i32.store (local.get 0) (i32.const -1))
    (i32.store (i32.const 262200) (i32.const -1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// An address on a page that is not written otherwise.
const COLD: usize = 130_000;

struct Setup {
    engine: Engine,
    pre: InstancePre<()>,
}

fn setup(strategy: InstantiationStrategy) -> Setup {
    let mut config = Config::new();
    config.instantiation_strategy(strategy);
    let engine = Engine::new(&config).unwrap();
    let module = module(&engine, GUEST);
    let mut linker = Linker::new(&engine);
    let call = |mut caller: Caller<'_, ()>| {
        let memory = caller.get_export("memory").unwrap().into_memory().unwrap();
        memory.write(&mut caller, COLD, &[0xff; 8]).unwrap();
    };
    linker.func_wrap("host", "call", call).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    Setup { engine, pre }
}

impl Setup {
    fn instance(&self) -> (Store<()>, Instance) {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store).unwrap();
        (store, instance)
    }

    /// Serves requests that all write the same page.
    fn steady(&self) {
        for _ in 0..1000 {
            let (mut store, instance) = self.instance();
            let steady: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "steady").unwrap();
            steady.call(&mut store, ()).unwrap();
        }
    }

    /// The same until there is a guard; an instance that has one. Page faults
    /// that the system makes for its own ends can delay it.
    #[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
    fn guarded(&self) -> Option<(Store<()>, Instance)> {
        (0..100).find_map(|_| {
            self.steady();
            let (mut store, instance) = self.instance();
            is_read_only(&mut store, &instance, COLD).then_some((store, instance))
        })
    }
}

fn content(store: &mut Store<()>, instance: &Instance) -> Vec<u8> {
    instance.get_memory(&mut *store, "memory").unwrap().data(&*store).to_vec()
}

fn call(store: &mut Store<()>, instance: &Instance, name: &str, at: usize) {
    let function: TypedFunc<i32, ()> = instance.get_typed_func(&mut *store, name).unwrap();
    function.call(store, at as i32).unwrap();
}

/// Whether a page of the memory cannot be written to now.
#[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
fn is_read_only(store: &mut Store<()>, instance: &Instance, at: usize) -> bool {
    let address = instance.get_memory(&mut *store, "memory").unwrap().data(&*store).as_ptr() as usize + at;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        (number(start)..number(end)).contains(&address)
    });
    line.unwrap().split(' ').nth(1).unwrap().starts_with("r--")
}

type Write = (&'static str, fn(&mut Store<()>, &Instance));

/// Every way to write to a page that is not hot.
const WAYS: &[Write] = &[
    ("a store", |store, instance| call(store, instance, "store", COLD)),
    ("a store across two pages", |store, instance| call(store, instance, "store", (COLD & !4095) - 2)),
    ("a vector", |store, instance| call(store, instance, "vector", COLD)),
    ("memory.fill", |store, instance| call(store, instance, "fill", COLD)),
    ("memory.copy", |store, instance| call(store, instance, "copy", COLD)),
    ("a host function", |store, instance| call(store, instance, "host", 0)),
    ("a grown memory", |store, instance| call(store, instance, "grow", COLD)),
    ("Memory::write", |store, instance| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        memory.write(&mut *store, COLD, &[0xff; 8]).unwrap();
    }),
    ("Memory::write from a hot page on", |store, instance| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        memory.write(&mut *store, 70_000, &[0xff; 9000]).unwrap();
    }),
    ("a slice", |store, instance| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        memory.data_mut(&mut *store)[COLD] = 0xff;
    }),
    ("a slice on another thread", |store, instance| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        let bytes = memory.data_mut(&mut *store);
        std::thread::scope(|scope| {
            scope.spawn(move || bytes[COLD] = 0xff);
        });
    }),
    ("a system call", |store, instance| {
        // The kernel fails where it may not write, rather than fault.
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        let bytes = &mut memory.data_mut(&mut *store)[COLD..COLD + 5000];
        File::open("/dev/zero").unwrap().read_exact(bytes).unwrap();
        bytes[0] = 0xff;
    }),
    ("code on another thread", |store, instance| {
        std::thread::scope(|scope| {
            scope.spawn(|| call(store, instance, "store", COLD));
        });
    }),
];

#[test]
fn writes_to_guarded_pages_are_seen_by_their_instance_alone() {
    for strategy in [InstantiationStrategy::PoolingCopyOnWrite, InstantiationStrategy::Pooling] {
        for (way, write) in WAYS {
            let setup = setup(strategy);
            let first = {
                let (mut store, instance) = setup.instance();
                content(&mut store, &instance)
            };
            // A guard that did not hold is put on again for a while.
            for round in 0..6 {
                #[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
                if round == 0 && wasmc_tests::kernel_tells_written_pages() {
                    let guarded = setup.guarded();
                    let (mut store, instance) = guarded.unwrap_or_else(|| panic!("{strategy}: no guard before {way}"));
                    assert!(!is_read_only(&mut store, &instance, 70_000), "{strategy}: a hot page is read-only");
                }
                setup.steady();
                let (mut store, instance) = setup.instance();
                write(&mut store, &instance);
                assert!(content(&mut store, &instance) != first, "{strategy}: {way} had no effect in round {round}");
                drop(store);
                let (mut store, instance) = setup.instance();
                assert!(content(&mut store, &instance) == first, "{strategy}: {way} leaked in round {round}");
            }
        }
    }
}

#[test]
fn resets_of_one_instance_are_guarded_and_complete() {
    let setup = setup(InstantiationStrategy::RecreateInstanceCopyOnWrite);
    let (mut store, instance) = setup.instance();
    let first = content(&mut store, &instance);
    for (way, write) in WAYS {
        for _ in 0..200 {
            let steady: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "steady").unwrap();
            steady.call(&mut store, ()).unwrap();
            instance.reset(&mut store).unwrap();
        }
        write(&mut store, &instance);
        assert!(content(&mut store, &instance) != first, "{way} had no effect");
        instance.reset(&mut store).unwrap();
        assert!(content(&mut store, &instance) == first, "{way} survived a reset");
    }
}

#[test]
fn an_address_that_the_host_has_stays_good_for_writing() {
    let setup = setup(InstantiationStrategy::PoolingCopyOnWrite);
    setup.steady();
    let (mut store, instance) = setup.instance();
    let first = content(&mut store, &instance);
    let at = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store);
    for _ in 0..300 {
        let steady: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "steady").unwrap();
        steady.call(&mut store, ()).unwrap();
        // SAFETY: within the memory of a living store.
        unsafe { at.add(COLD).write_volatile(0xff) };
        assert_eq!(content(&mut store, &instance)[COLD], 0xff);
        store.reset().unwrap();
        assert!(content(&mut store, &instance) == first);
    }
}

#[test]
fn accesses_out_of_bounds_trap_in_a_guarded_memory_too() {
    let setup = setup(InstantiationStrategy::PoolingCopyOnWrite);
    setup.steady();
    let (mut store, instance) = setup.instance();
    let write: TypedFunc<i32, ()> = instance.get_typed_func(&mut store, "store").unwrap();
    let read: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "load").unwrap();
    for at in [4 * 65536 - 3, 4 * 65536, 5 << 20, -4] {
        for error in [write.call(&mut store, at).unwrap_err(), read.call(&mut store, at).unwrap_err()] {
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{error:#}");
        }
    }
    assert_eq!(read.call(&mut store, 70_000).unwrap(), 0);
}
