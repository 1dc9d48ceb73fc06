//! Code that yields to other tasks, at its deadline or for its fuel.

use crate::{count, hop, poll, wait};
use std::task::Poll;
use wasmc::Options;
use wasmc_loader::{
    Caller, Config, Engine, Instance, Linker, Module, Store, SuspendError, Trap, TypedFunc, UpdateDeadline,
};

/// `ticks` loops so often, and each time something makes it yield; it keeps
/// values of all kinds meanwhile. `spin` only counts down.
const LOOPS: &str = r#"(module
    (type $box (struct (field i32)))
    (import "host" "tick" (func $tick))
    (memory (export "memory") 1)
    (func (export "ticks") (param $times i32) (result i32)
        (local $f f64) (local $l i64) (local $v v128) (local $o (ref null $box)) (local $n i32)
        (local.set $v (i32x4.splat (i32.const 3)))
        (local.set $o (struct.new $box (i32.const 1000)))
        (loop $again
            (call $tick)
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (i32.store (i32.const 0) (local.get $n))
            (local.set $f (f64.add (local.get $f) (f64.const 0.5)))
            (local.set $l (i64.add (local.get $l) (i64.const 0x1_0000_0001)))
            (local.set $v (i32x4.add (local.get $v) (local.get $v)))
            (br_if $again (i32.lt_u (local.get $n) (local.get $times))))
        (if (f64.ne (f64.mul (local.get $f) (f64.const 2)) (f64.convert_i32_u (local.get $n))) (then unreachable))
        (if (i64.ne (local.get $l) (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 0x1_0000_0001)))
            (then unreachable))
        (if (i32.ne (i32x4.extract_lane 2 (local.get $v)) (i32.shl (i32.const 3) (local.get $n))) (then unreachable))
        (i32.add (struct.get $box 0 (local.get $o)) (local.get $n)))
    (func (export "spin") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

fn module(config: &Config, options: Options) -> Module {
    let engine = Engine::new(config).unwrap();
    let wasm = wat::parse_str(LOOPS).unwrap();
    let artifact = wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"));
    // SAFETY: the bytes come straight from the compiler.
    unsafe { Module::from_bytes(&engine, &artifact) }.unwrap_or_else(|e| panic!("{e:?}"))
}

/// A store whose code ticks its engine's clock.
fn clocked(stress: bool) -> (Store<()>, Instance) {
    let config = Config::new().epoch_interruption(true).gc_stress(stress).clone();
    let module = module(&config, Options { epoch: true, ..Options::new() });
    let mut linker = Linker::new(module.engine());
    let tick = |mut caller: Caller<'_, ()>| {
        caller.engine().increment_epoch();
        caller.gc();
    };
    linker.func_wrap("host", "tick", tick).unwrap();
    let mut store = Store::new(module.engine(), ());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

fn ticks(store: &mut Store<()>, instance: Instance) -> TypedFunc<i32, i32> {
    instance.get_typed_func(store, "ticks").unwrap()
}

#[test]
fn code_yields_at_each_deadline_and_goes_on_as_it_was() {
    for stress in [false, true] {
        let (mut store, instance) = clocked(stress);
        store.epoch_deadline_async_yield_and_update(1);
        let ticks = ticks(&mut store, instance);
        for times in [1, 2, 17] {
            store.set_epoch_deadline(1);
            let (pending, result) = count(ticks.call_async(&mut store, times));
            assert_eq!((pending as i32, result.unwrap()), (times - 1, 1000 + times));
            store.set_epoch_deadline(1);
            let (polls, result) = hop(ticks.call_async(&mut store, times));
            assert_eq!((polls as i32, result.unwrap()), (times, 1000 + times));
        }
        store.epoch_deadline_async_yield_and_update(4);
        store.set_epoch_deadline(4);
        assert_eq!(count(ticks.call_async(&mut store, 17)).0, 4);
    }
}

#[test]
fn a_callback_has_code_yield_or_go_on_or_end() {
    let (mut store, instance) = clocked(false);
    let ticks = ticks(&mut store, instance);
    let mut asked = 0;
    store.epoch_deadline_callback(move |_| {
        asked += 1;
        Ok(match asked {
            7 => UpdateDeadline::Interrupt,
            odd if odd % 2 == 1 => UpdateDeadline::Yield(1),
            _ => UpdateDeadline::Continue(1),
        })
    });
    store.set_epoch_deadline(1);
    let (polls, result) = hop(ticks.call_async(&mut store, 17));
    assert_eq!((polls, result.unwrap_err().downcast_ref()), (4, Some(&Trap::Interrupt)));
}

#[test]
fn code_that_has_yielded_can_be_interrupted_or_dropped() {
    let (mut store, instance) = clocked(false);
    store.epoch_deadline_async_yield_and_update(1);
    let ticks = ticks(&mut store, instance);
    let done = |store: &mut Store<()>| {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        memory.data(&*store)[0]
    };
    let handle = store.interrupt_handle().unwrap();
    store.set_epoch_deadline(1);
    let mut call = Box::pin(ticks.call_async(&mut store, 17));
    for _ in 0..3 {
        assert!(poll(call.as_mut()).is_pending());
    }
    handle.interrupt();
    let Poll::Ready(Err(error)) = poll(call.as_mut()) else { panic!("the code was not interrupted") };
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
    drop(call);
    assert_eq!(done(&mut store), 4);
    for polls in [1, 6] {
        store.set_epoch_deadline(1);
        let mut call = Box::pin(ticks.call_async(&mut store, 17));
        for _ in 0..polls {
            assert!(poll(call.as_mut()).is_pending());
        }
        drop(call);
        assert_eq!(done(&mut store), polls);
    }
    store.set_epoch_deadline(u64::MAX);
    assert_eq!(ticks.call(&mut store, 3).unwrap(), 1003);
}

#[test]
fn code_of_a_synchronous_call_cannot_yield() {
    let (mut store, instance) = clocked(false);
    store.epoch_deadline_async_yield_and_update(1);
    let ticks = ticks(&mut store, instance);
    store.set_epoch_deadline(1);
    let error = ticks.call(&mut store, 5).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&SuspendError::CannotYield));
    assert!(error.to_string().contains("`call_async`"), "{error}");
    store.set_epoch_deadline(1);
    assert_eq!(wait(ticks.call_async(&mut store, 5)).unwrap(), 1005);
}

