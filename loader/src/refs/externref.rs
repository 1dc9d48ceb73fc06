//! References to values of the host's.

use super::rooted::gc_ref;
use super::{AnyRef, Rooted};
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use crate::vm::externref::VMExternRef;
use crate::vm::gc::externs::is_extern;
use std::any::Any;

gc_ref! {
    /// A reference to a value of the host's, or to one of wasm's that was
    /// converted with `extern.convert_any`.
    ///
    /// Always used as a [`Rooted`] or an [`OwnedRooted`](crate::OwnedRooted).
    /// The value is dropped when nothing refers to it any more: at the next
    /// collection of garbage, which [`Store::gc`](crate::Store::gc) makes
    /// happen at once.
    ///
    /// ```
    /// use wasmc_loader::{Engine, ExternRef, Store};
    ///
    /// # fn main() -> wasmc_loader::Result<()> {
    /// let mut store = Store::new(&Engine::default(), ());
    /// let reference = ExternRef::new(&mut store, String::from("a value"))?;
    /// let value = reference.data(&store)?.and_then(|value| value.downcast_ref::<String>());
    /// assert_eq!(value.map(String::as_str), Some("a value"));
    /// # Ok(())
    /// # }
    /// ```
    ExternRef: Extern
}

impl ExternRef {
    /// A reference to a new value.
    ///
    /// Garbage may be collected first.
    ///
    /// # Errors
    /// If the store refers to 2^29 values of the host's.
    pub fn new<T: Any + Send + Sync>(store: impl AsContextMut, value: T) -> Result<Rooted<ExternRef>> {
        Self::from_vm(store, VMExternRef::new(value))
    }

    /// The reference to a value whose references are counted; the same one
    /// for the same value, as long as the store has it.
    ///
    /// Garbage may be collected first.
    ///
    /// # Errors
    /// If the store refers to 2^29 values of the host's.
    pub fn from_vm(mut store: impl AsContextMut, value: VMExternRef) -> Result<Rooted<ExternRef>> {
        let opaque = &mut store.as_context_mut().0.opaque;
        Ok(Rooted::at(opaque.refer_to(value)?))
    }

    /// One more counted reference to the value; `None` if it is not the
    /// host's.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended.
    pub fn to_vm(&self, store: impl AsContext) -> Result<Option<VMExternRef>> {
        let opaque = &store.as_context().0.opaque;
        Ok(opaque.extern_of(self.root)?.cloned())
    }

    /// A reference to a value of wasm's, as one to anything.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended.
    pub fn convert_any(mut store: impl AsContextMut, reference: Rooted<AnyRef>) -> Result<Rooted<ExternRef>> {
        reference.again(&store.as_context_mut().0.opaque)
    }

    /// The value; `None` if it is not the host's.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended.
    pub fn data<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        let opaque = &store.into().0.opaque;
        Ok(opaque.extern_of(self.root)?.map(|value| &**value))
    }

    /// The value, to be changed; `None` if it is not the host's.
    ///
    /// # Errors
    /// If the reference is another store's, or its scope has ended; if there
    /// are [`VMExternRef`]s to the value, by which others may be looking at it.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
        let opaque = &mut store.into().0.opaque;
        match opaque.extern_mut(self.root)? {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(others)) => Err(Error::msg(format!(
                "a value of the host's cannot be changed in place while there are {others} references to it outside the store; put it behind a lock"
            ))),
        }
    }

    /// Whether a reference, which is not null, is to a value of the host's.
    pub(crate) fn is_host(raw: u32) -> bool {
        is_extern(raw)
    }
}
