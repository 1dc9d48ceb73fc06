//! Which pages were written to, as Linux 6.7 and later tell:
//! "PAGEMAP_SCAN" in the kernel's `Documentation/admin-guide/mm/pagemap.rst`.

use super::probe::{Finding, is_lasting};
use super::{Access, Region, page_size};
use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// `struct pm_scan_arg`.
#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy)]
struct PageRegion {
    start: u64,
    end: u64,
    _categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl =
    (3 << 30 | (size_of::<ScanArguments>() as u32) << 16 | (b'f' as u32) << 8 | 16) as libc::Ioctl;

/// The page's content comes from a file.
const FILE: u64 = 1 << 2;
/// It is in memory.
const PRESENT: u64 = 1 << 3;
/// It is swapped out.
const SWAPPED: u64 = 1 << 4;
/// It is the page of zeros that everybody shares.
const ZERO: u64 = 1 << 5;

/// How many ranges the kernel is asked for at a time.
const ROOM: usize = 64;

/// The pages that hold data of their own: written to since they were mapped,
/// so that they are neither a file's nor the shared page of zeros. As ranges
/// of bytes from `start` on, ascending, no two of them adjacent; returns how
/// many. `start` and `length` are multiples of the page size.
///
/// Never reports too little. `None` if the kernel cannot tell, or there are
/// more ranges than `out` has room for.
pub(crate) fn written(start: *const u8, length: usize, out: &mut [Range<usize>]) -> Option<usize> {
    find_written(start, length, out).ok().flatten()
}

/// As [`written`]; `None` if there is not enough room, or the answer makes no
/// sense.
fn find_written(start: *const u8, length: usize, out: &mut [Range<usize>]) -> io::Result<Option<usize>> {
    let first = start as u64;
    let Some(end) = first.checked_add(length as u64) else { return Ok(None) };
    let mut buffer = [const { MaybeUninit::<PageRegion>::uninit() }; ROOM];
    let mut count = 0;
    let mut at = first;
    while at < end {
        let (found, next) = scan(at..end, &mut buffer)?;
        for region in found {
            let (Some(start), Some(end)) = (region.start.checked_sub(first), region.end.checked_sub(first)) else {
                return Ok(None);
            };
            let range = start as usize..end as usize;
            // The kernel works in steps, and splits ranges where one ends.
            match out[..count].last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => {
                    let Some(next) = out.get_mut(count) else { return Ok(None) };
                    *next = range;
                    count += 1;
                }
            }
        }
        if next <= at {
            return Ok(None);
        }
        at = next;
    }
    Ok(Some(count))
}

/// One question to the kernel: ranges of written pages in `range`, and up to
/// where it has looked.
fn scan(range: Range<u64>, buffer: &mut [MaybeUninit<PageRegion>; ROOM]) -> io::Result<(&[PageRegion], u64)> {
    let mut last = io::Error::from(io::ErrorKind::Unsupported);
    // A descriptor that somebody else has closed is opened again, once.
    for _ in 0..2 {
        let cell = descriptor()?;
        let descriptor = cell.load(Ordering::Relaxed) - 1;
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            flags: 0,
            start: range.start,
            end: range.end,
            walk_end: 0,
            vec: buffer.as_mut_ptr() as u64,
            vec_len: ROOM as u64,
            max_pages: 0,
            category_inverted: FILE | ZERO,
            category_mask: FILE | ZERO,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: 0,
        };
        // SAFETY: the kernel writes to `walk_end` and to at most `vec_len`
        // elements of the buffer.
        let found = unsafe { libc::ioctl(descriptor, PAGEMAP_SCAN, &raw mut arguments) };
        if let Ok(found) = usize::try_from(found) {
            // SAFETY: the kernel has filled in that many.
            let found = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), found.min(ROOM)) };
            return Ok((found, arguments.walk_end));
        }
        last = io::Error::last_os_error();
        if !matches!(last.raw_os_error(), Some(libc::EBADF | libc::ENOTTY)) {
            break;
        }
        let _ = cell.compare_exchange(descriptor + 1, UNKNOWN, Ordering::Relaxed, Ordering::Relaxed);
    }
    Err(last)
}

