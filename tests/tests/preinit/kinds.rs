//! Each kind of state, under every strategy.

use super::{bake, call, engines, instantiate, load, options, quiet, try_bake};
use std::sync::Arc;
use wasmc::inspect::Report;
use wasmc_loader::{Engine, Instance, Store};

/// What exports are expected to return.
type Answers<'a> = &'a [(&'a str, &'a [i32], Result<&'a [i64], &'a str>)];

/// Asks instances of every strategy, new ones and ones that were changed by
/// `disturb` and reset, and ones that take a used slot.
#[track_caller]
fn check(text: &str, export: Option<&str>, disturb: &str, answers: Answers<'_>) {
    let artifact = bake(text, &quiet(export));
    let ask = |store: &mut Store<()>, instance: Instance, when: &str| {
        for (name, args, expected) in answers {
            let found = call(store, instance, name, args);
            match (&found, expected) {
                (Ok(found), Ok(expected)) if found == expected => {}
                (Err(found), Err(expected)) if found.contains(expected) => {}
                _ => panic!("{when}: {name}{args:?} gives {found:?}, not {expected:?}"),
            }
        }
    };
    for (strategy, engine) in engines() {
        let module = load(&engine, &artifact);
        for round in 0..3 {
            let (mut store, instance) = instantiate(&module);
            ask(&mut store, instance, &format!("{strategy}, instance {round}"));
            call(&mut store, instance, disturb, &[]).unwrap();
            instance.reset(&mut store).unwrap();
            ask(&mut store, instance, &format!("{strategy}, instance {round}, after a reset"));
            call(&mut store, instance, disturb, &[]).unwrap();
        }
    }
}

#[test]
fn memories_keep_contents_and_sizes() {
    let text = r#"(module
        (memory $a (export "a") 1 8) (memory $b i64 1) (memory $c 100 400 (pagesize 1)) (memory $d 0)
        (data (i32.const 5) "before") (data (memory $b) (i64.const 70) "begin")
        (func (export "init")
            (drop (memory.grow $a (i32.const 4))) (drop (memory.grow $b (i64.const 1)))
            (drop (memory.grow $c (i32.const 50))) (drop (memory.grow $d (i32.const 1)))
            (i32.store $a (i32.const 5) (i32.const 0)) (i32.store $a (i32.const 0x4fffc) (i32.const 77))
            (i64.store $b (i64.const 0x1fff8) (i64.const -5)) (i32.store8 $c (i32.const 149) (i32.const 9))
            (i32.store $d (i32.const 0x8000) (i32.const 11)))
        (func (export "disturb")
            (drop (memory.grow $a (i32.const 1))) (drop (memory.grow $b (i64.const 1)))
            (memory.fill $a (i32.const 0) (i32.const 3) (i32.const 0x50000))
            (memory.fill $b (i64.const 0) (i32.const 3) (i64.const 0x20000))
            (memory.fill $c (i32.const 0) (i32.const 3) (i32.const 150))
            (memory.fill $d (i32.const 0) (i32.const 3) (i32.const 0x10000)))
        (func (export "sizes") (result i32 i64 i32 i32)
            (memory.size $a) (memory.size $b) (memory.size $c) (memory.size $d))
        (func (export "bytes") (result i32 i32 i64 i64 i32 i32)
            (i32.load $a (i32.const 5)) (i32.load $a (i32.const 0x4fffc)) (i64.load $b (i64.const 0x1fff8))
            (i64.load $b (i64.const 70)) (i32.load8_u $c (i32.const 149)) (i32.load $d (i32.const 0x8000)))
        (func (export "rest") (result i32) (i32.load8_u $a (i32.const 10)))
        (func (export "beyond") (result i32) (i32.load8_u $c (i32.const 150))))"#;
    let begin = i64::from_le_bytes(*b"begin\0\0\0");
    check(
        text,
        Some("init"),
        "disturb",
        &[
            ("sizes", &[], Ok(&[5, 2, 150, 1])),
            ("bytes", &[], Ok(&[0, 77, -5, begin, 9, 11])),
            ("rest", &[], Ok(&[i64::from(b'e')])),
            ("beyond", &[], Err("out of bounds")),
        ],
    );
}

