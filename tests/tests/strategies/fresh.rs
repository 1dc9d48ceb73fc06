//! A call sees exactly the state after instantiation, whatever the call before
//! has changed.

use super::call;
use super::settings::Setting;
use std::sync::{Arc, Mutex};
use wasmc_loader::{
    Extern, ExternRef, Global, GlobalType, Instance, Linker, Mutability, Ref, Store, Table, Trap, Val, ValType,
};

/// Calls often enough that slots are used again, several times.
const ROUNDS: i32 = 4;

pub fn statics_and_zeros_are_as_at_first(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module (memory 2)
            (data (i32.const 8) "\2a\00\00\00")
            (func (export "data") (result i32)
                (i32.load (i32.const 8)) (i32.store (i32.const 8) (i32.const -1)))
            (func (export "bss") (result i32)
                (i32.load (i32.const 100000)) (i32.store (i32.const 100000) (i32.const -1)))
            (func (export "stack") (result i32)
                (i32.load (i32.const 131068)) (i32.store (i32.const 131068) (i32.const -1))))"#,
    );
    for round in 0..ROUNDS {
        for (name, first) in [("data", 42), ("bss", 0), ("stack", 0)] {
            guest.with((), |store, instance| {
                assert_eq!(call::<(), i32, ()>(store, instance, name, ()).unwrap(), first, "{name}, round {round}");
                assert_eq!(call::<(), i32, ()>(store, instance, name, ()).unwrap(), -1, "{name} is not changed");
            });
        }
    }
}

pub fn globals_are_as_at_first_after_a_trap(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module (memory 1) (global $g (export "g") (mut i32) (i32.const 7))
            (func (export "get") (result i32) global.get $g)
            (func (export "trap") (global.set $g (i32.const 8)) (i32.store (i32.const 65533) (i32.const 1))))"#,
    );
    for _ in 0..ROUNDS {
        guest.with((), |store, instance| {
            assert_eq!(call::<(), i32, ()>(store, instance, "get", ()).unwrap(), 7);
            let error = call::<(), (), ()>(store, instance, "trap", ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            assert_eq!(call::<(), i32, ()>(store, instance, "get", ()).unwrap(), 8, "the trap came after the change");
        });
    }
}

pub fn globals_of_every_type_are_as_at_first(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module
            (global (export "i32") (mut i32) (i32.const -5))
            (global (export "i64") (mut i64) (i64.add (i64.const 1) (i64.const 0x7ffffffffffffff0)))
            (global (export "f32") (mut f32) (f32.const 1.5))
            (global (export "f64") (mut f64) (f64.const -0x1p-1022))
            (global (export "v128") (mut v128) (v128.const i64x2 3 -4))
            (global (export "func") (mut funcref) (ref.func $five))
            (global (export "extern") (mut externref) (ref.null extern))
            (func $five (result i32) i32.const 5))"#,
    );
    for _ in 0..ROUNDS {
        guest.with((), |store, instance| {
            let external = ExternRef::new(&mut *store, "a value").unwrap();
            let mut global = |name| instance.get_global(&mut *store, name).unwrap();
            let all = ["i32", "i64", "f32", "f64", "v128", "func", "extern"].map(&mut global);
            let values = all.map(|global| global.get(&mut *store));
            assert_eq!(values[0].unwrap_i32(), -5);
            assert_eq!(values[1].unwrap_i64(), 0x7fff_ffff_ffff_fff1);
            assert_eq!(values[2].f32().unwrap().to_bits(), 1.5f32.to_bits());
            assert_eq!(values[3].f64().unwrap().to_bits(), (-f64::MIN_POSITIVE).to_bits());
            assert_eq!(values[4].v128().unwrap().as_u128(), (!3 << 64) | 3);
            let Val::FuncRef(Some(func)) = values[5] else { panic!("{:?}", values[5]) };
            assert_eq!(func.typed::<(), i32>(&*store).unwrap().call(&mut *store, ()).unwrap(), 5);
            assert!(matches!(values[6], Val::ExternRef(None)), "{:?}", values[6]);
            let others = [
                Val::I32(1),
                Val::I64(2),
                Val::F32(3),
                Val::F64(4),
                Val::V128(5.into()),
                Val::FuncRef(None),
                Val::ExternRef(Some(external)),
            ];
            for (global, value) in all.iter().zip(others) {
                global.set(&mut *store, value).unwrap();
            }
        });
    }
}

