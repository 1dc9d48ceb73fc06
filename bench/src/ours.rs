//! wasmc and its loader, set up as its users would.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use wasmc::{Options, Target};
use wasmc_loader::{Config, Engine, LinkedArtifact, Module};

use self::cycle::Kept;
use crate::carried;
use crate::runtime::{self, Allocation, Carrier, CompileError, Job, Outcome, Runtime, Strategy, Tuning, Work};

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
    pub use wasmc_loader::{
        Caller, Engine, Error, Instance, InstancePre, Linker, Memory, MemoryType, Module, SharedMemory, Store,
        TypedFunc,
    };
}

/// wasmc for this machine's processor.
pub struct Ours {
    engine: Engine,
    options: Options,
    legacy: bool,
    tuning: Tuning,
}

/// A linked module, and how its instances are made as good as new.
pub struct Starter {
    cycle: cycle::Starter,
    legacy: bool,
}

/// An artifact in a shared library.
pub struct Carried {
    artifact: LinkedArtifact,
    carrier: Carrier,
}

impl Runtime for Ours {
    const NAME: &'static str = "wasmc";
    type Module = Module;
    type Carried = Carried;
    type Starter = Starter;
    type Calls = embed::Calls;
    type Waits = waits::Waits;
    type Kernel = kernel::Kernel;

    fn new(allocation: Allocation) -> Result<Self> {
        let tuning = allocation.tuning;
        let (epoch, fuel) = (tuning == Tuning::Epochs, tuning == Tuning::Fuel);
        let options = Options { target: Target::native(), epoch, fuel, ..Options::default() };
        let legacy = allocation.strategy == Strategy::LegacyInstanceReuse;
        Ok(Self { engine: Engine::new(&config(allocation)?)?, options, legacy, tuning })
    }

    fn flavour(&self) -> &'static str {
        match self.tuning {
            Tuning::Epochs => "with deadlines",
            Tuning::Fuel => "with fuel",
            _ => "for every strategy",
        }
    }

    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        wasmc::compile(wasm, &self.options).map_err(|error| match error {
            wasmc::Error::Unsupported { .. } => CompileError::Unsupported(error.to_string()),
            error => CompileError::Failed(error.into()),
        })
    }

    fn initialise(&self, wasm: &[u8], export: &str) -> Result<Vec<u8>, CompileError> {
        let snapshot = wasmc::init::run(wasm, &self.options, &export.into());
        let snapshot = snapshot.map_err(|error| CompileError::Failed(error.into()))?;
        let options = Options { snapshot: Some(Arc::new(snapshot)), ..self.options.clone() };
        wasmc::compile(wasm, &options).map_err(|error| CompileError::Failed(error.into()))
    }

    fn load(&self, artifact: &Path) -> Result<Module> {
        // SAFETY: the file was written by `compile` of this process into a
        // private folder, and nothing changes it while it is mapped.
        Ok(unsafe { Module::open(&self.engine, artifact) }?)
    }

    fn carry(&self, artifact: &Path, carrier: Carrier) -> Result<PathBuf> {
        carried::carry(artifact, carrier)
    }

    fn carried(&self, path: &Path, carrier: Carrier) -> Result<Carried> {
        Ok(Carried { artifact: carried::open(path)?, carrier })
    }

    fn load_carried(&self, carried: &Carried) -> Result<Module> {
        // SAFETY: as for `load`, of the library that carries it.
        Ok(unsafe {
            match carried.carrier {
                Carrier::Embedded => Module::from_embedded(&self.engine, carried.artifact.bytes()),
                Carrier::Linked => Module::from_linked(&self.engine, carried.artifact),
            }
        }?)
    }

    fn starter(&self, module: &Module) -> Result<Starter> {
        Ok(Starter { cycle: cycle::Starter::new(&self.engine, module)?, legacy: self.legacy })
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

/// The loader's settings for an allocation.
fn config(allocation: Allocation) -> Result<Config> {
    const MIB: usize = 1 << 20;
    let mut config = Config::new();
    config.instantiation_strategy(allocation.strategy.name().parse()?);
    match allocation.tuning {
        Tuning::Defaults | Tuning::OtherCollector => {}
        Tuning::Tuned => {
            config.linear_memory_keep_resident(MIB).table_keep_resident(MIB);
        }
        Tuning::NoSpareSlots => {
            config.spare_slots(0);
        }
        Tuning::Epochs => {
            config.epoch_interruption(true);
        }
        Tuning::Fuel => {
            config.consume_fuel(true);
        }
    }
    Ok(config)
}

impl runtime::Starter for Starter {
    type Kept = Kept;

    fn life(&self, work: Work) -> Result<()> {
        self.cycle.life(work)
    }

    fn keep(&self) -> Result<Kept> {
        self.cycle.keep()
    }

    fn serve(&self, kept: &mut Kept, work: Work) -> Result<()> {
        kept.serve(work)
    }

    /// Under the strategy that reuses instances, instantiating into the store
    /// of one restores it; under the others `reset` does.
    fn renew(&self, kept: &mut Kept) -> Result<()> {
        if self.legacy {
            kept.instance = self.cycle.pre.instantiate(&mut kept.store)?;
        } else {
            kept.instance.reset(&mut kept.store)?;
        }
        Ok(())
    }

    fn marks(&self, kept: &mut Kept, work: Work) -> Result<Vec<u8>> {
        kept.marks(work)
    }
}

/// WASI preview 1 from the project's own crate.
mod wasi {
    use anyhow::{Context as _, Result};
    use wasmc_loader::Linker;
    use wasmc_wasi::pipe::MemoryOutputPipe;
    use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

    use super::embed::Guest;
    use crate::runtime::Job;

    pub(super) type Wasi = WasiCtx;

    /// More than any program of the corpus prints.
    const OUTPUT_LIMIT: usize = 64 << 20;

    /// The two captured output streams.
    pub(super) struct Streams {
        out: MemoryOutputPipe,
        err: MemoryOutputPipe,
    }

    impl Streams {
        pub(super) fn stdout(&self) -> Vec<u8> {
            self.out.contents()
        }

        pub(super) fn stderr(&self) -> Vec<u8> {
            self.err.contents()
        }
    }

    pub(super) fn new(job: &Job<'_>) -> Result<(Wasi, Streams)> {
        let streams = Streams { out: MemoryOutputPipe::new(OUTPUT_LIMIT), err: MemoryOutputPipe::new(OUTPUT_LIMIT) };
        let wasi = WasiCtxBuilder::new()
            .args(job.args)?
            .stdout(streams.out.clone())
            .stderr(streams.err.clone())
            .preopened_dir(job.dir, ".", DirPerms::all(), FilePerms::all())?
            .build();
        Ok((wasi, streams))
    }

    pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
        Ok(wasmc_wasi::add_to_linker(linker, |guest| &mut guest.wasi)?)
    }

    /// The code of a guest that exited; any other error is passed on.
    pub(super) fn exit_code(error: wasmc_loader::Error) -> Result<i32> {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Ok(exit.0);
        }
        Err(anyhow::Error::from(error)).context("the guest trapped")
    }
}
