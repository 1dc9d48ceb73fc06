//! Writes artifacts: an [`Image`] becomes a valid ELF64 shared object or a
//! 64-bit Mach-O dylib.
//!
//! ```text
//! | headers | metadata | .eh_frame |  text  | images | data | symbols, strings, debug |
//! |---------- R -------------------|- R-X --|------------- not mapped as code --------|
//!                                  ^ page   ^ page
//! ```
//!
//! In the mapped part a virtual address equals the offset in the file, so the
//! file needs no relocations. Writing has two steps, because the metadata
//! contains offsets in the file: [`place`] decides where everything goes from
//! the sizes alone, [`write()`] then takes the metadata's content.
//!
//! This module knows nothing of wasm. What the metadata says is the caller's
//! business; the only field touched here is the content hash.

mod body;
mod elf;
mod macho;
mod relocatable;
#[cfg(test)]
mod tests;
mod unwind;

pub use relocatable::{relocatable, symbol_for};
pub use unwind::Unwind;

use body::Parts;
use sha2::{Digest as _, Sha256};
use wasmc_artifacts::abi::{Arch, Os};
use wasmc_artifacts::container::Container;
use wasmc_artifacts::format::{Header, Span, content_digest};

/// What a symbol stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// A wasm function.
    Function,
    /// Code that wasmc added: an entry stub, an adapter.
    Stub,
    /// Read-only data within the text.
    Data,
}

/// A named part of the text.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'a> {
    /// The name as it appears in the string table.
    pub name: &'a str,
    /// First byte, in the text.
    pub offset: u32,
    /// Number of bytes.
    pub size: u32,
    /// What it is.
    pub kind: SymbolKind,
}

/// A section with debug information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugSection {
    /// Its name in ELF, such as `.debug_line`.
    pub name: &'static str,
    /// The content, for a text that begins at address 0.
    pub bytes: Vec<u8>,
    /// Where the content has 64-bit addresses in the text: the writer adds
    /// the address at which the text ends up.
    pub text_addresses: Vec<u32>,
    /// Where the content has 32-bit offsets in another section, and which.
    /// They are final here; only a linker that joins sections changes them.
    pub section_offsets: Vec<(u32, &'static str)>,
}

/// Everything that goes into an artifact, except the metadata's content.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Instruction set of the text.
    pub arch: Arch,
    /// System that the artifact is for.
    pub os: Os,
    /// Base-2 logarithm of the page size that segments and images are aligned to.
    pub page_shift: u8,
    /// Which kind of file to write.
    pub container: Container,
    /// Linked, position-independent machine code with its read-only data.
    pub text: &'a [u8],
    /// Names of parts of the text, in the order of their offsets.
    pub symbols: &'a [Symbol<'a>],
    /// How to unwind through the functions of the text.
    pub unwind: &'a [Unwind<'a>],
    /// Bytes of the metadata.
    pub metadata_length: usize,
    /// Contents of memory images. Each begins at a page boundary of the file
    /// and is followed by zeros up to the next.
    pub pages: &'a [&'a [u8]],
    /// Contents of segments, put next to each other.
    pub data: &'a [&'a [u8]],
    /// Debug information.
    pub debug: &'a [DebugSection],
    /// Whether to leave out the symbol table and with it all names.
    pub strip: bool,
}

/// Where the parts of an [`Image`] are in the file, in bytes from its start.
#[derive(Debug)]
pub struct Placement {
    /// The metadata.
    pub metadata: u64,
    /// The text.
    pub text: Span,
    /// Offset and length of each symbol's name; zeros if there are no names.
    pub names: Vec<(u32, u32)>,
    /// Each memory image.
    pub pages: Vec<u64>,
    /// Each segment's content.
    pub data: Vec<u64>,
    /// `.eh_frame`; empty if there is no unwind information.
    pub eh_frame: Span,
    /// End of what must be mapped for the code to work.
    pub mapped: u64,
    parts: Parts,
}

/// Why an artifact cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A part is larger than its offsets can express.
    #[error("{what} would end at byte {end}, but an artifact allows no more than {limit}; split the module")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// Where it would end: in itself, or in the file.
        end: u64,
        /// The largest possible end.
        limit: u64,
    },
    /// A function's unwind information cannot be expressed in DWARF.
    #[error("the unwind information of the function at text offset {offset:#x} is unusable: {reason}; report this bug")]
    Unwind {
        /// First byte of the function, in the text.
        offset: u32,
        /// What is wrong.
        reason: String,
    },
    /// A symbol or a function with unwind information reaches beyond the text.
    #[error("{what} covers bytes {offset:#x} to {end:#x} of a text of {length:#x} bytes; report this bug")]
    OutsideText {
        /// Which one.
        what: String,
        /// Its first byte, in the text.
        offset: u32,
        /// Its end.
        end: u64,
        /// The length of the text.
        length: u64,
    },
    /// The object file's format cannot express something.
    #[error("cannot write an object file: {0}")]
    Object(String),
}

/// Decides where everything goes.
///
/// # Errors
/// [`Error::TooLarge`] where an offset does not fit its field, and the other
/// variants for an image that contradicts itself.
pub fn place(image: &Image<'_>) -> Result<Placement, Error> {
    check(image)?;
    match image.container {
        Container::Elf => elf::place(image),
        Container::MachO => macho::place(image),
    }
}

/// The bytes of the file: `image` as `placement` says, with the content hash
/// filled into `metadata`.
///
/// `placement` must come from [`place`] for the same image, `metadata` must
/// have the length announced there.
pub fn write(image: &Image<'_>, placement: &Placement, metadata: &[u8]) -> Vec<u8> {
    debug_assert_eq!(metadata.len(), image.metadata_length, "the metadata must have the length it was placed with");
    let mut file = match image.container {
        Container::Elf => elf::write(image, placement, metadata),
        Container::MachO => macho::write(image, placement, metadata),
    };
    let hash_at = placement.metadata as usize + Header::CONTENT_HASH_OFFSET;
    if let Some(digest) = content_digest(&file, hash_at) {
        file[hash_at..hash_at + digest.len()].copy_from_slice(&digest);
    }
    file
}

fn check(image: &Image<'_>) -> Result<(), Error> {
    // Calls and unwind tables reach 2 GiB; the metadata's length is a u32.
    limit("the machine code", image.text.len() as u64, i32::MAX as u64)?;
    limit("the metadata", image.metadata_length as u64, u64::from(u32::MAX))?;
    let length = image.text.len() as u64;
    let inside = |offset: u32, size: u32, what: &dyn Fn() -> String| {
        let end = u64::from(offset) + u64::from(size);
        if end <= length { Ok(()) } else { Err(Error::OutsideText { what: what(), offset, end, length }) }
    };
    for symbol in image.symbols {
        inside(symbol.offset, symbol.size, &|| format!("symbol `{}`", symbol.name))?;
    }
    for unwind in image.unwind {
        inside(unwind.offset, unwind.length, &|| "a function's unwind information".to_owned())?;
    }
    Ok(())
}

fn limit(what: &'static str, end: u64, limit: u64) -> Result<(), Error> {
    if end <= limit { Ok(()) } else { Err(Error::TooLarge { what, end, limit }) }
}

/// Identifies what runs: SHA-256 of the text and the metadata.
fn build_id(image: &Image<'_>, metadata: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(image.text).chain_update(metadata).finalize().into()
}
