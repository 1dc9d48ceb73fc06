//! Every kind of code that does not end is stopped, on every strategy, and the
//! next call works.

use crate::guest::{BOTH, EPOCH, FUEL, assert_trap, call, compile, engine, engine_with, instance, load, store};
use std::sync::atomic::{AtomicBool, Ordering};
use wasmc_loader::{Engine, Error, Func, Instance, InstantiationStrategy, Linker, Module, Store, Trap};
use wasmc_tests::Finally;

/// Ways not to end: `run` never returns, `fine` does, and says what a fresh
/// instance says.
const ENDLESS: [(&str, &str); 16] = [
    ("a loop", "(func (export \"run\") (loop (br 0)))"),
    ("a loop of branches on conditions", "(func (export \"run\") (loop (br_if 0 (i32.const 1)) (br 0)))"),
    (
        "nested loops of which the inner one ends",
        "(func (export \"run\") (local i32) (loop (local.set 0 (i32.const 5)) (loop
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (br 0)))",
    ),
    ("a loop by way of a table", "(func (export \"run\") (loop (br_table 0 0 0 (i32.const 1))))"),
    ("a tail call of itself", "(func $f (export \"run\") (return_call $f))"),
    (
        "tail calls in turn",
        "(func $f (export \"run\") (return_call $g)) (func $g (return_call $h)) (func $h (return_call $f))",
    ),
    (
        "tail calls through a table that never changes",
        "(type $t (func)) (table 2 2 funcref) (elem (i32.const 0) $f $g)
        (func $f (export \"run\") (return_call_indirect (type $t) (i32.const 1)))
        (func $g (return_call_indirect (type $t) (i32.const 0)))",
    ),
    (
        "tail calls through a table that everybody sees",
        "(type $t (func)) (table (export \"t\") 2 2 funcref) (elem (i32.const 0) $f $g)
        (func $f (export \"run\") (return_call_indirect (type $t) (i32.const 1)))
        (func $g (return_call_indirect (type $t) (i32.const 0)))",
    ),
    (
        "tail calls by reference",
        "(type $t (func)) (elem declare func $f) (func $f (export \"run\") (return_call_ref $t (ref.func $f)))",
    ),
    (
        "a recursion that branches too often to end",
        "(func $f (param i32) (if (local.get 0) (then
            (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1))))))
        (func (export \"run\") (call $f (i32.const 500)))",
    ),
    ("a growing memory", "(memory 1 100) (func (export \"run\") (loop (drop (memory.grow (i32.const 1))) (br 0)))"),
    (
        "a growing table",
        "(table $t 1 funcref) (func (export \"run\") (loop (drop (table.grow $t (ref.null func) (i32.const 1))) (br 0)))",
    ),
    (
        "a loop that makes garbage",
        "(type $s (struct (field i64))) (func (export \"run\") (loop (drop (struct.new $s (i64.const 1))) (br 0)))",
    ),
    (
        "a list that grows",
        "(type $s (struct (field (ref null $s)))) (func (export \"run\") (local (ref null $s))
            (loop (local.set 0 (struct.new $s (ref.null $s))) (br 0)))",
    ),
    (
        "a loop of exceptions",
        "(tag $e) (func $throw (throw $e)) (func (export \"run\")
            (loop $again (block $caught (try_table (catch $e $caught) (call $throw))) (br $again)))",
    ),
    (
        "a loop that catches everything",
        "(tag $e) (func $throw (throw $e)) (func (export \"run\")
            (loop $again (block $caught (try_table (catch_all $caught) (loop (br 0)))) (br $again)))",
    ),
];

fn text(body: &str) -> String {
    format!(
        r#"(module (global $count (mut i32) (i32.const 6)) {body}
        (func (export "fine") (result i32) (local $i i32)
            (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
            (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))"#
    )
}

/// Ticks until the call has returned.
fn ticking<R>(engine: &Engine, call: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.increment_epoch();
                std::thread::yield_now();
            }
        });
        let _done = Finally(&done);
        call()
    })
}

fn fine(store: &mut Store<()>, instance: Instance) -> i32 {
    instance.get_typed_func::<(), i32>(&mut *store, "fine").unwrap().call(store, ()).unwrap()
}

