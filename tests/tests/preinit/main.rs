//! Modules that are initialised when they are compiled: their instances begin
//! where an instance is that has just been initialised, whatever the strategy,
//! and after every reset; and what cannot be kept is refused by name.

mod corpus;
mod generated;
mod kinds;
mod refused;
#[path = "../reset/state.rs"]
#[allow(dead_code, reason = "the tests of resets use all of it")]
mod state;
mod world;

use std::sync::Arc;
use std::time::Duration;
use wasmc::Options;
use wasmc::init::{self, InitOptions, InitOutput};
use wasmc_loader::{
    Config, Engine, Instance, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, Linker, Module,
    PoolingAllocationStrategy, Store, Val,
};

/// Limits that the tests' modules fit into.
const LIMITS: InstanceLimits =
    InstanceLimits { count: 2, size: 1 << 20, tables: 6, table_elements: 2000, memories: 4, memory_pages: 256 };

/// Options for an initialiser with a name, which says nothing, and has time even
/// on a machine that is very busy.
fn quiet(export: Option<&str>) -> InitOptions {
    let (output, timeout) = (InitOutput::Discard, Duration::from_secs(1000));
    InitOptions { export: export.map(str::to_owned), output, timeout, ..InitOptions::default() }
}

fn options() -> Options {
    let mut options = Options::new();
    options.features.apply("all").unwrap();
    options
}

/// Initialises and compiles a module.
fn try_bake(wasm: &[u8], init: &InitOptions) -> Result<Vec<u8>, init::Error> {
    let mut options = options();
    options.snapshot = Some(Arc::new(init::run(wasm, &options, init)?));
    Ok(wasmc::compile(wasm, &options)?)
}

#[track_caller]
fn bake(text: &str, init: &InitOptions) -> Vec<u8> {
    try_bake(text.as_bytes(), init).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn load(engine: &Engine, artifact: &[u8]) -> Module {
    // SAFETY: the bytes come straight from the compiler.
    unsafe { Module::from_bytes(engine, artifact) }.unwrap_or_else(|e| panic!("{e:?}"))
}

/// An engine for each strategy.
fn engines() -> impl Iterator<Item = (InstantiationStrategy, Engine)> {
    InstantiationStrategy::ALL.iter().map(|&strategy| {
        let mut config = Config::new();
        let strategy_of_pool = PoolingAllocationStrategy::ReuseAffinity;
        let pool = InstanceAllocationStrategy::Pooling { strategy: strategy_of_pool, instance_limits: LIMITS };
        config.allocation_strategy(pool).instantiation_strategy(strategy);
        (strategy, Engine::new(&config).unwrap_or_else(|e| panic!("{e:?}")))
    })
}

/// Instantiates; functions that nothing provides trap.
#[track_caller]
fn instantiate(module: &Module) -> (Store<()>, Instance) {
    let mut linker = Linker::new(module.engine());
    linker.define_unknown_imports_as_traps(module).unwrap_or_else(|e| panic!("{e:?}"));
    let mut store = Store::new(module.engine(), ());
    let instance = linker.instantiate(&mut store, module).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}

/// Calls an export with integers; its results or why it trapped.
fn call(store: &mut Store<()>, instance: Instance, name: &str, args: &[i32]) -> Result<Vec<i64>, String> {
    let function = instance.get_func(&mut *store, name).unwrap_or_else(|| panic!("no export {name}"));
    let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg)).collect();
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    function.call(&mut *store, &args, &mut results).map_err(|error| error.root_cause())?;
    let number = |result: &Val| match result {
        Val::I32(value) => i64::from(*value),
        Val::I64(value) => *value,
        Val::V128(value) => value.as_u128() as i64,
        other => panic!("{name} returns {other:?}"),
    };
    Ok(results.iter().map(number).collect())
}
