//! How calls end other than by returning: dropped, by a panic, without stack.

use crate::{count, hop, instance, module, pause, poll, wait};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::Poll;
use std::thread;
use wasmc_loader::{Caller, Config, Engine, Instance, InstanceAllocationStrategy, Linker, Store, Trap};

/// Counts what exists, in the store's data.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicI32>);

impl Alive {
    fn count(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of what is counted.
struct One(Alive);

impl One {
    fn new(alive: &Alive) -> One {
        alive.0.fetch_add(1, Ordering::Relaxed);
        One(alive.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notes each step in memory, and each call of `step` has one pause.
const STEPS: &str = r#"(module
    (import "host" "step" (func $step (param i32)))
    (memory (export "memory") 1)
    (global $depth (mut i32) (i32.const 0))
    (func $down (param i32)
        (i32.store8 (local.get 0) (i32.const 1))
        (call $step (local.get 0))
        (if (i32.lt_u (local.get 0) (i32.const 9))
            (then (call $down (i32.add (local.get 0) (i32.const 1)))))
        (i32.store8 offset=16 (local.get 0) (i32.const 1)))
    (func (export "run") (call $down (i32.const 0)))
    (func $overflow (export "overflow") (param i32) (result i32)
        (if (i32.eqz (i32.and (local.get 0) (i32.const 1023)))
            (then (call $step (local.get 0))))
        (i32.add (call $overflow (i32.add (local.get 0) (i32.const 1))) (i32.const 1))))"#;

fn steps(config: &Config) -> (Store<Alive>, Instance) {
    instance(config, Alive::default(), STEPS, |linker: &mut Linker<Alive>| {
        let step = linker.func_wrap_async("host", "step", |caller: Caller<'_, Alive>, (_,): (i32,)| {
            let outside = One::new(caller.data());
            Box::new(async move {
                let inside = One::new(caller.data());
                pause(1).await;
                drop((inside, outside));
            })
        });
        step.unwrap();
    })
}

/// How many bytes from `at` on are 1, as all of those are that are not 0.
fn marks(store: &mut Store<Alive>, instance: Instance, at: usize) -> usize {
    let memory = instance.get_memory(&mut *store, "memory").unwrap();
    memory.data(&*store)[at..at + 10].iter().filter(|byte| **byte == 1).count()
}

#[test]
fn a_call_can_be_dropped_wherever_it_waits() {
    for config in [Config::new(), Config::new().allocation_strategy(InstanceAllocationStrategy::pooling()).clone()] {
        let (mut store, instance) = steps(&config);
        let alive = store.data().clone();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        for polls in 0..=11 {
            let mut call = Box::pin(run.call_async(&mut store, ()));
            for polled in 1..=polls {
                assert_eq!(poll(call.as_mut()).is_ready(), polled == 11);
                assert_eq!(alive.count(), if polled == 11 { 0 } else { 2 });
            }
            // Also on a thread that it never was on.
            if polls % 2 == 0 {
                drop(call)
            } else {
                thread::scope(|scope| scope.spawn(|| drop(call)).join().unwrap())
            }
            assert_eq!(alive.count(), 0, "after {polls} polls");
            assert_eq!(marks(&mut store, instance, 0), polls.min(10));
            assert_eq!(marks(&mut store, instance, 16), if polls == 11 { 10 } else { 0 });
            // All works as before.
            assert_eq!(count(run.call_async(&mut store, ())).0, 10);
            assert_eq!((marks(&mut store, instance, 0), marks(&mut store, instance, 16)), (10, 10));
            instance.reset(&mut store).unwrap();
        }
    }
}

#[test]
fn an_instantiation_can_be_dropped_while_it_waits() {
    let engine = Engine::default();
    let module = module(
        &engine,
        r#"(module (import "host" "step" (func $step))
            (func $start (call $step) (call $step)) (start $start)
            (func (export "run") (result i32) (call $step) (i32.const 7)))"#,
    );
    let mut linker = Linker::<Alive>::new(&engine);
    let step = linker.func_wrap_async("host", "step", |caller: Caller<'_, Alive>, (): ()| {
        Box::new(async move {
            let _one = One::new(caller.data());
            pause(1).await;
        })
    });
    step.unwrap();
    let mut store = Store::new(&engine, Alive::default());
    let alive = store.data().clone();
    for polls in 0..3 {
        let mut future = Box::pin(linker.instantiate_async(&mut store, &module));
        for _ in 0..polls {
            assert!(poll(future.as_mut()).is_pending());
            assert_eq!(alive.count(), 1);
        }
        drop(future);
        assert_eq!(alive.count(), 0);
    }
    let instance = wait(linker.instantiate_async(&mut store, &module)).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(count(run.call_async(&mut store, ())).1.unwrap(), 7);
}

#[test]
fn a_call_that_is_leaked_leaves_the_store_as_if_it_had_never_been() {
    let (mut store, instance) = steps(&Config::new());
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    for polls in [1, 5] {
        let mut call = Box::pin(run.call_async(&mut store, ()));
        for _ in 0..polls {
            assert!(poll(call.as_mut()).is_pending());
        }
        std::mem::forget(call);
        assert_eq!(marks(&mut store, instance, 0), polls);
        // No code is active: otherwise this would be refused.
        instance.reset(&mut store).unwrap();
        let overflow = instance.get_typed_func::<i32, i32>(&mut store, "overflow").unwrap();
        assert_eq!(overflow.call(&mut store, 1).map_err(|e| e.is::<Trap>()), Err(false), "`step` was called");
        assert_eq!(count(run.call_async(&mut store, ())).0, 10);
        instance.reset(&mut store).unwrap();
    }
}

const CALL: &str = r#"(module (import "host" "panic" (func $panic (param i32)))
    (func (export "panic") (param i32) (call $panic (local.get 0)))
    (func (export "fine") (result i32) (i32.const 3)))"#;

