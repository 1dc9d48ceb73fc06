//! Calls that host functions make in turn.

use crate::{count, hop, instance, pause, poll, wait};
use wasmc_loader::{Caller, Config, Engine, Extern, Func, Instance, Linker, Result, Store, SuspendError, Trap};

/// `run` calls `host.back`, which calls `inner`; before and after it, `run`
/// pauses, and at the end it traps if it is told to.
const BACK: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (import "host" "back" (func $back (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "inner") (param i32) (result i32)
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (i32.add (call $pause (local.get 0)) (i32.const 1)))
    (func (export "quick") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
    (func (export "run") (param $pauses i32) (param $trap i32) (result i32)
        (local $sum i32)
        (local.set $sum (call $pause (local.get $pauses)))
        (local.set $sum (i32.add (local.get $sum) (call $back (local.get $pauses))))
        (local.set $sum (i32.add (local.get $sum) (call $pause (local.get $pauses))))
        (drop (i32.load (i32.sub (i32.const 0) (local.get $trap))))
        (local.get $sum))
    (func (export "again") (param i32) (result i32)
        (call $back (i32.add (local.get 0) (i32.const 1))))
    (func $overflow (export "overflow") (result i32) (i32.add (call $overflow) (i32.const 1))))"#;

/// The exported function `name` of the caller.
fn export<T: 'static>(caller: &mut Caller<'_, T>, name: &str) -> Func {
    caller.get_export(name).and_then(Extern::into_func).expect("the caller exports the function")
}

/// What `back` does with the caller and the number of pauses that `inner` is to
/// make.
fn with_back<F>(back: F) -> (Store<i32>, Instance)
where
    F: for<'a> Fn(Caller<'a, i32>, (i32,)) -> Box<dyn Future<Output = Result<i32>> + Send + 'a> + Send + Sync + 'static,
{
    instance(&Config::new(), 0, BACK, |linker: &mut Linker<i32>| {
        linker.func_wrap_async("host", "back", back).unwrap();
    })
}

fn run(store: &mut Store<i32>, instance: Instance) -> wasmc_loader::TypedFunc<(i32, i32), i32> {
    instance.get_typed_func(store, "run").unwrap()
}

#[test]
fn a_host_function_awaits_a_call_into_its_own_store() {
    let (mut store, instance) = with_back(|mut caller, (pauses,)| {
        Box::new(async move {
            let inner = export(&mut caller, "inner").typed::<i32, i32>(&caller)?;
            pause(1).await;
            let result = inner.call_async(&mut caller, pauses).await?;
            pause(1).await;
            *caller.data_mut() += 1;
            Ok(result)
        })
    });
    let run = run(&mut store, instance);
    for pauses in [0, 1, 4] {
        let (pending, result) = count(run.call_async(&mut store, (pauses, 0)));
        assert_eq!((pending, result.unwrap()), (3 * pauses as usize + 2, 6 * pauses + 1));
        let (polls, result) = hop(run.call_async(&mut store, (pauses, 0)));
        assert_eq!((polls, result.unwrap()), (3 * pauses as usize + 3, 6 * pauses + 1));
        let error = hop(run.call_async(&mut store, (pauses, 4))).1.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
        assert_eq!(error.downcast_ref::<wasmc_loader::WasmBacktrace>().unwrap().frames().len(), 1);
    }
    assert_eq!(*store.data(), 9);
}

