//! Every place where compiled code can keep a reference while others allocate:
//! each program computes a number that it gets wrong if one is missed.

use super::check;

/// Types and functions that the programs share: lists of numbers, and a list
/// with the numbers below `n`, the largest first, whose cells are followed by
/// garbage.
const COMMON: &str = r#"
    (import "host" "gc" (func $gc))
    (import "host" "call" (func $call (param i32) (result i32)))
    (rec
        (type $list (sub (struct (field $n (mut i32)) (field $rest (mut (ref null $list))))))
        (type $marked (sub final $list (struct
            (field (mut i32)) (field (mut (ref null $list))) (field $mark (mut i32))))))
    (type $bytes (array (mut i8)))
    (type $lists (array (mut (ref null $list))))
    (type $values (array (mut anyref)))

    (func $cons (param $n i32) (param $rest (ref null $list)) (result (ref $list))
        (drop (array.new $bytes (i32.const 7) (i32.const 3)))
        (struct.new $list (local.get $n) (local.get $rest)))

    (func $below (param $n i32) (result (ref null $list)) (local $list (ref null $list)) (local $i i32)
        (loop $next
            (if (i32.lt_s (local.get $i) (local.get $n)) (then
                (local.set $list (call $cons (local.get $i) (local.get $list)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br $next))))
        (local.get $list))

    (func $sum (param $list (ref null $list)) (result i32) (local $sum i32)
        (block $end
            (loop $next
                (br_if $end (ref.is_null (local.get $list)))
                (local.set $sum (i32.add (local.get $sum) (struct.get $list $n (local.get $list))))
                (local.set $list (struct.get $list $rest (local.get $list)))
                (br $next)))
        (local.get $sum))
"#;

/// The sum of the numbers below `n`.
fn below(n: i32) -> i32 {
    n * (n - 1) / 2
}

fn program(rest: &str, expected: impl Fn(i32) -> i32) {
    // Imports come before everything else.
    let (imports, rest) = match rest.split_once("\n") {
        Some((first, rest)) if first.starts_with("(import") => (first, rest),
        _ => ("", rest),
    };
    let text = format!("(module {imports} {COMMON} {rest})");
    let cases: Vec<(i32, i32)> = [0, 1, 2, 5, 23].into_iter().map(|n| (n, expected(n))).collect();
    check(&text, &cases);
}

#[test]
fn locals_and_loops() {
    // A list that is reversed in place, another one that waits meanwhile.
    program(
        r#"(func $reverse (param $list (ref null $list)) (result (ref null $list))
                (local $back (ref null $list)) (local $rest (ref null $list))
            (block $end
                (loop $next
                    (br_if $end (ref.is_null (local.get $list)))
                    (local.set $rest (struct.get $list $rest (local.get $list)))
                    (struct.set $list $rest (local.get $list) (local.get $back))
                    (local.set $back (local.get $list))
                    (drop (call $cons (i32.const 1) (local.get $list)))
                    (local.set $list (local.get $rest))
                    (br $next)))
            (local.get $back))
        (func (export "run") (param $n i32) (result i32)
                (local $a (ref null $list)) (local $b (ref null $list))
            (local.set $a (call $below (local.get $n)))
            (local.set $b (call $cons (i32.const 1000) (local.get $a)))
            (local.set $a (call $reverse (local.get $a)))
            (i32.add (call $sum (local.get $a)) (struct.get $list $n (local.get $b))))"#,
        |n| below(n) + 1000,
    );
}

