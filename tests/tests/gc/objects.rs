//! What code does with structs, arrays and casts, where the official suite
//! does not look: each at every optimisation level, with and without a
//! collection at every allocation.

use super::{LEVELS, check, instance, linker, module, stressed};
use wasmc_loader::{Engine, Store, Trap};

/// Calls `run` with a number at every level; it traps.
fn check_trap(text: &str, argument: i32, expected: Trap) {
    for level in LEVELS {
        for engine in [stressed(), Engine::default()] {
            let (mut store, instance) = instance(&engine, text, level);
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            let error = run.call(&mut store, argument).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&expected), "{error:?} at {level:?}");
            // The store is usable after it.
            assert!(run.call(&mut store, argument).is_err());
        }
    }
}

#[test]
fn packed_fields_keep_their_bits_and_extend_as_asked() {
    let text = r#"(module
        (type $s (struct (field $a (mut i8)) (field $b (mut i16)) (field $c i8) (field $d (mut i64)) (field $e (mut i8))))
        (func (export "run") (param i32) (result i32) (local $s (ref null $s)) (local $n i32)
            (local.set $s (struct.new $s (local.get 0) (local.get 0) (i32.const 0x80) (i64.const -1) (i32.const 0x7f)))
            (local.set $n (i32.add (struct.get_s $s $a (local.get $s)) (struct.get_u $s $a (local.get $s))))
            (local.set $n (i32.add (local.get $n) (i32.mul (i32.const 3) (struct.get_s $s $b (local.get $s)))))
            (local.set $n (i32.add (local.get $n) (i32.mul (i32.const 5) (struct.get_u $s $b (local.get $s)))))
            (struct.set $s $e (local.get $s) (i32.const 0x1ff))
            (local.set $n (i32.add (local.get $n) (i32.mul (i32.const 7) (struct.get_s $s $e (local.get $s)))))
            (struct.set $s $b (local.get $s) (i32.const 0x18000))
            (local.set $n (i32.add (local.get $n) (i32.mul (i32.const 11) (struct.get_u $s $b (local.get $s)))))
            (i32.add (local.get $n) (struct.get_s $s $c (local.get $s)))))"#;
    let expected = |v: i32| {
        let (a, b) = (v as u8, v as u16);
        i32::from(a as i8) + i32::from(a) + 3 * i32::from(b as i16) + 5 * i32::from(b) - 7 + 11 * 0x8000 - 128
    };
    check(text, &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, -1, 0x12345].map(|v| (v, expected(v))));
}

#[test]
fn casts_tell_types_apart_however_deep_they_are() {
    // Types 0 to 11, each below the one before; `run` makes one of depth n and
    // counts the types that it is of.
    let mut text = String::from("(module (type $t0 (sub (struct (field i32))))\n");
    for depth in 1..12 {
        text +=
            &format!("(type $t{depth} (sub $t{} (struct (field i32) {})))\n", depth - 1, "(field i64)".repeat(depth));
    }
    text += "(type $other (sub $t3 (struct (field i32) (field i64) (field i64) (field i64) (field f32))))\n";
    text += "(func $make (param i32) (result (ref $t0))\n";
    for depth in 0..12 {
        text += &format!(
            "(if (i32.eq (local.get 0) (i32.const {depth})) (then (return (struct.new_default $t{depth}))))\n"
        );
    }
    text += "(struct.new_default $other))\n";
    text += "(func (export \"run\") (param i32) (result i32) (local $r anyref) (local $n i32)\n";
    text += "(local.set $r (call $make (local.get 0)))\n";
    for depth in 0..12 {
        text += &format!(
            "(local.set $n (i32.add (local.get $n) (ref.test (ref $t{depth}) (local.get $r))))
             (block $fail (result anyref) (br_on_cast_fail $fail anyref (ref $t{depth}) (local.get $r))
                (local.set $n (i32.add (local.get $n) (i32.const 100))) (drop) (ref.null any)) (drop)\n"
        );
    }
    text += "(local.get $n)))";
    let cases: Vec<(i32, i32)> = (0..12).map(|n| (n, (n + 1) * 101)).chain([(12, 4 * 101)]).collect();
    check(&text, &cases);
}

#[test]
fn a_cast_to_a_deep_type_of_what_is_shallow_fails() {
    let mut text = String::from("(module (type $t0 (sub (struct)))\n");
    for depth in 1..12 {
        text += &format!("(type $t{depth} (sub $t{} (struct {})))\n", depth - 1, "(field i32)".repeat(depth));
    }
    text += "(func (export \"run\") (param i32) (result i32) (local $r (ref null $t0))
        (if (local.get 0) (then (local.set $r (struct.new_default $t8))))
        (struct.get $t11 10 (ref.cast (ref $t11) (local.get $r)))))";
    check_trap(&text, 1, Trap::CastFailure);
    check_trap(&text, 0, Trap::CastFailure);
}

