//! Hooks that are awaited.

use crate::{count, hop, instance, pause, poll, wait};
use CallHook::{CallingHost, CallingWasm, ReturningFromHost, ReturningFromWasm};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    CallHook, CallHookHandler, Caller, Config, Error, Extern, Instance, Result, Store, StoreContextMut, SuspendError,
    TypedFunc,
};

const GUEST: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (import "host" "typed" (func $typed (param i32) (result i32)))
    (import "host" "back" (func $back (param i32) (result i32)))
    (import "host" "later" (func $later (param i32) (result i32)))
    (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "typed") (param i32) (result i32) (call $typed (local.get 0)))
    (func (export "pause") (param i32) (result i32) (call $pause (local.get 0)))
    (func (export "back") (param i32) (result i32) (call $back (local.get 0)))
    (func (export "later") (param i32) (result i32) (call $later (local.get 0))))"#;

#[derive(Default)]
struct Seen {
    events: Vec<CallHook>,
    fail_at: Option<CallHook>,
    panic_at: Option<CallHook>,
    /// The results of calls that the hook has made.
    called: Vec<i32>,
}

/// Waits for so many polls before it notes an event.
struct Notes {
    polls: u32,
    /// What the hook itself calls, and does not wait for.
    calls: Option<TypedFunc<i32, i32>>,
}

#[async_trait::async_trait]
impl CallHookHandler<Seen> for Notes {
    async fn handle_call_event(&self, mut store: StoreContextMut<'_, Seen>, when: CallHook) -> Result<()> {
        pause(self.polls).await;
        if let Some(func) = &self.calls {
            let result = func.call(&mut store, 21)?;
            store.data_mut().called.push(result);
        }
        let seen = store.data_mut();
        seen.events.push(when);
        assert_ne!(seen.panic_at, Some(when), "the hook panics");
        if seen.fail_at == Some(when) { Err(Error::msg("of the hook")) } else { Ok(()) }
    }
}

fn guest() -> (Store<Seen>, Instance) {
    instance(&Config::new(), Seen::default(), GUEST, |linker| {
        linker.func_wrap("host", "typed", |n: i32| n + 1).unwrap();
        let double = |caller: &mut Caller<'_, Seen>| {
            let func = caller.get_export("double").and_then(Extern::into_func).unwrap();
            func.typed::<i32, i32>(&*caller)
        };
        linker
            .func_wrap("host", "back", move |mut caller: Caller<'_, Seen>, n: i32| double(&mut caller)?.call(caller, n))
            .unwrap();
        linker
            .func_wrap_async("host", "later", move |mut caller: Caller<'_, Seen>, (n,): (i32,)| {
                Box::new(async move { double(&mut caller)?.call_async(caller, n).await })
            })
            .unwrap();
    })
}

fn hooked(polls: u32) -> (Store<Seen>, Instance) {
    let (mut store, instance) = guest();
    store.call_hook_async(Notes { polls, calls: None });
    (store, instance)
}

async fn call(store: &mut Store<Seen>, instance: Instance, name: &str, argument: i32) -> Result<i32> {
    let func = instance.get_typed_func::<i32, i32>(&mut *store, name)?;
    func.call_async(store, argument).await
}

fn events(store: &mut Store<Seen>) -> Vec<CallHook> {
    std::mem::take(&mut store.data_mut().events)
}

const ONE_EACH: [CallHook; 4] = [CallingWasm, CallingHost, ReturningFromHost, ReturningFromWasm];

#[test]
fn a_hook_is_waited_for_each_time_on_whatever_thread() {
    let (mut store, instance) = hooked(2);
    assert_eq!(hop(call(&mut store, instance, "double", 4)).1.unwrap(), 8);
    assert_eq!(events(&mut store), [CallingWasm, ReturningFromWasm]);
    let (pending, result) = count(call(&mut store, instance, "typed", 3));
    assert_eq!((pending, result.unwrap()), (8, 4));
    assert_eq!(events(&mut store), ONE_EACH);
    let (pending, result) = count(call(&mut store, instance, "pause", 3));
    assert_eq!((pending, result.unwrap()), (8 + 3, 6));
    assert_eq!(events(&mut store), ONE_EACH);
    // A call in a host function that is awaited.
    assert_eq!(hop(call(&mut store, instance, "later", 5)).1.unwrap(), 10);
    let inside = [CallingWasm, CallingHost, CallingWasm, ReturningFromWasm, ReturningFromHost, ReturningFromWasm];
    assert_eq!(events(&mut store), inside);
}

#[test]
fn calls_that_cannot_wait_are_errors_that_say_so() {
    let (mut store, instance) = hooked(0);
    let double = instance.get_typed_func::<i32, i32>(&mut store, "double").unwrap();
    let assert_refused = |error: &Error| {
        assert_eq!(error.downcast_ref(), Some(&SuspendError::CallHook), "{error:?}");
        assert!(error.to_string().contains("`call_async`"), "{error}");
    };
    assert_refused(&double.call(&mut store, 4).unwrap_err());
    assert!(events(&mut store).is_empty());
    assert_refused(&wait(call(&mut store, instance, "back", 5)).unwrap_err());
    assert_eq!(events(&mut store), ONE_EACH, "of the call that is awaited");
    // A hook that is not async takes its place.
    store.call_hook(|mut store, when| {
        store.data_mut().events.push(when);
        Ok(())
    });
    assert_eq!(double.call(&mut store, 4).unwrap(), 8);
    assert_eq!(events(&mut store), [CallingWasm, ReturningFromWasm]);
}

#[test]
fn a_call_fails_or_panics_where_its_hook_does() {
    let (mut store, instance) = hooked(1);
    for (at, when) in ONE_EACH.into_iter().enumerate() {
        store.data_mut().fail_at = Some(when);
        let error = hop(call(&mut store, instance, "typed", 3)).1.unwrap_err();
        assert_eq!(error.to_string(), "of the hook");
        let seen = events(&mut store);
        assert_eq!(seen[..=at], ONE_EACH[..=at]);
        store.data_mut().fail_at = None;
        store.data_mut().panic_at = Some(when);
        assert!(catch_unwind(AssertUnwindSafe(|| wait(call(&mut store, instance, "typed", 3)))).is_err());
        store.data_mut().panic_at = None;
        events(&mut store);
        assert_eq!(wait(call(&mut store, instance, "typed", 3)).unwrap(), 4);
        assert_eq!(events(&mut store), ONE_EACH);
    }
}

#[test]
fn what_a_hook_calls_is_not_hooked_and_a_dropped_call_leaves_the_hook() {
    let (mut store, instance) = guest();
    let double = instance.get_typed_func::<i32, i32>(&mut store, "double").unwrap();
    store.call_hook_async(Notes { polls: 1, calls: Some(double) });
    assert_eq!(hop(call(&mut store, instance, "typed", 3)).1.unwrap(), 4);
    assert_eq!(events(&mut store), ONE_EACH);
    assert_eq!(store.data().called, [42; 4]);
    for polls in 1..=4 {
        let mut dropped = Box::pin(call(&mut store, instance, "typed", 3));
        for _ in 0..polls {
            assert!(poll(dropped.as_mut()).is_pending());
        }
        drop(dropped);
        events(&mut store);
        assert_eq!(wait(call(&mut store, instance, "typed", 3)).unwrap(), 4);
        assert_eq!(events(&mut store), ONE_EACH, "dropped after {polls} polls");
    }
}
