//! `Instance::reset` and `Store::reset`, under every strategy.

use super::settings::config;
use super::{call, module};
use std::sync::Arc;
use wasmc_loader::{
    Caller, Engine, ExternRef, Func, Global, GlobalType, Instance, InstantiationStrategy, Linker, Memory, MemoryType,
    Mutability, Ref, ResetError, RootError, Rooted, Store, Table, TableType, Trap, Val, ValType,
};

fn under_every_strategy(test: impl Fn(Engine)) {
    for strategy in InstantiationStrategy::ALL {
        eprintln!("{strategy}");
        test(Engine::new(&config(*strategy)).unwrap());
    }
}

const GUEST: &str = r#"(module
    (import "host" "started" (func $started (param i32)))
    (memory (export "memory") 1 4) (data (i32.const 0) "\05")
    (global $g (export "global") (mut i32) (i32.const 7))
    (table (export "table") 2 6 funcref) (elem (i32.const 0) func $get)
    (func $get (export "get") (result i32) (i32.add (i32.load (i32.const 0)) (global.get $g)))
    (func (export "change")
        (i32.store (i32.const 0) (i32.const 100)) (global.set $g (i32.const 100)) (drop (memory.grow (i32.const 2))))
    (func $start (i32.store8 (i32.const 50) (i32.add (i32.load8_u (i32.const 50)) (i32.const 1)))
        (call $started (i32.load8_u (i32.const 50))))
    (start $start))"#;

fn number(store: &mut Store<Vec<i32>>, instance: Instance, name: &str) -> i32 {
    call::<(), i32, _>(store, instance, name, ()).unwrap()
}

fn guest(engine: &Engine) -> (Store<Vec<i32>>, Instance, Linker<Vec<i32>>) {
    let mut linker = Linker::new(engine);
    let started = |mut caller: Caller<'_, Vec<i32>>, count: i32| caller.data_mut().push(count);
    linker.func_wrap("host", "started", started).unwrap();
    let mut store = Store::new(engine, Vec::new());
    let instance = linker.instantiate(&mut store, &module(engine, GUEST)).unwrap();
    (store, instance, linker)
}

#[test]
fn a_reset_instance_is_as_new_and_its_handles_stay_valid() {
    under_every_strategy(|engine| {
        let (mut store, instance, _) = guest(&engine);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let global = instance.get_global(&mut store, "global").unwrap();
        let table = instance.get_table(&mut store, "table").unwrap();
        let get = instance.get_typed_func::<(), i32>(&mut store, "get").unwrap();
        let change = instance.get_func(&mut store, "change").unwrap();
        for round in 1..5 {
            assert_eq!(*store.data(), vec![1; round], "the start function sees what it saw at first");
            assert_eq!((get.call(&mut store, ()).unwrap(), memory.size(&store)), (12, 1));
            assert_eq!((global.get(&mut store).unwrap_i32(), table.size(&store)), (7, 2));
            let Some(Ref::Func(Some(element))) = table.get(&mut store, 0) else { panic!("the element is gone") };
            assert_eq!(element.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 12);
            change.call(&mut store, &[], &mut []).unwrap();
            table.grow(&mut store, 3, Ref::Func(None)).unwrap();
            table.set(&mut store, 0, Ref::Func(None)).unwrap();
            assert_eq!((get.call(&mut store, ()).unwrap(), memory.size(&store)), (200, 3));
            if round % 2 == 0 { store.reset().unwrap() } else { instance.reset(&mut store).unwrap() }
        }
    });
}

#[test]
fn only_the_instance_that_is_reset_is_as_new() {
    under_every_strategy(|engine| {
        let (mut store, one, linker) = guest(&engine);
        // Another module: of the same one there is only one with the strategy that reuses.
        let text = GUEST.replace("i32.const 7", "i32.const 8");
        let other = linker.instantiate(&mut store, &module(&engine, &text)).unwrap();
        for (reset, kept, first) in [(one, other, 12), (other, one, 13)] {
            for instance in [one, other] {
                call::<(), (), _>(&mut store, instance, "change", ()).unwrap();
            }
            reset.reset(&mut store).unwrap();
            assert_eq!((number(&mut store, reset, "get"), number(&mut store, kept, "get")), (first, 200));
        }
        store.data_mut().clear();
        store.reset().unwrap();
        assert_eq!(*store.data(), [1, 1]);
        assert_eq!((number(&mut store, one, "get"), number(&mut store, other, "get")), (12, 13));
    });
}

