//! Writes one unit of DWARF for the whole text.

use super::Input;
use super::guest::{Lines, Location};
use super::inlined::{Call, Inlined};
use crate::container::{DebugSection, Symbol, SymbolKind};
use gimli::write::{
    Address, AttributeValue, Dwarf, EndianVec, Expression, FileId, LineProgram, LineString, Range, RangeList, Result,
    Sections, StringTable, Unit, UnitEntryId, Writer,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian, SectionId};
use std::collections::HashMap;

/// DWARF 4 is what every debugger and profiler in use can read.
const ENCODING: Encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };

/// How often what was inlined is searched at most.
const SEARCHES: usize = 8;

/// The only symbol that addresses refer to: the start of the text.
const TEXT: usize = 0;

pub(super) fn sections(input: &Input<'_>, lines: &Lines, inlined: &Inlined<'_>) -> Result<Vec<DebugSection>> {
    let mut dwarf = Dwarf::new();
    let (program, files) = line_program(input, lines);
    let unit = dwarf.units.add(Unit::new(ENCODING, program));
    let root = dwarf.units.get(unit).root();
    let mut string = |text: &str| AttributeValue::StringRef(dwarf.strings.add(printable(text)));
    let (name, producer) = (string(input.unit), string(concat!("wasmc ", env!("CARGO_PKG_VERSION"))));
    let unit = dwarf.units.get_mut(unit);
    let entry = unit.get_mut(root);
    entry.set(gimli::DW_AT_producer, producer);
    entry.set(gimli::DW_AT_language, AttributeValue::Language(gimli::DW_LANG_C11));
    entry.set(gimli::DW_AT_name, name);
    entry.set(gimli::DW_AT_low_pc, AttributeValue::Address(address(0)));
    entry.set(gimli::DW_AT_high_pc, AttributeValue::Data4(input.text_length));
    let strings = &mut dwarf.strings;
    let work = inlined.size().saturating_mul(SEARCHES);
    let mut calls = Calls { lines, inlined, work, files, unit, root, strings, abstracts: HashMap::new() };
    for symbol in input.symbols.iter().filter(|symbol| symbol.kind != SymbolKind::Data && !symbol.name.is_empty()) {
        let function = subprogram(calls.unit, root, calls.strings, symbol);
        if symbol.kind == SymbolKind::Function {
            calls.write(function, symbol, locations(input, symbol));
        }
    }
    let mut written = Sections::new(Recorder::new());
    dwarf.write(&mut written)?;
    let mut sections = Vec::new();
    written.for_each(|id, recorder| {
        if recorder.len() != 0 {
            sections.push(recorder.section(id));
        }
        Result::Ok(())
    })?;
    Ok(sections)
}

/// An entry for a function of this name.
fn named(unit: &mut Unit, root: UnitEntryId, strings: &mut StringTable, name: &str) -> UnitEntryId {
    let id = unit.add(root, gimli::DW_TAG_subprogram);
    let entry = unit.get_mut(id);
    let readable = rustc_demangle::try_demangle(name).ok().map(|name| format!("{name:#}"));
    if let Some(readable) = &readable {
        entry.set(gimli::DW_AT_name, AttributeValue::StringRef(strings.add(printable(readable))));
        entry.set(gimli::DW_AT_linkage_name, AttributeValue::StringRef(strings.add(printable(name))));
    } else {
        entry.set(gimli::DW_AT_name, AttributeValue::StringRef(strings.add(printable(name))));
    }
    id
}

fn subprogram(unit: &mut Unit, root: UnitEntryId, strings: &mut StringTable, symbol: &Symbol<'_>) -> UnitEntryId {
    let id = named(unit, root, strings, symbol.name);
    let entry = unit.get_mut(id);
    entry.set(gimli::DW_AT_low_pc, AttributeValue::Address(address(symbol.offset)));
    entry.set(gimli::DW_AT_high_pc, AttributeValue::Data4(symbol.size));
    let mut frame = Expression::new();
    frame.op(gimli::DW_OP_call_frame_cfa);
    entry.set(gimli::DW_AT_frame_base, AttributeValue::Exprloc(frame));
    id
}

/// Native code, from and to offsets in the text, and the guest's address of
/// what it was made from.
type Part = (u32, u32, u64);

