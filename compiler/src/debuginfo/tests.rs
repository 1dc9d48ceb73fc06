use super::*;
use crate::container::SymbolKind;
use gimli::write::{Address, DwarfUnit, EndianVec, LineProgram, LineString, Sections};
use gimli::{Encoding, EndianSlice, Format, LineEncoding, LittleEndian};

const CODE_START: u64 = 100;

/// The DWARF of a guest that was compiled from `/src/lib/fib.c`: lines 5 and 7
/// at addresses 10 and 20, up to 40, and a function that the linker removed.
fn guest_sections() -> Vec<(&'static str, Vec<u8>)> {
    let encoding = Encoding { address_size: 4, format: Format::Dwarf32, version: 4 };
    let string = |text: &str| LineString::String(text.into());
    let mut program =
        LineProgram::new(encoding, LineEncoding::default(), string("/src"), None, string("lib/fib.c"), None);
    let directory = program.add_directory(string("lib"));
    let file = program.add_file(string("fib.c"), directory, None);
    for (start, lines) in [(0, [900, 901]), (10, [5, 7])] {
        program.begin_sequence(Some(Address::Constant(start)));
        for (number, line) in lines.into_iter().enumerate() {
            let row = program.row();
            (row.address_offset, row.file, row.line, row.column) = (10 * number as u64, file, line, 3);
            program.generate_row();
        }
        program.end_sequence(30);
    }
    let mut dwarf = DwarfUnit::new(encoding);
    dwarf.unit.line_program = program;
    let root = dwarf.unit.root();
    let directory = dwarf.strings.add("/src");
    let root = dwarf.unit.get_mut(root);
    root.set(gimli::DW_AT_comp_dir, gimli::write::AttributeValue::StringRef(directory));
    written(dwarf)
}

/// The sections that are written for it, by name.
fn written(mut dwarf: DwarfUnit) -> Vec<(&'static str, Vec<u8>)> {
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut found = Vec::new();
    let all: gimli::write::Result<()> = sections.for_each(|id, data| {
        found.push((id.name(), data.slice().to_vec()));
        Ok(())
    });
    all.unwrap();
    found
}

fn symbol(name: &str, offset: u32, size: u32, kind: SymbolKind) -> Symbol<'_> {
    Symbol { name, offset, size, kind }
}

fn make(guest: &[(&str, &[u8])], locations: &[(u32, u32)]) -> Vec<DebugSection> {
    let symbols = [
        symbol("fib", 0, 50, SymbolKind::Function),
        symbol("_ZN4core3fmt5write17h0123456789abcdefE", 64, 36, SymbolKind::Function),
        symbol("entry\0stub", 100, 10, SymbolKind::Stub),
        symbol("table", 110, 10, SymbolKind::Data),
    ];
    let guest = Guest { sections: guest, code_start: CODE_START };
    sections(&Input { unit: "fib.wasm", guest, symbols: &symbols, locations, text_length: 120 }).unwrap()
}

type Dwarf<'a> = gimli::Dwarf<EndianSlice<'a, LittleEndian>>;

fn load(sections: &[DebugSection]) -> Dwarf<'_> {
    let find = |id: gimli::SectionId| sections.iter().find(|s| s.name == id.name()).map_or(&[][..], |s| &s.bytes);
    let Ok(dwarf) =
        gimli::Dwarf::load(|id| Ok::<_, std::convert::Infallible>(EndianSlice::new(find(id), LittleEndian)));
    dwarf
}

/// Every row as `(address, file, line)`, the file `None` at the end of a sequence.
fn rows(sections: &[DebugSection]) -> Vec<(u64, Option<String>, u64)> {
    let dwarf = load(sections);
    let unit = dwarf.unit(dwarf.units().next().unwrap().unwrap()).unwrap();
    let mut rows = unit.line_program.clone().unwrap().rows();
    let mut found = Vec::new();
    while let Some((header, row)) = rows.next_row().unwrap() {
        let file = row.file(header).unwrap();
        let text = |value| dwarf.attr_string(&unit, value).unwrap().to_string_lossy().into_owned();
        let directory = file.directory(header).filter(|_| file.directory_index() != 0).map(text);
        let path = directory.map_or_else(String::new, |d| d + "/") + &text(file.path_name());
        found.push((row.address(), (!row.end_sequence()).then_some(path), row.line().map_or(0, |line| line.get())));
    }
    found
}

