//! Giving a linear memory its first content back.
//!
//! A page fault costs as much as copying some fifty pages, so pages that an
//! instance wrote are kept and copied back from the image, up to a budget;
//! these are the memory's *hot* pages. Which they are is asked of the kernel
//! (`sys::written`), unless it is known that there are no new ones: because no
//! code ran and the host wrote nothing, or because the thread on which all of
//! that happened has taken no page fault meanwhile, and writing to a page for
//! the first time takes one. (The kernel must not make pages resident on its
//! own then, as it does when it joins small pages to large ones in the
//! background: it is told not to, for a memory that is reset. `mlockall` after
//! that would do so too; `Config` says not to.) Or because the memory has a
//! [`guard`](super::guard).
//!
//! | what is known                    | what is done                              |
//! |----------------------------------|-------------------------------------------|
//! | nothing can have been written    | nothing                                   |
//! | no new pages were written        | hot pages are copied back                 |
//! | the kernel tells                 | those pages are copied back and are hot   |
//! |                                  | from now on; what exceeds the budget is   |
//! |                                  | given back to the system                  |
//! | it does not, small memory        | everything is copied back                 |
//! | it does not, large memory        | everything is mapped anew                 |
//!
//! Hot pages that turn out to be unchanged are given back: every 32nd time
//! they are compared before they are copied.

use super::guard::{self, Guard};
use super::image::{Image, Source};
use super::memory::MemoryData;
use crate::parts;
use crate::sys;
use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ranges of hot pages that are remembered. A memory with more of them has to
/// be asked about each time.
const HOT_RANGES: usize = 32;
/// Ranges of written pages that are asked for at once.
const WRITTEN_RANGES: usize = 64;
/// Up to this many bytes, copying everything beats mapping anew, which takes
/// about 2 µs and then a page fault of about 2 µs for every page in use: 256
/// KiB are copied in about that time.
const SMALL: usize = 256 << 10;
/// How often hot pages are compared before they are copied: once in so many.
const SAMPLE: u32 = 32;

/// The pages of a memory that are known to be resident and its own.
#[derive(Debug, Clone, Copy, Default)]
struct HotPages {
    /// First byte and length, in pages, ascending.
    ranges: [(u32, u32); HOT_RANGES],
    count: usize,
    /// Whether these are all pages of its own.
    complete: bool,
    resets: u32,
}

/// What a memory remembers between resets.
#[derive(Debug, Default)]
pub(super) struct Residue {
    hot: Cell<HotPages>,
    /// Bytes of its own after the last reset.
    bytes: Cell<usize>,
    /// Whether it has to be filled from the image before it is used, since
    /// copies of the image were given back to the system.
    blank: Cell<bool>,
    /// Whether the host may have written to it, on any thread.
    lent: Cell<bool>,
    /// Whether the host may do so as long as the store exists. Atomic because
    /// threads that share the store may all ask for the address.
    exposed: AtomicBool,
    /// Whether the kernel has been asked to leave its pages as they are.
    settled: Cell<bool>,
    pub(super) guard: Guard,
}

impl Residue {
    /// Notes that the host may write to the memory.
    #[inline]
    pub(super) fn lend(&self) {
        self.lent.set(true);
    }

    /// Notes that the host may write to the memory at any time.
    pub(super) fn expose(&self) {
        self.exposed.store(true, Ordering::Relaxed);
    }

    /// Notes that the memory is in another store now.
    pub(super) fn enter_store(&self) {
        self.exposed.store(false, Ordering::Relaxed);
    }

    /// Whether all of a range is hot.
    pub(super) fn is_hot(&self, range: &Range<usize>) -> bool {
        let hot = self.hot.get();
        hot.ranges[..hot.count].iter().any(|hot| {
            let hot = pages(*hot);
            hot.start <= range.start && range.end <= hot.end
        })
    }

    /// Bytes that are resident although nobody uses the memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// From now on it is not known which pages are the memory's own.
    fn forget(&self) {
        self.hot.set(HotPages::default());
    }

    fn remember(&self, ranges: &[Range<usize>], page: usize) {
        // Mapping anew can make pages resident too, if they are locked.
        let complete = self.settled.get() && sys::can_discard();
        let mut hot = HotPages { resets: self.hot.get().resets, complete, ..HotPages::default() };
        for range in ranges {
            match hot.ranges.get_mut(hot.count) {
                Some(slot) => *slot = ((range.start / page) as u32, (range.len() / page) as u32),
                None => {
                    hot.complete = false;
                    break;
                }
            }
            hot.count += 1;
        }
        self.hot.set(hot);
        self.bytes.set(ranges.iter().map(Range::len).sum());
    }
}

