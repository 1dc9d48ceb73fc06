//! Every item of the API, by itself.

use crate::{count, instance, linker, module, pause, wait};
use wasmc_loader::{
    Caller, Config, Engine, Extern, Func, FuncType, Instance, Linker, Store, SuspendError, Trap, V128, Val, ValType,
};

const SUM: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "sum") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.add (call $pause (local.get 0)) (call $pause (local.get 1))))
    (func (export "trap") (drop (call $pause (i32.const 1))) unreachable)
    (func (export "alone") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"#;

#[test]
fn a_typed_call_is_pending_as_often_as_its_host_functions_are() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let sum = instance.get_typed_func::<(u32, u32), u32>(&mut store, "sum").unwrap();
    for (a, b) in [(0, 0), (1, 0), (0, 2), (3, 4)] {
        let (pending, result) = count(sum.call_async(&mut store, (a, b)));
        assert_eq!((pending, result.unwrap()), ((a + b) as usize, 2 * (a + b)));
    }
    let mut count = [0];
    instance.get_memory(&mut store, "memory").unwrap().read(&store, 0, &mut count).unwrap();
    assert_eq!(count, [4]);
}

#[test]
fn nothing_happens_before_a_call_is_polled() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let sum = instance.get_typed_func::<(u32, u32), u32>(&mut store, "sum").unwrap();
    drop(sum.call_async(&mut store, (0, 0)));
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(memory.data(&store)[0], 0);
}

#[test]
fn an_untyped_call_takes_and_gives_values() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let sum = instance.get_func(&mut store, "sum").unwrap();
    let mut results = [Val::I32(0)];
    let (pending, outcome) = count(sum.call_async(&mut store, &[Val::I32(1), Val::I32(2)], &mut results));
    outcome.unwrap();
    assert_eq!((pending, results[0].i32()), (3, Some(6)));
    let error = wait(sum.call_async(&mut store, &[Val::I32(1)], &mut results)).unwrap_err();
    assert!(error.to_string().contains("was called with arguments of types"), "{error}");
}

#[test]
fn functions_that_never_wait_can_be_called_either_way() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let alone = instance.get_typed_func::<i32, i32>(&mut store, "alone").unwrap();
    assert_eq!(count(alone.call_async(&mut store, 1)).1.unwrap(), 2);
    assert_eq!(alone.call(&mut store, 2).unwrap(), 3);
    let host = Func::wrap(&mut store, |a: i32| a * 10);
    assert_eq!(wait(host.typed::<i32, i32>(&store).unwrap().call_async(&mut store, 4)).unwrap(), 40);
}

#[test]
fn a_call_that_cannot_wait_fails_and_names_the_function() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let sum = instance.get_typed_func::<(u32, u32), u32>(&mut store, "sum").unwrap();
    // Even if it would not have had to.
    let error = sum.call(&mut store, (0, 0)).unwrap_err();
    let function = Some(("host".into(), "pause".into()));
    assert_eq!(error.downcast_ref(), Some(&SuspendError::NotAsync { function }));
    let text = format!("{error:?}");
    assert!(text.contains("`pause` of `host`") && text.contains("use `call_async`"), "{text}");
    assert_eq!(wait(sum.call_async(&mut store, (1, 1))).unwrap(), 4);
}

#[test]
fn host_functions_wait_when_the_host_calls_them() {
    let mut store = Store::new(&Engine::default(), 5);
    let wrapped = Func::wrap_async(&mut store, |mut caller: Caller<'_, u32>, (a, b): (i64, f32)| {
        Box::new(async move {
            pause(2).await;
            *caller.data_mut() += 1;
            (b, a)
        })
    });
    let typed = wrapped.typed::<(i64, f32), (f32, i64)>(&store).unwrap();
    assert_eq!(
        typed.call(&mut store, (1, 2.0)).unwrap_err().downcast_ref(),
        Some(&SuspendError::NotAsync { function: None })
    );
    let (pending, result) = count(typed.call_async(&mut store, (7, 0.5)));
    assert_eq!((pending, result.unwrap(), *store.data()), (2, (0.5, 7), 6));
    let ty = FuncType::new([ValType::I32], [ValType::I64]);
    let untyped = Func::new_async(&mut store, ty, |caller: Caller<'_, u32>, params, results| {
        Box::new(async move {
            pause(1).await;
            results[0] = Val::I64(i64::from(params[0].i32().unwrap()) + i64::from(*caller.data()));
            Ok(())
        })
    });
    let mut results = [Val::I32(0)];
    assert_eq!(count(untyped.call_async(&mut store, &[Val::I32(1)], &mut results)).0, 1);
    assert_eq!(results[0].i64(), Some(7));
}

