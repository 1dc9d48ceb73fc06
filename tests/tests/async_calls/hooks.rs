//! Hooks around calls, synchronous and not.

use crate::{hop, instance, pause, poll, wait};
use CallHook::{CallingHost, CallingWasm, ReturningFromHost, ReturningFromWasm};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    AnyRef, CallHook, Caller, Config, Error, Extern, Func, FuncType, Instance, Linker, Result, Rooted, Store,
    SuspendError, Trap, TypedFunc, Val, ValType,
};

/// What a hook has seen, and when it is to fail.
#[derive(Default)]
struct Seen {
    events: Vec<CallHook>,
    fail_at: Option<usize>,
    /// How often functions of the host have run.
    ran: usize,
}

const GUEST: &str = r#"(module
    (type $box (struct (field i32)))
    (import "host" "typed" (func $typed (param i32) (result i32)))
    (import "host" "any" (func $any (param i32) (result i32)))
    (import "host" "back" (func $back (param i32) (result i32)))
    (import "host" "later" (func $later (param i32) (result i32)))
    (import "host" "through" (func $through (param anyref) (result anyref)))
    (global $started (export "started") (mut i32) (i32.const 0))
    (func $start (global.set $started (call $typed (i32.const 1))))
    (start $start)
    (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "typed") (param i32) (result i32) (call $typed (call $double (local.get 0))))
    (func (export "any") (param i32) (result i32) (call $any (local.get 0)))
    (func (export "back") (param i32) (result i32) (call $back (local.get 0)))
    (func (export "later") (param i32) (result i32)
        (i32.add (call $later (local.get 0)) (call $later (i32.const 1))))
    (func (export "trap") (param i32) (result i32) (drop (call $typed (local.get 0))) unreachable)
    (func (export "new") (param i32) (result anyref) (struct.new $box (local.get 0)))
    (func (export "pass") (param anyref) (result anyref) (call $through (local.get 0)))
    (func (export "number") (param anyref) (result i32)
        (struct.get $box 0 (ref.cast (ref $box) (local.get 0)))))"#;

fn define(linker: &mut Linker<Seen>) {
    let typed = |mut caller: Caller<'_, Seen>, n: i32| {
        caller.data_mut().ran += 1;
        assert_ne!(n, 98, "on purpose");
        if n == 99 { Err(Error::msg("of the host")) } else { Ok(n + 1) }
    };
    linker.func_wrap("host", "typed", typed).unwrap();
    let any = |mut caller: Caller<'_, Seen>, params: &[Val], results: &mut [Val]| {
        caller.data_mut().ran += 1;
        results[0] = params[0];
        Ok(())
    };
    linker.func_new("host", "any", FuncType::new([ValType::I32], [ValType::I32]), any).unwrap();
    let back = |mut caller: Caller<'_, Seen>, n: i32| {
        caller.data_mut().ran += 1;
        let double = caller.get_export("double").and_then(Extern::into_func).unwrap();
        double.typed::<i32, i32>(&caller)?.call(&mut caller, n)
    };
    linker.func_wrap("host", "back", back).unwrap();
    let later = linker.func_wrap_async("host", "later", |mut caller: Caller<'_, Seen>, (pauses,): (u32,)| {
        Box::new(async move {
            pause(pauses).await;
            caller.data_mut().ran += 1;
            pauses
        })
    });
    later.unwrap();
    let through = |mut caller: Caller<'_, Seen>, object: Option<Rooted<AnyRef>>| {
        caller.gc();
        object
    };
    linker.func_wrap("host", "through", through).unwrap();
}

/// Notes all events, and fails when it is to.
fn hooked(config: &Config) -> (Store<Seen>, Instance) {
    let (mut store, instance) = instance(config, Seen::default(), GUEST, define);
    assert!(store.data().events.is_empty());
    store.data_mut().ran = 0;
    store.call_hook(|mut store, event| {
        let seen = store.data_mut();
        seen.events.push(event);
        if seen.fail_at == Some(seen.events.len()) { Err(Error::msg("of the hook")) } else { Ok(()) }
    });
    (store, instance)
}

fn typed(store: &mut Store<Seen>, instance: Instance, name: &str) -> TypedFunc<i32, i32> {
    instance.get_typed_func(store, name).unwrap()
}

/// The events since the last call of this.
fn events(store: &mut Store<Seen>) -> Vec<CallHook> {
    std::mem::take(&mut store.data_mut().events)
}

const ONE_EACH: [CallHook; 4] = [CallingWasm, CallingHost, ReturningFromHost, ReturningFromWasm];

