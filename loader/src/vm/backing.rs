//! What an artifact's bytes and code are mapped from: the three ways to carry
//! an artifact.
//!
//! ```text
//!            bytes                  code                      memory images
//! Mapped     a view of the file     R-X over that view        views of the file
//! Embedded   data of this program   R-X, from its own file    views of its own file
//! Linked     code of this program   where it stands           views of its own file, or of a copy
//! ```

use super::of::Of;
use crate::parts;
use crate::sys::{self, Access, Damage, NotFound, Place, Region, Watch};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::{Artifact, Span};

/// What an artifact's bytes and code are mapped from.
#[derive(Debug)]
pub(super) enum Backing {
    /// A file of its own.
    Mapped {
        /// The whole file, read-only but for the text.
        _view: Mmap,
        file: File,
    },
    /// Data of an executable or a shared library.
    Embedded {
        /// The text, as soon as it is executable.
        text: Of<Option<Region>, { parts::EMBEDDED.is_on() }>,
        place: Of<Place, { parts::EMBEDDED.is_on() }>,
    },
    /// Code of an executable or a shared library.
    Linked(Of<Linked, { parts::EMBEDDED.is_on() }>),
}

/// Code of an executable or a shared library.
#[derive(Debug)]
pub(super) struct Linked {
    bytes: &'static [u8],
    /// What memory images are views of, as soon as one is wanted.
    images: OnceLock<Images>,
}

#[derive(Debug)]
enum Images {
    Own(Place),
    Copy(File),
}

impl Images {
    /// The program's own file, or a copy of the artifact in memory if that
    /// cannot be had.
    fn find(bytes: &'static [u8]) -> io::Result<Images> {
        locate(bytes).map(Images::Own).or_else(|reason| {
            log::warn!("memories of a linked artifact begin as views of a copy of it: {reason}");
            sys::anonymous_file(bytes).map(Images::Copy)
        })
    }

    fn file(&self) -> (&File, u64) {
        match self {
            Images::Own(place) => (place.file.file(), place.offset),
            Images::Copy(file) => (file, 0),
        }
    }
}

impl Linked {
    pub(super) fn new(bytes: &'static [u8]) -> Linked {
        Linked { bytes, images: OnceLock::new() }
    }

    /// A file with all bytes of the artifact, and where they begin in it.
    fn file(&self) -> io::Result<(&File, u64)> {
        if !parts::EMBEDDED.is_on() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some(images) = self.images.get() {
            return Ok(images.file());
        }
        let images = Images::find(self.bytes)?;
        // Another thread may have been faster.
        Ok(self.images.get_or_init(|| images).file())
    }
}

impl Backing {
    /// The file that has the artifact's bytes, and where they begin in it.
    pub(super) fn file(&self) -> io::Result<(&File, u64)> {
        match self {
            Backing::Mapped { file, .. } => Ok((file, 0)),
            Backing::Embedded { place, .. } => Ok((place.file.file(), place.offset)),
            Backing::Linked(linked) => linked.file(),
        }
    }

    /// As [`file`](Self::file), of a file that is open already.
    pub(super) fn opened(&self) -> Option<(&File, u64)> {
        match self {
            Backing::Linked(linked) => linked.images.get().map(Images::file),
            _ => self.file().ok(),
        }
    }

    /// Makes the code executable, which is `text` of the `bytes`, and returns
    /// where it is.
    pub(super) fn make_executable(&mut self, bytes: &'static [u8], text: Span) -> io::Result<*const u8> {
        let (start, length) = (text.offset as usize, (text.length as usize).next_multiple_of(sys::page_size()));
        let in_place = bytes.as_ptr().wrapping_add(start);
        match self {
            _ if length == 0 => Ok(in_place),
            Backing::Mapped { file, .. } => {
                // SAFETY: the overlay shows the same bytes of the same file, so
                // shared references into the range still see what they saw. The
                // artifact's check has seen that the text lies in the file,
                // whose view ends at a page boundary.
                unsafe { sys::overlay(in_place.cast_mut(), length, file, text.offset, Access::Execute) }?;
                Ok(in_place)
            }
            Backing::Embedded { text: mapped, place } => {
                let offset = place.offset + text.offset;
                let region = Region::view(length, place.file.file(), offset, Access::Execute)?;
                let start = region.start().as_ptr().cast_const();
                **mapped = Some(region);
                Ok(start)
            }
            Backing::Linked(_) => Ok(in_place),
        }
    }
}

