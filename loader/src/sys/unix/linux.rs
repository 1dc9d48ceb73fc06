//! What Linux can do beyond `portable`.

use super::probe::Finding;
use super::{Access, Region, page_size};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

pub(crate) use super::pagemap::{can_tell_written, written};

/// A reservation costs no memory until it is used.
pub(super) const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;

/// Whether `madvise` brings back what a private mapping showed at first: so
/// it is on Linux, but not under some emulators of it. Tried out once, with a
/// view of a file and with zero pages.
pub(crate) fn can_discard() -> bool {
    discards().unwrap_or(false)
}

fn discards() -> io::Result<bool> {
    static ANSWER: Finding = Finding::new();
    ANSWER.works(try_discard)
}

/// Tries out all that [`can_discard`] and [`can_tell_written`] tell.
///
/// # Errors
/// If that is not possible now, for want of memory or descriptors.
pub(crate) fn try_out() -> io::Result<()> {
    discards()?;
    super::pagemap::tells_written()?;
    Ok(())
}

fn try_discard() -> io::Result<bool> {
    let page = page_size();
    let file = super::anonymous_file(&vec![1; 2 * page])?;
    let region = Region::reserve(3 * page)?;
    // SAFETY: nobody else knows the region; all accesses are within its three
    // pages, which are accessible by then.
    unsafe {
        region.overlay(0..2 * page, &file, 0, Access::Write)?;
        region.make_accessible(2 * page..3 * page)?;
        let at = |index: usize| region.start().add(index * page);
        for index in 0..3 {
            at(index).write_volatile(2);
        }
        discard(at(0).as_ptr(), page)?;
        discard(at(2).as_ptr(), page)?;
        Ok([0, 1, 2].map(|index| at(index).read_volatile()) == [1, 2, 0])
    }
}

/// Forgets what was written to `length` bytes at `at` since they were mapped.
///
/// # Safety
/// The bytes are whole pages of one mapping of the caller's, and nobody uses
/// what is in them.
pub(crate) unsafe fn discard(at: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    let failed = unsafe { libc::madvise(at.cast(), length, libc::MADV_DONTNEED) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sees to it that pages become resident by page faults only: that the kernel
/// does not join them, with others that were never used, to large ones in the
/// background. Whether that is sure now.
pub(crate) fn keep_pages_small(start: *mut u8, length: usize) -> bool {
    // SAFETY: this changes nothing that can be seen there.
    let failed = unsafe { libc::madvise(start.cast(), length, libc::MADV_NOHUGEPAGE) };
    // A kernel that has no large pages does not know the advice.
    failed == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}

/// Lets the system use large pages for a range, if it has some.
pub(crate) fn prefer_large_pages(start: *mut u8, length: usize) {
    let page = page_size();
    let (from, to) = ((start as usize).next_multiple_of(page), (start as usize + length) / page * page);
    if from < to {
        // SAFETY: this changes nothing that can be seen there. A kernel that
        // has no large pages refuses, which changes nothing either.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}

/// As [`discard`], for a page that shows the start of `file`.
///
/// # Safety
/// As for [`discard`].
pub(super) unsafe fn show_again(at: *mut u8, _file: &File) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { discard(at, page_size()) }
}

/// Makes pages private and present, which are `length` bytes from `start` on.
///
/// # Safety
/// They are readable and writable, and nobody else writes to them meanwhile.
pub(crate) unsafe fn populate(start: *mut u8, length: usize) -> io::Result<()> {
    /// Since Linux 5.14.
    const MADV_POPULATE_WRITE: libc::c_int = 23;
    if length == 0 {
        return Ok(());
    }
    // SAFETY: this changes nothing that can be read there.
    if unsafe { libc::madvise(start.cast(), length, MADV_POPULATE_WRITE) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // SAFETY: the caller's.
        e if e.raw_os_error() == Some(libc::EINVAL) => unsafe { super::touch(start, length) },
        e => return Err(e),
    }
    Ok(())
}

/// Page faults that this thread has taken so far, and the process: after a
/// fork the child counts from zero again, which is not to be taken for the
/// parent's count.
pub(crate) fn thread_faults() -> Option<u64> {
    /// 2^40 faults would take a month.
    const COUNT: u64 = 1 << 40;
    let process = u64::from(super::pagemap::process());
    if process == 0 {
        return None;
    }
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call fills the structure in if it succeeds.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let faults = u64::try_from(usage.ru_minflt).ok()?.checked_add(u64::try_from(usage.ru_majflt).ok()?)?;
    Some(process * COUNT + faults % COUNT)
}

/// A file without a name, empty, in memory.
pub(super) fn create_unnamed() -> io::Result<File> {
    /// Since Linux 6.3: the file may be mapped as executable, even if the
    /// system's default is that such files may not.
    const MFD_EXEC: libc::c_uint = 0x10;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in [flags | MFD_EXEC, flags] {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"wasmc-artifact".as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else's.
            return Ok(unsafe { File::from_raw_fd(fd) });
        }
        last = io::Error::last_os_error();
        if last.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(io::Error::new(last.kind(), format!("cannot make a file in memory (memfd_create): {last}")))
}

/// Makes a file from [`create_unnamed`] unchangeable for everybody.
pub(super) fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open, and adding seals takes an int.
    let failed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_sealed_file_cannot_be_changed() {
        let mut file = create_unnamed().unwrap();
        file.write_all(b"content").unwrap();
        seal(&file).unwrap();
        assert!(file.write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(70).is_err());
        assert_eq!(file.metadata().unwrap().len(), 7);
    }

    #[test]
    fn faults_are_counted_for_the_thread() {
        let before = thread_faults().unwrap();
        let region = Region::reserve(64 * page_size()).unwrap();
        // SAFETY: nobody else knows the region.
        unsafe {
            region.make_accessible(0..64 * page_size()).unwrap();
            super::super::touch(region.start().as_ptr(), 64 * page_size());
        }
        assert!(thread_faults().unwrap() >= before + 64);
    }

    #[test]
    fn discarded_pages_show_what_they_showed_at_first() {
        // The contract is about Linux itself; emulators say no.
        assert!(can_discard());
    }
}