#[test]
fn errors_of_an_inner_call_have_the_frames_of_the_outer_one() {
    let (mut store, instance) = with_back(|mut caller, (_,)| {
        Box::new(async move {
            let overflow = export(&mut caller, "overflow").typed::<(), i32>(&caller)?;
            pause(1).await;
            overflow.call_async(&mut caller, ()).await
        })
    });
    let again = instance.get_typed_func::<i32, i32>(&mut store, "again").unwrap();
    let error = wait(again.call_async(&mut store, 0)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
    let (mut store, instance) = with_back(|mut caller, (_,)| {
        Box::new(async move {
            let run = export(&mut caller, "run").typed::<(i32, i32), i32>(&caller)?;
            pause(1).await;
            let depth = caller.data_mut();
            *depth += 1;
            if *depth == 4 {
                Err(wasmc_loader::Error::msg("deep enough"))
            } else {
                run.call_async(&mut caller, (0, 0)).await
            }
        })
    });
    let error = wait(run(&mut store, instance).call_async(&mut store, (1, 0))).unwrap_err();
    assert_eq!(error.to_string(), "deep enough");
    assert_eq!(error.downcast_ref::<wasmc_loader::WasmBacktrace>().unwrap().frames().len(), 4);
}

#[test]
fn a_recursion_through_async_calls_shares_one_limit() {
    let (mut store, instance) = with_back(|mut caller, (depth,)| {
        Box::new(async move {
            let again = export(&mut caller, "again").typed::<i32, i32>(&caller)?;
            *caller.data_mut() = depth;
            pause(u32::from(depth % 2 == 0)).await;
            again.call_async(&mut caller, depth).await
        })
    });
    let again = instance.get_typed_func::<i32, i32>(&mut store, "again").unwrap();
    let mut depths = Vec::new();
    for _ in 0..2 {
        let error = wait(again.call_async(&mut store, 0)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        depths.push(*store.data());
    }
    assert!(depths[0] > 10 && depths[0] == depths[1], "{depths:?}");
}

#[test]
fn calls_of_host_functions_that_are_not_awaited_cannot_wait() {
    fn back(caller: &mut Caller<'_, i32>, pauses: i32) -> Result<i32> {
        let inner = export(caller, "inner").typed::<i32, i32>(&*caller)?;
        let error = inner.call(&mut *caller, pauses).unwrap_err();
        assert!(error.is::<SuspendError>(), "{error:?}");
        let pause = Func::wrap_async(&mut *caller, |_, (): ()| Box::new(pause(1)));
        let error = pause.call(&mut *caller, &[], &mut []).unwrap_err();
        assert!(error.is::<SuspendError>(), "{error:?}");
        let quick = export(caller, "quick").typed::<i32, i32>(&*caller)?;
        *caller.data_mut() += 1;
        quick.call(caller, pauses)
    }
    let (mut store, sync) = instance(&Config::new(), 0, BACK, |linker: &mut Linker<i32>| {
        let waitless = |mut caller: Caller<'_, i32>, pauses: i32| back(&mut caller, pauses);
        linker.func_wrap("host", "back", waitless).unwrap();
    });
    let (pending, result) = count(run(&mut store, sync).call_async(&mut store, (2, 0)));
    assert_eq!((pending, result.unwrap(), *store.data()), (4, 14, 1));
    // The same before, while and after an async function waits.
    let (mut store, instance) = with_back(|mut caller, (pauses,)| {
        let sum = back(&mut caller, pauses);
        Box::new(async move {
            let mut sum = sum?;
            sum += back(&mut caller, pauses)?;
            pause(1).await;
            sum += back(&mut caller, pauses)?;
            Ok(sum)
        })
    });
    let (polls, result) = hop(run(&mut store, instance).call_async(&mut store, (1, 0)));
    assert_eq!((polls, result.unwrap(), *store.data()), (4, 13, 3));
}

#[test]
fn an_inner_call_can_be_dropped_or_leaked_and_the_outer_one_goes_on() {
    for leak in [false, true] {
        let (mut store, instance) = with_back(move |mut caller, (pauses,)| {
            Box::new(async move {
                let inner = export(&mut caller, "inner").typed::<i32, i32>(&caller)?;
                let mut call = Box::pin(inner.call_async(&mut caller, 100));
                for _ in 0..pauses {
                    assert!(poll(call.as_mut()).is_pending());
                    pause(1).await;
                }
                if leak {
                    std::mem::forget(call)
                } else {
                    drop(call)
                }
                let quick = export(&mut caller, "quick").typed::<i32, i32>(&caller)?;
                quick.call(&mut caller, 5)
            })
        });
        let run = run(&mut store, instance);
        for pauses in [0, 1, 2] {
            let (polls, result) = hop(run.call_async(&mut store, (pauses, 0)));
            assert_eq!((polls, result.unwrap()), (3 * pauses as usize + 1, 4 * pauses + 15));
            let error = hop(run.call_async(&mut store, (pauses, 4))).1.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            assert_eq!(error.downcast_ref::<wasmc_loader::WasmBacktrace>().unwrap().frames().len(), 1);
        }
        // The outer one, while the inner one waits.
        let mut call = Box::pin(run.call_async(&mut store, (2, 0)));
        for _ in 0..3 {
            assert!(poll(call.as_mut()).is_pending());
        }
        drop(call);
        assert_eq!(wait(run.call_async(&mut store, (0, 0))).unwrap(), 15);
    }
}

#[test]
fn a_host_function_of_a_synchronous_call_waits_on_its_own() {
    let text = r#"(module (import "host" "pause" (func $pause (param i32) (result i32)))
        (import "host" "back" (func $back (param i32) (result i32)))
        (func (export "inner") (param i32) (result i32) (call $pause (local.get 0)))
        (func (export "run") (param i32) (result i32) (i32.add (call $back (local.get 0)) (i32.const 1)))
        (func (export "trap") (param i32) (result i32) (drop (call $back (local.get 0))) unreachable)
        (func $deep (export "deep") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (return (call $back (i32.const 2)))))
            (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1))))"#;
    let (mut store, instance) = instance(&Config::new(), 0, text, |linker: &mut Linker<usize>| {
        let back = |mut caller: Caller<'_, usize>, pauses: i32| {
            let inner = export(&mut caller, "inner").typed::<i32, i32>(&caller)?;
            let (pending, result) = count(inner.call_async(&mut caller, pauses));
            *caller.data_mut() += pending;
            result
        };
        linker.func_wrap("host", "back", back).unwrap();
    });
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!((run.call(&mut store, 3).unwrap(), *store.data()), (7, 3));
    assert_eq!((wait(run.call_async(&mut store, 2)).unwrap(), *store.data()), (5, 5));
    let trap = instance.get_typed_func::<i32, i32>(&mut store, "trap").unwrap();
    let error = trap.call(&mut store, 1).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep").unwrap();
    assert_eq!(deep.call(&mut store, 1000).unwrap(), 1004);
    assert_eq!(deep.call(&mut store, 1 << 30).unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
}

