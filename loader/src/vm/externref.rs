//! Values of the host's with counted references, for wasm to refer to.
//!
//! ```text
//! VMExternRef ──▶ | count | value: address and vtable | padding | value ... |
//!                 ^ one allocation, aligned for the value and the head
//! ```
//!
//! The pointer is to the head, whatever the type of the value. What it points
//! to is allocated and freed here by hand, because no type of the standard
//! library is a thin pointer to a value whose type is not known.
//!
//! All pointers are derived from the one that the allocator gave, and are
//! never made from numbers, so that the module is in order under strict
//! provenance. No `&mut` of any part exists while references are shared.

use std::alloc::{self, Layout};
use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::atomic::{self, AtomicUsize};

/// Nobody can have so many references, unless they are forgotten in a loop.
const MOST: usize = isize::MAX as usize;

/// What all values have before them.
struct Head {
    count: AtomicUsize,
    /// The value, in the same allocation. The vtable knows its size,
    /// alignment, type and destructor.
    value: NonNull<dyn Any + Send + Sync>,
}

/// The layout of a head with a value after it, and where the value is.
fn layout(value: Layout) -> Option<(Layout, usize)> {
    let (whole, offset) = Layout::new::<Head>().extend(value).ok()?;
    Some((whole.pad_to_align(), offset))
}

/// A counted reference to a value of the host's.
///
/// Independent of stores: the same reference can be given to several, and to
/// none. It is one pointer, which is never null; an `Option` of it is no
/// larger, and null if it is `None`. Clones are shallow and refer to the same
/// value, which is dropped with the last of them.
///
/// Two references are the same if they are to the same value in memory. That
/// is what [`VMExternRef::eq`], [`VMExternRef::cmp`] and [`VMExternRef::hash`]
/// are about; they are associated functions, so that nobody takes them for a
/// comparison of values.
///
/// ```
/// use wasmc_loader::VMExternRef;
///
/// let name = VMExternRef::new(String::from("a value"));
/// let again = name.clone();
/// assert!(VMExternRef::eq(&name, &again));
/// assert_eq!(name.strong_count(), 2);
/// assert_eq!(again.downcast_ref::<String>().unwrap(), "a value");
/// assert!(!name.is::<u32>());
/// ```
///
#[repr(transparent)]
pub struct VMExternRef(NonNull<Head>);

// SAFETY: the value is Send and Sync, and is used through shared references
// only until the last reference, on whatever thread, drops it.
unsafe impl Send for VMExternRef {}
// SAFETY: as above.
unsafe impl Sync for VMExternRef {}

/// Memory that is freed unless it is forgotten.
struct Memory {
    at: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn allocate(layout: Layout) -> Memory {
        // SAFETY: the layout has room for a head at least.
        let at = unsafe { alloc::alloc(layout) };
        Memory { at: NonNull::new(at).unwrap_or_else(|| alloc::handle_alloc_error(layout)), layout }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed here only.
        unsafe { alloc::dealloc(self.at.as_ptr(), self.layout) };
    }
}

impl VMExternRef {
    /// A reference to a new value.
    pub fn new<T: Any + Send + Sync>(value: T) -> VMExternRef {
        VMExternRef::new_with(|| value)
    }

    /// A reference to the value that `make` returns, which goes directly to
    /// where it stays. If `make` panics, nothing is left behind.
    ///
    /// # Panics
    /// If the value is as large as the address space, or `make` panics.
    pub fn new_with<T: Any + Send + Sync>(make: impl FnOnce() -> T) -> VMExternRef {
        let (layout, offset) = match layout(Layout::new::<T>()) {
            Some(found) => found,
            None => panic!("a value of {} bytes is too large to be referred to", size_of::<T>()),
        };
        let memory = Memory::allocate(layout);
        // SAFETY: the layout has room for a `T` at this offset.
        let value = unsafe { memory.at.add(offset) }.cast::<T>();
        // SAFETY: aligned for a `T`, and nobody else's.
        unsafe { value.write(make()) };
        let head = memory.at.cast::<Head>();
        // SAFETY: the head is at the start.
        unsafe { head.write(Head { count: AtomicUsize::new(1), value }) };
        mem::forget(memory);
        VMExternRef(head)
    }

    fn head(&self) -> &Head {
        // SAFETY: the head exists as long as a reference does, and is never
        // borrowed mutably.
        unsafe { self.0.as_ref() }
    }

