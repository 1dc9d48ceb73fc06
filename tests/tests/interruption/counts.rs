//! Fuel is counted operator by operator, and the same everywhere.

use crate::guest::{BOTH, FUEL, assert_trap, compile, compile_with, engine, engine_with, instance, load, store};
use std::num::NonZeroU32;
use wasmc::{OptLevel, Options, Target};
use wasmc_loader::{Caller, Error, Instance, InstantiationStrategy, Linker, Store, Trap};

/// Modules with a function `run` of one parameter, arguments, and what they
/// cost: 1 for every function that is called, and 1 for every operator but those
/// that cost nothing, added up by hand.
const COUNTED: [(&str, &[(i32, u64)]); 17] = [
    ("(func (export \"run\") (param i32))", &[(0, 1)]),
    ("(func (export \"run\") (param i32) nop (drop (i32.const 1)) nop)", &[(0, 2)]),
    ("(func (export \"run\") (param i32) (drop (i32.add (local.get 0) (i32.const 1))) (return))", &[(0, 4)]),
    // Either way of an `if`, with and without an `else`.
    ("(func (export \"run\") (param i32) (if (local.get 0) (then (drop (i32.eqz (i32.const 1))))))", &[(1, 5), (0, 3)]),
    (
        "(func (export \"run\") (param i32)
            (if (local.get 0) (then (drop (i32.const 1))) (else (drop (i32.eqz (i32.eqz (i32.const 1)))))))",
        &[(1, 4), (0, 6)],
    ),
    // A loop: 5 operators each time round, and 1 for the function.
    (
        "(func (export \"run\") (param i32)
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))",
        &[(1, 6), (2, 11), (1000, 5001)],
    ),
    // A loop left in the middle: 3 to look, and 5 more to go round again.
    (
        "(func (export \"run\") (param i32) (block $out (loop $again
            (br_if $out (i32.eqz (local.get 0)))
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br $again))))",
        &[(0, 4), (1, 12), (100, 804)],
    ),
    // Unequal ways that meet: 3 to the branch, 4 or nothing, 2 at the end.
    (
        "(global $g (mut i32) (i32.const 0)) (func (export \"run\") (param i32)
            (block (br_if 0 (i32.eqz (local.get 0))) (global.set $g (i32.add (i32.const 1) (i32.const 2))))
            (global.set $g (i32.const 3)))",
        &[(0, 6), (1, 10)],
    ),
    // What cannot be reached costs nothing.
    (
        "(func (export \"run\") (param i32)
            (block (br 0) (drop (i32.const 1))) (drop (i32.const 1)) (return) (drop (i32.const 1)))",
        &[(0, 3)],
    ),
    // The call costs 1, and so does being called.
    (
        "(func $f (param i32) (result i32) (local.get 0)) (func (export \"run\") (param i32) (drop (call $f (local.get 0))))",
        &[(0, 5)],
    ),
    ("(func $f (param i32)) (func (export \"run\") (param i32) (return_call $f (local.get 0)))", &[(0, 4)]),
    (
        "(type $t (func (param i32))) (table 1 funcref) (elem (i32.const 0) $f) (func $f (type $t))
        (func (export \"run\") (param i32) (call_indirect (type $t) (local.get 0) (i32.const 0)))",
        &[(0, 5)],
    ),
    // A recursion: 3 that do nothing for the last one, 8 for each before it.
    (
        "(func $f (export \"run\") (param i32)
            (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))) (drop (i32.const 0)))))",
        &[(0, 3), (1, 11), (10, 83)],
    ),
    // A table of branches: 2 and the function; then 1, 2 or 3 constants.
    (
        "(func (export \"run\") (param i32)
            (block $a (block $b (block $c (br_table $c $b $a (local.get 0)))
                (drop (i32.const 1))) (drop (i32.const 1))) (drop (i32.const 1)))",
        &[(0, 6), (1, 5), (2, 4), (-1, 4)],
    ),
    // 1 for each 64 bytes or 8 elements beside the operator itself.
    (
        "(memory 1) (func (export \"run\") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))",
        &[(0, 5), (63, 5), (64, 6), (6400, 105)],
    ),
    (
        "(table 1000 funcref) (func (export \"run\") (param i32)
            (table.copy (i32.const 1) (i32.const 0) (local.get 0)))",
        &[(7, 5), (8, 6), (800, 105)],
    ),
    (
        "(type $a (array i8)) (func (export \"run\") (param i32) (drop (array.new_default $a (local.get 0))))",
        &[(0, 3), (8000, 1003)],
    ),
];

