//! The loader's API, as embedders rely on it: modules are written in the text
//! format, compiled in memory, loaded and run.

mod backtraces;
mod calls;
mod coverage;
mod defaults;
mod entities;
mod exceptions;
mod guarded;
mod linking;
mod loading;
mod odd_hosts;
mod process;
mod rest;
mod stores;
mod subtypes;
mod traps;
mod truncation;

use wasmc_loader::{Engine, Instance, Linker, Module, Store};

/// Compiles text and loads it.
fn module(engine: &Engine, text: &str) -> Module {
    let wasm = wat::parse_str(text).expect("the test's module is text in the format");
    let mut options = wasmc::Options::new();
    options.jobs = std::num::NonZeroUsize::new(1);
    let artifact = wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"));
    wasmc_tests::carriers::load(engine, &artifact).unwrap_or_else(|e| panic!("{e:?}"))
}

/// An instance of a module without imports in a store of its own.
fn alone(text: &str) -> (Store<()>, Instance) {
    with_data((), text, |_| {})
}

/// An instance in a store of its own, its imports from a linker.
fn with_data<T>(data: T, text: &str, define: impl FnOnce(&mut Linker<T>)) -> (Store<T>, Instance) {
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::new(&engine);
    define(&mut linker);
    let mut store = Store::new(&engine, data);
    let instance = linker.instantiate(&mut store, &module).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}
