//! ELF64: a shared object without dynamic section, relocations and imports.

use super::body::{self, ABSENT, Cursor, Strings, put};
use super::{Error, Image, Placement, SymbolKind, build_id, limit};
use object::LittleEndian;
use object::elf;
use object::write::elf::{Encoder, FileHeader, FileHeaderLayout, ProgramHeader, SectionHeader, Sym};
use wasmc_artifacts::abi::Arch;
use wasmc_artifacts::container::{ELF_ADDRESSES, ELF_SECTION, PT_WASMC};
use wasmc_artifacts::format::Span;

/// Bytes of a build id: as many as linkers write.
const BUILD_ID: usize = 20;

/// A note's three words, the name `GNU` with its zero, and the build id.
const NOTE: u64 = 12 + 4 + BUILD_ID as u64;

/// Index of `.text` in the section table, for symbols.
const TEXT_SECTION: u32 = 5;

/// Index of `.strtab`, for the symbol table.
const STRING_SECTION: u32 = 9;

fn encoder(arch: Arch) -> Encoder<LittleEndian> {
    Encoder::new(LittleEndian, true, machine(arch))
}

fn machine(arch: Arch) -> elf::Machine {
    match arch {
        Arch::X86_64 => elf::EM_X86_64,
        Arch::Aarch64 => elf::EM_AARCH64,
    }
}

pub(super) fn place(image: &Image<'_>) -> Result<Placement, Error> {
    let encoder = encoder(image.arch);
    let headers = encoder.file_header_size() + SEGMENTS * encoder.program_header_size();
    let mut cursor = Cursor::new(headers, i64::MAX as u64);
    let note = cursor.take("the build id", NOTE, 4)?;
    let mut placement = body::place(image, &mut cursor)?;
    let parts = &mut placement.parts;
    parts.note = note;
    if image.strip {
        placement.names = vec![(0, 0); image.symbols.len()];
    } else {
        let strings = Strings::new(image, "")?;
        let length = (1 + image.symbols.len() as u64) * encoder.sym_size();
        parts.symbols = cursor.take("the symbol table", length, 8)?;
        parts.strings = cursor.take("the table of names", strings.length, 1)?;
        placement.names = strings.names(image, "", parts.strings.offset)?;
    }
    for section in image.debug {
        parts.debug.push(cursor.take("the debug information", section.bytes.len() as u64, 1)?);
    }
    if !image.debug.is_empty() {
        limit("the debug information", cursor.end(), u64::from(u32::MAX))?;
        let count: usize = image.debug.iter().map(|section| section.text_addresses.len()).sum();
        parts.addresses = cursor.take("the list of addresses", 4 * count as u64, 4)?;
    }
    parts.end = cursor.end();
    Ok(placement)
}

pub(super) fn write(image: &Image<'_>, placement: &Placement, metadata: &[u8]) -> Vec<u8> {
    let encoder = encoder(image.arch);
    let parts = &placement.parts;
    let sections = Sections::new(image, placement);
    let section_table = (parts.end + sections.names.len() as u64).next_multiple_of(8);
    let mut out =
        Vec::with_capacity((section_table + sections.headers.len() as u64 * encoder.section_header_size()) as usize);
    write_headers(&mut out, image, placement, &sections, section_table);
    put(&mut out, parts.note.offset, &note(&build_id(image, metadata)));
    body::write(&mut out, image, placement, metadata);
    if !image.strip {
        write_symbols(&mut out, image, placement);
        Strings::write(&mut out, parts.strings.offset, image, "");
    }
    body::write_debug(&mut out, image, placement);
    write_addresses(&mut out, image, placement);
    put(&mut out, parts.end, &sections.names);
    put(&mut out, section_table, &[]);
    for header in &sections.headers {
        encoder.section_header(&mut out, header);
    }
    out
}

/// The number of program headers.
const SEGMENTS: u64 = 6;

fn segments(image: &Image<'_>, placement: &Placement) -> [ProgramHeader; SEGMENTS as usize] {
    let page = 1 << image.page_shift;
    let segment = |p_type, p_flags, span: Span, p_align| ProgramHeader {
        p_type: if span == ABSENT && p_type != elf::PT_GNU_STACK { elf::PT_NULL } else { p_type },
        p_flags,
        p_offset: span.offset,
        p_vaddr: span.offset,
        p_paddr: span.offset,
        p_filesz: span.length,
        p_memsz: span.length,
        p_align,
    };
    let eh_frame = placement.eh_frame;
    let metadata = Span { offset: placement.metadata, length: image.metadata_length as u64 };
    let read_only =
        Span { offset: 0, length: (metadata.offset + metadata.length).max(eh_frame.offset + eh_frame.length) };
    [
        segment(elf::PT_LOAD, elf::PF_R, read_only, page),
        segment(elf::PT_LOAD, elf::PF_R | elf::PF_X, placement.text, page),
        segment(elf::ProgramType(PT_WASMC), elf::PF_R, metadata, 16),
        segment(elf::PT_NOTE, elf::PF_R, placement.parts.note, 4),
        segment(elf::PT_GNU_EH_FRAME, elf::PF_R, placement.parts.search, 8),
        segment(elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, ABSENT, 16),
    ]
}