    /// The reference as a pointer that is not counted; the number of
    /// references stays as it is.
    pub fn as_raw(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// The reference as a pointer that stands for it, which is to be given to
    /// [`from_raw`](Self::from_raw) later, or the value is never dropped.
    #[must_use = "the value is dropped only after the pointer was made a reference again"]
    pub fn into_raw(self) -> *mut u8 {
        ManuallyDrop::new(self).as_raw()
    }

    /// Makes a pointer that stands for a reference that reference again.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw), and this is done with it
    /// at most once for each such call.
    pub unsafe fn from_raw(raw: *mut u8) -> VMExternRef {
        // SAFETY: pointers that `into_raw` returns are not null.
        VMExternRef(unsafe { NonNull::new_unchecked(raw) }.cast())
    }

    /// One more reference to what a pointer refers to.
    ///
    /// # Safety
    /// `raw` came from [`as_raw`](Self::as_raw) or
    /// [`into_raw`](Self::into_raw), and a reference to the same value exists
    /// during the call.
    pub unsafe fn clone_from_raw(raw: *mut u8) -> VMExternRef {
        // SAFETY: the caller's; the reference is not dropped, so that none
        // has to have been given up for it.
        let borrowed = ManuallyDrop::new(unsafe { VMExternRef::from_raw(raw) });
        VMExternRef::clone(&borrowed)
    }

    /// Number of references to the value. Others may change it at any time,
    /// unless it is 1 and the caller has the one.
    pub fn strong_count(&self) -> usize {
        self.head().count.load(atomic::Ordering::Relaxed)
    }

    /// Whether both refer to the same value in memory.
    #[allow(clippy::should_implement_trait, reason = "equality of references must not be taken for that of values")]
    pub fn eq(a: &VMExternRef, b: &VMExternRef) -> bool {
        a.0 == b.0
    }

    /// Hashes where the value is.
    #[allow(clippy::should_implement_trait, reason = "as for `eq`")]
    pub fn hash(reference: &VMExternRef, state: &mut impl Hasher) {
        Hash::hash(&reference.0, state);
    }

    /// Orders references by where their values are.
    #[allow(clippy::should_implement_trait, reason = "as for `eq`")]
    pub fn cmp(a: &VMExternRef, b: &VMExternRef) -> Ordering {
        Ord::cmp(&a.0, &b.0)
    }

    /// The value, to be changed, if nobody else has a reference to it.
    pub fn get_mut(&mut self) -> Option<&mut (dyn Any + Send + Sync)> {
        // What others did with the value before they gave up their references
        // has happened before what the caller will do.
        if self.head().count.load(atomic::Ordering::Acquire) != 1 {
            return None;
        }
        let mut value = self.head().value;
        // SAFETY: this is the only reference, and it is borrowed exclusively.
        Some(unsafe { value.as_mut() })
    }

    #[cold]
    #[inline(never)]
    fn drop_value(&mut self) {
        let value = self.head().value;
        // SAFETY: the value is there until it is dropped below.
        let layout = layout(Layout::for_value(unsafe { value.as_ref() }));
        let memory = layout.map(|(layout, _)| Memory { at: self.0.cast(), layout });
        debug_assert!(memory.is_some(), "the layout was computed when the value was made");
        // SAFETY: that was the last reference. If this panics, `memory` is
        // dropped all the same.
        unsafe { value.drop_in_place() };
        drop(memory);
    }
}

impl Clone for VMExternRef {
    fn clone(&self) -> VMExternRef {
        // A reference exists, so that nothing needs to be ordered before.
        if self.head().count.fetch_add(1, atomic::Ordering::Relaxed) > MOST {
            // Going on would free a value that is referred to.
            abort();
        }
        VMExternRef(self.0)
    }
}

impl Drop for VMExternRef {
    fn drop(&mut self) {
        if self.head().count.fetch_sub(1, atomic::Ordering::Release) == 1 {
            // Whatever others did with the value comes before its destructor.
            atomic::fence(atomic::Ordering::Acquire);
            self.drop_value();
        }
    }
}

impl Deref for VMExternRef {
    type Target = dyn Any + Send + Sync;

    fn deref(&self) -> &(dyn Any + Send + Sync) {
        // SAFETY: the value exists as long as a reference does, and nobody
        // has it exclusively while this one is borrowed: see `get_mut`.
        unsafe { self.head().value.as_ref() }
    }
}

impl fmt::Debug for VMExternRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VMExternRef({:p})", self.0)
    }
}

impl fmt::Pointer for VMExternRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
