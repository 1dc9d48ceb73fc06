//! Calls that go on on other threads, and many at the same time.

use crate::{hop, instance, linker, module, pause};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use wasmc_loader::{Caller, Config, Engine, Instance, Linker, Store, Trap};

/// Loops, pausing and writing memory; calls itself, and traps at the end if it
/// is told to.
const WORK: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (import "host" "here" (func $here (param i32)))
    (memory (export "memory") 1)
    (func $work (export "work") (param $depth i32) (param $trap i32) (result i32)
        (local $sum i32) (local $i i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $pause (i32.const 1))))
            (call $here (local.get $i))
            (i32.store (local.get $sum) (local.get $i))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 5))))
        (if (local.get $depth)
            (then (return (i32.add (local.get $sum)
                (call $work (i32.sub (local.get $depth) (i32.const 1)) (local.get $trap))))))
        (if (local.get $trap)
            (then (drop (i32.load (i32.const -1)))))
        (local.get $sum)))"#;

fn workers(config: &Config) -> (Store<Vec<thread::ThreadId>>, Instance) {
    instance(config, Vec::new(), WORK, |linker: &mut Linker<Vec<thread::ThreadId>>| {
        let here = |mut caller: Caller<'_, Vec<thread::ThreadId>>, _: i32| {
            caller.data_mut().push(thread::current().id());
        };
        linker.func_wrap("host", "here", here).unwrap();
    })
}

#[test]
fn each_poll_can_be_on_another_thread() {
    let (mut store, instance) = workers(&Config::new());
    let work = instance.get_typed_func::<(i32, i32), i32>(&mut store, "work").unwrap();
    let (polls, result) = hop(work.call_async(&mut store, (3, 0)));
    assert_eq!((polls, result.unwrap()), (21, 40));
    let mut threads = std::mem::take(store.data_mut());
    assert_eq!(threads.len(), 20);
    threads.dedup();
    assert_eq!(threads.len(), 20, "the code went on on the same thread");
}

#[test]
fn a_trap_is_found_on_the_thread_that_the_call_has_come_to() {
    let (mut store, instance) = workers(&Config::new());
    let work = instance.get_typed_func::<(i32, i32), i32>(&mut store, "work").unwrap();
    for _ in 0..3 {
        let (polls, result) = hop(work.call_async(&mut store, (1, 1)));
        let error = result.unwrap_err();
        assert_eq!((polls, error.downcast_ref()), (11, Some(&Trap::MemoryOutOfBounds)));
        assert_eq!(error.downcast_ref::<wasmc_loader::WasmBacktrace>().unwrap().frames().len(), 2);
    }
    // This thread has not been told otherwise meanwhile.
    let (mut other, alone) = instance_alone();
    let trap = alone.get_typed_func::<(), ()>(&mut other, "trap").unwrap();
    assert_eq!(trap.call(&mut other, ()).unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds));
}

fn instance_alone() -> (Store<()>, Instance) {
    let text = r#"(module (memory 1) (func (export "trap") (drop (i32.load (i32.const -1)))))"#;
    instance(&Config::new(), (), text, |_| {})
}

#[test]
fn a_thousand_calls_wait_at_the_same_time() {
    let engine = Engine::default();
    let module = module(&engine, WORK);
    let mut linker = linker::<u32>(&engine);
    linker.func_wrap("host", "here", |mut caller: Caller<'_, u32>, i: i32| *caller.data_mut() += i as u32).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    for round in 0..2 {
        let mut stores: Vec<Store<u32>> = (0..1000).map(|_| Store::new(&engine, 0)).collect();
        let mut calls: Vec<Pin<Box<dyn Future<Output = i32> + Send + '_>>> = Vec::new();
        for (index, store) in stores.iter_mut().enumerate() {
            let pre = &pre;
            calls.push(Box::pin(async move {
                let instance = pre.instantiate_async(&mut *store).await.unwrap();
                let work = instance.get_typed_func::<(i32, i32), i32>(&mut *store, "work").unwrap();
                work.call_async(store, (index as i32 % 3, 0)).await.unwrap()
            }));
        }
        let mut results = vec![0; calls.len()];
        let mut rounds = 0;
        while results.contains(&0) {
            for (call, result) in calls.iter_mut().zip(&mut results) {
                if *result == 0
                    && let Poll::Ready(done) = call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                {
                    *result = done;
                }
            }
            rounds += 1;
        }
        assert_eq!(rounds, 16, "round {round}");
        let expected: Vec<i32> = (0..1000).map(|index| 10 * (index % 3 + 1)).collect();
        assert_eq!(results, expected);
        drop(calls);
        assert!(stores.iter().enumerate().all(|(index, store)| *store.data() == 10 * (index as u32 % 3 + 1)));
    }
}

