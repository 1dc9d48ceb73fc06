//! The ways to carry an artifact: in a file, in bytes, in the data of an
//! executable or a shared library, and in its code. What a module does must not
//! depend on it; what the settings of the strategies are about is tested there,
//! with every carrier.

mod behaviours;
#[cfg(target_os = "linux")]
mod broken;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod hosts;
mod hygiene;
#[cfg(target_os = "linux")]
mod mappings;

use wasmc_loader::{Config, Engine, InstanceLimits, InstantiationStrategy, Module, Store, WasmParams, WasmResults};
use wasmc_loader::{Instance, Result};
use wasmc_tests::carriers;

/// An engine for every strategy.
#[allow(deprecated, reason = "the deprecated strategy still works")]
fn engines() -> impl Iterator<Item = Engine> {
    use InstantiationStrategy::{
        LegacyInstanceReuse, Pooling, PoolingCopyOnWrite, RecreateInstance, RecreateInstanceCopyOnWrite,
    };
    let all =
        [PoolingCopyOnWrite, RecreateInstanceCopyOnWrite, Pooling, RecreateInstance, LegacyInstanceReuse].into_iter();
    all.map(|strategy| {
        let mut config = Config::new();
        config.allocation_strategy(InstanceLimits { count: 20, ..InstanceLimits::default() });
        config.instantiation_strategy(strategy);
        Engine::new(&config).unwrap()
    })
}

fn compile(text: &str) -> Vec<u8> {
    compile_with(text, &wasmc::Options::new())
}

fn compile_with(text: &str, options: &wasmc::Options) -> Vec<u8> {
    let wasm = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"));
    wasmc::compile(&wasm, options).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Compiles text and loads it from the carrier that was chosen.
fn module(engine: &Engine, text: &str) -> Module {
    carriers::load(engine, &compile(text)).unwrap_or_else(|e| panic!("{e:?}"))
}

fn alone(engine: &Engine, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}

/// Calls an export.
fn call<P: WasmParams, R: WasmResults, T>(
    store: &mut Store<T>,
    instance: Instance,
    name: &str,
    params: P,
) -> Result<R> {
    instance.get_typed_func::<P, R>(&mut *store, name)?.call(store, params)
}
