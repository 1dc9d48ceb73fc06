//! Imports from linkers and from other instances.

use super::{module, with_data};
use wasmc_loader::{
    Engine, Extern, ExternType, Func, Global, GlobalType, Instance, LinkError, Linker, Memory, MemoryType, Mutability,
    Ref, Store, Table, TableType, Trap, UnknownImportError, Val, ValType,
};

#[test]
fn all_missing_and_mismatching_imports_are_named_at_once() {
    let engine = Engine::default();
    let text = r#"(module
        (import "a" "missing" (func (param i32)))
        (import "a" "wrong" (func (param i32) (result i64)))
        (import "a" "right" (func))
        (import "b" "memory" (memory 2 3))
        (import "b" "table" (table 1 funcref))
        (import "b" "global" (global (mut i32))))"#;
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("a", "wrong", |_: i64| 0i32).unwrap();
    linker.func_wrap("a", "right", || {}).unwrap();
    let memory = Memory::new(&mut store, MemoryType::new(2, None)).unwrap();
    linker.define(&store, "b", "memory", memory).unwrap();
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(1)).unwrap();
    linker.define(&store, "b", "global", global).unwrap();
    for error in [linker.instantiate_pre(&module).err(), linker.instantiate(&mut store, &module).err()] {
        let error = error.unwrap();
        let problems = error.downcast_ref::<LinkError>().unwrap().problems();
        let names: Vec<_> = problems.iter().map(|p| (p.module(), p.name(), p.found().is_some())).collect();
        let expected = [
            ("a", "missing", false),
            ("a", "wrong", true),
            ("b", "memory", true),
            ("b", "table", false),
            ("b", "global", true),
        ];
        assert_eq!(names, expected);
        let text = error.to_string();
        for part in [
            "5 imports",
            "`missing` from `a`: expected function (i32) -> (), found nothing",
            "expected function (i32) -> (i64), found function (i64) -> (i32)",
            "expected memory of 2..=3 pages, found memory of 2.. pages",
            "expected global (mut i32), found global i32",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}

#[test]
fn everything_of_one_instance_can_be_imported_by_another() {
    let engine = Engine::default();
    let owner = module(
        &engine,
        r#"(module
            (memory (export "memory") 1 4)
            (data (i32.const 8) "\2a")
            (table (export "table") 4 8 funcref)
            (global (export "counter") (mut i64) (i64.const 5))
            (global (export "constant") i32 (i32.const 9))
            (global $f (export "f") funcref (ref.func $nine))
            (func $nine (export "nine") (result i32) i32.const 9)
            (elem (i32.const 1) $nine)
            (func (export "read") (param i32) (result i32) local.get 0 i32.load)
            (func (export "size") (result i32) memory.size)
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
    );
    let user = module(
        &engine,
        r#"(module
            (import "owner" "memory" (memory 1 8))
            (import "owner" "table" (table 2 funcref))
            (import "owner" "counter" (global $counter (mut i64)))
            (import "owner" "constant" (global $constant i32))
            (import "owner" "f" (global $f funcref))
            (import "owner" "nine" (func $nine (result i32)))
            (global $copy i32 (global.get $constant))
            (data (i32.const 100) "\07")
            (func $mine (result i32) i32.const 77)
            (elem (i32.const 2) $mine $nine)
            (func (export "write") (param i32 i32) local.get 0 local.get 1 i32.store)
            (func (export "grow") (result i32) (memory.grow (i32.const 1)))
            (func (export "count") (global.set $counter (i64.add (global.get $counter) (i64.const 1))))
            (func (export "sum") (result i32) (i32.add (global.get $copy) (call $nine)))
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
            (func (export "put") (table.set (i32.const 0) (global.get $f)))
            (func (export "more") (result i32) (table.grow (ref.null func) (i32.const 3)))
            (export "memory" (memory 0)) (export "table" (table 0)) (export "counter" (global $counter))
            (export "nine" (func $nine)))"#,
    );
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let owner = linker.instantiate(&mut store, &owner).unwrap();
    linker.instance(&mut store, "owner", owner).unwrap();
    let user = linker.instantiate(&mut store, &user).unwrap();
    let mut call = |instance: Instance, name: &str, params: &[Val]| {
        let func = instance.get_func(&mut store, name).unwrap();
        let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
        func.call(&mut store, params, &mut results).map(|()| results.first().and_then(Val::i32))
    };
    // Memory: images and segments of both, writes seen by the other, growth too.
    assert_eq!(call(owner, "read", &[Val::I32(8)]).unwrap(), Some(42));
    assert_eq!(call(owner, "read", &[Val::I32(100)]).unwrap(), Some(7));
    call(user, "write", &[Val::I32(2000), Val::I32(-3)]).unwrap();
    assert_eq!(call(owner, "read", &[Val::I32(2000)]).unwrap(), Some(-3));
    assert_eq!(call(user, "grow", &[]).unwrap(), Some(1));
    assert_eq!(call(owner, "size", &[]).unwrap(), Some(2));
    assert_eq!(call(owner, "read", &[Val::I32(131_068)]).unwrap(), Some(0));
    let error = call(user, "write", &[Val::I32(131_072), Val::I32(0)]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    // Tables: elements of the owner are computed for the user, and vice versa.
    assert_eq!(call(user, "call", &[Val::I32(1)]).unwrap(), Some(9));
    assert_eq!(call(owner, "call", &[Val::I32(2)]).unwrap(), Some(77));
    assert_eq!(call(owner, "call", &[Val::I32(3)]).unwrap(), Some(9));
    call(user, "put", &[]).unwrap();
    assert_eq!(call(owner, "call", &[Val::I32(0)]).unwrap(), Some(9));
    assert_eq!(call(user, "more", &[]).unwrap(), Some(4));
    assert_eq!(call(user, "sum", &[]).unwrap(), Some(18));
    call(user, "count", &[]).unwrap();
    // Globals, and re-exports.
    let counter = owner.get_global(&mut store, "counter").unwrap();
    assert_eq!(counter.get(&mut store).unwrap_i64(), 6);
    counter.set(&mut store, Val::I64(50)).unwrap();
    let again = user.get_global(&mut store, "counter").unwrap();
    assert_eq!(again.get(&mut store).unwrap_i64(), 50);
    assert_eq!(user.get_table(&mut store, "table").unwrap().size(&store), 7);
    assert_eq!(user.get_memory(&mut store, "memory").unwrap().size(&store), 2);
    let nine = user.get_typed_func::<(), i32>(&mut store, "nine").unwrap();
    assert_eq!(nine.call(&mut store, ()).unwrap(), 9);
}

#[test]
fn entities_of_the_host_can_be_imported() {
    let text = r#"(module
        (import "host" "memory" (memory 1))
        (import "host" "table" (table 2 externref))
        (import "host" "funcs" (table $funcs 1 funcref))
        (import "host" "global" (global $g (mut f64)))
        (func (export "run") (param f64) (result i32)
            (global.set $g (f64.add (global.get $g) (local.get 0)))
            (i32.store8 (i32.const 3) (i32.const 4))
            (table.set 0 (i32.const 1) (table.get 0 (i32.const 0)))
            (call_indirect $funcs (result i32) (i32.const 0))))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap();
    let value = wasmc_loader::ExternRef::new(&mut store, 5u8).unwrap();
    let table = Table::new(&mut store, TableType::new(ValType::EXTERNREF, 2, None), Ref::Extern(None)).unwrap();
    table.set(&mut store, 0, value.into()).unwrap();
    let six = Func::wrap(&mut store, || 6i32);
    let funcs = Table::new(&mut store, TableType::new(ValType::FUNCREF, 1, None), six.into()).unwrap();
    let global = Global::new(&mut store, GlobalType::new(ValType::F64, Mutability::Var), 1.5f64.into()).unwrap();
    let imports: [Extern; 4] = [memory.into(), table.into(), funcs.into(), global.into()];
    let instance = Instance::new(&mut store, &module, &imports).unwrap();
    let run = instance.get_typed_func::<f64, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 2.0).unwrap(), 6);
    assert_eq!(global.get(&mut store).f64(), Some(3.5));
    assert_eq!(memory.data(&store)[3], 4);
    let Some(Ref::Extern(Some(same))) = table.get(&mut store, 1) else { panic!("the element is null") };
    assert!(wasmc_loader::Rooted::ref_eq(&store, &same, &value).unwrap());
}

