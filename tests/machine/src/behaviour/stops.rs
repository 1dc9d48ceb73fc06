//! Code that is stopped, or asked whether it may go on; nothing that it has in
//! registers may change.

use super::{Run, outcome};
use std::sync::{Mutex, PoisonError, mpsc};
use wasmc_loader::{
    Caller, Config, Error, Linker, ResourceLimiter, Result, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline,
};

/// Values for all registers that the calling convention leaves to the callee.
fn clobber(seed: u64) -> u64 {
    let floats: [f64; 64] = std::array::from_fn(|i| (seed.wrapping_mul(i as u64 + 3) as f64).sqrt());
    std::hint::black_box(floats).iter().fold(seed, |all, float| all.rotate_left(7) ^ float.to_bits())
}

/// More values than there are registers, kept over all places where code looks.
pub fn registers(run: &mut Run<'_>) -> Result<()> {
    const ROUNDS: i32 = 3000;
    let (mut store, instance) = run.alone(&Config::new(), "registers")?;
    let expected = instance.get_typed_func::<i32, i64>(&mut store, "run")?.call(&mut store, ROUNDS)?;
    run.see(format_args!("registers: {expected:x}"));

    let (mut store, instance) = run.alone(Config::new().epoch_interruption(true), "registers-epoch")?;
    let (sender, asked) = mpsc::channel();
    store.epoch_deadline_callback(move |_| {
        sender.send(clobber(1)).map_err(|_| Error::msg("nobody counts"))?;
        // It is over again when the code looks next.
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let value = instance.get_typed_func::<i32, i64>(&mut store, "run")?.call(&mut store, ROUNDS)?;
    run.see(format_args!("registers after {} deadlines: {}", asked.try_iter().count(), value == expected));

    let (mut store, instance) = run.alone(Config::new().consume_fuel(true), "registers-fuel")?;
    store.set_fuel(u64::MAX)?;
    let function = instance.get_typed_func::<i32, i64>(&mut store, "run")?;
    store.fuel_async_yield_interval(Some(1000))?;
    let (pending, value) = super::waits::count(function.call_async(&mut store, ROUNDS), || {
        std::hint::black_box(clobber(2));
    });
    run.see(format_args!("registers after {pending} yields: {}", value? == expected));
    Ok(())
}

/// An outcome without the place, which another thread's time decides.
fn trap_of(outcome: &str) -> &str {
    outcome.split_once(' ').map_or(outcome, |(trap, _)| trap)
}

/// Deadlines, and handles that other threads have.
pub fn deadlines(run: &mut Run<'_>) -> Result<()> {
    let module = run.load(Config::new().epoch_interruption(true), "endless-epoch")?;
    let mut linker = Linker::new(module.engine());
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    let started = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
    linker.func_wrap("host", "started", move || sender.send(()).map_err(|_| Error::msg("nobody waits")))?;
    let mut store = Store::new(module.engine(), ());
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &module)?;
    for name in ["loop", "recursion", "both", "wait"] {
        let function = instance.get_typed_func::<(), ()>(&mut store, name)?;
        store.set_epoch_deadline(1);
        let engine = module.engine().clone();
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| started().map(|()| engine.increment_epoch()));
            outcome(function.call(&mut store, ()))
        });
        run.see(format_args!("deadline {name}: {}", trap_of(&ended)));
        store.set_epoch_deadline(u64::MAX);
        let handle = store.interrupt_handle()?;
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| started().map(|()| handle.interrupt()));
            outcome(function.call(&mut store, ()))
        });
        run.see(format_args!("handle {name}: {}", trap_of(&ended)));
    }
    store.epoch_deadline_callback(|_| Err(Error::msg("the callback's own")));
    store.set_epoch_deadline(0);
    let ended = outcome(instance.get_typed_func::<(), ()>(&mut store, "loop")?.call(&mut store, ()));
    run.see(format_args!("callback: {ended}"));
    Ok(())
}

/// What code costs, and where it ends when there is no more.
pub fn fuel(run: &mut Run<'_>) -> Result<()> {
    const FULL: u64 = 1_000_000;
    let (mut store, instance) = run.alone(Config::new().consume_fuel(true), "counted")?;
    for name in ["loop", "calls", "bulk", "branches"] {
        let function = instance.get_typed_func::<i32, i64>(&mut store, name)?;
        for n in [0, 1, 7, 1000] {
            store.set_fuel(FULL)?;
            let value = function.call(&mut store, n)?;
            let used = FULL - store.get_fuel()?;
            // Enough, and one too little.
            store.set_fuel(used)?;
            let enough = outcome(function.call(&mut store, n));
            store.set_fuel(used - 1)?;
            let short = outcome(function.call(&mut store, n));
            let short = trap_of(&short);
            run.see(format_args!("fuel {name}({n}) = {value}: {used}, then {enough}, then {short}"));
        }
    }
    Ok(())
}

/// Refuses everything beyond what there is at first, with a word.
struct Stubborn;

impl ResourceLimiter for Stubborn {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        if current == 0 { Ok(true) } else { Err(Error::msg(format!("no memory of {desired} bytes"))) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        if current == 0 { Ok(true) } else { Err(Error::msg(format!("no table of {desired}"))) }
    }
}

/// Growth that code asks for and a limiter is against.
pub fn limits(run: &mut Run<'_>) -> Result<()> {
    fn grow<T: Send + 'static>(
        run: &mut Run<'_>,
        data: T,
        limiter: fn(&mut T) -> &mut dyn ResourceLimiter,
    ) -> Result<()> {
        let module = run.load(&Config::new(), "growth")?;
        let mut linker = Linker::new(module.engine());
        linker.func_wrap("host", "look", |_: Caller<'_, T>, _: i32| {})?;
        let mut store = Store::new(module.engine(), data);
        store.limiter(limiter);
        let instance = linker.instantiate(&mut store, &module)?;
        for (name, by) in [("memory", 1), ("memory", 9), ("table", 2), ("table", 90), ("until", 0)] {
            let function = instance.get_typed_func::<i32, i32>(&mut store, name)?;
            let result = outcome(function.call(&mut store, by));
            run.see(format_args!("growing {name} by {by}: {result}"));
        }
        Ok(())
    }
    let limits = || StoreLimitsBuilder::new().memory_size(4 << 16).table_elements(20);
    grow::<StoreLimits>(run, limits().build(), |limits| limits)?;
    grow::<StoreLimits>(run, limits().trap_on_grow_failure(true).build(), |limits| limits)?;
    grow(run, Stubborn, |stubborn| stubborn)
}
