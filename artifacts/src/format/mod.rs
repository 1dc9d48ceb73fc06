//! What stands in an artifact.
//!
//! The metadata is a [`Header`], a directory, and tables of fixed-width rows;
//! it is one section of the file, `.wasmc` in ELF and `__TEXT,__wasmc` in
//! Mach-O. In the part of the file that is mapped, a virtual address equals
//! the offset in the file, so one number says where something is in both.
//!
//! ```text
//! | file header | metadata | read-only tables | .eh_frame | text (R-X) | memory images | symbols, debug info |
//! ```
//!
//! Strings and variable-length data are `(offset, length)` into the blob of
//! the metadata, except function names, which are offsets in the file (they
//! are shared with the symbol table), and data segments and images, which are
//! too.

mod header;
mod reader;
mod tables;
mod writer;

pub use header::{Digest, HEADER_MAGIC, Header, Span, content_digest};
pub use reader::Artifact;
pub use tables::{
    Code, CodeOffset, ConstOp, ConstOpKind, DataSegment, ElemSegment, Export, Extent, ExternKind, FuncRefRow, Function,
    Global, Handler, Import, Index, Memory, NONE, PageRange, SegmentMode, SourceLoc, StackMap, StackMapSlot, Table,
    TableInit, TableKind, Tables, Tag, TypeRow,
};
pub use writer::MetadataWriter;

pub(crate) use header::hex;
pub(crate) use tables::ROW_DEFINITIONS;

/// The version of the format. Raised when old artifacts can no longer be read.
pub const FORMAT_VERSION: u32 = 1;
