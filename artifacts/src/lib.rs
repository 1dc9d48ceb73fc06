//! The artifact format and the ABI: the one place where the compiler and the
//! loader agree.
//!
//! * [`abi`] says how compiled code and the loader talk at run time: the shape
//!   of a slot and its VMContext, of function references, of stubs, builtins
//!   and traps.
//! * [`format`](mod@format) says what stands in a `.cwasm` file: the header and its tables,
//!   written by [`format::MetadataWriter`] and read in place by
//!   [`format::Artifact`].
//! * [`container`] finds the metadata inside the ELF or Mach-O file around it.
//! * [`working_set`] says which pages an instance touches, as a file of its own.
//!
//! What this crate is not: it holds no code generator, no wasm parser and no
//! system call, and it contains no `unsafe`. Everything that it reads comes
//! from a file that may be hostile, so reading never panics and never
//! allocates in proportion to a count found in the file.

#![forbid(unsafe_code)]

pub mod abi;
pub mod container;
pub mod error;
pub mod format;
pub mod rows;
pub mod working_set;

pub use error::FormatError;
pub use working_set::{WorkingSet, WorkingSetError};
