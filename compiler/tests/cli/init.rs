//! `wasmc FILE --init`.

use super::Folder;

/// A reactor that counts, fails, says something, reads a file and loops.
const GUEST: &str = r#"(module $guest
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
    (func (export "_initialize") (global.set $n (i32.add (global.get $n) (i32.const 1))))
    (func (export "more") (global.set $n (i32.add (global.get $n) (i32.const 40))))
    (func (export "say") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
    (func (export "look")
        (drop (call $environ (i32.const 32) (i32.const 36)))
        (i32.store (i32.const 40) (call $prestat (i32.const 3) (i32.const 48))))
    (func $inner (unreachable)) (func $fail (export "fail") (call $inner))
    (func (export "loop") (loop (br 0)))
    (func (export "n") (result i32) (global.get $n))
    (func (export "seen") (result i32 i32) (i32.load (i32.const 32)) (i32.load (i32.const 40))))"#;

#[test]
fn an_artifact_begins_where_the_initialiser_has_ended_and_says_so() {
    let folder = Folder::new();
    folder.write("a.wat", GUEST);
    let n = |file: &str| folder.wasmc(["run", "--invoke", "n", file]).ok().text().to_owned();
    let done = folder.wasmc(["a.wat", "--init", "-v"]).ok();
    assert!(done.stderr.contains("initialised by _initialize: "), "{}", done.stderr);
    // `run` calls `_initialize` of every reactor.
    assert_eq!(n("a.cwasm"), "1\n");
    folder.wasmc(["a.wat", "--init=more", "-o", "more.cwasm"]).ok();
    assert_eq!(n("more.cwasm"), "41\n");
    folder.wasmc(["a.wat", "--init=more", "--init-keep", "-o", "kept.cwasm"]).ok();
    assert_eq!(n("kept.cwasm"), "42\n");
    let text = folder.wasmc(["inspect", "more.cwasm"]).ok();
    assert!(text.text().contains("initialised by  _initialize, more\n"), "{}", text.text());
    let json = folder.wasmc(["inspect", "more.cwasm", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["initialized_by"], "_initialize, more");
    folder.wasmc(["verify", "more.cwasm"]).ok();
}

#[test]
fn what_the_initialiser_says_goes_to_the_standard_error_output() {
    let folder = Folder::new();
    folder.write("a.wat", GUEST);
    let done = folder.wasmc(["a.wat", "--init=say", "-o", "-"]).ok();
    assert_eq!(done.stderr, "hello\n");
    assert!(done.stdout.starts_with(b"\x7fELF"));
}

#[test]
fn variables_and_folders_are_there_only_if_they_are_allowed() {
    let folder = Folder::new();
    folder.write("a.wat", GUEST);
    let seen = |args: &[&str]| {
        let line: Vec<&str> = ["a.wat", "--init=look", "-o", "b.cwasm"].iter().chain(args).copied().collect();
        folder.wasmc(line).ok();
        folder.wasmc(["run", "--invoke", "seen", "b.cwasm"]).ok().text().to_owned()
    };
    // 8: a bad descriptor.
    assert_eq!(seen(&[]), "0\n8\n");
    assert_eq!(seen(&["--init-env", "A=b", "--init-dir", ".::/"]), "1\n0\n");
}

#[test]
fn an_initialiser_that_fails_leaves_no_file_and_a_backtrace() {
    let folder = Folder::new();
    folder.write("a.wat", GUEST);
    let done = folder.wasmc(["a.wat", "--init=fail"]);
    let done = done.failed(1, &["cannot initialise `a.wat`", "`fail` failed", "unreachable", "wasm backtrace:"]);
    assert!(done.stderr.contains("0: inner\n") && done.stderr.contains("1: fail\n"), "{}", done.stderr);
    let words = ["_initialize, loop has not returned", "--init-timeout DURATION"];
    folder.wasmc(["a.wat", "--init=loop", "--init-timeout", "0.1"]).failed(1, &words);
    folder.wasmc(["a.wat", "--init=nothing"]).failed(1, &["no function `nothing`", "`more`"]);
    folder.wasmc(["a.wat", "--init=n"]).failed(1, &["`n`", "() -> (i32)"]);
    folder.wasmc(["a.wat", "--init", "--init-dir", "missing"]).failed(1, &["missing"]);
    folder.wasmc(["a.wat", "--init", "--init-dir", "a::b::c"]).failed(2, &["--init-dir", "::rw"]);
    let nothing = folder.wasmc_with_input(["-", "--init", "-o", "b.cwasm"], b"(module (func (export \"f\")))");
    nothing.failed(1, &["nothing to run", "with `--init=EXPORT`; without", "`f`"]);
    folder.wasmc(["a.wat", "--init", "--init-memory", "5"]).failed(1, &["65536 bytes", "--init-memory"]);
    folder.wasmc(["a.wat", "--init-keep"]).failed(2, &["--init"]);
    assert_eq!(folder.names(), ["a.wat"]);
}

/// A program as Wizer's users write it: `_start` would begin anew, and
/// `wizer.resume` goes on.
const COMMAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (func (export "wizer.initialize") (global.set $n (i32.add (global.get $n) (i32.const 30))))
    (func $main (call $exit (global.get $n)))
    (func (export "wizer.resume") (global.set $n (i32.add (global.get $n) (i32.const 3))) (call $main))
    (func (export "_start") (global.set $n (i32.const 1)) (call $main))
    (func (export "n") (result i32) (global.get $n)))"#;