#[test]
fn operands_and_arguments() {
    program(
        r#"(func $three (param (ref null $list) (ref null $list) (ref null $list)) (result i32)
            (drop (call $below (i32.const 3)))
            (i32.add (call $sum (local.get 0))
                (i32.add (i32.mul (i32.const 10) (call $sum (local.get 1)))
                    (i32.mul (i32.const 100) (call $sum (local.get 2))))))
        (func $pair (result (ref $list) (ref null $list))
            (call $cons (i32.const 6) (ref.null $list)) (call $below (i32.const 4)))
        (func (export "run") (param $n i32) (result i32)
            (call $three (call $below (local.get $n)) (call $below (i32.const 5)) (call $below (i32.const 3)))
            (call $sum (call $cons (i32.const 4) (call $cons (i32.const 5) (call $below (local.get $n)))))
            i32.add
            (call $three (call $pair) (select (result (ref null $list))
                (call $below (i32.const 8)) (call $below (i32.const 2)) (local.get $n)))
            i32.add)"#,
        |n| below(n) + 100 + 300 + 9 + below(n) + 6 + 60 + 100 * if n == 0 { 1 } else { 28 },
    );
}

#[test]
fn parameters_of_blocks_and_casts() {
    // An array of small integers, lists, marked lists, arrays and nulls.
    program(
        r#"(func $value (param $i i32) (result anyref)
            (block $default (block $d (block $c (block $b (block $a
                (br_table $a $b $c $d $default (i32.rem_u (local.get $i) (i32.const 5))))
                (return (ref.i31 (local.get $i))))
                (return (call $cons (local.get $i) (ref.null $list))))
                (return (struct.new $marked (local.get $i) (call $below (i32.const 3)) (i32.const 50))))
                (return (array.new $values (call $below (i32.const 2)) (i32.const 2))))
            (ref.null none))
        (func $weigh (param $v anyref) (result i32)
            (block $list (result (ref $list))
                (block $marked (result (ref $marked))
                    (block $i31 (result (ref i31))
                        (block $array (result (ref array))
                            (block $null
                                (br_on_null $null (local.get $v))
                                (br_on_cast $i31 (ref any) (ref i31))
                                (br_on_cast $marked (ref any) (ref $marked))
                                (br_on_cast $list (ref any) (ref $list))
                                (br_on_cast $array (ref any) (ref array))
                                unreachable)
                            (return (i32.const 7)))
                        (call $gc)
                        (return (call $sum (ref.cast (ref $list)
                            (array.get $values (ref.cast (ref $values)) (i32.const 1))))))
                    (return (i31.get_s)))
                (return (i32.add (struct.get $marked $mark (local.tee $m)) (call $sum (local.get $m)))))
            (return (call $sum)))
        (func (export "run") (param $n i32) (result i32)
                (local $values (ref $values)) (local $i i32) (local $sum i32)
            (local.set $values (array.new_default $values (local.get $n)))
            (block $full
                (loop $next
                    (br_if $full (i32.ge_s (local.get $i) (local.get $n)))
                    (array.set $values (local.get $values) (local.get $i) (call $value (local.get $i)))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br $next)))
            (block $end
                (loop $next
                    (br_if $end (i32.eqz (local.get $i)))
                    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                    (local.set $sum (i32.add (local.get $sum)
                        (call $weigh (array.get $values (local.get $values) (local.get $i)))))
                    (br $next)))
            (local.get $sum))"#
            .replace(
                "(func $weigh (param $v anyref) (result i32)",
                "(func $weigh (param $v anyref) (result i32) (local $m (ref null $marked))",
            )
            .as_str(),
        |n| (0..n).map(|i| [i, i, i + 3 + 50, 1, 7][i as usize % 5]).sum(),
    );
}

#[test]
fn frames_of_recursions() {
    // A tree is built and taken apart again at the same time.
    program(
        r#"(type $tree (sub (struct (field $left (ref null $tree)) (field $list (ref null $list)) (field $right (ref null $tree)))))
        (func $grow (param $depth i32) (result (ref null $tree))
            (if (result (ref null $tree)) (i32.eqz (local.get $depth))
                (then (ref.null $tree))
                (else (struct.new $tree
                    (call $grow (i32.sub (local.get $depth) (i32.const 1)))
                    (call $below (local.get $depth))
                    (call $grow (i32.sub (local.get $depth) (i32.const 1)))))))
        (func $weigh (param $t (ref null $tree)) (result i32)
            (if (ref.is_null (local.get $t)) (then (return (i32.const 0))))
            (drop (call $cons (i32.const 1) (ref.null $list)))
            (i32.add (call $weigh (struct.get $tree $left (local.get $t)))
                (i32.add (call $sum (struct.get $tree $list (local.get $t)))
                    (call $weigh (struct.get $tree $right (local.get $t))))))
        (func (export "run") (param $n i32) (result i32)
            (call $weigh (call $grow (i32.rem_u (local.get $n) (i32.const 6)))))"#,
        |n| (1..=n % 6).map(|depth| below(depth) << (n % 6 - depth)).sum(),
    );
}

