//! Tables as the loader knows them.
//!
//! An element is a reference, zero-extended to 64 bits. In a table of
//! functions it carries [`FUNCREF_INIT_BIT`]; an element that is all zeros has
//! not been computed yet, and its value is what the module says about the
//! table's initial elements.

use super::gc::Tracer;
use super::handle::Stored;
use super::instance::InstanceData;
use super::structs::{VMFuncRef, VMTableDef, ValRaw};
use crate::error::Result;
use crate::store::{StoreInner, StoreOpaque};
use crate::sys;
use crate::types::TableType;
use crate::values::{Ref, Val};
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::io;
use std::ptr::{self, NonNull};
use wasmc_artifacts::abi::FUNCREF_INIT_BIT;
use wasmc_artifacts::format::NONE;

/// Out of the bounds of a table, a segment or a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfBounds;

/// A table: of an instance, or made by the host.
pub(crate) struct TableData {
    /// What compiled code reads; in the owner's context or the store's arena.
    def: NonNull<VMTableDef>,
    ty: TableType,
    storage: Cell<Storage>,
    /// Whether the host, or a segment, has changed elements since they were as
    /// at first. Of changes by code nothing is noted.
    changed: Cell<bool>,
    /// Who knows the initial elements, and their number in its module's table
    /// of initial elements; null for a table of the host's.
    owner: Cell<*const InstanceData>,
    init: (u32, u32),
}

/// Where the elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// Somewhere where there is room for the initial ones only.
    Fixed,
    /// On the heap, where there is room for so many.
    Heap(usize),
    /// In a slot, where there is room for so many.
    Slot(usize),
}

fn layout(elements: usize) -> Option<Layout> {
    Layout::array::<u64>(elements.max(1)).ok()
}

fn allocate(elements: usize) -> Option<NonNull<u64>> {
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { alloc::alloc_zeroed(layout(elements)?) }.cast())
}

impl TableData {
    /// A table whose `ty.minimum()` elements are already at `storage`.
    ///
    /// # Safety
    /// `def` and the elements live as long as the value, and compiled code
    /// and the value alone use them.
    pub(super) unsafe fn inline(
        def: NonNull<VMTableDef>,
        storage: *mut u64,
        ty: TableType,
        init: (u32, u32),
    ) -> TableData {
        // SAFETY: `def` is valid, says the caller.
        let shared = unsafe { def.as_ref() };
        shared.base.set(storage.cast());
        shared.length.set(ty.minimum());
        let owner = Cell::new(ptr::null());
        TableData { def, ty, storage: Cell::new(Storage::Fixed), changed: Cell::new(false), owner, init }
    }

    /// A table whose elements are allocated here, all zeros; `None` if there
    /// is no memory for them.
    ///
    /// # Safety
    /// `def` lives as long as the value.
    pub(super) unsafe fn allocated(def: NonNull<VMTableDef>, ty: TableType, init: (u32, u32)) -> Option<TableData> {
        let capacity = usize::try_from(ty.minimum()).ok()?;
        let storage = allocate(capacity)?;
        // SAFETY: the storage is freed by the value's drop.
        let data = unsafe { TableData::inline(def, storage.as_ptr(), ty, init) };
        data.storage.set(Storage::Heap(capacity));
        Some(data)
    }

    /// A table whose elements, all zeros, are at `storage`, where there is
    /// room for `capacity` of them; `None` if that is too little.
    ///
    /// # Safety
    /// As for `inline`, of all `capacity` elements.
    pub(super) unsafe fn in_slot(
        def: NonNull<VMTableDef>,
        storage: NonNull<u64>,
        capacity: usize,
        ty: TableType,
        init: (u32, u32),
    ) -> Option<TableData> {
        if ty.minimum() > capacity as u64 {
            return None;
        }
        // SAFETY: the caller's.
        let data = unsafe { TableData::inline(def, storage.as_ptr(), ty, init) };
        data.storage.set(Storage::Slot(capacity));
        Some(data)
    }

    /// Says who knows the initial elements.
    ///
    /// # Safety
    /// `owner` lives as long as the value.
    pub(super) unsafe fn set_owner(&self, owner: *const InstanceData) {
        self.owner.set(owner);
    }

    /// What compiled code reads.
    pub(crate) fn def(&self) -> &VMTableDef {
        // SAFETY: valid as long as `self`, say the constructors.
        unsafe { self.def.as_ref() }
    }

    /// The type, with the minimum that the table was made with.
    pub(crate) fn ty(&self) -> &TableType {
        &self.ty
    }

    /// Number of elements.
    pub(crate) fn length(&self) -> u64 {
        self.def().length.get()
    }

