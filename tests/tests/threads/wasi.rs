//! wasi-threads, in this process: what hosts are told of a guest's threads.

use super::module;
use std::sync::mpsc;
use wasmc_loader::{Engine, Error, Linker, Store, Trap};
use wasmc_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiThreads};

/// Each thread ends in the way that its argument says, after it was let go.
const GUEST: &str = r#"(module
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "host" "panic" (func $panic))
    (import "env" "memory" (memory 1 1 shared))
    (export "memory" (memory 0))
    (func (export "spawn") (param i32) (result i32) (call $spawn (local.get 0)))
    (func (export "go") (i32.atomic.store (i32.const 0) (i32.const 1))
        (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))
    (func (export "wasi_thread_start") (param $id i32) (param $how i32)
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
        (block $trap (block $panic (block $exit (block $return
            (br_table $return $exit $panic $trap (local.get $how)))
            return)
            (call $exit (i32.add (i32.const 40) (local.get $id))))
            (call $panic))
        unreachable))"#;

fn panics() {
    panic!("on purpose");
}

#[test]
fn hosts_are_told_of_each_thread_that_does_not_return() {
    let engine = Engine::default();
    let module = module(&engine, GUEST);
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    linker.func_wrap("host", "panic", panics).unwrap();
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build());
    let (told, ends) = mpsc::channel::<Error>();
    let threads = WasiThreads::link(&mut linker, &mut store, &module, move |error| told.send(error).unwrap()).unwrap();
    threads.limit(5);
    let instance = threads.instantiate(&mut store).unwrap();
    let spawn = instance.get_typed_func::<i32, i32>(&mut store, "spawn").unwrap();
    let ids: Vec<i32> = [0, 1, 2, 3, 0].iter().map(|how| spawn.call(&mut store, *how).unwrap()).collect();
    assert_eq!((ids, threads.live()), (vec![1, 2, 3, 4, 5], 5));
    assert!(spawn.call(&mut store, 0).unwrap() < 0, "there are more threads than allowed");

    instance.get_typed_func::<(), ()>(&mut store, "go").unwrap().call(&mut store, ()).unwrap();
    let mut found: Vec<String> = (0..3).map(|_| ends.recv().unwrap()).map(|error| describe(&error)).collect();
    found.sort();
    assert_eq!(found, ["exit 42", "panic", "trap unreachable"]);
    while threads.live() > 0 {
        std::thread::yield_now();
    }
    assert!(ends.try_recv().is_err(), "threads that return are not told of");
    // There is room again, and no identifier is used twice.
    assert_eq!(spawn.call(&mut store, 0).unwrap(), 6);
}

fn describe(error: &Error) -> String {
    match (error.downcast_ref::<I32Exit>(), error.downcast_ref::<Trap>()) {
        (Some(exit), _) => format!("exit {}", exit.0),
        (_, Some(trap)) => format!("trap {trap}"),
        _ if error.to_string().contains("panicked in thread 3 of the guest: on purpose") => "panic".to_owned(),
        _ => format!("{error:?}"),
    }
}
