//! Values at stable addresses that live as long as their store.

use std::cell::RefCell;
use std::ptr::NonNull;

struct Entry {
    at: NonNull<u8>,
    free: unsafe fn(NonNull<u8>),
}

/// Owns values of any type until it is dropped, the last one first.
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
    /// dropped, and only shared references to it may be made.
    pub(crate) fn keep<T>(&self, value: T) -> NonNull<T> {
        let at = NonNull::from(Box::leak(Box::new(value)));
        self.entries.borrow_mut().push(Entry { at: at.cast(), free: free::<T> });
        at
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for entry in self.entries.get_mut().drain(..).rev() {
            // SAFETY: `keep` made the entry, and draining visits it once.
            unsafe { (entry.free)(entry.at) };
        }
    }
}
