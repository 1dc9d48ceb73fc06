//! A mapped artifact: its bytes readable, its text executable, nothing of it
//! ever writable.

use super::backing::{self, Backing, CarrierError, Linked};
use super::of::Of;
use crate::parts;
use crate::sys::{self, Damage, Region, Watch};
use memmap2::MmapOptions;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::Artifact;

/// Where an artifact's bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file that others may change while it is mapped.
    Path(PathBuf),
    /// One that nobody can change, or nobody else has.
    Unchangeable,
    /// A part of this program.
    Program,
}

/// Whether views of files are watched at all: those of a program's own are if
/// there can be any.
pub(super) const WATCHES: bool = parts::TRUNCATION.is_on() || parts::EMBEDDED.is_on();

/// An artifact in memory and the file it came from.
#[derive(Debug)]
pub(crate) struct Code {
    /// Borrows from what `backing` has; see `artifact`.
    artifact: Artifact<'static>,
    /// Where the text is executable; null before it is.
    text: *const u8,
    /// Before `backing`, whose bytes must exist as long as they are watched.
    watch: Of<Option<Watch>, WATCHES>,
    /// Only for what others may change.
    damage: Of<Option<Arc<Damage>>, WATCHES>,
    source: Source,
    backing: Backing,
    /// The text, if it is a copy.
    copy: Option<Region>,
}

// SAFETY: `text` is an address in what `backing` or `copy` has, which does not
// change.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

/// The addresses of all pages with some of `bytes`.
pub(super) fn pages(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr() as usize;
    start..(start + bytes.len()).next_multiple_of(sys::page_size())
}

/// An artifact's file got shorter, or became unreadable, while it was mapped.
///
/// Nothing can be instantiated from the module any more, and its code ends
/// with [`Trap::ArtifactLost`](crate::Trap::ArtifactLost).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the artifact {} was truncated, or could not be read, while it was mapped; load it again. To replace an artifact, write a new file and rename it; `Config::sealed_artifacts` protects from changes",
    path.display()
)]
pub struct DamagedError {
    path: Box<Path>,
}

impl DamagedError {
    #[cold]
    fn new(source: &Source, backing: &Backing) -> DamagedError {
        let path = match source {
            Source::Path(path) => path.clone(),
            Source::Unchangeable | Source::Program => backing::name(backing),
        };
        DamagedError { path: path.into() }
    }

    /// The artifact's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Why a file could not be mapped as code.
pub(crate) enum CodeError {
    /// The system refuses.
    System(io::Error),
    /// It is no artifact, or a damaged one.
    Format(FormatError),
    /// It was damaged just now.
    Damaged(DamagedError),
    /// It is not where it can be mapped from.
    Carrier(CarrierError),
}

impl Code {
    /// Maps `file` and checks its metadata; the text is not executable yet.
    ///
    /// # Safety
    /// Nobody changes the file while the value exists. If it gets shorter all
    /// the same, the lost part reads as zeros, and [`damaged`](Self::damaged)
    /// says so.
    pub(crate) unsafe fn map(file: File, source: Source) -> Result<Code, CodeError> {
        let length = file.metadata().map_err(CodeError::System)?.len();
        let length = usize::try_from(length).map_err(|_| CodeError::System(io::ErrorKind::FileTooLarge.into()))?;
        if length == 0 {
            return Err(match Artifact::parse(&[]) {
                Err(e) => CodeError::Format(e),
                Ok(_) => CodeError::System(io::ErrorKind::UnexpectedEof.into()),
            });
        }
        // SAFETY: the caller answers for the file. A private view, because the
        // text will be replaced by another one.
        let view = unsafe { MmapOptions::new().len(length).map_copy_read_only(&file) }.map_err(CodeError::System)?;
        // SAFETY: the view is readable, and by the caller's promise its bytes
        // do not change. The 'static is not true, but `artifact` never leaves
        // this struct with it: the accessor shortens it to the borrow of
        // `self`, and `self` owns the view.
        let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(view.as_ptr(), length) };
        let is_changeable = parts::TRUNCATION.is_on() && matches!(source, Source::Path(_));
        let damage = is_changeable.then(Arc::<Damage>::default);
        let watch = damage.clone().map(|damage| Watch::new(pages(bytes), false, damage));
        let backing = Backing::Mapped { _view: view, file };
        let artifact = Artifact::parse(bytes).map_err(|e| match &damage {
            Some(damage) if parts::TRUNCATION.is_on() && damage.happened() => {
                CodeError::Damaged(DamagedError::new(&source, &backing))
            }
            _ => CodeError::Format(e),
        })?;
        let (watch, damage) = (Of::new(watch), Of::new(damage));
        Ok(Code { artifact, text: std::ptr::null(), watch, damage, source, backing, copy: None })
    }

