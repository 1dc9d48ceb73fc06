//! Sizes of memories: limits, growth, and what is beyond the end.

use super::settings::Setting;
use super::{call, module, pre};
use wasmc_loader::{Extern, HeapAllocStrategy, Instance, LimitError, Memory, MemoryType, Store, Trap};

const GROWING: &str = r#"(module (memory (export "memory") 2 6)
    (func (export "size") (result i32) memory.size)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 0xee))))"#;

fn grow(store: &mut Store<()>, instance: Instance, delta: i32) -> i32 {
    call(store, instance, "grow", delta).unwrap()
}

fn size(store: &mut Store<()>, instance: Instance) -> i32 {
    call(store, instance, "size", ()).unwrap()
}

/// The last byte of `pages` pages can be used, and the one after it cannot.
fn ends_after(store: &mut Store<()>, instance: Instance, pages: u32) {
    let end = (pages << 16) as i32;
    assert_eq!(size(store, instance), pages as i32);
    assert_eq!(call::<i32, i32, ()>(store, instance, "load", end - 1).unwrap(), 0);
    call::<i32, (), ()>(store, instance, "store", end - 1).unwrap();
    for beyond in [end, end + 4095, end + 4096, end + 65_536, i32::MAX, -1] {
        let error = call::<i32, i32, ()>(store, instance, "load", beyond).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "load at {beyond:#x} of {pages} pages");
        let error = call::<i32, (), ()>(store, instance, "store", beyond).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "store at {beyond:#x} of {pages} pages");
    }
}

pub fn growth_ends_at_the_limit_of_the_module(setting: &Setting) {
    let mut guest = setting.guest(GROWING);
    for _ in 0..4 {
        guest.with((), |store, instance| {
            ends_after(store, instance, 2);
            assert_eq!([5, i32::MAX, -1].map(|delta| grow(store, instance, delta)), [-1; 3], "past the limit");
            assert_eq!(grow(store, instance, 3), 2, "to just under it");
            ends_after(store, instance, 5);
            assert_eq!(grow(store, instance, 1), 5, "to it");
            ends_after(store, instance, 6);
            assert_eq!([grow(store, instance, 1), grow(store, instance, 0)], [-1, 6], "past it, at it");
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let error = memory.grow(&mut *store, 1).unwrap_err().to_string();
            assert!(error.contains("cannot grow"), "{error}");
        });
    }
}

pub fn a_static_heap_begins_with_extra_pages_and_does_not_grow(setting: &Setting) {
    for (extra, expected) in [(0, 2), (1, 3), (3, 5), (4, 6), (5, 6), (u32::MAX, 6)] {
        let engine = setting.engine_with(|config| {
            config.heap_alloc_strategy(HeapAllocStrategy::Static { extra_pages: extra });
        });
        let mut guest = setting.guest_in(&engine, GROWING, |_| {});
        for _ in 0..2 {
            guest.with((), |store, instance| {
                ends_after(store, instance, expected);
                assert_eq!([grow(store, instance, 1), grow(store, instance, 0)], [-1, expected as i32]);
                let memory = instance.get_memory(&mut *store, "memory").unwrap();
                let ty = memory.ty(&*store);
                assert_eq!((ty.minimum(), ty.maximum()), (expected.into(), Some(expected.into())));
                memory.grow(&mut *store, 1).unwrap_err();
            });
        }
    }
    // A memory that only its own code uses, and which nothing in it grows:
    // compilers may think that they know its size.
    let text = r#"(module (memory 1) (func (export "size") (result i32) memory.size)
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 0xee)))
        (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.get 0))))"#;
    let engine = setting.engine_with(|config| {
        config.heap_alloc_strategy(HeapAllocStrategy::default());
    });
    setting.guest_in(&engine, text, |_| {}).with((), |store, instance| {
        ends_after(store, instance, 1 + 2048);
        call::<i32, (), ()>(store, instance, "fill", 2049 << 16).unwrap();
        call::<i32, (), ()>(store, instance, "fill", (2049 << 16) + 1).unwrap_err();
    });
}