#[test]
fn a_deadline_that_is_over_stops_everything_that_does_not_end() {
    for strategy in InstantiationStrategy::ALL.iter().copied() {
        let engine = engine_with(strategy, EPOCH);
        for (what, body) in ENDLESS {
            let what = format!("{what}, {strategy}");
            let (mut store, instance) = instance(&engine, EPOCH, &compile(&text(body), EPOCH));
            store.set_epoch_deadline(0);
            assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, &what);
            assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, &what);
            store.set_epoch_deadline(u64::MAX);
            assert_eq!(fine(&mut store, instance), 7, "{what}");
            instance.reset(&mut store).unwrap();
            assert_eq!(fine(&mut store, instance), 7, "{what}");
        }
    }
}

#[test]
fn a_deadline_that_comes_meanwhile_stops_everything_that_does_not_end() {
    let engine = engine(EPOCH);
    for (what, body) in ENDLESS {
        let (mut store, instance) = instance(&engine, EPOCH, &compile(&text(body), EPOCH));
        store.set_epoch_deadline(3);
        assert_trap(ticking(&engine, || call(&mut store, instance, "run")), Trap::Interrupt, what);
        store.set_epoch_deadline(u64::MAX);
        assert_eq!(ticking(&engine, || fine(&mut store, instance)), 7, "{what}");
    }
}

#[test]
fn fuel_stops_everything_that_does_not_end() {
    for strategy in InstantiationStrategy::ALL.iter().copied() {
        let engine = engine_with(strategy, FUEL);
        for (what, body) in ENDLESS {
            let what = format!("{what}, {strategy}");
            let (mut store, instance) = instance(&engine, FUEL, &compile(&text(body), FUEL));
            store.set_fuel(20_000).unwrap();
            assert_trap(call(&mut store, instance, "run"), Trap::OutOfFuel, &what);
            assert_eq!(store.get_fuel().unwrap(), 0);
            assert_trap(call(&mut store, instance, "run"), Trap::OutOfFuel, &what);
            store.set_fuel(1000).unwrap();
            assert_eq!(fine(&mut store, instance), 7, "{what}");
        }
    }
}

#[test]
fn an_instance_that_was_stopped_goes_back_to_the_pool_like_any_other() {
    let engine = engine_with(InstantiationStrategy::PoolingCopyOnWrite, BOTH);
    let artifact = compile(&text(ENDLESS[10].1), BOTH);
    let module = load(&engine, &artifact);
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    for round in 0..10 {
        let mut store = store(&engine, BOTH);
        let instance = pre.instantiate(&mut store).unwrap();
        assert_eq!(fine(&mut store, instance), 7, "round {round}");
        if round % 2 == 0 {
            store.set_epoch_deadline(0);
            assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "deadline");
        } else {
            store.set_fuel(500).unwrap();
            assert_trap(call(&mut store, instance, "run"), Trap::OutOfFuel, "fuel");
        }
    }
}

#[test]
fn a_start_function_is_stopped_in_instantiation_and_in_resets() {
    let text = r#"(module (import "host" "endless" (global $endless (mut i32)))
        (func $start (loop (br_if 0 (global.get $endless)))) (start $start))"#;
    let engine = engine(BOTH);
    let module = load(&engine, &compile(text, BOTH));
    let mut store = store(&engine, BOTH);
    let ty = wasmc_loader::GlobalType::new(wasmc_loader::ValType::I32, wasmc_loader::Mutability::Var);
    let global = wasmc_loader::Global::new(&mut store, ty, 1.into()).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "endless", global).unwrap();
    store.set_epoch_deadline(0);
    assert_trap(linker.instantiate(&mut store, &module), Trap::Interrupt, "deadline");
    store.set_epoch_deadline(u64::MAX);
    store.set_fuel(1000).unwrap();
    assert_trap(linker.instantiate(&mut store, &module), Trap::OutOfFuel, "fuel");
    global.set(&mut store, 0.into()).unwrap();
    store.set_fuel(1000).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let spent = 1000 - store.get_fuel().unwrap();
    instance.reset(&mut store).unwrap();
    assert_eq!(
        store.get_fuel().unwrap(),
        1000 - 2 * spent,
        "a reset runs the start function again, and keeps the rest"
    );
    global.set(&mut store, 1.into()).unwrap();
    store.set_epoch_deadline(0);
    assert_trap(instance.reset(&mut store), Trap::Interrupt, "deadline in a reset");
}