#[test]
fn a_shared_memory_that_the_module_defines_is_kept() {
    let text = r#"(module (memory $m 1 4 shared)
        (func (export "init")
            (drop (memory.grow $m (i32.const 1))) (i32.atomic.store (i32.const 0x1fffc) (i32.const 6)))
        (func (export "disturb") (drop (memory.grow (i32.const 1))) (i32.store (i32.const 0x1fffc) (i32.const 1)))
        (func (export "get") (result i32 i32) (memory.size) (i32.load (i32.const 0x1fffc))))"#;
    check(text, Some("init"), "disturb", &[("get", &[], Ok(&[2, 6]))]);
}

#[test]
fn tables_keep_functions_of_the_module_and_imported_ones() {
    let text = r#"(module
        (import "host" "missing" (func $import (result i32)))
        (type $f (func (result i32)))
        (table $t 3 20 funcref) (table $u (export "u") 2 (ref null $f)) (table $never 2 2 funcref)
        (table $full 2 8 (ref $f) (ref.func $one)) (table $empty 5 funcref)
        (elem (table $t) (i32.const 0) func $one $one)
        (elem (table $never) (i32.const 0) func $two $one)
        (elem (table $empty) (i32.const 1) func $one)
        (elem declare func $import $two $hidden)
        (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
        (func $hidden (result i32) (i32.const 3))
        (func (export "init")
            (table.set $t (i32.const 0) (ref.func $two)) (table.set $t (i32.const 2) (ref.func $import))
            (table.set $u (i32.const 1) (ref.func $hidden)) (table.set $empty (i32.const 1) (ref.null func))
            (drop (table.grow $t (ref.func $two) (i32.const 2))) (drop (table.grow $full (ref.func $two) (i32.const 3))))
        (func (export "disturb")
            (table.fill $t (i32.const 0) (ref.null func) (i32.const 5)) (drop (table.grow $t (ref.null func) (i32.const 4)))
            (table.fill $full (i32.const 0) (ref.func $one) (i32.const 5)) (table.set $u (i32.const 1) (ref.null $f)))
        (func (export "sizes") (result i32 i32 i32 i32) (table.size $t) (table.size $u) (table.size $full) (table.size $empty))
        (func (export "t") (param i32) (result i32) (call_indirect $t (type $f) (local.get 0)))
        (func (export "u") (param i32) (result i32) (call_indirect $u (type $f) (local.get 0)))
        (func (export "never") (param i32) (result i32) (call_indirect $never (type $f) (local.get 0)))
        (func (export "full") (param i32) (result i32) (call_indirect $full (type $f) (local.get 0)))
        (func (export "empty") (result i32) (ref.is_null (table.get $empty (i32.const 1)))))"#
        .replace(r#"(table $u (export "u")"#, r#"(table $u (export "table")"#);
    check(
        &text,
        Some("init"),
        "disturb",
        &[
            ("sizes", &[], Ok(&[5, 2, 5, 5])),
            ("t", &[0], Ok(&[2])),
            ("t", &[1], Ok(&[1])),
            ("t", &[2], Err("unknown import")),
            ("t", &[4], Ok(&[2])),
            ("t", &[5], Err("undefined element")),
            ("u", &[0], Err("uninitialized element")),
            ("u", &[1], Ok(&[3])),
            ("never", &[0], Ok(&[2])),
            ("full", &[1], Ok(&[1])),
            ("full", &[4], Ok(&[2])),
            ("empty", &[], Ok(&[1])),
        ],
    );
}

#[test]
fn globals_keep_numbers_vectors_and_references() {
    let text = r#"(module
        (import "host" "missing" (func $import (result i32)))
        (type $f (func (result i32))) (type $point (struct (field i32) (field i32)))
        (global $a (export "a") (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 1))
        (global $c (mut f64) (f64.const 1)) (global $v (mut v128) (v128.const i64x2 1 1))
        (global $d i32 (i32.const 12)) (global $unset (mut i32) (i32.add (global.get $d) (i32.const 1)))
        (global $r (mut (ref null $f)) (ref.null $f)) (global $s (mut (ref $f)) (ref.func $one))
        (global $p (ref $point) (struct.new $point (i32.const 8) (i32.const 9)))
        (global $q (mut (ref null $point)) (ref.null $point)) (global $n (mut (ref null i31)) (ref.null i31))
        (global $x (mut externref) (ref.null extern))
        (elem declare func $import)
        (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
        (elem declare func $two)
        (func (export "init")
            (global.set $a (i32.add (global.get $a) (i32.const 1))) (global.set $b (i64.const -9))
            (global.set $c (f64.const -0.5)) (global.set $v (v128.const i64x2 -3 4))
            (global.set $r (ref.func $import)) (global.set $s (ref.func $two))
            (global.set $q (global.get $p)) (global.set $n (ref.i31 (i32.const -7))))
        (func (export "disturb")
            (global.set $a (i32.const 0)) (global.set $b (i64.const 0)) (global.set $c (f64.const 0))
            (global.set $v (v128.const i64x2 0 0)) (global.set $r (ref.func $one)) (global.set $s (ref.func $one))
            (global.set $q (ref.null $point)) (global.set $n (ref.null i31)))
        (func (export "numbers") (result i32 i64 i64 i64 i64 i32)
            (global.get $a) (global.get $b) (i64.reinterpret_f64 (global.get $c))
            (i64x2.extract_lane 0 (global.get $v)) (i64x2.extract_lane 1 (global.get $v)) (global.get $unset))
        (func (export "r") (result i32) (call_ref $f (global.get $r)))
        (func (export "s") (result i32) (call_ref $f (global.get $s)))
        (func (export "objects") (result i32 i32 i32 i32)
            (ref.eq (global.get $q) (global.get $p)) (struct.get $point 1 (global.get $q))
            (i31.get_s (global.get $n)) (ref.is_null (global.get $x))))"#;
    check(
        text,
        Some("init"),
        "disturb",
        &[
            ("numbers", &[], Ok(&[2, -9, (-0.5f64).to_bits() as i64, -3, 4, 13])),
            ("r", &[], Err("unknown import")),
            ("s", &[], Ok(&[2])),
            ("objects", &[], Ok(&[1, 9, -7, 1])),
        ],
    );
}

#[test]
fn objects_of_immutable_globals_can_be_in_tables_and_segments() {
    let text = r#"(module
        (type $point (struct (field i32)))
        (global $p (ref $point) (struct.new $point (i32.const 8)))
        (table $t 2 10 (ref null eq))
        (elem $made (table $t) (i32.const 1) (ref $point) (item (struct.new $point (i32.const 21))))
        (elem $later (ref $point) (item (struct.new $point (i32.const 30))) (item (global.get $p)))
        (func (export "init")
            (drop (table.grow $t (global.get $p) (i32.const 2))) (table.set $t (i32.const 0) (ref.i31 (i32.const 4))))
        (func (export "disturb") (table.fill $t (i32.const 0) (ref.null eq) (i32.const 4)))
        (func (export "field") (param i32) (result i32)
            (struct.get $point 0 (ref.cast (ref $point) (table.get $t (local.get 0)))))
        (func (export "same") (result i32) (ref.eq (global.get $p) (table.get $t (i32.const 3))))
        (func (export "small") (result i32) (i31.get_u (ref.cast (ref i31) (table.get $t (i32.const 0)))))
        (func (export "later") (result i32)
            (table.init $t $later (i32.const 0) (i32.const 0) (i32.const 2))
            (struct.get $point 0 (ref.cast (ref $point) (table.get $t (i32.const 0))))))"#;
    check(
        text,
        Some("init"),
        "disturb",
        &[
            ("field", &[1], Ok(&[21])),
            ("field", &[2], Ok(&[8])),
            ("same", &[], Ok(&[1])),
            ("small", &[], Ok(&[4])),
            ("later", &[], Ok(&[30])),
        ],
    );
}