pub fn a_dynamic_heap_grows_to_the_configured_limit(setting: &Setting) {
    for (maximum, limit) in [(None, 6), (Some(2), 2), (Some(5), 5), (Some(6), 6), (Some(7), 6)] {
        let engine = setting.engine_with(|config| {
            config.heap_alloc_strategy(HeapAllocStrategy::Dynamic { maximum_pages: maximum });
        });
        let mut guest = setting.guest_in(&engine, GROWING, |_| {});
        for _ in 0..3 {
            guest.with((), |store, instance| {
                ends_after(store, instance, 2);
                let room = limit as i32 - 2;
                assert_eq!(grow(store, instance, room + 1), -1, "past the limit");
                assert_eq!(grow(store, instance, room), 2, "to the limit");
                assert_eq!(grow(store, instance, 1), -1, "at the limit");
                if room > 0 {
                    ends_after(store, instance, limit);
                }
            });
        }
    }
    let engine = setting.engine_with(|config| {
        config.heap_alloc_strategy(HeapAllocStrategy::Dynamic { maximum_pages: Some(1) });
    });
    let error = super::try_load(&engine, &super::compile(GROWING)).unwrap_err();
    let expected = LimitError { limit: "maximum_pages", allowed: 1, required: 2 };
    assert_eq!(error.downcast_ref(), Some(&expected), "{error:?}");
}

pub fn an_imported_memory_grows_to_its_own_limit(setting: &Setting) {
    let importing = GROWING.replace(r#"(memory (export "memory") 2 6)"#, r#"(import "env" "memory" (memory 2 6))"#);
    // Made by the host, which says how large it can be.
    let engine = setting.engine();
    let user = module(&engine, &importing);
    for (minimum, maximum) in [(2, 6), (2, 4), (3, 3), (2, 2)] {
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(minimum, Some(maximum))).unwrap();
        let instance = Instance::new(&mut store, &user, &[Extern::from(memory)]).unwrap();
        for _ in 0..2 {
            ends_after(&mut store, instance, minimum);
            let room = (maximum - minimum) as i32;
            assert_eq!(grow(&mut store, instance, room + 1), -1);
            assert_eq!(grow(&mut store, instance, room), minimum as i32);
            assert_eq!(grow(&mut store, instance, 1), -1);
            if room > 0 {
                ends_after(&mut store, instance, maximum);
            }
            assert_eq!(memory.size(&store), maximum.into());
            store.reset().unwrap();
        }
    }
    for (minimum, maximum) in [(2, Some(7)), (2, None), (1, Some(6))] {
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(minimum, maximum)).unwrap();
        Instance::new(&mut store, &user, &[Extern::from(memory)]).unwrap_err();
    }
    // Of another instance, whose limits are the engine's.
    for (heap, first, limit) in [
        (HeapAllocStrategy::Static { extra_pages: 2 }, 4, 4),
        (HeapAllocStrategy::Dynamic { maximum_pages: Some(4) }, 2, 4),
        (HeapAllocStrategy::Dynamic { maximum_pages: None }, 2, 6),
    ] {
        let engine = setting.engine_with(|config| {
            config.heap_alloc_strategy(heap);
            if config_has_one_slot(setting) {
                // Both instances need a slot.
                let limits = super::settings::LIMITS;
                config.allocation_strategy(limits);
            }
        });
        let (owner, user) = (module(&engine, GROWING), module(&engine, &importing));
        let owner = pre(&owner);
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let owner = owner.instantiate(&mut store).unwrap();
            let memory = owner.get_memory(&mut store, "memory").unwrap();
            let user = Instance::new(&mut store, &user, &[Extern::from(memory)]).unwrap();
            ends_after(&mut store, user, first);
            assert_eq!(grow(&mut store, user, (limit - first) as i32 + 1), -1);
            assert_eq!(grow(&mut store, user, (limit - first) as i32), first as i32);
            assert_eq!(grow(&mut store, owner, 1), -1);
            assert_eq!(size(&mut store, owner), limit as i32);
        }
    }
}

/// Whether there is a pool in which one instance finds no second place.
fn config_has_one_slot(setting: &Setting) -> bool {
    setting.engine().pool_metrics().is_some_and(|metrics| metrics.slots == 1)
}