/// The cell is as it was at first.
const UNKNOWN: c_int = 0;
/// The process has no page map.
const UNAVAILABLE: c_int = -1;

/// One more than the number of a descriptor of this process's page map.
///
/// Such a descriptor stands for the address space of the process that opened
/// it, also in a process that inherits it: a child that used its parent's
/// would be told of the wrong pages. So the number is in a page that the
/// kernel wipes in the child of a fork.
fn descriptor() -> io::Result<&'static AtomicI32> {
    let cell = &wiped_on_fork()?[0];
    match cell.load(Ordering::Relaxed) {
        UNKNOWN => {}
        UNAVAILABLE => return Err(io::ErrorKind::Unsupported.into()),
        _ => return Ok(cell),
    }
    let file = File::open("/proc/self/pagemap").inspect_err(|e| {
        // Not for want of descriptors: there may be one later.
        if is_lasting(e) {
            let _ = cell.compare_exchange(UNKNOWN, UNAVAILABLE, Ordering::Relaxed, Ordering::Relaxed);
        }
    })?;
    let number = file.into_raw_fd();
    let known = cell.compare_exchange(UNKNOWN, number.saturating_add(1), Ordering::Relaxed, Ordering::Relaxed);
    if known.is_err() {
        // SAFETY: just opened; another thread was faster, and its is used.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    if known == Err(UNAVAILABLE) { Err(io::ErrorKind::Unsupported.into()) } else { Ok(cell) }
}

/// The number of this process: not that of a process that it was forked from,
/// and without a system call each time. 0 if the kernel cannot tell of forks.
pub(super) fn process() -> u32 {
    let Ok([_, cell]) = wiped_on_fork() else { return 0 };
    if cell.load(Ordering::Relaxed) == UNKNOWN {
        // SAFETY: getpid has no preconditions.
        cell.store(unsafe { libc::getpid() }, Ordering::Relaxed);
    }
    cell.load(Ordering::Relaxed).unsigned_abs()
}

/// Two cells that are zero at first, and again in a child of this process.
fn wiped_on_fork() -> io::Result<&'static [AtomicI32; 2]> {
    /// The address.
    static CELLS: Finding = Finding::new();
    let at = CELLS.get(&mut || {
        let region = Region::reserve(page_size())?;
        // SAFETY: nobody else knows the region, which is never given back.
        unsafe {
            region.make_accessible(0..page_size())?;
            if libc::madvise(region.start().as_ptr().cast(), page_size(), libc::MADV_WIPEONFORK) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(region.into_raw().expose_provenance().get())
        }
    })?;
    // SAFETY: the page is there for ever, and zeros are two AtomicI32.
    Ok(unsafe { &*ptr::with_exposed_provenance(at) })
}

/// Whether [`written`] works. Tried out once, with pages of a view of a file
/// and with zero pages, each untouched, read and written.
pub(crate) fn can_tell_written() -> bool {
    tells_written().unwrap_or(false)
}

/// As [`can_tell_written`].
///
/// # Errors
/// If that could not be tried out now, for want of memory or descriptors.
pub(super) fn tells_written() -> io::Result<bool> {
    static ANSWER: Finding = Finding::new();
    ANSWER.works(try_written)
}

