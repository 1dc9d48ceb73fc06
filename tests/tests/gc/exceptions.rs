//! Exceptions are objects: their references are followed, and those to them
//! are found.

use super::{check, instance, stressed};
use wasmc::OptLevel;
use wasmc_loader::Engine;

/// A list of exceptions, each of which refers to the one before.
const LIST: &str = r#"(module
    (import "host" "gc" (func $gc))
    (import "host" "call" (func $call (param i32) (result i32)))
    (tag $link (param exnref i32))
    (global $kept (mut exnref) (ref.null exn))
    (table $table 3 exnref)

    ;; A new exception.
    (func $cons (param $rest exnref) (param $n i32) (result exnref i32 exnref)
        (block $caught (result exnref i32 exnref)
            (try_table (catch_ref $link $caught)
                (throw $link (local.get $rest) (local.get $n)))
            unreachable))

    (func $list (param $n i32) (result exnref) (local $list exnref) (local $i i32)
        (loop $next
            (if (i32.lt_u (local.get $i) (local.get $n)) (then
                (call $cons (local.get $list) (local.get $i))
                local.set $list drop drop
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br $next))))
        local.get $list)

    (func $sum (param $list exnref) (result i32) (local $sum i32)
        (loop $next (result i32)
            (if (ref.is_null (local.get $list)) (then (return (local.get $sum))))
            (block $caught (result exnref i32)
                (try_table (catch $link $caught) (throw_ref (local.get $list)))
                unreachable)
            (local.set $sum (i32.add (local.get $sum)))
            local.set $list
            (br $next)))

    ;; In locals, in the frames of a recursion, and as arguments.
    (func $deep (param $n i32) (result i32) (local $mine exnref)
        (if (i32.eqz (local.get $n)) (then (call $gc) (return (i32.const 0))))
        (local.set $mine (call $list (i32.const 5)))
        (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1))) (call $sum (local.get $mine))))

    (func (export "back") (param $n i32) (result i32) (local $mine exnref)
        (local.set $mine (call $list (i32.const 4)))
        (call $gc)
        (i32.add (call $deep (local.get $n)) (call $sum (local.get $mine))))

    (func (export "run") (param $n i32) (result i32) (local $a exnref) (local $b exnref)
        (local.set $a (call $list (local.get $n)))
        (global.set $kept (call $list (i32.const 3)))
        (table.set $table (i32.const 1) (call $list (i32.const 7)))
        (local.set $b (call $list (i32.const 10)))
        (drop (call $list (i32.const 20)))
        (call $gc)
        (i32.add (call $call (local.get $n))
            (i32.add (i32.add (call $sum (local.get $a)) (call $sum (local.get $b)))
                (i32.add (call $sum (global.get $kept)) (call $sum (table.get $table (i32.const 1)))))))
)"#;

/// The sum of the numbers below `n`.
fn below(n: i32) -> i32 {
    n * (n - 1) / 2
}

fn expected(n: i32) -> i32 {
    below(n) + below(10) + below(3) + below(7) + n * below(5) + below(4)
}

#[test]
fn exceptions_in_frames_globals_and_tables_survive_collections() {
    let cases: Vec<(i32, i32)> = [0, 1, 2, 17].into_iter().map(|n| (n, expected(n))).collect();
    check(LIST, &cases);
}

#[test]
fn dead_exceptions_take_no_memory() {
    let (mut store, instance) = instance(&Engine::default(), LIST, OptLevel::Speed);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let mut most = 0;
    for _ in 0..30 {
        assert_eq!(run.call(&mut store, 10_000).unwrap(), expected(10_000));
        most = most.max(store.gc_heap_capacity());
    }
    store.gc();
    // The global's three and the table's seven, 24 bytes each.
    assert_eq!(store.gc_heap_size(), 10 * 24);
    assert!(most < 16 << 20, "{most} bytes for 10,000 exceptions at a time");
    store.reset().unwrap();
    assert_eq!(store.gc_heap_size(), 0);
    assert_eq!(run.call(&mut store, 5).unwrap(), expected(5));
}

#[test]
fn a_store_that_was_reset_uses_its_heap_again() {
    let (mut store, instance) = instance(&stressed(), LIST, OptLevel::Speed);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for n in 0..10 {
        assert_eq!(run.call(&mut store, n).unwrap(), expected(n));
        store.reset().unwrap();
        assert_eq!(store.gc_heap_size(), 0);
    }
}
