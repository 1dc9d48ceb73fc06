//! Memories, tables and globals, as the host uses them.

use super::{alone, module};
use wasmc_loader::{Engine, Func, Linker, Memory, MemoryType, Ref, Store, Table, TableType, Trap, Val, ValType};

#[test]
fn memories_grow_to_their_maximum_and_no_further() {
    let text = r#"(module (memory (export "memory") 1 3)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
    let (mut store, instance) = alone(text);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
    let base = memory.data_ptr(&store);
    memory.write(&mut store, 65535, &[9]).unwrap();
    assert!(memory.write(&mut store, 65535, &[9, 9]).is_err());
    assert!(memory.read(&store, usize::MAX, &mut [0]).is_err());
    assert_eq!(grow.call(&mut store, 1).unwrap(), 1);
    assert_eq!(memory.size(&store), 2);
    assert_eq!(load.call(&mut store, 131_071).unwrap(), 0);
    assert!(load.call(&mut store, 131_072).is_err());
    assert_eq!(grow.call(&mut store, 2).unwrap(), -1);
    assert_eq!(grow.call(&mut store, -1).unwrap(), -1);
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 2);
    let error = memory.grow(&mut store, 1).unwrap_err().to_string();
    assert!(error.contains("memory of 3..=3 pages") && error.contains("by 1"), "{error}");
    assert_eq!(memory.grow(&mut store, 0).unwrap(), 3);
    assert_eq!(memory.data_ptr(&store), base, "a memory has moved");
    assert_eq!(memory.data(&store)[65535], 9);
    assert_eq!(memory.data_size(&store), 3 * 65536);
    assert_eq!(memory.ty(&store), MemoryType::new(3, Some(3)));
}

#[test]
fn a_memory_without_a_maximum_grows_to_four_gib() {
    let (mut store, instance) = alone(r#"(module (memory (export "memory") 0))"#);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(memory.data(&store).is_empty());
    assert_eq!(memory.grow(&mut store, 65536).unwrap(), 0);
    assert!(memory.grow(&mut store, 1).is_err());
    memory.data_mut(&mut store)[u32::MAX as usize] = 1;
    assert_eq!(memory.data(&store)[u32::MAX as usize], 1);
}

#[test]
fn instances_of_one_module_do_not_see_each_others_writes() {
    let engine = Engine::default();
    let text = r#"(module (memory (export "memory") 4) (data (i32.const 1000) "original")
        (data (i32.const 200000) "far away")
        (global (export "g") (mut i32) (i32.const 7))
        (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "write") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))"#;
    let module = module(&engine, text);
    let linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let first = linker.instantiate(&mut store, &module).unwrap();
    let second = linker.instantiate(&mut store, &module).unwrap();
    let write = first.get_typed_func::<(i32, i32), ()>(&mut store, "write").unwrap();
    for at in [1000, 200_000, 70_000] {
        write.call(&mut store, (at, 0)).unwrap();
    }
    first.get_global(&mut store, "g").unwrap().set(&mut store, Val::I32(0)).unwrap();
    let third = linker.instantiate(&mut store, &module).unwrap();
    for instance in [second, third] {
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(&memory.data(&store)[1000..1008], b"original");
        assert_eq!(&memory.data(&store)[200_000..200_008], b"far away");
        assert_eq!(instance.get_global(&mut store, "g").unwrap().get(&mut store).unwrap_i32(), 7);
    }
    let memory = first.get_memory(&mut store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[1000..1008], b"\0riginal");
}