fn fueled(fuel: u64) -> (Store<()>, TypedFunc<i32, ()>) {
    let module = module(Config::new().consume_fuel(true), Options { fuel: true, ..Options::new() });
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "tick", || {}).unwrap();
    let mut store = Store::new(module.engine(), ());
    store.set_fuel(fuel).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let spin = instance.get_typed_func(&mut store, "spin").unwrap();
    (store, spin)
}

#[test]
fn code_yields_after_so_much_fuel_and_uses_no_more_of_it() {
    // 5 for each time round, 1 for the function. So short a loop looks in every
    // 256th round, after 1,280 units.
    for (interval, least, most) in [(100, 3, 50), (1000, 3, 5), (1, 3, 5001), (5000, 0, 1), (5001, 0, 0)] {
        let (mut store, spin) = fueled(10_000);
        store.fuel_async_yield_interval(Some(interval)).unwrap();
        assert_eq!(store.get_fuel().unwrap(), 10_000);
        let (polls, result) = hop(spin.call_async(&mut store, 1000));
        result.unwrap();
        assert!((least..=most).contains(&(polls - 1)), "{polls} polls with {interval}");
        assert_eq!(store.get_fuel().unwrap(), 10_000 - 5001);
        // As many each time.
        store.set_fuel(10_000).unwrap();
        assert_eq!(hop(spin.call_async(&mut store, 1000)).0, polls);
    }
}

