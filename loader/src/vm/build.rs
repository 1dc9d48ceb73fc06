//! Making an instance in a slot: its records, memories and tables.
//!
//! Records are allocated one behind the other, by a [`Scoped`] allocator, from
//! the part of the slot whose size the blueprint has computed.

use super::blueprint::{Blueprint, TableBlueprint, TablePlace};
use super::image::Source;
use super::instance::{InstanceData, Placement};
use super::memory::MemoryData;
use super::of::Of;
use super::slot::{Slot, SlotLayout};
use super::structs::{VMMemoryDef, VMTableDef, ValRaw};
use super::table::TableData;
use crate::error::Error;
use crate::module::Module;
use crate::parts;
use crate::sys;
use std::alloc::Layout;
use std::cell::{Cell, OnceCell, UnsafeCell};
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use wasmc_allocators::{AllocError, Allocator, NullAllocator, Scoped};

/// What an instance is made of and for.
struct Builder<'a> {
    slot: Slot,
    layout: &'a SlotLayout,
    module: &'a Module,
    placement: Placement,
    /// Whether head and memories are mapped already, for the same module.
    mapped: bool,
    records: Scoped<NullAllocator>,
}

/// The records, all but the instance's own written.
struct Parts {
    instance: NonNull<InstanceData>,
    memories: NonNull<[MemoryData]>,
    tables: NonNull<[TableData]>,
    snapshot: NonNull<ValRaw>,
}

/// Makes an instance in a slot, of which nothing is accessible unless it is
/// `mapped`. On failure the slot comes back.
///
/// # Safety
/// The slot has the layout, is for this module, and nobody uses it. If it is
/// `mapped`, it had an instance of this module before, its head is zeros, and
/// its memories are as they were mapped.
pub(super) unsafe fn build(
    slot: Slot,
    layout: &SlotLayout,
    module: &Module,
    placement: Placement,
    mapped: bool,
) -> Result<NonNull<InstanceData>, (Error, Slot)> {
    // SAFETY: nobody uses the slot, and nothing is allocated from the records
    // before `prepare` has made them accessible.
    let records = unsafe { Scoped::within(slot.records(module.blueprint())) };
    let builder = Builder { slot, layout, module, placement, mapped, records };
    // SAFETY: the caller's.
    match unsafe { builder.parts() } {
        // SAFETY: as above; the parts are this instance's.
        Ok(parts) => Ok(unsafe { builder.finish(&parts) }),
        Err(e) => Err((e, builder.slot)),
    }
}