#[test]
fn kinds_of_references_are_told_apart() {
    let text = r#"(module
        (type $s (struct (field i32))) (type $a (array i8)) (type $f (func))
        (func $make (param i32) (result anyref)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (return (ref.i31 (i32.const -5)))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (return (struct.new $s (i32.const 9)))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (return (array.new $a (i32.const 1) (i32.const 5)))))
            (ref.null none))
        (func (export "run") (param i32) (result i32) (local $r anyref)
            (local.set $r (any.convert_extern (extern.convert_any (call $make (local.get 0)))))
            (i32.or (ref.test (ref any) (local.get $r))
            (i32.or (i32.shl (ref.test (ref eq) (local.get $r)) (i32.const 1))
            (i32.or (i32.shl (ref.test (ref i31) (local.get $r)) (i32.const 2))
            (i32.or (i32.shl (ref.test (ref struct) (local.get $r)) (i32.const 3))
            (i32.or (i32.shl (ref.test (ref array) (local.get $r)) (i32.const 4))
            (i32.or (i32.shl (ref.test (ref $s) (local.get $r)) (i32.const 5))
            (i32.or (i32.shl (ref.test (ref $a) (local.get $r)) (i32.const 6))
            (i32.or (i32.shl (ref.test (ref null $a) (local.get $r)) (i32.const 7))
                    (i32.shl (ref.test nullref (local.get $r)) (i32.const 8))))))))))))"#;
    check(text, &[(0, 0b1_1000_0000), (1, 0b111), (2, 0b10_1011), (3, 0b1101_0011)]);
}

#[test]
fn arrays_that_overlap_are_copied_as_if_through_a_buffer() {
    let text = r#"(module
        (type $box (struct (field i32)))
        (type $refs (array (mut (ref null $box))))
        (func (export "run") (param $to i32) (result i32) (local $a (ref $refs)) (local $i i32) (local $sum i32)
            (local.set $a (array.new_default $refs (i32.const 10)))
            (loop $fill
                (array.set $refs (local.get $a) (local.get $i) (struct.new $box (local.get $i)))
                (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
            (array.copy $refs $refs (local.get $a) (local.get $to) (local.get $a) (i32.const 2) (i32.const 6))
            (local.set $i (i32.const 0))
            (loop $add
                (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 10))
                    (struct.get $box 0 (array.get $refs (local.get $a) (local.get $i)))))
                (br_if $add (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 9))))
            (local.get $sum)))"#;
    check(text, &[(0, 234_567_678), (2, 12_345_678), (4, 12_323_456)]);
    check_trap(text, 5, Trap::ArrayOutOfBounds);
    check_trap(text, -1, Trap::ArrayOutOfBounds);
}

#[test]
fn filled_arrays_have_the_value_everywhere_and_nowhere_else() {
    for (storage, value, get) in [
        ("i8", "(i32.const 0x1a5)", "array.get_u"),
        ("i16", "(i32.const 0x1a5a5)", "array.get_u"),
        ("i32", "(i32.const 0x12345678)", "array.get"),
    ] {
        for new in [format!("(array.new $a {value} (local.get 0))"), "(array.new_default $a (local.get 0))".to_owned()]
        {
            let text = format!(
                r#"(module (type $a (array (mut {storage})))
                (func (export "run") (param i32) (result i32) (local $a (ref $a)) (local $b (ref $a)) (local $i i32) (local $sum i32)
                    (local.set $a {new})
                    (local.set $b (array.new $a (i32.const 1) (local.get 0)))
                    (if (i32.ge_u (local.get 0) (i32.const 2)) (then
                        (array.fill $a (local.get $a) (i32.const 1) {value} (i32.sub (local.get 0) (i32.const 2)))))
                    (block $done (loop $add
                        (br_if $done (i32.eq (local.get $i) (array.len (local.get $a))))
                        (local.set $sum (i32.add (i32.add (local.get $sum) ({get} $a (local.get $a) (local.get $i)))
                            ({get} $a (local.get $b) (local.get $i))))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br $add)))
                    (local.get $sum)))"#
            );
            let one = match storage {
                "i8" => 0xa5,
                "i16" => 0xa5a5,
                _ => 0x1234_5678,
            };
            let whole = !new.contains("default");
            let sum = |n: i32| {
                let filled = if whole { n } else { (n - 2).max(0) };
                filled.wrapping_mul(one).wrapping_add(n)
            };
            check(&text, &[0, 1, 2, 3, 7, 8, 9, 64, 333, 5000].map(|n| (n, sum(n))));
        }
    }
}

