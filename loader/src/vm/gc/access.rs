//! Objects on a store's heap, as the host makes, reads and writes them.
//!
//! An [`Object`] borrows the store, so that nothing is collected, and nothing
//! moves, while one exists. What it reads and writes is at the offsets that
//! its own type has for the index, of the type that it has there; so nothing
//! that the host does here can break what compiled code relies on.

use super::externs::is_extern;
use super::handles::{Root, unguarded};
use super::layouts::ObjectType;
use crate::error::{Error, Result};
use crate::parts;
use crate::store::StoreOpaque;
use crate::tag::Tag;
use crate::types::ValType;
use crate::values::Val;
use crate::vm::externref::VMExternRef;
use crate::vm::handle::Stored;
use crate::vm::structs::{VMTagDef, ValRaw};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmc_artifacts::abi::descriptor::{
    ARRAY_LENGTH, EXCEPTION_TAG, ID, KIND, NOT_OBJECT_MASK, ObjectKind, array_elements,
};
use wasmc_artifacts::abi::{FieldType, StorageType, Trap, TypeId};

/// An object of a store.
pub(crate) struct Object<'s> {
    store: &'s StoreOpaque,
    at: NonNull<u8>,
    ty: Arc<ObjectType>,
}

/// Whether a reference, which may be null, is to an object.
fn is_object(raw: u32) -> bool {
    raw != 0 && raw & NOT_OBJECT_MASK == 0
}

/// The type that an object's descriptor names.
///
/// # Safety
/// An object is at `at`.
unsafe fn described(at: NonNull<u8>) -> (Option<ObjectKind>, TypeId) {
    // SAFETY: an object begins with the address of its descriptor, which has
    // these fields.
    let (kind, id) = unsafe {
        let descriptor = at.cast::<*const u8>().read();
        (descriptor.byte_add(KIND as usize).cast::<u32>().read(), descriptor.byte_add(ID as usize).cast::<u64>().read())
    };
    (ObjectKind::from_code(kind), TypeId(id))
}

fn lost() -> Error {
    Error::msg(
        "the type of an object cannot be read any more, because the file of the module that defines it was damaged",
    )
}

impl StoreOpaque {
    /// Room for an object on the heap.
    fn allocate_raw(&mut self, descriptor: *const u8, size: u64) -> Result<u32> {
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        let room = self.state.host_object(descriptor.cast(), bytes);
        let room = room.map_err(|e| Error::new(e).context("there is no address space for the store's heap"))?;
        room.ok_or_else(|| {
            Error::new(Trap::HeapExhausted).context(format!("there is no room for an object of {size} bytes"))
        })
    }

    /// Where the object is that a reference is to, if it is to one.
    ///
    /// # Safety
    /// `raw` is a reference that is valid now.
    unsafe fn locate(&self, raw: u32) -> Option<NonNull<u8>> {
        let base = self.state.heap_base().filter(|_| is_object(raw))?;
        // SAFETY: an object is at this distance from the base, says the caller.
        Some(unsafe { base.add(raw as usize) })
    }

