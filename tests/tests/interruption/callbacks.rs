//! Callbacks at deadlines.

use crate::guest::{EPOCH, assert_trap, call, compile, engine, load};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wasmc_loader::{Engine, Error, Instance, Linker, Store, StoreContextMut, Trap, UpdateDeadline, WasmBacktrace};

fn guest<T: 'static>(engine: &Engine, text: &str, data: T) -> (Store<T>, Instance) {
    let mut store = Store::new(engine, data);
    store.set_epoch_deadline(u64::MAX);
    let module = load(engine, &compile(text, EPOCH));
    let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// What calls another function looks each time round.
const LOOP: &str = r#"(module (func $run (export "run") (loop (br 0))) (func $nothing)
    (func (export "count") (param i32) (result i32) (local i32)
        (loop (call $nothing) (local.set 1 (i32.add (local.get 1) (i32.const 1)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "seven") (result i32) (i32.const 7)))"#;

#[test]
fn a_callback_lets_code_go_on_as_often_as_it_likes() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, 0);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        // Over at once, so that the next time round asks again.
        Ok(if *store.data() < 100 { UpdateDeadline::Continue(0) } else { UpdateDeadline::Interrupt })
    });
    store.set_epoch_deadline(0);
    assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "the callback's word");
    assert_eq!(*store.data(), 100);
    // All the way through a loop that ends: all that it had in registers is still there.
    *store.data_mut() = -1_000_000;
    store.set_epoch_deadline(0);
    let count = instance.get_typed_func::<i32, i32>(&mut store, "count").unwrap();
    assert_eq!(count.call(&mut store, 5000).unwrap(), 5000);
    assert_eq!(*store.data(), -1_000_000 + 5000);
    store.epoch_deadline_trap();
    assert_trap(count.call(&mut store, 5000), Trap::Interrupt, "no callback any more");
    assert_eq!(*store.data(), -1_000_000 + 5000);
}

#[test]
fn a_short_loop_that_counts_looks_in_one_of_256_rounds() {
    let engine = engine(EPOCH);
    for (step, what) in [(1, "one"), (-1, "one less"), (24, "24"), (-7, "7 less")] {
        let text = format!(
            r#"(module (func (export "run") (param $at i32) (param $end i32) (result i32) (local $rounds i32)
                (loop
                    (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
                    (br_if 0 (i32.ne (local.get $end)
                        (local.tee $at (i32.add (local.get $at) (i32.const {step}))))))
                (local.get $rounds)))"#
        );
        let (mut store, instance) = guest(&engine, &text, 0);
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            Ok(UpdateDeadline::Continue(0))
        });
        store.set_epoch_deadline(0);
        let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run").unwrap();
        for start in [0, 5, -3, i32::MAX, 1000] {
            *store.data_mut() = 0;
            let end = start.wrapping_add(step * 2560);
            assert_eq!(run.call(&mut store, (start, end)).unwrap(), 2560, "{what}, {start}");
            assert_eq!(*store.data(), 10, "{what}, {start}");
        }
    }
}

#[test]
fn a_loop_that_counts_by_what_it_is_told_looks_in_one_of_256_rounds_or_more() {
    let engine = engine(EPOCH);
    let text = r#"(module (global $rounds (mut i32) (i32.const 0))
        (func (export "run") (param $at i32) (param $step i32) (param $rounds i32) (result i32)
            (global.set $rounds (i32.const 0))
            (loop
                (local.set $at (i32.add (local.get $at) (local.get $step)))
                (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
                (br_if 0 (i32.lt_u (global.get $rounds) (local.get $rounds))))
            (local.get $at)))"#;
    let (mut store, instance) = guest(&engine, text, 0);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let run = instance.get_typed_func::<(i32, i32, i32), i32>(&mut store, "run").unwrap();
    // Of large powers of two there are fewer bits, and so more looks.
    let steps = [(1, 10), (-3, 10), (1 << 23, 10), (5 << 24, 10), (1 << 25, 20), (1 << 30, 640), (i32::MIN, 1280)];
    for (step, looks) in steps {
        for start in [0, 5, -3, i32::MAX, 1000] {
            *store.data_mut() = 0;
            let end = start.wrapping_add(step.wrapping_mul(2560));
            assert_eq!(run.call(&mut store, (start, step, 2560)).unwrap(), end, "{step}, {start}");
            assert_eq!(*store.data(), looks, "{step}, {start}");
        }
    }
    *store.data_mut() = 0;
    assert_eq!(run.call(&mut store, (7, 0, 2560)).unwrap(), 7);
    assert_eq!(*store.data(), 2560, "what does not count looks in every round");
}

