//! Checks an artifact from both sides.

use super::{Error, ObjectView};
use wasmc_artifacts::abi::Arch;
use wasmc_artifacts::container::{Container, ELF_SECTION, MACHO_SECTION};
use wasmc_artifacts::format::Artifact;

/// Checks everything that can be checked without running the code: every
/// table of the metadata, the content hash, and that the file around them is
/// one that other tools read in the same way, that maps nothing both writable
/// and executable, and that needs no relocation and no other file's symbols.
///
/// # Errors
/// [`Error`], with the first thing found wrong.
pub fn verify(file: &[u8]) -> Result<(), Error> {
    let artifact = Artifact::parse(file)?;
    artifact.verify()?;
    let view = ObjectView::read(file)?;
    metadata_is_a_section(&artifact, &view)?;
    text_is_mapped(&artifact, &view)?;
    nothing_is_left_to_link(&view)
}

fn agree(condition: bool, problem: impl FnOnce() -> String) -> Result<(), Error> {
    if condition { Ok(()) } else { Err(Error::Disagree(problem())) }
}

fn metadata_is_a_section(artifact: &Artifact<'_>, view: &ObjectView) -> Result<(), Error> {
    let name = match view.container {
        Container::Elf => ELF_SECTION.to_owned(),
        Container::MachO => format!("{},{}", MACHO_SECTION.0, MACHO_SECTION.1),
    };
    let section = view.section(&name).ok_or_else(|| Error::Disagree(format!("there is no section `{name}`")))?;
    let (at, length) = (artifact.metadata_offset() as u64, u64::from(artifact.header().metadata_length));
    agree(section.offset == at && section.size == length, || {
        format!("`{name}` is {} bytes at {:#x}, the metadata {length} bytes at {at:#x}", section.size, section.offset)
    })?;
    let machine = match Arch::from_code(artifact.header().arch) {
        Some(Arch::X86_64) => ["X86_64"].as_slice(),
        Some(Arch::Aarch64) => &["AARCH64", "ARM64"],
        None => &[],
    };
    agree(machine.contains(&view.machine.as_str()), || {
        format!("the file is for {}, the header says architecture {}", view.machine, artifact.header().arch)
    })
}

fn text_is_mapped(artifact: &Artifact<'_>, view: &ObjectView) -> Result<(), Error> {
    let text = artifact.header().text;
    let length = artifact.file().len() as u64;
    let end = text.end().unwrap_or(u64::MAX);
    let mut executable = text.length == 0;
    for segment in &view.segments {
        let name = &segment.name;
        agree(segment.offset.checked_add(segment.size).is_some_and(|end| end <= length), || {
            format!("segment {name} ends beyond the file")
        })?;
        agree(!(segment.mapped && segment.write && segment.execute), || {
            format!("segment {name} is writable and executable")
        })?;
        let covers = segment.mapped
            && segment.execute
            && segment.offset <= text.offset
            && segment.offset.saturating_add(segment.size) >= end;
        executable |= covers;
        agree(!covers || segment.offset == segment.address, || {
            format!("segment {name} has code at an address other than its offset in the file")
        })?;
    }
    for section in view.sections.iter().filter(|section| section.in_file) {
        agree(section.offset.checked_add(section.size).is_some_and(|end| end <= length), || {
            format!("section `{}` ends beyond the file", section.name)
        })?;
    }
    agree(executable, || format!("the code at {:#x} to {end:#x} is in no executable segment", text.offset))
}

fn nothing_is_left_to_link(view: &ObjectView) -> Result<(), Error> {
    agree(view.relocations == 0, || format!("there are {} relocations", view.relocations))?;
    agree(view.undefined_symbols == 0, || format!("there are {} undefined symbols", view.undefined_symbols))
}