    /// The object that a root stands for; `None` if it is a number or a value
    /// of the host's.
    ///
    /// # Errors
    /// If the root is another store's or no longer kept.
    pub(crate) fn object(&self, root: Root) -> Result<Option<Object<'_>>> {
        let raw = self.state.roots().get(root)?;
        // SAFETY: what is rooted is valid.
        let Some(at) = (unsafe { self.locate(raw) }) else { return Ok(None) };
        // SAFETY: an object is there.
        let (kind, id) = unsafe { described(at) };
        let ty = kind.and_then(|kind| self.engine.object_type(kind, id)).ok_or_else(lost)?;
        Ok(Some(Object { store: self, at, ty }))
    }

    /// What kind of object a root stands for, and the id of its type.
    ///
    /// # Errors
    /// If the root is another store's or no longer kept.
    pub(crate) fn object_kind(&self, root: Root) -> Result<Option<(ObjectKind, TypeId)>> {
        let raw = self.state.roots().get(root)?;
        // SAFETY: what is rooted is valid.
        let Some(at) = (unsafe { self.locate(raw) }) else { return Ok(None) };
        // SAFETY: an object is there.
        match unsafe { described(at) } {
            (Some(kind), id) => Ok(Some((kind, id))),
            (None, _) => Err(lost()),
        }
    }

    /// A descriptor for new objects of a type: that of a module in the store,
    /// or else the host's own.
    pub(crate) fn descriptor(&self, ty: &ObjectType) -> Descriptor {
        let of_module = self.state.code_list().find_map(|instance| {
            let module = instance.module();
            let mut rows = module.artifact().tables().types.iter();
            let row = rows.find(|row| row.id == ty.id().0)?;
            let offset = if ty.kind() == ObjectKind::Exception { row.exception } else { row.descriptor };
            NonNull::new(module.code_at(offset))
        });
        Descriptor(of_module.map_or(ty.descriptor(), |at| at.as_ptr().cast_const()))
    }

    /// Makes an object. `values` has one value for each field, or for each
    /// element; a single one with `repeat` is for that many elements.
    ///
    /// # Errors
    /// If a value does not fit, or the heap is exhausted.
    pub(crate) fn allocate(
        &mut self,
        ty: &Arc<ObjectType>,
        descriptor: Descriptor,
        tag: Option<&Tag>,
        values: &[Val],
        repeat: Option<u32>,
    ) -> Result<Root> {
        let is_array = ty.kind() == ObjectKind::Array;
        let length = if is_array { repeat.map_or(values.len(), |count| count as usize) } else { ty.fields().len() };
        if repeat.is_none() && values.len() != length {
            return Err(Error::msg(format!("an object with {length} fields was given {} values", values.len())));
        }
        let length = u32::try_from(length).map_err(|_| Error::msg("an array has fewer than 2^32 elements"))?;
        for (index, value) in values.iter().enumerate() {
            let field = ty.fields()[if is_array { 0 } else { index }];
            check(self, *value, field, index)?;
        }
        let raw = self.allocate_raw(descriptor.0, ty.size(length))?;
        // From here on nothing collects, until the object is complete.
        // SAFETY: just allocated, with room for all of it.
        let at = unsafe { self.locate(raw) }.ok_or_else(|| Error::msg("the heap gave no object"))?;
        // SAFETY: as above; what its kind has after the descriptor.
        unsafe {
            if is_array {
                at.add(ARRAY_LENGTH as usize).cast::<u32>().write(length);
            }
            if let Some(tag) = tag {
                at.add(EXCEPTION_TAG as usize).cast::<*mut VMTagDef>().write(tag.0.address(self).as_ptr());
            }
        }
        let object = Object { store: self, at, ty: ty.clone() };
        for index in 0..length as usize {
            object.put(index, values[if repeat.is_some() { 0 } else { index }])?;
        }
        // SAFETY: a reference to the new object.
        Ok(unsafe { self.state.roots().push(raw) })
    }
}

/// The address of a descriptor that lives as long as the store that it was
/// asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptor(*const u8);

// SAFETY: read-only data.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

/// Whether a value may be in a field.
fn check(store: &StoreOpaque, value: Val, field: FieldType, index: usize) -> Result<()> {
    let expected = field.storage.unpack();
    if value.matches_in(store, expected)? {
        return Ok(());
    }
    let found = value.ty_in(store)?;
    Err(Error::msg(format!("field or element {index} is of type {expected}, and cannot have a value of type {found}")))
}

