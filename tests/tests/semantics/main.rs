//! Options that make a program do the same on every machine.

mod features;
mod nans;
mod relaxed;
mod stack;
mod tail_calls;

use wasmc::Options;
use wasmc_loader::{Engine, Module};

/// The CPUs of this machine's architecture that it can stand in for.
fn cpus() -> &'static [&'static str] {
    if cfg!(target_arch = "x86_64") { &["baseline", "ssse3", "x86-64-v2", "native"] } else { &["baseline", "native"] }
}

/// Compiles text and loads it.
fn module(engine: &Engine, text: &str, options: &Options) -> Module {
    let artifact = wasmc::compile(text.as_bytes(), options).unwrap_or_else(|e| panic!("{e:?}"));
    wasmc_tests::carriers::load(engine, &artifact).unwrap_or_else(|e| panic!("{e:?}"))
}
