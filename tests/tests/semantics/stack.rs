//! The deterministic stack limit: at which depth calls overflow the stack is
//! told from the module alone.

use super::{cpus, module};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc::inspect::Report;
use wasmc::{OptLevel, Options, Target};
use wasmc_loader::{Caller, Config, Engine, Error, Instance, InstantiationStrategy, Linker, Result, Store, Trap};

/// The limit that most tests use.
const LIMIT: u32 = 1000;

fn limited(values: u32) -> Options {
    Options { deterministic_stack: NonZeroU32::new(values), verify: true, ..Options::new() }
}

/// An engine with more stack than any limit here takes.
fn engine(config: &mut Config) -> Engine {
    Engine::new(config.max_wasm_stack(1 << 20)).unwrap()
}

fn overflows<T>(result: Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) if error.downcast_ref() == Some(&Trap::StackOverflow) => true,
        Err(error) => panic!("{error:?}"),
    }
}

/// Runs `test` on a thread with a large stack: host functions that call wasm
/// need more than wasm does.
fn with_large_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(64 << 20).spawn(test).unwrap().join().unwrap();
}

/// Functions, all exported as `f`, and what their frames have: the
/// definition of the limit.
const FRAMES: [(&str, u32); 14] = [
    ("(func (export \"f\"))", 1),
    ("(func (export \"f\") nop)", 1),
    ("(func (export \"f\") (local i32))", 1),
    ("(func (export \"f\") (local i32 i64 f32 f64 v128 funcref externref))", 7),
    ("(func (export \"f\") (local i32) (drop (i32.const 1)))", 2),
    ("(func (export \"f\") (drop (i32.add (i32.const 1) (i32.const 2))))", 2),
    ("(func (export \"f\") (drop (v128.or (v128.const i64x2 1 2) (v128.const i64x2 3 4))))", 2),
    ("(func (export \"f\") (drop (i32.const 1)) (drop (i32.const 1)))", 1),
    // What blocks have below them counts, and so do their results.
    ("(func (export \"f\") i32.const 1 (block (result i32) i32.const 2 i32.const 3 drop) drop drop)", 3),
    ("(func (export \"f\") (if (i32.const 0) (then i32.const 1 i32.const 1 drop drop) (else i32.const 1 drop)))", 2),
    // Neither calls nor what does not fit a register makes a difference.
    ("(func $g (param i32 i32)) (func (export \"f\") (call $g (i32.const 1) (i32.const 2)))", 2 + 2),
    ("(func $g (result i32 i32 i32) unreachable) (func (export \"f\") i32.const 0 if call $g drop drop drop end)", 3),
    // Code that cannot be reached counts as validation counts it.
    ("(func (export \"f\") return i32.const 1 i32.const 2 i32.const 3 drop drop drop)", 3),
    ("(func (export \"f\") return i32.add drop)", 1),
];

#[test]
fn a_frame_has_the_values_that_validation_sees() {
    let engine = engine(&mut Config::new());
    for (functions, values) in FRAMES {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let call = |limit: u32| {
                let options = Options { opt_level, ..limited(limit) };
                let module = module(&engine, &format!("(module {functions})"), &options);
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
                overflows(f.call(&mut store, ()))
            };
            assert!(!call(values), "{functions} takes more than {values} values at {opt_level:?}");
            assert!(values == 1 || call(values - 1), "{functions} takes less than {values} values at {opt_level:?}");
        }
    }
}

/// Recursion of every kind: functions that call themselves as often as their
/// argument says, and how many values each level adds. The last one has 3, but
/// for `vectors`.
const RECURSION: [(&str, u32); 7] = [
    ("direct", 3),
    ("two", 3 + 2),
    ("read-only table", 3),
    ("table", 3),
    ("imported", 3 + 3),
    ("host", 3),
    ("vectors", 3 + 20),
];

/// The module that the recursive one imports from, and calls back through a
/// table.
const OTHER: &str = r#"(module
    (type $type (func (param i32)))
    (table $back (export "back") 1 funcref)
    (func (export "imported") (type $type) (call_indirect (type $type) (local.get 0) (i32.const 0))))"#;