#[test]
fn wide_elements_and_fields_come_back_as_they_went() {
    let text = r#"(module
        (type $v (array (mut v128))) (type $d (array (mut f64))) (type $fn (func (result i32)))
        (type $s (struct (field i8) (field $v (mut v128)) (field $f (mut (ref null $fn))) (field $d f64)))
        (elem declare func $seven)
        (func $seven (type $fn) (i32.const 7))
        (func (export "run") (param i32) (result i32) (local $v (ref $v)) (local $d (ref $d)) (local $s (ref $s))
            (local.set $v (array.new $v (i32x4.splat (local.get 0)) (i32.const 40)))
            (local.set $d (array.new $d (f64.convert_i32_s (local.get 0)) (i32.const 40)))
            (local.set $s (struct.new $s (i32.const 1) (array.get $v (local.get $v) (i32.const 39)) (ref.func $seven)
                (array.get $d (local.get $d) (i32.const 39))))
            (array.set $v (local.get $v) (i32.const 3) (i32x4.add (struct.get $s $v (local.get $s)) (v128.const i32x4 1 2 3 4)))
            (i32.add (i32x4.extract_lane 3 (array.get $v (local.get $v) (i32.const 3)))
                (i32.add (i32.trunc_f64_s (struct.get $s $d (local.get $s)))
                    (call_ref $fn (struct.get $s $f (local.get $s)))))))"#;
    check(text, &[(0, 11), (100, 211), (-3, 5)]);
}

#[test]
fn null_and_bad_indices_trap() {
    let text = r#"(module
        (type $s (struct (field (mut i32)))) (type $a (array (mut i16)))
        (func (export "run") (param i32) (result i32) (local $s (ref null $s)) (local $a (ref null $a))
            (if (i32.eq (local.get 0) (i32.const 0)) (then (return (struct.get $s 0 (local.get $s)))))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (struct.set $s 0 (local.get $s) (i32.const 1))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (return (array.len (local.get $a)))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i31.get_s (ref.null i31)))))
            (if (i32.eq (local.get 0) (i32.const 4)) (then (array.copy $a $a (local.get $a) (i32.const 0)
                (array.new_default $a (i32.const 1)) (i32.const 0) (i32.const 0))))
            (local.set $a (array.new_default $a (i32.const 4)))
            (if (i32.eq (local.get 0) (i32.const 5)) (then (return (array.get_s $a (local.get $a) (i32.const 4)))))
            (if (i32.eq (local.get 0) (i32.const 6)) (then (array.set $a (local.get $a) (i32.const -1) (i32.const 0))))
            (if (i32.eq (local.get 0) (i32.const 7)) (then (array.fill $a (local.get $a) (i32.const 2) (i32.const 0) (i32.const 3))))
            (if (i32.eq (local.get 0) (i32.const 8)) (then (drop (array.new_default $a (i32.const -1)))))
            (i32.const 0)))"#;
    for argument in 0..5 {
        check_trap(text, argument, Trap::NullReference);
    }
    for argument in 5..8 {
        check_trap(text, argument, Trap::ArrayOutOfBounds);
    }
    check_trap(text, 8, Trap::AllocationTooLarge);
    check(text, &[(9, 0)]);
}

