//! Functions that the guest's compiler has inlined, and where.
//!
//! Its debug information lists them below the function that they are in, with
//! addresses in the wasm file. What becomes of each of these is known for every
//! instruction, so the native code of an inlined function may be in several
//! parts.
//!
//! Entries can be made to refer to one long name or list over and over again, and
//! to be nested without end. So there is a limit to how much is read for each byte
//! that there is, and to the depth; what is beyond it is passed over.

use super::guest::{Lines, Location, Slice};
use super::units::Room;
use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, Unit, UnitOffset};
use std::collections::HashMap;

/// How far names are followed from one entry to another.
const HOPS: usize = 8;

/// How deep functions that are inlined into each other are followed.
const DEPTH: usize = 64;

/// Bytes of names and lists that are read for each byte of the guest's debug
/// information. Those that compilers make take some five.
pub(super) const READ: usize = 16;

type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// A function that was inlined somewhere.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// As the linker would know it.
    pub(super) name: &'a [u8],
    /// Where it is called.
    pub(super) place: Option<Location>,
    /// Addresses of its code, as the guest counts them.
    ranges: Vec<(u64, u64)>,
    /// Numbers of what was inlined into it.
    children: Vec<usize>,
}

impl Call<'_> {
    fn size(&self) -> usize {
        1 + self.ranges.len()
    }
}

/// A function of the guest's.
#[derive(Debug)]
struct Function {
    start: u64,
    end: u64,
    children: Vec<usize>,
}

/// Who has inlined something.
#[derive(Clone, Copy)]
enum Owner {
    Function(usize),
    Call(usize),
}

/// Everything that was inlined, made searchable.
#[derive(Debug, Default)]
pub(super) struct Inlined<'a> {
    functions: Vec<Function>,
    calls: Vec<Call<'a>>,
    /// How many bytes of names and lists may still be read.
    room: Room,
}

impl<'a> Inlined<'a> {
    /// Reads what units say; files of places go to `lines`. What is malformed
    /// ends its unit, and if there is much of that, everything. `size` is that of
    /// the sections.
    pub(super) fn read(
        dwarf: &Dwarf<Slice<'a>>,
        units: &[Unit<Slice<'a>>],
        size: usize,
        lines: &mut Lines,
    ) -> Inlined<'a> {
        let mut inlined = Inlined { room: Room(size.saturating_mul(READ)), ..Inlined::default() };
        for unit in units {
            if inlined.read_unit(dwarf, units, unit, lines).is_err() && !inlined.room.spend(size) {
                break;
            }
        }
        inlined.functions.sort_by_key(|function| (function.start, function.end));
        inlined
    }

    /// How much there is to be searched.
    pub(super) fn size(&self) -> usize {
        self.calls.iter().map(Call::size).sum()
    }

    /// How much there is to be searched for calls with these numbers.
    pub(super) fn size_of(&self, numbers: &[usize]) -> usize {
        numbers.iter().map(|number| self.calls[*number].size()).sum()
    }