fn recursive() -> String {
    let less = "(i32.sub (local.get 0) (i32.const 1))";
    let set: String = (1..21).map(|i| format!("(local.set {i} (i32x4.splat (local.get 0)))")).collect();
    let used: String = (1..21).map(|i| format!("(drop (i32x4.add (local.get {i}) (local.get 1)))")).collect();
    format!(
        r#"(module
        (type $type (func (param i32)))
        (import "other" "imported" (func $other (type $type)))
        (import "other" "host" (func $host (type $type)))
        (import "other" "back" (table $back 1 funcref))
        (table $fixed 4 4 funcref)
        (table $table (export "a table") 4 4 funcref)
        (elem (table $fixed) (i32.const 1) func $fixed)
        (elem (table $table) (i32.const 1) func $dynamic)
        (elem (table $back) (i32.const 0) func $imported)
        (func $direct (export "direct") (param i32) (if (local.get 0) (then (call $direct {less}))))
        (func $one (export "two") (param i32) (if (local.get 0) (then (call $two {less}))))
        (func $two (param i32) (call $one (local.get 0)))
        (func $fixed (export "read-only table") (param i32)
            (if (local.get 0) (then (call_indirect $fixed (type $type) {less} (i32.const 1)))))
        (func $dynamic (export "table") (param i32)
            (if (local.get 0) (then (call_indirect $table (type $type) {less} (i32.const 1)))))
        (func $imported (export "imported") (param i32) (if (local.get 0) (then (call $other {less}))))
        (func (export "host") (param i32) (if (local.get 0) (then (call $host {less}))))
        (func $vectors (export "vectors") (param i32) (local {})
            {set} (if (local.get 0) (then (call $vectors {less}))) {used}))"#,
        "v128 ".repeat(20)
    )
}

/// How often a function calls itself where each level adds `each` values and
/// `others` are there already.
fn levels(each: u32, others: u32) -> i32 {
    ((LIMIT - others - each) / each) as i32
}

/// Checks that `function` can call itself `most` times and not once more.
#[track_caller]
fn check<T: 'static>(store: &mut Store<T>, instance: &Instance, name: &str, most: i32, what: &str) {
    let function = instance.get_typed_func::<i32, ()>(&mut *store, name).unwrap();
    for _ in 0..2 {
        assert!(!overflows(function.call(&mut *store, most)), "{name} overflows at level {most}, {what}");
        assert!(overflows(function.call(&mut *store, most + 1)), "{name} has a level after {most}, {what}");
    }
}

/// The host function that calls the export `host` of its caller.
fn again(mut caller: Caller<'_, ()>, level: i32) -> Result<()> {
    let host = caller.get_export("host").unwrap().into_func().unwrap();
    host.typed::<i32, ()>(&caller)?.call(&mut caller, level)
}

#[test]
fn every_call_overflows_at_the_same_depth_however_it_was_compiled() {
    with_large_stack(|| {
        for opt_level in [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size] {
            for cpu in cpus() {
                let target = Target::default().cpu(cpu).unwrap();
                let options = Options { opt_level, target, ..limited(LIMIT) };
                let engine = engine(&mut Config::new());
                let mut linker = Linker::new(&engine);
                let mut store = Store::new(&engine, ());
                let other = Instance::new(&mut store, &module(&engine, OTHER, &options), &[]).unwrap();
                linker.instance(&mut store, "other", other).unwrap();
                linker.func_wrap("other", "host", again).unwrap();
                let instance = linker.instantiate(&mut store, &module(&engine, &recursive(), &options)).unwrap();
                for (name, each) in RECURSION {
                    let last = if name == "vectors" { each } else { 3 };
                    let most = ((LIMIT - last) / each) as i32;
                    check(&mut store, &instance, name, most, &format!("for {cpu} at {opt_level:?}"));
                }
            }
        }
    });
}

#[test]
fn code_for_every_target_counts_in_the_same_way() {
    let on = |triple| Options { target: Target::new(triple).unwrap(), ..limited(LIMIT) };
    let [x86, arm] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"].map(on);
    let clif = |options| wasmc::emit(SIMPLE.as_bytes(), wasmc::Emit::Clif, options).unwrap();
    assert!(clif(&x86) == clif(&arm), "what is generated for the count depends on the target");
    wasmc::compile(recursive().as_bytes(), &arm).unwrap();
}

