//! 64-bit Mach-O: a dylib that imports nothing.
//!
//! ```text
//! __TEXT (R-X)   load commands, __wasmc, __eh_frame, __text
//! __WASMC (R)    __image, __data
//! __DWARF (R)    debug sections, if any
//! __LINKEDIT (R) symbols, strings
//! ```

use super::body::{self, Cursor, Strings, put};
use super::{DebugSection, Error, Image, Placement, build_id};
use object::LittleEndian;
use object::macho;
use object::write::macho::{
    BuildVersionCommand, DylibCommand, DysymtabCommand, Encoder, MachHeader, Nlist, SectionHeader, SegmentCommand,
    SymtabCommand,
};
use wasmc_artifacts::abi::{Arch, Os};
use wasmc_artifacts::container::MACHO_SECTION;
use wasmc_artifacts::format::Span;

/// What Mach-O puts before every name of C, and therefore its tools remove.
const PREFIX: &str = "_";

/// A dylib must have a name to be installed under.
const INSTALL_NAME: &str = "@rpath/module.cwasm";

/// The first macOS that runs on both architectures.
pub(super) const MINIMUM_MACOS: u16 = 11;

/// Number of `__text` among all sections, counted from 1.
const TEXT_SECTION: u8 = 3;

const ENCODER: fn() -> Encoder<LittleEndian> = || Encoder::new(LittleEndian, true);

/// A segment: its name, where it is, its protection and its sections.
struct Segment {
    name: &'static str,
    span: Span,
    protection: macho::VmProt,
    sections: Vec<Section>,
}

struct Section {
    name: String,
    span: Span,
    /// Base-2 logarithm.
    align: u32,
    flags: macho::SectionFlags,
}

pub(super) fn place(image: &Image<'_>) -> Result<Placement, Error> {
    let page = 1 << image.page_shift;
    let mut cursor = Cursor::new(commands_length(image) + ENCODER().mach_header_size(), u64::from(u32::MAX));
    let mut placement = body::place(image, &mut cursor)?;
    let parts = &mut placement.parts;
    cursor.align("the debug information", page)?;
    for section in image.debug {
        parts.debug.push(cursor.take("the debug information", section.bytes.len() as u64, 1)?);
    }
    let linkedit = cursor.align("the symbol table", page)?;
    (parts.symbols.offset, parts.strings.offset) = (linkedit, linkedit);
    if image.strip {
        placement.names = vec![(0, 0); image.symbols.len()];
    } else {
        let strings = Strings::new(image, PREFIX)?;
        let length = image.symbols.len() as u64 * ENCODER().nlist_size();
        parts.symbols = cursor.take("the symbol table", length, 8)?;
        parts.strings = cursor.take("the table of names", strings.length, 1)?;
        placement.names = strings.names(image, PREFIX, parts.strings.offset)?;
    }
    parts.end = cursor.end();
    Ok(placement)
}

pub(super) fn write(image: &Image<'_>, placement: &Placement, metadata: &[u8]) -> Vec<u8> {
    let parts = &placement.parts;
    let mut out = Vec::with_capacity(parts.end as usize);
    write_header(&mut out, image);
    for segment in segments(image, placement) {
        write_segment(&mut out, &segment);
    }
    write_commands(&mut out, image, placement, &build_id(image, metadata));
    debug_assert_eq!(out.len() as u64, commands_length(image) + ENCODER().mach_header_size());
    body::write(&mut out, image, placement, metadata);
    body::write_debug(&mut out, image, placement);
    put(&mut out, parts.symbols.offset, &[]);
    if !image.strip {
        write_symbols(&mut out, image, placement);
        Strings::write(&mut out, parts.strings.offset, image, PREFIX);
    }
    out
}

fn write_header(out: &mut Vec<u8>, image: &Image<'_>) {
    let (cputype, cpusubtype) = match image.arch {
        Arch::X86_64 => (macho::CPU_TYPE_X86_64, macho::CPU_SUBTYPE_X86_64_ALL),
        Arch::Aarch64 => (macho::CPU_TYPE_ARM64, macho::CPU_SUBTYPE_ARM64_ALL),
    };
    let header = MachHeader {
        cputype,
        cpusubtype: cpusubtype.into(),
        filetype: macho::MH_DYLIB,
        ncmds: command_count(image),
        sizeofcmds: commands_length(image) as u32,
        flags: macho::MH_NOUNDEFS | macho::MH_DYLDLINK | macho::MH_TWOLEVEL | macho::MH_NO_REEXPORTED_DYLIBS,
    };
    ENCODER().mach_header(out, &header);
}

