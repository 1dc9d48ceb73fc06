//! An object file as a static library, the form in which cargo takes object
//! files from build scripts.

use super::error::{Error, Result};
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::io::Cursor;
use wasmc_artifacts::abi::Os;

/// A static library with this object file as its only member, and an index of
/// its symbols. The bytes depend on nothing else.
pub(super) fn of(object: &[u8], name: &str, os: Os) -> Result<Vec<u8>> {
    let member = NewArchiveMember::new(object, &DEFAULT_OBJECT_READER, name.to_owned());
    let kind = match os {
        Os::Linux => ArchiveKind::Gnu,
        Os::Macos => ArchiveKind::Darwin,
    };
    let mut library = Cursor::new(Vec::new());
    write_archive_to_stream(&mut library, &[member], kind, false, None)
        .map_err(|error| Error::Archive(error.to_string()))?;
    Ok(library.into_inner())
}

/// The artifact in this object file, which is linked under `symbol`.
pub(super) fn artifact<'a>(object: &'a [u8], symbol: &str) -> Result<&'a [u8]> {
    let wrong = |what: &str| Error::Archive(format!("its object file has no {what}"));
    let file = object::File::parse(object).map_err(|error| Error::Archive(error.to_string()))?;
    // Apple's symbols begin with an underscore.
    let is_it = |name: &str| name.strip_prefix('_').unwrap_or(name) == symbol || name == symbol;
    let symbol = file.symbols().find(|s| s.is_definition() && s.name().is_ok_and(is_it));
    let symbol = symbol.ok_or_else(|| wrong("symbol for the artifact"))?;
    let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
    let section = section.ok_or_else(|| wrong("section for the artifact"))?;
    let data = section.data().map_err(|error| Error::Archive(error.to_string()))?;
    let start = usize::try_from(symbol.address() - section.address()).unwrap_or(usize::MAX);
    data.get(start..).ok_or_else(|| wrong("bytes for the artifact"))
}
