//! Code that waits for others is stopped, too.

use crate::guest::{EPOCH, assert_trap, compile, engine_with_stress, load};
use std::sync::mpsc;
use wasmc_loader::{
    Caller, Engine, Extern, Instance, Linker, Store, StoreContextMut, Trap, UpdateDeadline, WasmBacktrace,
};

const WAITS: &str = r#"(module (type $box (struct (field i32)))
    (import "host" "begun" (func $begun))
    (memory 1 1 shared)
    (func $wait32 (export "wait32") (result i32) (local (ref null $box))
        (local.set 0 (struct.new $box (i32.const 40)))
        (call $begun)
        (i32.add (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1)) (struct.get $box 0 (local.get 0))))
    (func $wait64 (export "wait64") (result i32) (local (ref null $box))
        (local.set 0 (struct.new $box (i32.const 40)))
        (call $begun)
        (i32.add (memory.atomic.wait64 (i32.const 8) (i64.const 0) (i64.const 0x7fff_ffff_ffff_ffff))
            (struct.get $box 0 (local.get 0))))
    (func (export "notify") (result i32) (memory.atomic.notify (i32.const 8) (i32.const -1)))
    (func (export "no time") (result i32) (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const 0)))
    (func (export "mismatch") (result i32) (memory.atomic.wait32 (i32.const 8) (i32.const 1) (i64.const -1))))"#;

type Begun = mpsc::Sender<()>;

fn guest(engine: &Engine) -> (Store<Begun>, Instance, mpsc::Receiver<()>) {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "begun", |caller: Caller<'_, Begun>| caller.data().send(()).unwrap()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut store = Store::new(engine, sender);
    store.set_epoch_deadline(u64::MAX);
    let instance = linker.instantiate(&mut store, &load(engine, &compile(WAITS, EPOCH))).unwrap();
    (store, instance, receiver)
}

fn get(store: &mut Store<Begun>, instance: Instance, name: &str) -> wasmc_loader::Result<i32> {
    instance.get_typed_func::<(), i32>(&mut *store, name).unwrap().call(store, ())
}

#[test]
fn a_handle_ends_a_wait_and_nobody_waits_any_more() {
    let engine = engine_with_stress(EPOCH);
    let (mut store, instance, mut begun) = guest(&engine);
    for name in ["wait32", "wait64"] {
        let handle = store.interrupt_handle().unwrap();
        let error = std::thread::scope(|scope| {
            let begun = &mut begun;
            scope.spawn(move || {
                begun.recv().unwrap();
                handle.interrupt();
            });
            get(&mut store, instance, name).unwrap_err()
        });
        assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt), "{error:#}");
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        assert_eq!(backtrace.frames()[0].func_name(), Some(name));
        for (name, result) in [("notify", 0), ("no time", 2), ("mismatch", 1)] {
            assert_eq!(get(&mut store, instance, name).unwrap(), result, "{name}");
        }
    }
}

#[test]
fn a_tick_ends_a_wait() {
    let engine = engine_with_stress(EPOCH);
    let (mut store, instance, mut begun) = guest(&engine);
    for name in ["wait32", "wait64"] {
        store.set_epoch_deadline(3);
        let result = std::thread::scope(|scope| {
            let (begun, engine) = (&mut begun, &engine);
            scope.spawn(move || {
                begun.recv().unwrap();
                (0..3).for_each(|_| engine.increment_epoch());
            });
            get(&mut store, instance, name)
        });
        assert_trap(result, Trap::Interrupt, name);
        store.set_epoch_deadline(u64::MAX);
        assert_eq!(get(&mut store, instance, "notify").unwrap(), 0);
    }
}

#[test]
fn a_callback_lets_a_wait_go_on_and_may_use_the_store() {
    let engine = engine_with_stress(EPOCH);
    let (mut store, instance, _begun) = guest(&engine);
    for name in ["wait32", "wait64"] {
        let mut asked = 0;
        store.epoch_deadline_callback(move |mut store: StoreContextMut<'_, Begun>| {
            asked += 1;
            store.gc();
            if asked < 3 {
                // Code that waits itself, on the same thread.
                store.set_epoch_deadline(u64::MAX);
                let other = instance.get_typed_func::<(), i32>(&mut store, "no time")?;
                assert_eq!(other.call(&mut store, ())?, 2);
                return Ok(UpdateDeadline::Continue(0));
            }
            store.set_epoch_deadline(u64::MAX);
            let notify = instance.get_typed_func::<(), i32>(&mut store, "notify")?;
            assert_eq!(notify.call(&mut store, ())?, 1, "the wait has gone on");
            Ok(UpdateDeadline::Continue(u64::MAX))
        });
        store.set_epoch_deadline(0);
        assert_eq!(get(&mut store, instance, name).unwrap(), 40);
        store.epoch_deadline_callback(|_| Err(wasmc_loader::Error::msg("enough of that")));
        store.set_epoch_deadline(0);
        let error = get(&mut store, instance, name).unwrap_err();
        assert!(format!("{error:#}").contains("enough of that"), "{error:#}");
        store.set_epoch_deadline(u64::MAX);
        assert_eq!(get(&mut store, instance, "notify").unwrap(), 0);
    }
}

#[test]
fn another_thread_notifies_code_that_could_be_stopped() {
    let engine = engine_with_stress(EPOCH);
    let (mut store, instance, begun) = guest(&engine);
    let memory = {
        let text = r#"(module (import "host" "begun" (func)) (memory (export "memory") 1 1 shared)
            (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))))"#;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "begun", || {}).unwrap();
        let instance = linker.instantiate(&mut store, &load(&engine, &compile(text, EPOCH))).unwrap();
        let Some(Extern::SharedMemory(memory)) = instance.get_export(&mut store, "memory") else {
            panic!("the memory is not shared")
        };
        std::thread::scope(|scope| {
            let other = memory.clone();
            scope.spawn(move || {
                while other.atomic_notify(8, 1).unwrap() == 0 {
                    std::thread::yield_now();
                }
            });
            assert_eq!(get(&mut store, instance, "wait").unwrap(), 0);
        });
        memory
    };
    assert_eq!(memory.atomic_notify(8, 1).unwrap(), 0);
    drop(begun);
    assert_eq!(get(&mut store, instance, "mismatch").unwrap(), 1);
}
