//! A part of a heap's address space: accessible from its start up to some
//! point, and resident up to some point before that.

use crate::sys;
use std::io;
use std::ops::Range;

/// The least that is made accessible at once.
const OPENED: usize = 256 << 10;
/// The least that is made resident at once: a page fault for every page costs
/// several times as much as one call for many.
const PREPARED: usize = 64 << 10;
/// Beyond so many bytes, large pages are welcome: they take a fraction of the
/// faults, and of the time to find out where they are.
const SMALL: usize = 4 << 20;
/// The most that is made resident at once, unless more is needed.
const PREPARED_MOST: usize = 1 << 20;

/// Positions are in bytes from the base of the heap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Area {
    /// The first byte.
    pub(super) start: usize,
    /// Where the area ends, accessible or not.
    pub(super) end: usize,
    /// Up to here it is accessible.
    open: usize,
    /// Up to here it is, or was, resident.
    ready: usize,
}

impl Area {
    /// An area that is not accessible.
    pub(super) const fn new(range: Range<usize>) -> Area {
        Area { start: range.start, end: range.end, open: range.start, ready: range.start }
    }

    /// Bytes from the start to the end.
    pub(super) fn size(&self) -> usize {
        self.end - self.start
    }

    /// Up to where it is resident.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Bytes that are resident, or were.
    pub(super) fn resident(&self) -> usize {
        self.ready - self.start
    }

    /// Makes the area accessible up to `end`.
    ///
    /// # Safety
    /// `base` is the base of the heap.
    pub(super) unsafe fn open(&mut self, base: *mut u8, end: usize) -> io::Result<()> {
        if end <= self.open {
            return Ok(());
        }
        if end > self.end {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // In few steps, since each of them is a system call.
        let size = (end - self.start).max(2 * (self.open - self.start)).next_multiple_of(OPENED);
        let wanted = [self.start.saturating_add(size).min(self.end), end.next_multiple_of(sys::page_size())];
        let mut result = Ok(());
        for end in wanted {
            let length = end - self.open;
            // SAFETY: the range is in the area, and nothing is there yet.
            result = unsafe { sys::make_accessible(base.wrapping_add(self.open), length) };
            if result.is_ok() {
                // A heap that is so small is not to become larger by it.
                let from = self.open.max(self.start + SMALL);
                if from < end {
                    sys::prefer_large_pages(base.wrapping_add(from), end - from);
                }
                self.open = end;
                break;
            }
        }
        result
    }

    /// Makes the area accessible and resident up to `end` at least.
    ///
    /// # Safety
    /// `base` is the base of the heap, and nobody else changes what is there
    /// meanwhile.
    #[cold]
    pub(super) unsafe fn prepare(&mut self, base: *mut u8, end: usize) -> io::Result<()> {
        if end <= self.ready {
            return Ok(());
        }
        if end > self.end {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let step = self.resident().clamp(PREPARED, PREPARED_MOST);
        let end = end.max(self.ready + step).next_multiple_of(PREPARED).min(self.end);
        // SAFETY: the caller's; the range is accessible by then.
        unsafe {
            self.open(base, end)?;
            sys::populate(base.wrapping_add(self.ready), end - self.ready)?;
        }
        self.ready = end;
        Ok(())
    }

    /// Gives what is beyond `keep` bytes back to the system.
    ///
    /// # Safety
    /// `base` is the base of the heap, and nobody uses what is there.
    pub(super) unsafe fn trim(&mut self, base: *mut u8, keep: usize) {
        let end = self.start + keep.next_multiple_of(PREPARED).min(self.size());
        if end >= self.ready {
            return;
        }
        let at = base.wrapping_add(end);
        // SAFETY: the range is in the area and accessible; nobody uses it.
        unsafe {
            if sys::can_discard() && sys::discard(at, self.ready - end).is_ok() {
                self.ready = end;
            } else if sys::make_inaccessible(at, self.open - end).is_ok() {
                (self.ready, self.open) = (end, end);
            }
        }
    }

    /// Fills what was resident with bytes that are no object, so that whoever
    /// still uses one of those that were there finds out.
    ///
    /// # Safety
    /// `base` is the base of the heap, and nobody uses what is there.
    pub(super) unsafe fn poison(&mut self, base: *mut u8, end: usize) {
        let end = end.min(self.ready);
        // SAFETY: accessible up to `ready`.
        unsafe { base.wrapping_add(self.start).write_bytes(super::object::POISON, end.saturating_sub(self.start)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Region;

    #[test]
    fn an_area_opens_in_steps_and_gives_pages_back() {
        let region = Region::reserve(8 << 20).unwrap();
        let base = region.start().as_ptr();
        let mut area = Area::new(1 << 20..3 << 20);
        // SAFETY: nobody else knows the region, and accesses are to what was
        // made accessible.
        unsafe {
            area.prepare(base, (1 << 20) + 8).unwrap();
            assert_eq!(area.resident(), PREPARED);
            base.add(1 << 20).write(1);
            area.prepare(base, 3 << 20).unwrap();
            assert_eq!((area.resident(), area.open), (2 << 20, 3 << 20));
            base.add((3 << 20) - 1).write(2);
            assert!(area.prepare(base, (3 << 20) + 1).is_err(), "beyond the end of the area");
            area.trim(base, 1);
            assert_eq!(area.resident(), PREPARED);
            area.prepare(base, 3 << 20).unwrap();
            assert_eq!((*base.add(1 << 20), *base.add((3 << 20) - 1)), (1, 0));
            area.poison(base, (1 << 20) + 8);
            assert_eq!(*base.add((1 << 20) + 7), super::super::object::POISON);
            assert_eq!(*base.add((1 << 20) + 8), 0);
        }
    }
}