#[test]
fn calls_move_between_the_threads_of_a_real_executor() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let engine = Engine::default();
    let module = module(&engine, WORK);
    let mut linker = linker::<u32>(&engine);
    linker.func_wrap("host", "here", |mut caller: Caller<'_, u32>, _: i32| *caller.data_mut() += 1).unwrap();
    let linker = Arc::new(linker);
    let tasks: Vec<_> = (0..200)
        .map(|index| {
            let (linker, module) = (linker.clone(), module.clone());
            runtime.spawn(async move {
                let mut store = Store::new(module.engine(), 0);
                let instance = linker.instantiate_async(&mut store, &module).await?;
                let work = instance.get_typed_func::<(i32, i32), i32>(&mut store, "work")?;
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                    let result = work.call_async(&mut store, (index % 4, index % 2)).await;
                    match result {
                        Ok(sum) => assert_eq!((sum, index % 2), (10 * (index % 4 + 1), 0)),
                        Err(error) => {
                            assert_eq!((error.downcast_ref(), index % 2), (Some(&Trap::MemoryOutOfBounds), 1));
                        }
                    }
                }
                wasmc_loader::Result::<u32>::Ok(*store.data())
            })
        })
        .collect();
    for (index, task) in tasks.into_iter().enumerate() {
        let count = runtime.block_on(task).unwrap().unwrap();
        assert_eq!(count, 15 * (index as u32 % 4 + 1));
    }
}

/// Polls both, until the first is done.
async fn first<A: Future, B: Future>(a: A, b: B) -> A::Output {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let mut b_done = false;
    poll_fn(|task| {
        if !b_done {
            b_done = b.as_mut().poll(task).is_ready();
        }
        a.as_mut().poll(task)
    })
    .await
}

#[test]
fn calls_of_two_stores_take_turns_within_one_task() {
    let ((mut a, work_a), (mut b, work_b)) = (workers(&Config::new()), workers(&Config::new()));
    let work_a = work_a.get_typed_func::<(i32, i32), i32>(&mut a, "work").unwrap();
    let work_b = work_b.get_typed_func::<(i32, i32), i32>(&mut b, "work").unwrap();
    let both = first(work_a.call_async(&mut a, (3, 0)), async { work_b.call_async(&mut b, (1, 0)).await.unwrap() });
    let (polls, result) = hop(async {
        pause(1).await;
        both.await
    });
    assert_eq!((polls, result.unwrap()), (22, 40));
    assert_eq!((a.data().len(), b.data().len()), (20, 10));
}

thread_local! {
    /// The number of a thread.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// Is pending once, and tells when it is dropped, and on which thread.
struct Once {
    began: bool,
    dropped: Arc<AtomicU32>,
}

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.began, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.dropped.store(NUMBER.get(), Ordering::Relaxed);
    }
}

/// What a host function reads of its thread before it waits must not be taken
/// for that of the thread that it is on when what it waited for is dropped.
#[test]
fn what_a_host_function_waited_for_is_dropped_with_the_values_of_the_thread_that_it_is_on() {
    let began = Arc::new(AtomicU32::new(0));
    let dropped = Arc::new(AtomicU32::new(0));
    let text = r#"(module (import "host" "once" (func $once)) (func (export "run") (call $once)))"#;
    let (seen, told) = (began.clone(), dropped.clone());
    let (mut store, instance) = instance(&Config::new(), (), text, |linker| {
        let once = linker.func_wrap_async("host", "once", move |_, (): ()| {
            seen.store(NUMBER.get(), Ordering::Relaxed);
            Box::new(Once { began: false, dropped: told.clone() })
        });
        once.unwrap();
    });
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let mut call = Box::pin(run.call_async(&mut store, ()));
    for number in 1..=2 {
        let mut numbered = || {
            NUMBER.set(number);
            call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        let done = thread::scope(|scope| scope.spawn(&mut numbered).join().unwrap());
        assert_eq!(done, number == 2);
    }
    assert_eq!([began, dropped].map(|number| number.load(Ordering::Relaxed)), [1, 2]);
}

/// Of two start functions that wait, the second begins on another thread than
/// the first.
#[test]
fn start_functions_of_a_reset_go_on_and_begin_on_other_threads() {
    let engine = Engine::default();
    let text = r#"(module
        (import "host" "pause" (func $pause (param i32) (result i32)))
        (global $started (export "started") (mut i32) (i32.const 0))
        (func $start
            (global.set $started (call $pause (i32.const 1)))
            (global.set $started (call $pause (i32.const 2))))
        (start $start)
        (func (export "trap") unreachable))"#;
    let (module, linker) = (module(&engine, text), linker(&engine));
    let mut store = Store::new(&engine, ());
    let instances: [Instance; 3] =
        std::array::from_fn(|_| hop(linker.instantiate_async(&mut store, &module)).1.unwrap());
    for _ in 0..3 {
        let (polls, result) = hop(store.reset_async());
        result.unwrap();
        assert_eq!(polls, 10);
        for instance in instances {
            let started = instance.get_global(&mut store, "started").unwrap().get(&mut store);
            assert_eq!(started.i32(), Some(4));
            let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
            let error = trap.call(&mut store, ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        }
    }
}