#[test]
fn unknown_imports_can_be_traps_that_name_themselves() {
    let text = r#"(module
        (import "env" "gone" (func $gone (param i32) (result i64)))
        (func (export "fine") (result i32) i32.const 1)
        (func (export "call") (drop (call $gone (i32.const 1)))))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::new(&engine);
    assert!(linker.instantiate_pre(&module).is_err());
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "fine").unwrap().call(&mut store, ()).unwrap(), 1);
    let error = instance.get_typed_func::<(), ()>(&mut store, "call").unwrap().call(&mut store, ()).unwrap_err();
    let unknown = error.downcast_ref::<UnknownImportError>().unwrap();
    assert_eq!((unknown.module(), unknown.name()), ("env", "gone"));
}

#[test]
fn unknown_imports_can_be_zeros_and_nulls() {
    let text = r#"(module
        (import "env" "f" (func $f (param i32) (result i64 externref)))
        (import "env" "m" (memory 3))
        (import "env" "t" (table 2 funcref))
        (import "env" "g" (global f32))
        (func (export "run") (result i64) (call $f (i32.const 1)) drop))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_default_values(&mut store, &module).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(instance.get_typed_func::<(), i64>(&mut store, "run").unwrap().call(&mut store, ()).unwrap(), 0);
    assert_eq!(linker.get(&mut store, "env", "m").unwrap().into_memory().unwrap().size(&store), 3);
}