pub fn the_size_of_a_memory_is_as_at_first(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module (memory (export "memory") 1 20)
            (func (export "size") (result i32) memory.size)
            (func (export "grow") (param i32) (result i32)
                (memory.grow (local.get 0))
                (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const -1)))
            (func (export "last") (param i32) (result i32) (i32.load (local.get 0))))"#,
    );
    for round in 0..ROUNDS {
        guest.with((), |store, instance| {
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            assert_eq!(call::<(), i32, ()>(store, instance, "size", ()).unwrap(), 1);
            assert_eq!((memory.size(&*store), memory.data_size(&*store)), (1, 65_536));
            for (delta, old) in [(round, 1), (3, 1 + round)] {
                assert_eq!(call::<i32, i32, ()>(store, instance, "grow", delta).unwrap(), old);
            }
            assert_eq!(memory.grow(&mut *store, 2).unwrap(), 4 + round as u64);
            // Of what has grown, only what this call wrote is not zero.
            let ends = [1, 1 + round as usize, 4 + round as usize].map(|pages| pages * 65_536);
            for (at, byte) in memory.data(&*store).iter().enumerate() {
                let written = ends[1..].iter().any(|end| (end - 4..*end).contains(&at));
                assert_eq!(*byte, if written { 0xff } else { 0 }, "{at}, round {round}");
            }
        });
    }
}

pub fn tables_are_as_at_first_in_content_and_size(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module
            (type $number (func (result i32)))
            (table $fixed 3 3 funcref)
            (table $growing (export "growing") 2 3000 funcref)
            (table $external (export "external") 4 100 externref)
            (elem (table $fixed) (i32.const 0) func $one $two)
            (elem (table $growing) (i32.const 0) func $two $one)
            (func $one (type $number) i32.const 1) (func $two (type $number) i32.const 2)
            (func (export "fixed") (param i32) (result i32) (call_indirect $fixed (type $number) (local.get 0)))
            (func (export "growing call") (param i32) (result i32)
                (call_indirect $growing (type $number) (local.get 0)))
            (func (export "sizes") (result i32 i32 i32)
                (table.size $fixed) (table.size $growing) (table.size $external))
            (func (export "change") (param externref)
                (table.set $fixed (i32.const 0) (ref.null func))
                (table.copy $fixed $fixed (i32.const 2) (i32.const 1) (i32.const 1))
                (table.fill $growing (i32.const 0) (ref.null func) (i32.const 2))
                (drop (table.grow $growing (ref.func $one) (i32.const 2000)))
                (drop (table.grow $external (local.get 0) (i32.const 50)))
                (table.fill $external (i32.const 0) (local.get 0) (i32.const 54))))"#,
    );
    for _ in 0..ROUNDS {
        guest.with((), |store, instance| {
            let sizes = call::<(), (i32, i32, i32), ()>(store, instance, "sizes", ()).unwrap();
            assert_eq!(sizes, (3, 2, 4));
            let mut element = |name, index| call::<i32, i32, ()>(store, instance, name, index);
            assert_eq!([element("fixed", 0).unwrap(), element("fixed", 1).unwrap()], [1, 2]);
            assert_eq!(element("fixed", 2).unwrap_err().downcast_ref(), Some(&Trap::IndirectCallToNull));
            assert_eq!([element("growing call", 0).unwrap(), element("growing call", 1).unwrap()], [2, 1]);
            assert_eq!(element("growing call", 2).unwrap_err().downcast_ref(), Some(&Trap::UndefinedElement));
            let external = instance.get_table(&mut *store, "external").unwrap();
            assert!((0..4).all(|index| external.get(&mut *store, index).unwrap().is_null()));
            let growing = instance.get_table(&mut *store, "growing").unwrap();
            // What has grown before must not shine through when it grows again.
            growing.grow(&mut *store, 5, Ref::Func(None)).unwrap();
            assert!((2..7).all(|index| growing.get(&mut *store, index).unwrap().is_null()));
            let value = ExternRef::new(&mut *store, 1u8).unwrap();
            let change = instance.get_func(&mut *store, "change").unwrap();
            change.call(&mut *store, &[Val::ExternRef(Some(value))], &mut []).unwrap();
            let sizes = call::<(), (i32, i32, i32), ()>(store, instance, "sizes", ()).unwrap();
            assert_eq!(sizes, (3, 2007, 54));
            assert_eq!(call::<i32, i32, ()>(store, instance, "fixed", 2).unwrap(), 2);
        });
    }
}

