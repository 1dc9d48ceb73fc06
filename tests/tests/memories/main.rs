//! Memories and tables with 64-bit indices, and memories with pages of one
//! byte: the specification's rules as scripts (`tests/scripts`), accesses
//! against a model, and what the host sees of them.

mod host;
mod model;
mod scripts;
mod sizes;

use wasmc::{Options, Tunables};
use wasmc_loader::{Engine, Module};

/// Address space for memories that code can rely on: as by default, and so
/// little that nearly nothing goes without a check.
fn tunables() -> [Tunables; 2] {
    [Tunables::default(), Tunables { memory_reservation: 1 << 20, memory_guard: 64 << 10, ..Tunables::default() }]
}

/// Compiles text, with every proposal, and loads it.
fn module(engine: &Engine, text: &str, tunables: Tunables) -> Module {
    let mut options = Options { tunables, verify: true, ..Options::new() };
    options.features.apply("all").unwrap();
    let artifact = wasmc::compile(text.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}: {text}"));
    wasmc_tests::carriers::load(engine, &artifact).unwrap_or_else(|e| panic!("{e:?}"))
}