#[test]
fn names_are_defined_once_unless_shadowing_is_allowed() {
    let text = r#"(module (import "a" "f" (func $f (result i32))) (func (export "run") (result i32) call $f))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("a", "f", || 1i32).unwrap();
    assert!(linker.func_wrap("a", "f", || 2i32).is_err_and(|e| e.to_string().contains("`f` of `a`")));
    linker.allow_shadowing(true);
    linker.func_wrap("a", "f", || 2i32).unwrap();
    linker.alias("a", "f", "b", "g").unwrap();
    linker.alias_module("a", "c").unwrap();
    let mut store = Store::new(&engine, ());
    for (from, name) in [("a", "f"), ("b", "g"), ("c", "f")] {
        let func = linker.get(&mut store, from, name).unwrap().into_func().unwrap();
        assert_eq!(func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 2);
    }
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "run").unwrap().call(&mut store, ()).unwrap(), 2);
}

#[test]
fn commands_get_a_new_instance_for_each_call_and_reactors_one() {
    let engine = Engine::default();
    let counter = |start: &str| {
        format!(
            r#"(module (global $n (mut i32) (i32.const 0))
            (func (export "{start}") (global.set $n (i32.const 10)))
            (func (export "next") (result i32)
                (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#
        )
    };
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.module(&mut store, "command", &module(&engine, &counter("_start"))).unwrap();
    linker.module(&mut store, "reactor", &module(&engine, &counter("_initialize"))).unwrap();
    let user = r#"(module
        (import "command" "next" (func $c (result i32))) (import "reactor" "next" (func $r (result i32)))
        (func (export "run") (result i32 i32 i32 i32) call $c call $c call $r call $r))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, user)).unwrap();
    let run = instance.get_typed_func::<(), (i32, i32, i32, i32)>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), (1, 1, 11, 12));
    linker.get_default(&mut store, "command").unwrap().call(&mut store, &[], &mut []).unwrap();
}

