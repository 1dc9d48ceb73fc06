//! Functions that the guest's compiler has inlined, and where.
//!
//! Its debug information lists them below the function that they are in, with
//! addresses in the wasm file. What becomes of each of these is known for every
//! instruction, so the native code of an inlined function may be in several
//! parts.

use super::guest::{Lines, Location, Slice};
use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, Reader as _, Unit, UnitOffset};

/// How far names are followed from one entry to another.
const HOPS: usize = 8;

type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// A function that was inlined somewhere.
#[derive(Debug)]
pub(super) struct Call {
    /// As the linker would know it.
    pub(super) name: Vec<u8>,
    /// Where it is called.
    pub(super) place: Option<Location>,
    /// Addresses of its code, as the guest counts them.
    ranges: Vec<(u64, u64)>,
    /// Numbers of what was inlined into it.
    children: Vec<usize>,
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
pub(super) struct Inlined {
    functions: Vec<Function>,
    calls: Vec<Call>,
}

impl Inlined {
    /// Reads what units say; files of places go to `lines`. What is malformed
    /// ends its unit.
    pub(super) fn read<'a>(dwarf: &Dwarf<Slice<'a>>, units: &[Unit<Slice<'a>>], lines: &mut Lines) -> Inlined {
        let mut inlined = Inlined::default();
        for unit in units {
            let _ = inlined.read_unit(dwarf, units, unit, lines);
        }
        inlined.functions.sort_by_key(|function| (function.start, function.end));
        inlined
    }

    fn read_unit<'a, 'units>(
        &mut self,
        dwarf: &Dwarf<Slice<'a>>,
        units: &'units [Unit<Slice<'a>>],
        unit: &'units Unit<Slice<'a>>,
        lines: &mut Lines,
    ) -> gimli::Result<()> {
        let mut entries = unit.entries();
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
                    let range = ranges(dwarf, unit, entry)?.first().copied();
                    let function = range.map(|(start, end)| {
                        self.functions.push(Function { start, end, children: Vec::new() });
                        Owner::Function(self.functions.len() - 1)
                    });
                    around.push((depth, function));
                }
                (gimli::DW_TAG_inlined_subroutine, Some(owner)) => {
                    let call = Call {
                        name: name(dwarf, units, unit, entry)?.unwrap_or_default(),
                        place: place(dwarf, unit, entry, lines)?,
                        ranges: ranges(dwarf, unit, entry)?,
                        children: Vec::new(),
                    };
                    let number = self.calls.len();
                    self.calls.push(call);
                    match owner {
                        Owner::Function(owner) => self.functions[owner].children.push(number),
                        Owner::Call(owner) => self.calls[owner].children.push(number),
                    }
                    around.push((depth, Some(Owner::Call(number))));
                }
                _ => {}
            }
        }
        Ok(())
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
    ) -> Vec<(&Call, &[usize], Vec<P>)> {
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

/// The addresses of an entry's code, but not those of code that a linker has
/// removed, which it puts at 0.
fn ranges<'a>(dwarf: &Dwarf<Slice<'a>>, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> gimli::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut ranges = dwarf.die_ranges(unit, entry)?;
    while let Some(range) = ranges.next()? {
        if range.begin != 0 && range.begin < range.end {
            found.push((range.begin, range.end));
        }
    }
    Ok(found)
}

/// The name of an entry, or of the one that it refers to.
fn name<'a, 'units>(
    dwarf: &Dwarf<Slice<'a>>,
    units: &'units [Unit<Slice<'a>>],
    mut unit: &'units Unit<Slice<'a>>,
    entry: &Entry<'a>,
) -> gimli::Result<Option<Vec<u8>>> {
    let unit_of = |offset: gimli::DebugInfoOffset| {
        units.iter().find_map(|unit| Some((unit, offset.to_unit_offset(&unit.header)?)))
    };
    let mut entry = entry.clone();
    for _ in 0..HOPS {
        for attribute in [gimli::DW_AT_linkage_name, gimli::DW_AT_name] {
            if let Some(value) = entry.attr_value(attribute) {
                return Ok(Some(dwarf.attr_string(unit, value)?.to_slice()?.into_owned()));
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

/// Where an inlined function is called.
fn place<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    entry: &Entry<'a>,
    lines: &mut Lines,
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
    let Some(file) = lines.file(dwarf, unit, program.header(), file)? else { return Ok(None) };
    let line = number(gimli::DW_AT_call_line).unwrap_or(0);
    Ok(Some(Location { file, line, column: number(gimli::DW_AT_call_column).unwrap_or(0) }))
}
