//! Debug information for native code (`-g`): DWARF 4 that leads from an
//! address to a function and a source line.
//!
//! ```text
//! native address -> offset in the wasm file -> guest's .debug_line -> file:line
//!                                           -> nothing there       -> module.wasm:offset
//! ```
//!
//! So a guest without debug information still has locations: its "line
//! numbers" are byte offsets in the wasm file, as `wasm-objdump -d` and
//! `wasm-tools print -p` print them. Functions that the guest's compiler has
//! inlined are listed in those that have them; variables and types of the guest
//! are not described.

mod guest;
mod inlined;
#[cfg(test)]
mod tests;
mod units;
mod write;

pub use guest::Guest;

use crate::container::{DebugSection, Symbol};
use crate::error::Error;

/// What debug information is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What to call the wasm file.
    pub unit: &'a str,
    /// The guest's own debug information.
    pub guest: Guest<'a>,
    /// The parts of the text, sorted by offset.
    pub symbols: &'a [Symbol<'a>],
    /// Offset in the text, and in the wasm file of the instruction that the
    /// code from there on comes from; sorted.
    pub locations: &'a [(u32, u32)],
    /// Bytes of text.
    pub text_length: u32,
}

/// Makes `.debug_abbrev`, `.debug_info`, `.debug_line`, `.debug_ranges` and
/// `.debug_str`, as far as there is something in them.
///
/// Debug information of the guest that is malformed is passed over, as if it
/// were absent.
///
/// # Errors
/// [`Error::Object`] if the result is too large for 32-bit DWARF.
pub fn sections(input: &Input<'_>) -> Result<Vec<DebugSection>, Error> {
    let (lines, inlined) = guest::read(&input.guest);
    write::sections(input, &lines, &inlined).map_err(|error| Error::Object(format!("debug information: {error}")))
}
