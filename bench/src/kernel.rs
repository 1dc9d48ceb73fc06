//! Instances of modules of kernels, for either side.

use std::thread;

use anyhow::{Context as _, Result, anyhow};

use super::api::{Engine, Linker, MemoryType, Module, SharedMemory, Store, TypedFunc};
use crate::runtime;

/// An instance, and the export that is timed.
pub struct Kernel {
    here: Half,
    /// The other half of the work, for a thread of its own.
    partner: Option<Half>,
}

/// An export of an instance.
struct Half {
    store: Store<()>,
    run: TypedFunc<i32, i64>,
}

impl Kernel {
    /// Instantiates the module, twice with one memory if two threads do the
    /// work.
    pub fn new(engine: &Engine, module: &Module, export: &str) -> Result<Self> {
        let memory = SharedMemory::new(engine, MemoryType::shared(1, 1))?;
        let half = |export: &str| -> Result<Half> {
            let mut store = Store::new(engine, ());
            let mut linker = Linker::new(engine);
            linker.define(&store, "host", "memory", memory.clone())?;
            let instance = linker.instantiate(&mut store, module)?;
            let run = instance.get_typed_func(&mut store, export)?;
            Ok(Half { store, run })
        };
        let partner = (export == "ping-pong").then(|| half("partner")).transpose()?;
        Ok(Self { here: half(export)?, partner })
    }
}

impl Half {
    fn run(&mut self, rounds: u32) -> Result<i64> {
        Ok(self.run.call(&mut self.store, rounds.cast_signed())?)
    }
}

impl runtime::Kernel for Kernel {
    fn run(&mut self, rounds: u32) -> Result<i64> {
        let Some(partner) = &mut self.partner else { return self.here.run(rounds) };
        thread::scope(|scope| {
            let partner = scope.spawn(|| partner.run(rounds));
            let here = self.here.run(rounds);
            partner.join().map_err(|_| anyhow!("a thread panicked"))?.context("on the other thread")?;
            here
        })
    }
}
