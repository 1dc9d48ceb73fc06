//! What belongs to a part of the loader that may be left out.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// Something of a part's that is `ON` or left out. If it is, what drops the
/// value is left out as well, so the value must not own anything then.
#[derive(Debug, Default)]
pub(crate) struct Of<T, const ON: bool>(ManuallyDrop<T>);

impl<T, const ON: bool> Of<T, ON> {
    pub(crate) const fn new(value: T) -> Self {
        Of(ManuallyDrop::new(value))
    }
}

impl<T, const ON: bool> Deref for Of<T, ON> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, const ON: bool> DerefMut for Of<T, ON> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T, const ON: bool> Drop for Of<T, ON> {
    #[inline]
    fn drop(&mut self) {
        if ON {
            // SAFETY: once, and the value is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
