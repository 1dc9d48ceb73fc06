//! Handles: small values that name something a store owns.

use super::state::StoreState;
use crate::store::StoreOpaque;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many numbers a thread takes at a time.
const BLOCK: u64 = 1 << 16;

/// A number that is never given again in this process. There are enough for
/// 2^48 threads, and threads do not contend for them.
#[inline]
pub(crate) fn unique_id() -> NonZeroU64 {
    thread_local! {
        /// The last number given; a multiple of `BLOCK` if it has no successor.
        static LAST: Cell<u64> = const { Cell::new(0) };
    }

    #[cold]
    fn block() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(BLOCK, Ordering::Relaxed)
    }

    let last = LAST.get();
    let id = 1 + if last.is_multiple_of(BLOCK) { block() } else { last };
    LAST.set(id);
    NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX)
}

/// The identity of a store; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(NonZeroU64);

impl StoreId {
    pub(crate) fn next() -> StoreId {
        StoreId(unique_id())
    }
}

#[cold]
#[inline(never)]
#[cfg_attr(feature = "messages", track_caller)]
pub(crate) fn wrong_store() -> ! {
    panic!("an object was used with a store that does not own it; every object belongs to the store it was made in")
}

/// Something at a stable address that lives as long as the store with this id.
pub(crate) struct Stored<T> {
    store: StoreId,
    at: NonNull<T>,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Stored<T> {}

impl<T> std::fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of store {}", self.at, self.store.0)
    }
}

// SAFETY: a handle is two numbers until `get` is called, and that needs a
// reference to the store, whose own Send and Sync say who may have one.
unsafe impl<T> Send for Stored<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Stored<T> {}

impl<T> Stored<T> {
    /// # Safety
    /// The object at `at` belongs to the store `store`: it is not moved or
    /// freed before that store is.
    pub(crate) unsafe fn new(store: StoreId, at: NonNull<T>) -> Stored<T> {
        Stored { store, at }
    }

    /// The object.
    ///
    /// # Panics
    /// If `store` is not the one that owns it.
    #[inline]
    #[cfg_attr(feature = "messages", track_caller)]
    pub(crate) fn get(self, store: &StoreOpaque) -> &T {
        if store.id() != self.store {
            wrong_store();
        }
        // SAFETY: ids are unique, so this is the store that `new` spoke of;
        // it is alive, and the object with it.
        unsafe { self.at.as_ref() }
    }

    /// The address, for compiled code of the same store.
    #[inline]
    #[cfg_attr(feature = "messages", track_caller)]
    pub(crate) fn address(self, store: &StoreOpaque) -> NonNull<T> {
        if store.id() != self.store {
            wrong_store();
        }
        self.at
    }

    /// The address, for an owner that has only the inner part of the store.
    #[cfg_attr(feature = "messages", track_caller)]
    pub(super) fn address_in(self, state: &StoreState) -> NonNull<T> {
        if state.id() != self.store {
            wrong_store();
        }
        self.at
    }

    /// The address, for code that knows the store to be the right one.
    pub(super) fn assume(self) -> NonNull<T> {
        self.at
    }

    /// The store that owns the object.
    #[inline]
    pub(crate) fn store(self) -> StoreId {
        self.store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_beyond_the_end_of_a_block() {
        let take = || (0..BLOCK + 2).map(|_| unique_id()).collect::<Vec<_>>();
        let other = std::thread::spawn(take);
        let mut all = take();
        all.extend(other.join().unwrap());
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
