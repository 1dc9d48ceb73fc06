//! Calls that are awaited, on stacks of their own, and hooks.

use super::{Run, outcome};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use wasmc_loader::{Caller, Config, Error, Instance, Linker, Result, Store};

/// Polls a future to its end, each time on another thread, and does something
/// in between; how often it was pending.
pub fn count<F: Future<Output: Send> + Send>(future: F, between: impl Fn()) -> (usize, F::Output) {
    let mut future = pin!(future);
    let mut pending = 0;
    loop {
        let mut once = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let polled = std::thread::scope(|scope| scope.spawn(&mut once).join());
        match polled.expect("a poll that does not panic") {
            Poll::Ready(output) => return (pending, output),
            Poll::Pending => between(),
        }
        pending += 1;
    }
}

/// Is pending so many times.
async fn pause(times: i32) {
    let mut left = times;
    poll_fn(|_| {
        left -= 1;
        if left < 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Counts those that live.
struct Guard(Arc<AtomicUsize>);

impl Guard {
    fn new(alive: &Arc<AtomicUsize>) -> Guard {
        alive.fetch_add(1, Ordering::SeqCst);
        Guard(alive.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Alive = Arc<AtomicUsize>;

fn waiting(run: &Run<'_>) -> Result<(Store<Alive>, Instance)> {
    let module = run.load(&Config::new(), "waiting")?;
    let mut linker = Linker::<Alive>::new(module.engine());
    linker.func_wrap_async("host", "wait", |caller: Caller<'_, Alive>, (times,): (i32,)| {
        Box::new(async move {
            let _guard = Guard::new(caller.data());
            pause(times).await;
            if times == 5 { Err(Error::msg("of the future")) } else { Ok(times * 10) }
        })
    })?;
    let mut store = Store::new(module.engine(), Alive::default());
    let instance = linker.instantiate(&mut store, &module)?;
    Ok((store, instance))
}

/// Host functions that are not ready at once.
pub fn pending(run: &mut Run<'_>) -> Result<()> {
    let (mut store, instance) = waiting(run)?;
    for (name, n) in [("sum", 0), ("sum", 1), ("sum", 4), ("sum", 5), ("deep", 3), ("trap", 2), ("overflow", 1)] {
        let function = instance.get_typed_func::<i32, i64>(&mut store, name)?;
        let (pending, result) = count(function.call_async(&mut store, n), || {});
        run.see(format_args!("pending {name}({n}): {pending} times, {}", outcome(result)));
    }
    run.see(format_args!("pending at the end: {}", store.data().load(Ordering::SeqCst)));
    Ok(())
}

/// Calls that are dropped while they wait.
pub fn dropped(run: &mut Run<'_>) -> Result<()> {
    let (mut store, instance) = waiting(run)?;
    let alive = store.data().clone();
    let function = instance.get_typed_func::<i32, i64>(&mut store, "sum")?;
    for polls in 0..4 {
        let mut call = Box::pin(function.call_async(&mut store, 4));
        for _ in 0..polls {
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let before = alive.load(Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(call));
        });
        run.see(format_args!("dropped after {polls} polls: {before}, {}", alive.load(Ordering::SeqCst)));
    }
    let (pending, result) = count(function.call_async(&mut store, 2), || {});
    run.see(format_args!("pending after all: {pending} times, {}", outcome(result)));
    Ok(())
}

/// Code that yields, at deadlines and for its fuel.
pub fn yields(run: &mut Run<'_>) -> Result<()> {
    let module = run.load(Config::new().epoch_interruption(true), "ticking")?;
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "tick", |caller: Caller<'_, ()>| caller.engine().increment_epoch())?;
    let mut store = Store::new(module.engine(), ());
    store.epoch_deadline_async_yield_and_update(2);
    store.set_epoch_deadline(2);
    let instance = linker.instantiate(&mut store, &module)?;
    let function = instance.get_typed_func::<i32, i64>(&mut store, "run")?;
    let (pending, result) = count(function.call_async(&mut store, 17), || {});
    run.see(format_args!("yields at deadlines: {pending}, {}", outcome(result)));

    let (mut store, instance) = run.alone(Config::new().consume_fuel(true), "counted")?;
    store.set_fuel(100_000)?;
    store.fuel_async_yield_interval(Some(500))?;
    for (name, n) in [("loop", 1000), ("calls", 1000), ("loop", 1_000_000)] {
        let function = instance.get_typed_func::<i32, i64>(&mut store, name)?;
        let (pending, result) = count(function.call_async(&mut store, n), || {});
        run.see(format_args!("yields for fuel: {pending}, {}, {} left", outcome(result), store.get_fuel()?));
    }
    Ok(())
}

/// Hooks, of calls that return, trap, fail in the host and wait.
pub fn hooks(run: &mut Run<'_>) -> Result<()> {
    let module = run.load(&Config::new(), "hooked")?;
    let mut linker = Linker::<Vec<String>>::new(module.engine());
    linker.func_wrap("host", "now", |n: i32| if n == 9 { Err(Error::msg("of the host")) } else { Ok(n + 1) })?;
    linker.func_wrap_async("host", "later", |_: Caller<'_, Vec<String>>, (n,): (i32,)| {
        Box::new(async move {
            pause(n).await;
            n * 2
        })
    })?;
    let mut store = Store::new(module.engine(), Vec::new());
    store.call_hook(|mut store, when| {
        store.data_mut().push(format!("{when:?}"));
        if store.data().len() == 7 { Err(Error::msg("of the hook")) } else { Ok(()) }
    });
    let instance = linker.instantiate(&mut store, &module)?;
    for (name, n) in [("now", 1), ("now", 9), ("later", 2), ("trap", 1), ("often", 3)] {
        let function = instance.get_typed_func::<i32, i32>(&mut store, name)?;
        let (pending, result) = count(function.call_async(&mut store, n), || {});
        let events = std::mem::take(store.data_mut()).join(" ");
        run.see(format_args!("hooks of {name}({n}): {}, pending {pending}: {events}", outcome(result)));
    }
    Ok(())
}
