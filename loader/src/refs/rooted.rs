//! Rooted references, and the scopes that end them.

use super::I31;
use crate::error::Result;
use crate::parts;
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreOpaque};
use crate::vm::gc::handles::{Root, RootError};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

pub(crate) mod sealed {
    use crate::types::HeapType;
    use crate::vm::gc::handles::Root;

    /// A type of references; see [`GcRef`](super::GcRef).
    pub trait GcRefImpl: Copy + Send + Sync + 'static {
        /// For messages.
        const NAME: &'static str;
        /// What such references are to.
        const HEAP: HeapType;
        fn from_root(root: RootName) -> Self;
        fn root(&self) -> RootName;
    }

    /// Names a place in a store.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct RootName(pub(crate) Root);
}

use sealed::{GcRefImpl, RootName};

/// The types that [`Rooted`] and [`OwnedRooted`] are for: [`ExternRef`],
/// [`AnyRef`], [`EqRef`], [`StructRef`], [`ArrayRef`] and [`ExnRef`].
///
/// [`ExternRef`]: crate::ExternRef
/// [`AnyRef`]: crate::AnyRef
/// [`EqRef`]: crate::EqRef
/// [`StructRef`]: crate::StructRef
/// [`ArrayRef`]: crate::ArrayRef
/// [`ExnRef`]: crate::ExnRef
pub trait GcRef: GcRefImpl {}

impl<T: GcRefImpl> GcRef for T {}

/// Declares a type of references.
macro_rules! gc_ref {
    ($(#[$meta:meta])* $name:ident: $heap:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub struct $name {
            root: crate::vm::gc::handles::Root,
        }

        impl crate::refs::rooted::sealed::GcRefImpl for $name {
            const NAME: &'static str = stringify!($name);
            const HEAP: crate::types::HeapType = crate::types::HeapType::$heap;
            fn from_root(root: crate::refs::rooted::sealed::RootName) -> Self {
                $name { root: root.0 }
            }
            fn root(&self) -> crate::refs::rooted::sealed::RootName {
                crate::refs::rooted::sealed::RootName(self.root)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

/// Declares what objects of one kind are made with.
macro_rules! preparation {
    ($(#[$meta:meta])* $name:ident: $ty:ident => $reference:ident, $new:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            store: crate::vm::handle::StoreId,
            ty: $ty,
            descriptor: crate::vm::gc::access::Descriptor,
        }

        impl $name {
            #[doc = $new]
            ///
            /// # Panics
            /// If the type belongs to another engine than the store.
            pub fn new(mut store: impl AsContextMut, ty: $ty) -> $name {
                let opaque = &store.as_context_mut().0.opaque;
                opaque.expect_engine(ty.engine());
                let descriptor = opaque.descriptor(ty.object_type());
                $name { store: opaque.id(), ty, descriptor }
            }

            /// # Panics
            /// If this is for another store.
            fn allocate(
                &self,
                store: &mut StoreOpaque,
                tag: Option<&crate::tag::Tag>,
                values: &[Val],
                repeat: Option<u32>,
            ) -> Result<Rooted<$reference>> {
                if self.store != store.id() {
                    crate::vm::handle::wrong_store();
                }
                Ok(Rooted::at(store.allocate(self.ty.object_type(), self.descriptor, tag, values, repeat)?))
            }
        }
    };
}

/// Declares that every reference of one type is also one of another.
macro_rules! upcast {
    ($($from:ident => $to:ident, $method:ident;)*) => {$(
        impl From<Rooted<$from>> for Rooted<$to> {
            fn from(reference: Rooted<$from>) -> Rooted<$to> {
                reference.cast()
            }
        }
        impl From<OwnedRooted<$from>> for OwnedRooted<$to> {
            fn from(reference: OwnedRooted<$from>) -> OwnedRooted<$to> {
                reference.cast()
            }
        }
        impl Rooted<$from> {
            #[doc = concat!("The same reference as a `", stringify!($to), "`.")]
            pub fn $method(self) -> Rooted<$to> {
                self.cast()
            }
        }
        impl OwnedRooted<$from> {
            #[doc = concat!("The same reference as a `", stringify!($to), "`.")]
            pub fn $method(self) -> OwnedRooted<$to> {
                self.cast()
            }
        }
    )*};
}

pub(crate) use {gc_ref, preparation, upcast};

/// A reference that the store keeps until the scope ends that it was made in.
///
/// Scopes are the calls of host functions, and [`RootScope`]s; what is made
/// outside of any lives as long as the store. Using a reference after its
/// scope is an error, and so is using it with another store. To keep one for
/// longer, see [`Rooted::to_owned_rooted`].
pub struct Rooted<T: GcRef> {
    inner: T,
}

/// A reference that the store keeps until this value and its clones are
/// dropped, whatever scopes end meanwhile.
pub struct OwnedRooted<T: GcRef> {
    inner: T,
    alive: Arc<()>,
}

/// [`Rooted`] and [`OwnedRooted`].
pub trait RootedGcRef<T: GcRef>: Deref<Target = T> + sealed_rooted::Sealed {}

mod sealed_rooted {
    pub trait Sealed {}
    impl<T: super::GcRef> Sealed for super::Rooted<T> {}
    impl<T: super::GcRef> Sealed for super::OwnedRooted<T> {}
}

impl<T: GcRef> RootedGcRef<T> for Rooted<T> {}
impl<T: GcRef> RootedGcRef<T> for OwnedRooted<T> {}

impl<T: GcRef> Clone for Rooted<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: GcRef> Copy for Rooted<T> {}

impl<T: GcRef> Clone for OwnedRooted<T> {
    fn clone(&self) -> Self {
        OwnedRooted { inner: self.inner, alive: self.alive.clone() }
    }
}

impl<T: GcRef> Deref for Rooted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}
impl<T: GcRef> Deref for OwnedRooted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: GcRef> fmt::Debug for Rooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rooted<{}>", T::NAME)
    }
}
impl<T: GcRef> fmt::Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedRooted<{}>", T::NAME)
    }
}

