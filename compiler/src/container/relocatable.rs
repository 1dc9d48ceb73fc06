//! A relocatable object that carries an artifact into a host program.
//!
//! The whole artifact, byte for byte, is one executable, never writable
//! section, aligned to the artifact's pages. Once the host is linked, its code
//! runs where it is, and everything in it is found as in a file that starts at
//! the first of these symbols:
//!
//! ```text
//! SYMBOL      first byte of the artifact (hidden: visible in the host's link only)
//! SYMBOL_end  the byte after the last one
//! ```
//!
//! The section is padded to whole pages, so that nothing else of the host shares
//! one with it.
//!
//! Beside them stand local symbols for all code, debug sections, and in ELF
//! unwind information, so that debuggers and profilers see wasm functions in
//! the host as they do in an artifact.

use super::macho::MINIMUM_MACOS;
use super::{DebugSection, Error, Image, Placement, Symbol, SymbolKind};
use object::write::{
    Error as WriteError, MachOBuildVersion, Object, Relocation, SectionId, StandardSection, Symbol as ObjectSymbol,
    SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind,
    SymbolFlags, SymbolKind as ObjectSymbolKind, SymbolScope,
};
use std::collections::HashMap;
use wasmc_artifacts::abi::{Arch, Os};
use wasmc_artifacts::container::Container;

/// Wraps `artifact`, which [`write`](super::write()) made from `image` and
/// `placement`, into an object file.
///
/// `symbol` is the name of the first byte's symbol ([`symbol_for`] makes one of
/// any name). `debug` are the debug sections, of which the artifact
/// itself should have none.
///
/// # Errors
/// [`Error::Object`] if the object cannot express it.
pub fn relocatable(
    image: &Image<'_>,
    placement: &Placement,
    artifact: &[u8],
    symbol: &str,
    debug: &[DebugSection],
) -> Result<Vec<u8>, Error> {
    let mut object = Builder::new(image, artifact);
    object.add_bounds(symbol, artifact.len() as u64);
    if !image.strip {
        for symbol in image.symbols.iter().filter(|symbol| !symbol.name.is_empty()) {
            object.add_symbol(symbol, placement.text.offset);
        }
    }
    let made = object.add_unwind(placement).and_then(|()| object.add_debug(debug, placement.text.offset));
    made.and_then(|()| object.object.write()).map_err(|error| Error::Object(error.to_string()))
}

/// The symbol that an object file for the module `name` has unless another one
/// is chosen: `wasmc_` and the name, in which `_` stands for what cannot be in an
/// identifier of C.
pub fn symbol_for(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("wasmc_{name}")
}

/// An object file for the image's target with nothing in it yet. In Mach-O it
/// does not allow the linker to move or drop the parts of a section.
fn empty(image: &Image<'_>) -> Object<'static> {
    let format = match image.container {
        Container::Elf => BinaryFormat::Elf,
        Container::MachO => BinaryFormat::MachO,
    };
    let architecture = match image.arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64,
    };
    let mut object = Object::new(format, architecture, Endianness::Little);
    if image.container == Container::Elf {
        // The host's stack need not be executable for our sake.
        object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Linker);
    }
    if image.container == Container::MachO && image.os == Os::Macos {
        let minimum = object::macho::Version::new(MINIMUM_MACOS, 0, 0);
        let mut version = MachOBuildVersion::default();
        (version.platform, version.minos, version.sdk) = (object::macho::PLATFORM_MACOS, minimum, minimum);
        object.set_macho_build_version(version);
    }
    object
}

struct Builder {
    object: Object<'static>,
    /// The section with the artifact.
    code: SectionId,
    /// Its symbol, to which all references are relative.
    start: SymbolId,
}

impl Builder {
    fn new(image: &Image<'_>, artifact: &[u8]) -> Builder {
        let mut object = empty(image);
        let (segment, name) = match object.format() {
            BinaryFormat::MachO => ("__TEXT", "__wasmc_code"),
            _ => ("", ".text.wasmc"),
        };
        let code = object.add_section(segment.into(), name.into(), SectionKind::Text);
        let mut bytes = artifact.to_vec();
        bytes.resize(bytes.len().next_multiple_of(1 << image.page_shift), 0);
        object.set_section_data(code, bytes, 1 << image.page_shift);
        let start = object.section_symbol(code);
        Builder { object, code, start }
    }

