//! What has to be the same on every machine, though the loader does it with
//! code for each, or asks the system for it in its own way: traps, being
//! stopped, growing under limits, waiting, hooks, backtraces, exceptions,
//! collections, and memory that was initialised on another machine.
//!
//! A part of the program `machine`, and of the tests, which compile the guests.

mod stops;
mod traps;
mod values;
mod waits;

use std::fmt::Write as _;
use std::path::Path;
use wasmc_loader::{Config, Engine, Error, Instance, Linker, Module, Result, Store, Trap, WasmBacktrace};

/// The folder with the artifacts, and what has been seen.
struct Run<'a> {
    folder: &'a Path,
    seen: String,
}

impl Run<'_> {
    fn load(&self, config: &Config, guest: &str) -> Result<Module> {
        // SAFETY: the artifacts are the compiler's, and nobody changes them.
        unsafe { Module::open(&Engine::new(config)?, self.folder.join(format!("{guest}.cwasm"))) }
    }

    /// An instance of a module without imports.
    fn alone(&self, config: &Config, guest: &str) -> Result<(Store<()>, Instance)> {
        let module = self.load(config, guest)?;
        let mut store = Store::new(module.engine(), ());
        let instance = Linker::new(module.engine()).instantiate(&mut store, &module)?;
        Ok((store, instance))
    }

    fn see(&mut self, text: impl std::fmt::Display) {
        writeln!(self.seen, "{text}").expect("a string takes all");
    }
}

/// Why code has ended, and in which functions it was.
fn reason(error: &Error) -> String {
    let mut text = error.downcast_ref::<Trap>().map_or_else(|| format!("{error}"), |trap| format!("{trap:?}"));
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let names = backtrace.frames().iter().map(|frame| frame.func_name().unwrap_or("?"));
        write!(text, " in {}", names.collect::<Vec<_>>().join(", ")).expect("a string takes all");
    }
    text
}

/// A result, or why there is none.
fn outcome<R: std::fmt::Debug>(result: Result<R>) -> String {
    result.map_or_else(|error| reason(&error), |value| format!("{value:?}"))
}

/// What comes of the artifacts in a folder.
///
/// # Errors
/// Whatever fails that should not.
pub fn transcript(folder: &Path) -> Result<String> {
    let mut run = Run { folder, seen: String::new() };
    traps::traps(&mut run)?;
    traps::lines(&mut run)?;
    stops::registers(&mut run)?;
    stops::deadlines(&mut run)?;
    stops::fuel(&mut run)?;
    stops::limits(&mut run)?;
    waits::pending(&mut run)?;
    waits::dropped(&mut run)?;
    waits::yields(&mut run)?;
    waits::hooks(&mut run)?;
    values::exceptions(&mut run)?;
    values::objects(&mut run)?;
    values::initialized(&mut run)?;
    Ok(run.seen)
}