    fn elements(&self) -> &[Cell<u64>] {
        // SAFETY: the constructors and `grow` keep `length` elements at the
        // base; compiled code and we both treat them as cells.
        unsafe { std::slice::from_raw_parts(self.def().base.get().cast::<Cell<u64>>(), self.length() as usize) }
    }

    /// How many elements there is room for, if there cannot be more.
    pub(crate) fn capacity(&self) -> Option<usize> {
        match self.storage.get() {
            Storage::Fixed => Some(self.length() as usize),
            Storage::Heap(_) => None,
            Storage::Slot(capacity) => Some(capacity),
        }
    }

    fn tag(&self) -> u64 {
        if self.ty.element().is_func_ref() { FUNCREF_INIT_BIT } else { 0 }
    }

    /// The element that a value of the table's element type is.
    pub(super) fn element_of(&self, value: ValRaw) -> u64 {
        if self.ty.element().is_func_ref() { value.low } else { value.low & u64::from(u32::MAX) }
    }

    /// The reference at `index`: the address of a `VMFuncRef` or a handle.
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let cell = self.elements().get(usize::try_from(index).ok()?)?;
        if self.tag() == 0 {
            return Some(cell.get());
        }
        if cell.get() == 0 {
            cell.set(self.initial(index) as u64 | FUNCREF_INIT_BIT);
        }
        Some(cell.get() & !FUNCREF_INIT_BIT)
    }

    /// Passes the elements to the tracer if they are for it to follow.
    pub(super) fn trace(&self, tracer: &mut Tracer<'_>) {
        if self.ty.element().is_gc_ref() {
            for cell in self.elements() {
                cell.set(tracer.root(cell.get() as u32).into());
            }
        }
    }

    /// Makes all elements null if the tracer would follow them.
    pub(super) fn drop_references(&self) {
        if self.ty.element().is_gc_ref() {
            for cell in self.elements() {
                cell.set(0);
            }
        }
    }

    /// What the module says about element `index`.
    fn initial(&self, index: u64) -> *const VMFuncRef {
        let (first, count) = self.init;
        // SAFETY: the owner is null or lives as long as `self`.
        let owner = unsafe { self.owner.get().as_ref() };
        let (Some(owner), true) = (owner, index < u64::from(count)) else { return ptr::null() };
        let row = owner.module().artifact().tables().table_init.get(first as usize + index as usize);
        match row {
            Some(row) if row.function != NONE => owner.func_ref(row.function).map_or(ptr::null(), ptr::from_ref),
            _ => ptr::null(),
        }
    }

    /// Sets the element at `index` to a reference.
    pub(crate) fn set(&self, index: u64, value: u64) -> Result<(), OutOfBounds> {
        let index = usize::try_from(index).map_err(|_| OutOfBounds)?;
        self.elements().get(index).ok_or(OutOfBounds)?.set(value | self.tag());
        self.changed.set(true);
        Ok(())
    }

    /// Sets `count` elements from `to` on.
    pub(crate) fn fill(&self, to: u64, value: u64, count: u64) -> Result<(), OutOfBounds> {
        for cell in part(self.elements(), to, count)? {
            cell.set(value | self.tag());
        }
        self.changed.set(true);
        Ok(())
    }

    /// Copies `count` elements, which may overlap, from another table or this
    /// one.
    pub(crate) fn copy(&self, to: u64, from: &TableData, at: u64, count: u64) -> Result<(), OutOfBounds> {
        let source = part(from.elements(), at, count)?;
        let target = part(self.elements(), to, count)?;
        // Elements that are not computed yet mean something only where they are.
        if from.tag() != 0 {
            for (i, cell) in source.iter().enumerate() {
                if cell.get() == 0 {
                    from.get(at + i as u64);
                }
            }
        }
        // SAFETY: both are elements of tables, `count` each; `copy` allows
        // an overlap, and cells can be copied through.
        unsafe { ptr::copy(source.as_ptr().cast::<u64>(), target.as_ptr().cast::<u64>().cast_mut(), source.len()) };
        self.changed.set(true);
        Ok(())
    }

    /// Grows by `delta` elements set to `value`; the old length, or `None` if
    /// the table cannot become that large.
    pub(crate) fn grow(&self, delta: u64, value: u64) -> Option<u64> {
        let old = self.length();
        let new = old.checked_add(delta)?;
        if new > self.ty.maximum_or_limit() {
            return None;
        }
        if delta == 0 {
            return Some(old);
        }
        let wanted = usize::try_from(new).ok()?;
        match self.storage.get() {
            Storage::Heap(capacity) if wanted > capacity => self.move_to_heap(wanted, capacity)?,
            Storage::Slot(capacity) if wanted > capacity => return None,
            Storage::Fixed => return None,
            Storage::Heap(_) | Storage::Slot(_) => {}
        }
        self.changed.set(true);
        self.def().length.set(new);
        // Zeros are there already, and mean null: an element of functions
        // that is not computed yet and has no initial value is null.
        if value != 0 {
            self.fill(old, value, delta).ok()?;
        }
        Some(old)
    }
}

