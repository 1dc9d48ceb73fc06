//! Guarded memories: those of which instances write the same few pages again
//! and again.
//!
//! ```text
//! | read-only | hot: RW | read-only | hot: RW | read-only | beyond the initial size
//! ```
//!
//! All other pages are made read-only, so that nothing has to be asked when the
//! memory is reset. Whoever writes to one of them all the same takes a fault;
//! the fault handler then makes the whole memory writable again, and the write
//! is repeated. Where the kernel would be the one to fault, because the host
//! gives it a slice of the memory, that is done beforehand.
//!
//! A guard costs a few mappings and system calls, once, and a fault that ends
//! it some microseconds; it saves the system call that each reset makes
//! otherwise, and what threads of one process pay for making it at once.

use crate::parts;
use crate::sys;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So many resets in a row have to find no new pages.
const STEADY: u32 = 64;
/// After so many guards that did not hold there is no further one.
const VIOLATIONS: u32 = 4;
/// More hot ranges than this would take too many mappings, of which a process
/// may have some 65,000.
pub(super) const RANGES: usize = 4;

/// Whether a memory is guarded, and whether it should be.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Atomic, like the others, because the fault handler changes it, on the
    /// same thread, and because threads that share a store may all ask where a
    /// memory is.
    on: AtomicBool,
    /// Resets in a row that found no new pages.
    steady: AtomicU32,
    /// Guards that did not hold.
    violations: AtomicU32,
}

impl Guard {
    /// Whether pages that are not hot are read-only, and so were not written.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        parts::RECYCLING.is_on() && self.on.load(Ordering::Relaxed)
    }

    /// Notes a reset that found no new pages; whether the memory is worth a
    /// guard now.
    pub(super) fn is_due(&self) -> bool {
        let steady = self.steady.load(Ordering::Relaxed).saturating_add(1);
        self.steady.store(steady, Ordering::Relaxed);
        let violations = self.violations.load(Ordering::Relaxed);
        violations < VIOLATIONS && steady >= STEADY << violations
    }

    /// Notes a reset that found new pages.
    pub(super) fn unsettle(&self) {
        self.steady.store(0, Ordering::Relaxed);
    }

    /// Makes `length` bytes at `base` read-only, all but the pages in `hot`.
    ///
    /// # Safety
    /// They are a memory that only code uses whose faults the fault handler
    /// gets, or that calls [`take_off`](Self::take_off) before.
    pub(super) unsafe fn put_on(&self, base: *mut u8, length: usize, hot: impl Iterator<Item = Range<usize>>) {
        self.on.store(true, Ordering::Relaxed);
        let mut done = 0;
        for range in hot.chain(std::iter::once(length..length)) {
            // SAFETY: the caller's.
            if unsafe { sys::make_read_only(base.wrapping_add(done), range.start - done) }.is_err() {
                // There are too many mappings.
                self.violations.store(VIOLATIONS, Ordering::Relaxed);
                // SAFETY: as above.
                unsafe { self.take_off(base, length) };
                return;
            }
            done = range.end;
        }
    }

    /// Makes a memory writable again, if it is guarded; whether that was done.
    /// Can be called by a signal handler.
    ///
    /// # Safety
    /// `length` bytes at `base` are the memory.
    pub(super) unsafe fn take_off(&self, base: *mut u8, length: usize) -> bool {
        // SAFETY: the caller's. This joins mappings, so it needs no new ones.
        if !self.is_on() || unsafe { sys::make_accessible(base, length) }.is_err() {
            return false;
        }
        self.on.store(false, Ordering::Relaxed);
        self.steady.store(0, Ordering::Relaxed);
        true
    }

    /// The same because of somebody who writes to pages that are not hot:
    /// perhaps the memory is not worth a guard.
    ///
    /// # Safety
    /// As for `take_off`.
    pub(super) unsafe fn violate(&self, base: *mut u8, length: usize) -> bool {
        self.violations.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { self.take_off(base, length) }
    }
}
