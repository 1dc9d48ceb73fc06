//! Wasmtime, set up as its users find it by default.

use std::path::Path;

use anyhow::Result;
use wasmtime::{Config, Engine, Module};

use crate::runtime::{CompileError, Job, Outcome, Runtime};

#[path = "embed.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each side, against its types")]
mod embed;

/// The types `embed` is written against.
mod api {
    pub use wasmtime::{Caller, Engine, Error, Instance, InstancePre, Linker, Module, Store, TypedFunc};
}

/// Wasmtime with Cranelift, on-demand allocation and copy-on-write memories.
pub struct Peer {
    engine: Engine,
}

impl Runtime for Peer {
    const NAME: &'static str = "wasmtime";
    type Module = Module;
    type Starter = embed::Starter;
    type Calls = embed::Calls;

    fn new() -> Result<Self> {
        let engine = Engine::new(&Config::new())?;
        Ok(Self { engine })
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