#[test]
fn a_start_function_runs_and_can_fail() {
    let text = r#"(module (import "host" "check" (func $check (param i32)))
        (global $g (mut i32) (i32.const 1))
        (func $start (global.set $g (i32.const 2)) (call $check (global.get $g)))
        (start $start) (export "g" (global $g)))"#;
    let (mut store, instance) = with_data(Vec::new(), text, |linker| {
        let check = |mut caller: wasmc_loader::Caller<'_, Vec<i32>>, value: i32| caller.data_mut().push(value);
        linker.func_wrap("host", "check", check).unwrap();
    });
    assert_eq!(*store.data(), [2]);
    assert_eq!(instance.get_global(&mut store, "g").unwrap().get(&mut store).unwrap_i32(), 2);

    let engine = Engine::default();
    let failing = module(&engine, "(module (func $start unreachable) (start $start))");
    let error = Instance::new(Store::new(&engine, ()), &failing, &[]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
}

#[test]
fn what_was_written_before_a_segment_trapped_stays() {
    let engine = Engine::default();
    let failing = module(
        &engine,
        r#"(module (import "host" "memory" (memory 1)) (import "host" "table" (table 4 funcref))
            (func $f (result i32) i32.const 3)
            (elem (i32.const 0) $f)
            (data (i32.const 5) "x") (data (i32.const 65535) "yz"))"#,
    );
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let table = Table::new(&mut store, TableType::new(ValType::FUNCREF, 4, None), Ref::Func(None)).unwrap();
    let error = Instance::new(&mut store, &failing, &[memory.into(), table.into()]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    assert_eq!(memory.data(&store)[5], b'x');
    assert_eq!(memory.data(&store)[65535], 0);
    let Some(Ref::Func(Some(f))) = table.get(&mut store, 0) else { panic!("the element is missing") };
    assert_eq!(f.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 3);
}

#[test]
fn one_instance_pre_serves_many_stores() {
    let text = r#"(module (import "host" "add" (func $add (param i32 i32) (result i32)))
        (func (export "run") (param i32) (result i32) local.get 0 i32.const 1 call $add))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::<u32>::new(&engine);
    linker.func_wrap("host", "add", |a: i32, b: i32| a + b).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pre = pre.clone();
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..200 {
                    let mut store = Store::new(engine, thread);
                    let instance = pre.instantiate(&mut store).unwrap();
                    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
                    assert_eq!(run.call(&mut store, i).unwrap(), i + 1);
                }
            });
        }
    });
}

#[test]
fn linking_across_stores_is_refused() {
    let engine = Engine::default();
    let module = module(&engine, r#"(module (import "a" "m" (memory 1)))"#);
    let mut one = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let memory = Memory::new(&mut one, MemoryType::new(1, None)).unwrap();
    assert!(Instance::new(&mut other, &module, &[memory.into()]).unwrap_err().to_string().contains("another store"));
    let mut linker = Linker::new(&engine);
    linker.define(&one, "a", "m", memory).unwrap();
    assert!(linker.instantiate(&mut other, &module).unwrap_err().to_string().contains("another store"));
    linker.instantiate(&mut one, &module).unwrap();
}

#[test]
fn a_module_describes_its_imports_and_exports() {
    let engine = Engine::default();
    let text = r#"(module $named
        (import "a" "f" (func (param i32) (result f32)))
        (import "a" "g" (global (mut i64)))
        (func (export "z") (param v128))
        (memory (export "a") 1 2)
        (table (export "m") 3 externref)
        (export "f" (func 0)))"#;
    let module = module(&engine, text);
    assert_eq!(module.name(), Some("named"));
    let imports: Vec<_> = module.imports().map(|i| format!("{}.{}: {}", i.module(), i.name(), i.ty())).collect();
    assert_eq!(imports, ["a.f: function (i32) -> (f32)", "a.g: global (mut i64)"]);
    let exports: Vec<_> = module.exports().map(|e| format!("{}: {}", e.name(), e.ty())).collect();
    assert_eq!(
        exports,
        [
            "z: function (v128) -> ()",
            "a: memory of 1..=2 pages",
            "m: table of externref 3..",
            "f: function (i32) -> (f32)"
        ]
    );
    assert_eq!(module.get_export("m"), Some(ExternType::Table(TableType::new(ValType::EXTERNREF, 3, None))));
    assert_eq!(module.get_export("y"), None);
}
