//! What an initialiser sees of the world through WASI.

use super::{bake, call, instantiate, load, quiet, try_bake};
use std::fs;
use wasmc::init::{InitDir, InitOptions, RandomSource, TimeSource};
use wasmc_loader::Engine;

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (func (export "load") (param i32) (result i64) (i64.load (local.get 0)))"#;

/// A module whose `_initialize` has this body.
fn module(body: &str) -> String {
    format!(
        r#"(module {IMPORTS} (data (i32.const 1000) "input.txt")
            (func $open (result i32) (call $path_open (i32.const 3) (i32.const 0) (i32.const 1000) (i32.const 9)
                (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 100)))
            (func (export "_initialize") {body}))"#
    )
}

/// What is at some addresses of instances of a module.
#[track_caller]
fn words<const N: usize>(body: &str, init: &InitOptions, at: [i32; N]) -> [i64; N] {
    let module = load(&Engine::default(), &bake(&module(body), init));
    let (mut store, instance) = instantiate(&module);
    at.map(|at| call(&mut store, instance, "load", &[at]).unwrap()[0])
}

#[track_caller]
fn refused(body: &str, init: &InitOptions, words: &[&str]) {
    let error = try_bake(module(body).as_bytes(), init).map(drop).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

/// Reads the file into 208.. and closes it; errors go to 200.
const READ: &str = "(i32.store (i32.const 200) (call $open))
    (i32.store (i32.const 104) (i32.const 208)) (i32.store (i32.const 108) (i32.const 8))
    (drop (call $fd_read (i32.load (i32.const 100)) (i32.const 104) (i32.const 1) (i32.const 112)))";

#[test]
fn files_are_there_only_if_they_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("input.txt"), "contents").unwrap();
    let close = "(if (i32.eqz (i32.load (i32.const 200))) (then (drop (call $fd_close (i32.load (i32.const 100))))))";
    let read = format!("{READ} {close}");
    // A bad descriptor, as WASI numbers errors.
    assert_eq!(words(&read, &quiet(None), [200, 208]), [8, 0]);
    let mut init = quiet(None);
    init.dirs = vec![InitDir { host: folder.path().to_owned(), guest: "/".into(), writable: false }];
    assert_eq!(words(&read, &init, [200, 208]), [0, i64::from_le_bytes(*b"contents")]);
    init.dirs[0].host = folder.path().join("missing");
    refused(&read, &init, &["cannot prepare what the initialiser sees"]);
}

#[test]
fn folders_can_be_written_only_if_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.txt");
    // Open to create and write.
    let write = "(i32.store (i32.const 200) (call $path_open (i32.const 3) (i32.const 0) (i32.const 1000) (i32.const 9)
            (i32.const 1) (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 100)))
        (i32.store (i32.const 104) (i32.const 1000)) (i32.store (i32.const 108) (i32.const 5))
        (if (i32.eqz (i32.load (i32.const 200))) (then
            (drop (call $fd_write (i32.load (i32.const 100)) (i32.const 104) (i32.const 1) (i32.const 112)))
            (drop (call $fd_close (i32.load (i32.const 100))))))";
    let mut init = quiet(None);
    init.dirs = vec![InitDir { host: folder.path().to_owned(), guest: "/".into(), writable: false }];
    assert_ne!(words(write, &init, [200]), [0]);
    assert!(!path.exists());
    init.dirs[0].writable = true;
    assert_eq!(words(write, &init, [200]), [0]);
    assert_eq!(fs::read(path).unwrap(), b"input");
}

#[test]
fn descriptors_that_are_left_open_or_closed_are_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("input.txt"), "contents").unwrap();
    let mut init = quiet(None);
    init.dirs = vec![InitDir { host: folder.path().to_owned(), guest: "/".into(), writable: false }];
    refused(READ, &init, &["cannot freeze descriptor 4", "left this file or folder open"]);
    refused("(drop (call $fd_close (i32.const 3)))", &init, &["descriptor 3", "preopened folder"]);
    refused("(drop (call $fd_close (i32.const 1)))", &init, &["descriptor 1", "standard stream"]);
    let replace = format!("{READ} (drop (call $fd_renumber (i32.load (i32.const 100)) (i32.const 1)))");
    refused(&replace, &init, &["standard stream"]);
    let replace = format!("{READ} (drop (call $fd_renumber (i32.load (i32.const 100)) (i32.const 3)))");
    refused(&replace, &init, &["descriptor 3", "in the place of this preopened folder"]);
}

#[test]
fn arguments_and_variables_are_those_of_the_options() {
    let count = "(drop (call $args_sizes_get (i32.const 200) (i32.const 204)))
        (drop (call $environ_sizes_get (i32.const 208) (i32.const 212)))";
    assert_eq!(words(count, &quiet(None), [200, 208]), [0, 0]);
    let mut init = quiet(None);
    init.args = vec!["program".into(), "-x".into()];
    init.variables = vec![("A".into(), "bc".into())];
    assert_eq!(words(count, &init, [200, 208]), [2 | 11 << 32, 1 | 5 << 32]);
}

#[test]
fn time_and_random_numbers_are_the_same_in_every_run_unless_they_are_the_systems() {
    // The clock, twice; a second of sleep; the other clock; random bytes.
    let body = "(drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 200)))
        (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 208)))
        (i64.store (i32.const 328) (i64.const 1000000000)) (i32.store (i32.const 320) (i32.const 1))
        (drop (call $poll_oneoff (i32.const 304) (i32.const 400) (i32.const 1) (i32.const 500)))
        (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 216)))
        (drop (call $random_get (i32.const 224) (i32.const 8)))";
    let at = [200, 208, 216, 224];
    let fixed = words(body, &quiet(None), at);
    assert_eq!(fixed, words(body, &quiet(None), at));
    assert_eq!(fixed[..2], [1000, 2000]);
    assert!(fixed[2] < 2_000_000_000, "the clock says {}", fixed[2]);
    let mut init = quiet(None);
    (init.time, init.random) = (TimeSource::System, RandomSource::System);
    let system = words(body.split("(i64.store (i32.const 328)").next().unwrap(), &init, at);
    assert!(system[0] > 1_700_000_000_000_000_000, "the clock says {}", system[0]);
    let random = "(drop (call $random_get (i32.const 224) (i32.const 8)))";
    assert_ne!(words(random, &init, [224]), words(random, &init, [224]));
}

#[test]
fn an_initialiser_that_exits_is_refused_with_its_code() {
    refused("(call $proc_exit (i32.const 3))", &quiet(None), &["`_initialize`", "exit code 3", "must return"]);
    refused("(call $proc_exit (i32.const 0))", &quiet(None), &["exit code 0"]);
}
