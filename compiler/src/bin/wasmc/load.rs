//! Native code enters the process here, and nowhere else in this command.

#![allow(unsafe_code, reason = "the loader cannot check machine code, so whoever loads it has to vouch for it")]

#[cfg(feature = "run")]
use std::path::Path;
#[cfg(feature = "wast")]
use wasmc::wast::Compiled;
use wasmc_loader::{Engine, Error, Module};

/// Maps an artifact that the user asks to run.
#[cfg(feature = "run")]
pub(crate) fn open(engine: &Engine, path: &Path) -> Result<Module, Error> {
    // SAFETY: to run this file's code is what the user asks for, as with any
    // other program; that it is an artifact is checked.
    unsafe { Module::open(engine, path) }
}

/// Loads an artifact from memory: one just compiled, or one that the user
/// hands over on standard input.
#[cfg(feature = "run")]
pub(crate) fn from_bytes(engine: &Engine, artifact: &[u8]) -> Result<Module, Error> {
    // SAFETY: as for `open`, or the compiler has just made it.
    unsafe { Module::from_bytes(engine, artifact) }
}

/// Loads what a test script has just compiled.
#[cfg(feature = "wast")]
pub(crate) fn compiled(engine: &Engine, artifact: &Compiled) -> Result<Module, Error> {
    // SAFETY: a `Compiled` comes straight from the compiler.
    unsafe { Module::from_bytes(engine, artifact.bytes()) }
}