fn module(body: &str) -> String {
    format!("(module {body})")
}

fn run(store: &mut Store<()>, instance: Instance, argument: i32) -> Result<(), Error> {
    instance.get_typed_func::<i32, ()>(&mut *store, "run").unwrap().call(store, argument)
}

/// The fuel that a call takes.
fn spent(store: &mut Store<()>, instance: Instance, argument: i32) -> u64 {
    store.set_fuel(1 << 40).unwrap();
    run(store, instance, argument).unwrap();
    (1 << 40) - store.get_fuel().unwrap()
}

#[test]
fn every_operator_is_counted_once_each_time_it_is_executed() {
    let engine = engine(FUEL);
    for (body, calls) in COUNTED {
        let (mut store, instance) = instance(&engine, FUEL, &compile(&module(body), FUEL));
        for (argument, cost) in calls {
            assert_eq!(spent(&mut store, instance, *argument), *cost, "{body} with {argument}");
        }
    }
}

#[test]
fn as_much_fuel_as_a_call_takes_is_enough_and_less_is_not() {
    let engine = engine(FUEL);
    for (body, calls) in COUNTED {
        let (mut store, instance) = instance(&engine, FUEL, &compile(&module(body), FUEL));
        for (argument, cost) in calls {
            store.set_fuel(*cost).unwrap();
            run(&mut store, instance, *argument).unwrap_or_else(|e| panic!("{body} with {argument}: {e:#}"));
            assert_eq!(store.get_fuel().unwrap(), 0);
            for less in [1, 2, cost / 2, *cost].into_iter().filter(|less| (1..=*cost).contains(less)) {
                store.set_fuel(cost - less).unwrap();
                assert_trap(run(&mut store, instance, *argument), Trap::OutOfFuel, body);
                assert_eq!(store.get_fuel().unwrap(), 0);
            }
        }
    }
}