    /// An artifact that is data of this program, in memory and in its file.
    ///
    /// # Safety
    /// As for [`map`](Self::map), of the program's file.
    pub(crate) unsafe fn embedded(bytes: &'static [u8]) -> Result<Code, CodeError> {
        let damage = Arc::<Damage>::default();
        let watch = Watch::new(pages(bytes), false, damage.clone());
        // Whether it is an artifact at all matters more than where it is.
        let artifact = Artifact::parse(bytes).map_err(CodeError::Format)?;
        let place = backing::locate(bytes).map_err(CodeError::Carrier)?;
        let backing = Backing::Embedded { text: Of::default(), place: Of::new(place) };
        Ok(Code::of_program(artifact, damage, Some(watch), backing))
    }

    /// An artifact that is code of this program.
    ///
    /// # Safety
    /// As for [`map`](Self::map), of the program's file.
    pub(crate) unsafe fn linked(bytes: &'static [u8]) -> Result<Code, CodeError> {
        let page = sys::page_size();
        if !bytes.as_ptr().addr().is_multiple_of(page) {
            return Err(CodeError::Carrier(CarrierError::Misaligned { page }));
        }
        let (artifact, damage) = backing::parse_linked(bytes).map_err(CodeError::Format)?;
        let code = Code::of_program(artifact, damage, None, Backing::Linked(Of::new(Linked::new(bytes))));
        code.intact().map_err(CodeError::Damaged)?;
        Ok(code)
    }

    fn of_program(artifact: Artifact<'static>, damage: Arc<Damage>, watch: Option<Watch>, backing: Backing) -> Code {
        let (text, source) = (std::ptr::null(), Source::Program);
        let (watch, damage) = (Of::new(watch), Of::new(Some(damage)));
        Code { artifact, text, watch, damage, source, backing, copy: None }
    }

    /// Makes the text executable. To be called once the artifact is known to
    /// fit this machine.
    pub(crate) fn make_executable(&mut self) -> io::Result<()> {
        let text = self.artifact.header().text;
        self.text = self.backing.make_executable(self.artifact.file(), text)?;
        self.watch_text();
        Ok(())
    }