#[test]
fn a_reset_while_a_call_is_active_is_refused_and_changes_nothing() {
    under_every_strategy(|engine| {
        let text = r#"(module (import "host" "reset" (func $reset (result i32)))
            (global $g (mut i32) (i32.const 1)) (memory 1)
            (func (export "run") (result i32)
                (global.set $g (i32.const 2)) (i32.store (i32.const 0) (i32.const 3))
                (i32.add (call $reset) (i32.add (global.get $g) (i32.load (i32.const 0)))))
            (func (export "get") (result i32) (i32.add (global.get $g) (i32.load (i32.const 0)))))"#;
        let mut linker = Linker::<Option<Instance>>::new(&engine);
        let reset = |mut caller: Caller<'_, Option<Instance>>| {
            let instance = caller.data().unwrap();
            let error = instance.reset(&mut caller).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&ResetError::CallActive), "{error:?}");
            assert!(error.to_string().contains("a call into the store is active"), "{error}");
            // Of another store it is allowed.
            let engine = caller.engine().clone();
            let mut other = Store::new(&engine, ());
            let free = Memory::new(&mut other, MemoryType::new(1, None)).unwrap();
            free.write(&mut other, 0, &[1]).unwrap();
            other.reset().unwrap();
            i32::from(free.data(&other)[0]) + 100
        };
        linker.func_wrap("host", "reset", reset).unwrap();
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        *store.data_mut() = Some(instance);
        for _ in 0..2 {
            assert_eq!(call::<(), i32, _>(&mut store, instance, "run", ()).unwrap(), 105);
            instance.reset(&mut store).unwrap();
            assert_eq!(call::<(), i32, _>(&mut store, instance, "get", ()).unwrap(), 1);
        }
    });
}

#[test]
fn a_store_that_is_reset_restores_what_the_host_made() {
    under_every_strategy(|engine| {
        let mut store = Store::new(&engine, ());
        let func = Func::wrap(&mut store, || 5i32);
        let memory = Memory::new(&mut store, MemoryType::new(1, Some(4))).unwrap();
        let table = Table::new(&mut store, TableType::new(ValType::FUNCREF, 3, Some(20_000)), func.into()).unwrap();
        let nulls = Table::new(&mut store, TableType::new(ValType::EXTERNREF, 2, None), Ref::Extern(None)).unwrap();
        let mut global = |ty, value| Global::new(&mut store, GlobalType::new(ty, Mutability::Var), value).unwrap();
        let numbers = (global(ValType::I64, Val::I64(9)), global(ValType::F64, Val::F64(2)));
        let of_func = global(ValType::FUNCREF, Val::FuncRef(Some(func)));
        let guest = r#"(module (import "a" "m" (memory 1)) (import "a" "t" (table 1 funcref))
            (import "a" "g" (global $g (mut i64)))
            (data (i32.const 3) "seg") (elem (i32.const 1) func $f) (func $f (result i32) i32.const 6)
            (func (export "change") (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
                (drop (memory.grow (i32.const 2))) (i32.store (i32.const 190000) (i32.const -1))
                (table.set (i32.const 0) (ref.null func)) (drop (table.grow (ref.null func) (i32.const 9000)))
                (global.set $g (i64.const -1))))"#;
        let imports = [memory.into(), table.into(), numbers.0.into()];
        let instance = Instance::new(&mut store, &module(&engine, guest), &imports).unwrap();
        for round in 0..4 {
            let mut expected = vec![0; 65_536];
            expected[3..6].copy_from_slice(b"seg");
            assert!(memory.data(&store) == expected, "round {round}");
            assert_eq!((memory.size(&store), table.size(&store), nulls.size(&store)), (1, 3, 2));
            for (index, result) in [(0, 5), (1, 6), (2, 5)] {
                let Some(Ref::Func(Some(func))) = table.get(&mut store, index) else { panic!("no function") };
                assert_eq!(func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), result);
            }
            assert_eq!(numbers.0.get(&mut store).unwrap_i64(), 9);
            assert_eq!(numbers.1.get(&mut store).f64().unwrap().to_bits(), 2);
            assert!(matches!(of_func.get(&mut store), Val::FuncRef(Some(_))));
            assert!((0..2).all(|index| nulls.get(&mut store, index).unwrap().is_null()));
            call::<(), (), _>(&mut store, instance, "change", ()).unwrap();
            numbers.1.set(&mut store, Val::F64(77)).unwrap();
            of_func.set(&mut store, Val::FuncRef(None)).unwrap();
            let value = ExternRef::new(&mut store, round).unwrap();
            nulls.grow(&mut store, 5000, Ref::Extern(Some(value))).unwrap();
            nulls.fill(&mut store, 0, Ref::Extern(Some(value)), 2).unwrap();
            assert_eq!((memory.size(&store), table.size(&store)), (3, 9003));
            store.reset().unwrap();
        }
    });
}