/// A module that can be anywhere.
const SIMPLE: &str = r#"(module
    (import "other" "host" (func $host (param i32)))
    (memory (export "memory") 1)
    (func $direct (export "direct") (param i32)
        (if (local.get 0) (then (call $direct (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "host") (param i32)
        (if (local.get 0) (then (call $host (i32.sub (local.get 0) (i32.const 1)))))))"#;

#[test]
fn every_strategy_and_reset_keeps_the_depth() {
    with_large_stack(|| {
        for strategy in InstantiationStrategy::ALL {
            let engine = engine(Config::new().instantiation_strategy(*strategy));
            let mut linker = Linker::new(&engine);
            linker.func_wrap("other", "host", again).unwrap();
            let pre = linker.instantiate_pre(&module(&engine, SIMPLE, &limited(LIMIT))).unwrap();
            for _ in 0..3 {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate(&mut store).unwrap();
                for round in 0..3 {
                    let what = format!("{strategy}, round {round}");
                    check(&mut store, &instance, "direct", levels(3, 0), &what);
                    check(&mut store, &instance, "host", levels(3, 0), &what);
                    if round == 0 { instance.reset(&mut store).unwrap() } else { store.reset().unwrap() }
                }
            }
        }
    });
}

/// `probe` is called with 2 values on the stack; `fails` fails in its last level.
const FAILING: &str = r#"(module
    (import "host" "probe" (func $probe (param i32)))
    (import "host" "fail" (func $fail))
    (import "host" "panic" (func $panic))
    (func (export "probe") (param i32) (call $probe (local.get 0)))
    (func $direct (export "direct") (param i32)
        (if (local.get 0) (then (call $direct (i32.sub (local.get 0) (i32.const 1))))))
    (func $trap (export "trap") (param i32)
        (if (local.get 0) (then (call $trap (i32.sub (local.get 0) (i32.const 1)))) (else unreachable)))
    (func $fails (export "fail") (param i32)
        (if (local.get 0) (then (call $fails (i32.sub (local.get 0) (i32.const 1)))) (else (call $fail))))
    (func $panics (export "panic") (param i32)
        (if (local.get 0) (then (call $panics (i32.sub (local.get 0) (i32.const 1)))) (else (call $panic)))))"#;

const FAILURES: [&str; 4] = ["direct", "trap", "fail", "panic"];

fn failing(engine: &Engine, probe: fn(Caller<'_, ()>, i32)) -> (Store<()>, Instance) {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "probe", probe).unwrap();
    linker.func_wrap("host", "fail", || -> Result<()> { Err(Error::msg("as agreed")) }).unwrap();
    linker.func_wrap("host", "panic", || -> () { std::panic::resume_unwind(Box::new("as agreed")) }).unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &module(engine, FAILING, &limited(LIMIT))).unwrap();
    (store, instance)
}

#[test]
fn after_a_failure_of_any_kind_the_next_call_has_the_whole_limit() {
    let (mut store, instance) = failing(&engine(&mut Config::new()), |_, _| ());
    for name in FAILURES {
        let function = instance.get_typed_func::<i32, ()>(&mut store, name).unwrap();
        let level = if name == "direct" { 1_000_000 } else { 300 };
        let result = catch_unwind(AssertUnwindSafe(|| function.call(&mut store, level)));
        assert_eq!(result.is_err(), name == "panic");
        assert!(result.is_err() || result.is_ok_and(|result| result.is_err()));
        check(&mut store, &instance, "direct", levels(3, 0), name);
    }
}

/// Fails within a host function that was called with 2 values on the stack,
/// and checks what is left of it.
fn fail_within(caller: &mut Caller<'_, ()>, failure: i32) {
    let name = FAILURES[failure as usize];
    let function = caller.get_export(name).unwrap().into_func().unwrap();
    let function = function.typed::<i32, ()>(&*caller).unwrap();
    let level = if name == "direct" { 1_000_000 } else { 300 };
    let result = catch_unwind(AssertUnwindSafe(|| function.call(&mut *caller, level)));
    assert_eq!(result.is_err(), name == "panic");
    assert!(result.is_err() || result.is_ok_and(|result| result.is_err()));
    let direct = caller.get_export("direct").unwrap().into_func().unwrap();
    let direct = direct.typed::<i32, ()>(&*caller).unwrap();
    for _ in 0..2 {
        assert!(!overflows(direct.call(&mut *caller, levels(3, 2))), "after {name}");
        assert!(overflows(direct.call(&mut *caller, levels(3, 2) + 1)), "after {name}");
    }
}

/// The same on a thread of its own.
fn fail_elsewhere(mut caller: Caller<'_, ()>, failure: i32) {
    std::thread::scope(|scope| scope.spawn(|| fail_within(&mut caller, failure)).join().unwrap());
    fail_within(&mut caller, failure);
}

#[test]
fn after_a_failure_within_a_host_function_what_was_left_is_left() {
    assert!(levels(3, 2) < levels(3, 0), "the test would not see what the outer call has taken");
    with_large_stack(|| {
        for probe in [|mut caller: Caller<'_, ()>, failure| fail_within(&mut caller, failure), fail_elsewhere] {
            let (mut store, instance) = failing(&engine(&mut Config::new()), probe);
            let run = instance.get_typed_func::<i32, ()>(&mut store, "probe").unwrap();
            for (failure, name) in (0..).zip(FAILURES) {
                run.call(&mut store, failure).unwrap();
                check(&mut store, &instance, "direct", levels(3, 0), name);
            }
        }
    });
}

#[test]
fn every_store_counts_for_itself() {
    with_large_stack(|| {
        let engine = engine(&mut Config::new());
        let (mut inner, instance) = failing(&engine, |_, _| ());
        // A call of one store within a call of the other.
        let mut linker = Linker::new(&engine);
        let nested = move |_: Caller<'_, ()>, level: i32| {
            let trap = instance.get_typed_func::<i32, ()>(&mut inner, "trap").unwrap();
            trap.call(&mut inner, level).unwrap_err();
            check(&mut inner, &instance, "direct", levels(3, 0), "in the other store");
        };
        let nested = std::sync::Mutex::new(nested);
        let host = move |caller: Caller<'_, ()>, level: i32| (nested.lock().unwrap())(caller, level);
        linker.func_wrap("other", "host", host).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, SIMPLE, &limited(LIMIT))).unwrap();
        let host = instance.get_typed_func::<i32, ()>(&mut store, "host").unwrap();
        for _ in 0..3 {
            host.call(&mut store, 100).unwrap();
            check(&mut store, &instance, "direct", levels(3, 0), "around the other store");
        }
    });
}

