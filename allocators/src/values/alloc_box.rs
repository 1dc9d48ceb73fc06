//! A value in a block of its own.

use super::Place;
use crate::allocator::Allocator;
use crate::error::AllocError;
use crate::held::Held;
use std::alloc::Layout;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

/// A value in a block of an allocator: what `Box` is for the heap. Dropped, it
/// drops the value and gives the block back, also if the value's drop panics.
///
/// With `A` a reference, the box cannot outlive the allocator; with an `Arc`
/// it keeps it alive.
///
/// ```
/// use wasmc_allocators::{AllocBox, AllocError, HeapAllocator, Scoped, unsize};
///
/// let records = Scoped::growing(HeapAllocator, 4096);
/// let mut words = AllocBox::new(vec!["a", "record"], &records)?;
/// words.push("with a destructor");
/// assert_eq!(words.len(), 3);
///
/// let hidden = unsize!(words => dyn std::fmt::Debug);
/// assert_eq!(format!("{hidden:?}"), r#"["a", "record", "with a destructor"]"#);
/// # Ok::<(), AllocError>(())
/// ```
///
/// ```compile_fail,E0597
/// use std::alloc::Layout;
/// use wasmc_allocators::{AllocBox, HeapAllocator, Scoped};
///
/// let number = {
///     let records = Scoped::fixed(HeapAllocator, Layout::new::<u64>()).unwrap();
///     AllocBox::new(7, &records).unwrap()
/// };
/// ```
pub struct AllocBox<T: ?Sized, A: Allocator> {
    value: NonNull<T>,
    allocator: A,
    owned: PhantomData<T>,
}

// SAFETY: the value belongs to the box alone.
unsafe impl<T: ?Sized + Send, A: Allocator + Send> Send for AllocBox<T, A> {}
// SAFETY: shared access to the box is shared access to its parts.
unsafe impl<T: ?Sized + Sync, A: Allocator + Sync> Sync for AllocBox<T, A> {}

impl<T, A: Allocator> AllocBox<T, A> {
    /// Moves a value into a new block.
    ///
    /// # Errors
    /// If the allocator has none. The value is dropped then; whoever wants to
    /// keep it gets a [`Place`] first.
    pub fn new(value: T, allocator: A) -> Result<AllocBox<T, A>, AllocError> {
        Ok(Place::new(allocator)?.fill(value))
    }

    /// Makes a value for a new block, once there is one. If `make` panics, the
    /// block goes back.
    ///
    /// # Errors
    /// If the allocator has none. `make` is not called then.
    pub fn new_in_place(allocator: A, make: impl FnOnce() -> T) -> Result<AllocBox<T, A>, AllocError> {
        Ok(Place::new(allocator)?.fill_with(make))
    }

    /// Takes the value out, and gives the block back.
    pub fn take(this: AllocBox<T, A>) -> T {
        AllocBox::take_out(this).0
    }

    /// Takes the value out, and keeps the block for another one.
    pub fn take_out(this: AllocBox<T, A>) -> (T, Place<T, A>) {
        let (value, allocator) = AllocBox::into_raw(this);
        // SAFETY: the value is moved out of the block, in which a `T` had room
        // and which nobody else knows.
        unsafe { (value.read(), Place::from_raw(value, allocator)) }
    }
}

impl<T: ?Sized, A: Allocator> AllocBox<T, A> {
    /// The value, in its block, and the allocator of that.
    pub fn into_raw(this: AllocBox<T, A>) -> (NonNull<T>, A) {
        let this = ManuallyDrop::new(this);
        // SAFETY: the allocator is moved out of a value that is not dropped.
        (this.value, unsafe { ptr::read(&this.allocator) })
    }

    /// A box of a value that is in a block already.
    ///
    /// # Safety
    /// `allocator` gave out the block, with the layout of the value, which
    /// belongs to nobody else.
    pub unsafe fn from_raw(value: NonNull<T>, allocator: A) -> AllocBox<T, A> {
        AllocBox { value, allocator, owned: PhantomData }
    }