#[test]
fn segments_give_arrays_their_elements_until_they_are_dropped() {
    let text = r#"(module
        (type $bytes (array (mut i8))) (type $words (array (mut i32))) (type $box (struct (field i32)))
        (type $refs (array (mut (ref null $box)))) (type $small (array (mut i31ref)))
        (global $shared (ref $box) (struct.new $box (i32.const 1000)))
        (data $d "\01\02\03\04\05\06\07\08\09")
        (elem $e (ref null $box) (item (struct.new $box (i32.const 3))) (item (ref.null $box)) (item (global.get $shared)))
        (elem $i i31ref (item (ref.i31 (i32.const 5))) (item (ref.i31 (i32.const -6))))
        (func (export "run") (param i32) (result i32) (local $r (ref null $refs))
            (if (i32.eq (local.get 0) (i32.const 0)) (then (return
                (array.get $words (array.new_data $words $d (i32.const 1) (i32.const 2)) (i32.const 1)))))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (return
                (array.len (array.new_data $words $d (i32.const 2) (i32.const 2))))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then
                (local.set $r (array.new_elem $refs $e (i32.const 0) (i32.const 3)))
                (return (i32.add (struct.get $box 0 (array.get $refs (local.get $r) (i32.const 0)))
                    (struct.get $box 0 (array.get $refs (local.get $r) (i32.const 2)))))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (return
                (i31.get_s (array.get $small (array.new_elem $small $i (i32.const 1) (i32.const 1)) (i32.const 0))))))
            (if (i32.eq (local.get 0) (i32.const 4)) (then
                (elem.drop $e)
                (drop (array.new_elem $refs $e (i32.const 0) (i32.const 1)))))
            (if (i32.eq (local.get 0) (i32.const 5)) (then
                (data.drop $d)
                (drop (array.new_data $bytes $d (i32.const 0) (i32.const 1)))))
            (if (i32.eq (local.get 0) (i32.const 6)) (then
                (local.set $r (array.new_default $refs (i32.const 4)))
                (array.init_elem $refs $e (local.get $r) (i32.const 2) (i32.const 0) (i32.const 1))
                (return (struct.get $box 0 (array.get $refs (local.get $r) (i32.const 2))))))
            (if (i32.eq (local.get 0) (i32.const 7)) (then (return (ref.eq
                (array.get $refs (array.new_elem $refs $e (i32.const 0) (i32.const 1)) (i32.const 0))
                (array.get $refs (array.new_elem $refs $e (i32.const 0) (i32.const 1)) (i32.const 0))))))
            (if (i32.eq (local.get 0) (i32.const 8)) (then
                (drop (array.new_data $words $d (i32.const 0) (i32.const 0x40000001)))))
            (i32.const -1)))"#;
    check(text, &[(0, 0x0908_0706), (2, 1003), (3, -6), (6, 3), (7, 1), (9, -1)]);
    check_trap(text, 1, Trap::MemoryOutOfBounds);
    check_trap(text, 4, Trap::TableOutOfBounds);
    check_trap(text, 5, Trap::MemoryOutOfBounds);
    check_trap(text, 8, Trap::MemoryOutOfBounds);
}

#[test]
fn constant_expressions_make_objects_of_every_kind() {
    let text = r#"(module
        (type $pair (struct (field (mut i32)) (field anyref)))
        (type $list (array (mut (ref null $pair)))) (type $bytes (array i8))
        (global $one i32 (i32.const 1))
        (global $pair (ref $pair) (struct.new $pair (i32.add (global.get $one) (i32.const 4)) (ref.i31 (global.get $one))))
        (global $alias (ref null $pair) (global.get $pair))
        (global $blank (mut (ref $pair)) (struct.new_default $pair))
        (global $list (ref $list) (array.new $list (global.get $alias) (i32.const 3)))
        (global $fixed (ref $bytes) (array.new_fixed $bytes 3 (i32.const 7) (i32.const 8) (i32.const 9)))
        (global $zeros (ref $bytes) (array.new_default $bytes (i32.const 700)))
        (global $outside externref (extern.convert_any (global.get $pair)))
        (global $back anyref (any.convert_extern (global.get $outside)))
        (table $t 4 (ref null $pair) (struct.new $pair (i32.const 40) (ref.null any)))
        (elem (table $t) (i32.const 1) (ref null $pair) (struct.new $pair (i32.const 2) (ref.null any)) (global.get $pair))
        (func (export "run") (param i32) (result i32) (local $n i32)
            (local.set $n (struct.get $pair 0 (global.get $alias)))
            ;; What is changed here is as it was after a reset.
            (struct.set $pair 0 (global.get $pair) (i32.const 6))
            (local.set $n (i32.add (local.get $n) (struct.get $pair 0 (array.get $list (global.get $list) (i32.const 2)))))
            (local.set $n (i32.add (local.get $n) (array.get_u $bytes (global.get $fixed) (i32.const 2))))
            (local.set $n (i32.add (local.get $n) (array.get_u $bytes (global.get $zeros) (i32.const 699))))
            (local.set $n (i32.add (local.get $n) (struct.get $pair 0 (ref.cast (ref $pair) (global.get $back)))))
            (local.set $n (i32.add (local.get $n) (struct.get $pair 0 (global.get $blank))))
            (local.set $n (i32.add (local.get $n) (i31.get_s (ref.cast (ref i31) (struct.get $pair 1 (global.get $pair))))))
            (local.set $n (i32.add (local.get $n) (struct.get $pair 0 (table.get $t (i32.const 0)))))
            (local.set $n (i32.add (local.get $n) (struct.get $pair 0 (table.get $t (i32.const 1)))))
            (i32.add (local.get $n) (struct.get $pair 0 (table.get $t (i32.const 2))))))"#;
    check(text, &[(0, 5 + 6 + 9 + 6 + 1 + 40 + 2 + 6)]);
    for engine in [stressed(), Engine::default()] {
        let (mut store, instance) = instance(&engine, text, LEVELS[2]);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, 0).unwrap(), 75);
            assert_eq!(run.call(&mut store, 0).unwrap(), 76);
            instance.reset(&mut store).unwrap();
            assert_eq!(run.call(&mut store, 0).unwrap(), 75);
            store.reset().unwrap();
        }
    }
}

