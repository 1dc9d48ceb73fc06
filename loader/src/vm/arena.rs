//! Values at stable addresses that live as long as their store.

use std::cell::RefCell;
use std::ptr::NonNull;

/// Number of values that an empty arena may have room for.
const CAPACITY_KEPT: usize = 64;

struct Entry {
    at: NonNull<u8>,
    free: unsafe fn(NonNull<u8>),
}

/// Owns values of any type until it is cleared or dropped; the last one is
/// dropped first.
#[derive(Default)]
pub(crate) struct Arena {
    entries: RefCell<Vec<Entry>>,
}

unsafe fn free<T>(at: NonNull<u8>) {
    // SAFETY: the caller passes what `Arena::keep` made from a box of `T`,
    // once.
    drop(unsafe { Box::from_raw(at.cast::<T>().as_ptr()) });
}

impl Arena {
    /// Takes a value in. It stays at the returned address until the arena is
    /// cleared or dropped, and only shared references to it may be made.
    pub(crate) fn keep<T>(&self, value: T) -> NonNull<T> {
        let at = NonNull::from(Box::leak(Box::new(value)));
        self.entries.borrow_mut().push(Entry { at: at.cast(), free: free::<T> });
        at
    }

    /// Drops all values. If dropping one of them panics, those that are left
    /// are dropped by the next call.
    pub(crate) fn clear(&mut self) {
        while let Some(entry) = self.entries.get_mut().pop() {
            // SAFETY: `keep` made the entry, which is used this once.
            unsafe { (entry.free)(entry.at) };
        }
        self.entries.get_mut().shrink_to(CAPACITY_KEPT);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    struct Note<'a>(usize, &'a RefCell<Vec<usize>>);

    impl Drop for Note<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
            assert_ne!(self.0, 13, "unlucky");
        }
    }

    #[test]
    fn values_are_dropped_last_first_and_new_ones_can_follow() {
        let order = RefCell::new(Vec::new());
        let mut arena = Arena::default();
        for round in [0, 10] {
            for i in 0..3 {
                arena.keep(Note(round + i, &order));
            }
            arena.clear();
        }
        assert_eq!(order.take(), [2, 1, 0, 12, 11, 10]);
    }

    #[test]
    fn a_panic_while_one_value_is_dropped_does_not_lose_the_others() {
        let order = RefCell::new(Vec::new());
        let mut arena = Arena::default();
        for i in 12..15 {
            arena.keep(Note(i, &order));
        }
        catch_unwind(AssertUnwindSafe(|| arena.clear())).unwrap_err();
        drop(arena);
        assert_eq!(order.take(), [14, 13, 12]);
    }

    #[test]
    fn room_for_very_many_values_is_given_back() {
        let (mut arena, value) = (Arena::default(), Rc::new(()));
        for _ in 0..100 * CAPACITY_KEPT {
            arena.keep(value.clone());
        }
        arena.clear();
        assert_eq!(Rc::strong_count(&value), 1);
        assert!(arena.entries.get_mut().capacity() <= 2 * CAPACITY_KEPT);
    }
}