/// Writes what was inlined.
struct Calls<'a> {
    lines: &'a Lines,
    inlined: &'a Inlined<'a>,
    /// How much may still be searched. Where every function has its own entry in
    /// the guest's information, all that there is is searched once.
    work: usize,
    files: Files,
    unit: &'a mut Unit,
    root: UnitEntryId,
    strings: &'a mut StringTable,
    /// The entries that stand for functions wherever these were inlined.
    abstracts: HashMap<&'a [u8], UnitEntryId>,
}

impl<'a> Calls<'a> {
    /// Writes what was inlined into a function, below its entry.
    fn write(&mut self, function: UnitEntryId, symbol: &Symbol<'_>, locations: &[(u32, u32)]) {
        let ends = locations.iter().skip(1).map(|(native, _)| *native).chain([symbol.offset + symbol.size]);
        let parts = locations.iter().zip(ends).filter(|((start, _), end)| start < end);
        let parts = parts.filter_map(|((start, wasm), end)| Some((*start, end, self.lines.address(*wasm)?)));
        let parts: Vec<Part> = parts.collect();
        let inlined = self.inlined;
        if let Some((.., address)) = parts.first() {
            self.write_all(function, inlined.at(*address), &parts);
        }
    }

    fn write_all(&mut self, parent: UnitEntryId, numbers: &[usize], parts: &[Part]) {
        if numbers.is_empty() {
            return;
        }
        let inlined = self.inlined;
        let Some(left) = self.work.checked_sub(inlined.size_of(numbers)) else { return };
        self.work = left;
        for (call, children, parts) in inlined.divide(numbers, parts, |(.., address)| *address) {
            let entry = self.write_one(parent, call, &parts);
            self.write_all(entry, children, &parts);
        }
    }

