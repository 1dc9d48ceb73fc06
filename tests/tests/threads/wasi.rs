//! wasi-threads, in this process: what hosts are told of a guest's threads.

use super::module;
use std::sync::mpsc;
use wasmc_loader::{Caller, Config, Engine, Error, Linker, Module, Store, Trap};
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

/// Tells the host where it is: in its start function, in a thread, and after so
/// many rounds of a loop there.
const TELLING: &str = r#"(module
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "host" "tell" (func $tell (param i32)))
    (import "env" "memory" (memory 1 1 shared))
    (func $start (call $tell (i32.const 0)))
    (start $start)
    (func (export "spawn") (param i32) (result i32) (call $spawn (local.get 0)))
    (func (export "wasi_thread_start") (param $id i32) (param $rounds i32)
        (call $tell (i32.const 1))
        (loop $next
            (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
            (br_if $next (local.get $rounds)))
        (call $tell (i32.const 2))))"#;

/// The data of the stores: how often they were prepared, and where they tell it.
#[derive(Clone)]
struct Told(u32, mpsc::Sender<(u32, i32)>);

#[test]
fn the_store_of_every_thread_is_prepared_before_its_instance_is_made() {
    let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
    let options = wasmc::Options { fuel: true, ..wasmc::Options::new() };
    let artifact = wasmc::compile(TELLING.as_bytes(), &options).unwrap();
    // SAFETY: the compiler has just made it.
    let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
    let mut linker: Linker<Told> = Linker::new(&engine);
    let tell = |caller: Caller<'_, Told>, what: i32| {
        let Told(prepared, told) = caller.data();
        told.send((*prepared, what)).unwrap();
    };
    linker.func_wrap("host", "tell", tell).unwrap();
    let (sender, told) = mpsc::channel();
    let mut store = Store::new(&engine, Told(0, sender));
    store.set_fuel(10_000).unwrap();
    let (ended, ends) = mpsc::channel::<Error>();
    let threads = WasiThreads::link(&mut linker, &mut store, &module, move |error| ended.send(error).unwrap()).unwrap();
    // Without fuel not even a start function runs. The second is too late.
    threads.prepare(|store| {
        store.set_fuel(10_000).unwrap();
        store.data_mut().0 += 1;
    });
    threads.prepare(|store| store.data_mut().0 += 100);

    let instance = threads.instantiate(&mut store).unwrap();
    assert_eq!(told.recv(), Ok((0, 0)), "the store of `_start` is the host's to prepare");
    let spawn = instance.get_typed_func::<i32, i32>(&mut store, "spawn").unwrap();
    for _ in 0..2 {
        assert!(spawn.call(&mut store, 10).unwrap() > 0);
        assert_eq!([0; 3].map(|_| told.recv().unwrap()), [(1, 0), (1, 1), (1, 2)]);
    }
    assert!(spawn.call(&mut store, 1_000_000).unwrap() > 0);
    assert_eq!([0; 2].map(|_| told.recv().unwrap()), [(1, 0), (1, 1)]);
    assert_eq!(ends.recv().unwrap().downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
    assert!(told.try_recv().is_err() && ends.try_recv().is_err());
}