#[test]
fn yielding_does_not_change_when_fuel_is_used_up() {
    for interval in [None, Some(1), Some(7), Some(100), Some(u64::MAX)] {
        for (fuel, enough) in [(5001, true), (5000, false), (99, false), (0, false)] {
            let (mut store, spin) = fueled(fuel);
            store.fuel_async_yield_interval(interval).unwrap();
            let (pending, result) = count(spin.call_async(&mut store, 1000));
            assert_eq!(result.is_ok(), enough, "{fuel} with {interval:?}");
            let used = fuel.min(5001);
            let (may, must) = match interval {
                Some(interval) => (interval < used, interval.saturating_add(1280) < used),
                None => (false, false),
            };
            assert!((pending == 0 || may) && (pending > 0 || !must), "{pending} times: {fuel}, {interval:?}");
            if let Err(error) = result {
                assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
            }
            assert_eq!(store.get_fuel().unwrap(), 0);
        }
    }
}

#[test]
fn an_interval_of_fuel_is_refused_where_it_makes_no_sense() {
    let (mut store, spin) = fueled(10_000);
    assert!(store.fuel_async_yield_interval(Some(0)).unwrap_err().to_string().contains("1 or more"));
    store.fuel_async_yield_interval(Some(10)).unwrap();
    let error = spin.call(&mut store, 1000).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&SuspendError::CannotYield));
    store.fuel_async_yield_interval(None).unwrap();
    store.set_fuel(5001).unwrap();
    assert_eq!(count(spin.call_async(&mut store, 1000)).0, 0);
    let (mut store, _) = clocked(false);
    assert!(store.fuel_async_yield_interval(Some(10)).unwrap_err().to_string().contains("Config::consume_fuel"));
}

#[test]
fn two_endless_loops_take_turns() {
    let (mut a, spin_a) = fueled(10_000);
    let (mut b, spin_b) = fueled(10_000);
    a.fuel_async_yield_interval(Some(100)).unwrap();
    b.fuel_async_yield_interval(Some(300)).unwrap();
    let mut calls = [Box::pin(spin_a.call_async(&mut a, 0)), Box::pin(spin_b.call_async(&mut b, 0))];
    let mut polls = [0, 0];
    let mut done = [false, false];
    while done != [true, true] {
        for ((call, polls), done) in calls.iter_mut().zip(&mut polls).zip(&mut done) {
            if !*done {
                *polls += 1;
                if let Poll::Ready(result) = poll(call.as_mut()) {
                    assert_eq!(result.unwrap_err().downcast_ref(), Some(&Trap::OutOfFuel));
                    *done = true;
                }
            }
        }
    }
    // Between an interval and one with 256 rounds more.
    assert!((7..=101).contains(&polls[0]) && (6..=34).contains(&polls[1]), "{polls:?}");
}

#[test]
fn code_that_waits_for_others_yields_and_goes_on_waiting() {
    let text = r#"(module (memory (export "memory") 1 1 shared) (type $box (struct (field i32)))
        (func (export "wait") (param i32) (result i32) (local $o (ref null $box))
            (local.set $o (struct.new $box (local.get 0)))
            (i32.add (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))
                (struct.get $box 0 (local.get $o)))))"#;
    let config = Config::new().epoch_interruption(true).gc_stress(true).clone();
    let engine = Engine::new(&config).unwrap();
    let wasm = wat::parse_str(text).unwrap();
    let artifact = wasmc::compile(&wasm, &Options { epoch: true, ..Options::new() }).unwrap();
    // SAFETY: the bytes come straight from the compiler.
    let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX);
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let memory = instance.get_shared_memory(&mut store, "memory").unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "wait").unwrap();
    store.epoch_deadline_async_yield_and_update(0);
    for drops in [true, false] {
        store.set_epoch_deadline(0);
        let mut call = Box::pin(run.call_async(&mut store, 30));
        for _ in 0..4 {
            let once = || poll(call.as_mut()).is_pending();
            assert!(std::thread::scope(|scope| scope.spawn(once).join().unwrap()));
        }
        if drops {
            drop(call);
            assert_eq!(memory.atomic_notify(8, 9).unwrap(), 0, "nobody waits any more");
        } else {
            assert_eq!(memory.atomic_notify(8, 9).unwrap(), 1);
            assert_eq!(hop(call).1.unwrap(), 30);
        }
    }
}
