//! Instances: a module's slot, filled with what the module says.

use super::builtins::BUILTINS;
use super::handle::Stored;
use super::host::{HostFuncDef, adapter};
use super::memory::MemoryData;
use super::shared::{Lease, Shared};
use super::slot::Slot;
use super::state::StoreState;
use super::structs::{
    VMFuncImport, VMFuncRef, VMGlobalImport, VMHeader, VMMemoryDef, VMMemoryImport, VMTableDef, VMTableImport, ValRaw,
};
use super::table::TableData;
use crate::error::Error;
use crate::linking::Items;
use crate::module::Module;
use crate::store::StoreOpaque;
use crate::sys::Access;
use crate::types::{MemoryType, TableType};
use std::cell::{Cell, OnceCell};
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use wasmc_artifacts::abi::{ContextCounts, ContextLayout};
use wasmc_artifacts::format::{NONE, TableKind};

/// An instance. Its memories and tables are those that its module defines.
pub(crate) struct InstanceData {
    vmctx: NonNull<u8>,
    index: usize,
    module: Lease<Module>,
    memories: Box<[MemoryData]>,
    tables: Box<[TableData]>,
    /// The memories that the module imports.
    imported_memories: OnceCell<Box<[Stored<MemoryData>]>>,
    /// The host functions that it imports, or who owns them.
    keep: OnceCell<Lease<Shared<Items>>>,
    /// The next instance of another module; see `StoreState::code`.
    pub(super) next_code: Cell<*const InstanceData>,
    /// Given back after memories and tables, whose definitions are in it.
    slot: ManuallyDrop<Slot>,
    /// Whether the slot's memory has its first content.
    mapped: Cell<bool>,
}

