//! How guests meet WASI through the loader's linker.

use wasmc_loader::{Engine, Error, Linker, Module, Store};
use wasmc_wasi::pipe::MemoryOutputPipe;
use wasmc_wasi::{Fault, I32Exit, WasiCtx, WasiCtxBuilder};

/// What a host keeps beside the guest's context.
struct Host {
    name: &'static str,
    wasi: WasiCtx,
}

/// Compiles a module and calls its export `run`.
fn run(wat: &str, wasi: WasiCtx) -> Result<i32, Error> {
    let engine = Engine::default();
    let artifact = wasmc::compile(wat.as_bytes(), &wasmc::Options::default())?;
    // SAFETY: compiled above, and not changed since.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut linker = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    let mut store = Store::new(&engine, Host { name: "host", wasi });
    let instance = linker.instantiate(&mut store, &module)?;
    let answer = instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ());
    assert_eq!(store.data().name, "host");
    answer
}

fn no_context() -> WasiCtx {
    WasiCtxBuilder::new().build()
}

#[test]
fn proc_exit_ends_the_guest_with_its_code_whatever_the_code() {
    for code in [0, 1, 125, 126, 255, -1] {
        let wat = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func (export "run") (result i32) (call $exit (i32.const {code})) unreachable))"#
        );
        let error = run(&wat, no_context()).expect_err("the guest exits");
        assert_eq!(error.downcast_ref::<I32Exit>().map(|exit| exit.0), Some(code));
    }
}

#[test]
fn preview_0_is_linked_under_its_own_name() {
    let stdout = MemoryOutputPipe::new(100);
    let wat = r#"(module
        (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
        (func (export "run") (result i32)
            (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))))"#;
    let answer = run(wat, WasiCtxBuilder::new().stdout(stdout.clone()).build());
    assert_eq!(answer.ok(), Some(0));
    assert_eq!(stdout.contents(), b"hello");
}

#[test]
fn an_invalid_pointer_ends_the_guest_with_a_fault() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "run") (result i32) (call $random (i32.const 0xffff) (i32.const 2))))"#;
    let error = run(wat, no_context()).expect_err("two bytes do not fit");
    assert!(matches!(error.downcast_ref(), Some(Fault::Pointer(_))), "{error:?}");
}

#[test]
fn a_guest_without_an_exported_memory_is_told_to_export_it() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory 1)
        (func (export "run") (result i32) (call $yield)))"#;
    let error = run(wat, no_context()).expect_err("no memory");
    assert!(format!("{error:?}").contains("export its memory"), "{error:?}");
}

#[test]
fn memory_that_the_guest_grew_is_seen() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "run") (result i32)
            (drop (memory.grow (i32.const 3)))
            (if (call $sizes (i32.const 0x30000) (i32.const 0x3fffc)) (then unreachable))
            (i32.add (i32.load (i32.const 0x30000)) (i32.load (i32.const 0x3fffc)))))"#;
    let wasi = WasiCtxBuilder::new().args(["ab", "c"]).expect("valid arguments").build();
    // Two arguments, of five bytes with their zeros.
    assert_eq!(run(wat, wasi).ok(), Some(7));
}

#[test]
fn functions_called_through_a_table_find_the_memory_too() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (table funcref (elem $sizes))
        (func (export "run") (result i32)
            (call_indirect (param i32 i32) (result i32) (i32.const 0) (i32.const 4) (i32.const 0))))"#;
    assert_eq!(run(wat, no_context()).ok(), Some(0));
}
