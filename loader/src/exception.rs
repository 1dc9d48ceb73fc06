//! Exceptions that leave wasm code.

use crate::caller::Caller;
use crate::module::Module;
use crate::refs::{ExnRef, Rooted};
use crate::store::{AsContext, Store, StoreContextMut, StoreOpaque};
use crate::tag::Tag;
use crate::types::TagType;
use crate::vm::state::StoreState;
use std::fmt;
use wasmc_artifacts::format::ExternKind;

/// An exception was thrown, and no wasm code has caught it so far.
///
/// As an [`Error`](crate::Error), a call returns it if an exception comes out
/// of it. The exception itself waits in the store:
/// [`Store::take_pending_exception`](crate::Store::take_pending_exception)
/// takes it out. A host function that returns this error while the exception
/// is still there passes it on to the wasm code that has called it, which may
/// catch it.
///
/// ```
/// use wasmc_loader::{Caller, ExnRef, ExnRefPre, ExnType, Result, Tag, Val};
///
/// fn fail(mut caller: Caller<'_, ()>, tag: Tag, code: i32) -> Result<()> {
///     let ty = ExnType::from_tag_type(caller.engine(), &tag.ty(&caller))?;
///     let pre = ExnRefPre::new(&mut caller, ty);
///     let exception = ExnRef::new(&mut caller, &pre, &tag, &[Val::I32(code)])?;
///     Ok(caller.throw(exception)?)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ThrownException {
    tag: Tag,
    ty: TagType,
    /// The module that defines the tag, and the tag's number there.
    origin: Option<(Module, u32)>,
}

impl ThrownException {
    pub(crate) fn new(store: &StoreOpaque, tag: Tag) -> ThrownException {
        let def = tag.0.get(store);
        let origin = store.state.instances().find_map(|instance| {
            let number = instance.number_of_tag(def)?;
            Some((instance.module().clone(), number))
        });
        ThrownException { tag, ty: tag.ty_in(store), origin }
    }

    /// Whether the exception is the one that waits in a store.
    pub(crate) fn waits_in(&self, state: &StoreState) -> bool {
        self.tag.0.store() == state.id() && state.has_pending_exception()
    }

    /// The exception's tag.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The tag's type.
    pub fn ty(&self) -> &TagType {
        &self.ty
    }

    /// The first name under which the tag's module exports it, if it does.
    pub fn tag_name(&self) -> Option<&str> {
        let (module, number) = self.origin.as_ref()?;
        let artifact = module.artifact();
        let is_tag = |kind, index| kind == ExternKind::Tag as u8 && index == *number;
        artifact.tables().exports.iter().find(|row| is_tag(row.kind, row.index)).and_then(|row| artifact.str(row.name))
    }
}

macro_rules! pending {
    ($($context:ty, $store:ident => $opaque:expr;)*) => {$(
        impl<T: 'static> $context {
            /// Makes an exception the one that waits in the store, and returns
            /// the error that stands for it. A host function that returns this
            /// error throws the exception.
            ///
            /// # Errors
            /// Always.
            ///
            /// # Panics
            /// If the exception belongs to another store, or the scope of the
            /// reference has ended.
            pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R, ThrownException> {
                let $store = self;
                Err(throw($opaque, exception))
            }

            /// Takes the exception out of the store that a call has returned as
            /// a [`ThrownException`], if it is still there. Then the error is
            /// one like any other.
            pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
                let $store = self;
                $opaque.state.take_exception().map(Rooted::at)
            }

            /// Whether an exception waits in the store that a call has returned
            /// as a [`ThrownException`].
            pub fn has_pending_exception(&self) -> bool {
                let $store = self;
                $opaque.state.has_pending_exception()
            }
        }
    )*};
}

pending! {
    Store<T>, store => &store.as_context().0.opaque;
    StoreContextMut<'_, T>, store => &store.0.opaque;
    Caller<'_, T>, store => &store.as_context().0.opaque;
}

fn throw(store: &StoreOpaque, exception: Rooted<ExnRef>) -> ThrownException {
    let raw = exception.raw_in(store).unwrap_or_else(|e| panic!("cannot throw the exception: {e}"));
    store.state.set_exception(raw);
    let tag = store.state.pending_tag();
    ThrownException::new(store, tag.unwrap_or_else(|| unreachable!("every exception has a tag")))
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("uncaught exception")?;
        if let Some(name) = self.tag_name() {
            write!(f, " `{name}`")?;
        }
        f.write_str(" (")?;
        for (i, ty) in self.ty.ty().params().iter().enumerate() {
            write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ThrownException {}