/// Panics after so many pauses, then in its destructor if that is dropped while
/// it waits.
struct Panics(bool);

impl Drop for Panics {
    fn drop(&mut self) {
        if self.0 {
            panic!("in a destructor");
        }
    }
}

fn panicking() -> (Store<Alive>, Instance) {
    instance(&Config::new(), Alive::default(), CALL, |linker: &mut Linker<Alive>| {
        let panic = linker.func_wrap_async("host", "panic", |caller: Caller<'_, Alive>, (pauses,): (i32,)| {
            Box::new(async move {
                let _one = One::new(caller.data());
                let mut late = Panics(pauses < 0);
                pause(pauses.unsigned_abs()).await;
                late.0 = false;
                assert!(pauses < 0, "on purpose");
            })
        });
        panic.unwrap();
    })
}

fn message(panic: Box<dyn std::any::Any + Send>) -> &'static str {
    panic.downcast_ref::<&'static str>().expect("panics are messages")
}

#[test]
fn panics_of_host_functions_come_out_of_the_poll() {
    let (mut store, instance) = panicking();
    let alive = store.data().clone();
    let panic = instance.get_typed_func::<i32, ()>(&mut store, "panic").unwrap();
    let fine = instance.get_typed_func::<(), i32>(&mut store, "fine").unwrap();
    for pauses in [0, 1, 3] {
        let caught = catch_unwind(AssertUnwindSafe(|| wait(panic.call_async(&mut store, pauses))));
        assert_eq!((message(caught.unwrap_err()), alive.count()), ("on purpose", 0));
        let caught = catch_unwind(AssertUnwindSafe(|| hop(panic.call_async(&mut store, pauses))));
        assert_eq!((message(caught.unwrap_err()), alive.count()), ("on purpose", 0));
        assert_eq!(wait(fine.call_async(&mut store, ())).unwrap(), 3);
        assert_eq!(fine.call(&mut store, ()).unwrap(), 3);
    }
}

