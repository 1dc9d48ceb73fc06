//! Arrays.

use super::Rooted;
use super::rooted::{gc_ref, preparation};
use super::types::ArrayType;
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreContextMut, StoreOpaque};
use crate::values::Val;
use crate::vm::gc::access::Object;
use wasmc_artifacts::abi::descriptor::ObjectKind;

preparation! {
    /// What it takes to make arrays of a type in a store: made once, it saves
    /// looking the type up for every array.
    ArrayRefPre: ArrayType => ArrayRef, "Prepares to make arrays."
}

gc_ref! {
    /// A reference to an array.
    ArrayRef: Array
}

impl ArrayRef {
    /// Makes an array of `length` elements that are all `element`. Garbage may
    /// be collected first.
    ///
    /// # Errors
    /// If the element is of another type;
    /// [`Trap::HeapExhausted`](crate::Trap::HeapExhausted) if the heap has no
    /// room.
    ///
    /// # Panics
    /// If `allocator` is for another store.
    pub fn new(
        mut store: impl AsContextMut,
        allocator: &ArrayRefPre,
        element: &Val,
        length: u32,
    ) -> Result<Rooted<ArrayRef>> {
        allocator.allocate(&mut store.as_context_mut().0.opaque, None, &[*element], Some(length))
    }

    /// Makes an array of these elements. Garbage may be collected first.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// # Panics
    /// If `allocator` is for another store.
    pub fn new_fixed(
        mut store: impl AsContextMut,
        allocator: &ArrayRefPre,
        elements: &[Val],
    ) -> Result<Rooted<ArrayRef>> {
        allocator.allocate(&mut store.as_context_mut().0.opaque, None, elements, None)
    }

    /// Makes an array of 8-bit integers. Garbage may be collected first.
    ///
    /// # Errors
    /// If the type has other elements; otherwise as for [`new`](Self::new).
    ///
    /// # Panics
    /// If `allocator` is for another store.
    pub fn new_from_i8_slice(
        mut store: impl AsContextMut,
        allocator: &ArrayRefPre,
        elements: &[u8],
    ) -> Result<Rooted<ArrayRef>> {
        let opaque = &mut store.as_context_mut().0.opaque;
        if *allocator.ty.field_type().element_type() != super::StorageType::I8 {
            return Err(Error::msg(format!("bytes cannot be the elements of an {}", allocator.ty)));
        }
        let length = u32::try_from(elements.len()).map_err(|_| Error::msg("an array has fewer than 2^32 elements"))?;
        let array = allocator.allocate(opaque, None, &[Val::I32(0)], Some(length))?;
        array.object(opaque)?.write_bytes(elements)?;
        Ok(array)
    }

    fn object<'s>(&self, store: &'s StoreOpaque) -> Result<Object<'s>> {
        store.object_of(self.root, ObjectKind::Array)
    }

    /// The type.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended; so for all
    /// methods.
    pub fn ty(&self, store: impl AsContext) -> Result<ArrayType> {
        let opaque = &store.as_context().0.opaque;
        Ok(ArrayType::known(&opaque.engine, self.object(opaque)?.ty()))
    }

    /// Whether it is of a type, or of one below it.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn matches_ty(&self, store: impl AsContext, ty: &ArrayType) -> Result<bool> {
        Ok(self.ty(store)?.matches(ty))
    }

    /// Number of elements.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    #[allow(clippy::len_without_is_empty, reason = "a method of a reference, with a store and a result")]
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        Ok(self.object(&store.as_context().0.opaque)?.len() as u32)
    }

    /// All elements.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn elems<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<impl ExactSizeIterator<Item = Val> + 'a> {
        let object = self.object(&store.into().0.opaque)?;
        Ok(object.into_values())
    }

    /// The element at `index`.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if there is none.
    pub fn get(&self, mut store: impl AsContextMut, index: u32) -> Result<Val> {
        let object = self.object(&store.as_context_mut().0.opaque)?;
        object.get(index as usize).ok_or_else(|| object.out_of_bounds(index as usize))
    }

    /// Sets the element at `index`.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if there is none, if elements are immutable,
    /// or if the value is of another type.
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        self.object(&store.as_context_mut().0.opaque)?.set(index as usize, value)
    }

    /// Sets `count` elements from `start` on.
    ///
    /// # Errors
    /// As for [`set`](Self::set); nothing is changed then.
    pub fn fill(&self, mut store: impl AsContextMut, start: u32, value: Val, count: u32) -> Result<()> {
        let object = self.object(&store.as_context_mut().0.opaque)?;
        let end = u64::from(start) + u64::from(count);
        if end > object.len() as u64 {
            return Err(object.out_of_bounds(object.len().max(start as usize)));
        }
        object.check_set(value)?;
        (start..start + count).try_for_each(|index| object.set(index as usize, value))
    }

    /// Copies all elements, which are 8-bit integers, to a slice of the same
    /// length.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if elements or length are other ones.
    pub fn copy_to_i8_slice(&self, mut store: impl AsContextMut, target: &mut [u8]) -> Result<()> {
        self.object(&store.as_context_mut().0.opaque)?.copy_bytes(target)
    }
}