#[test]
fn native_code_gets_the_guests_lines_and_otherwise_offsets_in_the_wasm_file() {
    let guest = guest_sections();
    let guest: Vec<_> = guest.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    // One location each before, in, in the same row, in the next row, and after the guest's table.
    let locations = [(4, 105), (8, 112), (12, 115), (30, 120), (70, 141), (72, 110)];
    let file = |path: &str| Some(path.to_owned());
    assert_eq!(
        rows(&make(&guest, &locations)),
        [
            (0, file("fib.wasm"), 105),
            (4, file("fib.wasm"), 105),
            (8, file("/src/lib/fib.c"), 5),
            (30, file("/src/lib/fib.c"), 7),
            (50, None, 7),
            (64, file("fib.wasm"), 141),
            (70, file("fib.wasm"), 141),
            (72, file("/src/lib/fib.c"), 5),
            (100, None, 5),
        ]
    );
}

#[test]
fn without_debug_information_in_the_guest_lines_are_wasm_offsets() {
    let rows = rows(&make(&[], &[(0, 7), (6, 9), (90, 30)]));
    assert_eq!(
        rows.iter().map(|(address, _, line)| (*address, *line)).collect::<Vec<_>>(),
        [(0, 7), (6, 9), (50, 9), (64, 30), (90, 30), (100, 30)]
    );
}

#[test]
fn every_function_has_an_entry_with_a_readable_name() {
    let sections = make(&[], &[(0, 7)]);
    let dwarf = load(&sections);
    let unit = dwarf.unit(dwarf.units().next().unwrap().unwrap()).unwrap();
    let mut entries = unit.entries();
    let mut names = Vec::new();
    while let Some(entry) = entries.next_dfs().unwrap() {
        if entry.tag() == gimli::DW_TAG_subprogram {
            let name = dwarf.attr_string(&unit, entry.attr_value(gimli::DW_AT_name).unwrap()).unwrap();
            let low = dwarf.attr_address(&unit, entry.attr_value(gimli::DW_AT_low_pc).unwrap()).unwrap();
            names.push((name.to_string_lossy().into_owned(), low.unwrap()));
        }
    }
    let expected = [("fib", 0), ("core::fmt::write", 64), ("entry\u{fffd}stub", 100)];
    assert_eq!(names, expected.map(|(name, low)| (name.to_owned(), low)));
}

#[test]
fn all_references_to_the_text_and_between_sections_are_recorded() {
    let sections = make(&[], &[(0, 7), (90, 30)]);
    let get = |name: &str| sections.iter().find(|section| section.name == name).unwrap();
    assert_eq!(get(".debug_line").text_addresses.len(), 2, "one for each function that has locations");
    assert_eq!(get(".debug_info").text_addresses.len(), 4, "the unit and three functions");
    for target in [".debug_abbrev", ".debug_line", ".debug_str"] {
        assert!(get(".debug_info").section_offsets.iter().any(|(_, name)| *name == target), "{target}");
    }
}