#[test]
fn async_functions_of_a_linker_get_and_return_values_of_all_types() {
    let text = r#"(module
        (import "host" "swap" (func $swap (param i64 f32 f64 v128 i32) (result i32 v128 f64 f32 i64)))
        (import "host" "any" (func $any (param i32 externref) (result externref i32)))
        (func (export "swap") (param i64 f32 f64 v128 i32) (result i32 v128 f64 f32 i64)
            (call $swap (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))
        (func (export "any") (param i32 externref) (result externref i32) (call $any (local.get 0) (local.get 1))))"#;
    let (mut store, instance) = instance(&Config::new(), (), text, |linker| {
        let swap = linker.func_wrap_async("host", "swap", |_, (a, b, c, d, e): (i64, f32, f64, V128, i32)| {
            Box::new(async move {
                pause(1).await;
                (e, d, c, b, a)
            })
        });
        swap.unwrap();
        let ty = FuncType::new([ValType::I32, ValType::EXTERNREF], [ValType::EXTERNREF, ValType::I32]);
        let any = linker.func_new_async("host", "any", ty, |_, params, results| {
            Box::new(async move {
                pause(1).await;
                results[0] = params[1];
                results[1] = params[0];
                Ok(())
            })
        });
        any.unwrap();
    });
    let swap = instance.get_typed_func::<(i64, f32, f64, V128, i32), (i32, V128, f64, f32, i64)>(&mut store, "swap");
    let (pending, swapped) = count(swap.unwrap().call_async(&mut store, (-1, 1.5, 2.5, V128::from(u128::MAX / 3), 9)));
    assert_eq!((pending, swapped.unwrap()), (1, (9, V128::from(u128::MAX / 3), 2.5, 1.5, -1)));
    let any = instance.get_func(&mut store, "any").unwrap();
    let mut results = [Val::I32(0), Val::I32(0)];
    wait(any.call_async(&mut store, &[Val::I32(3), Val::ExternRef(None)], &mut results)).unwrap();
    assert_eq!((matches!(results[0], Val::ExternRef(None)), results[1].i32()), (true, Some(3)));
}

#[test]
fn errors_of_async_functions_end_the_call() {
    let text = r#"(module (import "host" "fail" (func $fail)) (func (export "f") (call $fail)))"#;
    let (mut store, instance) = instance(&Config::new(), (), text, |linker| {
        let fail = linker.func_wrap_async("host", "fail", |_, (): ()| {
            Box::new(async {
                pause(1).await;
                "x".parse::<i32>()?;
                Ok(())
            })
        });
        fail.unwrap();
    });
    let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
    let error = wait(f.call_async(&mut store, ())).unwrap_err();
    assert!(error.is::<std::num::ParseIntError>(), "{error:?}");
    assert!(error.downcast_ref::<wasmc_loader::WasmBacktrace>().is_some_and(|trace| trace.frames().len() == 1));
}

const START: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (global $count (export "count") (mut i32) (i32.const 0))
    (func $start (global.set $count (i32.add (global.get $count) (call $pause (i32.const 3)))))
    (export "run" (func $start))
    (start $start))"#;

