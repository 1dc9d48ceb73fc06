//! A place for a value that is set once and then never moves, so that it is read
//! without a lock. What `OnceLock` does beyond that, waiting for each other, is
//! not wanted here: whoever sets one has a lock of its own.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The place. The value is in a box.
pub(crate) struct SetOnce<T> {
    at: AtomicPtr<T>,
    owns: PhantomData<T>,
}

// SAFETY: the value can be had by a shared reference on any thread, and is
// dropped by who owns the place.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// Without a value.
    pub(crate) const fn new() -> SetOnce<T> {
        SetOnce { at: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// The value, if it was set.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: null, or from a box that lives as long as the place.
        unsafe { self.at.load(Ordering::Acquire).as_ref() }
    }

    /// Sets the value; gives it back if there is one already.
    pub(crate) fn set(&self, value: T) -> Result<&T, Box<T>> {
        let new = Box::into_raw(Box::new(value));
        match self.at.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed) {
            // SAFETY: the place has it from now on.
            Ok(_) => Ok(unsafe { &*new }),
            // SAFETY: just taken out of a box.
            Err(_) => Err(unsafe { Box::from_raw(new) }),
        }
    }
}

impl<T> Drop for SetOnce<T> {
    fn drop(&mut self) {
        let at = *self.at.get_mut();
        if !at.is_null() {
            // SAFETY: taken out of a box in `set`.
            drop(unsafe { Box::from_raw(at) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_first_value_stays_and_is_dropped_with_the_place() {
        let (place, value) = (SetOnce::new(), Arc::new(1));
        assert!(place.get().is_none());
        assert!(place.set(value.clone()).is_ok_and(|set| Arc::ptr_eq(set, &value)));
        assert_eq!(**place.set(Arc::new(2)).unwrap_err(), 2);
        assert_eq!(place.get().map(|value| **value), Some(1));
        assert_eq!(Arc::strong_count(&value), 2);
        drop(place);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