impl Object<'_> {
    /// The type.
    pub(crate) fn ty(&self) -> &Arc<ObjectType> {
        &self.ty
    }

    /// Number of fields, or of elements.
    pub(crate) fn len(&self) -> usize {
        match self.ty.kind() {
            // SAFETY: an array has its length there.
            ObjectKind::Array => unsafe { self.at.add(ARRAY_LENGTH as usize).cast::<u32>().read() as usize },
            _ => self.ty.fields().len(),
        }
    }

    /// The tag of an exception.
    pub(crate) fn tag(&self) -> Option<Tag> {
        if self.ty.kind() != ObjectKind::Exception {
            return None;
        }
        // SAFETY: an exception has the address of its tag there.
        let tag = unsafe { self.at.add(EXCEPTION_TAG as usize).cast::<*mut VMTagDef>().read() };
        // SAFETY: tags live as long as their store.
        NonNull::new(tag).map(|tag| Tag(unsafe { Stored::new(self.store.id(), tag) }))
    }

    /// The value at `index`, if there is one; a reference is kept in the
    /// current scope.
    pub(crate) fn get(&self, index: usize) -> Option<Val> {
        let (at, field) = self.ty.place(index, self.len())?;
        // SAFETY: the type has something of this type there.
        unsafe {
            let at = self.at.add(at);
            let raw = match (field.storage, size_of_value(field.storage.unpack())) {
                (StorageType::I8, _) => ValRaw::of(at.read().into()),
                (StorageType::I16, _) => ValRaw::of(at.cast::<u16>().read().into()),
                (_, 4) => ValRaw::of(at.cast::<u32>().read().into()),
                (_, 8) => ValRaw::of(at.cast::<u64>().read()),
                _ => ValRaw::of_v128(at.cast::<u128>().read_unaligned()),
            };
            Some(Val::from_raw(raw, field.storage.unpack(), self.store))
        }
    }

    /// Sets the value at `index`, whether it may change or not.
    ///
    /// # Errors
    /// If there is none, or the value is of another type.
    fn put(&self, index: usize, value: Val) -> Result<()> {
        let (at, field) = self.ty.place(index, self.len()).ok_or_else(|| self.out_of_bounds(index))?;
        check(self.store, value, field, index)?;
        let raw = value.to_raw(self.store)?;
        // SAFETY: the type has something of the value's type there.
        unsafe {
            let at = self.at.add(at);
            match (field.storage, size_of_value(field.storage.unpack())) {
                (StorageType::I8, _) => at.write(raw.low as u8),
                (StorageType::I16, _) => at.cast::<u16>().write(raw.low as u16),
                (_, 4) => at.cast::<u32>().write(raw.low as u32),
                (_, 8) => at.cast::<u64>().write(raw.low),
                _ => at.cast::<u128>().write_unaligned(raw.v128()),
            }
        }
        Ok(())
    }

    /// Sets the value at `index`.
    ///
    /// # Errors
    /// If there is none, if it cannot change, or if the value is of another
    /// type.
    pub(crate) fn set(&self, index: usize, value: Val) -> Result<()> {
        let (_, field) = self.ty.place(index, self.len()).ok_or_else(|| self.out_of_bounds(index))?;
        if !field.mutable {
            return Err(Error::msg(format!("field or element {index} is immutable, and cannot be set")));
        }
        self.put(index, value)
    }

    /// The error of an access beyond the end.
    pub(crate) fn out_of_bounds(&self, index: usize) -> Error {
        Error::msg(format!("there is no field or element {index} in an object that has {}", self.len()))
    }

    /// Whether all elements of an array can be set to a value.
    ///
    /// # Errors
    /// If they cannot change, or the value is of another type.
    pub(crate) fn check_set(&self, value: Val) -> Result<()> {
        let Some(field) = self.ty.fields().first() else { return Ok(()) };
        if !field.mutable {
            return Err(Error::msg(format!("the elements of an {} are immutable", self.ty.ty().composite)));
        }
        check(self.store, value, *field, 0)
    }

    /// All values, which are read one by one.
    pub(crate) fn into_values<'s>(self) -> impl ExactSizeIterator<Item = Val> + 's
    where
        Self: 's,
    {
        let length = self.len();
        (0..length).map(move |index| self.get(index).unwrap_or(Val::I32(0)))
    }

    /// The bytes of an array of 8-bit integers.
    fn bytes(&self) -> Option<NonNull<[u8]>> {
        let is_bytes = self.ty.kind() == ObjectKind::Array && self.ty.fields()[0].storage == StorageType::I8;
        // SAFETY: the first element is there, or the end of the object.
        let first = unsafe { self.at.add(array_elements(1) as usize) };
        is_bytes.then(|| NonNull::slice_from_raw_parts(first, self.len()))
    }

    /// Sets all elements of an array of 8-bit integers.
    ///
    /// # Errors
    /// If it is another one, or has another length.
    pub(crate) fn write_bytes(&self, from: &[u8]) -> Result<()> {
        let own = self.bytes().filter(|own| own.len() == from.len()).ok_or_else(|| self.other_bytes(from.len()))?;
        // SAFETY: both are so long, and the slice is not on the heap.
        unsafe { own.cast::<u8>().copy_from_nonoverlapping(NonNull::from(from).cast(), from.len()) };
        Ok(())
    }

    fn other_bytes(&self, length: usize) -> Error {
        let what = "only the elements of an array of i8 can be copied from and to a slice, of the same length";
        Error::msg(format!(
            "{what}; this is an {} of length {}, and the slice has {length}",
            self.ty.ty().composite,
            self.len()
        ))
    }

    /// The bytes of an array of 8-bit integers, from the first one on.
    pub(crate) fn copy_bytes(&self, to: &mut [u8]) -> Result<()> {
        let own = self.bytes().filter(|own| own.len() == to.len()).ok_or_else(|| self.other_bytes(to.len()))?;
        // SAFETY: both are so long, and the slice is not on the heap.
        unsafe { own.cast::<u8>().copy_to_nonoverlapping(NonNull::from(&mut *to).cast(), to.len()) };
        Ok(())
    }
}

