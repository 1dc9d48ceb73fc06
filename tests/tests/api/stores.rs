//! Stores that follow one another: what one leaves behind is used again for
//! the next, which must not be able to tell.

use super::module;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use wasmc_loader::{
    Config, Engine, ExternRef, Func, Global, GlobalType, Instance, InstancePre, Linker, Memory, MemoryType, Module,
    Mutability, RootError, Store, Trap, Val, ValType,
};

const GUEST: &str = r#"(module
    (import "host" "fail" (func $fail))
    (memory (export "memory") 1 2)
    (data (i32.const 0) "\05")
    (global (export "global") (mut i32) (i32.const 7))
    (func (export "use") (result i32)
        (local $sum i32)
        (local.set $sum (i32.add (i32.load8_u (i32.const 0)) (i32.load (i32.const 60000))))
        (local.set $sum (i32.add (local.get $sum) (i32.add (global.get 0) (memory.size))))
        (i32.store8 (i32.const 0) (i32.const 9))
        (i32.store (i32.const 60000) (i32.const 1))
        (global.set 0 (i32.const 100))
        (drop (memory.grow (i32.const 1)))
        (local.get $sum))
    (func (export "fail") (call $fail))
    (func (export "trap") unreachable)
    (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"#;

fn guest(engine: &Engine) -> InstancePre<()> {
    let module = module(engine, GUEST);
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "fail", || -> Result<(), _> { Err(wasmc_loader::Error::msg("as agreed")) }).unwrap();
    linker.instantiate_pre(&module).unwrap()
}

fn call(store: &mut Store<()>, instance: &Instance, name: &str) -> wasmc_loader::Result<i32> {
    instance.get_typed_func::<(), i32>(&mut *store, name)?.call(store, ())
}

fn call_nothing(store: &mut Store<()>, instance: &Instance, name: &str) -> wasmc_loader::Result<()> {
    instance.get_typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

/// What a store does that is like a new one.
fn check(pre: &InstancePre<()>) {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    assert_eq!(call(&mut store, &instance, "use").unwrap(), 5 + 7 + 1);
    let error = call_nothing(&mut store, &instance, "fail").unwrap_err();
    assert!(error.to_string().contains("as agreed"), "{error:?}");
    let error = call_nothing(&mut store, &instance, "trap").unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(call(&mut store, &instance, "use").unwrap(), 9 + 1 + 100 + 2);
}

fn depth(store: &mut Store<()>, instance: &Instance, depth: i32) -> wasmc_loader::Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, "deep")?.call(store, depth)
}

#[test]
fn a_store_after_another_one_is_as_new_whatever_happened_in_that() {
    let pre = guest(&Engine::default());
    for round in 0..20 {
        check(&pre);
        let mut store = Store::new(pre.module().engine(), ());
        for _ in 0..round * 10 {
            pre.instantiate(&mut store).unwrap();
        }
        Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        Func::wrap(&mut store, || {});
        ExternRef::new(&mut store, round).unwrap();
    }
}

#[test]
fn handles_of_a_dropped_store_are_refused_by_the_next() {
    let pre = guest(&Engine::default());
    let engine = pre.module().engine().clone();
    let mut store = Store::new(&engine, ());
    let instance = pre.instantiate(&mut store).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let func = instance.get_func(&mut store, "trap").unwrap();
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(1)).unwrap();
    let external = ExternRef::new(&mut store, 1u8).unwrap();
    drop(store);
    let mut store = Store::new(&engine, ());
    pre.instantiate(&mut store).unwrap();
    ExternRef::new(&mut store, 2u8).unwrap();
    type Use<'a> = &'a mut dyn FnMut(&mut Store<()>) -> bool;
    let uses: [Use<'_>; 4] = [
        &mut |store| instance.get_export(store, "memory").is_some(),
        &mut |store| memory.data(&*store).is_empty(),
        &mut |store| func.call(store, &[], &mut []).is_ok(),
        &mut |store| global.get(store).i32().is_some(),
    ];
    for (number, use_it) in uses.into_iter().enumerate() {
        let refused = catch_unwind(AssertUnwindSafe(|| use_it(&mut store))).unwrap_err();
        let message = refused.downcast_ref::<&str>().unwrap();
        assert!(message.contains("every object belongs to the store it was made in"), "{number}: {message}");
    }
    assert_eq!(external.data(&store).unwrap_err().downcast_ref(), Some(&RootError::WrongStore));
}