#[test]
fn a_hook_is_called_when_code_is_entered_and_left() {
    let (mut store, instance) = hooked(&Config::new());
    let double = typed(&mut store, instance, "double");
    assert_eq!(double.call(&mut store, 4).unwrap(), 8);
    assert_eq!(events(&mut store), [CallingWasm, ReturningFromWasm]);
    for (name, result) in [("typed", 7), ("any", 3)] {
        let func = typed(&mut store, instance, name);
        assert_eq!(func.call(&mut store, 3).unwrap(), result);
        assert_eq!(events(&mut store), ONE_EACH, "{name}");
        let mut results = [Val::I32(0)];
        func.func().call(&mut store, &[Val::I32(3)], &mut results).unwrap();
        assert_eq!((events(&mut store), results[0].i32()), (ONE_EACH.to_vec(), Some(result)), "{name}");
    }
    let back = typed(&mut store, instance, "back");
    assert_eq!(back.call(&mut store, 3).unwrap(), 6);
    let inside = [CallingWasm, CallingHost, CallingWasm, ReturningFromWasm, ReturningFromHost, ReturningFromWasm];
    assert_eq!(events(&mut store), inside);
    let host = Func::wrap(&mut store, |n: i32| n + 5).typed::<i32, i32>(&store).unwrap();
    assert_eq!(host.call(&mut store, 3).unwrap(), 8);
    assert_eq!(events(&mut store), ONE_EACH);
    instance.reset(&mut store).unwrap();
    assert_eq!(events(&mut store), ONE_EACH, "of the start function");
    for event in inside {
        assert_ne!(event.entering_host(), event.exiting_host());
    }
    assert!(CallingHost.entering_host() && ReturningFromWasm.entering_host());
}

#[test]
fn a_call_fails_where_its_hook_does() {
    let (mut store, instance) = hooked(&Config::new());
    for name in ["typed", "any"] {
        let func = typed(&mut store, instance, name);
        for fail_at in 1..=4 {
            let seen = store.data_mut();
            (seen.ran, seen.fail_at) = (0, Some(fail_at));
            let error = func.call(&mut store, 3).unwrap_err();
            assert_eq!(error.to_string(), "of the hook");
            assert_eq!(store.data().ran, usize::from(fail_at > 2), "event {fail_at}");
            let mut expected = ONE_EACH[..fail_at].to_vec();
            // What was entered is left.
            if [2, 3].contains(&fail_at) {
                expected.push(ReturningFromWasm);
            }
            assert_eq!(events(&mut store), expected, "event {fail_at}");
            store.data_mut().fail_at = None;
            assert!(func.call(&mut store, 3).is_ok());
            events(&mut store);
        }
    }
}

#[test]
fn a_call_that_fails_is_left_through_the_hook_unless_it_panics() {
    let (mut store, instance) = hooked(&Config::new());
    let (func, trap) = (typed(&mut store, instance, "typed"), typed(&mut store, instance, "trap"));
    let error = trap.call(&mut store, 3).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(events(&mut store), ONE_EACH);
    store.data_mut().fail_at = Some(4);
    assert_eq!(trap.call(&mut store, 3).unwrap_err().to_string(), "of the hook");
    store.data_mut().fail_at = None;
    events(&mut store);
    let double = typed(&mut store, instance, "double");
    // It gets twice the number: an error of the host function.
    store.call_hook(|mut store, event| {
        store.data_mut().events.push(event);
        Ok(())
    });
    let fail = instance.get_typed_func::<i32, i32>(&mut store, "trap").unwrap();
    assert_eq!(fail.call(&mut store, 99).unwrap_err().to_string(), "of the host");
    assert_eq!(events(&mut store), ONE_EACH);
    catch_unwind(AssertUnwindSafe(|| func.call(&mut store, 49))).unwrap_err();
    assert_eq!(events(&mut store), [CallingWasm, CallingHost]);
    assert_eq!(double.call(&mut store, 1).unwrap(), 2);
    assert_eq!(events(&mut store), [CallingWasm, ReturningFromWasm]);
}

#[test]
fn a_hook_that_panics_is_there_afterwards() {
    let (mut store, instance) = hooked(&Config::new());
    let func = typed(&mut store, instance, "typed");
    store.call_hook(|mut store, event| {
        let seen = store.data_mut();
        seen.events.push(event);
        assert_ne!(seen.fail_at, Some(seen.events.len()), "on purpose");
        Ok(())
    });
    for at in 1..=4 {
        store.data_mut().fail_at = Some(at);
        catch_unwind(AssertUnwindSafe(|| func.call(&mut store, 1))).unwrap_err();
        assert_eq!(events(&mut store), ONE_EACH[..at]);
        store.data_mut().fail_at = None;
        assert_eq!(func.call(&mut store, 1).unwrap(), 3);
        assert_eq!(events(&mut store), ONE_EACH);
    }
}