#[test]
fn a_command_goes_on_where_its_initialiser_has_ended() {
    let folder = Folder::new();
    folder.write("a.wat", COMMAND);
    let code = |args: &[&str]| folder.wasmc(args).code;
    folder.wasmc(["a.wat", "--init"]).ok();
    assert_eq!(code(&["run", "a.cwasm"]), 1);
    folder.wasmc(["a.wat", "--init", "--init-rename", "_start=wizer.resume"]).ok();
    assert_eq!(code(&["run", "a.cwasm"]), 33);
    // A name that there was none of.
    folder.wasmc(["a.wat", "--init", "--init-rename", "go-on=wizer.resume", "-o", "b.cwasm"]).ok();
    assert_eq!(code(&["run", "--invoke", "go-on", "b.cwasm"]), 33);
    assert_eq!(code(&["run", "b.cwasm"]), 1);

    // Of functions as they were, all at once; and what takes an initialiser's
    // place is not one that has run.
    let both = ["a.wat", "--init", "--init-rename", "_start=wizer.resume", "--init-rename", "wizer.resume=_start"];
    folder.wasmc(both.into_iter().chain(["-o", "b.cwasm"])).ok();
    assert_eq!([code(&["run", "b.cwasm"]), code(&["run", "--invoke", "wizer.resume", "b.cwasm"])], [33, 1]);
    folder.wasmc(["a.wat", "--init", "--init-rename", "wizer.initialize=wizer.resume", "-o", "b.cwasm"]).ok();
    assert_eq!(code(&["run", "--invoke", "wizer.initialize", "b.cwasm"]), 33);

    let refused = |rename: &str, code: i32, words: &[&str]| {
        folder.wasmc(["a.wat", "--init", "--init-rename", rename, "-o", "c.cwasm"]).failed(code, words);
    };
    refused("_start=resume", 1, &["no function `resume`", "`wizer.resume`"]);
    refused("_start=n", 1, &["`n` cannot take the place of the export `_start`", "() -> (i32)"]);
    refused("memory=_start", 1, &["`memory`, which is no function"]);
    refused("_start", 2, &["--init-rename", "NAME=OTHER"]);
    assert_eq!(folder.names(), ["a.cwasm", "a.wat", "b.cwasm"]);
}
