//! Finds the metadata in the file around it.
//!
//! This is not an object file reader: it reads the two or three fields that
//! lead to the metadata, and checks no more. In ELF that is a program header
//! of type [`PT_WASMC`], in Mach-O the section `__TEXT,__wasmc`.

use crate::error::FormatError;

/// Type of the program header that covers the metadata; in the range that ELF
/// leaves to operating systems.
pub const PT_WASMC: u32 = 0x6d73_6177;

/// Name of the metadata section in ELF.
pub const ELF_SECTION: &str = ".wasmc";

/// Name of the ELF section that lists, as 32-bit offsets in the file, where
/// debug sections have 64-bit addresses of code: a copy of the file that is to
/// be valid at another address needs them.
pub const ELF_ADDRESSES: &str = ".wasmc.addresses";

/// Names of the segment and the section of the metadata in Mach-O.
pub const MACHO_SECTION: (&str, &str) = ("__TEXT", "__wasmc");

const ELF_MAGIC: &[u8] = b"\x7fELF";
const MACHO_MAGIC: &[u8] = &0xfeed_facf_u32.to_le_bytes();
const LC_SEGMENT_64: u32 = 0x19;

/// The kind of file around the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// ELF64, little-endian.
    Elf,
    /// 64-bit Mach-O, little-endian.
    MachO,
}

impl Container {
    /// The kind of `file`, judged by its first bytes.
    pub fn of(file: &[u8]) -> Option<Container> {
        if file.starts_with(ELF_MAGIC) {
            Some(Container::Elf)
        } else if file.starts_with(MACHO_MAGIC) {
            Some(Container::MachO)
        } else {
            None
        }
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Container::Elf => "ELF",
            Container::MachO => "Mach-O",
        }
    }
}

fn number<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(file: &[u8], at: usize) -> Option<usize> {
    number(file, at).map(|b| usize::from(u16::from_le_bytes(b)))
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    number(file, at).map(u32::from_le_bytes)
}

fn long(file: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number(file, at).map(u64::from_le_bytes)?).ok()
}

/// Where the metadata begins in `file`.
///
/// # Errors
/// [`FormatError::NotAnArtifact`], [`NoMetadata`](FormatError::NoMetadata) or
/// [`Truncated`](FormatError::Truncated).
pub fn metadata_offset(file: &[u8]) -> Result<usize, FormatError> {
    let container = Container::of(file).ok_or_else(|| {
        FormatError::NotAnArtifact(match file.get(..4) {
            Some(b"\0asm") => "it is WebAssembly that has not been compiled yet",
            Some(_) => "it is neither an ELF nor a 64-bit Mach-O file",
            None => "it has fewer than four bytes",
        })
    })?;
    let found = match container {
        Container::Elf => elf(file),
        Container::MachO => macho(file),
    };
    match found {
        Some(Some(offset)) => Ok(offset),
        Some(None) => Err(FormatError::NoMetadata(container.name())),
        None => Err(FormatError::Truncated {
            what: "the file's own header",
            end: file.len() as u64 + 1,
            have: file.len() as u64,
        }),
    }
}

/// `None` where the file ends too early, `Some(None)` where it has no metadata.
fn elf(file: &[u8]) -> Option<Option<usize>> {
    let is_64_bit_little_endian = number::<2>(file, 4)? == [2, 1];
    if !is_64_bit_little_endian {
        return Some(None);
    }
    let (table, width, count) = (long(file, 0x20)?, half(file, 0x36)?, half(file, 0x38)?);
    for i in 0..count {
        let row = table.checked_add(i.checked_mul(width)?)?;
        if word(file, row)? == PT_WASMC {
            return Some(Some(long(file, row.checked_add(8)?)?));
        }
    }
    Some(None)
}

fn macho(file: &[u8]) -> Option<Option<usize>> {
    let commands = word(file, 16)?;
    let mut at = 32usize;
    for _ in 0..commands {
        let (kind, size) = (word(file, at)?, word(file, at + 4)? as usize);
        if kind == LC_SEGMENT_64 && padded_name(file, at + 8)? == MACHO_SECTION.0 {
            let sections = word(file, at + 64)?;
            for i in 0..sections as usize {
                let section = at.checked_add(72)?.checked_add(i.checked_mul(80)?)?;
                if padded_name(file, section)? == MACHO_SECTION.1 {
                    return Some(Some(word(file, section + 48)? as usize));
                }
            }
        }
        if size < 8 {
            return Some(None);
        }
        at = at.checked_add(size)?;
    }
    Some(None)
}

/// A name of up to 16 bytes, padded with zeros.
fn padded_name(file: &[u8], at: usize) -> Option<&str> {
    let bytes = file.get(at..at.checked_add(16)?)?;
    let length = bytes.iter().position(|b| *b == 0).unwrap_or(16);
    Some(std::str::from_utf8(bytes.get(..length)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused_by_kind() {
        assert!(
            matches!(metadata_offset(b"\0asm\x01\0\0\0"), Err(FormatError::NotAnArtifact(why)) if why.contains("WebAssembly"))
        );
        assert!(matches!(metadata_offset(b""), Err(FormatError::NotAnArtifact(_))));
        assert!(matches!(metadata_offset(b"\x7fELF"), Err(FormatError::Truncated { .. })));
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(metadata_offset(&elf), Err(FormatError::NoMetadata("ELF")));
        elf[0x38] = 9;
        elf[0x20..0x28].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(metadata_offset(&elf), Err(FormatError::Truncated { .. })));
    }
}