fn raw_of(reference: &impl GcRef, store: &StoreOpaque) -> Result<u32, RootError> {
    store.state.roots().get(reference.root().0)
}

impl<T: GcRef> Rooted<T> {
    /// The reference that a root stands for, which is a `T`.
    #[inline]
    pub(crate) fn at(root: Root) -> Rooted<T> {
        Rooted { inner: T::from_root(RootName(root)) }
    }

    /// A number, which is a `T`.
    ///
    /// # Panics
    /// If the cargo feature `gc` is off.
    pub(crate) fn of_i31(store: &StoreOpaque, value: I31) -> Rooted<T> {
        parts::GC.need("a reference to a number").unwrap_or_else(|e| panic!("{e}"));
        Self::at(store.state.roots().push_i31(value))
    }

    /// The same reference as one of another type, which it is known to be of,
    /// in the current scope.
    pub(crate) fn again<U: GcRef>(&self, store: &StoreOpaque) -> Result<Rooted<U>> {
        Ok(Rooted::at(store.state.roots().again(self.inner.root().0)?))
    }

    pub(crate) fn root(&self) -> Root {
        self.inner.root().0
    }

    /// The reference, as compiled code has it.
    #[inline]
    pub(crate) fn raw_in(&self, store: &StoreOpaque) -> Result<u32, RootError> {
        raw_of(&self.inner, store)
    }

    /// The same reference as one of another type, which it is known to be of.
    pub(crate) fn cast<U: GcRef>(self) -> Rooted<U> {
        Rooted { inner: U::from_root(self.inner.root()) }
    }

    /// The same reference, kept for as long as wanted.
    ///
    /// # Errors
    /// If it is another store's, or its scope has ended.
    pub fn to_owned_rooted(&self, mut store: impl AsContextMut) -> Result<OwnedRooted<T>> {
        Ok(OwnedRooted::at(store.as_context_mut().0.opaque.state.roots().own_again(self.inner.root().0)?))
    }

    /// Whether both are the same root: copies of each other. For whether they
    /// refer to the same object see [`Rooted::ref_eq`].
    pub fn rooted_eq(a: Self, b: Self) -> bool {
        a.inner.root() == b.inner.root()
    }

