//! What can go wrong between wasm bytes and an artifact.

use crate::proposals::Proposal;

/// Why a module was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is neither wasm nor its text format.
    #[error("not WebAssembly: {0}")]
    NotWasm(String),
    /// The input is a component, not a module.
    #[error(
        "the input is a WebAssembly component, and wasmc compiles core modules; take the core module out of it first (`wasm-tools component unbundle`)"
    )]
    Component,
    /// The module is malformed or does not validate.
    #[error("invalid WebAssembly at byte offset {offset:#x}: {message}")]
    Invalid {
        /// Where, in bytes from the start of the module.
        offset: u64,
        /// What the specification's rules find wrong.
        message: String,
    },
    /// The text format does not parse.
    #[error("invalid WebAssembly text: {0}")]
    Text(String),
    /// The module uses a proposal that is switched off or not supported.
    #[error("{}", unsupported(.proposal, *.offset, .message, Setting::field))]
    Unsupported {
        /// The proposal.
        proposal: &'static Proposal,
        /// Where, in bytes from the start of the module.
        offset: u64,
        /// What was met there.
        message: String,
    },
    /// A name in the options that stands for nothing.
    #[error("unknown {what} `{name}`; known are: {known}")]
    UnknownName {
        /// What was to be named: a target, CPU, feature, ...
        what: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The options contradict each other or the target.
    #[error("{0}")]
    Options(String),
    /// The module is larger than the format or the target can hold.
    #[error("the module is too large: {what} is {value}, and the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// What memories contain at first takes too much room.
    #[error(
        "the artifact would hold {bytes} bytes for what memories contain at first, up to memory {memory}, and the limit is {limit}; move data segments closer together, or let the module write them when it starts (passive segments and `memory.init`)"
    )]
    ImageTooLarge {
        /// The memory with which the limit is reached, imported ones counted.
        memory: u32,
        /// Bytes of data, and of the zeros that would be stored between them.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The working set in the options does not fit the module.
    #[error(transparent)]
    WorkingSet(#[from] wasmc_artifacts::WorkingSetError),
    /// The code generator refused a function.
    #[error("cannot compile function {index}{name}: {reason}")]
    Codegen {
        /// Index of the function.
        index: u32,
        /// Its name with a leading space, if it has one.
        name: String,
        /// The generator's reason.
        reason: String,
    },
    /// An object file could not be written.
    #[error("cannot write the object file: {0}")]
    Object(String),
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`: {error}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
}

/// What an error may ask to be changed. It is called otherwise by each of those
/// who set it: the fields of [`Options`](crate::Options), the switches of the
/// command, and the methods of a build script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// Whether this proposal is on.
    Proposal(&'static str),
    /// The export that initialises a module.
    InitExport,
    /// How long an initialiser may take.
    InitTimeout,
    /// How large memories may become in it.
    InitMemory,
}

impl Setting {
    /// What sets it in the library's own options.
    pub(crate) fn field(self) -> String {
        match self {
            Setting::Proposal(name) => format!("`Features::apply(\"{name}\")`"),
            Setting::InitExport => "`InitOptions::export`".to_owned(),
            Setting::InitTimeout => "`InitOptions::timeout`".to_owned(),
            Setting::InitMemory => "`InitOptions::max_memory`".to_owned(),
        }
    }
}

fn unsupported(proposal: &Proposal, offset: u64, message: &str, words: impl Fn(Setting) -> String) -> String {
    let way_out = if proposal.supported {
        format!("switch it on with {}", words(Setting::Proposal(proposal.name)))
    } else {
        "wasmc does not support it yet; compile the guest without it".to_owned()
    };
    format!("the module uses the `{}` proposal at byte offset {offset:#x} ({message}): {way_out}", proposal.name)
}

impl Error {
    /// The message, in which what is to be changed is called as `words` says;
    /// in that of `Display` it is called as in [`Options`](crate::Options).
    pub fn message(&self, words: impl Fn(Setting) -> String) -> String {
        match self {
            Error::Unsupported { proposal, offset, message } => unsupported(proposal, *offset, message, words),
            other => other.to_string(),
        }
    }

    /// An error of the parser or validator, with the proposal named if a
    /// missing one is the reason.
    pub(crate) fn from_parser(error: &wasmparser::Error) -> Self {
        let offset = error.offset();
        let message = error.message().to_owned();
        // Errors that come without the proposal which would avoid them.
        let missing = error.missing_wasm_feature().or(match error.message() {
            "multiple memories" => Some(wasmparser::WasmFeatures::MULTI_MEMORY),
            "multiple tables" => Some(wasmparser::WasmFeatures::REFERENCE_TYPES),
            "gc proposal must be enabled to use subtypes" => Some(wasmparser::WasmFeatures::GC),
            message if message.ends_with("because the GC proposal is disabled") => Some(wasmparser::WasmFeatures::GC),
            _ => None,
        });
        // What a proposal that is no standard would give a meaning is invalid.
        let missing = missing.filter(|_| !error.message().starts_with("invalid exception type"));
        match missing.and_then(crate::proposals::by_feature) {
            Some(proposal) => Error::Unsupported { proposal, offset, message },
            None => Error::Invalid { offset, message },
        }
    }
}

impl From<wasmparser::Error> for Error {
    fn from(error: wasmparser::Error) -> Self {
        Error::from_parser(&error)
    }
}

impl From<wasmc_artifacts::abi::LayoutError> for Error {
    fn from(error: wasmc_artifacts::abi::LayoutError) -> Self {
        Error::TooLarge { what: "the instance context in bytes", value: error.bytes, limit: error.limit }
    }
}