#[test]
fn a_hook_uses_the_store_without_being_called_for_that() {
    let config = Config::new().gc_stress(true).clone();
    let (mut store, instance) = hooked(&config);
    let new = instance.get_typed_func::<i32, Option<Rooted<AnyRef>>>(&mut store, "new").unwrap();
    let pass = instance.get_typed_func::<Option<Rooted<AnyRef>>, Option<Rooted<AnyRef>>>(&mut store, "pass").unwrap();
    let number = instance.get_typed_func::<Option<Rooted<AnyRef>>, i32>(&mut store, "number").unwrap();
    store.call_hook(move |mut store, event| {
        store.data_mut().events.push(event);
        // Everything moves.
        let object = new.call(&mut store, 7)?;
        store.gc();
        assert_eq!(number.call(&mut store, object)?, 7);
        Ok(())
    });
    for n in 0..4 {
        let object = new.call(&mut store, n).unwrap();
        assert_eq!(events(&mut store), [CallingWasm, ReturningFromWasm]);
        let passed = pass.call(&mut store, object).unwrap();
        assert_eq!(events(&mut store), ONE_EACH);
        assert_eq!(number.call(&mut store, passed).unwrap(), n);
        let mut results = [Val::AnyRef(None)];
        pass.func().call(&mut store, &[Val::AnyRef(passed)], &mut results).unwrap();
        let Val::AnyRef(passed) = results[0] else { panic!("not what was passed") };
        assert_eq!(number.call(&mut store, passed).unwrap(), n);
        events(&mut store);
    }
}

#[test]
fn suspending_a_call_is_no_event_and_a_hook_cannot_do_it() {
    let (mut store, instance) = hooked(&Config::new());
    let later = typed(&mut store, instance, "later");
    let (polls, result) = hop(later.call_async(&mut store, 3));
    assert_eq!((polls, result.unwrap(), store.data().ran), (5, 4, 2));
    let both = [CallingWasm, CallingHost, ReturningFromHost, CallingHost, ReturningFromHost, ReturningFromWasm];
    assert_eq!(events(&mut store), both);
    store.call_hook(move |mut store, event| -> Result<()> {
        store.data_mut().events.push(event);
        let error = later.call(&mut store, 0).unwrap_err();
        assert!(error.is::<SuspendError>(), "{error:?}");
        // By itself it can wait.
        assert_eq!(wait(later.call_async(&mut store, 1))?, 2);
        Ok(())
    });
    let (polls, result) = hop(later.call_async(&mut store, 3));
    assert_eq!((polls, result.unwrap(), events(&mut store)), (5, 4, both.to_vec()));
}

/// Of the two stacks either one can be above the other: a limit that is taken
/// for the other's stops code at once, or not at all.
#[test]
fn a_call_has_its_own_stack_after_its_hook_has_awaited_another_call() {
    let text = r#"(module (import "host" "pause" (func $pause (param i32) (result i32)))
        (func $deep (export "deep") (param i32) (result i32)
            (i32.add (i32.const 1) (call $deep (local.get 0))))
        (func (export "pause") (param i32) (result i32) (call $pause (local.get 0))))"#;
    let guest = || instance(&Config::new(), (), text, |_| {});
    for reverse in [false, true] {
        let ((mut store, instance), mut others) = (guest(), [guest(), guest()]);
        let [pause, deep] =
            ["pause", "deep"].map(|name| instance.get_typed_func::<i32, i32>(&mut store, name).unwrap());
        // The thread uses the stack first that it was given back last.
        let mut waiting = others.each_mut().map(|(store, instance)| {
            let pause = instance.get_typed_func::<i32, i32>(&mut *store, "pause").unwrap();
            Box::pin(async move { pause.call_async(store, 1).await })
        });
        assert!(waiting.iter_mut().all(|call| poll(call.as_mut()).is_pending()));
        let [first, second] = waiting;
        if reverse {
            drop((second, first));
        } else {
            drop((first, second));
        }
        store.call_hook(move |mut store, event| {
            if event == CallingWasm {
                assert_eq!(wait(pause.call_async(&mut store, 1))?, 2);
            }
            Ok(())
        });
        assert_eq!(wait(pause.call_async(&mut store, 3)).unwrap(), 6);
        let error = wait(deep.call_async(&mut store, 0)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
    }
}
