//! Shared memories that grow while others use them.

use super::module;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use wasmc_loader::{Engine, Linker, MemoryType, SharedMemory, Store, Trap};

const MOST: u32 = 400;

fn guest(text: &str) -> (Engine, wasmc_loader::Module, Linker<()>, SharedMemory) {
    let engine = Engine::default();
    let module = module(&engine, &format!(r#"(module (import "m" "memory" (memory 1 {MOST} shared)) {text})"#));
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, MOST)).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&Store::new(&engine, ()), "m", "memory", memory.clone()).unwrap();
    (engine, module, linker, memory)
}

/// Each growth by one page gives another old size, whoever grows.
#[test]
fn pages_are_given_out_once() {
    let (engine, module, linker, memory) = guest(r#"(func (export "grow") (result i32) (memory.grow (i32.const 1)))"#);
    let sizes = thread::scope(|scope| {
        let grow = |host: bool| {
            let (engine, module, linker, memory) = (&engine, &module, &linker, memory.clone());
            move || {
                let mut store = Store::new(engine, ());
                let instance = linker.instantiate(&mut store, module).unwrap();
                let grow = instance.get_typed_func::<(), i32>(&mut store, "grow").unwrap();
                let mut sizes = Vec::new();
                loop {
                    let old = if host {
                        memory.grow(1).ok().map(|old| old as i32)
                    } else {
                        Some(grow.call(&mut store, ()).unwrap()).filter(|old| *old >= 0)
                    };
                    match old {
                        Some(old) => sizes.push(old),
                        None => return sizes,
                    }
                }
            }
        };
        let threads: Vec<_> = [false, true, false].into_iter().map(|host| scope.spawn(grow(host))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(memory.size(), u64::from(MOST));
    assert_eq!((sizes.len() as u32, sizes.iter().collect::<BTreeSet<_>>().len() as u32), (MOST - 1, MOST - 1));
}

/// Whoever sees a size can use all of it at once: readers take the size as
/// they see it and touch the last word, while others grow the memory.
#[test]
fn what_a_size_promises_is_accessible() {
    let (engine, module, linker, memory) = guest(
        r#"(func (export "last") (result i32) (local $size i32)
              (local.set $size (memory.size))
              (i32.store (i32.sub (i32.shl (local.get $size) (i32.const 16)) (i32.const 4)) (i32.const 7))
              (drop (i64.atomic.rmw.add (i32.sub (i32.shl (local.get $size) (i32.const 16)) (i32.const 8))
                  (i64.const 1)))
              ;; Bulk operations compare with a length of their own.
              (memory.fill (i32.sub (i32.shl (local.get $size) (i32.const 16)) (i32.const 64))
                  (i32.const 9) (i32.const 64))
              (local.get $size))"#,
    );
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut store = Store::new(&engine, ());
                let instance = linker.instantiate(&mut store, &module).unwrap();
                let last = instance.get_typed_func::<(), i32>(&mut store, "last").unwrap();
                let mut seen = 0;
                while !done.load(Ordering::SeqCst) {
                    let size = last.call(&mut store, ()).unwrap();
                    assert!(size >= seen, "the memory shrank from {seen} to {size}");
                    seen = size;
                }
                assert_eq!(last.call(&mut store, ()).unwrap() as u32, MOST);
            });
        }
        while memory.grow(1).is_ok() {
            thread::yield_now();
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// Code that does nothing but look at the size sees it change.
#[test]
fn a_loop_that_waits_for_the_memory_to_grow_ends() {
    let (engine, module, linker, memory) = guest(
        r#"(func (export "until") (param i32) (loop $again (br_if $again (i32.lt_u (memory.size) (local.get 0)))))"#,
    );
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut store = Store::new(&engine, ());
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let until = instance.get_typed_func::<i32, ()>(&mut store, "until").unwrap();
            until.call(&mut store, 100)
        });
        while memory.size() < 100 {
            memory.grow(3).unwrap();
            thread::yield_now();
        }
        waiter.join().unwrap().unwrap();
    });
}

/// An access beyond the end is a trap, before and after others have grown the
/// memory; accesses within are none, whoever grew it.
#[test]
fn the_end_is_where_the_length_says() {
    for (index, prefix) in [("i32", ""), ("i64", "i64 ")] {
        let engine = Engine::default();
        // More than any reservation for the second: its accesses are checked.
        for most in [8u64, 1 << 15, 1 << 17].into_iter().filter(|most| index == "i64" || *most <= 1 << 16) {
            let text = format!(
                r#"(module (memory (export "memory") {prefix}1 {most} shared)
                    (func (export "load") (param {index}) (result i32) (i32.load offset=4 (local.get 0)))
                    (func (export "add") (param {index}) (result i32)
                        (i32.atomic.rmw.add offset=4 (local.get 0) (i32.const 1)))
                    (func (export "notify") (param {index}) (result i32)
                        (memory.atomic.notify offset=4 (local.get 0) (i32.const 1))))"#
            );
            let module = module(&engine, &text);
            let mut store = Store::new(&engine, ());
            let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
            let memory = instance.get_shared_memory(&mut store, "memory").unwrap();
            for name in ["load", "add", "notify"] {
                let f = instance.get_func(&mut store, name).unwrap();
                let mut call = |at: u64| {
                    let at = match index {
                        "i32" => wasmc_loader::Val::I32(at as u32 as i32),
                        _ => wasmc_loader::Val::I64(at as i64),
                    };
                    let mut results = [wasmc_loader::Val::I32(0)];
                    f.call(&mut store, &[at], &mut results).map_err(|e| *e.downcast_ref::<Trap>().unwrap())
                };
                let end = memory.data_size() as u64;
                call(end - 8).unwrap();
                for beyond in [end - 4, end, end + 65536, !7, u64::MAX - 3, 1 << 33, 1 << 63] {
                    if index == "i64" || beyond < 1 << 32 {
                        assert_eq!(call(beyond), Err(Trap::MemoryOutOfBounds), "{name} at {beyond:#x} of {most} pages");
                    }
                }
                memory.grow(1).unwrap();
                call(end - 4).unwrap();
                call(end + 65536 - 8).unwrap();
                assert_eq!(call(end + 65536 - 4), Err(Trap::MemoryOutOfBounds));
            }
        }
    }
}
