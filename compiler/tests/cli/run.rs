//! `wasmc run`.

use super::{ADD, Folder};
use wasmc_artifacts::abi::CPU_FEATURES;

/// A WASI program that prints `line` and exits with `code`.
fn prints_and_exits(line: &str, code: u8) -> String {
    let length = line.len();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\{length:02x}\00\00\00")
            (data (i32.const 16) "{line}")
            (func (export "_start")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (call $exit (i32.const {code}))))"#
    )
}

const TRAPS: &str = r#"(module
    (func $divide (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func $_ZN6parser5parse17h0123456789abcdefE (drop (call $divide (i32.const 0))))
    (func $_start (export "_start") (call $_ZN6parser5parse17h0123456789abcdefE)))"#;

#[test]
fn the_guests_exit_code_and_output_are_the_commands() {
    let folder = Folder::new();
    folder.write("a.wat", prints_and_exits("hi", 7));
    let text = folder.wasmc(["run", "a.wat"]);
    assert_eq!((text.code, text.text(), text.stderr.as_str()), (7, "hi", ""));
    folder.wasmc(["a.wat"]).ok();
    let artifact = folder.wasmc(["run", "a.cwasm"]);
    assert_eq!((artifact.code, artifact.text()), (7, "hi"));
    let wasm = wat::parse_str(prints_and_exits("hi", 0)).unwrap();
    assert_eq!(folder.wasmc_with_input(["run", "-"], &wasm).ok().text(), "hi");
    let artifact = std::fs::read(folder.path("a.cwasm")).unwrap();
    assert_eq!(folder.wasmc_with_input(["run", "-"], &artifact).code, 7);
}

#[test]
fn a_trap_is_named_with_a_backtrace() {
    let folder = Folder::new();
    folder.write("a.wat", TRAPS);
    folder.wasmc(["a.wat"]).ok();
    for file in ["a.wat", "a.cwasm"] {
        let done = folder.wasmc(["run", file]).failed(134, &["integer divide by zero", "wasm backtrace"]);
        let frames = ["0: divide\n", "1: parser::parse\n", "2: _start\n"];
        let at: Vec<_> = frames.iter().map(|frame| done.stderr.find(frame)).collect();
        assert!(at.is_sorted() && at[0].is_some(), "{}", done.stderr);
    }
    let deep = r#"(module (func $f (export "_start") (call $f)))"#;
    folder.write("deep.wat", deep);
    let done = folder.wasmc(["run", "deep.wat"]).failed(134, &["call stack exhausted", " more\n"]);
    assert!(done.stderr.lines().count() < 60, "{}", done.stderr);
}

#[test]
fn exports_are_called_with_arguments_of_their_types() {
    let folder = Folder::new();
    folder.write("add.wat", ADD);
    assert_eq!(folder.wasmc(["run", "--invoke", "add", "add.wat", "-1", "0x10"]).ok().text(), "15\n");
    folder.write(
        "all.wat",
        r#"(module (func (export "all") (param i64 f32 f64 v128 externref) (result i64 f32 f64 v128 externref)
            (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))"#,
    );
    let all = ["run", "--invoke", "all", "all.wat", "-9223372036854775808", "1.5", "-0.25", "0x7", "null"];
    let expected = "-9223372036854775808\n1.5\n-0.25\n0x00000000000000000000000000000007\nnull\n";
    assert_eq!(folder.wasmc(all).ok().text(), expected);

    let invoke = |arguments: &[&str]| folder.wasmc(["run", "--invoke", "add", "add.wat"].iter().chain(arguments));
    invoke(&["1"]).failed(1, &["takes 2 arguments", "(i32, i32) -> (i32)"]);
    invoke(&["1", "two"]).failed(1, &["argument 2", "i32"]);
    invoke(&["1", "4294967296"]).failed(1, &["argument 2", "does not fit into 32 bits"]);
    folder.wasmc(["run", "--invoke", "sub", "add.wat"]).failed(1, &["no function `sub`", "there are: add"]);
    folder.wasmc(["run", "add.wat"]).failed(1, &["no function `_start`", "--invoke", "add"]);
}

