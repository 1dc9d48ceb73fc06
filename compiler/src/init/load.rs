//! Native code enters the compiler's process here, and nowhere else.

#![allow(unsafe_code, reason = "the loader cannot check machine code, so whoever loads it has to vouch for it")]

use crate::options::Options;
use wasmc_loader::{Engine, Module};

/// Compiles a module for this machine and loads it.
pub(super) fn compiled(engine: &Engine, wasm: &[u8], options: &Options) -> Result<Module, super::Error> {
    let artifact = crate::compile(wasm, options)?;
    // SAFETY: the compiler has just made it, and nobody else has seen it.
    let module = unsafe { Module::from_bytes(engine, &artifact) };
    module.map_err(super::Error::load)
}
