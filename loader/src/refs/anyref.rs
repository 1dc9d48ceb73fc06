//! References to anything of wasm's own.

use super::rooted::{gc_ref, upcast};
use super::{ArrayRef, ExternRef, I31, OwnedRooted, Rooted, StructRef};
use crate::error::Result;
use crate::store::{AsContext, AsContextMut, StoreContext, StoreOpaque};
use crate::types::HeapType;
use std::any::Any;
use wasmc_artifacts::abi::descriptor::ObjectKind;
use wasmc_artifacts::abi::{ConcreteType, TypeKind};

gc_ref! {
    /// A reference to a struct, an array, a number ([`I31`]), or a value of
    /// the host's that was taken in with `any.convert_extern`.
    AnyRef: Any
}
gc_ref! {
    /// A reference to something that can be compared: a struct, an array or a
    /// number ([`I31`]).
    EqRef: Eq
}

upcast! {
    EqRef => AnyRef, to_anyref;
    StructRef => AnyRef, to_anyref;
    StructRef => EqRef, to_eqref;
    ArrayRef => AnyRef, to_anyref;
    ArrayRef => EqRef, to_eqref;
}

/// The most precise type of what a reference of wasm's own refers to.
pub(crate) fn heap_type(store: &StoreOpaque, root: crate::vm::gc::handles::Root) -> Result<HeapType> {
    let raw = store.state.roots().get(root)?;
    if I31::of_raw(raw).is_some() {
        return Ok(HeapType::I31);
    }
    Ok(match store.object_kind(root)? {
        Some((ObjectKind::Struct, id)) => HeapType::Concrete(ConcreteType { kind: TypeKind::Struct, id }),
        Some((ObjectKind::Array, id)) => HeapType::Concrete(ConcreteType { kind: TypeKind::Array, id }),
        Some((ObjectKind::Exception | ObjectKind::Func, _)) => HeapType::Exn,
        None => HeapType::Any,
    })
}

macro_rules! number_or_object {
    ($name:ident) => {
        impl $name {
            /// A reference to a number, which takes no place on the heap.
            pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<$name> {
                Rooted::of_i31(&store.as_context_mut().0.opaque, value)
            }

            /// The most precise type of what is referred to.
            ///
            /// # Errors
            /// If the reference is another store's, or its scope has ended; so
            /// for all methods.
            pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
                heap_type(&store.as_context().0.opaque, self.root)
            }

            /// Whether what is referred to is of a type.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn matches_ty(&self, store: impl AsContext, ty: &HeapType) -> Result<bool> {
                let opaque = &store.as_context().0.opaque;
                let own = heap_type(opaque, self.root)?;
                Ok(own.matches(*ty, |a, b| opaque.engine.is_subtype(a.id, b.id)))
            }

            /// Whether it is a number.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
                Ok(self.as_i31(store)?.is_some())
            }

            /// The number, if it is one.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
                Ok(I31::of_raw(self.raw(&store.as_context().0.opaque)?))
            }

            /// The number.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            ///
            /// # Panics
            /// If it is something else.
            pub fn unwrap_i31(&self, store: impl AsContext) -> Result<I31> {
                Ok(self.as_i31(store)?.unwrap_or_else(|| unexpected("a number")))
            }

            /// Whether it is a struct.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
                self.is_kind(&store.as_context().0.opaque, ObjectKind::Struct)
            }

            /// The struct, if it is one.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn as_struct(&self, store: impl AsContext) -> Result<Option<Rooted<StructRef>>> {
                Ok(self.is_struct(store)?.then(|| Rooted::at(self.root)))
            }

            /// The struct.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            ///
            /// # Panics
            /// If it is something else.
            pub fn unwrap_struct(&self, store: impl AsContext) -> Result<Rooted<StructRef>> {
                Ok(self.as_struct(store)?.unwrap_or_else(|| unexpected("a struct")))
            }

            /// Whether it is an array.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
                self.is_kind(&store.as_context().0.opaque, ObjectKind::Array)
            }

            /// The array, if it is one.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            pub fn as_array(&self, store: impl AsContext) -> Result<Option<Rooted<ArrayRef>>> {
                Ok(self.is_array(store)?.then(|| Rooted::at(self.root)))
            }

            /// The array.
            ///
            /// # Errors
            /// As for [`ty`](Self::ty).
            ///
            /// # Panics
            /// If it is something else.
            pub fn unwrap_array(&self, store: impl AsContext) -> Result<Rooted<ArrayRef>> {
                Ok(self.as_array(store)?.unwrap_or_else(|| unexpected("an array")))
            }

            /// The reference, as compiled code has it.
            fn raw(&self, store: &StoreOpaque) -> Result<u32> {
                Ok(store.state.roots().get(self.root)?)
            }

            fn is_kind(&self, store: &StoreOpaque, kind: ObjectKind) -> Result<bool> {
                Ok(store.object_kind(self.root)?.is_some_and(|(own, _)| own == kind))
            }
        }
    };
}

number_or_object!(AnyRef);
number_or_object!(EqRef);

#[cold]
#[track_caller]
fn unexpected(what: &str) -> ! {
    panic!("a reference is not to {what}, as was expected")
}

impl AnyRef {
    /// A reference to a value of the host's, as one of wasm's own.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn convert_extern(mut store: impl AsContextMut, reference: Rooted<ExternRef>) -> Result<Rooted<AnyRef>> {
        reference.again(&store.as_context_mut().0.opaque)
    }

    /// The value of the host's, if it is one that was taken in.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn host_data<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        Ok(store.into().0.opaque.extern_of(self.root)?.map(|value| &**value))
    }

    /// Whether it can be compared: it is not a value of the host's.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        Ok(!ExternRef::is_host(self.raw(&store.as_context().0.opaque)?))
    }

    /// The same reference as one to something that can be compared, if it is.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    pub fn as_eqref(&self, store: impl AsContext) -> Result<Option<Rooted<EqRef>>> {
        Ok(self.is_eqref(store)?.then(|| Rooted::at(self.root)))
    }

    /// The same reference as one to something that can be compared.
    ///
    /// # Errors
    /// As for [`ty`](Self::ty).
    ///
    /// # Panics
    /// If it is a value of the host's.
    pub fn unwrap_eqref(&self, store: impl AsContext) -> Result<Rooted<EqRef>> {
        Ok(self.as_eqref(store)?.unwrap_or_else(|| unexpected("something that can be compared")))
    }
}