pub fn the_tail_of_a_memory_is_inaccessible_again(setting: &Setting) {
    let mut guest = setting.guest(GROWING);
    for by_host in [false, true, false, true] {
        guest.with((), |store, instance| {
            ends_after(store, instance, 2);
            match by_host {
                false => assert_eq!(grow(store, instance, 4), 2),
                true => {
                    let memory = instance.get_memory(&mut *store, "memory").unwrap();
                    memory.grow(&mut *store, 4).unwrap();
                    memory.data_mut(&mut *store).fill(0xdd);
                    memory.data_mut(&mut *store)[(6 << 16) - 1] = 0;
                }
            }
            ends_after(store, instance, 6);
        });
    }
}

pub fn smaller_and_larger_modules_follow_one_another(setting: &Setting) {
    let engine = setting.engine();
    let sized = |first: u32, most: u32| GROWING.replace("2 6)", &format!("{first} {most})"));
    let sizes = [(2, 3), (20, 30), (1, 1), (300, 310), (0, 4), (5, 5)];
    let mut guests = sizes.map(|(first, most)| (first, most, setting.guest_in(&engine, &sized(first, most), |_| {})));
    for round in 0..3 {
        for (first, most, guest) in &mut guests {
            let work = |store: &mut Store<()>, instance: Instance| {
                let memory = instance.get_memory(&mut *store, "memory").unwrap();
                assert!(memory.data(&*store).iter().all(|byte| *byte == 0), "{first} pages, round {round}");
                if *first > 0 {
                    ends_after(store, instance, *first);
                }
                let delta = (*most - *first) as i32;
                assert_eq!(grow(store, instance, delta), *first as i32);
                assert!(memory.data(&*store)[(*first as usize) << 16..].iter().all(|byte| *byte == 0));
                if delta > 0 {
                    ends_after(store, instance, *most);
                }
                memory.data_mut(&mut *store).fill(0xcc);
            };
            guest.with((), work);
        }
    }
}

pub fn several_memories_are_as_at_first(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module
            (memory $a (export "a") 1 4) (memory $b (export "b") 3 5) (memory $c (export "c") 0 2)
            (data (memory $a) (i32.const 10) "in a") (data (memory $b) (i32.const 150000) "in b")
            (func (export "spoil")
                (drop (memory.grow $a (i32.const 3))) (drop (memory.grow $b (i32.const 2)))
                (drop (memory.grow $c (i32.const 2)))
                (memory.fill $a (i32.const 0) (i32.const 1) (i32.const 262144))
                (memory.fill $b (i32.const 0) (i32.const 2) (i32.const 327680))
                (memory.fill $c (i32.const 0) (i32.const 3) (i32.const 131072)))
            (func (export "load a") (param i32) (result i32) (i32.load8_u $a (local.get 0)))
            (func (export "load b") (param i32) (result i32) (i32.load8_u $b (local.get 0)))
            (func (export "load c") (param i32) (result i32) (i32.load8_u $c (local.get 0))))"#,
    );
    for _ in 0..4 {
        guest.with((), |store, instance| {
            for (name, pages, at, content) in [("a", 1, 10, "in a"), ("b", 3, 150_000, "in b"), ("c", 0, 0, "")] {
                let memory = instance.get_memory(&mut *store, name).unwrap();
                let bytes = memory.data(&*store);
                assert_eq!(bytes.len(), pages << 16);
                let mut expected = vec![0; pages << 16];
                expected[at..at + content.len()].copy_from_slice(content.as_bytes());
                assert!(bytes == expected, "{name}");
                let load = format!("load {name}");
                let error = call::<i32, i32, ()>(store, instance, &load, (pages << 16) as i32).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{name}");
            }
            call::<(), (), ()>(store, instance, "spoil", ()).unwrap();
            assert_eq!(call::<i32, i32, ()>(store, instance, "load b", 300_000).unwrap(), 2);
        });
    }
}

pub fn a_module_without_memory_works(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module (global $g (mut i32) (i32.const 4)) (table 2 9 funcref) (elem (i32.const 1) func $f)
            (func $f (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) global.get $g)
            (func (export "run") (result i32)
                (drop (table.grow (ref.func $f) (i32.const 7)))
                (i32.add (call_indirect (result i32) (i32.const 1)) (i32.mul (i32.const 100) (table.size)))))"#,
    );
    for _ in 0..4 {
        assert_eq!(guest.number("run").unwrap(), 905);
    }
}
