//! Exceptions that leave wasm code.

use crate::module::Module;
use crate::store::StoreOpaque;
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