#[test]
fn tail_calls() {
    program(
        r#"(type $step (func (param i32 (ref null $list)) (result i32)))
        (table $steps funcref (elem $direct $by_table $by_reference))
        (elem declare func $direct)
        (func $direct (type $step)
            (if (i32.le_s (local.get 0) (i32.const 0)) (then (return_call $sum (local.get 1))))
            (return_call $by_table (i32.sub (local.get 0) (i32.const 1)) (call $cons (local.get 0) (local.get 1))))
        (func $by_table (type $step)
            (return_call_indirect $steps (type $step)
                (local.get 0) (call $cons (i32.const 2) (local.get 1)) (i32.const 2)))
        (func $by_reference (type $step)
            (return_call_ref $step (local.get 0) (call $cons (i32.const 3) (local.get 1)) (ref.func $direct)))
        (func (export "run") (param $n i32) (result i32)
            (call $direct (local.get $n) (call $below (i32.const 4))))"#,
        |n| below(n + 1) + 5 * n + 6,
    );
}

#[test]
fn globals_and_tables() {
    program(
        r#"(global $list (mut (ref null $list)) (ref.null $list))
        (global $first (ref $list) (struct.new $list (i32.const 40) (ref.null $list)))
        (global $any (mut anyref) (array.new_fixed $lists 2 (global.get $first) (ref.null $list)))
        (table $lists 2 20 (ref null $list))
        (table $anys 3 anyref)
        (func $from_any (result i32)
            (call $sum (array.get $lists (ref.cast (ref $lists) (global.get $any)) (i32.const 0))))
        (func (export "run") (param $n i32) (result i32)
            (global.set $list (call $below (local.get $n)))
            (table.set $lists (i32.const 1) (call $below (i32.const 5)))
            (drop (table.grow $lists (call $below (i32.const 6)) (i32.const 1)))
            (table.fill $anys (i32.const 0) (call $below (i32.const 3)) (i32.const 2))
            (table.copy $anys $lists (i32.const 2) (i32.const 1) (i32.const 1))
            (table.set $lists (i32.const 0) (global.get $first))
            (call $gc)
            (drop (call $below (i32.const 10)))
            (i32.add (i32.add (call $sum (global.get $list)) (call $sum (table.get $lists (i32.const 2))))
                (i32.add (i32.add (call $sum (ref.cast (ref null $list) (table.get $anys (i32.const 1))))
                        (call $sum (ref.cast (ref null $list) (table.get $anys (i32.const 2)))))
                    (i32.add (call $sum (table.get $lists (i32.const 0))) (call $from_any)))))"#,
        |n| below(n) + 15 + 3 + 10 + 80,
    );
}

#[test]
fn frames_below_host_functions() {
    program(
        r#"(func (export "back") (param $n i32) (result i32) (local $list (ref null $list))
            (if (i32.eqz (local.get $n)) (then (call $gc) (return (i32.const 0))))
            (local.set $list (call $below (local.get $n)))
            (i32.add (call $call (i32.sub (local.get $n) (i32.const 1))) (call $sum (local.get $list))))
        (func (export "run") (param $n i32) (result i32) (local $list (ref null $list))
            (local.set $list (call $below (i32.const 9)))
            (i32.add (call $call (local.get $n)) (call $sum (local.get $list))))"#,
        |n| 36 + (1..=n).map(below).sum::<i32>(),
    );
}