    /// As [`make_executable`](Self::make_executable), with a copy of the text in
    /// memory that belongs to no file.
    pub(crate) fn make_executable_copy(&mut self) -> io::Result<()> {
        let text = self.artifact.header().text;
        let bytes = usize::try_from(text.offset).ok().zip(usize::try_from(text.length).ok());
        let bytes = bytes.and_then(|(start, length)| self.artifact.file().get(start..)?.get(..length));
        let copy = Region::executable_copy(bytes.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        self.text = copy.start().as_ptr().cast_const();
        self.copy = Some(copy);
        self.watch_text();
        Ok(())
    }

    fn watch_text(&self) {
        let text = self.artifact.header().text;
        if let Some(damage) = self.damage.as_ref().filter(|_| parts::TRUNCATION.is_on()) {
            let start = self.text as usize;
            let end = (start + text.length as usize).next_multiple_of(sys::page_size());
            // SAFETY: the pages of the text; see `drop`.
            unsafe { damage.set_code(start..end) };
        }
    }

    /// Whether the file turned out to be shorter than it was, or unreadable:
    /// then what was read from it since may be zeros, and its code does not
    /// run any more.
    #[inline]
    pub(crate) fn damaged(&self) -> bool {
        parts::TRUNCATION.is_on() && self.damage.as_deref().is_some_and(Damage::happened)
    }

    /// Looks whether the file is shorter than it was, which goes unnoticed
    /// where its end is within a page: the rest of the page are zeros then.
    /// Can be called by a signal handler.
    #[cold]
    pub(crate) fn shortened(&self) -> bool {
        let Some(damage) = self.damage.as_ref().filter(|_| parts::TRUNCATION.is_on()) else { return false };
        let shortened = self.is_cut();
        if shortened {
            damage.note();
        }
        shortened
    }

    /// Whether the file, if it is open, has less than the artifact.
    pub(crate) fn is_cut(&self) -> bool {
        self.backing.opened().is_some_and(|(file, offset)| {
            let end = offset + self.artifact.file().len() as u64;
            file.metadata().is_ok_and(|now| now.len() < end)
        })
    }

    /// As an error, [`damaged`](Self::damaged).
    #[inline]
    pub(crate) fn intact(&self) -> Result<(), DamagedError> {
        if self.damaged() { Err(DamagedError::new(&self.source, &self.backing)) } else { Ok(()) }
    }

    /// Watches another view of the file, at these addresses, which are written
    /// to; nothing if the file cannot change. The value must not live longer
    /// than the view.
    pub(crate) fn watch(&self, view: Range<usize>) -> Option<Watch> {
        if !parts::TRUNCATION.is_on() {
            return None;
        }
        Some(Watch::new(view, true, self.damage.clone()?))
    }

    /// Watches bytes of this program that the value will not watch any more,
    /// so that it may outlive them; nothing for any other artifact.
    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        if parts::EMBEDDED.is_on() && matches!(self.backing, Backing::Embedded { .. }) {
            self.watch.take()
        } else {
            None
        }
    }

    /// The same for a value whose watch was taken before.
    pub(crate) fn watch_again(&self) -> Option<Watch> {
        let embedded = parts::EMBEDDED.is_on() && matches!(self.backing, Backing::Embedded { .. });
        embedded.then(|| Some(Watch::new(pages(self.artifact.file()), false, self.damage.clone()?))).flatten()
    }

    /// Whether the code that runs is a copy.
    pub(crate) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// All bytes of the artifact.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.artifact.file()
    }

    /// The artifact.
    #[inline]
    pub(crate) fn artifact(&self) -> &Artifact<'_> {
        &self.artifact
    }

    /// The file to map memory images from, and where the artifact begins in it.
    ///
    /// # Errors
    /// For a linked artifact, if there is neither a file nor room for a copy.
    pub(crate) fn file(&self) -> io::Result<(&File, u64)> {
        self.backing.file()
    }

    /// Whether it is code of this program, of which its symbol table and its
    /// unwind information tell.
    pub(crate) fn is_linked(&self) -> bool {
        matches!(self.backing, Backing::Linked(_))
    }

    /// Whether a profiler finds names for the code in the file that it is mapped
    /// from: an artifact, or a program that it was linked into.
    pub(crate) fn has_symbols(&self) -> bool {
        self.is_linked() || matches!(self.source, Source::Path(_))
    }

    /// The addresses of the text; empty while it is not executable.
    #[inline]
    pub(crate) fn text(&self) -> Range<usize> {
        let start = self.text as usize;
        start..start + if self.text.is_null() { 0 } else { self.artifact.header().text.length as usize }
    }

    /// The address of the code at offset `offset` of the text; null if there
    /// is none.
    pub(crate) fn code_at(&self, offset: u32) -> *mut u8 {
        if self.text.is_null() || u64::from(offset) >= self.artifact.header().text.length {
            return std::ptr::null_mut();
        }
        self.text.wrapping_add(offset as usize).cast_mut()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // Slots can have views of the file for longer. Linked code stays.
        if let (true, Some(damage), false) = (parts::TRUNCATION.is_on(), &*self.damage, self.is_linked()) {
            damage.forget_code();
        }
    }
}