#[test]
fn every_module_is_held_to_its_own_limit() {
    let engine = engine(&mut Config::new());
    let text = r#"(module
        (import "other" "direct" (func $other (param i32)))
        (func $down (export "down") (param i32 i32)
            (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
                (else (call $other (local.get 1))))))"#;
    let direct = SIMPLE.replace(r#"(import "other" "host" (func $host (param i32)))"#, "(func $host (param i32))");
    // Levels of 4 values here and of 3 there: those that do not count are free.
    for (limits, fits, overflow) in [
        ([Some(100), Some(1000)], (24, 299), (24, 300)),
        ([Some(100), Some(1000)], (0, 331), (25, 0)),
        ([Some(1000), Some(100)], (23, 0), (24, 1)),
        ([Some(1000), None], (249, 5000), (250, 0)),
        ([None, Some(1000)], (2000, 332), (0, 333)),
    ] {
        let options = limits.map(|limit: Option<u32>| Options {
            deterministic_stack: limit.and_then(NonZeroU32::new),
            ..Options::new()
        });
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let other = Instance::new(&mut store, &module(&engine, &direct, &options[1]), &[]).unwrap();
        linker.instance(&mut store, "other", other).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text, &options[0])).unwrap();
        let down = instance.get_typed_func::<(i32, i32), ()>(&mut store, "down").unwrap();
        for _ in 0..2 {
            assert!(!overflows(down.call(&mut store, fits)), "{limits:?} {fits:?}");
            assert!(overflows(down.call(&mut store, overflow)), "{limits:?} {overflow:?}");
        }
    }
}

