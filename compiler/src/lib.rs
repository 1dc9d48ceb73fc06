//! Ahead-of-time WebAssembly compiler: wasm bytes in, a native artifact out.
//!
//! Data flows one way, and each step is one function:
//!
//! ```text
//! wasm bytes -> parse -> ParsedModule -> analyse -> ModuleFacts -> translate -> CLIF
//!   -> codegen -> CompiledFunction -> link -> LinkedImage -> artifact -> file.cwasm
//! ```

#![forbid(unsafe_code)]

pub mod error;
pub mod options;
pub mod proposals;
pub mod target;

pub use error::Error;
pub use options::{OptLevel, Options, Progress, Tunables};
pub use proposals::Features;
pub use target::Target;
