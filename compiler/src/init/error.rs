//! Why a module was not initialised.

use crate::error::Setting;
use std::time::Duration;
use wasmc_loader::WasmBacktrace;

/// Why a module was not initialised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module does not compile.
    #[error(transparent)]
    Compile(#[from] crate::Error),
    /// The loader refuses the module.
    #[error("cannot load the module to initialise it: {0}")]
    Load(String),
    /// What the initialiser is to see is not there.
    #[error("cannot prepare what the initialiser sees")]
    World(#[from] wasmc_wasi::Error),
    /// There is no initialiser.
    #[error("{}", nothing(.exports, Setting::field))]
    NothingToRun {
        /// The functions that could be meant, with words before them.
        exports: String,
    },
    /// The function that is named is not exported.
    #[error(
        "the module exports no function `{name}`, which is to initialise it or to take another one's place{exports}"
    )]
    NoExport {
        /// The name.
        name: String,
        /// The functions that could be meant, with words before them.
        exports: String,
    },
    /// The function that is named has parameters or results.
    #[error(
        "`{name}`, which is to initialise the module, has the type {ty}; an initialiser has neither parameters nor results"
    )]
    Signature {
        /// The name.
        name: String,
        /// The type.
        ty: String,
    },
    /// The initialiser is not defined in the module.
    #[error(
        "`{name}`, which is to initialise the module, is imported by it; it must be a function of the module's own"
    )]
    Imported {
        /// The name.
        name: String,
    },
    /// An export cannot take another one's place.
    #[error("`{name}` cannot take the place of the export `{place}`, which {types}")]
    Rename {
        /// The export that was to be in two places.
        name: String,
        /// The other place.
        place: String,
        /// Why not.
        types: String,
    },
    /// The module imports something that is the host's to make.
    #[error(
        "the module imports the {kind} `{module}` `{name}`, whose content is the host's and cannot be known when the module is compiled; let the module define and export it"
    )]
    Import {
        /// `memory`, `table` or `global`.
        kind: &'static str,
        /// The import's module.
        module: String,
        /// Its name.
        name: String,
    },
    /// The initialiser has failed.
    #[error("{what} failed when it ran at compile time: {reason}")]
    Failed {
        /// What has run.
        what: String,
        /// Why it failed.
        reason: String,
        /// Where it was, if it was in wasm code.
        backtrace: Option<WasmBacktrace>,
    },
    /// The initialiser has asked for the end of the program.
    #[error(
        "{what} ended the program with exit code {code} (`proc_exit`) when it ran at compile time; an initialiser must return"
    )]
    Exit {
        /// What has run.
        what: String,
        /// The code.
        code: i32,
    },
    /// The initialiser takes too long.
    #[error("{}", timeout(.what, *.limit, Setting::field))]
    Timeout {
        /// What has run.
        what: String,
        /// How long it could run.
        limit: Duration,
    },
    /// A part of the state cannot be written down.
    #[error("cannot freeze {what}: it {holds}; let the initialiser leave it null, and fill it when the program runs")]
    State {
        /// The global or the element of a table.
        what: String,
        /// What it refers to.
        holds: &'static str,
    },
    /// An object that is made when an instance is may have been changed.
    #[error(
        "cannot freeze {what}: it is made of objects with fields that can change, and the initialiser may have changed them; make the fields immutable, or make the objects when the program runs"
    )]
    Object {
        /// The global or segment.
        what: String,
    },
    /// A file is open, or a standard stream or folder is not.
    #[error("cannot freeze descriptor {number}: {reason}")]
    Descriptor {
        /// The guest's number for it.
        number: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// Memories have become too large.
    #[error("{}", memory(*.bytes, *.limit, Setting::field))]
    Memory {
        /// Bytes of all memories.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Tables have become too large.
    #[error(
        "the tables have {elements} elements after initialisation, and the limit is {limit}; let them grow when the program runs"
    )]
    Tables {
        /// Elements of all tables.
        elements: usize,
        /// The limit.
        limit: usize,
    },
}

fn nothing(exports: &str, words: impl Fn(Setting) -> String) -> String {
    let way_out = words(Setting::InitExport);
    format!(
        "there is nothing to run: the module has no start function and exports none of `_initialize`, `wizer-initialize` and `wizer.initialize`; name the function that initialises it with {way_out}{exports}"
    )
}

fn timeout(what: &str, limit: Duration, words: impl Fn(Setting) -> String) -> String {
    format!("{what} has not returned after {limit:?}; allow it more with {}", words(Setting::InitTimeout))
}

fn memory(bytes: u64, limit: u64, words: impl Fn(Setting) -> String) -> String {
    let way_out = words(Setting::InitMemory);
    format!("the memories have {bytes} bytes after initialisation, and the limit is {limit}; raise it with {way_out}")
}

impl Error {
    /// The message, in which what is to be changed is called as `words` says;
    /// in that of `Display` it is called as in [`InitOptions`](super::InitOptions).
    pub fn message(&self, words: impl Fn(Setting) -> String) -> String {
        match self {
            Error::Compile(error) => error.message(words),
            Error::NothingToRun { exports } => nothing(exports, words),
            Error::Timeout { what, limit } => timeout(what, *limit, words),
            Error::Memory { bytes, limit } => memory(*bytes, *limit, words),
            other => other.to_string(),
        }
    }

    /// The error of the loader when it loads.
    pub(super) fn load(error: wasmc_loader::Error) -> Error {
        Error::Load(reason(&error))
    }

    /// The error with which something that has run has ended.
    pub(super) fn ended(what: &str, error: &wasmc_loader::Error) -> Error {
        let what = what.to_owned();
        if let Some(exit) = error.downcast_ref::<wasmc_wasi::I32Exit>() {
            return Error::Exit { what, code: exit.0 };
        }
        Error::Failed { what, reason: reason(error), backtrace: error.downcast_ref::<WasmBacktrace>().cloned() }
    }

    /// Where the initialiser was when it failed.
    pub fn backtrace(&self) -> Option<&WasmBacktrace> {
        if let Error::Failed { backtrace, .. } = self { backtrace.as_ref() } else { None }
    }
}

fn reason(error: &wasmc_loader::Error) -> String {
    error.chain().collect::<Vec<_>>().join(": ")
}