    fn symbol(&mut self, name: &str, value: u64, size: u64, kind: ObjectSymbolKind, scope: SymbolScope) {
        self.object.add_symbol(ObjectSymbol {
            name: name.into(),
            value,
            size,
            kind,
            scope,
            weak: false,
            section: SymbolSection::Section(self.code),
            flags: SymbolFlags::None,
        });
    }

    fn add_bounds(&mut self, symbol: &str, length: u64) {
        self.symbol(symbol, 0, length, ObjectSymbolKind::Data, SymbolScope::Linkage);
        self.symbol(&format!("{symbol}_end"), length, 0, ObjectSymbolKind::Data, SymbolScope::Linkage);
    }

    fn add_symbol(&mut self, symbol: &Symbol<'_>, text: u64) {
        let kind = match symbol.kind {
            SymbolKind::Function | SymbolKind::Stub => ObjectSymbolKind::Text,
            SymbolKind::Data => ObjectSymbolKind::Data,
        };
        let value = text + u64::from(symbol.offset);
        // The writer of objects insists on names without zeros.
        let name = symbol.name.replace('\0', "\u{fffd}");
        self.symbol(&name, value, symbol.size.into(), kind, SymbolScope::Compilation);
    }

    /// Adds unwind information, in ELF only: linkers for Mach-O want every
    /// function in a part of its section of its own, and tools there follow
    /// the frame pointers, which our code keeps.
    fn add_unwind(&mut self, placement: &Placement) -> Result<(), WriteError> {
        let (bytes, fields) = placement.parts.frames.unplaced();
        if fields.is_empty() || self.object.format() != BinaryFormat::Elf {
            return Ok(());
        }
        let section = self.object.section_id(StandardSection::EhFrame);
        self.object.set_section_data(section, bytes.to_vec(), 8);
        for (field, function) in fields {
            let addend = (placement.text.offset + u64::from(function)) as i64;
            let flags = generic(RelocationKind::Relative, 32);
            let relocation = Relocation { offset: field.into(), symbol: self.start, addend, flags };
            self.object.add_relocation(section, relocation)?;
        }
        Ok(())
    }

    fn add_debug(&mut self, debug: &[DebugSection], text: u64) -> Result<(), WriteError> {
        let elf = self.object.format() == BinaryFormat::Elf;
        let mut sections = HashMap::new();
        for content in debug {
            let (segment, name) =
                if elf { ("", content.name.to_owned()) } else { ("__DWARF", content.name.replacen('.', "__", 1)) };
            let section = self.object.add_section(segment.into(), name.into(), SectionKind::Debug);
            self.object.set_section_data(section, content.bytes.clone(), 1);
            sections.insert(content.name, section);
        }
        for content in debug {
            let section = sections[content.name];
            for at in &content.text_addresses {
                let addend = text as i64 + field(&content.bytes, *at, 8);
                let flags = generic(RelocationKind::Absolute, 64);
                let symbol = self.start;
                self.object.add_relocation(section, Relocation { offset: (*at).into(), symbol, addend, flags })?;
            }
            // Mach-O linkers leave debug sections alone, so offsets stay true.
            for (at, target) in content.section_offsets.iter().filter(|_| elf) {
                let Some(target) = sections.get(target) else { continue };
                let symbol = self.object.section_symbol(*target);
                let addend = field(&content.bytes, *at, 4);
                let flags = generic(RelocationKind::Absolute, 32);
                self.object.add_relocation(section, Relocation { offset: (*at).into(), symbol, addend, flags })?;
            }
        }
        Ok(())
    }
}

fn generic(kind: RelocationKind, size: u8) -> RelocationFlags {
    RelocationFlags::Generic { kind, encoding: RelocationEncoding::Generic, size }
}

/// The little-endian number of `width` bytes at `at`.
fn field(bytes: &[u8], at: u32, width: usize) -> i64 {
    let bytes = bytes.get(at as usize..).and_then(|rest| rest.get(..width)).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | i64::from(*byte))
}