#[test]
fn a_library_is_initialised_before_it_is_called() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module (global $g (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $g (i32.const 42)))
            (func (export "get") (result i32) (global.get $g)))"#,
    );
    assert_eq!(folder.wasmc(["run", "--invoke", "get", "a.wat"]).ok().text(), "42\n");
    folder.write("start.wat", "(module (func $s unreachable) (start $s))");
    folder.wasmc(["run", "start.wat"]).failed(134, &["unreachable"]);
}

#[test]
fn missing_imports_are_all_named_and_may_be_traps() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module (import "env" "first" (func $f (param i32))) (import "env" "second" (func (result f64)))
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
            (func (export "_start") (call $f (i32.const 1))))"#,
    );
    folder
        .wasmc(["run", "a.wat"])
        .failed(1, &["first", "second", "(i32) -> ()", "() -> (f64)", "proc_exit", "(i64) -> ()"]);
    folder.write(
        "b.wat",
        r#"(module (import "env" "first" (func $f (param i32))) (import "env" "second" (func))
            (func (export "_start") (call $f (i32.const 1))))"#,
    );
    folder.wasmc(["run", "b.wat"]).failed(1, &["--trap-unknown-imports"]);
    let done = folder.wasmc(["run", "--trap-unknown-imports", "b.wat"]);
    assert!(done.code != 0 && done.stderr.contains("first"), "{}", done.stderr);
}

/// Prints the program's arguments, each with a zero byte, then its variables.
const LISTS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 4096))
        (drop (call $args_sizes (i32.const 8) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 4096)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (drop (call $env_sizes (i32.const 8) (i32.const 4)))
        (drop (call $env (i32.const 1024) (i32.const 4096)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"#;

#[test]
fn arguments_and_variables_reach_the_guest() {
    let folder = Folder::new();
    folder.write("a.wat", LISTS);
    assert_eq!(folder.wasmc(["run", "a.wat", "-x", "--env", "y z"]).ok().text(), "a.wat\0-x\0--env\0y z\0");
    let mine = ["run", "a.wat", "-O", "9", "--dir", "-v", "--", "--help"];
    assert_eq!(folder.wasmc(mine).ok().text(), "a.wat\0-O\x009\0--dir\0-v\0--\0--help\0");
    folder.wasmc(["run", "--no-such-flag", "a.wat"]).failed(2, &["--no-such-flag"]);
    let mut command = folder.command();
    command.args(["run", "--argv0", "me", "--env", "A=1=2", "--env", "B", "a.wat"]).env("B", "two");
    assert_eq!(command.output().unwrap().stdout, b"me\0A=1=2\0B=two\0");
    folder.wasmc(["run", "--env", "NO_SUCH_VARIABLE", "a.wat"]).failed(2, &["NO_SUCH_VARIABLE"]);
    folder.wasmc(["run", "--env", "=x", "a.wat"]).failed(1, &["variable name"]);
}

/// Opens `f` in the first preopened folder for writing, and exits with the
/// error number.
const OPENS: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "f")
    (func (export "_start") (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64)))))"#;

#[test]
fn folders_are_opened_as_they_are_given() {
    let folder = Folder::new();
    folder.write("a.wat", OPENS);
    std::fs::create_dir(folder.path("d")).unwrap();
    const EBADF: i32 = 8;
    assert_eq!(folder.wasmc(["run", "a.wat"]).code, EBADF);
    assert_ne!(folder.wasmc(["run", "--dir", "d::/d::ro", "a.wat"]).code, 0);
    assert!(!folder.path("d/f").exists());
    folder.wasmc(["run", "--dir", "d::/d", "a.wat"]).ok();
    assert!(folder.path("d/f").exists());
    folder.wasmc(["run", "--dir", "missing", "a.wat"]).failed(1, &["missing"]);
    folder.wasmc(["run", "--dir", "a::b::c::d", "a.wat"]).failed(2, &["HOST[::GUEST[::ro]]"]);
}