#[test]
fn tables_can_be_read_written_and_grown_by_the_host() {
    let text = r#"(module
        (table (export "table") 2 5 funcref)
        (func $one (export "one") (result i32) i32.const 1)
        (elem (i32.const 1) $one)
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
        (func (export "size") (result i32) table.size))"#;
    let (mut store, instance) = alone(text);
    let table = instance.get_table(&mut store, "table").unwrap();
    let call = instance.get_typed_func::<i32, i32>(&mut store, "call").unwrap();
    assert!(table.get(&mut store, 0).unwrap().is_null());
    assert!(table.get(&mut store, 2).is_none());
    let Some(Ref::Func(Some(one))) = table.get(&mut store, 1) else { panic!("element 1 is null") };
    assert_eq!(one.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 1);
    let five = Func::wrap(&mut store, || 5i32);
    table.set(&mut store, 0, five.into()).unwrap();
    assert_eq!(call.call(&mut store, 0).unwrap(), 5);
    assert_eq!(table.grow(&mut store, 3, one.into()).unwrap(), 2);
    assert_eq!(call.call(&mut store, 4).unwrap(), 1);
    assert!(table.grow(&mut store, 1, one.into()).is_err());
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "size").unwrap().call(&mut store, ()).unwrap(), 5);
    table.fill(&mut store, 1, Ref::Func(None), 2).unwrap();
    assert_eq!(call.call(&mut store, 1).unwrap_err().downcast_ref(), Some(&Trap::IndirectCallToNull));
    Table::copy(&mut store, &table, 1, &table, 0, 2).unwrap();
    assert_eq!(call.call(&mut store, 1).unwrap(), 5);
    assert!(table.set(&mut store, 5, one.into()).is_err());
    assert!(table.set(&mut store, 0, Ref::Extern(None)).unwrap_err().to_string().contains("funcref"));
    assert_eq!(table.ty(&store), TableType::new(ValType::FUNCREF, 5, Some(5)));
}

#[test]
fn bulk_operations_on_tables_compute_elements_where_they_came_from() {
    let text = r#"(module
        (table $a (export "a") 4 funcref) (table $b (export "b") 4 funcref)
        (func $f0 (result i32) i32.const 10) (func $f1 (result i32) i32.const 11)
        (elem (table $a) (i32.const 0) func $f0 $f1)
        (elem $p func $f1 $f0)
        (func (export "copy") (table.copy $b $a (i32.const 1) (i32.const 0) (i32.const 3)))
        (func (export "overlap") (table.copy $a $a (i32.const 1) (i32.const 0) (i32.const 3)))
        (func (export "init") (table.init $b $p (i32.const 2) (i32.const 0) (i32.const 2)))
        (func (export "drop") (elem.drop $p))
        (func (export "call a") (param i32) (result i32) (call_indirect $a (result i32) (local.get 0)))
        (func (export "call b") (param i32) (result i32) (call_indirect $b (result i32) (local.get 0))))"#;
    let (mut store, instance) = alone(text);
    let mut run = |name: &str| {
        let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        func.call(&mut store, ()).is_ok()
    };
    assert!(run("copy") && run("overlap"));
    let mut call = |name: &str, at: i32| {
        let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        func.call(&mut store, at).ok()
    };
    assert_eq!((0..4).map(|i| call("call b", i)).collect::<Vec<_>>(), [None, Some(10), Some(11), None]);
    assert_eq!((0..4).map(|i| call("call a", i)).collect::<Vec<_>>(), [Some(10), Some(10), Some(11), None]);
    let mut run = |name: &str| {
        let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        func.call(&mut store, ()).is_ok()
    };
    assert!(run("init") && run("drop") && !run("init"));
    let call = instance.get_typed_func::<i32, i32>(&mut store, "call b").unwrap();
    assert_eq!(call.call(&mut store, 2).unwrap(), 11);
    assert_eq!(call.call(&mut store, 3).unwrap(), 10);
}

#[test]
fn globals_keep_their_type_and_mutability() {
    let text = r#"(module
        (global (export "i") i32 (i32.const 3))
        (global (export "v") (mut v128) (v128.const i64x2 1 2))
        (global (export "x") (mut externref) (ref.null extern))
        (global (export "e") (mut i64) (i64.add (i64.const 40) (i64.mul (i64.const 1) (i64.const 2)))))"#;
    let (mut store, instance) = alone(text);
    let mut global = |name: &str| instance.get_global(&mut store, name).unwrap();
    let (i, v, x, e) = (global("i"), global("v"), global("x"), global("e"));
    assert!(i.set(&mut store, Val::I32(1)).is_err());
    assert!(e.set(&mut store, Val::I32(1)).is_err());
    assert_eq!(e.get(&mut store).unwrap_i64(), 42);
    assert_eq!(v.get(&mut store).v128().unwrap().as_u128(), (2 << 64) | 1);
    assert!(matches!(x.get(&mut store), Val::ExternRef(None)));
    let value = wasmc_loader::ExternRef::new(&mut store, 'x').unwrap();
    x.set(&mut store, value.into()).unwrap();
    let Val::ExternRef(Some(same)) = x.get(&mut store) else { panic!("the reference is null") };
    assert!(wasmc_loader::Rooted::ref_eq(&store, &same, &value).unwrap());
}

