//! A mapped artifact: its bytes readable, its text executable, nothing of it
//! ever writable.

use crate::sys::{self, Access};
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::ops::Range;
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::Artifact;

/// An artifact in memory and the file it came from.
#[derive(Debug)]
pub(crate) struct Code {
    /// Borrows from `view`; see `artifact`.
    artifact: Artifact<'static>,
    /// The whole file, read-only but for the text.
    view: Mmap,
    file: File,
}

/// Why a file could not be mapped as code.
pub(crate) enum CodeError {
    /// The system refuses.
    System(io::Error),
    /// It is no artifact, or a damaged one.
    Format(FormatError),
}

impl Code {
    /// Maps `file` and checks its metadata; the text is not executable yet.
    ///
    /// # Safety
    /// Nobody changes the file while the value exists.
    pub(crate) unsafe fn map(file: File) -> Result<Code, CodeError> {
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
        let artifact = Artifact::parse(bytes).map_err(CodeError::Format)?;
        Ok(Code { artifact, view, file })
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
        unsafe { sys::overlay(self.at(start).cast_mut(), end - start, &self.file, text.offset, Access::Execute) }
    }

    /// The address of byte `offset` of the file.
    fn at(&self, offset: usize) -> *const u8 {
        self.view.as_ptr().wrapping_add(offset)
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