/// How deep recursion goes before it is stopped.
fn deepest(pre: &InstancePre<()>) -> i32 {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let (mut possible, mut impossible) = (0, 1 << 24);
    while impossible - possible > 1 {
        let middle = (possible + impossible) / 2;
        match depth(&mut store, &instance, middle) {
            Ok(reached) => possible = reached,
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
                impossible = middle;
            }
        }
    }
    possible
}

#[test]
fn a_store_dropped_by_another_thread_leaves_that_thread_no_wrong_stack_limit() {
    let mut config = Config::new();
    config.max_wasm_stack(4 << 20);
    let pre = guest(&Engine::new(&config).unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    let user = pre.clone();
    let with_much = move || {
        let mut store = Store::new(user.module().engine(), ());
        let instance = user.instantiate(&mut store).unwrap();
        depth(&mut store, &instance, 1).unwrap();
        sender.send(store).unwrap();
        deepest(&user)
    };
    let with_little = move || {
        let before = deepest(&pre);
        drop(receiver.recv().unwrap());
        (before, deepest(&pre))
    };
    let large = thread::Builder::new().stack_size(8 << 20).spawn(with_much).unwrap();
    let small = thread::Builder::new().stack_size(256 << 10).spawn(with_little).unwrap();
    let (large, (before, after)) = (large.join().unwrap(), small.join().unwrap());
    // The system may give a thread up to four times as much as it asks for.
    assert!(before > 100 && large > 2 * before, "{large} with 4 MiB, {before} with about 256 KiB");
    assert!(
        after.abs_diff(before) < before.unsigned_abs() / 4,
        "{before} before, {after} after a store from elsewhere"
    );
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A linker's product that owns `value` through a host function.
fn owner(engine: &Engine, module: &Module, value: Dropped) -> InstancePre<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "fail", move || assert_eq!(value.0.load(Ordering::SeqCst), 0)).unwrap();
    linker.instantiate_pre(module).unwrap()
}

#[test]
fn a_store_keeps_alive_what_it_uses_and_no_longer() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let engine = Engine::default();
    let module = module(&engine, GUEST);
    let pre = owner(&engine, &module, Dropped(dropped.clone()));
    let mut store = Store::new(&engine, ());
    let instance = pre.instantiate(&mut store).unwrap();
    drop((pre, module, engine));
    call_nothing(&mut store, &instance, "fail").unwrap();
    let (engine, module) = (store.engine().clone(), instance.module(&store).clone());
    drop(store);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let pre = owner(&engine, &module, Dropped(Arc::default()));
    drop((engine, module));
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    drop(pre);
    call_nothing(&mut store, &instance, "fail").unwrap();
}

#[test]
fn everything_can_be_dropped_while_other_threads_make_stores_of_it() {
    for _ in 0..20 {
        let dropped = Arc::new(AtomicUsize::new(0));
        let engine = Engine::default();
        let module = module(&engine, GUEST);
        let pre = owner(&engine, &module, Dropped(dropped.clone()));
        thread::scope(|scope| {
            for number in 0..4 {
                let pre = pre.clone();
                scope.spawn(move || {
                    let mut store = Store::new(pre.module().engine(), ());
                    for _ in 0..number * 7 {
                        let mut passing = Store::new(store.engine(), ());
                        let instance = pre.instantiate(&mut passing).unwrap();
                        call_nothing(&mut passing, &instance, "fail").unwrap();
                    }
                    let instance = pre.instantiate(&mut store).unwrap();
                    drop(pre);
                    for _ in 0..20 {
                        call_nothing(&mut store, &instance, "fail").unwrap();
                        drop(Store::new(store.engine(), ()));
                        drop(instance.module(&store).clone());
                    }
                    thread::spawn(move || drop(store)).join().unwrap();
                });
            }
            drop((pre, module, engine));
        });
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_store_can_be_dropped_at_the_end_of_its_thread() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Store<Dropped>>> = const { std::cell::RefCell::new(None) };
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    for early in [false, true] {
        let value = Dropped(dropped.clone());
        thread::spawn(move || {
            let engine = Engine::default();
            if early {
                drop(Store::new(&engine, ()));
            }
            KEPT.set(Some(Store::new(&engine, value)));
        })
        .join()
        .unwrap();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}