/// Why an artifact that is part of this program cannot be used as such.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// It is in no file that the system has loaded.
    #[error(
        "the artifact is in no executable or shared library of this process, or not in the part that its file has; `Module::from_bytes` loads an artifact from anywhere"
    )]
    NoFile,
    /// It does not begin at a page.
    #[error(
        "the artifact is not aligned to pages of {page} bytes where it is; embed it with `include_artifact!`, and do not move it into another section"
    )]
    Misaligned {
        /// This machine's page size in bytes.
        page: usize,
    },
    /// The file of the executable or the shared library cannot be read.
    #[error(
        "cannot read {}, which the artifact is a part of; make the file readable, link the artifact as an object (`wasmc --emit obj`), or load it with `Module::from_bytes`",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not have the artifact where it was loaded from.
    #[error(
        "{} does not have the artifact where this process has it: the file was replaced or changed while the program runs, or unpacks itself when it starts; start the program anew, leave it unpacked, or load the artifact with `Module::from_bytes`",
        path.display()
    )]
    Different {
        /// The file.
        path: PathBuf,
    },
}

/// Finds an artifact in the file of the executable or the shared library that
/// it is a part of.
pub(super) fn locate(bytes: &'static [u8]) -> Result<Place, CarrierError> {
    let page = sys::page_size();
    if !bytes.as_ptr().addr().is_multiple_of(page) {
        return Err(CarrierError::Misaligned { page });
    }
    let place = sys::locate(bytes).map_err(|reason| match reason {
        NotFound::NoFile => CarrierError::NoFile,
        NotFound::Unreadable(path, source) => CarrierError::Unreadable { path, source },
        NotFound::Different(path) => CarrierError::Different { path },
    })?;
    if !place.offset.is_multiple_of(page as u64) {
        return Err(CarrierError::Misaligned { page });
    }
    Ok(place)
}

/// A linked artifact that was loaded before. It stays where it is for ever, so
/// it is checked once, and what happened to it must be known to whoever loads it
/// again.
struct Seen {
    artifact: Artifact<'static>,
    damage: Arc<Damage>,
    _watch: Watch,
}

/// A linked artifact and what is known of damage to it, for which it is watched
/// from the first time on.
pub(super) fn parse_linked(bytes: &'static [u8]) -> Result<(Artifact<'static>, Arc<Damage>), FormatError> {
    static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(seen) = seen.iter().find(|seen| std::ptr::eq(seen.artifact.file(), bytes)) {
        return Ok((seen.artifact, seen.damage.clone()));
    }
    let damage = Arc::<Damage>::default();
    let watch = Watch::new(super::code::pages(bytes), false, damage.clone());
    let artifact = Artifact::parse(bytes)?;
    seen.push(Seen { artifact, damage: damage.clone(), _watch: watch });
    Ok((artifact, damage))
}

/// What to call the file that carries an artifact which is part of this program.
pub(super) fn name(backing: &Backing) -> PathBuf {
    if !parts::EMBEDDED.is_on() {
        return PathBuf::new();
    }
    let place = match backing {
        Backing::Embedded { place, .. } => Some(&**place),
        Backing::Linked(linked) => match linked.images.get() {
            Some(Images::Own(place)) => Some(place),
            _ => None,
        },
        Backing::Mapped { .. } => None,
    };
    place.map_or_else(|| "in this program".into(), |place| place.file.path().into())
}
