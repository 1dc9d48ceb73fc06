//! What can be known, without looking at memories, about what happened to
//! them.
//!
//! Writing to a page for the first time takes a page fault, and the system
//! counts the faults of each thread. So if a store was used on one thread only,
//! and that thread has taken no fault since the store was made, then no page
//! was written that had not been written before. Asking for the count takes a
//! system call, so it is done once a store, when that is dropped; the count at
//! its beginning is the one that was found last on the thread, which is not
//! more than the true one. A process that is forked off begins to count anew; so
//! its only thread is another one to us than the thread that it was.

use super::activation;
use super::reset::Activity;
use super::state::StoreState;
use crate::sys;
use std::cell::Cell;
use std::sync::Once;

/// No count is known.
const UNKNOWN: u64 = u64::MAX;
/// After so many vain questions, fewer are asked.
const PATIENCE: u32 = 8;
/// Then only two of so many stores ask, one after the other: the second one
/// compares its count with that of the first.
const RARELY: u32 = 16;

#[derive(Debug)]
struct Known {
    /// The thread's page faults when it was last asked for them.
    faults: Cell<u64>,
    /// How often in a row asking was in vain.
    vain: Cell<u32>,
}

thread_local! {
    static KNOWN: Known = const { Known { faults: Cell::new(UNKNOWN), vain: Cell::new(0) } };
}

/// Sees to it that processes which are forked off do not rely on this one's counts.
pub(crate) fn notice_forks() {
    unsafe extern "C" fn forked() {
        activation::renumber();
        KNOWN.with(|known| known.faults.set(UNKNOWN));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: sets three numbers of the thread.
        unsafe { sys::after_fork(forked) };
    });
}

/// The beginning of a time in which perhaps no page fault happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    thread: u64,
    /// Not more than the thread's page faults at the time.
    faults: u64,
}

impl Beginning {
    /// From now on, on this thread.
    #[inline]
    pub(super) fn now() -> Beginning {
        Beginning { thread: activation::thread_number(), faults: KNOWN.with(|known| known.faults.get()) }
    }

    /// Whether this thread is the same, and has taken no page fault since.
    fn is_quiet(self) -> bool {
        KNOWN.with(|known| {
            let vain = known.vain.get();
            if vain >= PATIENCE && vain % RARELY > 1 {
                known.vain.set(vain.wrapping_add(1).max(PATIENCE));
                known.faults.set(UNKNOWN);
                return false;
            }
            let Some(faults) = sys::thread_faults() else {
                known.vain.set(PATIENCE);
                return false;
            };
            known.faults.set(faults);
            let quiet = self.thread == activation::thread_number() && self.faults == faults;
            known.vain.set(if quiet { 0 } else { vain.wrapping_add(1) });
            quiet
        })
    }
}

/// What has happened in a store.
struct Since<'a> {
    state: &'a StoreState,
    /// The answer, once it was asked for.
    quiet: Cell<Option<bool>>,
}

impl Activity for Since<'_> {
    fn code_ran(&self) -> bool {
        // Entering code sets one or the other.
        !self.state.context.host.get().is_null() || self.state.entered.get()
    }

    fn was_quiet(&self) -> bool {
        if let Some(quiet) = self.quiet.get() {
            return quiet;
        }
        let quiet = self.state.beginning.get().is_some_and(|beginning| {
            // The limit is the last thread's that entered code, perhaps long ago.
            let thread = self.state.limit.thread.get();
            (thread == 0 || thread == beginning.thread) && !self.state.moved.get() && beginning.is_quiet()
        });
        self.quiet.set(Some(quiet));
        quiet
    }
}

impl StoreState {
    /// What has happened in the store since it was made or last began anew.
    pub(super) fn activity(&self) -> impl Activity + use<'_> {
        Since { state: self, quiet: Cell::new(None) }
    }

    /// Notes that a memory is written to on this thread; whether that is the
    /// thread on which page faults are counted for the store.
    #[inline]
    pub(super) fn writes_here(&self) -> bool {
        self.entered.set(true);
        self.beginning.get().is_some_and(|beginning| beginning.thread == activation::thread_number())
    }

    /// Whether a call into the store is active, on whatever thread: a host
    /// function that it has called is what asks.
    pub(crate) fn is_running(&self) -> bool {
        activation::is_active(self)
    }

    /// Notes that all memories are as they were at first. No code runs.
    pub(crate) fn begin(&self) {
        self.context.host.set(std::ptr::null_mut());
        self.entered.set(false);
        self.moved.set(false);
        self.beginning.set(Some(Beginning::now()));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::{Region, page_size};
    use crate::vm::state::VmStore;

    /// Whether it was quiet in a store that ran code, which did something.
    fn is_quiet(work: impl FnOnce()) -> bool {
        let store = VmStore::new(1 << 16, 0);
        store.context.host.set(store.address());
        work();
        let activity = store.activity();
        assert!(activity.code_ran());
        activity.was_quiet()
    }

    #[test]
    fn another_thread_is_never_quiet() {
        let beginning = Beginning::now();
        assert!(!std::thread::spawn(move || beginning.is_quiet()).join().unwrap());
    }

    #[test]
    fn a_forked_process_relies_on_no_count_from_before() {
        let check = || {
            notice_forks();
            let known = || KNOWN.with(|known| known.faults.get());
            // Where faults are not counted, there is nothing to forget.
            let counts = sys::thread_faults().is_some();
            Beginning::now().is_quiet();
            let (beginning, before) = (Beginning::now(), known());
            // SAFETY: the child does nothing but look at numbers of its thread.
            let status = unsafe {
                let child = libc::fork();
                if child == 0 {
                    let same = beginning.thread == activation::thread_number() || (counts && known() == before);
                    libc::_exit(if same { 1 } else { 55 });
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                status
            };
            assert_eq!(libc::WEXITSTATUS(status), 55);
            assert_eq!(
                (beginning.thread, before),
                (activation::thread_number(), known()),
                "the parent stays as it was"
            );
            assert_eq!(before != UNKNOWN, counts);
        };
        std::thread::spawn(check).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    #[test]
    fn a_thread_whose_stores_fault_for_long_is_found_quiet_again() {
        // Whatever this thread may do otherwise.
        let check = || {
            let pages = Region::reserve(1000 * page_size()).unwrap();
            // SAFETY: nobody else knows the region.
            unsafe { pages.make_accessible(0..1000 * page_size()).unwrap() };
            // With large pages one fault would be that of many.
            sys::keep_pages_small(pages.start().as_ptr(), 1000 * page_size());
            let fault = |page: usize| {
                // SAFETY: within the region, which is accessible.
                unsafe { pages.start().add(page * page_size()).write_volatile(1) };
            };
            for busy in [1, PATIENCE as usize + 1, 100, 700] {
                for page in 0..busy {
                    assert!(!is_quiet(|| fault(page)), "a page fault was overlooked");
                }
                // SAFETY: as above.
                unsafe { sys::make_inaccessible(pages.start().as_ptr(), 1000 * page_size()).unwrap() };
                // SAFETY: as above.
                unsafe { pages.make_accessible(0..1000 * page_size()).unwrap() };
                let quiet = (0..10 * RARELY).filter(|_| is_quiet(|| {})).count();
                // Without a count of faults no thread is ever known to be quiet.
                let known = sys::thread_faults().is_some();
                assert_eq!(quiet > 5 * RARELY as usize, known, "quiet {quiet} times after {busy} others");
            }
        };
        std::thread::spawn(check).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