#[test]
fn the_count_depends_neither_on_the_cpu_nor_on_how_the_code_was_compiled() {
    let engine = engine(FUEL);
    for (body, calls) in COUNTED {
        for cpu in ["baseline", "x86-64-v2", "x86-64-v3", "native"] {
            if cfg!(not(target_arch = "x86_64")) && cpu.starts_with("x86") {
                continue;
            }
            for opt_level in [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size] {
                let target = Target::default().cpu(cpu).unwrap();
                for (epoch, stack) in [(false, None), (true, NonZeroU32::new(100_000))] {
                    let options = Options {
                        fuel: true,
                        epoch,
                        opt_level,
                        target: target.clone(),
                        deterministic_stack: stack,
                        verify: true,
                        ..Options::new()
                    };
                    let artifact = compile_with(&module(body), options);
                    let (mut store, instance) = instance(&engine, FUEL, &artifact);
                    for (argument, cost) in calls {
                        assert_eq!(spent(&mut store, instance, *argument), *cost, "{body}, {cpu}, {opt_level:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_count_is_the_same_in_every_run_on_every_strategy_and_after_resets() {
    for strategy in InstantiationStrategy::ALL.iter().copied() {
        let engine = engine_with(strategy, FUEL);
        for (body, calls) in COUNTED {
            let artifact = compile(&module(body), FUEL);
            for _ in 0..2 {
                let (mut store, instance) = instance(&engine, FUEL, &artifact);
                for (argument, cost) in calls.iter().chain(calls.iter()) {
                    assert_eq!(spent(&mut store, instance, *argument), *cost, "{body}, {strategy}");
                    store.set_fuel(77).unwrap();
                    instance.reset(&mut store).unwrap();
                    assert_eq!(store.get_fuel().unwrap(), 77, "a reset has nothing to do with fuel");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_had_is_not_paid_for_with_more_than_there_is() {
    let text = r#"(module (memory i64 1 1000000)
        (func (export "run") (param i32) (memory.fill (i64.const 0) (i32.const 0) (i64.const -1))))"#;
    let engine = engine(FUEL);
    let (mut store, instance) = instance(&engine, FUEL, &compile(text, FUEL));
    for _ in 0..100 {
        assert_trap(run(&mut store, instance, 0), Trap::MemoryOutOfBounds, "a lot of fuel");
        store.set_fuel(5).unwrap();
        for _ in 0..100 {
            assert_trap(run(&mut store, instance, 0), Trap::OutOfFuel, "it stays used up");
            assert_eq!(store.get_fuel().unwrap(), 0);
        }
        store.set_fuel(u64::MAX).unwrap();
    }
}

#[test]
fn fuel_beyond_what_a_signed_number_can_be_is_all_there() {
    let text = r#"(module (memory i64 1)
        (func (export "run") (param i32) (memory.fill (i64.const 0) (i32.const 0) (i64.const -1))))"#;
    let engine = engine(FUEL);
    let (mut store, instance) = instance(&engine, FUEL, &compile(text, FUEL));
    store.set_fuel(u64::MAX).unwrap();
    let each = 1 + 4 + (u64::MAX >> 6);
    let mut left = u64::MAX;
    while left >= each {
        assert_trap(run(&mut store, instance, 0), Trap::MemoryOutOfBounds, "enough fuel");
        left -= each;
        assert_eq!(store.get_fuel().unwrap(), left);
    }
    assert_trap(run(&mut store, instance, 0), Trap::OutOfFuel, "not enough fuel");
}

/// Modules that trap, what for, and how much of the fuel is gone then. A
/// function has paid for everything before its `unreachable`; after other traps,
/// what was done since the code last looked, or called somebody who may not come
/// back, is not taken off.
const TRAPPING: [(&str, Trap, u64); 7] = [
    ("(func (export \"run\") (param i32) (drop (i32.const 1)) unreachable)", Trap::UnreachableCodeReached, 2),
    // A round of this loop costs 9, and it looks in those that begin with a
    // multiple of 256: in the one that traps, which is the 1,025th, too.
    (
        "(memory 1) (func (export \"run\") (param i32) (local $i i32)
            (loop (drop (i32.load (i32.mul (local.get $i) (i32.const 64))))
                (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 0)))",
        Trap::MemoryOutOfBounds,
        1 + 9 * 1024,
    ),
    // It traps after 1,000 rounds, and has last looked after 768.
    (
        "(memory 1) (func (export \"run\") (param i32) (local $i i32)
            (loop (drop (i32.load (i32.mul (i32.const 0x10000) (i32.eq (local.get $i) (i32.const 1000)))))
                (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 0)))",
        Trap::MemoryOutOfBounds,
        1 + 11 * 768,
    ),
    (
        "(func (export \"run\") (param i32) (local $i i32)
            (loop (if (i32.eq (local.get $i) (i32.const 1000)) (then unreachable))
                (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 0)))",
        Trap::UnreachableCodeReached,
        1 + 9 * 1000 + 4,
    ),
    (
        "(func (export \"run\") (param i32) (local $i i32) (local.set $i (i32.const 500))
            (loop (drop (i32.div_u (i32.const 1) (local.get $i)))
                (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br 0)))",
        Trap::IntegerDivisionByZero,
        3 + 8 * 500,
    ),
    // A bulk operation is paid for before it is tried.
    (
        "(memory 1) (func (export \"run\") (param i32)
            (memory.fill (i32.const 1) (i32.const 0) (i32.const 65536)))",
        Trap::MemoryOutOfBounds,
        5 + 1024,
    ),
    // And so is a call.
    (
        "(table 1 funcref) (func (export \"run\") (param i32) (call_indirect (i32.const 0)))",
        Trap::IndirectCallToNull,
        3,
    ),
];

#[test]
fn after_a_trap_the_count_is_the_same_however_the_code_was_compiled() {
    let engine = engine(FUEL);
    for (body, trap, expected) in TRAPPING {
        for cpu in ["baseline", "x86-64-v2", "x86-64-v3", "native"] {
            if cfg!(not(target_arch = "x86_64")) && cpu.starts_with("x86") {
                continue;
            }
            for opt_level in [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size] {
                let target = Target::default().cpu(cpu).unwrap();
                for (epoch, debug) in [(false, false), (true, false), (false, true)] {
                    let target = target.clone();
                    let options = Options { fuel: true, epoch, opt_level, target, debug, ..Options::new() };
                    let (mut store, instance) = instance(&engine, FUEL, &compile_with(&module(body), options));
                    for round in 0..2 {
                        store.set_fuel(1 << 40).unwrap();
                        assert_trap(run(&mut store, instance, 0), trap, body);
                        let spent = (1 << 40) - store.get_fuel().unwrap();
                        assert_eq!(spent, expected, "{body}, {cpu}, {opt_level:?}, {round}");
                    }
                }
            }
        }
    }
}

#[test]
fn after_an_error_of_the_host_the_count_is_exact() {
    let text = r#"(module (import "host" "fail" (func $fail)) (func (export "run") (local i32)
        (loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (if (i32.eq (local.get 0) (i32.const 100)) (then (call $fail))) (br 0))))"#;
    for opt_level in [OptLevel::None, OptLevel::Speed] {
        let engine = engine(FUEL);
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "fail", || -> Result<(), Error> { Err(Error::msg("of the host")) }).unwrap();
        let artifact = compile_with(text, Options { fuel: true, opt_level, ..Options::new() });
        let mut store = store(&engine, FUEL);
        let instance = linker.instantiate(&mut store, &load(&engine, &artifact)).unwrap();
        store.set_fuel(10_000).unwrap();
        crate::guest::call(&mut store, instance, "run").unwrap_err();
        // 9 in each round, and in the last one the call instead of the branch.
        assert_eq!(store.get_fuel().unwrap(), 10_000 - (1 + 100 * 9));
    }
}

/// A host that notes how much fuel there is each time it is called.
fn noting(text: &str, fuel: u64) -> (Result<(), Error>, Vec<u64>, u64) {
    let engine = engine(FUEL);
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "note", |mut caller: Caller<'_, Vec<u64>>| {
            let left = caller.get_fuel().unwrap();
            caller.data_mut().push(left);
        })
        .unwrap();
    linker.func_wrap("host", "fill_up", |mut caller: Caller<'_, Vec<u64>>| caller.set_fuel(1000).unwrap()).unwrap();
    let mut store = Store::new(&engine, Vec::new());
    store.set_fuel(fuel).unwrap();
    let instance = linker.instantiate(&mut store, &load(&engine, &compile(text, FUEL))).unwrap();
    let result = crate::guest::call(&mut store, instance, "run");
    let left = store.get_fuel().unwrap();
    (result, store.into_data(), left)
}