fn write_headers(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement, sections: &Sections, section_table: u64) {
    let encoder = encoder(image.arch);
    let header = FileHeader { e_type: elf::ET_DYN, e_machine: machine(image.arch), ..FileHeader::default() };
    let layout = FileHeaderLayout {
        e_phoff: encoder.file_header_size(),
        segment_num: SEGMENTS as u32,
        e_shoff: section_table,
        section_num: sections.headers.len() as u32,
        shstrtab_index: sections.headers.len() as u32 - 1,
    };
    let written = encoder.file_header(out, &header, &layout);
    debug_assert!(written.is_ok(), "an ELF header with so few sections and segments can be written");
    for segment in segments(image, placement) {
        encoder.program_header(out, &segment);
    }
}

/// The section table, its own section of names last.
struct Sections {
    headers: Vec<SectionHeader>,
    names: Vec<u8>,
}

impl Sections {
    fn new(image: &Image<'_>, placement: &Placement) -> Sections {
        let (parts, page) = (&placement.parts, 1 << image.page_shift);
        let metadata = Span { offset: placement.metadata, length: image.metadata_length as u64 };
        let code = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
        let mut this = Sections { headers: vec![SectionHeader::default()], names: vec![0] };
        let allocated = [
            (".note.gnu.build-id", elf::SHT_NOTE, elf::SHF_ALLOC, parts.note, 4),
            (ELF_SECTION, elf::SHT_PROGBITS, elf::SHF_ALLOC, metadata, 16),
            (".eh_frame_hdr", elf::SHT_PROGBITS, elf::SHF_ALLOC, parts.search, 8),
            (".eh_frame", elf::SHT_PROGBITS, elf::SHF_ALLOC, placement.eh_frame, 8),
            (".text", elf::SHT_PROGBITS, code, placement.text, page),
        ];
        for (name, sh_type, sh_flags, span, align) in allocated {
            let header = this.add(name, sh_type, span, align);
            (header.sh_flags, header.sh_addr) = (sh_flags, span.offset);
        }
        debug_assert_eq!(this.headers.len() as u32, TEXT_SECTION + 1);
        this.add(".wasmc.image", elf::SHT_PROGBITS, parts.images, page);
        this.add(".wasmc.data", elf::SHT_PROGBITS, parts.segments, 1);
        if !image.strip {
            let header = this.add(".symtab", elf::SHT_SYMTAB, parts.symbols, 8);
            header.sh_entsize = encoder(image.arch).sym_size();
            header.sh_link = STRING_SECTION;
            header.sh_info = 1 + image.symbols.len() as u32; // the first global symbol: none
            this.add(".strtab", elf::SHT_STRTAB, parts.strings, 1);
            debug_assert_eq!(this.headers.len() as u32, STRING_SECTION + 1);
        }
        for (section, span) in image.debug.iter().zip(&parts.debug) {
            this.add(section.name, elf::SHT_PROGBITS, *span, 1);
        }
        if !image.debug.is_empty() {
            this.add(ELF_ADDRESSES, elf::SHT_PROGBITS, parts.addresses, 4);
        }
        let names = Span { offset: parts.end, length: (this.names.len() + ".shstrtab\0".len()) as u64 };
        this.add(".shstrtab", elf::SHT_STRTAB, names, 1);
        this
    }

    fn add(&mut self, name: &str, sh_type: elf::SectionType, span: Span, align: u64) -> &mut SectionHeader {
        let sh_name = self.names.len() as u32;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        self.headers.push(SectionHeader {
            sh_name,
            sh_type,
            sh_offset: span.offset,
            sh_size: span.length,
            sh_addralign: align,
            ..SectionHeader::default()
        });
        let last = self.headers.len() - 1;
        &mut self.headers[last]
    }
}

fn note(build_id: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(NOTE as usize);
    for word in [4, BUILD_ID as u32, elf::NT_GNU_BUILD_ID.0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(b"GNU\0");
    out.extend_from_slice(&build_id[..BUILD_ID]);
    out
}

fn write_addresses(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement) {
    if image.debug.is_empty() {
        return;
    }
    put(out, placement.parts.addresses.offset, &[]);
    for (section, span) in image.debug.iter().zip(&placement.parts.debug) {
        for at in &section.text_addresses {
            out.extend_from_slice(&(span.offset as u32 + at).to_le_bytes());
        }
    }
}

/// All symbols are local: a debugger that looks up the host's `malloc` must
/// not find the guest's.
fn write_symbols(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement) {
    let encoder = encoder(image.arch);
    put(out, placement.parts.symbols.offset, &[]);
    encoder.null_symbol(out);
    for (symbol, (name, _)) in image.symbols.iter().zip(&placement.names) {
        let kind = match symbol.kind {
            SymbolKind::Function | SymbolKind::Stub => elf::STT_FUNC,
            SymbolKind::Data => elf::STT_OBJECT,
        };
        let symbol = Sym {
            section: Some(TEXT_SECTION),
            st_name: name.saturating_sub(placement.parts.strings.offset as u32),
            st_info: elf::SymbolInfo::new(elf::STB_LOCAL, kind),
            st_other: elf::SymbolOther::default(),
            st_shndx: elf::SymbolSection::default(),
            st_value: placement.text.offset + u64::from(symbol.offset),
            st_size: u64::from(symbol.size),
        };
        encoder.symbol(out, &symbol);
    }
}
