//! A mapped artifact: its bytes readable, its text executable, nothing of it
//! ever writable.

use crate::sys::{self, Access, Damage, Watch};
use memmap2::{Mmap, MmapOptions};
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
}

/// An artifact in memory and the file it came from.
#[derive(Debug)]
pub(crate) struct Code {
    /// Borrows from `view`; see `artifact`.
    artifact: Artifact<'static>,
    /// Before `view`, which must exist as long as it is watched.
    _watch: Option<Watch>,
    /// Only for a file that others may change.
    damage: Option<Arc<Damage>>,
    source: Source,
    /// The whole file, read-only but for the text.
    view: Mmap,
    file: File,
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
    fn new(path: &Path) -> DamagedError {
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
        let damage = matches!(source, Source::Path(_)).then(Arc::<Damage>::default);
        let watch = damage.clone().map(|damage| {
            let start = view.as_ptr() as usize;
            Watch::new(start..start + length.next_multiple_of(sys::page_size()), false, damage)
        });
        // SAFETY: the view is readable, and by the caller's promise its bytes
        // do not change. The 'static is not true, but `artifact` never leaves
        // this struct with it: the accessor shortens it to the borrow of
        // `self`, and `self` owns the view.
        let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(view.as_ptr(), length) };
        let artifact = Artifact::parse(bytes).map_err(|e| match (&source, &damage) {
            (Source::Path(path), Some(damage)) if damage.happened() => CodeError::Damaged(DamagedError::new(path)),
            _ => CodeError::Format(e),
        })?;
        Ok(Code { artifact, _watch: watch, damage, source, view, file })
    }

    /// Makes the text executable. To be called once the artifact is known to
    /// fit this machine.
    pub(crate) fn make_executable(&self) -> io::Result<()> {
        let text = self.artifact.header().text;
        let start = text.offset as usize;
        let end = (start + text.length as usize).next_multiple_of(sys::page_size());
        // SAFETY: the overlay shows the same bytes of the same file, so shared
        // references into the range still see what they saw. `parse` checked
        // that the text lies in the file, whose view ends at a page boundary.
        unsafe { sys::overlay(self.at(start).cast_mut(), end - start, &self.file, text.offset, Access::Execute) }?;
        if let Some(damage) = &self.damage {
            let at = self.at(start) as usize;
            // SAFETY: the pages of the text, as above; see `drop`.
            unsafe { damage.set_code(at..at + (end - start)) };
        }
        Ok(())
    }

    /// Whether the file turned out to be shorter than it was, or unreadable:
    /// then what was read from it since may be zeros, and its code does not
    /// run any more.
    #[inline]
    pub(crate) fn damaged(&self) -> bool {
        self.damage.as_deref().is_some_and(Damage::happened)
    }

    /// Looks whether the file is shorter than it was, which goes unnoticed
    /// where its end is within a page: the rest of the page are zeros then.
    /// Can be called by a signal handler.
    #[cold]
    pub(crate) fn shortened(&self) -> bool {
        let Some(damage) = &self.damage else { return false };
        let shortened = self.file.metadata().is_ok_and(|now| now.len() < self.view.len() as u64);
        if shortened {
            damage.note();
        }
        shortened
    }

    /// As an error, [`damaged`](Self::damaged).
    #[inline]
    pub(crate) fn intact(&self) -> Result<(), DamagedError> {
        match &self.source {
            Source::Path(path) if self.damaged() => Err(DamagedError::new(path)),
            _ => Ok(()),
        }
    }

    /// Watches another view of the file, at these addresses, which are written
    /// to; nothing if the file cannot change. The value must not live longer
    /// than the view.
    pub(crate) fn watch(&self, view: Range<usize>) -> Option<Watch> {
        Some(Watch::new(view, true, self.damage.clone()?))
    }

    /// The address of byte `offset` of the file.
    fn at(&self, offset: usize) -> *const u8 {
        self.view.as_ptr().wrapping_add(offset)
    }

    /// All bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.view
    }

    /// The artifact.
    #[inline]
    pub(crate) fn artifact(&self) -> &Artifact<'_> {
        &self.artifact
    }

    /// The file, for mapping memory images.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The addresses of the text.
    #[inline]
    pub(crate) fn text(&self) -> Range<usize> {
        let text = &self.artifact.header().text;
        let start = self.at(text.offset as usize) as usize;
        start..start + text.length as usize
    }

    /// The address of the code at offset `offset` of the text; null if there
    /// is none.
    pub(crate) fn code_at(&self, offset: u32) -> *mut u8 {
        let text = &self.artifact.header().text;
        if u64::from(offset) >= text.length {
            return std::ptr::null_mut();
        }
        self.at(text.offset as usize + offset as usize).cast_mut()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // Slots can have views of the file for longer.
        if let Some(damage) = &self.damage {
            damage.forget_code();
        }
    }
}