macro_rules! fields {
    ($($(#[$meta:meta])* $name:ident[$count:ident]: $t:ty;)*) => {$(
        $(#[$meta])*
        #[track_caller]
        pub(crate) fn $name(&self, index: u32) -> &$t {
            let layout = self.layout();
            assert!(index < layout.counts().$count, "{} {index} of {}", stringify!($name), layout.counts().$count);
            // SAFETY: the layout says that a `$t` is there, and the slot was
            // made for this layout and zeroed, which is a value of every `$t`.
            unsafe { self.vmctx.byte_offset(layout.$name(index) as isize).cast::<$t>().as_ref() }
        }
    )*};
}

impl InstanceData {
    fields! {
        /// The cell of a defined global.
        global[globals]: Cell<ValRaw>;
        /// The definition of a defined memory.
        memory_def[memories]: VMMemoryDef;
        /// The definition of a defined table.
        table_def[tables]: VMTableDef;
        /// An imported memory.
        memory_import[memory_imports]: VMMemoryImport;
        /// An imported table.
        table_import[table_imports]: VMTableImport;
        /// An imported global.
        global_import[global_imports]: VMGlobalImport;
        /// An imported function.
        func_import[func_imports]: VMFuncImport;
        /// Whether a data segment was dropped.
        data_dropped[data_segments]: Cell<u8>;
        /// Whether an element segment was dropped.
        elem_dropped[elem_segments]: Cell<u8>;
    }

    /// The fixed part of the context.
    pub(crate) fn header(&self) -> &VMHeader {
        // SAFETY: as for the other fields.
        unsafe { self.vmctx.byte_offset(self.layout().header() as isize).cast::<VMHeader>().as_ref() }
    }

    /// The instance that a header belongs to.
    ///
    /// # Safety
    /// `header` is what compiled code passes to a builtin: the header of a
    /// living instance.
    pub(super) unsafe fn of_header<'a>(header: *const VMHeader) -> &'a InstanceData {
        // SAFETY: the header was filled in by `allocate`; the instance lives
        // as long as the store.
        unsafe { &*(*header).instance.get().cast::<InstanceData>() }
    }

    /// The module.
    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    fn belongs_to(&self, state: &StoreState) -> bool {
        state.instance(self.index).is_some_and(|own| ptr::eq(own, self))
    }

    fn layout(&self) -> &ContextLayout {
        self.module.artifact().layout()
    }

    fn counts(&self) -> &ContextCounts {
        self.layout().counts()
    }

    /// The context pointer.
    pub(crate) fn vmctx(&self) -> *mut u8 {
        self.vmctx.as_ptr()
    }

    /// The memories that the module defines.
    pub(crate) fn memories(&self) -> &[MemoryData] {
        &self.memories
    }

    /// A memory of the module's index space.
    pub(crate) fn memory(&self, index: u32) -> Option<&MemoryData> {
        match index.checked_sub(self.counts().memory_imports) {
            Some(defined) => self.memories.get(defined as usize),
            None => {
                let imported = self.imported_memories.get()?.get(index as usize)?;
                // SAFETY: `import_memory` checked that it is the same store's.
                Some(unsafe { imported.assume().as_ref() })
            }
        }
    }

    /// A table of the module's index space.
    pub(crate) fn table(&self, index: u32) -> Option<&TableData> {
        match index.checked_sub(self.counts().table_imports) {
            Some(defined) => self.tables.get(defined as usize),
            None => {
                let owner = self.table_import(index).owner.get().cast::<TableData>();
                // SAFETY: null or set by `import_table`, which checked the store.
                unsafe { owner.as_ref() }
            }
        }
    }

    /// The cell of a global of the module's index space.
    pub(crate) fn global_cell(&self, index: u32) -> Option<&Cell<ValRaw>> {
        let counts = self.counts();
        match index.checked_sub(counts.global_imports) {
            Some(defined) => (defined < counts.globals).then(|| self.global(defined)),
            None => {
                let cell = self.global_import(index).cell.get().cast::<Cell<ValRaw>>();
                // SAFETY: null or set by `import_global`, which checked the store.
                unsafe { cell.as_ref() }
            }
        }
    }

    /// The function value of a function of the module's index space; `None`
    /// if the artifact does not say that it can be a value.
    pub(crate) fn func_ref(&self, function: u32) -> Option<&VMFuncRef> {
        if function < self.counts().func_imports {
            return Some(self.func_import(function).func_ref());
        }
        let artifact = self.module.artifact();
        let (slot, ty) = artifact.func_ref(function)?;
        assert!(slot < self.counts().func_refs, "the number of function references was checked");
        // SAFETY: as for the other fields.
        let func_ref =
            unsafe { self.vmctx.byte_offset(self.layout().func_ref(slot) as isize).cast::<VMFuncRef>().as_ref() };
        if func_ref.code.get().is_null() {
            let tables = artifact.tables();
            let code = tables.functions.get((function - self.counts().func_imports) as usize)?.code;
            let ty = tables.types.get(ty as usize)?;
            let stub = |at| if at == NONE { ptr::null_mut() } else { self.module.code_at(at) };
            func_ref.ctx.set(self.vmctx());
            func_ref.type_id.set(ty.id);
            func_ref.native_entry.set(stub(ty.native_entry));
            func_ref.array_entry.set(stub(ty.array_entry));
            func_ref.code.set(self.module.code_at(code));
        }
        Some(func_ref)
    }

    /// Makes an instance of `module` in a store, with its memories, tables
    /// and images, but without imports, and gives it to the store.
    pub(crate) fn allocate<'a>(state: &'a StoreState, module: &Module) -> Result<&'a InstanceData, Error> {
        let failed = |what: &'static str| move |e: io::Error| Error::new(AllocationError::new(what, e));
        let (slot, mapped) = module.slots().allocate().map_err(failed("the slot"))?;
        let mut instance = Box::new(InstanceData {
            vmctx: slot.vmctx(),
            index: state.instance_count(),
            module: module.lease(),
            memories: Box::default(),
            tables: Box::default(),
            imported_memories: OnceCell::new(),
            keep: OnceCell::new(),
            next_code: Cell::new(ptr::null()),
            slot: ManuallyDrop::new(slot),
            mapped: Cell::new(mapped),
        });
        instance.memories = instance.make_memories().map_err(failed("a memory"))?;
        instance.tables = instance.make_tables().map_err(failed("a table"))?;
        let instance = state.adopt(instance);
        for table in &instance.tables {
            // SAFETY: the tables are the instance's own.
            unsafe { table.set_owner(instance) };
        }
        let header = instance.header();
        header.instance.set(ptr::from_ref(instance).cast_mut().cast());
        header.store.set(state.address());
        header.builtins.set(ptr::from_ref(&BUILTINS).cast_mut().cast());
        header.stack_limit.set(state.limit.value.get() as u64);
        Ok(instance)
    }

    fn make_memories(&self) -> io::Result<Box<[MemoryData]>> {
        let counts = self.counts();
        let rows = self.module.artifact().tables().memories;
        (0..counts.memories)
            .map(|defined| {
                let row = rows.get((counts.memory_imports + defined) as usize);
                let ty = MemoryType::of_row(&row.ok_or(io::ErrorKind::InvalidData)?);
                let plan = self.module.memory_plan(&ty).ok_or(io::ErrorKind::OutOfMemory)?;
                let def = NonNull::from(self.memory_def(defined));
                if defined > 0 {
                    // SAFETY: the definition is in the instance's slot.
                    let memory = unsafe { MemoryData::alone(def, ty, plan) }?;
                    self.map_images(defined, &memory)?;
                    return Ok(memory);
                }
                // SAFETY: the slot was laid out with this memory at vmctx, and
                // lives as long as the instance.
                let memory = unsafe { MemoryData::new(def, self.vmctx, ty, plan, None) };
                if !self.mapped.get() {
                    self.map_images(defined, &memory)?;
                    self.mapped.set(true);
                }
                Ok(memory)
            })
            .collect()
    }

    /// Maps what the memory contains at first, and makes the rest of its
    /// initial pages accessible.
    fn map_images(&self, defined: u32, memory: &MemoryData) -> io::Result<()> {
        let (region, base) = match memory.region() {
            Some(region) => (region, 0),
            None => self.slot.region().ok_or(io::ErrorKind::InvalidData)?,
        };
        let page = crate::sys::page_size();
        let end = memory.plan().initial.next_multiple_of(page);
        let start = memory.base() as usize;
        if let Some(watch) = self.module.watch(start..start + end) {
            match memory.region() {
                Some(_) => memory.watch.set(Some(watch)),
                None => drop(self.slot.watch.set(watch)),
            }
        }
        let mut done = 0;
        for extent in self.module.artifact().tables().extents.iter().filter(|e| e.memory == defined) {
            let start = extent.position as usize;
            // An extent's last page can reach beyond what this machine needs,
            // whose pages are smaller.
            let stop = start.saturating_add(extent.content.length as usize).min(end);
            if start < done || stop < start {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // SAFETY: the ranges are within the memory, which nobody uses yet,
            // and within the file, which `parse` checked.
            unsafe {
                region.make_accessible(base + done..base + start)?;
                region.overlay(base + start..base + stop, self.module.file(), extent.content.offset, Access::Write)?;
            }
            done = stop;
        }
        // SAFETY: as above.
        unsafe { region.make_accessible(base + done..base + end) }
    }

    fn make_tables(&self) -> io::Result<Box<[TableData]>> {
        let counts = self.counts();
        let rows = self.module.artifact().tables().tables;
        (0..counts.tables)
            .map(|defined| {
                let row = rows.get((counts.table_imports + defined) as usize).ok_or(io::ErrorKind::InvalidData)?;
                let ty = TableType::of_row(&row).ok_or(io::ErrorKind::InvalidData)?;
                let def = NonNull::from(self.table_def(defined));
                let init = (row.init, row.init_count);
                match TableKind::from_code(row.kind) {
                    Some(TableKind::Context) => {
                        let offset = self.layout().table_element(row.first_element);
                        let storage = self.vmctx.as_ptr().wrapping_byte_offset(offset as isize).cast();
                        // SAFETY: `parse` checked that the elements are in
                        // the context's storage.
                        Ok(unsafe { TableData::inline(def, storage, ty, init) })
                    }
                    Some(TableKind::Allocated) => {
                        // SAFETY: the definition is in the instance's slot.
                        let table = unsafe { TableData::allocated(def, ty, init) };
                        table.ok_or_else(|| io::ErrorKind::OutOfMemory.into())
                    }
                    // Only code uses it; for us it has no elements.
                    Some(TableKind::ReadOnly) | None => {
                        let nothing = NonNull::<u64>::dangling().as_ptr();
                        // SAFETY: no elements.
                        Ok(unsafe { TableData::inline(def, nothing, ty.with_minimum(0), (0, 0)) })
                    }
                }
            })
            .collect()
    }

    /// Provides the imported functions of the host with an owner.
    pub(crate) fn keep(&self, owner: Lease<Shared<Items>>) {
        let _ = self.keep.set(owner);
    }

    /// Provides an imported function of the host's. The definition has to be
    /// kept alive as long as the store; see [`keep`](Self::keep).
    pub(crate) fn import_host(&self, state: &StoreState, index: u32, ty: u32, def: &HostFuncDef) {
        let import = self.func_import(index);
        let row = self.module.artifact().tables().types.get(ty as usize);
        let adapter = row.as_ref().and_then(|row| adapter(row, def));
        debug_assert!(adapter.is_some(), "there is no adapter for the type of imported function {index}");
        let (code, native) = adapter.unwrap_or((NONE, ptr::null_mut()));
        import.code.set(self.module.code_at(code));
        import.ctx.set(ptr::from_ref(import.record()).cast_mut().cast());
        import.type_id.set(def.type_id());
        import.host.set(ptr::from_ref(def).cast_mut().cast());
        import.host_native.set(native);
        import.host_env.set(def.env());
        import.host_store.set(state.address());
        import.host_caller.set(ptr::from_ref(self).cast_mut().cast());
    }

    /// Provides an imported function of the same store.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub(crate) fn import_func(&self, store: &StoreOpaque, index: u32, ty: u32, func: Stored<VMFuncRef>) {
        let func = func.get(store);
        // SAFETY: null, or a definition that lives as long as the store.
        match unsafe { func.host.get().cast::<HostFuncDef>().as_ref() } {
            Some(def) => self.import_host(&store.state, index, ty, def),
            None => self.func_import(index).func_ref().assign(func),
        }
    }

    /// Provides an imported table.
    ///
    /// # Panics
    /// If the table belongs to another store.
    pub(crate) fn import_table(&self, state: &StoreState, index: u32, table: Stored<TableData>) {
        let at = table.address_in(state);
        let import = self.table_import(index);
        // SAFETY: the table lives in the same store as this instance.
        import.def.set(ptr::from_ref(unsafe { at.as_ref() }.def()).cast_mut().cast());
        import.owner.set(at.as_ptr().cast());
    }

    /// Provides all imported memories.
    ///
    /// # Panics
    /// If one belongs to another store.
    pub(crate) fn import_memories(&self, state: &StoreState, memories: Box<[Stored<MemoryData>]>) {
        for (index, memory) in (0..).zip(&memories) {
            // SAFETY: the memory lives in the same store as this instance.
            let def = unsafe { memory.address_in(state).as_ref() }.def();
            let import = self.memory_import(index);
            import.def.set(ptr::from_ref(def).cast_mut().cast());
            import.base.set(def.base.get());
        }
        let _ = self.imported_memories.set(memories);
    }

    /// Provides an imported global.
    ///
    /// # Panics
    /// If the global belongs to another store.
    pub(crate) fn import_global(&self, state: &StoreState, index: u32, cell: Stored<Cell<ValRaw>>) {
        self.global_import(index).cell.set(cell.address_in(state).as_ptr().cast());
    }

    /// A handle for the instance.
    pub(crate) fn itself(&self, state: &StoreState) -> Stored<InstanceData> {
        debug_assert!(self.belongs_to(state), "an instance of another store");
        // SAFETY: the store owns the instance.
        unsafe { state.handle(self) }
    }

    /// A handle for something that the instance owns or imports.
    pub(crate) fn handle<T>(
        &self,
        state: &StoreState,
        get: impl FnOnce(&InstanceData) -> Option<&T>,
    ) -> Option<Stored<T>> {
        debug_assert!(self.belongs_to(state), "an instance of another store");
        // SAFETY: the lifetimes of `get` leave it nothing to return but what
        // lives as long as the instance, which the store owns, or longer.
        get(self).map(|value| unsafe { state.handle(value) })
    }
}

impl Drop for InstanceData {
    fn drop(&mut self) {
        let accessible = self.memories.first().map(MemoryData::accessible);
        self.memories = Box::default();
        self.tables = Box::default();
        // SAFETY: taken once, here.
        let slot = unsafe { ManuallyDrop::take(&mut self.slot) };
        if let (Some(accessible), true) = (accessible, self.mapped.get()) {
            // SAFETY: an instance is dropped with its store, when no code of
            // it runs and no handle can be used any more.
            unsafe { self.module.slots().release(slot, accessible) };
        }
    }
}

/// No address space or memory for an instance.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot allocate {what} of an instance: {source}; drop stores that are not needed, or allow this process more address space"
)]
pub struct AllocationError {
    what: &'static str,
    source: io::Error,
}

impl AllocationError {
    pub(crate) fn new(what: &'static str, source: io::Error) -> Self {
        AllocationError { what, source }
    }
}