fn referred(store: &Store<()>, reference: Rooted<ExternRef>) -> i32 {
    **reference.data(store).unwrap().unwrap().downcast_ref::<Arc<i32>>().unwrap()
}

#[test]
fn references_to_the_hosts_values_are_dropped_by_a_reset_of_the_store() {
    under_every_strategy(|engine| {
        let text = r#"(module (global (export "global") (mut externref) (ref.null extern))
            (table (export "table") 3 10 externref))"#;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, text), &[]).unwrap();
        let global = instance.get_global(&mut store, "global").unwrap();
        let table = instance.get_table(&mut store, "table").unwrap();
        let mut before: Option<Rooted<ExternRef>> = None;
        for round in 0..3 {
            assert!(matches!(global.get(&mut store), Val::ExternRef(None)), "round {round}");
            assert!((0..3).all(|index| table.get(&mut store, index).unwrap().is_null()));
            let value = Arc::new(round);
            let reference = ExternRef::new(&mut store, value.clone()).unwrap();
            global.set(&mut store, Val::ExternRef(Some(reference))).unwrap();
            table.fill(&mut store, 0, Ref::Extern(Some(reference)), 3).unwrap();
            if let Some(before) = before {
                // The old reference does not become the new value's.
                assert_eq!(before.data(&store).unwrap_err().downcast_ref(), Some(&RootError::WrongStore));
            }
            assert_eq!(Arc::strong_count(&value), 2);
            assert_eq!(referred(&store, reference), round);
            // A reset of the instance alone keeps the store's values.
            instance.reset(&mut store).unwrap();
            assert!(matches!(global.get(&mut store), Val::ExternRef(None)));
            assert_eq!(referred(&store, reference), round);
            store.reset().unwrap();
            assert_eq!(Arc::strong_count(&value), 1);
            before = Some(reference);
        }
    });
}

#[test]
fn a_start_function_that_fails_makes_a_reset_fail_and_a_later_one_may_work() {
    under_every_strategy(|engine| {
        let text = r#"(module (import "host" "fail" (func $fail (result i32))) (memory (export "memory") 1)
            (global $g (mut i32) (i32.const 0))
            (func $start (i32.store (i32.const 0) (i32.const 1)) (if (call $fail) (then unreachable)))
            (func (export "get") (result i32) (i32.load (i32.const 0)))
            (start $start))"#;
        let mut linker = Linker::<i32>::new(&engine);
        linker.func_wrap("host", "fail", |caller: Caller<'_, i32>| *caller.data()).unwrap();
        let mut store = Store::new(&engine, 0);
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        for whole in [false, true, false] {
            let reset = |store: &mut Store<i32>| if whole { store.reset() } else { instance.reset(&mut *store) };
            *store.data_mut() = 1;
            let error = reset(&mut store).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached), "{error:?}");
            *store.data_mut() = 0;
            reset(&mut store).unwrap();
            assert_eq!(call::<(), i32, _>(&mut store, instance, "get", ()).unwrap(), 1);
        }
    });
}

#[test]
fn a_failed_instantiation_leaves_store_and_slot_usable() {
    under_every_strategy(|engine| {
        let failing = [
            r#"(module (memory 1) (data (i32.const 65535) "ab"))"#,
            r#"(module (memory 1) (data (i32.const 4) "x") (table 1 2 funcref) (elem (i32.const 2) func 0) (func))"#,
            r#"(module (memory 1) (func $start (memory.fill (i32.const 0) (i32.const 9) (i32.const 65536)) unreachable)
                (start $start))"#,
        ]
        .map(|text| super::pre(&module(&engine, text)));
        let working = super::pre(&module(&engine, r#"(module (memory (export "memory") 1))"#));
        for round in 0..20 {
            let mut store = Store::new(&engine, ());
            for pre in &failing {
                let error = pre.instantiate(&mut store).unwrap_err();
                assert!(error.is::<Trap>(), "{error:?}");
            }
            let instance = working.instantiate(&mut store).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            assert!(memory.data(&store).iter().all(|byte| *byte == 0), "round {round}");
        }
        let live = engine.pool_metrics().map_or(0, |metrics| metrics.live);
        assert_eq!(live, 0);
    });
}