#[test]
fn another_store_is_used_within_the_bounds_of_the_stack() {
    // With the stack that code may use, it would reach below the end of the
    // other's, on which it runs.
    let (small, large) = (128 << 10, 4 << 20);
    let text = r#"(module (import "host" "back" (func $back (param i32) (result i32)))
        (import "host" "pause" (func $pause (param i32) (result i32)))
        (func $overflow (export "overflow") (result i32) (i32.add (call $overflow) (i32.const 1)))
        (func (export "run") (result i32)
            (i32.add (call $pause (i32.const 1)) (i32.add (call $back (i32.const 0)) (call $pause (i32.const 1))))))"#;
    let mut config = Config::new();
    config.max_wasm_stack(small).async_stack_size(small);
    let (mut store, instance) = instance(&config, (), text, |linker: &mut Linker<()>| {
        let mut config = Config::new();
        config.max_wasm_stack(large);
        let engine = Engine::new(&config).unwrap();
        let module =
            crate::module(&engine, r#"(module (func $f (export "f") (result i32) (i32.add (call $f) (i32.const 1))))"#);
        let back = move |_: Caller<'_, ()>, _: i32| {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
            for _ in 0..2 {
                assert_eq!(f.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
            }
            1
        };
        linker.func_wrap("host", "back", back).unwrap();
    });
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    for _ in 0..2 {
        let (polls, result) = hop(run.call_async(&mut store, ()));
        assert_eq!((polls, result.unwrap()), (3, 5));
        assert_eq!(wait(run.call_async(&mut store, ())).unwrap(), 5);
    }
    let overflow = instance.get_typed_func::<(), i32>(&mut store, "overflow").unwrap();
    assert_eq!(overflow.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
}
