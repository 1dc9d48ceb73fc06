//! Views of files that may shrink while they are mapped.
//!
//! A page of a view beyond the end of its file cannot be read any more: an
//! access is answered with SIGBUS, and so is one to a page that cannot be read
//! for another reason. Who maps a file that somebody else can change makes a
//! [`Watch`] of the view. Then the signal handler puts a page of zeros where
//! the lost one was, so that the program goes on, and notes the [`Damage`],
//! which the program is to look at before it relies on what it has read.
//!
//! The handler may run at any moment, also while its own thread changes this
//! registry, so it takes no lock:
//!
//! ```text
//! FIRST ─▶ | used: one bit an entry | entries: version, start, end, damage | next ─▶ ...
//! ```
//!
//! Blocks are added and never freed. Who sets a bit owns the entry until he
//! clears it. The version of an entry is odd while it is changed; who reads it
//! meanwhile passes over it, since nobody accesses a view that is not yet, or
//! no longer, watched.

use super::{make_unexecutable, page_size};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

/// What is known of a file with views: whether some of it was lost.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    happened: AtomicBool,
    /// The address and length of the code in it, as soon as it is executable.
    code: AtomicUsize,
    code_length: AtomicUsize,
}

impl Damage {
    /// Whether a page was lost. What was read before this says no was there.
    #[inline]
    pub(crate) fn happened(&self) -> bool {
        self.happened.load(Ordering::Acquire)
    }

    /// Names code that must not run any more once a page is lost: it could
    /// work on zeros that the handler has put there.
    ///
    /// # Safety
    /// The range consists of whole pages, which stay mapped until
    /// [`forget_code`](Self::forget_code) is called.
    pub(crate) unsafe fn set_code(&self, code: Range<usize>) {
        self.code_length.store(code.len(), Ordering::Relaxed);
        self.code.store(code.start, Ordering::Release);
        if self.happened() {
            self.stop_code();
        }
    }

    /// The code is about to be unmapped.
    pub(crate) fn forget_code(&self) {
        self.code.store(0, Ordering::Release);
    }

    /// Notes that something was lost.
    pub(crate) fn note(&self) {
        self.happened.store(true, Ordering::SeqCst);
        self.stop_code();
    }

    fn stop_code(&self) {
        let start = self.code.load(Ordering::Acquire) as *mut u8;
        if !start.is_null() {
            // SAFETY: `set_code` was given this range. Code that runs there
            // faults, and the handler ends it.
            unsafe { make_unexecutable(start, self.code_length.load(Ordering::Relaxed)) };
        }
    }
}

/// A view that is watched as long as the value lives, which must not be longer
/// than the view exists.
#[derive(Debug)]
pub(crate) struct Watch {
    block: &'static Block,
    index: usize,
    /// The entry points to it.
    _damage: Arc<Damage>,
}

