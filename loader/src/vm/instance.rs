//! Instances: a module's slot, filled with what the module says.
//!
//! ```text
//! records ──▶ | InstanceData | MemoryData ... | TableData ... | snapshot | context | guard | memory 0
//!                                                                                          ^ vmctx
//! ```
//!
//! All that the loader notes about an instance is in its slot, below the
//! context, so that making one takes nothing from the heap, and an idle one
//! is little more than one page. An instance in a pool outlives its store:
//! see [`lifecycle`](super::lifecycle).

use super::code::WATCHES;
use super::handle::Stored;
use super::host::{HostFuncDef, code_for};
use super::memory::MemoryData;
use super::of::Of;
use super::shared::{Lease, Shared};
use super::slot::Slot;
use super::state::StoreState;
use super::structs::{
    VMFuncImport, VMFuncRef, VMGlobalImport, VMHeader, VMMemoryImport, VMTableImport, VMTagDef, VMTagImport, ValRaw,
};
use super::table::TableData;
use crate::linking::Items;
use crate::module::Module;
use crate::store::StoreOpaque;
use crate::sys;
use std::cell::{Cell, OnceCell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use wasmc_artifacts::abi::{ContextCounts, ContextLayout};
use wasmc_artifacts::format::NONE;

/// Where an instance is to live, and how its memories begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// In the engine's pool, rather than allocated on demand.
    pub(crate) pooled: bool,
    /// With memories that are views of the artifact, rather than copies.
    pub(crate) view: bool,
}

/// An instance. Its memories and tables are those that its module defines,
/// but for shared memories.
pub(crate) struct InstanceData {
    pub(super) vmctx: NonNull<u8>,
    pub(super) index: Cell<usize>,
    /// What keeps the module alive while a store has the instance; nothing
    /// while it is retired.
    pub(super) module: ManuallyDrop<Lease<Module>>,
    pub(super) memories: NonNull<[MemoryData]>,
    pub(super) tables: NonNull<[TableData]>,
    /// A copy of the globals' first values, once they are initialised.
    pub(super) snapshot: NonNull<ValRaw>,
    /// The memories that the module imports.
    pub(super) imported_memories: OnceCell<Box<[Stored<MemoryData>]>>,
    /// The shared memories that the module defines, while a store has the
    /// instance; they are kept in the store's arena.
    pub(super) shared_memories: OnceCell<Box<[Stored<MemoryData>]>>,
    /// What the module imports, while a store has the instance.
    pub(super) imports: UnsafeCell<Option<Lease<Shared<Items>>>>,
    /// The id of the imports that the context is filled with; 0 if it is not,
    /// or not with such as can be used again.
    pub(super) filled: Cell<u64>,
    /// The store that it is filled for.
    pub(super) store: Cell<*mut u8>,
    /// Whether globals have their first values, and the snapshot too.
    pub(super) initialised: Cell<bool>,
    /// How often the instance was reset.
    pub(super) resets: Cell<u32>,
    /// The next instance of another module; see `StoreState::code`.
    pub(super) next_code: Cell<*const InstanceData>,
    pub(super) placement: Placement,
    /// The views of the artifact's file that memories are, if it can change.
    pub(super) watches: Of<Vec<sys::Watch>, WATCHES>,
    pub(super) slot: ManuallyDrop<Slot>,
}

#[cold]
#[inline(never)]
#[cfg_attr(feature = "messages", track_caller)]
fn no_such(name: &str, index: u32) -> ! {
    panic!("the context has no {name} {index}")
}