    fn write_one(&mut self, parent: UnitEntryId, call: &Call<'a>, parts: &[Part]) -> UnitEntryId {
        let origin = match self.abstracts.get(call.name) {
            Some(origin) => *origin,
            None => {
                let id = named(self.unit, self.root, self.strings, &String::from_utf8_lossy(call.name));
                self.unit.get_mut(id).set(gimli::DW_AT_inline, AttributeValue::Inline(gimli::DW_INL_inlined));
                self.abstracts.insert(call.name, id);
                id
            }
        };
        // Parts that follow each other are one.
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (start, end, _) in parts {
            match ranges.last_mut() {
                Some(last) if last.1 == *start => last.1 = *end,
                _ => ranges.push((*start, *end)),
            }
        }
        let place = call.place.map(|place| {
            let file = guest_file(&mut self.unit.line_program, &mut self.files, self.lines, &place);
            (file, place.line, place.column)
        });
        let id = self.unit.add(parent, gimli::DW_TAG_inlined_subroutine);
        let list = (ranges.len() > 1).then(|| {
            // Relative to the unit, which is the text.
            let pair = |(start, end): &(u32, u32)| Range::OffsetPair { begin: (*start).into(), end: (*end).into() };
            self.unit.ranges.add(RangeList(ranges.iter().map(pair).collect()))
        });
        let entry = self.unit.get_mut(id);
        entry.set(gimli::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
        match (list, ranges.first()) {
            (Some(list), _) => entry.set(gimli::DW_AT_ranges, AttributeValue::RangeListRef(list)),
            (None, Some((start, end))) => {
                entry.set(gimli::DW_AT_low_pc, AttributeValue::Address(address(*start)));
                entry.set(gimli::DW_AT_high_pc, AttributeValue::Data4(end - start));
            }
            (None, None) => {}
        }
        if let Some((file, line, column)) = place {
            entry.set(gimli::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
            entry.set(gimli::DW_AT_call_line, AttributeValue::Udata(line));
            entry.set(gimli::DW_AT_call_column, AttributeValue::Udata(column));
        }
        id
    }
}

/// The locations in a function.
fn locations<'a>(input: &Input<'a>, function: &Symbol<'_>) -> &'a [(u32, u32)] {
    let end = u64::from(function.offset) + u64::from(function.size);
    let first = input.locations.partition_point(|(native, _)| *native < function.offset);
    let count = input.locations[first..].partition_point(|(native, _)| u64::from(*native) < end);
    &input.locations[first..first + count]
}

fn address(offset: u32) -> Address {
    Address::Symbol { symbol: TEXT, addend: i64::from(offset) }
}

/// A string that DWARF can hold: without zeros, and not empty.
fn printable(text: &str) -> Vec<u8> {
    match text.replace('\0', "\u{fffd}") {
        text if text.is_empty() => b"?".to_vec(),
        text => text.into_bytes(),
    }
}

/// The files of a line program under construction.
struct Files {
    wasm: FileId,
    /// Those of the guest, as they are met.
    guest: Vec<Option<FileId>>,
}

fn line_program(input: &Input<'_>, lines: &Lines) -> (LineProgram, Files) {
    let name = LineString::String(printable(input.unit));
    let here = LineString::String(b".".to_vec());
    let mut program = LineProgram::new(ENCODING, LineEncoding::default(), here, None, name.clone(), None);
    let wasm = program.add_file(name, program.default_directory(), None);
    let mut files = Files { wasm, guest: vec![None; lines.files.len()] };
    for function in input.symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Function && symbol.size != 0) {
        write_function(&mut program, &mut files, function, locations(input, function), lines);
    }
    (program, files)
}

/// One sequence: a row where the location changes. The code before the first
/// location sets up the frame; it has the same location in a row of its own,
/// so that a debugger knows where to break in the function.
fn write_function(
    program: &mut LineProgram,
    files: &mut Files,
    function: &Symbol<'_>,
    locations: &[(u32, u32)],
    lines: &Lines,
) {
    let mut last = None;
    for (native, wasm) in locations {
        let place = match lines.find(*wasm) {
            Some(location) => (guest_file(program, files, lines, &location), location.line, location.column),
            None => (files.wasm, u64::from(*wasm), 0),
        };
        let offset = u64::from(native - function.offset);
        if last.is_none() {
            program.begin_sequence(Some(address(function.offset)));
            if offset != 0 {
                write_row(program, 0, place);
            }
            program.row().prologue_end = true;
        }
        if last != Some(place) {
            write_row(program, offset, place);
        }
        last = Some(place);
    }
    if last.is_some() {
        program.end_sequence(u64::from(function.size));
    }
}

/// Writes a row: distance from the function's start; file, line and column.
fn write_row(program: &mut LineProgram, offset: u64, (file, line, column): (FileId, u64, u64)) {
    let row = program.row();
    (row.address_offset, row.file, row.line, row.column) = (offset, file, line, column);
    program.generate_row();
}

fn guest_file(program: &mut LineProgram, files: &mut Files, lines: &Lines, location: &Location) -> FileId {
    *files.guest[location.file].get_or_insert_with(|| {
        let file = &lines.files[location.file];
        let directory = program.add_directory(LineString::String(file.directory.clone()));
        program.add_file(LineString::String(file.name.clone()), directory, None)
    })
}

/// A section under construction, which remembers where it refers to the text
/// and to other sections.
#[derive(Clone)]
struct Recorder {
    bytes: EndianVec<LittleEndian>,
    text_addresses: Vec<u32>,
    section_offsets: Vec<(u32, &'static str)>,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder { bytes: EndianVec::new(LittleEndian), text_addresses: Vec::new(), section_offsets: Vec::new() }
    }

    fn section(&self, id: SectionId) -> DebugSection {
        DebugSection {
            name: id.name(),
            bytes: self.bytes.slice().to_vec(),
            text_addresses: self.text_addresses.clone(),
            section_offsets: self.section_offsets.clone(),
        }
    }
}

impl Writer for Recorder {
    type Endian = LittleEndian;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.write(bytes)
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.bytes.write_at(offset, bytes)
    }

    fn write_address(&mut self, address: Address, size: u8) -> Result<()> {
        let value = match address {
            Address::Constant(value) => value,
            Address::Symbol { addend, .. } => {
                self.text_addresses.push(self.len() as u32);
                addend as u64
            }
        };
        self.write_udata(value, size)
    }

    fn write_offset(&mut self, value: usize, section: SectionId, size: u8) -> Result<()> {
        self.section_offsets.push((self.len() as u32, section.name()));
        self.write_udata(value as u64, size)
    }

    fn write_offset_at(&mut self, offset: usize, value: usize, section: SectionId, size: u8) -> Result<()> {
        self.section_offsets.push((offset as u32, section.name()));
        self.write_udata_at(offset, value as u64, size)
    }
}
