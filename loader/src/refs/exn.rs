//! Exceptions.

use super::rooted::gc_ref;
use super::types::ExnType;
use crate::error::Result;
use crate::store::{AsContext, AsContextMut, StoreContextMut, StoreOpaque};
use crate::values::Val;
use crate::vm::gc::access::Object;
use wasmc_artifacts::abi::descriptor::ObjectKind;

gc_ref! {
    /// A reference to an exception.
    ExnRef: Exn
}

impl ExnRef {
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
