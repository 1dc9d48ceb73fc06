//! The units of a guest's debug information, and how much is read for them.
//!
//! Each unit says where its tables are: abbreviations, lines, names of files. Many
//! units can be made to have one long table, or tables that begin at each byte of
//! it, so that to read all would take the square of its size. Those of a compiler's
//! units are shared as a whole or do not overlap. So what is shared is read once,
//! and no more than there is.

use super::guest::Slice;
use gimli::{Dwarf, LittleEndian, Reader as _, Section as _, Unit, constants};
use std::collections::HashMap;
use std::sync::Arc;

/// Lengths of all sections together that headers of line tables may have. They
/// are kept for each unit, also where units share them.
const HEADERS: usize = 4;

/// How many units that cannot be read are passed over.
const BROKEN: usize = 16;

/// How many bytes may still be read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Room(pub(super) usize);

impl Room {
    /// Takes note that so many were read; whether more may be.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// All units, but those beyond what may be read. `size` is that of all sections.
pub(super) fn read<'a>(dwarf: &Dwarf<Slice<'a>>, size: usize) -> Vec<Unit<Slice<'a>>> {
    let all = dwarf.debug_abbrev.reader().slice();
    let mut known = HashMap::new();
    let (mut tables, mut lines, mut broken) = (Room(all.len()), Room(size.saturating_mul(HEADERS)), Room(BROKEN));
    let (mut headers, mut units) = (dwarf.units(), Vec::new());
    while let Ok(Some(header)) = headers.next() {
        let offset = header.debug_abbrev_offset().0;
        let abbreviations = match known.get(&offset) {
            Some(abbreviations) => Some(Arc::clone(abbreviations)),
            None => {
                if !tables.spend(all.get(offset..).map_or(0, |table| length(Slice::new(table, LittleEndian)))) {
                    break;
                }
                let read = header.abbreviations(&dwarf.debug_abbrev).ok().map(Arc::new);
                read.inspect(|read| drop(known.insert(offset, Arc::clone(read))))
            }
        };
        let unit = abbreviations.and_then(|table| Unit::new_with_abbreviations(dwarf, header, table).ok());
        let is_in_bounds = match &unit {
            Some(unit) => lines.spend(unit.line_program.as_ref().map_or(0, |lines| lines.header().header_length())),
            None => broken.spend(1),
        };
        if !is_in_bounds {
            break;
        }
        units.extend(unit);
    }
    units
}

/// How long a table of abbreviations is, up to what is wrong with it.
fn length(table: Slice<'_>) -> usize {
    let mut rest = table;
    let mut entry = || -> gimli::Result<bool> {
        if rest.read_uleb128()? == 0 {
            return Ok(false);
        }
        let (_tag, _children) = (rest.read_uleb128()?, rest.read_u8()?);
        loop {
            let (name, form) = (rest.read_uleb128()?, rest.read_uleb128()?);
            if form == u64::from(constants::DW_FORM_implicit_const.0) {
                rest.read_sleb128()?;
            }
            if name == 0 && form == 0 {
                return Ok(true);
            }
        }
    };
    while let Ok(true) = entry() {}
    table.len() - rest.len()
}
