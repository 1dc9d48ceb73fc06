//! What can go wrong: while a [`WasiCtx`](crate::WasiCtx) is being built, and
//! while a guest uses it.

use std::path::PathBuf;

/// A context that could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Arguments and variables reach the guest as C strings, which end at the
    /// first zero byte.
    #[error("{what} {value:?} contains a zero byte: WASI passes it as a C string, so remove the zero byte")]
    ZeroByte {
        /// "argument" or "environment variable".
        what: &'static str,
        /// The offending text.
        value: String,
    },

    /// `NAME=value` could not be taken apart again.
    #[error(
        "environment variable name {name:?} is empty or contains `=`: give the name and the value as separate strings"
    )]
    VariableName {
        /// The offending name.
        name: String,
    },

    /// More than 4 GiB of arguments or variables.
    #[error("the guest's {what}s do not fit into its 32-bit address space: {source}")]
    TooLarge {
        /// "argument" or "environment variable".
        what: &'static str,
        /// Which limit was passed.
        source: wasi_common::StringArrayError,
    },

    /// A folder could not be opened for the guest.
    #[error("cannot preopen folder {}: {source}; it has to exist and be readable by this process", .path.display())]
    Preopen {
        /// The folder on the host.
        path: PathBuf,
        /// Why it could not be opened.
        source: std::io::Error,
    },
}

/// What ends a guest in a WASI call, because no error number tells it. The
/// call's error, [`wasmc_loader::Error`], can be downcast to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The guest passed a pointer that is out of bounds or misaligned.
    #[error("the guest passed WASI an invalid pointer: {0}")]
    Pointer(#[source] wiggle::GuestError),

    /// A [`WasiFile`](crate::WasiFile) of the host's own making did not answer
    /// at once.
    #[error(
        "a WASI stream of the host waits asynchronously, which is not supported: \
         make its `WasiFile` functions block until they have an answer"
    )]
    Asynchronous,

    /// The guest asked for what this implementation does not do, such as
    /// raising a signal.
    #[error("WASI call failed: {0}")]
    Other(String),
}
