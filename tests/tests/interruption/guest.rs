//! Guests that can be stopped, and engines that stop them.

use wasmc::Options;
use wasmc_loader::{Config, Engine, Error, Instance, InstantiationStrategy, Linker, Module, Store, Trap};

/// What the engine stops code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub epoch: bool,
    pub fuel: bool,
}

pub const EPOCH: Limits = Limits { epoch: true, fuel: false };
pub const FUEL: Limits = Limits { epoch: false, fuel: true };
pub const BOTH: Limits = Limits { epoch: true, fuel: true };

/// An engine with this strategy.
pub fn engine_with(strategy: InstantiationStrategy, limits: Limits) -> Engine {
    let mut config = Config::new();
    config.instantiation_strategy(strategy).epoch_interruption(limits.epoch).consume_fuel(limits.fuel);
    Engine::new(&config).unwrap()
}

pub fn engine(limits: Limits) -> Engine {
    engine_with(InstantiationStrategy::RecreateInstanceCopyOnWrite, limits)
}

/// An engine that collects garbage as often as it can.
pub fn engine_with_stress(limits: Limits) -> Engine {
    let mut config = Config::new();
    config.epoch_interruption(limits.epoch).consume_fuel(limits.fuel).gc_stress(true);
    Engine::new(&config).unwrap()
}

/// The artifact of a module that can be stopped for these reasons.
pub fn compile(text: &str, limits: Limits) -> Vec<u8> {
    compile_with(text, Options { epoch: limits.epoch, fuel: limits.fuel, ..Options::new() })
}

pub fn compile_with(text: &str, options: Options) -> Vec<u8> {
    wasmc::compile(text.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub fn load(engine: &Engine, artifact: &[u8]) -> Module {
    // SAFETY: made by the compiler just now.
    unsafe { Module::from_bytes(engine, artifact) }.unwrap_or_else(|e| panic!("{e:#}"))
}

/// A store that has as much time and fuel as there is.
pub fn store(engine: &Engine, limits: Limits) -> Store<()> {
    let mut store = Store::new(engine, ());
    if limits.epoch {
        store.set_epoch_deadline(u64::MAX);
    }
    if limits.fuel {
        store.set_fuel(u64::MAX).unwrap();
    }
    store
}

/// An instance of a module without imports, in a store without limits.
pub fn instance(engine: &Engine, limits: Limits, artifact: &[u8]) -> (Store<()>, Instance) {
    let mut store = store(engine, limits);
    let instance = Linker::new(engine).instantiate(&mut store, &load(engine, artifact)).unwrap();
    (store, instance)
}

/// Calls an export without parameters and results.
pub fn call<T>(store: &mut Store<T>, instance: Instance, name: &str) -> Result<(), Error> {
    instance.get_typed_func::<(), ()>(&mut *store, name).unwrap().call(store, ())
}

#[track_caller]
pub fn assert_trap<T: std::fmt::Debug>(result: Result<T, Error>, trap: Trap, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{what}: {error:#}");
}
