//! Tags: what tells exceptions apart.

use crate::error::Result;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{FuncType, TagType};
use crate::vm::handle::Stored;
use crate::vm::structs::VMTagDef;

/// A tag of an instance or of the host; belongs to a store.
///
/// Exceptions are thrown with a tag, and caught by it. Two tags are different
/// even if their types are equal:
///
/// ```
/// use wasmc_loader::{Engine, FuncType, Result, Store, Tag, TagType, ValType};
///
/// # fn main() -> Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let ty = TagType::new(FuncType::new([ValType::I32], []));
/// let (first, second) = (Tag::new(&mut store, &ty)?, Tag::new(&mut store, &ty)?);
/// assert_eq!(first.ty(&store), second.ty(&store));
/// assert!(Tag::eq(&first, &first, &store) && !Tag::eq(&first, &second, &store));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Tag(pub(crate) Stored<VMTagDef>);

impl Tag {
    /// A tag of the host's.
    ///
    /// # Errors
    /// If the type has results, or if the engine has seen another type with
    /// its id.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Tag> {
        if !ty.ty().results().is_empty() {
            return Err(crate::format_err!("a tag cannot have the type {}: exceptions have no results", ty.ty()));
        }
        let opaque = &mut store.as_context_mut().0.opaque;
        let id = opaque.engine.types().id(ty.ty())?;
        Ok(Tag(opaque.state.new_tag(id, ty.ty().params())))
    }

    /// The type.
    ///
    /// # Panics
    /// If the tag belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> TagType {
        let id = self.0.get(store).type_id.get();
        let ty = store.engine.types().func_type(id);
        debug_assert!(ty.is_some(), "the type of a tag is not registered");
        TagType::new(ty.unwrap_or_else(|| FuncType::new([], [])))
    }

    /// Whether two tags are the same.
    ///
    /// # Panics
    /// If one of them belongs to another store.
    pub fn eq(a: &Tag, b: &Tag, store: impl AsContext) -> bool {
        let opaque = &store.as_context().0.opaque;
        a.0.address(opaque) == b.0.address(opaque)
    }
}