const NOTES: &str = r#"(module (import "host" "note" (func $note)) (import "host" "fill_up" (func $fill_up))
    (func $inner (drop (i32.const 1)) (call $note) (drop (i32.const 1)))
    (func $closed (drop (i32.const 1)))
    (func (export "run") (local i32)
        (call $note)
        (drop (i32.const 1)) (drop (i32.const 1))
        (call $note)
        (call $closed)
        (call $inner)
        (local.set 0 (i32.const 3))
        (loop (call $note) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (call $note)))"#;

#[test]
fn host_functions_see_exactly_what_was_used_so_far() {
    let (result, notes, left) = noting(NOTES, 1000);
    result.unwrap();
    let used: Vec<u64> = notes.iter().map(|left| 1000 - left).collect();
    // The function and the call; 2 constants and the call; a call and a function
    // with a constant, a call and the beginning of one to the call in it; its
    // end, 2 operators and the first time round; 5 and the call twice; the rest.
    assert_eq!(used, [2, 5, 5 + 3 + 1 + 3, 12 + 1 + 2 + 1, 22, 28, 34]);
    assert_eq!(left, 1000 - 34);
}

#[test]
fn host_functions_are_not_called_unless_everything_so_far_was_paid() {
    let mut calls = Vec::new();
    for fuel in 0..=34 {
        let (result, notes, _) = noting(NOTES, fuel);
        assert_eq!(result.is_ok(), fuel == 34, "with {fuel}");
        calls.push(notes.len());
    }
    let expected = [2, 5, 12, 16, 22, 28, 34];
    for (fuel, calls) in (0..).zip(calls) {
        assert_eq!(calls, expected.iter().filter(|at| **at <= fuel).count(), "with {fuel}");
    }
}