#[test]
fn an_artifact_that_does_not_fit_says_why_and_what_to_do() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let run = || folder.wasmc(["run", "--invoke", "add", "a.cwasm", "1", "2"]);
    folder.wasmc(["a.wat", "--target", "aarch64-unknown-linux-gnu"]).ok();
    if cfg!(target_arch = "x86_64") {
        run().failed(1, &["aarch64", "x86_64", "--target"]);
    }
    folder.wasmc(["a.wat"]).ok();
    run().ok();
    let good = std::fs::read(folder.path("a.cwasm")).unwrap();
    let at = good.windows(8).position(|bytes| bytes == b"\0wasmc\r\n").unwrap();
    let with = |offset: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at + offset..][..bytes.len()].copy_from_slice(bytes);
        folder.write("a.cwasm", file);
        run()
    };
    with(8, &[99, 0, 0, 0]).failed(1, &["format version 99", "recompile"]);
    with(16, &[1, 0, 0, 0, 0, 0, 0, 0]).failed(1, &["ABI fingerprint 0000000000000001", "recompile"]);
    folder.write("a.cwasm", &good[..good.len() / 2]);
    run().failed(1, &["a.cwasm"]);
}

#[test]
fn an_artifact_that_needs_more_cpu_features_names_them() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let every = |target: &wasmc::Target| CPU_FEATURES.iter().filter(|f| f.arch == target.arch()).collect::<Vec<_>>();
    let native = wasmc::Target::native();
    let names = every(&native).iter().map(|feature| feature.name).collect::<Vec<_>>().join(",");
    folder.wasmc(["a.wat", "--cpu", &names]).ok();
    let all = wasmc::Target::default().cpu(&names).unwrap().cpu_features();
    let missing: Vec<_> = all.without(native.cpu_features()).iter().map(|feature| feature.name).collect();
    let done = folder.wasmc(["run", "--invoke", "add", "a.cwasm", "1", "2"]);
    if missing.is_empty() {
        done.ok();
    } else {
        done.failed(1, &[&missing, ["--cpu"].as_slice()].concat());
    }
}

#[test]
fn what_cannot_be_compiled_is_not_run() {
    let folder = Folder::new();
    folder.write("a.wat", "(module (func (result i32)))");
    folder.wasmc(["run", "a.wat"]).failed(1, &["cannot compile `a.wat`", "byte offset"]);
    folder.wasmc(["run", "missing"]).failed(1, &["cannot read `missing`"]);
    folder.wasmc(["run"]).failed(2, &["required"]);
}

const STRATEGIES: [&str; 5] = [
    "pooling-copy-on-write",
    "recreate-instance-copy-on-write",
    "pooling",
    "recreate-instance",
    "legacy-instance-reuse",
];

