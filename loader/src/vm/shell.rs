//! States of dropped stores, kept for the next stores of the same thread.
//!
//! A store that follows another one, as requests follow each other, then
//! allocates nothing, and its state is where the last one's was: in the cache
//! of this CPU, and where what an instance remembers of its store's address
//! need not be changed.

use super::state::StoreState;
use std::cell::Cell;
use std::ptr::NonNull;

/// How many states a thread keeps.
const KEPT: usize = 4;

/// The most frames of a backtrace that a state may have room for to be kept.
const KEPT_FRAMES: usize = 1024;

/// The states of one thread, the last one that was kept first, without gaps.
struct Shells([Cell<Option<NonNull<StoreState>>>; KEPT]);

thread_local! {
    static SHELLS: Shells = const { Shells([const { Cell::new(None) }; KEPT]) };
}

impl Shells {
    fn take(&self, matches: impl Fn(&StoreState) -> bool) -> Option<NonNull<StoreState>> {
        // SAFETY: what is kept here is owned by nobody else.
        let fits = |shell: &Cell<Option<NonNull<_>>>| shell.get().is_some_and(|at| matches(unsafe { at.as_ref() }));
        let mut gap = self.0.iter().position(fits)?;
        let found = self.0[gap].take();
        while let Some(next) = self.0.get(gap + 1).and_then(Cell::take) {
            self.0[gap].set(Some(next));
            gap += 1;
        }
        found
    }

    /// Keeps a state; the oldest one if there is no room for it any more.
    fn keep(&self, state: NonNull<StoreState>) -> Option<NonNull<StoreState>> {
        let mut displaced = Some(state);
        for shell in &self.0 {
            displaced = shell.replace(displaced);
            if displaced.is_none() {
                break;
            }
        }
        displaced
    }
}

impl Drop for Shells {
    fn drop(&mut self) {
        for at in self.0.iter().filter_map(Cell::take) {
            // SAFETY: given to `keep`, which takes ownership of it.
            unsafe { free(at) };
        }
    }
}

/// # Safety
/// `state` was leaked from a box, and nobody uses it any more.
unsafe fn free(state: NonNull<StoreState>) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(state.as_ptr()) });
}

/// A state that a dropped store left, of the same kind as
/// `StoreState::allocate` makes it.
#[inline]
pub(super) fn take(max_wasm_stack: usize, frames: usize) -> Option<NonNull<StoreState>> {
    let matches = |state: &StoreState| state.max_wasm_stack == max_wasm_stack && state.frames.len() == frames;
    // When the thread is ending, and has freed what it kept, there is none.
    SHELLS.try_with(|shells| shells.take(matches)).ok()?
}

/// Keeps or frees a state.
///
/// # Safety
/// It was leaked from a box, is cleared, and nobody uses it any more.
#[inline]
pub(super) unsafe fn keep(state: NonNull<StoreState>) {
    // SAFETY: the caller's.
    let wanted = unsafe { state.as_ref() }.frames.len() <= KEPT_FRAMES;
    let unwanted = match SHELLS.try_with(|shells| wanted.then(|| shells.keep(state))) {
        Ok(Some(displaced)) => displaced,
        _ => Some(state),
    };
    if let Some(at) = unwanted {
        // SAFETY: the caller's, or that of the call that kept it.
        unsafe { free(at) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::state::VmStore;
    use std::cell::RefCell;
    use std::thread;

    fn kept() -> usize {
        SHELLS.with(|shells| shells.0.iter().filter(|shell| shell.get().is_some()).count())
    }

    /// Runs a test on a thread of its own, which has kept nothing yet.
    fn alone(test: impl FnOnce() + Send + 'static) {
        thread::spawn(test).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    #[test]
    fn the_next_store_has_the_state_of_the_last_and_another_id() {
        alone(|| {
            let first = VmStore::new(1 << 16, 20);
            let (at, id) = (first.address(), first.id());
            drop(first);
            let second = VmStore::new(1 << 16, 20);
            assert_eq!(second.address(), at);
            assert_ne!(second.id(), id);
            assert_eq!(kept(), 0);
        });
    }

    #[test]
    fn only_states_of_the_same_kind_are_used_again() {
        alone(|| {
            drop(VmStore::new(1 << 16, 20));
            let stack = VmStore::new(1 << 17, 20);
            let frames = VmStore::new(1 << 16, 0);
            assert_eq!((stack.max_wasm_stack, stack.frames.len()), (1 << 17, 20));
            assert_eq!((frames.max_wasm_stack, frames.frames.len()), (1 << 16, 0));
            assert_eq!(kept(), 1);
            let at = (stack.address(), frames.address());
            drop((stack, frames));
            assert_eq!(kept(), 3);
            assert_eq!((VmStore::new(1 << 17, 20).address(), VmStore::new(1 << 16, 0).address()), at);
            assert_eq!(kept(), 3);
        });
    }

    #[test]
    fn a_thread_keeps_a_few_states_and_the_latest() {
        alone(|| {
            let stores: Vec<VmStore> = (0..3 * KEPT).map(|i| VmStore::new(1 << 16, i)).collect();
            drop(stores);
            assert_eq!(kept(), KEPT);
            // How many of the kept states a new store takes.
            let taken = |frames: usize| {
                let before = kept();
                let store = VmStore::new(1 << 16, frames);
                (store, before - kept())
            };
            let again: Vec<_> = (0..3 * KEPT).map(taken).collect();
            assert!(again.iter().enumerate().all(|(i, (_, taken))| *taken == usize::from(i >= 2 * KEPT)));
            drop(VmStore::new(1 << 16, KEPT_FRAMES));
            drop(VmStore::new(1 << 16, KEPT_FRAMES + 1));
            assert_eq!((taken(KEPT_FRAMES + 1).1, taken(KEPT_FRAMES).1), (0, 1));
        });
    }

    /// Drops a store at the end of the thread.
    struct Late(RefCell<Option<VmStore>>);

    impl Drop for Late {
        fn drop(&mut self) {
            drop(self.0.take());
            drop(VmStore::new(1 << 16, 20));
        }
    }

    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None)) };
    }

    #[test]
    fn stores_can_be_made_and_dropped_while_their_thread_ends() {
        // Whichever of the two values is destroyed first.
        alone(|| {
            LATE.with(|_| ());
            drop(VmStore::new(1 << 16, 20));
            LATE.with(|late| *late.0.borrow_mut() = Some(VmStore::new(1 << 16, 20)));
        });
        alone(|| {
            drop(VmStore::new(1 << 16, 20));
            LATE.with(|late| *late.0.borrow_mut() = Some(VmStore::new(1 << 16, 20)));
        });
    }
}