/// The bytes of a hot range.
fn pages((first, pages): (u32, u32)) -> Range<usize> {
    let page = sys::page_size();
    let start = first as usize * page;
    start..start + pages as usize * page
}

/// How memories are to be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// Bytes that may stay resident.
    pub(super) keep: usize,
    /// Whether the memory is a view of the file, rather than a copy.
    pub(super) view: bool,
}

/// What can be known about the time since the last reset.
pub(super) trait Activity {
    /// Whether code ran that can have written to a memory.
    fn code_ran(&self) -> bool;
    /// Whether that was on this thread alone, which took no page fault. To
    /// find out takes a system call.
    fn was_quiet(&self) -> bool;
}

/// A memory that is to be reset.
pub(super) struct Reset<'a> {
    pub(super) memory: &'a MemoryData,
    pub(super) image: &'a Image,
    pub(super) source: Source<'a>,
    pub(super) policy: Policy,
}

impl Reset<'_> {
    fn base(&self) -> *mut u8 {
        self.memory.base()
    }

    /// Bytes that are accessible at first.
    fn initial(&self) -> usize {
        self.memory.initial()
    }

    /// Restores content and size, as far as `fill` is needed to use it.
    ///
    /// # Safety
    /// Nobody uses the memory, and no slice of it exists.
    pub(super) unsafe fn run(&self, activity: &impl Activity) -> io::Result<()> {
        let residue = self.memory.residue();
        let lent = residue.lent.get() || residue.exposed.load(Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { self.run_after(activity, lent)? };
        residue.lent.set(false);
        Ok(())
    }

    /// # Safety
    /// As for `run`.
    unsafe fn run_after(&self, activity: &impl Activity, lent: bool) -> io::Result<()> {
        let residue = self.memory.residue();
        let initial = self.initial();
        // SAFETY: nobody uses the memory, says the caller.
        unsafe { self.memory.shrink()? };
        if initial == 0 || !lent && !activity.code_ran() {
            return Ok(());
        }
        if residue.guard.is_on() && !lent {
            // SAFETY: as above.
            return unsafe { self.restore_hot() };
        }
        if !lent && residue.hot.get().complete && activity.was_quiet() {
            // SAFETY: as above.
            unsafe { self.restore_hot()? };
            if parts::RECYCLING.is_on() && self.policy.keep > 0 && residue.guard.is_due() {
                // SAFETY: the handler knows the memories of stores whose code
                // runs; whoever else writes asks for an address first.
                unsafe { self.put_guard_on() };
            }
            return Ok(());
        }
        residue.guard.unsettle();
        if !residue.settled.get() {
            // Before it is found out which pages are resident.
            residue.settled.set(sys::keep_pages_small(self.base(), initial));
        }
        if self.policy.keep == 0 {
            // SAFETY: as above.
            return unsafe { self.give_back(0..initial) };
        }
        let mut ranges = [const { 0..0 }; WRITTEN_RANGES];
        let written = if sys::can_tell_written() { sys::written(self.base(), initial, &mut ranges) } else { None };
        match written {
            // SAFETY: as above.
            Some(count) => unsafe { self.restore_written(&mut ranges[..count]) },
            None if initial <= SMALL.min(self.policy.keep) => {
                // SAFETY: as above.
                unsafe { self.image.write(self.base(), 0..initial, self.source.bytes) };
                residue.forget();
                residue.bytes.set(initial);
                Ok(())
            }
            // SAFETY: as above.
            None => unsafe { self.give_back(0..initial) },
        }
    }

    /// Makes all pages read-only that are not hot.
    ///
    /// # Safety
    /// As for [`Guard::put_on`].
    unsafe fn put_guard_on(&self) {
        let residue = self.memory.residue();
        let hot = residue.hot.get();
        if hot.complete && hot.count <= guard::RANGES {
            let ranges = hot.ranges[..hot.count].iter().map(|range| pages(*range));
            // SAFETY: the caller's.
            unsafe { residue.guard.put_on(self.base(), self.initial(), ranges) };
        }
    }

    /// Copies the hot pages back.
    ///
    /// # Safety
    /// As for `run`.
    unsafe fn restore_hot(&self) -> io::Result<()> {
        let residue = self.memory.residue();
        let mut hot = residue.hot.get();
        hot.resets = hot.resets.wrapping_add(1);
        residue.hot.set(hot);
        let ranges = hot.ranges[..hot.count].iter().map(|range| pages(*range));
        if hot.resets.is_multiple_of(SAMPLE) && sys::can_discard() {
            // SAFETY: as above.
            return unsafe { self.restore_changed(ranges) };
        }
        for range in ranges {
            // SAFETY: hot pages are in the memory.
            unsafe { self.image.write(self.base(), range, self.source.bytes) };
        }
        Ok(())
    }

    /// Copies those pages back that were changed, and gives the others back to
    /// the system if they return from there as they were at first.
    ///
    /// # Safety
    /// As for `run`.
    unsafe fn restore_changed(&self, ranges: impl Iterator<Item = Range<usize>>) -> io::Result<()> {
        let residue = self.memory.residue();
        let page = sys::page_size();
        let mut kept = [const { 0..0 }; WRITTEN_RANGES];
        let (mut count, mut fits) = (0, true);
        for at in ranges.flat_map(|range| range.step_by(page)) {
            let range = at..at + page;
            let returns = self.policy.view || !self.image.touches(&range);
            // SAFETY: as above.
            unsafe {
                if self.image.is_intact(self.base(), range.clone(), self.source.bytes) {
                    if returns {
                        // The guard is for the pages that were hot.
                        if !self.memory.is_open() {
                            return Err(io::ErrorKind::OutOfMemory.into());
                        }
                        sys::discard(self.base().wrapping_add(at), page)?;
                        continue;
                    }
                } else {
                    self.image.write(self.base(), range.clone(), self.source.bytes);
                }
            }
            match kept[..count].last_mut() {
                Some(last) if last.end == at => last.end = range.end,
                _ => match kept.get_mut(count) {
                    Some(place) => {
                        *place = range;
                        count += 1;
                    }
                    None => fits = false,
                },
            }
        }
        residue.remember(&kept[..count], page);
        if !fits {
            residue.forget();
        }
        Ok(())
    }

    /// Copies written pages back as far as the budget goes, and gives the
    /// others back to the system.
    ///
    /// # Safety
    /// As for `run`; `ranges` are in the memory.
    unsafe fn restore_written(&self, ranges: &mut [Range<usize>]) -> io::Result<()> {
        let mut left = self.policy.keep / sys::page_size() * sys::page_size();
        let mut count = 0;
        for index in 0..ranges.len() {
            let range = ranges[index].clone();
            let kept = range.start..range.start + range.len().min(left);
            left -= kept.len();
            // SAFETY: as above.
            unsafe { self.image.write(self.base(), kept.clone(), self.source.bytes) };
            if kept.len() < range.len() {
                // Not only this range: all that follows is beyond the budget.
                let end = ranges[ranges.len() - 1].end;
                // SAFETY: as above.
                unsafe { self.give_back(kept.end..end)? };
            }
            ranges[count] = kept;
            count += 1;
            if left == 0 {
                if let Some(next) = ranges.get(index + 1) {
                    let rest = next.start..ranges[ranges.len() - 1].end;
                    // SAFETY: as above.
                    unsafe { self.give_back(rest)? };
                }
                break;
            }
        }
        self.memory.residue().remember(&ranges[..count], sys::page_size());
        Ok(())
    }

    /// Gives the pages of a range back to the system.
    ///
    /// # Safety
    /// As for `run`.
    unsafe fn give_back(&self, range: Range<usize>) -> io::Result<()> {
        let residue = self.memory.residue();
        let initial = self.initial();
        // SAFETY: as above.
        unsafe {
            if sys::can_discard() {
                sys::discard(self.base().wrapping_add(range.start), range.len())?;
            } else {
                // All of it, since extents can only be mapped as a whole.
                residue.settled.set(false);
                sys::make_inaccessible(self.base(), initial)?;
                let source = self.policy.view.then_some(self.source);
                self.image.map(self.base(), initial, source)?;
            }
        }
        residue.remember(&[], sys::page_size());
        if !self.policy.view && !self.image.extents().is_empty() {
            residue.blank.set(true);
        }
        Ok(())
    }

    /// Fills the memory if it was left blank.
    ///
    /// # Safety
    /// As for `run`.
    pub(super) unsafe fn fill(&self) {
        if self.memory.residue().blank.take() {
            // SAFETY: the caller's.
            unsafe { self.copy_image() };
        }
    }

    /// Writes the image into the memory, which is zeros.
    ///
    /// # Safety
    /// As for `run`.
    pub(super) unsafe fn copy_image(&self) {
        if !self.image.extents().is_empty() {
            // SAFETY: the caller's.
            unsafe { self.image.write_extents(self.base(), self.source.bytes) };
            self.memory.residue().forget();
            // The budget is for these pages too, whether or not code runs.
            self.memory.residue().lend();
        }
    }

    /// Makes pages that will be written resident in one go.
    ///
    /// # Safety
    /// As for `run`; the memory was just mapped or filled.
    pub(super) unsafe fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let range = range.start.min(self.initial())..range.end.min(self.initial());
        self.memory.residue().forget();
        self.memory.residue().lend();
        // SAFETY: the range is in the memory.
        unsafe { sys::populate(self.base().wrapping_add(range.start), range.len()) }
    }
}