    /// Whether both refer to the same object.
    ///
    /// # Errors
    /// If either is another store's, or its scope has ended.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool> {
        let opaque = &store.as_context().0.opaque;
        Ok(raw_of(&**a, opaque)? == raw_of(&**b, opaque)?)
    }

    /// Hashes the root, for which equality is [`Rooted::rooted_eq`].
    pub fn rooted_hash(&self, state: &mut impl Hasher) {
        self.inner.root().hash(state);
    }

    /// Hashes what is referred to, for which equality is [`Rooted::ref_eq`];
    /// the hash is good until the next collection of garbage.
    ///
    /// # Errors
    /// If it is another store's, or its scope has ended.
    pub fn ref_hash(&self, store: impl AsContext, state: &mut impl Hasher) -> Result<()> {
        self.raw_in(&store.as_context().0.opaque)?.hash(state);
        Ok(())
    }
}

impl<T: GcRef> OwnedRooted<T> {
    /// The reference that a root and its flag stand for, which is a `T`.
    pub(crate) fn at((root, alive): (Root, Arc<()>)) -> OwnedRooted<T> {
        OwnedRooted { inner: T::from_root(RootName(root)), alive }
    }

    /// The same reference, good as long as this one.
    pub(crate) fn borrowed(&self) -> Rooted<T> {
        Rooted { inner: self.inner }
    }

    /// The reference, as compiled code has it.
    pub(crate) fn raw_in(&self, store: &StoreOpaque) -> Result<u32, RootError> {
        raw_of(&self.inner, store)
    }

    /// The same reference as one of another type, which it is known to be of.
    pub(crate) fn cast<U: GcRef>(self) -> OwnedRooted<U> {
        OwnedRooted { inner: U::from_root(self.inner.root()), alive: self.alive }
    }

    /// The same reference, kept in the current scope.
    ///
    /// # Panics
    /// If it is another store's, or the store was reset.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> Rooted<T> {
        let root = store.as_context_mut().0.opaque.state.roots().again(self.inner.root().0);
        Rooted::at(root.unwrap_or_else(|e| panic!("{e}")))
    }

    /// Whether both refer to the same object.
    ///
    /// # Errors
    /// If either is another store's, or its scope has ended.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool> {
        Rooted::ref_eq(store, a, b)
    }

    /// Hashes the root; clones have the same.
    pub fn rooted_hash(&self, state: &mut impl Hasher) {
        self.inner.root().hash(state);
    }

    /// Hashes what is referred to, for which equality is [`Rooted::ref_eq`];
    /// the hash is good until the next collection of garbage.
    ///
    /// # Errors
    /// If it is another store's, or the store was reset.
    pub fn ref_hash(&self, store: impl AsContext, state: &mut impl Hasher) -> Result<()> {
        self.raw_in(&store.as_context().0.opaque)?.hash(state);
        Ok(())
    }
}

/// A scope for [`Rooted`] references: those that are made while it exists, and
/// through whatever store, end with it.
///
/// It has the store, so that nothing else can be done with that meanwhile but
/// through the scope; scopes can be nested that way.
///
/// ```
/// use wasmc_loader::{Engine, ExternRef, RootScope, Store};
///
/// # fn main() -> wasmc_loader::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let kept = ExternRef::new(&mut store, "kept")?;
/// let gone = {
///     let mut scope = RootScope::new(&mut store);
///     ExternRef::new(&mut scope, "gone")?
/// };
/// assert!(kept.data(&store).is_ok());
/// assert!(gone.data(&store).is_err());
/// # Ok(())
/// # }
/// ```
pub struct RootScope<C: AsContextMut> {
    store: C,
    depth: usize,
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins a scope.
    pub fn new(store: C) -> RootScope<C> {
        let depth = store.as_context().0.opaque.state.roots().depth();
        RootScope { store, depth }
    }

    /// Makes room for so many more references, so that keeping them does not
    /// allocate.
    pub fn reserve(&mut self, additional: usize) {
        self.store.as_context_mut().0.opaque.state.roots().reserve(additional);
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        self.store.as_context_mut().0.opaque.state.roots().leave(self.depth);
    }
}

impl<C: AsContextMut> fmt::Debug for RootScope<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootScope").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        self.store.as_context()
    }
}
impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        self.store.as_context_mut()
    }
}

impl<'a, C: AsContextMut> From<&'a RootScope<C>> for StoreContext<'a, C::Data> {
    fn from(scope: &'a RootScope<C>) -> Self {
        scope.as_context()
    }
}
impl<'a, C: AsContextMut> From<&'a mut RootScope<C>> for StoreContextMut<'a, C::Data> {
    fn from(scope: &'a mut RootScope<C>) -> Self {
        scope.as_context_mut()
    }
}
