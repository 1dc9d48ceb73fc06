//! Asks a loader without its optional parts for each of them, and prints what
//! it says.

use wasmc_loader::{
    Config, Engine, ExternRef, Global, GlobalType, Instance, InstantiationStrategy, Linker, MemoryType, Module,
    Mutability, PoolExhaustion, ProfilingStrategy, Result, SharedMemory, Store, ValType,
};

fn pool() -> Config {
    let mut config = Config::new();
    config.instantiation_strategy(InstantiationStrategy::PoolingCopyOnWrite);
    config
}

fn show<T>(what: &str, result: Result<T>) {
    match result {
        Ok(_) => println!("{what}: fine"),
        Err(e) => println!("{what}: {e:#}"),
    }
}

#[allow(deprecated, reason = "the deprecated strategy is refused too")]
fn main() -> Result<()> {
    show("on-demand", Engine::new(&Config::new()));
    show("backtraces", Engine::new(pool().wasm_backtrace(true)));
    show("debugger", Engine::new(pool().debugger(true)));
    show("profiling", Engine::new(pool().profiler(ProfilingStrategy::PerfMap)));
    show("pool-policies", Engine::new(pool().pool_exhaustion(PoolExhaustion::OnDemand)));
    show("truncation", Engine::new(pool().sealed_artifacts(true)));
    show("interruption", Engine::new(pool().epoch_interruption(true)));
    show("instance-reuse", Engine::new(pool().instantiation_strategy(InstantiationStrategy::LegacyInstanceReuse)));
    let engine = Engine::new(&pool())?;
    let mut store = Store::new(&engine, ());
    show("gc", ExternRef::new(&mut store, 1));
    show("threads", SharedMemory::new(&engine, MemoryType::shared(1, 1)));
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), 1.into())?;
    show("linking", Linker::new(&engine).define(&store, "host", "global", global).map(drop));
    // SAFETY: these bytes are no artifact, so nothing of them is executed.
    show("embedded", unsafe { Module::from_embedded(&engine, b"") });
    // SAFETY: who starts this names files made by `wasmc`, and does not change them.
    for path in std::env::args_os().skip(1) {
        let module = unsafe { Module::open(&engine, &path) };
        show(&path.to_string_lossy(), module.and_then(|module| Instance::new(&mut store, &module, &[])));
    }
    Ok(())
}
