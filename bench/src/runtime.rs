//! What every group asks of a runtime, so that each measurement is written
//! once and done to both sides alike.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

/// A compiler together with the runtime that executes what it makes.
pub trait Runtime: Sized {
    /// The heading of its column and the subject of its errors.
    const NAME: &'static str;
    /// A loaded artifact.
    type Module;
    /// A module linked and ready to be instantiated again and again.
    type Starter;
    /// An instance of the module of calls.
    type Calls: Calls;

    /// Sets the runtime up for this machine's processor, at the optimisation
    /// level that is its default, with the instance allocation on demand.
    fn new() -> Result<Self>;

    /// Compiles in this process, on as many threads as rayon's default pool.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError>;

    /// Loads an artifact from its file.
    fn load(&self, artifact: &Path) -> Result<Self::Module>;

    /// Links a module whose function imports are never called.
    fn starter(&self, module: &Self::Module) -> Result<Self::Starter>;

    /// Creates a store, instantiates, writes a byte into each of the first
    /// `dirty` 4 KiB pages of the exported memory, and drops it all.
    fn instantiate(&self, starter: &Self::Starter, dirty: usize) -> Result<()>;

    /// Instantiates the module of calls.
    fn calls(&self, module: &Self::Module) -> Result<Self::Calls>;

    /// Runs a WASI command to its end.
    fn run(&self, module: &Self::Module, job: &Job<'_>) -> Result<Outcome>;
}

/// Why there is no artifact.
pub enum CompileError {
    /// The module needs a proposal the compiler does not know yet; the text is
    /// the compiler's own.
    Unsupported(String),
    /// Anything else: the run has failed.
    Failed(anyhow::Error),
}

/// A live instance of the module of calls.
pub trait Calls {
    /// Makes `call` happen `count` times, once at least, and checks whatever
    /// result it has.
    fn repeat(&mut self, call: Call, count: u32) -> Result<()>;
}

/// The crossings that are timed.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Host calls an empty wasm function through a typed handle.
    ToWasm0,
    /// The same with four arguments and a result.
    ToWasm4,
    /// Wasm calls a host closure without arguments.
    ToHost0,
    /// The same with two arguments and a result.
    ToHost2,
    /// The same with a closure that reaches the store's data.
    ToHostData,
    /// Wasm calls through a table that never leaves the module.
    IndirectPrivate,
    /// Wasm calls through a table that the module exports.
    IndirectExported,
    /// The `unreachable` instruction ends a call with an error.
    TrapUnreachable,
    /// An access out of bounds ends a call with an error.
    TrapMemory,
    /// A trap under a hundred frames of wasm.
    TrapDeep,
}

/// A WASI command line.
pub struct Job<'a> {
    /// Arguments, the program's name first.
    pub args: &'a [String],
    /// The host folder that the guest sees as `.`.
    pub dir: &'a Path,
}

/// What a command did.
pub struct Outcome {
    /// The code it exited with.
    pub exit: i32,
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to standard error.
    pub stderr: Vec<u8>,
    /// The region between `bench.start` and `bench.end` where the program
    /// marks one, else the whole of `_start`.
    pub time: Duration,
}