#[test]
fn objects_of_one_store_panic_in_another() {
    let (mut store, instance) = alone(
        r#"(module (memory (export "m") 1) (func (export "f")) (global (export "g") i32 (i32.const 0)) (table (export "t") 1 funcref))"#,
    );
    let func = instance.get_func(&mut store, "f").unwrap();
    let typed = func.typed::<(), ()>(&store).unwrap();
    let memory = instance.get_memory(&mut store, "m").unwrap();
    let global = instance.get_global(&mut store, "g").unwrap();
    let table = instance.get_table(&mut store, "t").unwrap();
    let engine = Engine::default();
    type Use = Box<dyn Fn(&mut Store<()>)>;
    let uses: [(&str, Use); 7] = [
        ("call", Box::new(move |other| func.call(other, &[], &mut []).unwrap())),
        ("typed call", Box::new(move |other| typed.call(other, ()).unwrap())),
        ("memory", Box::new(move |other| assert_eq!(memory.size(other), 1))),
        ("global", Box::new(move |other| assert!(global.get(other).i32().is_some()))),
        ("table", Box::new(move |other| assert!(table.get(other, 0).is_some()))),
        ("instance", Box::new(move |other| assert!(instance.get_func(other, "f").is_some()))),
        (
            "element",
            Box::new(move |other| {
                Table::new(other, TableType::new(ValType::FUNCREF, 1, None), func.into()).unwrap();
            }),
        ),
    ];
    for (name, action) in uses {
        let mut other = Store::new(&engine, ());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| action(&mut other)));
        let payload = outcome.expect_err(name);
        let message =
            payload.downcast_ref::<&str>().map(ToString::to_string).or(payload.downcast_ref::<String>().cloned());
        assert!(message.unwrap().contains("belongs to the store it was made in"), "{name}");
    }
    assert!(Memory::new(&mut store, MemoryType::new(3, Some(2))).is_err());
}

#[test]
fn an_instance_in_a_used_slot_is_as_good_as_new() {
    let text = r#"(module
        (memory (export "memory") 3 10) (data (i32.const 65540) "image")
        (table 8 funcref) (table $big (export "big") 10 funcref)
        (global $g (mut i64) (i64.const 5))
        (func $f (result i32) i32.const 1)
        (elem (i32.const 2) $f) (elem $p func $f) (data $d "passive")
        (func (export "dirty")
            (i32.store (i32.const 65540) (i32.const 0)) (i32.store (i32.const 8) (i32.const 1))
            (drop (memory.grow (i32.const 4))) (i32.store (i32.const 400000) (i32.const 1))
            (memory.init $d (i32.const 131072) (i32.const 0) (i32.const 7))
            (global.set $g (i64.const 0)) (table.set 0 (i32.const 2) (ref.null func))
            (table.set 0 (i32.const 3) (ref.func $f)) (table.set $big (i32.const 9) (ref.func $f))
            (drop (table.grow $big (ref.func $f) (i32.const 100)))
            (data.drop $d) (elem.drop $p))
        (func (export "state") (result i64 i32 i32 i32 i32)
            (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
            (table.init 0 $p (i32.const 7) (i32.const 0) (i32.const 1))
            (global.get $g) (ref.is_null (table.get 0 (i32.const 2))) (ref.is_null (table.get 0 (i32.const 3)))
            (ref.is_null (table.get $big (i32.const 9))) (table.size $big))
        (func (export "beyond") (result i32) (i32.load (i32.const 400000))))"#;
    for spare in [0, 1, 8] {
        let engine = Engine::new(wasmc_loader::Config::new().spare_slots(spare)).unwrap();
        let module = module(&engine, text);
        let linker = Linker::new(&engine);
        for round in 0..5 {
            let mut store = Store::new(&engine, ());
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            let mut expected = vec![0; 3 * 65536];
            expected[65540..65545].copy_from_slice(b"image");
            assert!(memory.data(&store) == expected, "memory differs in round {round} with {spare} spare slots");
            let beyond = instance.get_typed_func::<(), i32>(&mut store, "beyond").unwrap();
            assert_eq!(beyond.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            let state = instance.get_typed_func::<(), (i64, i32, i32, i32, i32)>(&mut store, "state").unwrap();
            assert_eq!(state.call(&mut store, ()).unwrap(), (5, 0, 1, 1, 10));
            instance.get_typed_func::<(), ()>(&mut store, "dirty").unwrap().call(&mut store, ()).unwrap();
            beyond.call(&mut store, ()).unwrap();
        }
    }
}
