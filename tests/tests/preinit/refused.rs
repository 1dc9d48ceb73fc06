//! What cannot be initialised, and what cannot be kept: errors that name it.

use super::{quiet, try_bake};
use std::time::Duration;
use wasmc::init::Error;

/// The error with which a module is refused, which has these words in it.
#[track_caller]
fn refused(text: &str, export: Option<&str>, words: &[&str]) -> Error {
    let error = match try_bake(text.as_bytes(), &quiet(export)) {
        Ok(_) => panic!("it is not refused: {text}"),
        Err(error) => error,
    };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
    error
}

#[test]
fn references_that_only_the_host_or_the_heap_has_are_refused_with_their_place() {
    // Nothing but the host makes these: an import would, and traps instead.
    let module = |state: &str, set: &str| {
        format!(
            "(module (type $point (struct (field (mut i32)))) (type $fixed (struct (field i32))) (tag $tag)
                {state} (func (export \"init\") {set}))"
        )
    };
    let check = |state: &str, set: &str, words: &[&str]| refused(&module(state, set), Some("init"), words);
    check(
        "(global i32 (i32.const 0)) (global $g (export \"object\") (mut eqref) (ref.null eq))",
        "(global.set $g (struct.new_default $point))",
        &["global 1 (`object`)", "object on the heap"],
    );
    check(
        "(table funcref (elem)) (table $t 5 anyref)",
        "(table.set $t (i32.const 3) (struct.new_default $fixed))",
        &["element 3 of table 1", "object on the heap"],
    );
    check(
        "(global $g (mut exnref) (ref.null exn))",
        "(global.set $g (block $b (result exnref) (try_table (catch_all_ref $b) (throw $tag)) (unreachable)))",
        &["global 0", "exception"],
    );
    check(
        "(global $g (mut externref) (ref.null extern))",
        "(global.set $g (extern.convert_any (struct.new_default $fixed)))",
        &["global 0", "object on the heap"],
    );
    check(
        "(global $p (export \"p\") (ref $point) (struct.new $point (i32.const 1)))",
        "(struct.set $point 0 (global.get $p) (i32.const 2))",
        &["global 0 (`p`)", "fields that can change"],
    );
    check(
        "(elem $e (ref $point) (item (struct.new $point (i32.const 1))))",
        "",
        &["element segment 0", "fields that can change"],
    );
}

#[test]
fn imported_memories_tables_and_globals_are_refused_by_name() {
    for (import, words) in [
        ("(memory 1)", ["memory", "`env` `it`"]),
        ("(table 1 funcref)", ["table", "`env` `it`"]),
        ("(global i32)", ["global", "`env` `it`"]),
    ] {
        refused(&format!("(module (import \"env\" \"it\" {import}) (func (export \"f\")))"), Some("f"), &words);
    }
    // A tag has no content.
    let text = r#"(module (import "env" "tag" (tag)) (func (export "f")))"#;
    try_bake(text.as_bytes(), &quiet(Some("f"))).unwrap();
}

#[test]
fn functions_that_nothing_provides_trap_with_their_names() {
    let text = r#"(module (import "env" "missing" (func $m)) (func (export "f") (call $m)))"#;
    refused(text, Some("f"), &["`f` failed", "env", "missing"]);
}

#[test]
fn an_initialiser_that_traps_is_reported_with_where_it_was() {
    let text = r#"(module (func $inner (unreachable)) (func $f (export "f") (call $inner)))"#;
    let error = refused(text, Some("f"), &["`f` failed when it ran at compile time", "unreachable"]);
    let frames = error.backtrace().unwrap().frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.func_name().unwrap_or_default()).collect();
    assert_eq!(names, ["inner", "f"]);
    refused("(module (func $s (unreachable)) (start $s))", None, &["the start function failed", "unreachable"]);
    refused("(module (func $s (call $s)) (start $s))", None, &["the start function failed", "stack"]);
    refused("(module (memory 1) (data (i32.const 65536) \"x\") (func $s) (start $s))", None, &["out of bounds"]);
}

#[test]
fn an_initialiser_that_does_not_return_is_stopped() {
    let mut init = quiet(None);
    init.timeout = Duration::from_millis(50);
    let error = try_bake(b"(module (func $s (loop (br 0))) (start $s))", &init).unwrap_err();
    assert!(matches!(&error, Error::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("start function has not returned after 50ms"), "{error}");
}

#[test]
fn functions_that_are_not_there_or_take_something_are_refused() {
    let text = r#"(module (import "env" "i" (func $i)) (export "i" (func $i)) (memory (export "m") 1)
        (func (export "f") (param i32)) (func (export "g") (result i64) (i64.const 1)) (func (export "h")))"#;
    refused(text, Some("x"), &["no function `x`", "there are: `i`, `h`"]);
    refused(text, Some("m"), &["no function `m`"]);
    refused(text, Some("f"), &["`f`", "(i32) -> ()"]);
    refused(text, Some("g"), &["`g`", "() -> (i64)"]);
    refused(text, Some("i"), &["`i`", "imported"]);
    refused(text, None, &["nothing to run", "`InitOptions::export`"]);
    assert!(matches!(refused("(module (func (export \"f\") (drop)))", Some("f"), &["invalid"]), Error::Compile(_)));
}

#[test]
fn memories_that_grow_too_large_are_refused() {
    let mut init = quiet(Some("f"));
    init.max_memory = 3 << 16;
    let module = |pages: u32| {
        format!("(module (memory 1) (memory 1) (func (export \"f\") (drop (memory.grow 1 (i32.const {pages})))))")
    };
    try_bake(module(1).as_bytes(), &init).unwrap();
    let error = try_bake(module(2).as_bytes(), &init).unwrap_err().to_string();
    assert!(
        error.contains("262144 bytes") && error.contains("196608") && error.contains("`InitOptions::max_memory`"),
        "{error}"
    );
    // Together, and not only the one that grows.
    let module = "(module (memory 0) (memory 0) (func (export \"f\")
        (drop (memory.grow 0 (i32.const 2))) (drop (memory.grow 1 (i32.const 2))) (loop (br 0))))";
    let error = try_bake(module.as_bytes(), &init).unwrap_err();
    assert!(matches!(error, Error::Memory { bytes: 0x40000, limit: 0x30000 }), "{error}");
}

#[test]
fn tables_that_grow_too_large_are_refused() {
    let module = |elements: u32| {
        format!(
            "(module (table 5000000 externref) (table 0 funcref)
                (func $f (export \"f\") (drop (table.grow 1 (ref.func $f) (i32.const {elements})))))"
        )
    };
    try_bake(module(1000).as_bytes(), &quiet(Some("f"))).unwrap();
    let error = try_bake(module(5_000_001).as_bytes(), &quiet(Some("f"))).unwrap_err();
    assert!(matches!(error, Error::Tables { elements: 10_000_001, limit: 10_000_000 }), "{error}");
}