pub fn dropped_segments_are_there_again(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module (memory 1) (table 4 funcref)
            (data $d "\11\22") (elem $e func $one)
            (func $one (result i32) i32.const 1)
            (func (export "use") (result i32)
                (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2))
                (table.init $e (i32.const 1) (i32.const 0) (i32.const 1))
                (data.drop $d) (elem.drop $e)
                (i32.add (i32.load16_u (i32.const 0)) (call_indirect (result i32) (i32.const 1))))
            (func (export "data again") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))
            (func (export "elem again") (table.init $e (i32.const 1) (i32.const 0) (i32.const 1))))"#,
    );
    for _ in 0..ROUNDS {
        guest.with((), |store, instance| {
            assert_eq!(call::<(), i32, ()>(store, instance, "use", ()).unwrap(), 0x2211 + 1);
            let again = |store: &mut Store<()>, name| call::<(), (), ()>(store, instance, name, ()).unwrap_err();
            assert_eq!(again(store, "data again").downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            assert_eq!(again(store, "elem again").downcast_ref(), Some(&Trap::TableOutOfBounds));
        });
    }
}

pub fn what_the_host_changed_is_as_at_first(setting: &Setting) {
    let mut guest = setting.guest(
        r#"(module
            (memory (export "memory") 2 4) (data (i32.const 0) "first")
            (table (export "table") 2 5 funcref) (elem (i32.const 1) func 0)
            (global (export "global") (mut i64) (i64.const 3))
            (func (export "f")))"#,
    );
    for round in 0..ROUNDS {
        guest.with((), |store, instance| {
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let table = instance.get_table(&mut *store, "table").unwrap();
            let global = instance.get_global(&mut *store, "global").unwrap();
            let bytes = memory.data(&*store);
            assert!(bytes.len() == 2 << 16 && &bytes[..5] == b"first" && bytes[5..].iter().all(|byte| *byte == 0));
            assert_eq!((table.size(&*store), global.get(&mut *store).unwrap_i64()), (2, 3));
            assert!(table.get(&mut *store, 0).unwrap().is_null());
            assert!(!table.get(&mut *store, 1).unwrap().is_null());
            // By every way that the host has of writing, one at a time.
            match round {
                0 => memory.write(&mut *store, 3, b"by a copy").unwrap(),
                1 => memory.data_mut(&mut *store).fill(9),
                2 => {
                    memory.grow(&mut *store, 2).unwrap();
                    memory.write(&mut *store, 70_000, &[1; 100_000]).unwrap();
                }
                // SAFETY: the memory has two pages.
                _ => unsafe { memory.data_ptr(&*store).add(131_071).write(7) },
            }
            table.grow(&mut *store, 3, Ref::Func(None)).unwrap();
            table.fill(&mut *store, 0, Ref::Func(None), 5).unwrap();
            global.set(&mut *store, Val::I64(4)).unwrap();
        });
    }
    guest.with((), |store, instance| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        assert_eq!(memory.data(&*store)[131_071], 0);
    });
}

pub fn the_start_function_runs_for_every_call(setting: &Setting) {
    let text = r#"(module (import "host" "started" (func $started (param i32)))
        (memory 1) (global $calls (mut i32) (i32.const 0))
        (func $start
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (global.get $calls)))
            (call $started (i32.load (i32.const 4))))
        (func (export "get") (result i32) (i32.load (i32.const 4)))
        (start $start))"#;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let mut guest = setting.guest_in::<()>(&setting.engine(), text, |linker| {
        linker.func_wrap("host", "started", move |value: i32| keep.lock().unwrap().push(value)).unwrap();
    });
    for _ in 0..ROUNDS {
        assert_eq!(guest.number("get").unwrap(), 1);
    }
    assert_eq!(*seen.lock().unwrap(), [1; ROUNDS as usize]);
}