#[test]
fn instantiation_waits_for_the_start_function() {
    let engine = Engine::default();
    let (linker, module) = (linker::<()>(&engine), module(&engine, START));
    let value = |store: &mut Store<()>, instance: Instance| {
        instance.get_global(&mut *store, "count").unwrap().get(store).i32().unwrap()
    };
    let mut store = Store::new(&engine, ());
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert!(error.is::<SuspendError>(), "{error:?}");
    let (pending, first) = count(linker.instantiate_async(&mut store, &module));
    assert_eq!((pending, value(&mut store, first.unwrap())), (3, 6));
    let pre = linker.instantiate_pre(&module).unwrap();
    let (pending, second) = count(pre.instantiate_async(&mut store));
    assert_eq!((pending, value(&mut store, second.unwrap())), (3, 6));
    let pause: Extern = linker.get(&mut store, "host", "pause").unwrap();
    let (pending, third) = count(Instance::new_async(&mut store, &module, &[pause]));
    let third = third.unwrap();
    assert_eq!((pending, value(&mut store, third)), (3, 6));
    third.get_global(&mut store, "count").unwrap().set(&mut store, Val::I32(100)).unwrap();
    assert!(third.reset(&mut store).unwrap_err().is::<SuspendError>());
    assert_eq!(count(third.reset_async(&mut store)).0, 3);
    assert_eq!(value(&mut store, third), 6);
    // The failed instance is there too.
    assert_eq!(count(store.reset_async()).0, 12);
    assert_eq!(value(&mut store, third), 6);
}

#[test]
fn a_reactor_is_initialised_and_a_command_instantiated_by_async_calls() {
    let engine = Engine::default();
    let mut linker = linker::<()>(&engine);
    let mut store = Store::new(&engine, ());
    let reactor = module(
        &engine,
        r#"(module (import "host" "pause" (func $pause (param i32) (result i32)))
            (global $n (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $n (call $pause (i32.const 2))))
            (func (export "n") (result i32) (global.get $n)))"#,
    );
    let command = module(
        &engine,
        r#"(module (import "host" "pause" (func $pause (param i32) (result i32)))
            (global $n (mut i32) (i32.const 0))
            (func (export "_start"))
            (func (export "n") (result i32)
                (global.set $n (i32.add (global.get $n) (call $pause (i32.const 1))))
                (global.get $n)))"#,
    );
    assert_eq!(count(linker.module_async(&mut store, "reactor", &reactor)).0, 2);
    wait(linker.module_async(&mut store, "command", &command)).map(drop).unwrap();
    for (name, expected, pauses) in [("reactor", 4, 0), ("command", 2, 1), ("command", 2, 1)] {
        let n = linker.get(&mut store, name, "n").unwrap().into_func().unwrap();
        let mut results = [Val::I32(0)];
        assert_eq!(count(n.call_async(&mut store, &[], &mut results)).0, pauses);
        assert_eq!(results[0].i32(), Some(expected), "{name}");
    }
}

#[test]
fn a_trap_after_a_pause_comes_out_with_its_backtrace() {
    let (mut store, instance) = instance(&Config::new(), (), SUM, |_| {});
    let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
    let (pending, result) = count(trap.call_async(&mut store, ()));
    let error = result.unwrap_err();
    assert_eq!((pending, error.downcast_ref()), (1, Some(&Trap::UnreachableCodeReached)));
    let frames = error.downcast_ref::<wasmc_loader::WasmBacktrace>().unwrap().frames();
    assert_eq!(frames.len(), 1);
}

#[test]
fn futures_are_send_when_the_data_is() {
    fn is_send<V: Send>(_: &V) {}
    let engine = Engine::default();
    let (linker, module) = (linker::<String>(&engine), module(&engine, SUM));
    let mut store = Store::new(&engine, String::new());
    is_send(&linker.instantiate_async(&mut store, &module));
    let instance = wait(linker.instantiate_async(&mut store, &module)).unwrap();
    let sum = instance.get_typed_func::<(u32, u32), u32>(&mut store, "sum").unwrap();
    is_send(&sum.call_async(&mut store, (1, 2)));
    is_send(&sum.func().call_async(&mut store, &[], &mut []));
    is_send(&instance.reset_async(&mut store));
    is_send(&store.reset_async());
    let mut other = Linker::<String>::new(&engine);
    is_send(&other.module_async(&mut store, "m", &module));
}