impl Builder<'_> {
    fn blueprint(&self) -> &Blueprint {
        self.module.blueprint()
    }

    /// # Safety
    /// As for [`build`].
    unsafe fn parts(&self) -> Result<Parts, Error> {
        let blueprint = self.blueprint();
        // SAFETY: the caller's.
        unsafe {
            if !self.mapped {
                self.slot.prepare(self.layout, blueprint)?;
            }
            Ok(Parts {
                instance: self.place(1)?,
                memories: self.memories()?,
                tables: self.tables()?,
                snapshot: self.place::<ValRaw>(blueprint.globals.len() / size_of::<ValRaw>())?,
            })
        }
    }

    /// A place for records of one type, of which there may be none.
    fn place<T>(&self, count: usize) -> Result<NonNull<T>, Error> {
        if count == 0 {
            // An allocator would give it an address of its own.
            return Ok(NonNull::dangling());
        }
        let layout = Layout::array::<T>(count).map_err(|_| AllocError::because("too many records"));
        match layout.and_then(|layout| self.records.allocate(layout)) {
            Ok(place) => Ok(place.cast()),
            Err(e) if parts::MESSAGES.is_on() => Err(e.into()),
            Err(_) => Err(io::Error::from(io::ErrorKind::OutOfMemory).into()),
        }
    }

    /// Writes the records of the memories, and maps these unless they are.
    ///
    /// # Safety
    /// As for [`build`]; the head of the slot is accessible.
    unsafe fn memories(&self) -> Result<NonNull<[MemoryData]>, Error> {
        let count = self.blueprint().slot_memories().count();
        let first = self.place::<MemoryData>(count)?;
        let source = self.placement.view.then(|| Source::new(self.module.code()));
        for (index, (defined, memory)) in self.blueprint().slot_memories().enumerate() {
            let base = self.slot.memory(self.layout, index);
            let base = base.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
            let offset = self.module.artifact().layout().memory_def(defined);
            // SAFETY: the definition is in the context, the memory in the
            // slot; a record that was written needs no drop if a later one
            // fails.
            unsafe {
                if !self.mapped {
                    memory.image.map(base.as_ptr(), memory.plan.accessible(), source)?;
                }
                let def = self.slot.vmctx().byte_offset(offset as isize).cast::<VMMemoryDef>();
                first.add(index).write(MemoryData::new(def, base, memory.ty.clone(), memory.plan, None));
            }
        }
        Ok(NonNull::slice_from_raw_parts(first, count))
    }

    /// Writes the records of the tables.
    ///
    /// # Safety
    /// As for [`memories`](Self::memories).
    unsafe fn tables(&self) -> Result<NonNull<[TableData]>, Error> {
        let tables = &self.blueprint().tables;
        let first = self.place::<TableData>(tables.len())?;
        for (index, table) in tables.iter().enumerate() {
            // SAFETY: the caller's; the place is for this record, and those
            // before were written just now.
            unsafe {
                let Some(made) = self.table(table) else {
                    ptr::drop_in_place(NonNull::slice_from_raw_parts(first, index).as_ptr());
                    return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
                };
                first.add(index).write(made);
            }
        }
        Ok(NonNull::slice_from_raw_parts(first, tables.len()))
    }

    /// A table; `None` if there is no room for it.
    ///
    /// # Safety
    /// As for [`memories`](Self::memories).
    unsafe fn table(&self, table: &TableBlueprint) -> Option<TableData> {
        let (ty, init) = (table.ty.clone(), table.init);
        let vmctx = self.slot.vmctx();
        // SAFETY: definitions and inline elements are in the context, says the
        // artifact's check; other elements are the table's alone.
        unsafe {
            let def = vmctx.byte_offset(table.def as isize).cast::<VMTableDef>();
            match table.place {
                TablePlace::Context(distance) => {
                    let storage = vmctx.as_ptr().wrapping_byte_offset(distance as isize).cast();
                    Some(TableData::inline(def, storage, ty, init))
                }
                TablePlace::Allocated(number) => match self.slot.table(self.layout, number) {
                    Some(storage) => TableData::in_slot(def, storage, self.layout.table_elements(), ty, init),
                    None => TableData::allocated(def, ty, init),
                },
                // Only code uses it; for us it has no elements.
                TablePlace::ReadOnly => {
                    let nothing = NonNull::<u64>::dangling().as_ptr();
                    Some(TableData::inline(def, nothing, ty.with_minimum(0), (0, 0)))
                }
            }
        }
    }

    /// Watches the views of the artifact's file that memories are.
    ///
    /// # Safety
    /// The memories were just made.
    unsafe fn watches(&self, memories: NonNull<[MemoryData]>) -> Vec<sys::Watch> {
        let mut watches = Vec::new();
        if !parts::TRUNCATION.is_on() {
            return watches;
        }
        // SAFETY: the caller's.
        let memories = unsafe { memories.as_ref() }.iter().zip(self.blueprint().slot_memories());
        for (memory, (_, blueprint)) in memories.filter(|_| self.placement.view) {
            let extents = blueprint.image.extents();
            if let (Some(first), Some(last)) = (extents.first(), extents.last()) {
                let base = memory.base() as usize;
                watches.extend(self.module.watch(base + first.range.start..base + last.range.end));
            }
        }
        watches
    }

    /// Writes the instance's own record, and fills memories that are not
    /// mapped with what they contain at first.
    ///
    /// # Safety
    /// As for [`build`]; the parts were made by [`parts`](Self::parts).
    unsafe fn finish(self, parts: &Parts) -> NonNull<InstanceData> {
        let at = parts.instance;
        let instance = InstanceData {
            vmctx: self.slot.vmctx(),
            index: Cell::new(0),
            module: ManuallyDrop::new(self.module.lease()),
            memories: parts.memories,
            tables: parts.tables,
            snapshot: parts.snapshot,
            imported_memories: OnceCell::new(),
            shared_memories: OnceCell::new(),
            imports: UnsafeCell::new(None),
            filled: Cell::new(0),
            store: Cell::new(ptr::null_mut()),
            initialised: Cell::new(false),
            resets: Cell::new(0),
            next_code: Cell::new(ptr::null()),
            placement: self.placement,
            // SAFETY: just made.
            watches: Of::new(unsafe { self.watches(parts.memories) }),
            slot: ManuallyDrop::new(self.slot),
        };
        // SAFETY: the record is the instance's; nobody uses it yet.
        unsafe {
            at.write(instance);
            for table in at.as_ref().tables() {
                table.set_owner(at.as_ptr());
            }
            for memory in at.as_ref().resets(self.module).filter(|memory| !memory.policy.view) {
                memory.copy_image();
            }
            at.as_ref().define_tags();
            at.as_ref().populate(self.module);
        }
        at
    }
}
