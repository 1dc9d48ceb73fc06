//! What every Unix can do. Linux uses [`linux`](super::linux) instead, unless
//! the cargo feature `portable-unix` says otherwise.

use super::{Access, page_size};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// There is no flag for it, or none that all systems have.
pub(super) const NO_RESERVE: libc::c_int = 0;

/// Whether [`discard`] works: the standard gives `madvise` no such effect, so
/// whoever wants the first content back maps it again.
pub(crate) fn can_discard() -> bool {
    false
}

/// # Errors
/// Always; see [`can_discard`].
///
/// # Safety
/// None, since nothing is done.
pub(crate) unsafe fn discard(_at: *mut u8, _length: usize) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot discard what was written to pages"))
}

/// Makes a page that shows the start of `file` forget what was written to it.
///
/// # Safety
/// The page is the caller's, and nobody uses what is in it.
pub(super) unsafe fn show_again(at: *mut u8, file: &File) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { super::overlay(at, page_size(), file, 0, Access::Write) }
}

/// Whether [`written`] works: there is no portable way to ask.
pub(crate) fn can_tell_written() -> bool {
    false
}

/// Which pages were written to: not known; see [`can_tell_written`].
pub(crate) fn written(_start: *const u8, _length: usize, _out: &mut [Range<usize>]) -> Option<usize> {
    None
}

/// Nothing to try out.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps, reason = "has the signature of the function on Linux, where it can fail")]
pub(crate) fn try_out() -> io::Result<()> {
    Ok(())
}

/// Whether pages become resident by page faults only; other systems do not
/// say.
pub(crate) fn keep_pages_small(_start: *mut u8, _length: usize) -> bool {
    false
}

/// Lets the system use large pages for a range: there is no portable way to
/// say so.
pub(crate) fn prefer_large_pages(_start: *mut u8, _length: usize) {}

/// Page faults of this thread: the standard's `getrusage` knows only those of
/// the whole process.
pub(crate) fn thread_faults() -> Option<u64> {
    None
}

/// Makes pages private and present, which are `length` bytes from `start` on.
///
/// # Safety
/// They are readable and writable, and nobody else writes to them meanwhile.
#[allow(clippy::unnecessary_wraps, reason = "has the signature of the function on Linux, where it can fail")]
pub(crate) unsafe fn populate(start: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { super::touch(start, length) };
    Ok(())
}

/// A file without a name, empty: a temporary one whose name is gone. Objects
/// of `shm_open` would not do, since some systems cannot write to them or
/// execute what is in them.
pub(super) fn create_unnamed() -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = std::env::temp_dir();
    let error = |e: io::Error| {
        let folder = folder.display();
        io::Error::new(
            e.kind(),
            format!("cannot make a temporary file in {folder}: {e}; TMPDIR can name a folder where that works"),
        )
    };
    for _ in 0..1 << 16 {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".wasmc-artifact-{}-{number}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path).map_err(error)?;
                return Ok(file);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(error(e)),
        }
    }
    Err(error(io::Error::new(io::ErrorKind::AlreadyExists, "65536 names are taken")))
}

/// Nothing to do: the name is gone, so nobody else can open the file, and
/// nobody here writes to it again.
#[allow(clippy::unnecessary_wraps, reason = "has the signature of the function on Linux, where it can fail")]
pub(super) fn seal(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_everywhere_is_refused() {
        let mut out = [const { 0..0 }; 4];
        try_out().unwrap();
        assert!(!can_discard() && !can_tell_written());
        assert_eq!(written([0; 16].as_ptr(), 16, &mut out), None);
        assert_eq!(thread_faults(), None);
        prefer_large_pages([0; 16].as_mut_ptr(), 16);
        // SAFETY: nothing is done.
        assert_eq!(unsafe { discard(std::ptr::null_mut(), 0) }.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn an_unnamed_file_leaves_nothing_in_its_folder() {
        use std::os::unix::fs::MetadataExt;
        let file = create_unnamed().unwrap();
        seal(&file).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
