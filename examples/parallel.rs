//! Instances of one module on several threads, each with a memory of its own.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin parallel [THREADS]
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use wasmc_loader::{Config, Engine, InstanceLimits, InstancePre, InstantiationStrategy, Linker, Module, Result, Store};

/// How many numbers one task is about, and how many tasks there are.
const TASK: u32 = 1 << 16;
const TASKS: u32 = 64;

fn main() -> Result<()> {
    let threads = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => thread::available_parallelism()?.get(),
    };

    let mut config = Config::new();
    config.instantiation_strategy(InstantiationStrategy::PoolingCopyOnWrite);
    // A thread has one instance at a time, so there need not be more slots.
    config.allocation_strategy(InstanceLimits { count: u32::try_from(threads)?, ..InstanceLimits::default() });
    let engine = Engine::new(&config)?;
    let artifact = wasmc::compile(include_bytes!("guests/primes.wasm"), &wasmc::Options::new())?;
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let program = Linker::new(&engine).instantiate_pre(&module)?;

    // Engines, modules and `InstancePre`s are shared; a store belongs to the thread that uses it.
    let next = AtomicU32::new(0);
    let total = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&engine, &program, &next))).collect();
        let counts = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        counts.sum::<Result<i32>>()
    })?;
    println!("{total} primes below {}, counted in {TASKS} instances on {threads} threads", TASK * TASKS);
    Ok(())
}

/// Takes one task after the other, with an instance for each, until none is left.
fn work(engine: &Engine, program: &InstancePre<()>, next: &AtomicU32) -> Result<i32> {
    let mut count = 0;
    loop {
        let task = next.fetch_add(1, Ordering::Relaxed);
        if task >= TASKS {
            return Ok(count);
        }
        let mut store = Store::new(engine, ());
        let instance = program.instantiate(&mut store)?;
        let count_primes = instance.get_typed_func::<(u32, u32), i32>(&mut store, "count_primes")?;
        count += count_primes.call(&mut store, (task * TASK, (task + 1) * TASK))?;
    }
}