#[test]
fn every_strategy_runs_programs_and_is_reported() {
    let folder = Folder::new();
    // More memories and tables than a pool has room for by default, which grow.
    let program = prints_and_exits("hi", 3).replace(
        r#"(func (export "_start")"#,
        r#"(memory $other 2) (data (memory $other) (i32.const 100000) "x") (table $t 30000 funcref) (table 1 externref)
           (func (export "_start")
             (if (i32.ne (memory.grow $other (i32.const 70)) (i32.const 2)) (then unreachable))
             (if (i32.ne (table.grow $t (ref.null func) (i32.const 70)) (i32.const 30000)) (then unreachable))
             (if (i32.ne (i32.load8_u $other (i32.const 100000)) (i32.const 120)) (then unreachable))"#,
    );
    folder.write("a.wat", program);
    folder.wasmc(["a.wat"]).ok();
    for strategy in STRATEGIES {
        for file in ["a.wat", "a.cwasm"] {
            let done = folder.wasmc(["run", "--strategy", strategy, "-v", file]);
            assert_eq!((done.code, done.text()), (3, "hi"), "{strategy}: {}", done.stderr);
            assert!(done.stderr.contains(&format!("instantiating with {strategy}\n")), "{}", done.stderr);
            let how =
                if matches!(strategy, "pooling" | "recreate-instance") { "is copied" } else { "copy-on-write view" };
            let memories = ["defined memory 0 ", "defined memory 1 "];
            for memory in memories {
                assert!(
                    done.stderr.lines().any(|line| line.starts_with(memory) && line.contains(how)),
                    "{}",
                    done.stderr
                );
            }
        }
        let quiet = folder.wasmc(["run", "--strategy", strategy, "a.cwasm"]);
        assert_eq!((quiet.code, quiet.stderr.as_str()), (3, ""), "{strategy}");
    }
    folder.wasmc(["run", "--strategy", "bogus", "a.wat"]).failed(2, &["bogus", STRATEGIES[0], STRATEGIES[4]]);
    let help = folder.wasmc(["run", "--help"]).ok();
    assert!(help.text().contains("deprecated") && help.text().contains("[default: recreate-instance-copy-on-write]"));
}

/// A program that writes to pages 1 and 20 of its memory, of 32, grows it and
/// writes there, and to page 3 of another; then it ends as it is told.
fn writes_here_and_there(end: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 2) (memory $other 1) (data (i32.const 85000) "in page 20")
            (func (export "_start")
                (i32.store8 (i32.const 4096) (i32.const 1))
                (i32.store8 (i32.const 81920) (i32.const 1))
                (i32.store8 $other (i32.const 16383) (i32.const 1))
                (drop (memory.grow (i32.const 1)))
                (i32.store8 (i32.const 131072) (i32.const 1))
                {end}))"#
    )
}

#[test]
fn the_working_set_of_a_run_is_recorded_and_compiled_in() {
    let folder = Folder::new();
    for (name, end, code) in [("returns.wat", "", 0), ("exits.wat", "(call $exit (i32.const 5))", 5)] {
        folder.write(name, writes_here_and_there(end));
        for strategy in STRATEGIES {
            let run = ["run", "--record-working-set", "pages", "--strategy", strategy, "-v", name];
            let done = folder.wasmc(run);
            assert_eq!(done.code, code, "{}", done.stderr);
            if done.stderr.contains("does not tell which pages were written") {
                eprintln!("skipped: {}", done.stderr);
                return;
            }
            assert!(done.stderr.contains("wrote a working set of "), "{}", done.stderr);
            let text = std::fs::read_to_string(folder.path("pages")).unwrap();
            let set = wasmc::WorkingSet::parse(text.as_bytes()).unwrap();
            let touched = |memory, page| {
                let mut ranges = set.ranges().iter().filter(|range| range.memory == memory);
                ranges.any(|range| (range.first..range.first + range.pages).contains(&page))
            };
            assert!(touched(0, 1) && touched(0, 20) && touched(1, 3), "{strategy}: {text}");
            // What it grows by is not there at first.
            assert!(!touched(0, 32), "{strategy}: {text}");
            folder.wasmc([name, "--working-set", "pages", "-o", "a.cwasm"]).ok();
            assert_eq!(folder.wasmc(["run", "--strategy", strategy, "a.cwasm"]).code, code);
        }
    }
    let other = folder.wasmc(["exits.wat", "--working-set", "pages", "-o", "b.cwasm"]);
    other.ok();
    folder.wasmc(["returns.wat", "--working-set", "pages"]).failed(1, &["SHA-256"]);
}

#[test]
fn a_run_that_fails_records_nothing() {
    let folder = Folder::new();
    folder.write("a.wat", writes_here_and_there("unreachable"));
    folder.wasmc(["run", "--record-working-set", "pages", "a.wat"]).failed(134, &["unreachable"]);
    let missing = ["run", "--record-working-set", "no/such/folder/pages", "a.wat"];
    folder.wasmc(missing).failed(1, &["there is no folder `no/such/folder`"]);
    assert_eq!(folder.names(), ["a.wat"]);
}
