//! Guests that are initialised when they are compiled.

use crate::Package;
use std::fs;
use std::time::Duration;
use wasmc::build::{Carrier, Error, Module};
use wasmc::init::{InitDir, InitOptions, InitOutput};
use wasmc_loader::{Engine, Linker, Module as Loaded, Store};

/// Counts what it sees of files, arguments and variables.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $n (i32.add (global.get $n) (i32.const 1))))
    (func (export "look")
        (if (i32.eqz (call $prestat (i32.const 3) (i32.const 0)))
            (then (global.set $n (i32.add (global.get $n) (i32.const 10)))))
        (drop (call $args (i32.const 16) (i32.const 20)))
        (drop (call $environ (i32.const 24) (i32.const 28)))
        (global.set $n (i32.add (global.get $n) (i32.mul (i32.const 100) (i32.load (i32.const 16)))))
        (global.set $n (i32.add (global.get $n) (i32.mul (i32.const 1000) (i32.load (i32.const 24))))))
    (func $inner (unreachable)) (func (export "fail") (call $inner))
    (func (export "loop") (loop (br 0)))
    (func (export "grow") (drop (memory.grow (i32.const 10))))
    (func (export "n") (result i32) (global.get $n)))"#;

fn quiet(export: &str) -> InitOptions {
    InitOptions { output: InitOutput::Discard, ..export.into() }
}

/// What `n` of an instance of the artifact is.
fn n(artifact: &[u8]) -> i32 {
    let engine = Engine::default();
    // SAFETY: the compiler has just made it.
    let module = unsafe { Loaded::from_bytes(&engine, artifact) }.unwrap();
    let (mut linker, mut store) = (Linker::new(&engine), Store::new(&engine, ()));
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, "n").unwrap().call(&mut store, ()).unwrap()
}

fn built(change: impl FnOnce(&mut Module)) -> i32 {
    let package = Package::new();
    let mut module = package.guest("guest.wat", GUEST);
    change(&mut module);
    module.compile().unwrap();
    n(&package.read("guest.cwasm"))
}

#[test]
fn instances_begin_where_the_initialiser_has_ended() {
    assert_eq!(built(|_| ()), 0);
    let of = |init: InitOptions| {
        built(|module| {
            module.init(init);
        })
    };
    assert_eq!(of("_initialize".into()), 1);
    assert_eq!(of(InitOptions::default()), 1);
    assert_eq!(of(quiet("look")), 1);
    let args = vec!["guest".to_owned(), "-x".to_owned()];
    assert_eq!(of(InitOptions { args, ..quiet("look") }), 201);
    let variables = vec![("A".to_owned(), "b".to_owned())];
    assert_eq!(of(InitOptions { variables, ..quiet("look") }), 1001);
    let folder = tempfile::tempdir().unwrap();
    let dirs = vec![InitDir { host: folder.path().to_owned(), guest: "/".to_owned(), writable: false }];
    assert_eq!(of(InitOptions { dirs, ..quiet("look") }), 11);
    // What the code is compiled with does not matter to it.
    let stoppable = |module: &mut Module| {
        module.init(quiet("look")).epoch(true).deterministic();
    };
    assert_eq!(built(stoppable), 1);
}

#[test]
fn bindings_stay_what_they_are_and_the_library_has_the_state_too() {
    let [plain, with] = [Package::new(), Package::new()];
    let artifact = plain.guest("guest.wat", GUEST).carrier(Carrier::Linked).try_compile().unwrap().artifact;
    let other = with.guest("guest.wat", GUEST).init(quiet("look")).carrier(Carrier::Linked).try_compile();
    assert_ne!(fs::read(artifact).unwrap(), fs::read(other.unwrap().artifact).unwrap());
    assert_eq!(plain.read("guest.rs"), with.read("guest.rs"));
}

/// The message for an initialiser that does not do.
fn refused(init: InitOptions, words: &[&str]) -> Error {
    let package = Package::new();
    let error = package.guest("guest.wat", GUEST).init(init).try_compile().unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    assert!(!text.contains("--init"), "{text}");
    assert!(!package.out("guest.rs").exists() && !package.out("guest.cwasm").exists());
    error
}

#[test]
fn an_initialiser_that_fails_is_named_with_where_it_was_and_the_builders_fields() {
    let begin = "cannot initialise the guest `guest.wat`: ";
    let error = refused(quiet("fail"), &[begin, "`fail` failed", "unreachable", "wasm backtrace:", "inner"]);
    assert!(std::error::Error::source(&error).unwrap().is::<wasmc::init::Error>());
    refused(quiet("nothing"), &[begin, "no function `nothing`", "`look`"]);
    refused(quiet("n"), &["`n`", "() -> (i32)"]);
    let timeout = Duration::from_millis(50);
    refused(InitOptions { timeout, ..quiet("loop") }, &["has not returned", "`InitOptions::timeout`"]);
    refused(InitOptions { max_memory: 2 << 16, ..quiet("grow") }, &["`InitOptions::max_memory`"]);
    let dirs = vec![InitDir { host: "no/such/folder".into(), guest: "/".to_owned(), writable: false }];
    refused(InitOptions { dirs, ..quiet("look") }, &["no/such/folder"]);

    let package = Package::new();
    let error = package.guest("guest.wat", "(module (func (export \"f\")))").init(InitOptions::default()).try_compile();
    assert!(error.unwrap_err().to_string().contains("`.init(\"EXPORT\")`"));
    let error = package.guest("guest.wat", "(module (func (export \"f\") drop))").init("f").try_compile().unwrap_err();
    assert!(error.to_string().starts_with("cannot compile the guest `guest.wat` (line 1, column"), "{error}");
}

/// What the script says to cargo, as a script would: in a process of its own.
#[test]
fn cargo_runs_the_script_again_when_what_the_initialiser_reads_changes() {
    if std::env::var_os("WASMC_TEST_SCRIPT").is_some() {
        let dir = |host: &str, writable| InitDir { host: host.into(), guest: host.to_owned(), writable };
        let dirs = vec![dir("read", false), dir("written", true)];
        let package = Package::new();
        for name in ["read", "written"] {
            fs::create_dir(package.path(name)).unwrap();
        }
        let dirs = dirs.into_iter().map(|dir| InitDir { host: package.path(dir.guest.as_str()), ..dir }).collect();
        let mut module = package.guest("guest.wat", GUEST);
        module.init(InitOptions { dirs, ..quiet("look") }).cargo_metadata(true).compile().unwrap();
        return;
    }
    let name = "init::cargo_runs_the_script_again_when_what_the_initialiser_reads_changes";
    let mut script = std::process::Command::new(std::env::current_exe().unwrap());
    let output = script.args(["--exact", name, "--nocapture"]).env("WASMC_TEST_SCRIPT", "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let depends = |name: &str| text.lines().any(|l| l.starts_with("cargo:rerun-if-changed=") && l.ends_with(name));
    assert!(output.status.success() && depends("guest.wat") && depends("/read"), "{text}");
    assert!(!depends("/written"), "{text}");
}