#[test]
fn broken_debug_information_of_a_guest_does_no_harm() {
    let guest = guest_sections();
    for (broken, (_, data)) in guest.iter().enumerate() {
        for length in 0..data.len() {
            let cut = |(number, (name, data)): (usize, &(&'static str, Vec<u8>))| {
                (*name, if number == broken { data[..length].to_vec() } else { data.clone() })
            };
            let flip = |(number, (name, data)): (usize, &(&'static str, Vec<u8>))| {
                let mut data = data.clone();
                if number == broken {
                    data[length] ^= 0xff;
                }
                (*name, data)
            };
            let cut: Vec<_> = guest.iter().enumerate().map(cut).collect();
            let flipped: Vec<_> = guest.iter().enumerate().map(flip).collect();
            for sections in [cut, flipped] {
                let sections: Vec<_> = sections.iter().map(|(name, data)| (*name, data.as_slice())).collect();
                assert!(!rows(&make(&sections, &[(0, 115), (8, 125)])).is_empty());
            }
        }
    }
}

/// The same guest, into whose function at 10 to 40 one was inlined, in two
/// places, and into that another one.
fn guest_with_calls() -> Vec<(&'static str, Vec<u8>)> {
    use gimli::write::{AttributeValue, Range, RangeList};
    let encoding = Encoding { address_size: 4, format: Format::Dwarf32, version: 4 };
    let string = |text: &str| LineString::String(text.into());
    let mut program =
        LineProgram::new(encoding, LineEncoding::default(), string("/src"), None, string("lib/fib.c"), None);
    let file = program.add_file(string("fib.c"), program.default_directory(), None);
    let mut dwarf = DwarfUnit::new(encoding);
    dwarf.unit.line_program = program;
    let root = dwarf.unit.root();
    let mut names = ["twice", "once"].map(|name| {
        let id = dwarf.unit.add(root, gimli::DW_TAG_subprogram);
        let name = AttributeValue::String(name.into());
        dwarf.unit.get_mut(id).set(gimli::DW_AT_name, name);
        id
    });
    names.reverse();
    let code = |unit: &mut gimli::write::Unit, id, start: u32, end: u32| {
        unit.get_mut(id).set(gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(start.into())));
        unit.get_mut(id).set(gimli::DW_AT_high_pc, AttributeValue::Data4(end - start));
    };
    let function = dwarf.unit.add(root, gimli::DW_TAG_subprogram);
    code(&mut dwarf.unit, function, 10, 40);
    let block = dwarf.unit.add(function, gimli::DW_TAG_lexical_block);
    let twice = dwarf.unit.add(block, gimli::DW_TAG_inlined_subroutine);
    let ranges = [(12, 16), (24, 28)].map(|(begin, end)| Range::OffsetPair { begin, end });
    let ranges = dwarf.unit.ranges.add(RangeList(ranges.into()));
    dwarf.unit.get_mut(twice).set(gimli::DW_AT_ranges, AttributeValue::RangeListRef(ranges));
    let once = dwarf.unit.add(twice, gimli::DW_TAG_inlined_subroutine);
    code(&mut dwarf.unit, once, 25, 28);
    for (id, name, line) in [(twice, names[1], 7), (once, names[0], 9)] {
        let entry = dwarf.unit.get_mut(id);
        entry.set(gimli::DW_AT_abstract_origin, AttributeValue::UnitRef(name));
        entry.set(gimli::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
        entry.set(gimli::DW_AT_call_line, AttributeValue::Udata(line));
    }
    written(dwarf)
}

/// An inlined function: its depth, name, line of the call and ranges.
type Call = (isize, String, u64, Vec<(u64, u64)>);

/// Depth, name, line of the call and ranges of everything that was inlined.
fn calls(sections: &[DebugSection]) -> Vec<Call> {
    let dwarf = load(sections);
    let unit = dwarf.unit(dwarf.units().next().unwrap().unwrap()).unwrap();
    let (mut entries, mut found) = (unit.entries(), Vec::new());
    while let Some(entry) = entries.next_dfs().unwrap() {
        if entry.tag() != gimli::DW_TAG_inlined_subroutine {
            continue;
        }
        let Some(gimli::AttributeValue::UnitRef(origin)) = entry.attr_value(gimli::DW_AT_abstract_origin) else {
            panic!("an inlined function refers to none")
        };
        let origin = unit.entry(origin).unwrap();
        assert_eq!(origin.attr_value(gimli::DW_AT_inline), Some(gimli::AttributeValue::Inline(gimli::DW_INL_inlined)));
        let name = dwarf.attr_string(&unit, origin.attr_value(gimli::DW_AT_name).unwrap()).unwrap();
        let line = entry.attr_value(gimli::DW_AT_call_line).unwrap().udata_value().unwrap();
        let (mut ranges, mut all) = (dwarf.die_ranges(&unit, entry).unwrap(), Vec::new());
        while let Some(range) = ranges.next().unwrap() {
            all.push((range.begin, range.end));
        }
        found.push((entry.depth(), name.to_string_lossy().into_owned(), line, all));
    }
    found
}

#[test]
fn inlined_functions_have_the_native_code_that_was_made_of_theirs() {
    let guest = guest_with_calls();
    let guest: Vec<_> = guest.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    let locations = [(0, 110), (4, 112), (6, 114), (8, 116), (12, 124), (16, 126), (20, 130), (70, 112)];
    let expected = [(2, "twice", 7, vec![(4, 8), (12, 20)]), (3, "once", 9, vec![(16, 20)])];
    let sections = make(&guest, &locations);
    assert_eq!(
        calls(&sections),
        expected.map(|(depth, name, line, ranges)| (depth, name.to_owned(), line, ranges))[..2]
            .iter()
            .cloned()
            .chain([(2, "twice".to_owned(), 7, vec![(70, 100)])])
            .collect::<Vec<_>>()
    );
    // In the order of instructions that the compiler has chosen.
    let moved = calls(&make(&guest, &[(0, 110), (4, 126), (8, 112), (30, 130)]));
    assert_eq!(moved[0].3, [(4, 30)]);
    assert_eq!(moved[1].3, [(4, 8)]);
    // Nothing is left of it.
    assert_eq!(calls(&make(&guest, &[(0, 110), (4, 130)])), []);
}

#[test]
fn broken_entries_of_inlined_functions_do_no_harm() {
    let guest = guest_with_calls();
    for (broken, (_, data)) in guest.iter().enumerate() {
        for at in 0..data.len() {
            for bits in [0xff, 1, 0x80] {
                let mut guest = guest.clone();
                guest[broken].1[at] ^= bits;
                let guest: Vec<_> = guest.iter().map(|(name, data)| (*name, data.as_slice())).collect();
                assert!(!rows(&make(&guest, &[(0, 112), (8, 125)])).is_empty());
            }
        }
    }
}

/// Sections of a guest whose function at 10 to 40 has entries like these: `entry`
/// for each, which is the number of an abbreviation and its attributes, and what
/// closes it.
fn guest_with_entries(count: usize, nested: bool, strings: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    // Number, tag, whether there are children, pairs of attribute and form.
    let abbreviations = [
        &[1, 0x11, 1, 0, 0][..],
        &[2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0, 0],
        &[3, 0x1d, u8::from(nested), 0x03, 0x0e, 0x11, 0x01, 0x12, 0x06, 0, 0, 0],
    ];
    let numbers = |numbers: [u32; 2]| numbers.map(u32::to_le_bytes).concat();
    // Version 4, abbreviations at 0, addresses of 4 bytes.
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1, 2];
    unit.extend(numbers([10, 30]));
    for _ in 0..count {
        unit.extend([3, 0, 0, 0, 0]);
        unit.extend(numbers([12, 16]));
    }
    unit.extend(vec![0; if nested { count } else { 0 } + 2]);
    let info = [(unit.len() as u32).to_le_bytes().to_vec(), unit].concat();
    vec![(".debug_abbrev", abbreviations.concat()), (".debug_info", info), (".debug_str", strings)]
}

/// How deep the first two calls are, and how many there are.
fn made_of(guest: &[(&'static str, Vec<u8>)]) -> (Vec<isize>, usize) {
    let guest: Vec<_> = guest.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    let sections = make(&guest, &[(0, 110), (4, 112), (8, 120)]);
    let dwarf = load(&sections);
    let unit = dwarf.unit(dwarf.units().next().unwrap().unwrap()).unwrap();
    let (mut entries, mut depths) = (unit.entries(), Vec::new());
    while let Some(entry) = entries.next_dfs().unwrap() {
        if entry.tag() == gimli::DW_TAG_inlined_subroutine {
            depths.push(entry.depth());
        }
    }
    let count = depths.len();
    depths.truncate(2);
    (depths, count)
}

#[test]
fn entries_that_are_nested_without_end_are_passed_over() {
    let name = || b"again\0".to_vec();
    assert_eq!(made_of(&guest_with_entries(3, true, name())), (vec![2, 3], 3));
    let (first, count) = made_of(&guest_with_entries(300_000, true, name()));
    assert_eq!(first, [2, 3]);
    assert!((40..=64).contains(&count), "{count}");
}

#[test]
fn a_long_name_that_everything_has_is_not_read_for_ever() {
    let name = [vec![b'a'; 1 << 20], vec![0]].concat();
    let guest = guest_with_entries(60_000, false, name);
    let size: usize = guest.iter().map(|(_, data)| data.len()).sum();
    let guest: Vec<_> = guest.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    let (_, inlined) = guest::read(&Guest { sections: &guest, code_start: CODE_START });
    assert!((10..=(2 * 16 * size) >> 20).contains(&inlined.size()), "{}", inlined.size());
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A line table, in which `after` comes after the header.
fn line_table(after: &[u8]) -> Vec<u8> {
    // How it counts, the lengths of standard operators, no folders, one file.
    let header = [&[1, 1, 1, 0xff, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0][..], b"a.c\0\0\0\0\0"].concat();
    let body = [vec![4, 0], numbers(&[header.len() as u32]), header, after.to_vec()].concat();
    [numbers(&[body.len() as u32]), body].concat()
}

/// Sets the address, makes rows, ends.
fn line_program(rows: usize) -> Vec<u8> {
    [&[0, 5, 2, 10, 0, 0, 0][..], &vec![1; rows], &[2, 30, 0, 1, 1]].concat()
}

/// Units with their tables of abbreviations and of lines at these places. The
/// entry of each has a number of five bytes.
fn units(tables: impl Iterator<Item = (u32, [u8; 5], u32)>) -> Vec<u8> {
    let unit = |(abbreviations, number, lines): (u32, [u8; 5], u32)| {
        let body = [&[4, 0][..], &numbers(&[abbreviations]), &[4], &number, &numbers(&[lines])].concat();
        [numbers(&[body.len() as u32]), body].concat()
    };
    tables.flat_map(unit).collect()
}

/// A number in five bytes.
fn padded(number: u32) -> [u8; 5] {
    [0, 7, 14, 21, 28].map(|bits| (number >> bits) as u8 & 0x7f | if bits < 28 { 0x80 } else { 0 })
}

/// Of a unit without children, which has a line table.
fn abbreviation(number: u32) -> Vec<u8> {
    [&padded(number)[..], &[0x11, 0, 0x10, 0x17, 0, 0]].concat()
}

/// How many rows are read, of which some are for byte 12.
fn rows_of(info: &[u8], abbreviations: &[u8], lines: &[u8]) -> usize {
    let sections = [(".debug_info", info), (".debug_abbrev", abbreviations), (".debug_line", lines)];
    let (lines, _) = guest::read(&Guest { sections: &sections, code_start: CODE_START });
    assert!(lines.find(CODE_START as u32 + 12).is_some());
    lines.row_count()
}

#[test]
fn lines_that_many_units_have_are_read_once() {
    let abbreviations = [abbreviation(1), vec![0]].concat();
    let read = |count: u32, step: u32, lines: &[u8]| {
        rows_of(&units((0..count).map(|unit| (0, padded(1), unit * step))), &abbreviations, lines)
    };
    let one = line_table(&line_program(1000));
    assert_eq!(read(1, 0, &one), 1000);
    assert_eq!(read(10, one.len() as u32, &one.repeat(10)), 10_000);
    assert_eq!(read(50_000, 0, &line_table(&line_program(50_000))), 50_000);
    // Tables within each other: each begins with what is an operator of no known
    // kind in the one around it.
    let header = line_table(&[]).len();
    let count = 2000_u32;
    let (step, program) = (header + 3, line_program(20_000));
    let mut lines = Vec::new();
    for table in 0..count as usize {
        let mut table_header = line_table(&[]);
        let rest = (count as usize - table) * step - 3 + program.len() - 4;
        table_header[..4].copy_from_slice(&(rest as u32).to_le_bytes());
        lines.extend([0, header as u8 + 1, 0x80]);
        lines.extend(table_header);
    }
    lines.extend(program);
    let found = rows_of(&units((0..count).map(|unit| (0, padded(1), unit * step as u32 + 3))), &abbreviations, &lines);
    assert!((20_000..=3 * lines.len()).contains(&found), "{found} of {}", lines.len());
}

#[test]
fn abbreviations_that_overlap_are_not_read_for_ever() {
    let count = 20_000;
    let size = abbreviation(1).len() as u32;
    let abbreviations = [(1..=count).flat_map(abbreviation).collect(), vec![0]].concat();
    let lines = line_table(&[]);
    let read = |info: &[u8]| {
        let sections = [(".debug_info", info), (".debug_abbrev", &*abbreviations), (".debug_line", &*lines)];
        let find = |id: gimli::SectionId| sections.iter().find(|(name, _)| *name == id.name()).map_or(&[][..], |s| s.1);
        let dwarf = Dwarf::load(|id| Ok::<_, gimli::Error>(EndianSlice::new(find(id), LittleEndian))).unwrap();
        units::read(&dwarf, info.len()).len() as u32
    };
    assert_eq!(read(&units((0..count).map(|unit| (unit * size, padded(unit + 1), 0)))), 1);
    // One that all units share is read for all of them.
    assert_eq!(read(&units((0..count).map(|_| (0, padded(1), 0)))), count);
}