    fn read_unit<'units>(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        units: &'units [Unit<Slice<'a>>],
        unit: &'units Unit<Slice<'a>>,
        lines: &mut Lines,
    ) -> gimli::Result<()> {
        let mut entries = unit.entries();
        let mut files = HashMap::new();
        // The entries around the current one that matter, by depth.
        let mut around: Vec<(isize, Option<Owner>)> = Vec::new();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            while around.last().is_some_and(|(outer, _)| *outer >= depth) {
                around.pop();
            }
            let owner = around.last().and_then(|(_, owner)| *owner);
            match (entry.tag(), owner) {
                (gimli::DW_TAG_subprogram, _) => {
                    let function = self.ranges(dwarf, unit, entry, 1)?.first().map(|&(start, end)| {
                        self.functions.push(Function { start, end, children: Vec::new() });
                        Owner::Function(self.functions.len() - 1)
                    });
                    around.push((depth, function));
                }
                (gimli::DW_TAG_inlined_subroutine, Some(owner)) if around.len() < DEPTH => {
                    let name = name(dwarf, units, unit, entry)?.unwrap_or_default();
                    if !self.room.spend(name.len()) {
                        return Ok(());
                    }
                    let place = place(dwarf, unit, entry, (lines, &mut files))?;
                    let ranges = self.ranges(dwarf, unit, entry, usize::MAX)?;
                    let call = Call { name, place, ranges, children: Vec::new() };
                    let number = self.calls.len();
                    self.calls.push(call);
                    match owner {
                        Owner::Function(owner) => self.functions[owner].children.push(number),
                        Owner::Call(owner) => self.calls[owner].children.push(number),
                    }
                    around.push((depth, Some(Owner::Call(number))));
                }
                // What is in one that is passed over is so too.
                (gimli::DW_TAG_inlined_subroutine, _) => around.push((depth, None)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The addresses of an entry's code, `most` of them, but not those of code that
    /// a linker has removed, which it puts at 0.
    fn ranges(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        unit: &Unit<Slice<'a>>,
        entry: &Entry<'a>,
        most: usize,
    ) -> gimli::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        let mut ranges = dwarf.die_ranges(unit, entry)?;
        while let Some(range) = ranges.next()? {
            if found.len() == most || !self.room.spend(size_of::<(u64, u64)>()) {
                break;
            }
            if range.begin != 0 && range.begin < range.end {
                found.push((range.begin, range.end));
            }
        }
        Ok(found)
    }

    /// What was inlined into the function that has the code at an address.
    pub(super) fn at(&self, address: u64) -> &[usize] {
        let after = self.functions.partition_point(|function| function.start <= address);
        let function = after.checked_sub(1).and_then(|at| self.functions.get(at));
        function.filter(|function| address < function.end).map_or(&[], |function| &function.children)
    }

    /// Divides parts of code, each with its address, among the calls with these
    /// numbers; those that get none are left out.
    pub(super) fn divide<P: Copy>(
        &self,
        numbers: &[usize],
        parts: &[P],
        address: impl Fn(&P) -> u64,
    ) -> Vec<(&Call<'a>, &[usize], Vec<P>)> {
        let with_ranges = numbers.iter().enumerate();
        let mut ranges: Vec<(u64, u64, usize)> = with_ranges
            .flat_map(|(at, number)| self.calls[*number].ranges.iter().map(move |(start, end)| (*start, *end, at)))
            .collect();
        ranges.sort_unstable();
        let mut divided: Vec<Vec<P>> = numbers.iter().map(|_| Vec::new()).collect();
        for part in parts {
            let address = address(part);
            let after = ranges.partition_point(|(start, ..)| *start <= address);
            if let Some((_, end, at)) = after.checked_sub(1).and_then(|at| ranges.get(at))
                && address < *end
            {
                divided[*at].push(*part);
            }
        }
        let calls = numbers.iter().map(|number| &self.calls[*number]);
        let found = calls.zip(divided).filter(|(_, parts)| !parts.is_empty());
        found.map(|(call, parts)| (call, &call.children[..], parts)).collect()
    }
}

/// The name of an entry, or of the one that it refers to.
fn name<'a, 'units>(
    dwarf: &Dwarf<Slice<'a>>,
    units: &'units [Unit<Slice<'a>>],
    mut unit: &'units Unit<Slice<'a>>,
    entry: &Entry<'a>,
) -> gimli::Result<Option<&'a [u8]>> {
    // They are in the order of their offsets.
    let unit_of = |offset: gimli::DebugInfoOffset| {
        let after = units.partition_point(|unit| unit.header.debug_info_offset().is_some_and(|start| start <= offset));
        let unit = units.get(after.checked_sub(1)?)?;
        Some((unit, offset.to_unit_offset(&unit.header)?))
    };
    let mut entry = entry.clone();
    for _ in 0..HOPS {
        for attribute in [gimli::DW_AT_linkage_name, gimli::DW_AT_name] {
            if let Some(value) = entry.attr_value(attribute) {
                return Ok(Some(dwarf.attr_string(unit, value)?.slice()));
            }
        }
        let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
        let next: Option<(_, UnitOffset)> = match origin.or_else(|| entry.attr_value(gimli::DW_AT_specification)) {
            Some(AttributeValue::UnitRef(offset)) => Some((unit, offset)),
            Some(AttributeValue::DebugInfoRef(offset)) => unit_of(offset),
            _ => None,
        };
        let Some((next, offset)) = next else { return Ok(None) };
        entry = next.entry(offset)?;
        unit = next;
    }
    Ok(None)
}

/// Where an inlined function is called. `files` are those of the unit that were
/// met before.
fn place<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    entry: &Entry<'a>,
    (lines, files): (&mut Lines, &mut HashMap<u64, Option<usize>>),
) -> gimli::Result<Option<Location>> {
    let number = |attribute| entry.attr_value(attribute).and_then(|value| value.udata_value());
    let file = match entry.attr_value(gimli::DW_AT_call_file) {
        Some(AttributeValue::FileIndex(file)) => file,
        other => match other.and_then(|value| value.udata_value()) {
            Some(file) => file,
            None => return Ok(None),
        },
    };
    let Some(program) = &unit.line_program else { return Ok(None) };
    let known = match files.get(&file) {
        Some(known) => *known,
        None => {
            let known = lines.file(dwarf, unit, program.header(), file)?;
            files.insert(file, known);
            known
        }
    };
    let Some(file) = known else { return Ok(None) };
    let line = number(gimli::DW_AT_call_line).unwrap_or(0);
    Ok(Some(Location { file, line, column: number(gimli::DW_AT_call_column).unwrap_or(0) }))
}