#[test]
fn panics_of_destructors_come_out_of_dropping_the_call() {
    let (mut store, instance) = panicking();
    let alive = store.data().clone();
    let panic = instance.get_typed_func::<i32, ()>(&mut store, "panic").unwrap();
    let mut call = Box::pin(panic.call_async(&mut store, -2));
    assert!(poll(call.as_mut()).is_pending());
    let caught = catch_unwind(AssertUnwindSafe(|| drop(call)));
    assert_eq!((message(caught.unwrap_err()), alive.count()), ("in a destructor", 0));
    // While another panic goes on, it is that one which comes out.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut call = Box::pin(panic.call_async(&mut store, -2));
        assert!(poll(call.as_mut()).is_pending());
        panic!("the other one");
    }));
    assert_eq!((message(caught.unwrap_err()), alive.count()), ("the other one", 0));
    let fine = instance.get_typed_func::<(), i32>(&mut store, "fine").unwrap();
    assert_eq!(wait(fine.call_async(&mut store, ())).unwrap(), 3);
}

#[test]
fn code_that_overflows_its_stack_traps() {
    for (wasm, stack) in [(64 << 10, 64 << 10), (512 << 10, 2 << 20), (1 << 20, 1 << 20)] {
        let (mut store, instance) = steps(Config::new().max_wasm_stack(wasm).async_stack_size(stack));
        let overflow = instance.get_typed_func::<i32, i32>(&mut store, "overflow").unwrap();
        for _ in 0..2 {
            let (pauses, result) = count(overflow.call_async(&mut store, 0));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
            assert!(pauses > wasm / 200 / 1024, "{pauses} pauses with {wasm} bytes");
            let (polls, result) = hop(overflow.call_async(&mut store, 0));
            assert_eq!((polls, result.unwrap_err().downcast_ref()), (pauses + 1, Some(&Trap::StackOverflow)));
            // On this thread's own stack there is as much as ever.
            let result = overflow.call(&mut store, 1020);
            assert!(!result.unwrap_err().is::<Trap>(), "`step` is called first");
        }
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        assert_eq!(count(run.call_async(&mut store, ())).0, 10);
    }
}

#[test]
fn stacks_that_are_smaller_than_what_code_may_use_are_an_error() {
    let (mut store, instance) = steps(Config::new().async_stack_size((512 << 10) - 1));
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let text = format!("{:?}", wait(run.call_async(&mut store, ())).unwrap_err());
    assert!(text.contains("Config::async_stack_size") && text.contains("524287"), "{text}");
    let (mut store, instance) = steps(Config::new().async_stack_size(usize::MAX));
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let text = format!("{:#}", wait(run.call_async(&mut store, ())).unwrap_err());
    assert!(text.contains("cannot get a stack of 18446744073709551615 bytes"), "{text}");
}

#[test]
fn a_host_function_has_the_rest_of_the_stack() {
    /// Uses the stack down to an address, however much a frame takes.
    #[inline(never)]
    fn use_stack(end: usize) -> u8 {
        let page = std::hint::black_box([1u8; 4096]);
        if page.as_ptr().addr() > end { use_stack(end).wrapping_add(page[0]) } else { page[0] }
    }
    let text = r#"(module (import "host" "deep" (func $deep (result i32))) (export "deep" (func $deep))
        (func (export "f") (result i32) (call $deep)))"#;
    let mut config = Config::new();
    config.async_stack_size(8 << 20);
    let (mut store, instance) = instance(&config, (), text, |linker| {
        let deep = |_: Caller<'_, ()>| {
            let here = 0;
            i32::from(use_stack((&raw const here).addr() - (6 << 20)))
        };
        linker.func_wrap("host", "deep", deep).unwrap();
    });
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    // More than what the test's thread has.
    let mut call = pin!(f.call_async(&mut store, ()));
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(_))));
}
