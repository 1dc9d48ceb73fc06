//! Interrupts from other threads.

use crate::guest::{EPOCH, assert_trap, call, compile, engine, instance, load};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use wasmc_loader::{Caller, InterruptHandle, Linker, Store, Trap};
use wasmc_tests::Finally;

const TEXT: &str = r#"(module (import "host" "begun" (func $begun))
    (func (export "run") (call $begun) (loop (br 0)))
    (func (export "fine") (local i32) (loop (br_if 0 (i32.eqz (local.tee 0 (i32.const 1)))))))"#;

/// A store whose code says when it has begun.
fn store(sender: mpsc::Sender<()>) -> (Store<mpsc::Sender<()>>, wasmc_loader::Instance) {
    let engine = engine(EPOCH);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "begun", |caller: Caller<'_, mpsc::Sender<()>>| caller.data().send(()).unwrap()).unwrap();
    let mut store = Store::new(&engine, sender);
    store.set_epoch_deadline(u64::MAX);
    let instance = linker.instantiate(&mut store, &load(&engine, &compile(TEXT, EPOCH))).unwrap();
    (store, instance)
}

#[test]
fn a_handle_stops_a_loop_from_another_thread_and_the_next_call_works() {
    let (sender, receiver) = mpsc::channel();
    let (mut store, instance) = store(sender);
    let handle: InterruptHandle = store.interrupt_handle().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for () in receiver.iter().take(20) {
                handle.clone().interrupt();
            }
        });
        for _ in 0..20 {
            assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "interrupted");
            call(&mut store, instance, "fine").unwrap();
        }
    });
}

#[test]
fn an_interrupt_before_a_call_ends_that_call_alone() {
    let engine = engine(EPOCH);
    let text = r#"(module (func (export "fine") (local i32) (loop (br_if 0 (i32.eqz (local.tee 0 (i32.const 1)))))))"#;
    let (mut store, instance) = instance(&engine, EPOCH, &compile(text, EPOCH));
    let handle = store.interrupt_handle().unwrap();
    handle.interrupt();
    handle.interrupt();
    assert_trap(call(&mut store, instance, "fine"), Trap::Interrupt, "interrupted before");
    call(&mut store, instance, "fine").unwrap();
}

#[test]
fn a_handle_stops_its_own_store_alone() {
    let engine = engine(EPOCH);
    let artifact = compile(
        r#"(module (func (export "run") (local i32) (loop (br_if 0 (i32.eqz (local.tee 0 (i32.const 1)))))))"#,
        EPOCH,
    );
    let (mut first, one) = instance(&engine, EPOCH, &artifact);
    let (mut second, two) = instance(&engine, EPOCH, &artifact);
    first.interrupt_handle().unwrap().interrupt();
    call(&mut second, two, "run").unwrap();
    assert_trap(call(&mut first, one, "run"), Trap::Interrupt, "the other store");
}

#[test]
fn a_handle_of_a_dropped_store_does_nothing_to_the_next_one() {
    let engine = engine(EPOCH);
    let artifact = compile(
        r#"(module (func (export "run") (local i32) (loop (br_if 0 (i32.eqz (local.tee 0 (i32.const 1)))))))"#,
        EPOCH,
    );
    let mut old = Vec::new();
    for round in 0..10 {
        let (mut store, instance) = instance(&engine, EPOCH, &artifact);
        old.iter().for_each(InterruptHandle::interrupt);
        call(&mut store, instance, "run").unwrap_or_else(|e| panic!("round {round}: {e:#}"));
        old.push(store.interrupt_handle().unwrap());
    }
    drop(engine);
    old.iter().for_each(InterruptHandle::interrupt);
}

#[test]
fn many_threads_interrupt_and_tick_while_stores_come_and_go() {
    let engine = engine(EPOCH);
    let module = load(&engine, &compile(r#"(module (func (export "run") (loop (br 0))))"#, EPOCH));
    let (handles, received) = mpsc::channel::<InterruptHandle>();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (engine, done) = (&engine, &done);
        scope.spawn(move || {
            let mut all: Vec<InterruptHandle> = Vec::new();
            while !done.load(Ordering::Relaxed) {
                all.extend(received.try_iter());
                all.iter().for_each(InterruptHandle::interrupt);
                engine.increment_epoch();
                std::thread::yield_now();
            }
        });
        let work = |handles: mpsc::Sender<InterruptHandle>| {
            for round in 0..50_u64 {
                let mut store = Store::new(engine, ());
                let by_handle = round % 2 == 0;
                store.set_epoch_deadline(if by_handle { u64::MAX } else { 2 });
                let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
                if by_handle {
                    handles.send(store.interrupt_handle().unwrap()).unwrap();
                }
                assert_trap(call(&mut store, instance, "run"), Trap::Interrupt, "interrupted");
            }
        };
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let handles = handles.clone();
                scope.spawn(move || work(handles))
            })
            .collect();
        let _done = Finally(done);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
