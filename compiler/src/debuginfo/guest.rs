//! Reads the line tables that the guest's compiler left in the wasm file.

use super::inlined::{Inlined, READ};
use super::units::{self, Room};
use gimli::{ColumnType, Dwarf, EndianSlice, LineProgramHeader, LittleEndian, Reader as _, Unit};
use std::collections::{HashMap, HashSet};

/// The DWARF of a wasm file.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// Custom sections by name, such as `.debug_line`.
    pub sections: &'a [(&'a str, &'a [u8])],
    /// Where the contents of the code section begin in the file: the guest's
    /// addresses count from there.
    pub code_start: u64,
}

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A source file: directory and name, neither empty nor with a zero in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub(super) directory: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// A place in the guest's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// Number of the file in [`Lines::files`].
    pub(super) file: usize,
    /// Line, from 1; 0 for code that no line stands for.
    pub(super) line: u64,
    /// Column, from 1; 0 for the whole line.
    pub(super) column: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    address: u64,
    location: Location,
}

/// Consecutive rows; the code after `end` is none of theirs.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    start: u64,
    end: u64,
    first_row: usize,
    end_row: usize,
}

/// All line tables of a guest, made searchable.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The files that rows refer to.
    pub(super) files: Vec<File>,
    file_numbers: HashMap<File, usize>,
    rows: Vec<Row>,
    sequences: Vec<Sequence>,
    code_start: u64,
    /// What may be read of names of files.
    names: Room,
}

/// The programs that make the rows of line tables.
struct Programs {
    /// Where those begin that were read.
    read: HashSet<usize>,
    room: Room,
}

impl Programs {
    /// Whether a unit has a program that is to be read.
    fn is_next(&mut self, unit: &Unit<Slice<'_>>) -> bool {
        let Some(program) = &unit.line_program else { return false };
        let header = program.header();
        self.read.insert(header.offset().0) && self.room.spend(header.raw_program_buf().len())
    }
}

/// Reads a guest's line tables, and what was inlined.
pub(super) fn read<'a>(guest: &Guest<'a>) -> (Lines, Inlined<'a>) {
    let mut lines = Lines { code_start: guest.code_start, ..Lines::default() };
    let find = |id: gimli::SectionId| {
        let found = guest.sections.iter().find(|(name, _)| *name == id.name());
        EndianSlice::new(found.map_or(&[][..], |(_, data)| data), LittleEndian)
    };
    let Ok(dwarf) = Dwarf::load(|id| Ok::<_, std::convert::Infallible>(find(id)));
    let size = guest.sections.iter().map(|(_, data)| data.len()).sum::<usize>();
    lines.names = Room(size.saturating_mul(READ));
    let units = units::read(&dwarf, size);
    let mut programs = Programs { read: HashSet::new(), room: Room(size) };
    for unit in units.iter().filter(|unit| programs.is_next(unit)) {
        // What was read before an error stays.
        let _ = lines.read_unit(&dwarf, unit);
    }
    lines.sequences.sort_by_key(|sequence| sequence.start);
    let inlined = Inlined::read(&dwarf, &units, size, &mut lines);
    (lines, inlined)
}

impl Lines {
    fn read_unit(&mut self, dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> gimli::Result<()> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let mut files = HashMap::new();
        let mut first_row = self.rows.len();
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            if row.end_sequence() {
                self.end_sequence(first_row, row.address());
                first_row = self.rows.len();
                continue;
            }
            let number = row.file_index();
            let file = match files.get(&number) {
                Some(file) => *file,
                None => {
                    let file = self.file(dwarf, unit, header, number)?;
                    files.insert(number, file);
                    file
                }
            };
            let Some(file) = file else { continue };
            let column = match row.column() {
                ColumnType::LeftEdge => 0,
                ColumnType::Column(column) => column.get(),
            };
            let location = Location { file, line: row.line().map_or(0, |line| line.get()), column };
            self.rows.push(Row { address: row.address(), location });
        }
        self.rows.truncate(first_row);
        Ok(())
    }

    fn end_sequence(&mut self, first_row: usize, end: u64) {
        let end_row = self.rows.len();
        self.rows[first_row..].sort_by_key(|row| row.address);
        match self.rows.get(first_row) {
            // No code is at address 0, where the number of functions stands:
            // linkers leave it in the tables of functions that they removed.
            Some(Row { address: start, .. }) if *start != 0 && *start < end => {
                self.sequences.push(Sequence { start: *start, end, first_row, end_row });
            }
            _ => self.rows.truncate(first_row),
        }
    }

    /// The number of a unit's file, which has another one in every unit.
    pub(super) fn file(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        header: &LineProgramHeader<Slice<'_>>,
        number: u64,
    ) -> gimli::Result<Option<usize>> {
        let Some(entry) = header.file(number) else { return Ok(None) };
        let name = dwarf.attr_string(unit, entry.path_name())?.to_slice()?.into_owned();
        let mut directory = match entry.directory(header) {
            Some(directory) => dwarf.attr_string(unit, directory)?.to_slice()?.into_owned(),
            None => Vec::new(),
        };
        if let Some(base) = unit.comp_dir.filter(|_| !directory.starts_with(b"/")) {
            let mut joined = base.to_slice()?.into_owned();
            if !directory.is_empty() && directory != b"." {
                joined.push(b'/');
                joined.extend_from_slice(&directory);
            }
            directory = joined;
        }
        if directory.is_empty() {
            directory.push(b'.');
        }
        let is_read = self.names.spend(directory.len() + name.len());
        if !is_read || name.is_empty() || name.contains(&0) || directory.contains(&0) {
            return Ok(None);
        }
        let file = File { directory, name };
        let next = self.files.len();
        let number = *self.file_numbers.entry(file.clone()).or_insert(next);
        if number == next {
            self.files.push(file);
        }
        Ok(Some(number))
    }

    #[cfg(test)]
    pub(super) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The guest's address of byte `offset` of the wasm file, if it is one.
    pub(super) fn address(&self, offset: u32) -> Option<u64> {
        u64::from(offset).checked_sub(self.code_start)
    }

    /// Where the instruction at byte `offset` of the wasm file comes from.
    pub(super) fn find(&self, offset: u32) -> Option<Location> {
        let address = self.address(offset)?;
        let after = self.sequences.partition_point(|sequence| sequence.start <= address);
        let sequence = self.sequences.get(after.checked_sub(1)?)?;
        if address >= sequence.end {
            return None;
        }
        let rows = &self.rows[sequence.first_row..sequence.end_row];
        let after = rows.partition_point(|row| row.address <= address);
        Some(rows.get(after.checked_sub(1)?)?.location)
    }
}