#[test]
fn references_of_every_origin_survive_collections_in_loops_and_branches() {
    let text = r#"(module
        (type $node (struct (field $value i32) (field $next (mut (ref null $node)))))
        (func $cons (param i32) (param (ref null $node)) (result (ref $node))
            (struct.new $node (local.get 0) (local.get 1)))
        (func $sum (param $n (ref null $node)) (result i32) (local $s i32)
            (loop $l
                (if (ref.is_null (local.get $n)) (then (return (local.get $s))))
                (local.set $s (i32.add (local.get $s) (struct.get $node $value (local.get $n))))
                (local.set $n (struct.get $node $next (local.get $n)))
                (br $l))
            (unreachable))
        (func (export "run") (param $n i32) (result i32)
            (local $a (ref null $node)) (local $b (ref null $node)) (local $c (ref null $node)) (local $i i32)
            (local.set $c (struct.new $node (i32.const 1000) (ref.null $node)))
            (loop $l
                (if (i32.and (local.get $i) (i32.const 1))
                    (then (local.set $a (struct.new $node (local.get $i) (local.get $a))))
                    (else (local.set $b (call $cons (local.get $i) (local.get $b)))))
                (if (i32.eqz (i32.and (local.get $i) (i32.const 3)))
                    (then (struct.set $node $next (local.get $c)
                        (struct.new $node (local.get $i) (struct.get $node $next (local.get $c))))))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
            (i32.add (call $sum (local.get $a)) (i32.add (call $sum (local.get $b)) (call $sum
                (select (result (ref null $node)) (local.get $c) (local.get $a) (local.get $n)))))))"#;
    let sum = |n: i32| (0..n).sum::<i32>() + 1000 + (0..n).filter(|i| i % 4 == 0).sum::<i32>();
    check(text, &[1, 2, 10, 100].map(|n| (n, sum(n))));
}

#[test]
fn objects_cross_modules_whose_types_are_equal() {
    let types = "(rec (type $a (sub (struct (field i32) (field (ref null $b))))) (type $b (sub $a (struct (field i32) (field (ref null $b)) (field i64)))))";
    let maker = format!(
        "(module {types} (type $own (struct (field i32)))
         (func (export \"make\") (param i32) (result anyref)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (return (struct.new_default $a))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (return (struct.new $b (i32.const 5) (ref.null $b) (i64.const 6)))))
            (struct.new $own (i32.const 1))))"
    );
    // The groups' positions differ, and so do types of the same shape outside
    // a group.
    let user = format!(
        "(module (type $x (func)) {types} (type $c (sub (struct (field i32) (field (ref null $c))))) (type $final (struct (field i64)))
         (import \"maker\" \"make\" (func $make (param i32) (result anyref)))
         (func (export \"run\") (param i32) (result i32) (local $r anyref)
            (local.set $r (call $make (local.get 0)))
            (i32.or (ref.test (ref $a) (local.get $r))
            (i32.or (i32.shl (ref.test (ref $b) (local.get $r)) (i32.const 1))
            (i32.or (i32.shl (ref.test (ref $c) (local.get $r)) (i32.const 2))
                    (i32.shl (ref.test (ref $final) (local.get $r)) (i32.const 3)))))))"
    );
    for level in LEVELS {
        for engine in [stressed(), Engine::default()] {
            let mut store = Store::new(&engine, ());
            let mut linker = linker(&engine);
            let first = linker.instantiate(&mut store, &module(&engine, &maker, level)).unwrap();
            linker.instance(&mut store, "maker", first).unwrap();
            let second = linker.instantiate(&mut store, &module(&engine, &user, level)).unwrap();
            let run = second.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!([1, 2, 3].map(|n| run.call(&mut store, n).unwrap()), [0b1, 0b11, 0]);
        }
    }
}
