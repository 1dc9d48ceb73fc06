//! What goes wrong in one thread is no matter of the others.

use super::{Guest, module};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use wasmc_loader::{Engine, Error, Linker, Store, Trap};
use wasmc_tests::Finally;

const COUNTING: &str = r#"
    (func (export "count") (param $rounds i32)
        (loop $again
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1))))))
    (func (export "unaligned") (drop (i32.atomic.rmw.add (i32.const 2) (i32.const 1))))
    (func (export "outside") (drop (i64.atomic.load (i32.const 65536))))
    (func (export "far outside") (i32.atomic.store offset=0xfffffff0 (i32.const -16) (i32.const 1)))
    (func (export "unreachable") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) unreachable)
    (func $recurse (export "recurse") (call $recurse))
    (func (export "wait") (drop (memory.atomic.wait32 (i32.const 16) (i32.const 0) (i64.const 100000))))"#;

fn panics() {
    panic!("on purpose")
}

#[test]
fn traps_and_panics_of_some_threads_leave_others_alone() {
    const ROUNDS: u32 = 300;
    let hosts = r#"(import "host" "panic" (func $panic)) (import "host" "fail" (func $fail))
        (func (export "panic") (call $panic)) (func (export "fail") (call $fail))"#;
    let mut guest = Guest::new(1, &format!("{hosts} {COUNTING}"));
    guest.linker.func_wrap("host", "panic", panics).unwrap();
    guest.linker.func_wrap("host", "fail", || -> Result<(), Error> { Err(Error::msg("on purpose")) }).unwrap();
    let (failed, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let counters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut store, instance) = guest.instance();
                    let count = instance.get_typed_func::<i32, ()>(&mut store, "count").unwrap();
                    while !over.load(Ordering::SeqCst) {
                        count.call(&mut store, 1000).unwrap();
                    }
                })
            })
            .collect();
        let failing = [0; 2].map(|_| {
            scope.spawn(|| {
                let (mut store, instance) = guest.instance();
                for _ in 0..ROUNDS {
                    for (name, trap) in [
                        ("unaligned", Trap::HeapMisaligned),
                        ("outside", Trap::MemoryOutOfBounds),
                        ("far outside", Trap::MemoryOutOfBounds),
                        ("unreachable", Trap::UnreachableCodeReached),
                        ("recurse", Trap::StackOverflow),
                    ] {
                        let f = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
                        let error = f.call(&mut store, ()).unwrap_err();
                        assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{name}: {error:?}");
                    }
                    let f = instance.get_typed_func::<(), ()>(&mut store, "fail").unwrap();
                    assert_eq!(f.call(&mut store, ()).unwrap_err().to_string(), "on purpose");
                    let f = instance.get_typed_func::<(), ()>(&mut store, "panic").unwrap();
                    catch_unwind(AssertUnwindSafe(|| f.call(&mut store, ()))).unwrap_err();
                    let f = instance.get_typed_func::<(), ()>(&mut store, "wait").unwrap();
                    f.call(&mut store, ()).unwrap();
                    failed.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        {
            let _over = Finally(&over);
            failing.into_iter().for_each(|thread| thread.join().unwrap());
        }
        for counter in counters {
            counter.join().unwrap();
        }
    });
    assert_eq!(failed.into_inner(), 2 * ROUNDS);
    // The code before each `unreachable` was done, and nothing of the others.
    assert_eq!(u32::from_le_bytes(guest.read(0)) % 1000, 2 * ROUNDS % 1000);
}

/// A guest that ends in a trap while another waits: the other is woken by who
/// comes next.
#[test]
fn a_waiter_outlives_those_that_trap() {
    let guest = Guest::new(1, COUNTING);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| guest.memory.atomic_wait32(32, 0, None));
        for _ in 0..100 {
            let (mut store, instance) = guest.instance();
            let f = instance.get_typed_func::<(), ()>(&mut store, "outside").unwrap();
            f.call(&mut store, ()).unwrap_err();
        }
        while guest.memory.atomic_notify(32, 1).unwrap() == 0 {
            thread::yield_now();
        }
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn waits_on_memories_that_are_not_shared_trap_and_notifications_wake_nobody() {
    for (index, memory) in [("i32", "1"), ("i64", "i64 1")] {
        let text = format!(
            r#"(module (memory {memory})
                (func (export "wait32") (param {index}) (drop (memory.atomic.wait32 offset=4
                    (local.get 0) (i32.const 0) (i64.const 0))))
                (func (export "wait64") (param {index}) (drop (memory.atomic.wait64 offset=8
                    (local.get 0) (i64.const 0) (i64.const 0))))
                (func (export "notify") (param {index}) (if (memory.atomic.notify offset=4 (local.get 0)
                    (i32.const 1)) (then unreachable))))"#
        );
        let engine = Engine::default();
        let module = module(&engine, &text);
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let mut call = |name: &str, at: u32| {
            let f = instance.get_func(&mut store, name).unwrap();
            let at = match index {
                "i32" => wasmc_loader::Val::I32(at as i32),
                _ => wasmc_loader::Val::I64(at.into()),
            };
            f.call(&mut store, &[at], &mut []).map_err(|error| *error.downcast_ref::<Trap>().unwrap())
        };
        for name in ["wait32", "wait64"] {
            assert_eq!(call(name, 0), Err(Trap::AtomicWaitNonSharedMemory));
            assert_eq!(call(name, 1), Err(Trap::HeapMisaligned));
            assert_eq!(call(name, 65536), Err(Trap::MemoryOutOfBounds));
        }
        assert_eq!(call("notify", 65528), Ok(()));
        assert_eq!(call("notify", 2), Err(Trap::HeapMisaligned));
        assert_eq!(call("notify", 65532), Err(Trap::MemoryOutOfBounds));
    }
    assert_eq!(Trap::AtomicWaitNonSharedMemory.message(), "expected shared memory");
    assert_eq!(Trap::HeapMisaligned.message(), "unaligned atomic");
}
