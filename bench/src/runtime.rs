//! What every group asks of a runtime, so that each measurement is written
//! once and done to both sides alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

/// The unit in which memory gets dirty.
pub const SYSTEM_PAGE: usize = 4096;

/// What requests write.
pub const MARK: u8 = 0xa5;

/// A compiler together with the runtime that executes what it makes.
pub trait Runtime: Sized {
    /// The heading of its column and the subject of its errors.
    const NAME: &'static str;
    /// A loaded artifact.
    type Module;
    /// An artifact inside a program.
    type Carried;
    /// A module linked and ready to be instantiated again and again.
    type Starter: Starter + 'static;
    /// An instance of the module of calls.
    type Calls: Calls;
    /// An instance of the module of awaited calls.
    type Waits: Calls;
    /// An instance of a module of kernels.
    type Kernel: Kernel + 'static;

    /// Sets the runtime up for this machine's processor, at the optimisation
    /// level that is its default, with this allocation of instances.
    fn new(allocation: Allocation) -> Result<Self>;

    /// What its artifacts depend on: runtimes of one flavour can exchange
    /// theirs.
    fn flavour(&self) -> &'static str;

    /// Compiles in this process, on as many threads as rayon's default pool.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError>;

    /// Runs an export and compiles the module with what came of it. A side that
    /// cannot do that compiles it as it is.
    fn initialise(&self, wasm: &[u8], _export: &str) -> Result<Vec<u8>, CompileError> {
        self.compile(wasm)
    }

    /// Loads an artifact from its file.
    fn load(&self, artifact: &Path) -> Result<Self::Module>;

    /// Puts an artifact into a part of a program, which is a file. A side that
    /// cannot do that leaves it in its own.
    fn carry(&self, artifact: &Path, carrier: Carrier) -> Result<PathBuf>;

    /// Makes what `carry` has made a part of this process, for ever.
    fn carried(&self, path: &Path, carrier: Carrier) -> Result<Self::Carried>;

    /// Loads an artifact from where it was put.
    fn load_carried(&self, carried: &Self::Carried) -> Result<Self::Module>;

    /// Links a module whose function imports are never called.
    fn starter(&self, module: &Self::Module) -> Result<Self::Starter>;

    /// Instantiates the module of calls.
    fn calls(&self, module: &Self::Module) -> Result<Self::Calls>;

    /// Instantiates the module of awaited calls.
    fn waits(&self, module: &Self::Module) -> Result<Self::Waits>;

    /// Instantiates a module of kernels, for one of its exports. A memory that
    /// it imports is shared by threads.
    fn kernel(&self, module: &Self::Module, export: &str) -> Result<Self::Kernel>;

    /// Runs a WASI command to its end.
    fn run(&self, module: &Self::Module, job: &Job<'_>) -> Result<Outcome>;
}

/// How a program carries an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Carrier {
    /// As data.
    Embedded,
    /// As code.
    Linked,
}

impl Carrier {
    /// What it is called in figures, arguments and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Linked => "linked",
        }
    }
}

/// How instances are allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Where instances live, and how memories get their first content.
    pub strategy: Strategy,
    /// The settings beside it.
    pub tuning: Tuning,
}

/// The five strategies under the names of ours, and what stands for each on
/// the peer's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// A pool; memories are copy-on-write views.
    PoolingCopyOnWrite,
    /// On demand; memories are copy-on-write views.
    #[default]
    RecreateInstanceCopyOnWrite,
    /// A pool; memories are copied.
    Pooling,
    /// On demand; memories are copied.
    RecreateInstance,
    /// One instance, restored before each call. The peer has no such thing and
    /// does what it does under `RecreateInstanceCopyOnWrite`.
    LegacyInstanceReuse,
}

impl Strategy {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 5] = [
        Self::PoolingCopyOnWrite,
        Self::RecreateInstanceCopyOnWrite,
        Self::Pooling,
        Self::RecreateInstance,
        Self::LegacyInstanceReuse,
    ];

    /// The name on our command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PoolingCopyOnWrite => "pooling-copy-on-write",
            Self::RecreateInstanceCopyOnWrite => "recreate-instance-copy-on-write",
            Self::Pooling => "pooling",
            Self::RecreateInstance => "recreate-instance",
            Self::LegacyInstanceReuse => "legacy-instance-reuse",
        }
    }

    /// Whether instances come from a pool.
    pub fn is_pooling(self) -> bool {
        matches!(self, Self::PoolingCopyOnWrite | Self::Pooling)
    }

    /// Whether memories are views rather than copies.
    pub fn is_copy_on_write(self) -> bool {
        !matches!(self, Self::Pooling | Self::RecreateInstance)
    }
}

