//! Looks into artifacts, and checks them.
//!
//! An artifact is read twice: its metadata with [`Artifact`], which is what
//! the loader uses, and the file around it with `goblin` ([`ObjectView`]),
//! which knows nothing of us. [`verify`] demands that the two agree.

mod object;
mod report;
mod verify;

pub use object::{ObjectView, Section, Segment};
pub use report::{Entity, Entry, FunctionSize, ImportEntry, MemoryImage, Report};
pub use verify::verify;

#[cfg(doc)]
use wasmc_artifacts::format::Artifact;

/// Why an artifact was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The metadata is not in order, or there is none.
    #[error(transparent)]
    Format(#[from] wasmc_artifacts::FormatError),
    /// The file is no ELF or Mach-O file that others can read.
    #[error("the file around the metadata is malformed: {0}; compile it again")]
    Object(String),
    /// The two views of the file differ.
    #[error("the metadata and the file around it disagree: {0}; compile it again")]
    Disagree(String),
}