#[test]
fn frames_below_functions_of_the_host_that_the_host_calls() {
    program(
        r#"(import "host" "direct" (func $direct))
        (func $inner (param $list (ref null $list)) (result i32)
            (call $direct)
            (drop (call $below (i32.const 4)))
            (call $direct)
            (call $sum (local.get $list)))
        (func (export "run") (param $n i32) (result i32) (local $list (ref null $list))
            (local.set $list (call $below (local.get $n)))
            (call $direct)
            (i32.add (call $inner (local.get $list)) (call $inner (call $below (i32.const 6)))))"#,
        |n| below(n) + 15,
    );
}

#[test]
fn frames_on_the_stacks_of_other_threads() {
    program(
        r#"(import "host" "elsewhere" (func $elsewhere (param i32) (result i32)))
        (func (export "back") (param $n i32) (result i32) (local $list (ref null $list))
            (if (i32.eqz (local.get $n)) (then (call $gc) (return (i32.const 0))))
            (local.set $list (call $below (local.get $n)))
            (i32.add (call $elsewhere (i32.sub (local.get $n) (i32.const 1))) (call $sum (local.get $list))))
        (func (export "run") (param $n i32) (result i32) (local $list (ref null $list))
            (local.set $list (call $below (i32.const 9)))
            (i32.add (call $elsewhere (i32.rem_u (local.get $n) (i32.const 6))) (call $sum (local.get $list))))"#,
        |n| 36 + (1..=n % 6).map(below).sum::<i32>(),
    );
}

#[test]
fn handlers_of_exceptions() {
    program(
        r#"(tag $failed (param (ref null $list) i32))
        (func $fail (param $n i32) (result i32) (local $list (ref null $list))
            (local.set $list (call $below (local.get $n)))
            (if (local.get $n) (then (throw $failed (local.get $list) (local.get $n))))
            (call $sum (local.get $list)))
        (func (export "run") (param $n i32) (result i32)
                (local $mine (ref null $list)) (local $theirs (ref null $list)) (local $count i32)
            (local.set $mine (call $below (i32.const 5)))
            (block $caught (result (ref null $list) i32)
                (try_table (catch $failed $caught)
                    (drop (call $fail (local.get $n)))
                    (call $gc)
                    (return (call $sum (local.get $mine))))
                unreachable)
            (local.set $count)
            (local.set $theirs)
            (drop (call $below (i32.const 8)))
            (i32.add (call $sum (local.get $mine)) (i32.add (local.get $count) (call $sum (local.get $theirs)))))"#,
        |n| 10 + if n == 0 { 0 } else { n + below(n) },
    );
}

#[test]
fn arrays_in_bulk() {
    program(
        r#"(type $wide (array (mut i64)))
        (data $data "abcdefgh")
        (elem $items (ref null $list) (item (ref.null $list)) (item (struct.new $list (i32.const 60) (ref.null $list))))
        (func (export "run") (param $n i32) (result i32) (local $a (ref $lists)) (local $b (ref $lists)) (local $c (ref $lists))
            (local.set $a (array.new $lists (call $below (local.get $n)) (i32.const 6)))
            (local.set $b (array.new_fixed $lists 3 (call $below (i32.const 3)) (ref.null $list) (call $below (i32.const 4))))
            (array.copy $lists $lists (local.get $a) (i32.const 1) (local.get $b) (i32.const 0) (i32.const 3))
            (array.fill $lists (local.get $b) (i32.const 0) (call $below (i32.const 5)) (i32.const 2))
            (local.set $c (array.new_elem $lists $items (i32.const 0) (i32.const 2)))
            (drop (array.new $wide (i64.const -1) (i32.const 100)))
            (drop (array.new_data $bytes $data (i32.const 1) (i32.const 5)))
            (i32.add (i32.add (call $sum (array.get $lists (local.get $a) (i32.const 0)))
                    (call $sum (array.get $lists (local.get $a) (i32.const 1))))
                (i32.add (call $sum (array.get $lists (local.get $b) (i32.const 1)))
                    (i32.add (call $sum (array.get $lists (local.get $a) (i32.const 3)))
                        (call $sum (array.get $lists (local.get $c) (i32.const 1)))))))"#,
        |n| below(n) + 3 + 10 + 6 + 60,
    );
}
