//! Pre-initialisation: runs an initialiser when a module is compiled, so that
//! instances begin where it has ended.
//!
//! ```text
//! wasm ── compile for this machine ──▶ load ──▶ start function, initialiser ──▶ state ── freeze ──▶ Snapshot
//! wasm + Options::snapshot ── compile ──▶ artifact
//! ```
//!
//! The module runs in this process, in the loader, with the code that is
//! compiled for it anyway; then its memories, tables, globals and dropped
//! segments are written down in terms of the module. What cannot be written
//! down is an error that names it: [`Error::State`], [`Error::Descriptor`].
//!
//! What the initialiser sees of the world is WASI preview 1 with nothing in
//! it: no arguments, variables or folders but those in [`InitOptions`], an
//! empty standard input, and time and random numbers that are the same in
//! every run, so that the same module and options give the same bytes. Other
//! imported functions trap when they are called; imported memories, tables and
//! globals are refused.
//!
//! An exported initialiser has done its work when the artifact is made, so
//! that the export does nothing from then on (it stays an export: a host that
//! calls `_initialize`, as WASI's reactors want it, goes on doing so);
//! [`InitOptions::keep_exports`] leaves it as it is.
//!
//! ```
//! use std::sync::Arc;
//! let wasm = br#"(module
//!     (global $answer (mut i32) (i32.const 0))
//!     (func (export "setup") (global.set $answer (i32.const 42)))
//!     (func (export "answer") (result i32) (global.get $answer)))"#;
//! let mut options = wasmc::Options::new();
//! let init = wasmc::init::InitOptions { export: Some("setup".into()), ..Default::default() };
//! options.snapshot = Some(Arc::new(wasmc::init::run(wasm, &options, &init)?));
//! let artifact = wasmc::compile(wasm, &options)?;
//! # let _ = artifact;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod freeze;
mod load;
mod run;
mod world;

pub use error::Error;
pub use run::run;
pub use wasmc_wasi::{RandomSource, TimeSource};

use std::path::PathBuf;
use std::time::Duration;

/// What runs, and what it sees.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The exported function without parameters and results that initialises
    /// the module. The module's start function runs before it, and so does
    /// `_initialize` if the module exports that.
    ///
    /// Without a name: `_initialize` and then `wizer-initialize` or
    /// `wizer.initialize`, as far as the module exports them. That can be
    /// nothing but the start function; if there is none of all these, there
    /// is nothing to run, which is an error.
    pub export: Option<String>,
    /// Whether exported initialisers go on being what they are, so that
    /// calling one runs it a second time.
    pub keep_exports: bool,
    /// Exported functions that others of the same type take the place of, as
    /// pairs of the name and the other one's: `_start` and `wizer.resume` for
    /// programs that go on in the latter, once they are initialised. If there
    /// is no export of the first name, there is one then.
    pub renames: Vec<(String, String)>,
    /// The program's arguments, its own name included.
    pub args: Vec<String>,
    /// Variables of the environment.
    pub variables: Vec<(String, String)>,
    /// Folders.
    pub dirs: Vec<InitDir>,
    /// How long it may take, compilation not counted.
    pub timeout: Duration,
    /// How many bytes all memories together may have.
    pub max_memory: u64,
    /// Where time comes from. What the system's clock says ends up in the
    /// artifact, which then differs from one run to the next.
    pub time: TimeSource,
    /// Where random numbers come from. Either way all instances have the same
    /// ones, as far as they were drawn by the initialiser; the fixed ones are
    /// known to everybody.
    pub random: RandomSource,
    /// Where standard output and standard error output go.
    pub output: InitOutput,
}

impl Default for InitOptions {
    fn default() -> Self {
        InitOptions {
            export: None,
            keep_exports: false,
            renames: Vec::new(),
            args: Vec::new(),
            variables: Vec::new(),
            dirs: Vec::new(),
            timeout: Duration::from_secs(60),
            max_memory: 2 << 30,
            time: TimeSource::Virtual,
            random: RandomSource::Fixed,
            output: InitOutput::Stderr,
        }
    }
}

impl From<&str> for InitOptions {
    /// The defaults, for the export with this name.
    fn from(export: &str) -> InitOptions {
        InitOptions { export: Some(export.to_owned()), ..InitOptions::default() }
    }
}

/// A folder that the initialiser sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitDir {
    /// The folder.
    pub host: PathBuf,
    /// Its name for the guest.
    pub guest: String,
    /// Whether it may be changed.
    pub writable: bool,
}

/// Where the initialiser's standard output and standard error output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitOutput {
    /// Both to this process's standard error output.
    #[default]
    Stderr,
    /// Nowhere.
    Discard,
}