/// Settings beside the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// Each side's own defaults.
    #[default]
    Defaults,
    /// What suits instances that write a little again and again: 1 MiB of each
    /// memory and of each table kept resident and, on the peer's side, the
    /// kernel asked which pages are dirty.
    Tuned,
    /// On our side no address space is kept for the next instance, which is
    /// how the peer allocates on demand; the peer has nothing to change.
    NoSpareSlots,
    /// The peer's other collector, which counts references; ours has one.
    OtherCollector,
    /// Code that looks whether a deadline is over, which none ever is.
    Epochs,
    /// Code that counts what it does, with fuel for all of it.
    Fuel,
}

/// A module linked and ready to be instantiated, by several threads at once.
pub trait Starter: Sync {
    /// An instance that lives on between requests.
    type Kept;

    /// One request on an instance of its own: creates a store, instantiates,
    /// does `work`, and drops it all.
    fn life(&self, work: Work) -> Result<()>;

    /// An instance and its store, to be kept.
    fn keep(&self) -> Result<Self::Kept>;

    /// One request on a kept instance.
    fn serve(&self, kept: &mut Self::Kept, work: Work) -> Result<()>;

    /// Makes a kept instance as good as new. A side that cannot reset an
    /// instance replaces it, store and all.
    fn renew(&self, kept: &mut Self::Kept) -> Result<()>;

    /// The bytes that `work` writes, as they are now.
    fn marks(&self, kept: &mut Self::Kept, work: Work) -> Result<Vec<u8>>;
}

/// What a request does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Nothing at all.
    Nothing,
    /// The host writes [`MARK`] into each of so many pages of the exported
    /// memory.
    Write {
        /// How many.
        pages: usize,
        /// Which.
        stride: Stride,
    },
    /// The same, through a slice of the memory.
    WriteSlice {
        /// How many.
        pages: usize,
        /// Which.
        stride: Stride,
    },
    /// Looks an exported function without arguments or results up, and calls
    /// it.
    Call(&'static str),
}

/// Which pages are written.
#[derive(Clone, Copy, Debug)]
pub enum Stride {
    /// The first ones.
    Adjacent,
    /// The first system page of each page of WebAssembly.
    WasmPage,
    /// As far apart from each other as the memory allows.
    Scattered,
    /// Up to [`RUNS`] runs of adjacent pages, as far apart from each other as
    /// the memory allows.
    Runs,
}

/// How many runs of pages a memory that is in use may have: a stack, globals,
/// and some places of a heap.
pub const RUNS: usize = 16;

impl From<anyhow::Error> for CompileError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Why there is no artifact.
pub enum CompileError {
    /// The module needs a proposal the compiler does not know yet; the text is
    /// the compiler's own.
    Unsupported(String),
    /// Anything else: the run has failed.
    Failed(anyhow::Error),
}

/// A live instance of a module of kernels, and one of its exports.
pub trait Kernel {
    /// Does the work so many times, once at least, and returns the checksum.
    /// `partner` does the other half of what the export `ping-pong` does, on
    /// another thread.
    fn run(&mut self, rounds: u32) -> Result<i64>;
}

/// A live instance of the module of calls.
pub trait Calls {
    /// Makes `call` happen `count` times, once at least, and checks whatever
    /// result it has.
    fn repeat(&mut self, call: Call, count: u32) -> Result<()>;
}

/// The crossings that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A callee throws, its caller catches, in a loop.
    Throw1,
    /// The same with ten callees below the one that catches.
    Throw10,
    /// An exception ends a call with an error.
    ThrowToHost,
    /// The `unreachable` instruction ends a call with an error.
    TrapUnreachable,
    /// An access out of bounds ends a call with an error.
    TrapMemory,
    /// A trap under a hundred frames of wasm.
    TrapDeep,
    /// Host awaits a call of an empty wasm function.
    AwaitNothing,
    /// Host awaits a call that calls an async host function, which is ready.
    AwaitNow,
    /// The same with one that is pending once.
    AwaitLater,
    /// Wasm calls an async host function that is ready, in a loop.
    NowInside,
    /// The same with one that is pending once.
    LaterInside,
}

/// A WASI command line.
#[derive(Clone, Copy)]
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
