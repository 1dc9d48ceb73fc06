//! `wasmc wast`.

use super::Folder;

#[test]
fn scripts_are_counted_and_failures_shown_with_their_line() {
    let folder = Folder::new();
    let module = r#"(module (func (export "f") (param i32) (result i32) (i32.div_u (i32.const 6) (local.get 0))))"#;
    let good = r#"
        (assert_return (invoke "f" (i32.const 2)) (i32.const 3))
        (assert_trap (invoke "f" (i32.const 0)) "integer divide by zero")
        (assert_invalid (module (func (result i32))) "type mismatch")"#;
    folder.write("good.wast", format!("{module}{good}"));
    let done = folder.wasmc(["wast", "good.wast"]).ok();
    assert_eq!(done.text(), "good.wast: 3 assertions passed, 0 failed\n");

    let bad = r#"
        (assert_return (invoke "f" (i32.const 2)) (i32.const 4))
        (assert_trap (invoke "f" (i32.const 1)) "integer divide by zero")
        (assert_trap (invoke "f" (i32.const 0)) "unreachable")
        (assert_invalid (module) "type mismatch")
        (assert_unlinkable (module) "unknown import")
        (invoke "g")"#;
    folder.write("bad.wast", format!("{module}{bad}"));
    let done = folder.wasmc(["wast", "good.wast", "bad.wast"]);
    assert_eq!(done.code, 1);
    let text = done.text();
    assert!(text.contains("bad.wast: 0 assertions passed, 6 failed\n"), "{text}");
    assert!(text.contains("  bad.wast:line 2: assert_return: expected i32 4 (0x4), got i32 3 (0x3)\n"), "{text}");
    for line in 2..=7 {
        assert!(text.contains(&format!("bad.wast:line {line}: ")), "{text}");
    }
    assert!(text.ends_with("2 files: 3 assertions passed, 6 failed\n"), "{text}");
}

#[test]
fn what_is_no_script_fails() {
    let folder = Folder::new();
    folder.write("a.wast", "(module\n(");
    let done = folder.wasmc(["wast", "a.wast", "missing.wast"]);
    assert_eq!(done.code, 1);
    assert!(done.text().contains("a.wast:line 2: script"), "{}", done.text());
    assert!(done.stderr.contains("missing.wast"), "{}", done.stderr);
}

#[test]
fn features_can_be_switched_off() {
    let folder = Folder::new();
    folder.write("a.wast", r#"(assert_invalid (module (func (param v128))) "SIMD support is not enabled")"#);
    assert_eq!(folder.wasmc(["wast", "a.wast"]).code, 1);
    folder.wasmc(["wast", "--wasm-features", "-simd,-relaxed-simd", "a.wast"]).ok();
    folder.wasmc(["wast", "-O0", "--wasm-features", "-simd,-relaxed-simd", "a.wast"]).ok();
    folder.wasmc(["wast", "--wasm-features", "bogus", "a.wast"]).failed(2, &["unknown WebAssembly feature"]);
}

#[test]
fn scripts_run_under_every_strategy_and_on_instances_that_were_reset() {
    let folder = Folder::new();
    // Whether an instance was reset shows in how often the start function ran.
    let script = |starts: u32| {
        format!(
            r#"(module $counter
                (global $runs (export "runs") (mut i32) (i32.const 0)) (memory (export "memory") 1 2)
                (data (i32.const 7) "x") (table (export "table") 1 2 funcref)
                (func (export "load") (result i32) (i32.load8_u (i32.const 7)))
                (func (export "size") (result i32) (i32.add (memory.size) (table.size))))
            (register "counter")
            (module (import "counter" "runs" (global $runs (mut i32)))
                (func $start (global.set $runs (i32.add (global.get $runs) (i32.const 1)))) (start $start))
            (assert_return (get $counter "runs") (i32.const {starts}))
            (assert_return (invoke $counter "load") (i32.const 120))
            (assert_return (invoke $counter "size") (i32.const 2))"#
        )
    };
    folder.write("once.wast", script(1));
    folder.write("twice.wast", script(2));
    for strategy in [
        "pooling-copy-on-write",
        "recreate-instance-copy-on-write",
        "pooling",
        "recreate-instance",
        "legacy-instance-reuse",
    ] {
        let done = folder.wasmc(["wast", "--strategy", strategy, "-v", "once.wast"]).ok();
        assert!(done.stderr.contains(&format!("instantiating with {strategy}\n")), "{}", done.stderr);
        folder.wasmc(["wast", "--strategy", strategy, "--reset", "twice.wast"]).ok();
        assert_eq!(folder.wasmc(["wast", "--strategy", strategy, "--reset", "once.wast"]).code, 1);
    }
    folder.wasmc(["wast", "--strategy", "bogus", "once.wast"]).failed(2, &["bogus", "legacy-instance-reuse"]);
}
