//! Lets a debugger see the functions of a loaded module.
//!
//! An artifact is an ELF file whose addresses begin at 0. What the debugger is
//! given is a copy in which they are those of the mapped text, so that it need
//! not know where the file is. Costs a copy of the file, so only who asks for
//! it gets it.

use crate::sys;
use crate::vm::code::Code;
use wasmc_artifacts::container::ELF_ADDRESSES;

const SHT_SYMTAB: u32 = 2;
const SHF_ALLOC: u64 = 2;
const SECTION_WIDTH: usize = 64;
const SYMBOL_WIDTH: usize = 24;

/// Tells debuggers about `code` until the result is dropped; `None` where
/// they could not understand it, or have symbols of it already.
pub(crate) fn announce(code: &Code) -> Option<sys::Announced> {
    if code.is_linked() {
        return None;
    }
    let artifact = code.artifact();
    let base = (code.text().start as u64).checked_sub(artifact.header().text.offset)?;
    Some(sys::Announced::new(symbol_file(artifact.file(), base)?))
}

/// A file under change. All access is checked: the file may be damaged.
struct Bytes(Vec<u8>);

impl Bytes {
    fn number<const N: usize>(&self, at: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.0.get(at..at.checked_add(N)?)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number::<8>(at)?).ok()
    }

    /// Adds `distance` to the 64-bit number at `at`.
    fn shift(&mut self, at: usize, distance: u64) -> Option<()> {
        let moved = self.number::<8>(at)?.wrapping_add(distance);
        self.0.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&moved.to_le_bytes());
        Some(())
    }
}

/// A section's header, as far as it matters here.
struct Section {
    header: usize,
    name: usize,
    kind: u32,
    flags: u64,
    start: usize,
    length: usize,
}

/// `file` as if it had been linked to be mapped at `base`. `None` if it is not
/// ELF, or not intact.
fn symbol_file(file: &[u8], base: u64) -> Option<Box<[u8]>> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let mut bytes = Bytes(file.to_vec());
    let sections = sections(&bytes)?;
    let names = sections.get(bytes.number::<2>(0x3e)? as usize)?.start;
    for section in &sections {
        if section.flags & SHF_ALLOC != 0 {
            bytes.shift(section.header + 16, base)?;
        }
        if section.kind == SHT_SYMTAB {
            let end = section.start.checked_add(section.length)?;
            for symbol in (section.start..end).step_by(SYMBOL_WIDTH).skip(1) {
                bytes.shift(symbol + 8, base)?;
            }
        }
        if file.get(names.checked_add(section.name)?..)?.starts_with(ELF_ADDRESSES.as_bytes()) {
            let list = file.get(section.start..section.start.checked_add(section.length)?)?;
            for place in list.chunks_exact(4) {
                bytes.shift(u32::from_le_bytes(place.try_into().ok()?) as usize, base)?;
            }
        }
    }
    // Without program headers the sections alone say where things are.
    bytes.0.get_mut(0x20..0x28)?.fill(0);
    bytes.0.get_mut(0x38..0x3a)?.fill(0);
    Some(bytes.0.into_boxed_slice())
}

fn sections(bytes: &Bytes) -> Option<Vec<Section>> {
    let (table, count) = (bytes.offset(0x28)?, bytes.number::<2>(0x3c)? as usize);
    let section = |number: usize| {
        let header = table.checked_add(number * SECTION_WIDTH)?;
        Some(Section {
            header,
            name: bytes.number::<4>(header)? as usize,
            kind: bytes.number::<4>(header + 4)? as u32,
            flags: bytes.number::<8>(header + 8)?,
            start: bytes.offset(header + 24)?,
            length: bytes.offset(header + 32)?,
        })
    };
    (0..count).map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first `cut` bytes of a file with a `.text` at 0x1000, one function
    /// in it, and one address in a debug section.
    fn file(cut: usize) -> Vec<u8> {
        let names = b"\0.text\0.symtab\0.wasmc.addresses\0.names\0";
        let mut file = vec![0; 0x400];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |at: usize, number: u64, width: usize| {
            file[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        };
        for (at, number, width) in [(0x20, 64, 8), (0x28, 0x100, 8), (0x38, 1, 2), (0x3c, 5, 2), (0x3e, 4, 2)] {
            put(at, number, width);
        }
        // name, kind, flags, address, start, length
        let sections =
            [[1, 1, 2, 0x1000, 0, 0], [7, 2, 0, 0, 0x300, 48], [15, 1, 0, 0, 0x340, 4], [32, 3, 0, 0, 0x350, 40]];
        for (number, section) in sections.into_iter().enumerate() {
            let header = 0x140 + number * 64;
            for ((at, width), value) in [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8)].into_iter().zip(section) {
                put(header + at, value, width);
            }
        }
        put(0x300 + 24 + 8, 0x1010, 8);
        put(0x340, 0x390, 4);
        put(0x390, 0x1020, 8);
        file[0x350..0x350 + names.len()].copy_from_slice(names);
        file.truncate(cut);
        file
    }

    #[test]
    fn sections_symbols_and_listed_addresses_move_and_nothing_else_does() {
        let original = file(0x400);
        let moved = Bytes(symbol_file(&original, 0x7000_0000).unwrap().into_vec());
        assert_eq!(moved.number::<8>(0x140 + 16), Some(0x7000_1000), "the address of .text");
        assert_eq!(moved.number::<8>(0x180 + 16), Some(0), "the address of a section that is not mapped");
        assert_eq!(moved.number::<8>(0x300 + 8), Some(0), "the symbol that stands for none");
        assert_eq!(moved.number::<8>(0x300 + 24 + 8), Some(0x7000_1010), "a function");
        assert_eq!(moved.number::<8>(0x390), Some(0x7000_1020), "an address in a debug section");
        assert_eq!(moved.number::<2>(0x38), Some(0), "no program headers are left");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        for cut in 0..0x398 {
            assert!(symbol_file(&file(cut), 1).is_none(), "a file of {cut} bytes");
        }
        assert!(symbol_file(b"\xcf\xfa\xed\xfe and so on", 1).is_none(), "Mach-O");
    }
}