fn try_written() -> io::Result<bool> {
    const READ: [usize; 2] = [1, 5];
    const WRITTEN: [usize; 4] = [2, 3, 4, 7];
    let page = page_size();
    let file = super::anonymous_file(&vec![1; 4 * page])?;
    let region = Region::reserve(8 * page)?;
    // SAFETY: nobody else knows the region; all accesses are within its eight
    // pages, which are accessible by then.
    unsafe {
        region.overlay(0..4 * page, &file, 0, Access::Write)?;
        region.make_accessible(4 * page..8 * page)?;
        let at = |index: usize| region.start().add(index * page);
        for index in READ {
            at(index).read_volatile();
        }
        for index in WRITTEN {
            at(index).write_volatile(2);
        }
    }
    let mut out = [const { 0..0 }; 8];
    let count = find_written(region.start().as_ptr(), 8 * page, &mut out)?;
    Ok(count == Some(2) && out[..2] == [2 * page..5 * page, 7 * page..8 * page])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accessible zero pages.
    fn pages(count: usize) -> Region {
        let region = Region::reserve(count * page_size()).unwrap();
        // SAFETY: nobody else knows the region.
        unsafe { region.make_accessible(0..count * page_size()).unwrap() };
        // Of large pages, more would be written to than the test does.
        super::super::linux::keep_pages_small(region.start().as_ptr(), count * page_size());
        region
    }

    fn write(region: &Region, index: usize) {
        // SAFETY: nobody else knows the region, and the tests pass pages in it.
        unsafe { region.start().add(index * page_size()).write_volatile(1) };
    }

    /// Whether this kernel can answer at all: since 6.7.
    fn kernel_can() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 7)
    }

    #[test]
    fn the_probe_says_what_the_kernel_can() {
        assert_eq!(can_tell_written(), kernel_can());
    }

    #[test]
    fn any_pattern_of_written_pages_is_found() {
        if !kernel_can() {
            assert_eq!(written(pages(1).start().as_ptr(), page_size(), &mut []), None);
            return;
        }
        // More ranges than fit into one answer, and across the kernel's steps.
        let (page, count) = (page_size(), 1500);
        for step in [1, 2, 3, 7] {
            let region = pages(count);
            let chosen = || (0..count).filter(|index| index % step == 0 || (500..700).contains(index));
            chosen().for_each(|index| write(&region, index));
            let mut expected: Vec<Range<usize>> = Vec::new();
            for index in chosen() {
                match expected.last_mut() {
                    Some(last) if last.end == index * page => last.end += page,
                    _ => expected.push(index * page..(index + 1) * page),
                }
            }
            let mut out = vec![0..0; expected.len()];
            assert_eq!(written(region.start().as_ptr(), count * page, &mut out), Some(expected.len()));
            assert_eq!(out, expected);
            let less = &mut out[1..];
            assert_eq!(written(region.start().as_ptr(), count * page, less), None, "there is room for one less");
        }
    }

    #[test]
    fn a_descriptor_that_is_gone_is_replaced() {
        if !kernel_can() {
            return;
        }
        // In a child, since other tests of this process use the descriptor.
        in_child(|| {
            let region = pages(2);
            write(&region, 1);
            let ask = || written(region.start().as_ptr(), 2 * page_size(), &mut [const { 0..0 }; 2]);
            let number = descriptor().unwrap().load(Ordering::Relaxed) - 1;
            // SAFETY: the child has one thread, and the descriptor is ours.
            unsafe { libc::close(number) };
            let closed = ask() == Some(1);
            // SAFETY: as above; the number may stand for another file now.
            unsafe { libc::dup2(0, descriptor().unwrap().load(Ordering::Relaxed) - 1) };
            closed && ask() == Some(1)
        });
    }

    #[test]
    fn a_child_is_told_of_its_own_pages() {
        if !kernel_can() {
            return;
        }
        let region = pages(4);
        write(&region, 0);
        let mut out = [const { 0..0 }; 4];
        assert_eq!(written(region.start().as_ptr(), 4 * page_size(), &mut out), Some(1));
        in_child(|| {
            // The parent has not written to this page.
            write(&region, 2);
            let mut out = [const { 0..0 }; 4];
            let count = written(region.start().as_ptr(), 4 * page_size(), &mut out);
            count == Some(2) && out[1] == (2 * page_size()..3 * page_size())
        });
    }

    /// Runs a check in a child process, which may only do what needs no lock.
    fn in_child(check: impl FnOnce() -> bool) {
        // SAFETY: the child takes no lock that another thread may have held,
        // and ends without running anything of the parent's.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                libc::_exit(c_int::from(!check()));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0, "the check failed in the child");
        }
    }
}