pub fn every_byte_that_was_written_is_as_at_first(setting: &Setting) {
    // Few pages, many pages, pages far apart: more than are remembered, and
    // more than may be kept. Data in some of them.
    let mut guest = setting.guest(
        r#"(module (memory (export "memory") 40)
            (data (i32.const 5000) "here") (data (i32.const 1000000) "there") (data (i32.const 2621000) "and there")
            (func (export "write") (param $from i32) (param $step i32)
                (loop $next
                    (i32.store8 (local.get $from) (i32.const 0xee))
                    (local.set $from (i32.add (local.get $from) (local.get $step)))
                    (br_if $next (i32.lt_u (local.get $from) (i32.const 2621440))))))"#,
    );
    let mut first = None;
    let patterns = [(0, 1 << 22), (7, 4096), (4095, 65_536), (0, 1), (1_000_001, 1 << 20), (100, 20_000), (5000, 8192)];
    for (from, step) in [patterns, patterns].concat() {
        guest.with((), |store, instance| {
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let bytes = memory.data(&*store);
            match &first {
                None => first = Some(bytes.to_vec()),
                Some(first) => assert!(bytes == first, "before writing every {step} bytes from {from} on"),
            }
            call::<(i32, i32), (), ()>(store, instance, "write", (from, step)).unwrap();
            assert_eq!(memory.data(&*store)[from as usize], 0xee);
        });
    }
    let first = first.unwrap();
    assert_eq!((&first[5000..5004], &first[1_000_000..1_000_005]), (&b"here"[..], &b"there"[..]));
}

/// Instances in pools remember how they were filled: that must not be taken
/// for other imports.
pub fn imported_values_of_one_store_do_not_reach_the_next(setting: &Setting) {
    let engine = setting.engine();
    let module = super::module(
        &engine,
        r#"(module
            (import "e" "g" (global $g i32)) (import "e" "t" (table $t 1 externref)) (import "e" "f" (func $f (result i32)))
            (memory (export "memory") 1)
            (global $copy (export "copy") (mut i32) (i32.add (global.get $g) (i32.const 1)))
            (global $function (mut funcref) (ref.func $f))
            (table $own 1 funcref) (elem (table $own) (i32.const 0) func $f)
            (data (global.get $g) "\01")
            (func (export "get") (result i32) global.get $copy)
            (func (export "call") (result i32) (call_indirect $own (result i32) (i32.const 0))))"#,
    );
    for value in [5, 6, 7, 8, 5] {
        let mut store = Store::new(&engine, ());
        let ty = GlobalType::new(ValType::I32, Mutability::Const);
        let global = Global::new(&mut store, ty, Val::I32(value)).unwrap();
        let ty = wasmc_loader::TableType::new(ValType::EXTERNREF, 1, None);
        let table = Table::new(&mut store, ty, Ref::Extern(None)).unwrap();
        let func = wasmc_loader::Func::wrap(&mut store, move || value * 10);
        let imports = [Extern::from(global), table.into(), func.into()];
        let instance = Instance::new(&mut store, &module, &imports).unwrap();
        assert_eq!(call::<(), i32, ()>(&mut store, instance, "get", ()).unwrap(), value + 1);
        assert_eq!(call::<(), i32, ()>(&mut store, instance, "call", ()).unwrap(), value * 10);
        let bytes = instance.get_memory(&mut store, "memory").unwrap().data(&store);
        assert_eq!(bytes.iter().position(|byte| *byte == 1), Some(value as usize));
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 1);
        instance.get_global(&mut store, "copy").unwrap().set(&mut store, Val::I32(0)).unwrap();
    }
    // The same by a linker: host functions that are for any store.
    for value in [5, 6, 7] {
        let text = r#"(module (import "e" "f" (func $f (result i32))) (global (export "g") (mut funcref) (ref.func $f))
            (func (export "call") (result i32) (call $f)))"#;
        let module = super::module(&engine, text);
        let mut linkers = [value, value + 10].map(|value| {
            let mut linker = Linker::<()>::new(&engine);
            linker.func_wrap("e", "f", move || value).unwrap();
            (linker.instantiate_pre(&module).unwrap(), value)
        });
        for _ in 0..ROUNDS {
            linkers.reverse();
            let (pre, value) = &linkers[0];
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            assert_eq!(call::<(), i32, ()>(&mut store, instance, "call", ()).unwrap(), *value);
            let global = instance.get_global(&mut store, "g").unwrap().get(&mut store);
            let Val::FuncRef(Some(func)) = global else { panic!("{global:?}") };
            assert_eq!(func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), *value);
        }
    }
}