#[test]
fn code_that_calls_itself_by_way_of_the_host_or_of_another_module_is_stopped() {
    let text = r#"(module (import "host" "back" (func $back))
        (func (export "run") (call $back)) (func (export "again") (return_call $back)))"#;
    let engine = engine(EPOCH);
    let artifact = compile(text, EPOCH);
    // Two modules that call each other in each other's place.
    let module = load(&engine, &artifact);
    let mut store = store(&engine, EPOCH);
    let ty = wasmc_loader::FuncType::new([], []);
    let table_text = r#"(module (type $t (func)) (table (export "table") 1 funcref)
        (func (export "back") (return_call_indirect (type $t) (i32.const 0))))"#;
    let mut linker = Linker::new(&engine);
    let first = linker.instantiate(&mut store, &load(&engine, &compile(table_text, EPOCH))).unwrap();
    let back = first.get_func(&mut store, "back").unwrap();
    linker.define(&store, "host", "back", back).unwrap();
    let second = linker.instantiate(&mut store, &module).unwrap();
    let again = second.get_func(&mut store, "again").unwrap();
    assert_eq!(again.ty(&store), ty);
    first.get_table(&mut store, "table").unwrap().set(&mut store, 0, again.into()).unwrap();
    store.set_epoch_deadline(2);
    assert_trap(ticking(&engine, || call(&mut store, second, "again")), Trap::Interrupt, "two modules");
    // A host function that calls what has called it.
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "back", |mut caller: wasmc_loader::Caller<'_, Depth>| -> Result<(), Error> {
            caller.data_mut().0 += 1;
            if caller.data().0 == 10 {
                caller.set_epoch_deadline(0);
            }
            let run: Func = caller.get_export("run").and_then(wasmc_loader::Extern::into_func).unwrap();
            run.typed::<(), ()>(&caller)?.call(&mut caller, ())
        })
        .unwrap();
    let mut store = Store::new(&engine, Depth(0));
    store.set_epoch_deadline(u64::MAX);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "the host");
    assert_eq!(store.data().0, 10);
}

/// How often a host function was called.
struct Depth(u32);

#[test]
fn much_work_without_a_loop_or_a_cycle_is_stopped() {
    // Each function calls the next one twice: 2^60 calls.
    let mut text = String::from("(module (global $g (mut i32) (i32.const 0))");
    for i in 0..60 {
        text += &format!("(func $f{i} (call $f{}) (call $f{}))", i + 1, i + 1);
    }
    text += "(func $f60 (global.set $g (i32.add (global.get $g) (i32.const 1)))) (export \"run\" (func $f0)))";
    let engine = engine(BOTH);
    let (mut store, instance) = instance(&engine, BOTH, &compile(&text, BOTH));
    store.set_epoch_deadline(1);
    assert_trap(ticking(&engine, || call(&mut store, instance, "run")), Trap::Interrupt, "deadline");
    store.set_epoch_deadline(u64::MAX);
    store.set_fuel(1_000_000).unwrap();
    assert_trap(call(&mut store, instance, "run"), Trap::OutOfFuel, "fuel");
}

#[test]
fn a_deep_recursion_overflows_the_stack_as_without_limits() {
    let text = r#"(module (func $f (export "run") (call $f)))"#;
    let engine = engine(BOTH);
    let (mut store, instance) = instance(&engine, BOTH, &compile(text, BOTH));
    assert_trap(call(&mut store, instance, "run"), Trap::StackOverflow, "recursion");
    store.set_epoch_deadline(0);
    assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "recursion");
}

#[test]
fn code_with_checks_runs_in_engines_without_limits() {
    let engine = Engine::default();
    let module: Module = load(&engine, &compile(&text(""), BOTH));
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    engine.increment_epoch();
    assert_eq!(fine(&mut store, instance), 7);
}