#[test]
fn a_function_of_a_recursion_looks_once_before_it_calls() {
    let engine = engine(EPOCH);
    let text = r#"(module
        (func $fib (export "run") (param $n i32) (result i32)
            (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
                (then (local.get $n))
                (else (i32.add
                    (call $fib (i32.sub (local.get $n) (i32.const 1)))
                    (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
        (func $either (export "either") (param $n i32) (param $first i32)
            (if (i32.eqz (local.get $n)) (then (return)))
            (if (local.get $first) (then (call $either (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))))
            (call $either (i32.const 0) (i32.const 0))))"#;
    let (mut store, instance) = guest(&engine, text, 0);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 12).unwrap(), 144);
    // There are 465 calls, of which 233 are of 0 or 1.
    assert_eq!(*store.data(), 232);
    *store.data_mut() = 0;
    let either = instance.get_typed_func::<(i32, i32), ()>(&mut store, "either").unwrap();
    either.call(&mut store, (2, 1)).unwrap();
    assert_eq!(*store.data(), 3, "what only one way has looked at is looked at again after it");
    *store.data_mut() = 0;
    either.call(&mut store, (1, 0)).unwrap();
    assert_eq!(*store.data(), 1);
}

#[test]
fn epochs_are_counted_from_when_the_callback_answers() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, Vec::new());
    let clock = engine.clone();
    let mut now = 0;
    store.epoch_deadline_callback(move |mut store: StoreContextMut<'_, Vec<u64>>| {
        store.data_mut().push(now);
        clock.increment_epoch();
        now += 1;
        Ok(if now < 5 { UpdateDeadline::Continue(0) } else { UpdateDeadline::Continue(1) })
    });
    store.set_epoch_deadline(0);
    let count = instance.get_typed_func::<i32, i32>(&mut store, "count").unwrap();
    count.call(&mut store, 1000).unwrap();
    assert_eq!(*store.data(), [0, 1, 2, 3, 4]);
    engine.increment_epoch();
    count.call(&mut store, 1000).unwrap();
    assert_eq!(*store.data(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_callbacks_error_and_panic_come_out_of_the_call() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, ());
    store.epoch_deadline_callback(|_| Err("17 is no number".parse::<i32>().unwrap_err().into()));
    store.set_epoch_deadline(0);
    let error = call(&mut store, instance, "run").unwrap_err();
    assert!(error.is::<std::num::ParseIntError>(), "{error:#}");
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
    assert_eq!(backtrace.frames()[0].func_name(), Some("run"));
    store.epoch_deadline_callback(|_| panic!("the callback's own"));
    for _ in 0..2 {
        let panic = catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, "run"))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the callback's own"));
    }
    store.set_epoch_deadline(u64::MAX);
    let seven = instance.get_typed_func::<(), i32>(&mut store, "seven").unwrap();
    assert_eq!(seven.call(&mut store, ()).unwrap(), 7);
}

#[test]
fn a_callback_calls_code_of_the_same_store() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, (0, 0));
    let seven = instance.get_typed_func::<(), i32>(&mut store, "seven").unwrap();
    let count = instance.get_typed_func::<i32, i32>(&mut store, "count").unwrap();
    store.epoch_deadline_callback(move |mut store| {
        store.data_mut().0 += seven.call(&mut store, ())?;
        // The deadline is over for what the callback calls, too, and there is
        // nobody to ask.
        assert_trap(count.call(&mut store, 5), Trap::Interrupt, "code of the callback's");
        store.set_epoch_deadline(u64::MAX);
        store.data_mut().1 += count.call(&mut store, 5)?;
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    assert_eq!(count.call(&mut store, 10).unwrap(), 10);
    assert_eq!(*store.data(), (70, 50));
}

#[test]
fn a_callback_may_collect_garbage_under_the_feet_of_the_code() {
    // References in locals, on the operand stack and in callers' frames.
    let text = r#"(module
        (type $node (struct (field $value i32) (field $next (ref null $node))))
        (func $nothing)
        (func $list (param $n i32) (result (ref null $node)) (local $head (ref null $node))
            (loop (call $nothing)
                (local.set $head (struct.new $node (local.get $n) (local.get $head)))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $head))
        (func $sum (param $at (ref null $node)) (result i32) (local $sum i32)
            (block $done (loop (call $nothing)
                (br_if $done (ref.is_null (local.get $at)))
                (local.set $sum (i32.add (local.get $sum) (struct.get $node $value (local.get $at))))
                (local.set $at (struct.get $node $next (local.get $at)))
                (br 0)))
            (local.get $sum))
        (func $deep (param $n i32) (param $own (ref null $node)) (result i32)
            (if (result i32) (i32.eqz (local.get $n))
                (then (call $sum (local.get $own)))
                (else (i32.add
                    (call $deep (i32.sub (local.get $n) (i32.const 1)) (struct.new $node (local.get $n) (local.get $own)))
                    (struct.get $node $value (local.get $own))))))
        (func (export "lists") (param i32) (result i32)
            (i32.add (call $sum (call $list (local.get 0))) (call $sum (call $list (local.get 0)))))
        (func (export "deep") (param i32) (result i32)
            (call $deep (local.get 0) (struct.new $node (i32.const 1) (ref.null $node)))))"#;
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, text, 0);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        store.gc();
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let lists = instance.get_typed_func::<i32, i32>(&mut store, "lists").unwrap();
    assert_eq!(lists.call(&mut store, 60).unwrap(), 60 * 61);
    let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep").unwrap();
    // 50 + ... + 1, and the first node; and what each caller has looked at again.
    assert_eq!(deep.call(&mut store, 50).unwrap(), 2 * (51 * 50 / 2) + 1);
    assert!(*store.data() > 250, "{}", store.data());
}

#[test]
fn what_a_callback_makes_is_dropped_with_the_scope_of_the_callback() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, ());
    let value = Arc::new(());
    let kept = value.clone();
    store.epoch_deadline_callback(move |mut store| {
        wasmc_loader::ExternRef::new(&mut store, kept.clone())?;
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let count = instance.get_typed_func::<i32, i32>(&mut store, "count").unwrap();
    count.call(&mut store, 100).unwrap();
    store.epoch_deadline_trap();
    store.gc();
    // This one, and nothing of the callback's, which is gone.
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_trap_of_the_callbacks_is_that_of_the_call() {
    let engine = engine(EPOCH);
    let (mut store, instance) = guest(&engine, LOOP, ());
    store.epoch_deadline_callback(|_| Err(Error::new(Trap::OutOfFuel).context("so it is")));
    store.set_epoch_deadline(0);
    let error = call(&mut store, instance, "run").unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
    assert!(error.to_string().contains("so it is"));
}