#[test]
fn a_million_tail_calls_take_the_place_of_one_another() {
    let other = r#"(module
        (type $type (func (param i32 i32)))
        (table (export "back") 1 funcref)
        (func (export "far") (type $type) (local i64 i64 i64)
            (return_call_indirect (type $type) (local.get 0) (local.get 1) (i32.const 0))))"#;
    // With 4 values each; `direct` has 3 for each of its levels.
    let text = r#"(module
        (type $type (func (param i32 i32)))
        (import "other" "far" (func $far (type $type)))
        (import "other" "back" (table $back 1 funcref))
        (table $table 2 2 funcref)
        (elem (table $table) (i32.const 0) func $indirect)
        (elem (table $back) (i32.const 0) func $imported)
        (func $direct (param i32) (if (local.get 0) (then (call $direct (i32.sub (local.get 0) (i32.const 1))))))
        (func $self (export "self") (type $type)
            (if (local.get 0) (then (return_call $self (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
            (call $direct (local.get 1)))
        (func $indirect (export "indirect") (type $type)
            (if (local.get 0)
                (then (return_call_indirect $table (type $type)
                    (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (i32.const 0))))
            (call $direct (local.get 1)))
        (func $imported (export "imported") (type $type)
            (if (local.get 0) (then (return_call $far (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
            (call $direct (local.get 1))))"#;
    let engine = engine(&mut Config::new());
    for opt_level in [OptLevel::None, OptLevel::Speed] {
        let options = Options { opt_level, ..limited(LIMIT) };
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let other = Instance::new(&mut store, &module(&engine, other, &options), &[]).unwrap();
        linker.instance(&mut store, "other", other).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text, &options)).unwrap();
        for (name, values) in [("self", 4), ("indirect", 5), ("imported", 4)] {
            let function = instance.get_typed_func::<(i32, i32), ()>(&mut store, name).unwrap();
            let most = levels(3, values);
            for count in [0, 1, 1_000_000] {
                assert!(!overflows(function.call(&mut store, (count, most))), "{name}, {count} tail calls");
                assert!(overflows(function.call(&mut store, (count, most + 1))), "{name}, {count} tail calls");
            }
        }
    }
}

#[test]
fn the_stack_that_the_artifact_asks_for_is_enough() {
    // `count` has 2 values, `wide` 38, and both go on until they overflow.
    let text = r#"(module
        (global $n (export "n") (mut i32) (i32.const 0))
        (memory 1)
        (func $count (export "count") (global.set $n (i32.add (global.get $n) (i32.const 1))) (call $count))
        (func $bare (export "bare") call $bare)
        (func $wide (export "wide") (param f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 i64 i64 i64 i64 i64 i64 i64)
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            local.get 11 local.get 10 local.get 9 local.get 8 local.get 7 local.get 6 local.get 5 local.get 4 local.get 3
            local.get 2 local.get 1 local.get 0 local.get 18 local.get 17 local.get 16 local.get 15 local.get 14
            local.get 13 local.get 12 call $wide
            (f64.store (i32.const 0) (f64.add (local.get 0) (f64.add (local.get 3) (local.get 7))))
            (i64.store (i32.const 8) (i64.add (local.get 12) (i64.add (local.get 13) (local.get 18)))))
        (func (export "start wide") (local i32)
            f64.const 0 f64.const 0 f64.const 0 f64.const 0 f64.const 0 f64.const 0 f64.const 0 f64.const 0 f64.const 0
            f64.const 0 f64.const 0 f64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0 i64.const 0
            i64.const 0 call $wide))"#;
    const VALUES: u32 = 100_000;
    with_large_stack(move || {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let options = Options { opt_level, ..limited(VALUES) };
            let artifact = wasmc::compile(text.as_bytes(), &options).unwrap();
            let report = Report::read(&artifact, 0).unwrap();
            assert_eq!(report.stack_values, NonZeroU32::new(VALUES));
            let counted = |max_wasm_stack: u64, name: &str| {
                let engine = Engine::new(Config::new().max_wasm_stack(max_wasm_stack as usize)).unwrap();
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module(&engine, text, &options), &[]).unwrap();
                let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
                assert!(overflows(function.call(&mut store, ())));
                instance.get_global(&mut store, "n").unwrap().get(&mut store).unwrap_i32() as u32
            };
            for (name, others, values) in [("count", 0, 2), ("start wide", 20, 38)] {
                assert_eq!(counted(report.stack_bytes, name), (VALUES - others) / values, "{name} at {opt_level:?}");
                // The limit in bytes is still there.
                assert!(counted(128 << 10, name) < (VALUES - others) / values, "{name} at {opt_level:?}");
            }
        }
    });
}

#[test]
fn without_the_option_nothing_is_counted() {
    for text in [OTHER, SIMPLE, FAILING] {
        let clif = |options: &Options| {
            String::from_utf8(wasmc::emit(text.as_bytes(), wasmc::Emit::Clif, options).unwrap()).unwrap()
        };
        let count = format!("+{}", wasmc_artifacts::abi::vm_store_context::stack_values);
        assert!(clif(&limited(LIMIT)).contains(&count));
        assert!(!clif(&Options::new()).contains(&count));
    }
    let report = Report::read(&wasmc::compile(b"(module)", &Options::new()).unwrap(), 0).unwrap();
    assert_eq!((report.stack_values, report.stack_bytes), (None, 0));
}
