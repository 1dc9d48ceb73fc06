//! Exceptions.

use super::Rooted;
use super::rooted::{gc_ref, preparation};
use super::types::ExnType;
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreContextMut, StoreOpaque};
use crate::tag::Tag;
use crate::values::Val;
use crate::vm::gc::access::Object;
use wasmc_artifacts::abi::descriptor::ObjectKind;

preparation! {
    /// What it takes to make exceptions of a type in a store: made once, it saves
    /// looking the type up for every exception.
    ExnRefPre: ExnType => ExnRef, "Prepares to make exceptions."
}

gc_ref! {
    /// A reference to an exception.
    ExnRef: Exn
}

impl ExnRef {
    /// Makes an exception, which is not thrown yet. Garbage may be collected
    /// first.
    ///
    /// # Errors
    /// If the tag has another type than the allocator; if there are not as
    /// many values as that has, or one is of another type;
    /// [`Trap::HeapExhausted`](crate::Trap::HeapExhausted) if the heap has no
    /// room.
    ///
    /// # Panics
    /// If `allocator` or `tag` is of another store.
    pub fn new(
        mut store: impl AsContextMut,
        allocator: &ExnRefPre,
        tag: &Tag,
        fields: &[Val],
    ) -> Result<Rooted<ExnRef>> {
        let opaque = &mut store.as_context_mut().0.opaque;
        let ty = tag.ty_in(opaque);
        if allocator.ty.tag_type() != ty {
            return Err(Error::msg(format!("an {} cannot be made with a {ty}", allocator.ty)));
        }
        allocator.allocate(opaque, Some(tag), fields, None)
    }

    /// The tag.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn tag(&self, mut store: impl AsContextMut) -> Result<Tag> {
        let tag = self.object(&store.as_context_mut().0.opaque)?.tag();
        tag.ok_or_else(|| Error::msg("an exception has no tag"))
    }

    fn object<'s>(&self, store: &'s StoreOpaque) -> Result<Object<'s>> {
        store.object_of(self.root, ObjectKind::Exception)
    }

    /// The type: what the exception carries.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended; so for all
    /// methods.
    pub fn ty(&self, store: impl AsContext) -> Result<ExnType> {
        let opaque = &store.as_context().0.opaque;
        Ok(ExnType::known(&opaque.engine, self.object(opaque)?.ty()))
    }

    /// All values that the exception carries.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn fields<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<impl ExactSizeIterator<Item = Val> + 'a> {
        let object = self.object(&store.into().0.opaque)?;
        Ok(object.into_values())
    }

    /// One of the values that the exception carries.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty); if there is no such value.
    pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
        let object = self.object(&store.as_context_mut().0.opaque)?;
        object.get(index).ok_or_else(|| object.out_of_bounds(index))
    }
}
