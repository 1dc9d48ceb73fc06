//! wasmc and its loader, set up as their users find them by default.

use std::path::Path;

use anyhow::Result;
use wasmc::{Options, Target};
use wasmc_loader::{Engine, Module};

use crate::runtime::{CompileError, Job, Outcome, Runtime};

#[path = "embed.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod embed;

/// The types `embed` is written against.
mod api {
    pub use wasmc_loader::{Caller, Engine, Error, Instance, InstancePre, Linker, Module, Store, TypedFunc};
}

/// wasmc for this machine's processor, with on-demand allocation and
/// copy-on-write memories.
pub struct Ours {
    engine: Engine,
    options: Options,
}

impl Runtime for Ours {
    const NAME: &'static str = "wasmc";
    type Module = Module;
    type Starter = embed::Starter;
    type Calls = embed::Calls;

    fn new() -> Result<Self> {
        let options = Options { target: Target::native(), ..Options::default() };
        Ok(Self { engine: Engine::default(), options })
    }

    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        wasmc::compile(wasm, &self.options).map_err(|error| match error {
            wasmc::Error::Unsupported { .. } => CompileError::Unsupported(error.to_string()),
            error => CompileError::Failed(error.into()),
        })
    }

    fn load(&self, artifact: &Path) -> Result<Module> {
        // SAFETY: the file was written by `compile` of this process into a
        // private folder, and nothing changes it while it is mapped.
        Ok(unsafe { Module::open(&self.engine, artifact) }?)
    }

    fn starter(&self, module: &Module) -> Result<embed::Starter> {
        embed::starter(&self.engine, module)
    }

    fn instantiate(&self, starter: &embed::Starter, dirty: usize) -> Result<()> {
        starter.instantiate(dirty)
    }

    fn calls(&self, module: &Module) -> Result<embed::Calls> {
        embed::calls(&self.engine, module)
    }

    fn run(&self, module: &Module, job: &Job<'_>) -> Result<Outcome> {
        embed::run(&self.engine, module, job)
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