    /// The allocator of the block.
    pub fn allocator(this: &AllocBox<T, A>) -> &A {
        &this.allocator
    }

    /// Makes a box of a type without a size known to the compiler, such as a
    /// trait object, from one of a type with. [`unsize!`](crate::unsize) does
    /// this safely.
    ///
    /// # Safety
    /// `convert` does nothing but an unsizing coercion: it returns its
    /// argument.
    pub unsafe fn unsize_with<U: ?Sized>(
        this: AllocBox<T, A>,
        convert: impl FnOnce(*mut T) -> *mut U,
    ) -> AllocBox<U, A> {
        let (value, allocator) = AllocBox::into_raw(this);
        let unsized_value = convert(value.as_ptr());
        debug_assert!(ptr::addr_eq(value.as_ptr(), unsized_value), "a coercion does not change the address");
        // SAFETY: it is the same value in the same block, says the caller, so
        // the address is not null.
        unsafe { AllocBox::from_raw(NonNull::new_unchecked(unsized_value), allocator) }
    }
}

/// Makes an [`AllocBox`] of a trait object or slice: `unsize!(boxed => dyn
/// Trait)`. What the compiler would do with a `Box` by itself has to be asked
/// for with other types.
///
/// ```
/// use wasmc_allocators::{AllocBox, AllocError, HeapAllocator, unsize};
///
/// let numbers = unsize!(AllocBox::new([1, 2, 3], HeapAllocator)? => [i32]);
/// assert_eq!(numbers.iter().sum::<i32>(), 6);
/// # Ok::<(), AllocError>(())
/// ```
///
/// It takes nothing but coercions:
///
/// ```compile_fail,E0308
/// use wasmc_allocators::{AllocBox, HeapAllocator, unsize};
///
/// let wrong = unsize!(AllocBox::new(1u32, HeapAllocator).unwrap() => f32);
/// ```
///
/// ```compile_fail,E0597
/// use std::fmt::Debug;
/// use wasmc_allocators::{AllocBox, HeapAllocator, unsize};
///
/// let forever: AllocBox<dyn Debug + 'static, _> = {
///     let short = String::from("short-lived");
///     unsize!(AllocBox::new(&short, HeapAllocator).unwrap() => dyn Debug)
/// };
/// ```
#[macro_export]
macro_rules! unsize {
    ($boxed:expr => $target:ty) => {{
        let boxed = $boxed;
        // SAFETY: the closure returns its argument; if the compiler changes the
        // type of it, that is a coercion.
        unsafe { $crate::AllocBox::unsize_with(boxed, |value| -> *mut $target { value }) }
    }};
}

macro_rules! downcast {
    ($($any:ty),*) => { $(
        impl<A: Allocator> AllocBox<$any, A> {
            /// The box of the value's own type.
            ///
            /// # Errors
            /// The box as it was, if the value is not a `T`.
            pub fn downcast<T: Any>(self) -> Result<AllocBox<T, A>, Self> {
                if !(*self).is::<T>() {
                    return Err(self);
                }
                let (value, allocator) = AllocBox::into_raw(self);
                // SAFETY: the value is a `T`, and the rest is as it was.
                Ok(unsafe { AllocBox::from_raw(value.cast(), allocator) })
            }
        }
    )* };
}

downcast!(dyn Any, dyn Any + Send, dyn Any + Send + Sync);

impl<T: ?Sized, A: Allocator> Drop for AllocBox<T, A> {
    fn drop(&mut self) {
        let layout = Layout::for_value(&**self);
        // SAFETY: the allocator gave the block out with the value's layout,
        // and it goes back after the value's drop.
        let _held = unsafe { Held::new(&self.allocator, self.value.cast(), layout) };
        // SAFETY: the value is the box's own and not used any more.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T: ?Sized, A: Allocator> Deref for AllocBox<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is in its block as long as the box exists.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for AllocBox<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and the box is borrowed for writing.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug, A: Allocator> fmt::Debug for AllocBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display, A: Allocator> fmt::Display for AllocBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