/// Bytes of a value in an object.
fn size_of_value(ty: ValType) -> usize {
    wasmc_artifacts::abi::descriptor::storage_size(StorageType::Val(ty)) as usize
}

/// The host's values.
impl StoreOpaque {
    /// A root of the reference to a value, which may be an old one. If there
    /// are many, garbage is collected first.
    ///
    /// # Errors
    /// If there are as many as there can be, or the cargo feature `gc` is off.
    pub(crate) fn refer_to(&mut self, value: VMExternRef) -> Result<Root> {
        parts::GC.need("a reference to a value of the host's")?;
        if self.state.has_many_externs() {
            self.state.collect_garbage();
        }
        let raw = self.state.externs().borrow_mut().intern(value)?;
        // SAFETY: the reference to the value.
        Ok(unsafe { self.state.roots().push(raw) })
    }

    /// The value that a root stands for, if it is one of the host's.
    ///
    /// # Errors
    /// If the root is another store's, or no longer kept.
    pub(crate) fn extern_of(&self, root: Root) -> Result<Option<&VMExternRef>> {
        let raw = self.state.roots().get(root)?;
        if !is_extern(raw) {
            return Ok(None);
        }
        // SAFETY: the table is changed only by who has the store exclusively,
        // for which the result must be given up.
        Ok(unsafe { unguarded(self.state.externs()) }.get(raw))
    }

    /// The same value, to be changed; the number of other references to it if
    /// there are any.
    ///
    /// # Errors
    /// If the root is another store's, or no longer kept.
    #[allow(clippy::type_complexity, reason = "an outcome, a value of the host's or not, other references or none")]
    pub(crate) fn extern_mut(&mut self, root: Root) -> Result<Option<Result<&mut (dyn Any + Send + Sync), usize>>> {
        let raw = self.state.roots().get(root)?;
        if !is_extern(raw) {
            return Ok(None);
        }
        // SAFETY: the store is borrowed exclusively, so nobody else uses the
        // table, for as long as the result is.
        let value = unsafe { &mut *self.state.externs().as_ptr() }.get_mut(raw);
        Ok(value.map(|value| {
            let others = value.strong_count() - 1;
            value.get_mut().ok_or(others)
        }))
    }
}