impl Watch {
    /// Watches the addresses `view`, of which `damage` is to know. `writable`
    /// says whether they can be written to.
    pub(crate) fn new(view: Range<usize>, writable: bool, damage: Arc<Damage>) -> Watch {
        let (block, index) = claim();
        block.entries[index].set(view, writable, &damage);
        Watch { block, index, _damage: damage }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.block.entries[self.index].clear();
        self.block.used.fetch_and(!(1 << self.index), Ordering::Release);
        HINT.store(ptr::from_ref(self.block).cast_mut(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Entry {
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    writable: AtomicBool,
    damage: AtomicPtr<Damage>,
}

/// What an entry says.
struct Found {
    writable: bool,
    damage: *const Damage,
}

impl Entry {
    const fn new() -> Entry {
        Entry {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            writable: AtomicBool::new(false),
            damage: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn change(&self, change: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    fn set(&self, view: Range<usize>, writable: bool, damage: &Arc<Damage>) {
        self.change(|| {
            self.start.store(view.start, Ordering::Relaxed);
            self.end.store(view.end, Ordering::Relaxed);
            self.writable.store(writable, Ordering::Relaxed);
            self.damage.store(Arc::as_ptr(damage).cast_mut(), Ordering::Relaxed);
        });
    }

    fn clear(&self) {
        self.change(|| self.end.store(0, Ordering::Relaxed));
    }

    fn find(&self, address: usize) -> Option<Found> {
        let version = self.version.load(Ordering::Acquire);
        let view = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        let found =
            Found { writable: self.writable.load(Ordering::Relaxed), damage: self.damage.load(Ordering::Relaxed) };
        fence(Ordering::Acquire);
        let unchanged = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        (unchanged && view.contains(&address)).then_some(found)
    }
}

#[derive(Debug)]
struct Block {
    used: AtomicU64,
    entries: [Entry; 64],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Block {
        let entries = [const { Entry::new() }; 64];
        Block { used: AtomicU64::new(0), entries, next: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The block after this one.
    fn next(&self) -> Option<&'static Block> {
        // SAFETY: null, or a block that is never freed.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Takes a free entry, if there is one.
    fn claim(&self) -> Option<usize> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let index = used.trailing_ones();
            if index >= u64::BITS {
                return None;
            }
            match self.used.compare_exchange_weak(used, used | 1 << index, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(index as usize),
                Err(now) => used = now,
            }
        }
    }
}

static FIRST: Block = Block::new();

/// A block that has, or had, a free entry; null stands for the first.
static HINT: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

fn claim() -> (&'static Block, usize) {
    // SAFETY: null, or a block that is never freed.
    let hint = unsafe { HINT.load(Ordering::Relaxed).as_ref() };
    if let Some(block) = hint
        && let Some(index) = block.claim()
    {
        return (block, index);
    }
    let mut block = &FIRST;
    let index = loop {
        if let Some(index) = block.claim() {
            break index;
        }
        block = match block.next() {
            Some(next) => next,
            None => {
                let new = Box::into_raw(Box::new(Block::new()));
                match block.next.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
                    // SAFETY: just made, and never freed.
                    Ok(_) => unsafe { &*new },
                    Err(other) => {
                        // SAFETY: the new block is nobody else's; the other
                        // one is never freed.
                        unsafe {
                            drop(Box::from_raw(new));
                            &*other
                        }
                    }
                }
            }
        };
    };
    HINT.store(ptr::from_ref(block).cast_mut(), Ordering::Relaxed);
    (block, index)
}

fn find(address: usize) -> Option<Found> {
    std::iter::successors(Some(&FIRST), |block| block.next())
        .flat_map(|block| &block.entries)
        .find_map(|entry| entry.find(address))
}

/// Notes that the page with `address` is lost, if it is watched; whether it
/// is. To be called by the signal handler.
pub(crate) fn note_loss(address: usize) -> bool {
    let Some(found) = find(address) else { return false };
    // SAFETY: the thread has just accessed the view, so that its watch, which
    // keeps this alive, exists.
    unsafe { (*found.damage).note() };
    true
}

/// As [`note_loss`]; also puts a page of zeros there.
pub(super) fn replace_lost(address: usize) -> bool {
    let Some(Found { writable, .. }) = find(address) else { return false };
    let page = address & !(page_size() - 1);
    let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
    // SAFETY: the page is part of a view, since views consist of whole pages,
    // and there is nothing in it that could be lost.
    let at = unsafe { libc::mmap(page as *mut _, page_size(), access, flags, -1, 0) };
    at != libc::MAP_FAILED && note_loss(address)
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Region, portable};
    use super::*;
    use std::fs::File;
    use std::io::Write;

    /// A view of a file of pages full of 7s, and the file.
    fn view(pages: usize) -> (Region, File) {
        // Makes sure that there is a handler.
        drop(crate::Engine::default());
        let length = pages * page_size();
        let mut file = portable::create_unnamed().unwrap();
        file.write_all(&vec![7; length]).unwrap();
        let region = Region::reserve(length).unwrap();
        // SAFETY: nobody else knows the region.
        unsafe { region.overlay(0..length, &file, 0, Access::Write).unwrap() };
        (region, file)
    }

    fn range(region: &Region, pages: usize) -> Range<usize> {
        let start = region.start().as_ptr() as usize;
        start..start + pages * page_size()
    }

    fn read(region: &Region, page: usize) -> u8 {
        // SAFETY: the tests pass pages within the region.
        unsafe { region.start().add(page * page_size() + 5).read_volatile() }
    }

    #[test]
    fn lost_pages_read_as_zeros_and_damage_is_known() {
        let damage = Arc::new(Damage::default());
        let ((region, file), (other, _file)) = (view(4), view(1));
        let other_damage = Arc::new(Damage::default());
        let _watches = [
            Watch::new(range(&region, 4), true, damage.clone()),
            Watch::new(range(&other, 1), true, other_damage.clone()),
        ];
        assert_eq!(read(&region, 3), 7);
        file.set_len(page_size() as u64).unwrap();
        assert!(!damage.happened(), "nobody has noticed yet");
        assert_eq!([0, 1, 2].map(|page| read(&region, page)), [7, 0, 0]);
        assert!(damage.happened());
        // SAFETY: nobody else knows the region.
        unsafe {
            let at = region.start().add(3 * page_size());
            at.write_volatile(9);
            assert_eq!(at.read_volatile(), 9, "the replacement is writable");
        }
        assert_eq!(read(&other, 0), 7);
        assert!(!other_damage.happened());
    }

    #[test]
    fn entries_are_found_while_they_exist_and_used_again() {
        // Addresses that nothing is at: only the registry is tested.
        let base = (usize::MAX / 2) & !0xffff;
        let damage = Arc::new(Damage::default());
        let watch = |i: usize| Watch::new(base + i * 4096..base + (i + 1) * 4096, i.is_multiple_of(2), damage.clone());
        let mut watches: Vec<Option<Watch>> = (0..200).map(|i| Some(watch(i))).collect();
        let blocks = || std::iter::successors(Some(&FIRST), |block| block.next()).count();
        let writable = |i: usize| find(base + i * 4096 + 4095).map(|found| found.writable);
        for i in 0..200 {
            assert_eq!(writable(i), Some(i.is_multiple_of(2)));
        }
        assert!(find(base - 1).is_none() && find(base + 200 * 4096).is_none());
        for i in (0..200).step_by(3) {
            watches[i] = None;
            assert_eq!(writable(i), None);
        }
        let before = blocks();
        for _ in 0..100_000 {
            drop(watch(0));
        }
        // Other tests of this process may have needed a block or two meanwhile.
        assert!(blocks() < before + 8, "entries are used again: {before} blocks, then {}", blocks());
        for (i, watch) in watches.iter().enumerate() {
            assert_eq!(writable(i).is_some(), watch.is_some());
        }
    }

    #[test]
    fn threads_that_register_do_not_disturb_each_other() {
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                scope.spawn(move || {
                    let base = (usize::MAX / 4 + thread * (1 << 30)) & !0xffff;
                    let damage = Arc::new(Damage::default());
                    for round in 0..2000 {
                        let start = base + round * 4096;
                        let watches = [0, 1, 2].map(|i| Watch::new(start + i..start + i + 1, true, damage.clone()));
                        for i in 0..3 {
                            let found = find(start + i).unwrap();
                            assert!(ptr::eq(found.damage, &raw const *damage));
                        }
                        drop(watches);
                        assert!(find(start).is_none());
                    }
                });
            }
        });
    }
}
