//! Tags and exceptions in memory.

use super::gc::handles::Root;
use super::handle::Stored;
use super::instance::InstanceData;
use super::state::StoreState;
use super::structs::{VMTagDef, VMTagImport};
use crate::store::StoreOpaque;
use crate::tag::Tag;
use crate::types::ValType;
use std::ptr::{self, NonNull};
use wasmc_artifacts::abi::TypeId;
use wasmc_artifacts::abi::descriptor::{Descriptor, EXCEPTION_TAG, FieldLayout, ObjectKind};

impl StoreState {
    /// Makes a tag of the host's for a type and its parameters.
    pub(crate) fn new_tag(&self, type_id: u64, values: &[ValType]) -> Stored<VMTagDef> {
        let layout = FieldLayout::of_exception(values);
        let kind = ObjectKind::Exception;
        let descriptor = Descriptor { kind, supers: vec![TypeId(type_id)], size: layout.size, refs: layout.refs };
        let mut bytes = descriptor.encode();
        // In words, so that it is aligned.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        let descriptor = self.keep(words.collect::<Box<[u64]>>());
        let tag = VMTagDef::default();
        tag.type_id.set(type_id);
        // SAFETY: the arena keeps the box, and so what it owns.
        tag.descriptor.set(unsafe { descriptor.assume().as_ref() }.as_ptr().cast_mut().cast());
        self.keep(tag)
    }

    /// Lets an exception wait in the context, in place of any other.
    pub(crate) fn set_exception(&self, raw: u32) {
        self.context.exception.set(raw.into());
    }

    /// Takes the exception out of the context, and keeps it as a root.
    pub(crate) fn take_exception(&self) -> Option<Root> {
        let raw = self.context.exception.replace(0) as u32;
        // SAFETY: what waits in the context is an exception of this store.
        (raw != 0).then(|| unsafe { self.roots().push(raw) })
    }

    /// Whether an exception waits in the context.
    pub(crate) fn has_pending_exception(&self) -> bool {
        self.context.exception.get() != 0
    }

    /// The tag of the exception that waits in the context, if there is one.
    pub(crate) fn pending_tag(&self) -> Option<Tag> {
        let exception = self.context.exception.get() as usize;
        let heap = self.heap_base().filter(|_| exception != 0)?;
        // SAFETY: an exception of this store is there, and in it the address
        // of its tag.
        let tag = unsafe { heap.add(exception + EXCEPTION_TAG as usize).cast::<*mut VMTagDef>().read() };
        // SAFETY: tags live as long as their store.
        NonNull::new(tag).map(|tag| Tag(unsafe { self.handle(tag.as_ref()) }))
    }
}

impl InstanceData {
    /// Writes the tags that the module defines into the context. They never
    /// change.
    pub(super) fn define_tags(&self) {
        let artifact = self.module().artifact();
        let counts = artifact.layout().counts();
        let tables = artifact.tables();
        for defined in 0..counts.tags {
            let row = tables.tags.get((counts.tag_imports + defined) as usize);
            let Some(ty) = row.and_then(|row| tables.types.get(row.ty as usize)) else { continue };
            let def = self.tag_def(defined);
            def.type_id.set(ty.id);
            def.descriptor.set(self.module().code_at(ty.exception));
        }
    }

    /// A tag of the module's index space.
    pub(crate) fn tag(&self, index: u32) -> Option<&VMTagDef> {
        let counts = self.module().artifact().layout().counts();
        match index.checked_sub(counts.tag_imports) {
            Some(defined) => (defined < counts.tags).then(|| self.tag_def(defined)),
            None => {
                let import: &VMTagImport = self.tag_import(index);
                // SAFETY: null or set by `import_tag`, which checked the store.
                unsafe { import.def.get().cast::<VMTagDef>().as_ref() }
            }
        }
    }

    /// Provides an imported tag.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub(crate) fn import_tag(&self, store: &StoreOpaque, index: u32, tag: Tag) {
        self.tag_import(index).def.set(tag.0.address(store).as_ptr().cast());
    }

    /// The number of the defined tag at an address, if it is one of this
    /// instance's.
    pub(crate) fn number_of_tag(&self, tag: &VMTagDef) -> Option<u32> {
        let counts = self.module().artifact().layout().counts();
        (0..counts.tags)
            .find(|defined| ptr::eq(self.tag_def(*defined), tag))
            .map(|defined| counts.tag_imports + defined)
    }
}