macro_rules! fields {
    ($($(#[$meta:meta])* $name:ident[$count:ident]: $t:ty;)*) => {$(
        $(#[$meta])*
        #[cfg_attr(feature = "messages", track_caller)]
        pub(crate) fn $name(&self, index: u32) -> &$t {
            let layout = self.layout();
            if index >= layout.counts().$count {
                no_such(stringify!($name), index);
            }
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
        /// An imported memory.
        memory_import[memory_imports]: VMMemoryImport;
        /// An imported table.
        table_import[table_imports]: VMTableImport;
        /// An imported global.
        global_import[global_imports]: VMGlobalImport;
        /// An imported function.
        func_import[func_imports]: VMFuncImport;
        /// An imported tag.
        tag_import[tag_imports]: VMTagImport;
        /// A defined tag.
        tag_def[tags]: VMTagDef;
        /// Whether a data segment was dropped.
        data_dropped[data_segments]: Cell<u8>;
        /// Whether an element segment was dropped.
        elem_dropped[elem_segments]: Cell<u8>;
    }

    /// What stands in the context in place of a shared memory's definition.
    pub(super) fn shared_reference(&self, defined: u32) -> &VMMemoryImport {
        // SAFETY: as for the other fields, which check the number; this has
        // the size of a definition, and zeros are one.
        unsafe { self.vmctx.byte_offset(self.layout().memory_def(defined) as isize).cast::<VMMemoryImport>().as_ref() }
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

    /// The number among the store's instances.
    pub(crate) fn index(&self) -> usize {
        self.index.get()
    }

    /// The module.
    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    fn belongs_to(&self, state: &StoreState) -> bool {
        state.instance(self.index.get()).is_some_and(|own| ptr::eq(own, self))
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

    /// The memories that the module defines and that are not shared.
    pub(crate) fn memories(&self) -> &[MemoryData] {
        // SAFETY: records of this instance, made in `build` and dropped with it.
        unsafe { self.memories.as_ref() }
    }

    /// The tables that the module defines.
    pub(crate) fn tables(&self) -> &[TableData] {
        // SAFETY: as above.
        unsafe { self.tables.as_ref() }
    }

    /// A memory of the module's index space.
    pub(crate) fn memory(&self, index: u32) -> Option<&MemoryData> {
        match index.checked_sub(self.counts().memory_imports) {
            Some(defined) => match self.module().blueprint().memory_place(defined) {
                Ok(place) => self.memories().get(place),
                Err(place) => {
                    let shared = self.shared_memories.get()?.get(place)?;
                    // SAFETY: the store keeps it, which has the instance.
                    Some(unsafe { shared.assume().as_ref() })
                }
            },
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
            Some(defined) => self.tables().get(defined as usize),
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
        if slot >= self.counts().func_refs {
            no_such("func_ref", slot);
        }
        // SAFETY: as for the other fields.
        let func_ref =
            unsafe { self.vmctx.byte_offset(self.layout().func_ref(slot) as isize).cast::<VMFuncRef>().as_ref() };
        if func_ref.code.get().is_null() {
            let tables = artifact.tables();
            let code = tables.functions.get((function - self.counts().func_imports) as usize)?.code;
            let ty = tables.types.get(ty as usize)?;
            let stub = |at| if at == NONE { ptr::null_mut() } else { self.module().code_at(at) };
            func_ref.ctx.set(self.vmctx());
            func_ref.type_id.set(ty.id);
            func_ref.native_entry.set(stub(ty.native_entry));
            func_ref.array_entry.set(stub(ty.array_entry));
            func_ref.descriptor.set(stub(ty.descriptor));
            func_ref.code.set(self.module().code_at(code));
        }
        Some(func_ref)
    }

    /// Whether the context is filled with these imports from an earlier life.
    /// Then all that is left to do is to name the store that it is for.
    pub(crate) fn recall_imports(&self, state: &StoreState, items: &Items) -> bool {
        if self.filled.get() != items.fill_id() || self.filled.get() == 0 {
            return false;
        }
        if self.store.replace(state.address()) != state.address() {
            for index in 0..self.counts().func_imports {
                self.func_import(index).host_store.set(state.address());
            }
        }
        true
    }

    /// Takes note that the context is now filled with these imports.
    pub(crate) fn filled_with(&self, state: &StoreState, items: &Items) {
        self.filled.set(items.fill_id());
        self.store.set(state.address());
        // Globals may depend on the imports.
        self.initialised.set(false);
    }

    /// Keeps what the instance imports alive.
    pub(crate) fn keep_imports(&self, items: Lease<Shared<Items>>) {
        // SAFETY: nobody holds a reference into the cell.
        unsafe { *self.imports.get() = Some(items) };
    }

    /// Provides an imported function of the host's. The definition has to be
    /// kept alive as long as the store; see [`keep_imports`](Self::keep_imports).
    pub(crate) fn import_host(&self, state: &StoreState, index: u32, ty: u32, def: &HostFuncDef) {
        let import = self.func_import(index);
        let row = self.module().artifact().tables().types.get(ty as usize);
        let code = row.as_ref().and_then(|row| code_for(self.module(), row, def));
        debug_assert!(code.is_some(), "there is no adapter for the type of imported function {index}");
        let (code, native) = code.unwrap_or((ptr::null_mut(), ptr::null_mut()));
        import.code.set(code);
        import.ctx.set(ptr::from_ref(import.record()).cast_mut().cast());
        import.type_id.set(def.type_id());
        import.descriptor.set(def.descriptor());
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
            let memory = unsafe { memory.address_in(state).as_ref() };
            self.memory_import(index).name(memory.def());
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

/// No address space or memory for an instance.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    feature = "messages",
    error(
        "cannot allocate {what} of an instance; drop stores that are not needed, or allow this process more address space or, on Linux, more mappings (sysctl vm.max_map_count), of which each instance takes several"
    )
)]
#[cfg_attr(not(feature = "messages"), error("cannot allocate {what} of an instance"))]
pub struct AllocationError {
    what: &'static str,
}

impl AllocationError {
    pub(crate) fn new(what: &'static str) -> Self {
        AllocationError { what }
    }
}
