//! The file around the metadata, as `goblin` sees it.

use super::Error;
use goblin::elf::{self, Elf};
use goblin::mach::{self, MachO};
use wasmc_artifacts::container::Container;

/// What an ELF or Mach-O reader finds in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectView {
    /// The kind of file.
    pub container: Container,
    /// The machine it is for, as the file names it.
    pub machine: String,
    /// Parts that are mapped.
    pub segments: Vec<Segment>,
    /// Named parts.
    pub sections: Vec<Section>,
    /// Number of symbols.
    pub symbols: usize,
    /// Number of symbols that another file would have to define.
    pub undefined_symbols: usize,
    /// Number of relocations.
    pub relocations: usize,
    /// The build id (ELF) or UUID (Mach-O), in hexadecimal.
    pub build_id: Option<String>,
}

/// A part of a file that is mapped, or for other types than `LOAD` described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Type in ELF, name in Mach-O.
    pub name: String,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub size: u64,
    /// Virtual address.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// Whether it is mapped at all, rather than only described.
    pub mapped: bool,
    /// Whether it is readable.
    pub read: bool,
    /// Whether it is writable.
    pub write: bool,
    /// Whether it is executable.
    pub execute: bool,
}

/// A named part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name; in Mach-O with the segment's: `__TEXT,__text`.
    pub name: String,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Virtual address.
    pub address: u64,
    /// Whether it has bytes in the file.
    pub in_file: bool,
}

impl ObjectView {
    /// Reads the headers and tables of `file`.
    ///
    /// # Errors
    /// [`Error::Object`] if `goblin` cannot read it.
    pub fn read(file: &[u8]) -> Result<ObjectView, Error> {
        match Container::of(file) {
            Some(Container::Elf) => Elf::parse(file).map_err(refused).and_then(|elf| from_elf(&elf, file)),
            Some(Container::MachO) => MachO::parse(file, 0).map_err(refused).and_then(|macho| from_macho(&macho)),
            None => Err(Error::Object("it is neither ELF nor Mach-O".to_owned())),
        }
    }

    /// The section called `name`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Segments that are mapped.
    pub fn mapped(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.mapped)
    }
}

fn refused(error: goblin::error::Error) -> Error {
    Error::Object(error.to_string())
}

fn from_elf(elf: &Elf<'_>, file: &[u8]) -> Result<ObjectView, Error> {
    if !elf.is_64 || !elf.little_endian || elf.header.e_type != elf::header::ET_DYN {
        return Err(Error::Object("it is not a little-endian ELF64 shared object".to_owned()));
    }
    let segments = elf.program_headers.iter().map(|header| Segment {
        name: match header.p_type {
            wasmc_artifacts::container::PT_WASMC => "WASMC".to_owned(),
            kind => elf::program_header::pt_to_str(kind).trim_start_matches("PT_").to_owned(),
        },
        offset: header.p_offset,
        size: header.p_filesz,
        address: header.p_vaddr,
        memory_size: header.p_memsz,
        mapped: header.p_type == elf::program_header::PT_LOAD,
        read: header.is_read(),
        write: header.is_write(),
        execute: header.is_executable(),
    });
    let sections = elf.section_headers.iter().skip(1).map(|header| Section {
        name: elf.shdr_strtab.get_at(header.sh_name).unwrap_or("?").to_owned(),
        offset: header.sh_offset,
        size: header.sh_size,
        address: header.sh_addr,
        in_file: header.sh_type != elf::section_header::SHT_NOBITS,
    });
    let listed: usize = elf.shdr_relocs.iter().map(|(_, relocations)| relocations.len()).sum();
    let notes = elf.iter_note_headers(file).into_iter().flatten().filter_map(Result::ok);
    Ok(ObjectView {
        container: Container::Elf,
        machine: elf::header::machine_to_str(elf.header.e_machine).to_owned(),
        segments: segments.collect(),
        sections: sections.collect(),
        symbols: elf.syms.len().saturating_sub(1),
        undefined_symbols: elf.syms.iter().skip(1).filter(|symbol| symbol.st_shndx == 0).count(),
        relocations: listed + elf.dynrelas.len() + elf.dynrels.len() + elf.pltrelocs.len(),
        build_id: notes
            .filter(|note| note.name == "GNU" && note.n_type == elf::note::NT_GNU_BUILD_ID)
            .map(|note| hex(note.desc))
            .next(),
    })
}

fn from_macho(macho: &MachO<'_>) -> Result<ObjectView, Error> {
    let mut view = ObjectView {
        container: Container::MachO,
        machine: match macho.header.cputype() {
            mach::constants::cputype::CPU_TYPE_X86_64 => "X86_64".to_owned(),
            mach::constants::cputype::CPU_TYPE_ARM64 => "ARM64".to_owned(),
            other => format!("CPU type {other:#x}"),
        },
        segments: Vec::new(),
        sections: Vec::new(),
        symbols: 0,
        undefined_symbols: 0,
        relocations: 0,
        build_id: None,
    };
    for segment in &macho.segments {
        let name = segment.name().map_err(refused)?.to_owned();
        view.segments.push(Segment {
            name,
            offset: segment.fileoff,
            size: segment.filesize,
            address: segment.vmaddr,
            memory_size: segment.vmsize,
            mapped: true,
            read: segment.initprot & mach::constants::VM_PROT_READ != 0,
            write: segment.initprot & mach::constants::VM_PROT_WRITE != 0,
            execute: segment.initprot & mach::constants::VM_PROT_EXECUTE != 0,
        });
        for (section, _) in segment.sections().map_err(refused)? {
            view.relocations += section.nreloc as usize;
            view.sections.push(Section {
                name: format!("{},{}", section.segname().map_err(refused)?, section.name().map_err(refused)?),
                offset: u64::from(section.offset),
                size: section.size,
                address: section.addr,
                in_file: section.flags & mach::constants::SECTION_TYPE != mach::constants::S_ZEROFILL,
            });
        }
    }
    for symbol in macho.symbols() {
        let (_, symbol) = symbol.map_err(refused)?;
        view.symbols += 1;
        view.undefined_symbols += usize::from(symbol.is_undefined());
    }
    view.build_id = macho.load_commands.iter().find_map(|command| match &command.command {
        mach::load_command::CommandVariant::Uuid(uuid) => Some(hex(&uuid.uuid)),
        _ => None,
    });
    Ok(view)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