#[test]
fn segments_that_were_dropped_stay_dropped_and_others_there() {
    let text = r#"(module (memory 1) (table $t 4 funcref) (type $bytes (array i8))
        (data $active (i32.const 0) "x") (data $gone "gone") (data $there "there")
        (elem $e_active (i32.const 0) func $f) (elem $e_gone func $f $f) (elem $e_there func $f)
        (func $f)
        (func (export "init")
            (memory.init $gone (i32.const 8) (i32.const 0) (i32.const 4)) (data.drop $gone) (elem.drop $e_gone))
        (func (export "disturb") (data.drop $there) (elem.drop $e_there) (i32.store (i32.const 8) (i32.const 0)))
        (func (export "byte") (result i32) (i32.load8_u (i32.const 8)))
        (func (export "active") (memory.init $active (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "gone") (memory.init $gone (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "none_of_gone") (memory.init $gone (i32.const 0) (i32.const 0) (i32.const 0)))
        (func (export "gone_array") (drop (array.new_data $bytes $gone (i32.const 0) (i32.const 1))))
        (func (export "there") (result i32)
            (memory.init $there (i32.const 20) (i32.const 0) (i32.const 5)) (i32.load8_u (i32.const 24)))
        (func (export "e_active") (table.init $t $e_active (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "e_gone") (table.init $t $e_gone (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "e_there") (table.init $t $e_there (i32.const 0) (i32.const 0) (i32.const 1))))"#;
    check(
        text,
        Some("init"),
        "disturb",
        &[
            ("byte", &[], Ok(&[i64::from(b'g')])),
            ("active", &[], Err("out of bounds")),
            ("gone", &[], Err("out of bounds")),
            ("none_of_gone", &[], Ok(&[])),
            ("gone_array", &[], Err("out of bounds")),
            ("there", &[], Ok(&[i64::from(b'e')])),
            ("e_active", &[], Err("out of bounds")),
            ("e_gone", &[], Err("out of bounds")),
            ("e_there", &[], Ok(&[])),
        ],
    );
}

/// A module that counts what ran.
const COUNTS: &str = r#"(module (global $n (mut i32) (i32.const 0))
    (func $add (param i32) (global.set $n (i32.add (i32.mul (global.get $n) (i32.const 10)) (local.get 0))))
    (func $start (call $add (i32.const 1))) (start $start)
    (func (export "_initialize") (call $add (i32.const 2)))
    (func $w (export "wizer-initialize") (export "again") (call $add (i32.const 3)))
    (func (export "other") (call $add (i32.const 4)))
    (func (export "n") (result i32) (global.get $n)))"#;

#[test]
fn start_function_reactor_and_named_export_run_once_in_this_order() {
    let check = |export, expected: i64| check(COUNTS, export, "other", &[("n", &[], Ok(&[expected]))]);
    check(None, 123);
    check(Some("_initialize"), 12);
    check(Some("other"), 124);
    super::kinds::check(
        "(module (global $n (mut i32) (i32.const 0)) (func $s (global.set $n (i32.const 5))) (start $s)
            (func (export \"z\") (global.set $n (i32.const 0))) (func (export \"n\") (result i32) (global.get $n)))",
        None,
        "z",
        &[("n", &[], Ok(&[5]))],
    );
}

#[test]
fn initialisers_do_nothing_any_more_unless_they_are_to_be_kept() {
    for (keep, expected) in [(false, 1234), (true, 12323)] {
        let mut init = quiet(None);
        init.keep_exports = keep;
        let module = load(&Engine::default(), &bake(COUNTS, &init));
        let names: Vec<_> = module.exports().map(|export| export.name().to_owned()).collect();
        assert_eq!(names, ["_initialize", "wizer-initialize", "again", "other", "n"]);
        let (mut store, instance) = instantiate(&module);
        call(&mut store, instance, "_initialize", &[]).unwrap();
        call(&mut store, instance, "wizer-initialize", &[]).unwrap();
        if !keep {
            call(&mut store, instance, "other", &[]).unwrap();
        }
        assert_eq!(call(&mut store, instance, "n", &[]), Ok(vec![expected]));
        // The same function under another name is still what it was.
        call(&mut store, instance, "again", &[]).unwrap();
        assert_eq!(call(&mut store, instance, "n", &[]), Ok(vec![expected * 10 + 3]));
    }
}

#[test]
fn the_same_module_and_options_give_the_same_bytes_and_the_artifact_says_what_ran() {
    let first = bake(COUNTS, &quiet(None));
    assert!(first == bake(COUNTS, &quiet(None)));
    let report = Report::read(&first, 0).unwrap();
    assert_eq!(report.initialized_by.as_deref(), Some("start function, _initialize, wizer-initialize"));
    let plain = wasmc::compile(COUNTS.as_bytes(), &options()).unwrap();
    let plain = Report::read(&plain, 0).unwrap();
    assert_eq!((plain.initialized_by, plain.source_hash), (None, report.source_hash));
    wasmc::inspect::verify(&first).unwrap();
}

#[test]
fn what_was_initialised_here_can_be_compiled_for_other_machines() {
    let text = br#"(module (memory 1) (func (export "_initialize") (i32.store (i32.const 70000) (i32.const 1)))
        (func $start (drop (memory.grow (i32.const 9)))) (start $start))"#;
    let mut options = options();
    options.snapshot = Some(Arc::new(wasmc::init::run(text, &options, &quiet(None)).unwrap()));
    for target in ["aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-apple-darwin"] {
        options.target = wasmc::Target::new(target).unwrap();
        let report = Report::read(&wasmc::compile(text, &options).unwrap(), 0).unwrap();
        assert_eq!(report.memories[0].limits, "10.. pages");
        assert_eq!(report.memories[0].initial, 10 << 16);
        assert!(report.memories[0].stored <= 2 << 16, "{target} stores {}", report.memories[0].stored);
    }
}

#[test]
fn zeros_of_a_large_memory_are_not_stored() {
    let text = r#"(module (memory 1)
        (func (export "_initialize")
            (drop (memory.grow (i32.const 4095)))
            (memory.fill (i32.const 0x8000000) (i32.const 7) (i32.const 0x10000))
            (memory.fill (i32.const 0x4000000) (i32.const 7) (i32.const 0x100000))
            (memory.fill (i32.const 0x4000000) (i32.const 0) (i32.const 0x100000))))"#;
    let artifact = bake(text, &quiet(None));
    let report = Report::read(&artifact, 0).unwrap();
    assert_eq!((report.memories[0].initial, report.memories[0].stored), (256 << 20, 64 << 10));
    assert!(artifact.len() < 256 << 10, "{} bytes", artifact.len());
}

#[test]
fn a_snapshot_of_another_module_is_refused() {
    let mut options = options();
    options.snapshot = Some(Arc::new(wasmc::init::run(COUNTS.as_bytes(), &options, &quiet(None)).unwrap()));
    let error = wasmc::compile(b"(module)", &options).unwrap_err().to_string();
    assert!(error.contains("snapshot is of another module"), "{error}");
    let error = try_bake(b"(module (func (export \"f\")))", &quiet(None)).unwrap_err().to_string();
    assert!(error.contains("nothing to run") && error.contains("`f`"), "{error}");
}
