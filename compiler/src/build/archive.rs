//! An object file as a static library, the form in which cargo takes object
//! files from build scripts.

use super::error::{Error, Result};
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
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
