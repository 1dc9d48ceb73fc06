//! Wasmtime, set up as its users would.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wasmtime::{Collector, Config, Enabled, Engine, Module, PoolingAllocationConfig};

use self::cycle::Kept;
use crate::runtime::{self, Allocation, Carrier, CompileError, Job, Outcome, Runtime, Tuning, Work};

#[path = "embed.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod embed;

#[path = "kernel.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod kernel;

#[path = "cycle.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod cycle;

#[path = "waits.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod waits;

/// The types `embed`, `cycle` and `kernel` are written against.
mod api {
    pub use wasmtime::{
        Caller, Engine, Error, Instance, InstancePre, Linker, Memory, MemoryType, Module, SharedMemory, Store,
        TypedFunc,
    };
}

/// Wasmtime with Cranelift.
pub struct Peer {
    engine: Engine,
    copy_on_write: bool,
    tuning: Tuning,
}

impl Runtime for Peer {
    const NAME: &'static str = "wasmtime";
    type Module = Module;
    type Carried = PathBuf;
    type Starter = cycle::Starter;
    type Calls = embed::Calls;
    type Waits = waits::Waits;
    type Kernel = kernel::Kernel;

    fn new(allocation: Allocation) -> Result<Self> {
        let copy_on_write = allocation.strategy.is_copy_on_write();
        let mut config = Config::new();
        config.memory_init_cow(copy_on_write).shared_memory(true);
        let tuning = allocation.tuning;
        config.epoch_interruption(tuning == Tuning::Epochs).consume_fuel(tuning == Tuning::Fuel);
        if tuning == Tuning::OtherCollector {
            config.collector(Collector::DeferredReferenceCounting);
        }
        if allocation.strategy.is_pooling() {
            config.allocation_strategy(pool(allocation.tuning));
        }
        Ok(Self { engine: Engine::new(&config)?, copy_on_write, tuning })
    }

    /// The layout of data segments in an artifact depends on how memories are
    /// initialised, its code on the collector.
    fn flavour(&self) -> &'static str {
        match (self.tuning, self.copy_on_write) {
            (Tuning::OtherCollector, _) => "with reference counts",
            (Tuning::Epochs, _) => "with deadlines",
            (Tuning::Fuel, _) => "with fuel",
            (_, true) => "with images",
            (_, false) => "with segments",
        }
    }

    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let compiled = self.engine.precompile_module(wasm);
        compiled.map_err(|error| CompileError::Failed(error.into()))
    }

    fn load(&self, artifact: &Path) -> Result<Module> {
        // SAFETY: the file was written by `precompile_module` of this process
        // into a private folder, and nothing changes it while it is mapped.
        Ok(unsafe { Module::deserialize_file(&self.engine, artifact) }?)
    }

    fn carry(&self, artifact: &Path, _carrier: Carrier) -> Result<PathBuf> {
        Ok(artifact.to_owned())
    }

    fn carried(&self, path: &Path, _carrier: Carrier) -> Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn load_carried(&self, carried: &PathBuf) -> Result<Module> {
        self.load(carried)
    }

    fn starter(&self, module: &Module) -> Result<cycle::Starter> {
        cycle::Starter::new(&self.engine, module)
    }

    fn calls(&self, module: &Module) -> Result<embed::Calls> {
        embed::calls(&self.engine, module)
    }

    fn waits(&self, module: &Module) -> Result<waits::Waits> {
        waits::waits(&self.engine, module)
    }

    fn kernel(&self, module: &Module, export: &str) -> Result<kernel::Kernel> {
        kernel::Kernel::new(&self.engine, module, export)
    }

    fn run(&self, module: &Module, job: &Job<'_>) -> Result<Outcome> {
        embed::run(&self.engine, module, job, self.tuning)
    }
}

/// A pool of the default size; tuned, it keeps pages and asks the kernel which
/// of them are dirty.
fn pool(tuning: Tuning) -> PoolingAllocationConfig {
    const MIB: usize = 1 << 20;
    let mut pool = PoolingAllocationConfig::new();
    if tuning == Tuning::Tuned {
        pool.linear_memory_keep_resident(MIB).table_keep_resident(MIB).pagemap_scan(Enabled::Yes);
    }
    pool
}

impl runtime::Starter for cycle::Starter {
    type Kept = Option<Kept>;

    fn life(&self, work: Work) -> Result<()> {
        self.life(work)
    }

    fn keep(&self) -> Result<Option<Kept>> {
        Ok(Some(self.keep()?))
    }

    fn serve(&self, kept: &mut Option<Kept>, work: Work) -> Result<()> {
        existing(kept)?.serve(work)
    }

    /// An instance of Wasmtime's cannot be reset; a new one is its only way.
    /// The old one goes first, so that the new one can have its slot.
    fn renew(&self, kept: &mut Option<Kept>) -> Result<()> {
        *kept = None;
        *kept = Some(self.keep()?);
        Ok(())
    }

    fn marks(&self, kept: &mut Option<Kept>, work: Work) -> Result<Vec<u8>> {
        existing(kept)?.marks(work)
    }
}

fn existing(kept: &mut Option<Kept>) -> Result<&mut Kept> {
    kept.as_mut().context("the instance could not be replaced")
}

/// WASI preview 1 from Wasmtime's own crate.
mod wasi {
    use anyhow::{Context as _, Result};
    use wasmtime::Linker;
    use wasmtime_wasi::p1::{self, WasiP1Ctx};
    use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
    use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

    use super::embed::Guest;
    use crate::runtime::Job;

    pub(super) type Wasi = WasiP1Ctx;

    /// More than any program of the corpus prints.
    const OUTPUT_LIMIT: usize = 64 << 20;

    /// The two captured output streams.
    pub(super) struct Streams {
        out: MemoryOutputPipe,
        err: MemoryOutputPipe,
    }

    impl Streams {
        pub(super) fn stdout(&self) -> Vec<u8> {
            self.out.contents().to_vec()
        }

        pub(super) fn stderr(&self) -> Vec<u8> {
            self.err.contents().to_vec()
        }
    }

    pub(super) fn new(job: &Job<'_>) -> Result<(Wasi, Streams)> {
        let streams = Streams { out: MemoryOutputPipe::new(OUTPUT_LIMIT), err: MemoryOutputPipe::new(OUTPUT_LIMIT) };
        let wasi = WasiCtxBuilder::new()
            .allow_blocking_current_thread(true)
            .args(job.args)
            .stdout(streams.out.clone())
            .stderr(streams.err.clone())
            .preopened_dir(job.dir, ".", FsPerms::ReadWrite)?
            .build_p1();
        Ok((wasi, streams))
    }

    pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
        Ok(p1::add_to_linker_sync(linker, |guest| &mut guest.wasi)?)
    }

    /// The code of a guest that exited; any other error is passed on.
    pub(super) fn exit_code(error: wasmtime::Error) -> Result<i32> {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Ok(exit.0);
        }
        Err(anyhow::Error::from(error)).context("the guest trapped")
    }
}
