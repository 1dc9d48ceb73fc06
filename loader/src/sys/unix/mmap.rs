//! Address space: reserving, mapping, protecting.

use super::system::NO_RESERVE;
use crate::parts;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The size of a page of this machine, in bytes; a power of two.
pub(crate) fn page_size() -> usize {
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => ask_page_size(),
        size => size,
    }
}

/// 0 until it is known; who finds that asks for the same number.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

#[cold]
fn ask_page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let size = usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096);
    PAGE_SIZE.store(size, Ordering::Relaxed);
    size
}

/// How many processors the machine has, as far as the system says.
pub(crate) fn processors() -> usize {
    // SAFETY: sysconf has no preconditions.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// What may be done to mapped bytes. Nothing is ever writable and executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading, and writing to private copies.
    Write,
    /// Reading and executing.
    Execute,
}

impl Access {
    fn bits(self) -> libc::c_int {
        match self {
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
            Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

/// Makes `length` bytes at `at` readable and writable.
///
/// # Safety
/// They are part of one [`Region`], and nobody relies on a fault there.
pub(crate) unsafe fn make_accessible(at: *mut u8, length: usize) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: the caller answers for the range.
    let failed = unsafe { libc::mprotect(at.cast(), length, libc::PROT_READ | libc::PROT_WRITE) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `length` bytes at `at`, which are accessible, read-only.
///
/// # Safety
/// They are part of one [`Region`], and who writes there deals with the fault.
pub(crate) unsafe fn make_read_only(at: *mut u8, length: usize) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: the caller answers for the range.
    let failed = unsafe { libc::mprotect(at.cast(), length, libc::PROT_READ) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the right to execute away from pages, which stay readable. Can be
/// called by a signal handler.
///
/// # Safety
/// The range consists of whole pages of the caller's, and faults of code that
/// runs there are dealt with.
pub(super) unsafe fn make_unexecutable(at: *mut u8, length: usize) {
    // SAFETY: the caller's. A failure has no consequence but that the code
    // goes on running.
    unsafe { libc::mprotect(at.cast(), length, libc::PROT_READ) };
}

/// Reads and writes a byte of every page of `length` bytes from `start` on, so
/// that each of them is present and private.
///
/// # Safety
/// They are readable and writable, and nobody else writes to them meanwhile.
pub(super) unsafe fn touch(start: *mut u8, length: usize) {
    for offset in (0..length).step_by(page_size()) {
        // SAFETY: within the caller's range; the byte does not change.
        unsafe {
            let at = start.add(offset);
            at.write_volatile(at.read_volatile());
        }
    }
}

/// Makes `length` bytes at `at` inaccessible and forgets their content.
///
/// # Safety
/// They are part of one [`Region`], and nobody uses them.
pub(crate) unsafe fn make_inaccessible(at: *mut u8, length: usize) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | NO_RESERVE | libc::MAP_FIXED;
    // SAFETY: the caller answers for the range.
    let map = || unsafe { Region::map(at, length, libc::PROT_NONE, flags, -1, 0) };
    let part = map().or_else(|error| if give_up_spare() { map() } else { Err(error) });
    keep_spare();
    // The value must not unmap it on its own.
    std::mem::forget(part?);
    Ok(())
}

/// A page that serves only to be given up, or null. Linux lets a process have
/// one mapping more than it may; then none can take the place of others any more,
/// and nothing that is made inaccessible would make room.
static SPARE: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());

fn keep_spare() {
    if !SPARE.load(Ordering::Relaxed).is_null() {
        return;
    }
    // Of what is shared, no two mappings become one.
    let flags = libc::MAP_SHARED | libc::MAP_ANON;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let Ok(page) = (unsafe { Region::map(std::ptr::null_mut(), page_size(), libc::PROT_NONE, flags, -1, 0) }) else {
        return;
    };
    let (nobody, at) = (std::ptr::null_mut(), page.start.as_ptr().cast());
    if SPARE.compare_exchange(nobody, at, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        std::mem::forget(page);
    }
}

#[cold]
fn give_up_spare() -> bool {
    let page = SPARE.swap(std::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: nobody else has found it there, and nobody uses it.
    !page.is_null() && unsafe { libc::munmap(page, page_size()) } == 0
}

/// A range of address space that belongs to nobody else, unmapped on drop.
///
/// All positions are in bytes from its start and must be multiples of the
/// page size. That nothing of it is used after a change of its content or
/// protection is the caller's business, which is why such methods are unsafe.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a Region is an address range; its methods that change the range are
// unsafe, and system calls on it can be made from any thread.
unsafe impl Send for Region {}
// SAFETY: as above; shared access only reads the two numbers.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `length` bytes that cannot be accessed yet.
    pub(crate) fn reserve(length: usize) -> io::Result<Region> {
        keep_spare();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | NO_RESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        unsafe { Self::map(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) }
    }

    /// A private view of `length` bytes of `file` from byte `offset` on. What
    /// can be read there changes if somebody changes the file.
    pub(crate) fn view(length: usize, file: &File, offset: u64, access: Access) -> io::Result<Region> {
        let at = std::ptr::null_mut();
        // SAFETY: a new mapping at an address that the kernel chooses.
        unsafe { Self::map(at, length, access.bits(), libc::MAP_PRIVATE, file.as_raw_fd(), offset) }
    }

    /// A copy of `bytes`, to be executed, in memory that belongs to no file. The
    /// system lets processors see code in memory that becomes executable.
    pub(crate) fn executable_copy(bytes: &[u8]) -> io::Result<Region> {
        // The system maps nothing of no length.
        let region = Region::reserve(bytes.len().max(1).next_multiple_of(page_size()))?;
        let (start, length) = (region.start.as_ptr(), region.length);
        // SAFETY: nobody else knows the region, which is as long as the bytes at
        // least.
        unsafe {
            make_accessible(start, length)?;
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        // SAFETY: as above; it is not written to any more.
        let failed = unsafe { libc::mprotect(start.cast(), length, Access::Execute.bits()) };
        if failed == 0 { Ok(region) } else { Err(io::Error::last_os_error()) }
    }

    /// # Safety
    /// `flags` contains `MAP_FIXED` only if the range at `at` is the caller's.
    unsafe fn map(
        at: *mut u8,
        length: usize,
        access: libc::c_int,
        flags: libc::c_int,
        fd: libc::c_int,
        offset: u64,
    ) -> io::Result<Region> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        // SAFETY: the caller answers for MAP_FIXED; any other mapping is new.
        let start = unsafe { libc::mmap(at.cast(), length, access, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| {
            // An error with words takes more code than all else here, and no
            // system is known to do this.
            match parts::MESSAGES.is_on() {
                true => io::Error::other("mmap returned address 0"),
                false => io::ErrorKind::AddrNotAvailable.into(),
            }
        })?;
        Ok(Region { start, length })
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn at(&self, range: &Range<usize>) -> *mut u8 {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "bytes {} to {} of a region of {} bytes",
            range.start,
            range.end,
            self.length
        );
        // SAFETY: the assertion keeps the result inside the region or at its end.
        unsafe { self.start.as_ptr().add(range.start) }
    }

    /// Makes a part readable and writable.
    ///
    /// # Safety
    /// Nobody relies on a fault in `range`.
    pub(crate) unsafe fn make_accessible(&self, range: Range<usize>) -> io::Result<()> {
        let at = self.at(&range);
        // SAFETY: the range is this region's, and the caller answers for the rest.
        unsafe { make_accessible(at, range.len()) }
    }

    /// Gives up ownership: the caller sees to it that the range is unmapped.
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        let start = self.start;
        std::mem::forget(self);
        start
    }

    /// Takes ownership of a range back.
    ///
    /// # Safety
    /// `start` came from [`into_raw`](Self::into_raw), of a region of `length`
    /// bytes.
    pub(crate) unsafe fn from_raw(start: NonNull<u8>, length: usize) -> Region {
        Region { start, length }
    }

    /// Replaces a part by a private view of `file` from byte `offset` on.
    ///
    /// # Safety
    /// Nobody holds a reference into `range` or relies on what is there.
    pub(crate) unsafe fn overlay(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        // SAFETY: the range is this region's, and the caller answers for its users.
        unsafe { overlay(self.at(&range), range.len(), file, offset, access) }
    }
}

/// Replaces `length` bytes at `at` by a private view of `file` from byte
/// `offset` on.
///
/// # Safety
/// The caller owns the mapping there, and nobody holds a reference into it
/// that would see a change, or relies on its protection.
pub(crate) unsafe fn overlay(at: *mut u8, length: usize, file: &File, offset: u64, access: Access) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    // SAFETY: the caller owns the range. The returned value must not unmap it
    // on its own.
    let part = unsafe { Region::map(at, length, access.bits(), flags, file.as_raw_fd(), offset) }?;
    std::mem::forget(part);
    Ok(())
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the region was mapped by `map` and is not used any more.
        let failed = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(failed, 0, "munmap: {}", io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_becomes_accessible_in_part_and_takes_views_of_a_file() {
        let page = page_size();
        let region = Region::reserve(16 * page).unwrap();
        let mut content = vec![0; 2 * page];
        content[page] = 7;
        let file = super::super::anonymous_file(&content).unwrap();
        // SAFETY: nobody else knows the region.
        unsafe {
            region.make_accessible(0..page).unwrap();
            region.overlay(page..2 * page, &file, page as u64, Access::Write).unwrap();
            let bytes = region.start().as_ptr();
            *bytes = 1;
            assert_eq!(*bytes.add(page), 7);
            *bytes.add(page) = 8;
        }
        // SAFETY: nobody else has the file.
        let view = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        assert_eq!(view[page], 7, "a private write reached the file");
    }

    #[test]
    #[should_panic(expected = "of a region of")]
    fn positions_outside_a_region_are_refused() {
        let region = Region::reserve(page_size()).unwrap();
        // SAFETY: nobody else knows the region.
        let _ = unsafe { region.make_accessible(0..2 * page_size()) };
    }
}