/// Moving and resetting.
impl TableData {
    /// Moves the elements to where there is room for `wanted` of them.
    fn move_to_heap(&self, wanted: usize, capacity: usize) -> Option<()> {
        let most = usize::try_from(self.ty.maximum_or_limit()).ok()?;
        let larger = wanted.max(capacity.saturating_mul(2).min(most));
        let storage = allocate(larger)?;
        let base = self.def().base.get().cast::<u64>();
        // SAFETY: the elements are at the base, and there is room for as many
        // at the new storage, which overlaps nothing; the old storage was
        // allocated for `capacity` elements, and nothing points into it except
        // `base`.
        unsafe {
            ptr::copy_nonoverlapping(base, storage.as_ptr(), self.length() as usize);
            alloc::dealloc(base.cast(), layout(capacity)?);
        }
        self.def().base.set(storage.as_ptr().cast());
        self.storage.set(Storage::Heap(larger));
        Some(())
    }

    /// Restores length and elements as they were at first: not computed yet.
    /// Nothing need be done if no code ran and nothing else has changed them.
    /// Of elements in a slot `keep` bytes may stay resident.
    ///
    /// # Safety
    /// No code runs that uses the table.
    pub(super) unsafe fn reset(&self, code_ran: bool, keep: usize) -> io::Result<()> {
        if !self.changed.take() && !code_ran {
            return Ok(());
        }
        let length = self.length() as usize * size_of::<u64>();
        let keep = keep.min(length);
        let base = self.def().base.get();
        self.def().length.set(self.ty.minimum());
        let page = sys::page_size();
        let start = (base as usize + keep).next_multiple_of(page) - base as usize;
        // The page in which the table ends can begin before the table does.
        let end = ((base as usize + length) / page * page).saturating_sub(base as usize);
        // SAFETY: there are so many bytes at the base, and nobody uses them.
        unsafe {
            if matches!(self.storage.get(), Storage::Slot(_)) && end > start && sys::can_discard() {
                base.write_bytes(0, start);
                sys::discard(base.add(start), end - start)?;
                base.add(end).write_bytes(0, length - end);
            } else {
                base.write_bytes(0, length);
            }
        }
        Ok(())
    }
}

impl Drop for TableData {
    fn drop(&mut self) {
        let Storage::Heap(capacity) = self.storage.get() else { return };
        if let Some(layout) = layout(capacity) {
            // SAFETY: allocated with this layout in `allocated` or `grow`. A
            // definition in a context is still there, since the slot that
            // holds it is dropped after the tables.
            unsafe { alloc::dealloc(self.def().base.get(), layout) };
        }
    }
}

/// `count` elements from `at` on.
fn part<T>(of: &[T], at: u64, count: u64) -> Result<&[T], OutOfBounds> {
    let start = usize::try_from(at).map_err(|_| OutOfBounds)?;
    let end = usize::try_from(at.checked_add(count).ok_or(OutOfBounds)?).map_err(|_| OutOfBounds)?;
    of.get(start..end).ok_or(OutOfBounds)
}

impl Stored<TableData> {
    /// Grows by `delta` elements; the old length, or `None` if the table does
    /// not become that large.
    ///
    /// # Errors
    /// If the store's limiter wants that.
    pub(crate) fn grow<T: 'static>(self, store: &mut StoreInner<T>, delta: u64, value: u64) -> Result<Option<u64>> {
        #[cfg(feature = "async")]
        let _outside = store.opaque.state.wait_outside_calls();
        // SAFETY: the address is that of a table of this store, which lives as
        // long as the store does, elsewhere.
        store.grow_table(unsafe { self.address(&store.opaque).as_ref() }, delta, value)
    }

    /// The reference at `index`.
    pub(crate) fn get_ref(self, store: &mut StoreOpaque, index: u64) -> Option<Ref> {
        let table = self.get(store);
        let raw = ValRaw::of(table.get(index)?);
        // SAFETY: elements of a table of this store are references of its
        // element type.
        unsafe { Val::from_raw(raw, table.ty().element(), store) }.ref_()
    }
}