/// The segments in the order of the file, which has them at the address that
/// is their offset.
fn segments(image: &Image<'_>, placement: &Placement) -> Vec<Segment> {
    let (parts, page) = (&placement.parts, u32::from(image.page_shift));
    let (read, none) = (macho::VM_PROT_READ, macho::SectionFlags::default());
    let metadata = Span { offset: placement.metadata, length: image.metadata_length as u64 };
    let code = macho::S_ATTR_PURE_INSTRUCTIONS | macho::S_ATTR_SOME_INSTRUCTIONS;
    let section = |name: &str, span, align, flags| Section { name: name.to_owned(), span, align, flags };
    let until = |from: u64, to: u64| Span { offset: from, length: to - from };
    let debug_at = parts.debug.first().map_or(parts.symbols.offset, |first| first.offset);
    let mut segments = vec![
        Segment {
            name: MACHO_SECTION.0,
            span: until(0, parts.images.offset),
            protection: read | macho::VM_PROT_EXECUTE,
            sections: vec![
                section(MACHO_SECTION.1, metadata, 4, none),
                section("__eh_frame", placement.eh_frame, 3, none),
                section("__text", placement.text, page, code),
            ],
        },
        Segment {
            name: "__WASMC",
            span: until(parts.images.offset, debug_at),
            protection: read,
            sections: vec![section("__image", parts.images, page, none), section("__data", parts.segments, 0, none)],
        },
    ];
    if !image.debug.is_empty() {
        let debug = image.debug.iter().zip(&parts.debug);
        segments.push(Segment {
            name: "__DWARF",
            span: until(debug_at, parts.symbols.offset),
            protection: read,
            sections: debug.map(|(it, span)| section(&debug_name(it), *span, 0, macho::S_ATTR_DEBUG)).collect(),
        });
    }
    let linkedit = until(parts.symbols.offset, parts.end);
    segments.push(Segment { name: "__LINKEDIT", span: linkedit, protection: read, sections: Vec::new() });
    segments
}

/// `.debug_line` is `__debug_line` here.
fn debug_name(section: &DebugSection) -> String {
    format!("__{}", section.name.trim_start_matches('.'))
}

fn write_segment(out: &mut Vec<u8>, segment: &Segment) {
    let command = SegmentCommand {
        segname: padded(segment.name),
        vmaddr: segment.span.offset,
        vmsize: segment.span.length,
        fileoff: segment.span.offset,
        filesize: segment.span.length,
        maxprot: segment.protection,
        initprot: segment.protection,
        nsects: segment.sections.len() as u32,
        flags: macho::SegmentFlags::default(),
    };
    ENCODER().segment_command(out, &command);
    for section in &segment.sections {
        let header = SectionHeader {
            sectname: padded(&section.name),
            segname: padded(segment.name),
            addr: section.span.offset,
            size: section.span.length,
            offset: section.span.offset as u32,
            align: section.align,
            reloff: 0,
            nreloc: 0,
            flags: section.flags,
            reserved1: 0,
            reserved2: 0,
            reserved3: 0,
        };
        ENCODER().section_header(out, &header);
    }
}

/// A name in a field of 16 bytes, cut off where it is longer.
fn padded(name: &str) -> [u8; 16] {
    let mut field = [0; 16];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    field
}

/// Bytes of the UUID command.
const UUID_COMMAND: u64 = 24;

/// The number of load commands that [`commands_length`] measures.
fn command_count(image: &Image<'_>) -> u32 {
    7 + u32::from(!image.debug.is_empty()) + u32::from(image.os == Os::Macos)
}

/// Bytes of all load commands.
fn commands_length(image: &Image<'_>) -> u64 {
    let encoder = ENCODER();
    let dwarf = if image.debug.is_empty() { 0 } else { encoder.segment_command_size(image.debug.len() as u32) };
    let version = if image.os == Os::Macos { encoder.build_version_command_size(0) } else { 0 };
    encoder.segment_command_size(3)
        + encoder.segment_command_size(2)
        + dwarf
        + encoder.segment_command_size(0)
        + encoder.dylib_command_size(INSTALL_NAME.len())
        + encoder.symtab_command_size()
        + encoder.dysymtab_command_size()
        + UUID_COMMAND
        + version
}

fn write_commands(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement, build_id: &[u8; 32]) {
    let (encoder, parts) = (ENCODER(), &placement.parts);
    let count = if image.strip { 0 } else { image.symbols.len() as u32 };
    encoder.dylib_command(
        out,
        &DylibCommand {
            cmd: macho::LC_ID_DYLIB,
            name: INSTALL_NAME.as_bytes(),
            timestamp: 1,
            current_version: macho::Version::new(1, 0, 0),
            compatibility_version: macho::Version::new(1, 0, 0),
        },
    );
    encoder.symtab_command(
        out,
        &SymtabCommand {
            symoff: parts.symbols.offset as u32,
            nsyms: count,
            stroff: parts.strings.offset as u32,
            strsize: parts.strings.length as u32,
        },
    );
    let local = DysymtabCommand { nlocalsym: count, iextdefsym: count, iundefsym: count, ..Default::default() };
    encoder.dysymtab_command(out, &local);
    encoder.load_command(out, macho::LC_UUID, &uuid(build_id));
    if image.os == Os::Macos {
        let minimum = macho::Version::new(MINIMUM_MACOS, 0, 0);
        let platform = macho::PLATFORM_MACOS;
        encoder.build_version_command(out, &BuildVersionCommand { platform, minos: minimum, sdk: minimum, ntools: 0 });
    }
}

/// The build id as a UUID of version 8, the one for bits of one's own.
fn uuid(build_id: &[u8; 32]) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&build_id[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

fn write_symbols(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement) {
    put(out, placement.parts.symbols.offset, &[]);
    for (symbol, (name, length)) in image.symbols.iter().zip(&placement.names) {
        let in_table = name.saturating_sub(placement.parts.strings.offset as u32 + PREFIX.len() as u32);
        let symbol = Nlist {
            n_strx: if *length == 0 { 0 } else { in_table },
            n_type: macho::N_SECT.into(),
            n_sect: TEXT_SECTION,
            n_desc: macho::SymbolDesc::default(),
            n_value: placement.text.offset + u64::from(symbol.offset),
        };
        ENCODER().nlist(out, &symbol);
    }
}
