//! Calls and host functions that are awaited. What waits here waits for a
//! number of polls, never for time.

mod api;
mod ends;
mod hooks;
mod hooks_awaited;
mod limiters;
mod nested;
mod objects;
mod settings;
mod threads;
mod yields;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use wasmc_loader::{Config, Engine, Instance, Linker, Module, Store};

/// Compiles text and loads it.
fn module(engine: &Engine, text: &str) -> Module {
    let wasm = wat::parse_str(text).expect("the test's module is text in the format");
    let mut options = wasmc::Options::new();
    options.jobs = std::num::NonZeroUsize::new(1);
    let artifact = wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"));
    // SAFETY: the bytes come straight from the compiler.
    unsafe { Module::from_bytes(engine, &artifact) }.unwrap_or_else(|e| panic!("{e:?}"))
}

/// Wakes a thread that sleeps.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future on this thread until it is done; how often it was pending,
/// and what it yields.
fn count<F: Future>(future: F) -> (usize, F::Output) {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut pending = 0;
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return (pending, output),
            Poll::Pending => thread::park(),
        }
        pending += 1;
    }
}

/// Polls a future on this thread until it is done.
fn wait<F: Future>(future: F) -> F::Output {
    count(future).1
}

/// Polls a future once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future to its end, each time on another thread; how often.
fn hop<F: Future<Output: Send> + Send>(future: F) -> (usize, F::Output) {
    let mut future: Pin<Box<F>> = Box::pin(future);
    for polls in 1.. {
        let mut once = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let polled = thread::scope(|scope| scope.spawn(&mut once).join());
        match polled.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Poll::Ready(output) => return (polls, output),
            Poll::Pending => {}
        }
    }
    unreachable!("a range without end has ended");
}

/// Is pending so many times.
async fn pause(times: u32) {
    let mut left = times;
    poll_fn(|task| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What most tests use: `pause`, as `host.pause`, waits for so many polls and
/// returns twice their number.
fn linker<T: Send + 'static>(engine: &Engine) -> Linker<T> {
    let mut linker = Linker::new(engine);
    let defined = linker.func_wrap_async("host", "pause", |_, (times,): (u32,)| {
        Box::new(async move {
            pause(times).await;
            2 * times
        })
    });
    defined.unwrap();
    linker
}

/// An instance whose imports are `host.pause` and what `define` adds.
fn instance<T: Send + 'static>(
    config: &Config,
    data: T,
    text: &str,
    define: impl FnOnce(&mut Linker<T>),
) -> (Store<T>, Instance) {
    let engine = Engine::new(config).unwrap();
    let module = module(&engine, text);
    let mut linker = linker(&engine);
    define(&mut linker);
    let mut store = Store::new(&engine, data);
    let instance = wait(linker.instantiate_async(&mut store, &module)).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}
