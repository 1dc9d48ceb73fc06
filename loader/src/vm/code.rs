//! A mapped artifact: its bytes readable, its text executable, nothing of it
//! ever writable.

use crate::sys::{self, Access, Region};
use std::fs::File;
use std::io;
use std::ops::Range;
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::Artifact;

/// An artifact in memory and the file it came from.
#[derive(Debug)]
pub(crate) struct Code {
    /// Borrows from `region`; see `artifact`.
    artifact: Artifact<'static>,
    region: Region,
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
        let region = Region::of_file(&file, length).map_err(CodeError::System)?;
        // SAFETY: the region is a readable view of `length` bytes of the file,
        // which by the caller's promise do not change. The 'static is not
        // true, but `artifact` never leaves this struct with it: the accessor
        // shortens it to the borrow of `self`, and `self` owns the region.
        let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(region.start().as_ptr(), length) };
        let artifact = Artifact::parse(bytes).map_err(CodeError::Format)?;
        Ok(Code { artifact, region, file })
    }

    /// Makes the text executable. To be called once the artifact is known to
    /// fit this machine.
    pub(crate) fn make_executable(&self) -> io::Result<()> {
        let text = self.artifact.header().text;
        let start = text.offset as usize;
        let end = (start + text.length as usize).next_multiple_of(sys::page_size());
        // SAFETY: the overlay shows the same bytes of the same file, so shared
        // references into the range still see what they saw. `parse` checked
        // that the text lies in the file.
        unsafe { self.region.overlay(start..end, &self.file, text.offset, Access::Execute) }
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
        let start = self.region.start().as_ptr() as usize + text.offset as usize;
        start..start + text.length as usize
    }

    /// The address of the code at offset `offset` of the text; null if there
    /// is none.
    pub(crate) fn code_at(&self, offset: u32) -> *mut u8 {
        let text = &self.artifact.header().text;
        if u64::from(offset) >= text.length {
            return std::ptr::null_mut();
        }
        self.region.start().as_ptr().wrapping_add(text.offset as usize + offset as usize)
    }
}