#[test]
fn a_host_function_can_give_more_fuel() {
    let text = r#"(module (import "host" "note" (func $note)) (import "host" "fill_up" (func $fill_up))
        (func (export "run") (call $fill_up) (call $note)))"#;
    let (result, notes, left) = noting(text, 2);
    result.unwrap();
    assert_eq!((notes, left), (vec![999], 999));
}

#[test]
fn exceptions_are_counted_exactly_too() {
    // run: 1, try_table 1, const 1, call 1; thrower: 1, local.get 1, if 1, throw
    // 1; caught: const 1, drop 0.
    let text = |body: &str| {
        format!(
            r#"(module (tag $e) (tag $f (param i32))
            (func $throw (param i32) (if (local.get 0) (then (throw $e))) (drop (i32.const 1)))
            (func $deep (param i32) (drop (i32.const 1)) (call $throw (local.get 0)) (drop (i32.const 1)))
            (func (export "run") (param i32) {body}))"#
        )
    };
    let engine = engine(FUEL);
    for (body, costs) in [
        ("(block $out (try_table (catch $e $out) (call $throw (local.get 0)))) (drop (i32.const 1))", [5 + 4, 5 + 4]),
        ("(block $out (try_table (catch_all $out) (call $deep (local.get 0)))) (drop (i32.const 1))", [5 + 5 + 4, 5 + 4 + 4]),
        (
            "(block $out (try_table (catch $e $out) (drop (i32.const 1)) (br_if $out (i32.eqz (local.get 0))) (throw $e)))
            (drop (i32.const 1))",
            [7, 8],
        ),
    ] {
        let (mut store, instance) = instance(&engine, FUEL, &compile(&text(body), FUEL));
        for (argument, cost) in (0..).zip(costs) {
            assert_eq!(spent(&mut store, instance, argument), cost, "{body} with {argument}");
        }
    }
}

#[test]
fn epochs_and_fuel_do_not_get_into_each_others_way() {
    let engine = engine(BOTH);
    let artifact = compile(&module(COUNTED[5].0), BOTH);
    let mut store = store(&engine, BOTH);
    let instance = Linker::new(&engine).instantiate(&mut store, &load(&engine, &artifact)).unwrap();
    store.epoch_deadline_callback(|_| Ok(wasmc_loader::UpdateDeadline::Continue(0)));
    store.set_epoch_deadline(0);
    assert_eq!(spent(&mut store, instance, 1000), 5001);
    store.set_fuel(5000).unwrap();
    assert_trap(run(&mut store, instance, 1000), Trap::OutOfFuel, "one too little");
}
