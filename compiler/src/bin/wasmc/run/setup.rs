//! The program, and the engine that it runs on.

use super::report;
use crate::args::{Emit, Profile, RunArgs};
use crate::log::{count, strategy_in_force};
use crate::{compile, input, load};
use anyhow::Context;
use std::fmt::Write;
use std::path::Path;
use wasmc::Target;
use wasmc_loader::{
    Config, Engine, InstanceLimits, InstantiationStrategy, MemoryInitialization, Module, ProfilingStrategy,
};
use wasmc_wasi::{DEFAULT_THREAD_LIMIT, WasiCtx, WasiThreads};

/// A program that can be loaded.
pub(super) struct Program<'a> {
    path: &'a Path,
    /// The artifact, unless it is the file itself.
    artifact: Option<Vec<u8>>,
}

impl Program<'_> {
    /// Finds an artifact, or compiles anything else.
    pub(super) fn read(args: &RunArgs) -> anyhow::Result<Program<'_>> {
        let path = args.input();
        let mut options = args.code.options(Target::default(), &args.cpu)?;
        (options.epoch, options.fuel) = (args.timeout.is_some(), args.fuel.is_some());
        // An artifact in a file is mapped and shared, not read.
        if input::is_artifact(&input::head(path)?) {
            return Ok(Program { path, artifact: None });
        }
        let mut bytes = input::read(path)?;
        if !input::is_artifact(&bytes) {
            bytes = compile::build(path, &bytes, options, Emit::Cwasm, &args.log)?;
        }
        Ok(Program { path, artifact: Some(bytes) })
    }

    /// Loads it.
    pub(super) fn load(&self, engine: &Engine) -> anyhow::Result<Module> {
        let loaded = match &self.artifact {
            None => load::open(engine, self.path),
            Some(bytes) => load::from_bytes(engine, bytes),
        };
        loaded.map_err(report::error).with_context(|| format!("cannot load {}", input::name(self.path)))
    }
}

/// The engine with the strategy that the user chose.
pub(super) fn engine(args: &RunArgs, program: &Program<'_>) -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.wasm_backtrace_max_frames(report::MAX_FRAMES).debugger(args.code.debug || traced());
    config.epoch_interruption(args.timeout.is_some()).consume_fuel(args.fuel.is_some());
    if args.profile == Some(Profile::Perfmap) {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    let strategy = args.strategy.strategy;
    if strategy.is_pooling() {
        config.allocation_strategy(limits(program)?);
    }
    config.instantiation_strategy(strategy);
    Engine::new(&config).map_err(report::error)
}

/// A pool for this one program, in which it can grow as it can outside.
fn limits(program: &Program<'_>) -> anyhow::Result<InstanceLimits> {
    let module = program.load(&Engine::new(&Config::new()).map_err(report::error)?)?;
    let least = InstanceLimits::for_modules([&module]);
    let table_elements = least.table_elements.max(10_000_000);
    let threads = if WasiThreads::<WasiCtx>::are_used_by(&module) { DEFAULT_THREAD_LIMIT } else { 0 };
    Ok(InstanceLimits { count: 1 + threads, memory_pages: least.memory_pages.max(65_536), table_elements, ..least })
}

/// Whether a debugger watches this process, which then wants to know the
/// program's functions.
fn traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter_map(|line| line.strip_prefix("TracerPid:")).any(|id| id.trim() != "0")
}

/// The strategy really in force, and how each memory gets its content.
pub(super) fn describe(module: &Module, wanted: InstantiationStrategy) -> String {
    let mut text = strategy_in_force(module.engine(), wanted) + "\n";
    for (i, memory) in module.memory_initialization().into_iter().enumerate() {
        let stored = |extents, bytes| format!("{} in {}", count(bytes, "byte"), count(extents as u64, "extent"));
        let how = match memory {
            MemoryInitialization::Zero => "starts as zeros".to_owned(),
            MemoryInitialization::CopyOnWrite { extents, bytes } => {
                format!("is a copy-on-write view: {}", stored(extents, bytes))
            }
            MemoryInitialization::Copied { extents, bytes, reason } => {
                format!("is copied, since {reason}: {}", stored(extents, bytes))
            }
            other => format!("{other:?}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "defined memory {i} {how}");
    }
    text
}
