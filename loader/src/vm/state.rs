//! A store as compiled code and the fault handler see it.

use super::arena::Arena;
use super::builtins::BUILTINS;
use super::externref::VMExternRef;
use super::gc::externs::{ExternTable, drop_all};
use super::gc::handles::RootSet;
use super::gc::roots::trace_cell;
use super::gc::{Heap, HeapSettings, Tracer};
use super::handle::{StoreId, Stored};
use super::instance::InstanceData;
use super::interrupt::Interruption;
use super::limits::Growth;
use super::memory::MemoryData;
use super::of::Of;
use super::quiet::Beginning;
use super::shared_memory::SharedData;
use super::shell;
use super::slot::MemoryPlan;
use super::structs::{VMMemoryDef, VMStoreContext, VMTableDef, ValRaw};
use super::table::TableData;
use crate::epochs::Epochs;
use crate::error::Error;
use crate::parts;
use crate::refs::I31;
use crate::types::{MemoryType, TableType, ValType};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use wasmc_artifacts::abi::Trap;

/// Why wasm code was left early.
pub(crate) enum Cause {
    /// A fault that the handler recognised.
    Trap(Trap),
    /// A host function returned an error.
    Error(Error),
    /// Code threw an exception that nobody has caught; it is in the context.
    Exception,
    /// A host function panicked.
    Panic(Box<dyn Any + Send>),
}

/// What `pending` is while an exception that a host function has returned looks
/// for its handler, or has found none. Otherwise it is 0 or 1.
pub(super) const PENDING_EXCEPTION: u64 = 2;

/// An activation that is interrupted by a newer one of the same store.
pub(super) struct Suspended {
    pub(super) entry_fp: u64,
    pub(super) entry_sp: u64,
    pub(super) entry_pc: u64,
    pub(super) exit_fp: u64,
    pub(super) exit_pc: u64,
    pub(super) host: *mut u8,
    pub(super) stack_values: u64,
    pub(super) older: *const Suspended,
}

/// What the current stack limit was computed for.
pub(super) struct Limit {
    /// The stack pointer.
    pub(super) sp: Cell<usize>,
    /// The thread's number; 0 if there is no limit yet.
    pub(super) thread: Cell<u64>,
    /// The limit itself.
    pub(super) value: Cell<usize>,
}

/// The part of a store that compiled code, builtins and the fault handler use.
#[repr(C)]
pub(crate) struct StoreState {
    /// First, so that its address is the state's.
    pub(super) context: VMStoreContext,
    pub(super) limit: Limit,
    /// Bytes of stack that wasm code may use.
    pub(super) max_wasm_stack: usize,
    /// The activations below the current one.
    pub(super) suspended: Cell<*const Suspended>,
    /// Instances of distinct modules, linked by `next_code`: whose code may
    /// run here. Atomic because the fault handler reads it at any time.
    pub(super) code: AtomicPtr<InstanceData>,
    /// Memories, linked by `next`; likewise.
    pub(super) memories: AtomicPtr<MemoryData>,
    /// The trap that the handler recognised.
    pub(super) trap: Cell<Option<Trap>>,
    /// Program counters of wasm frames, innermost first, as many as
    /// `frame_count` says. Allocated beforehand: the handler must not.
    pub(super) frames: Box<[Cell<usize>]>,
    pub(super) frame_count: Cell<usize>,
    /// Whether the first of them is that of an instruction, not a return address.
    pub(super) exact: Cell<bool>,
    /// Why a host function ended the activation.
    pub(super) cause: Cell<Option<Cause>>,
    /// The call that can be suspended now: on a stack of its own, without other
    /// frames of the host's on that.
    #[cfg(feature = "async")]
    pub(super) fiber: Cell<*const super::fiber::Control>,
    /// Since when is known what happened to memories; see [`quiet`](super::quiet).
    pub(super) beginning: Cell<Option<Beginning>>,
    /// Whether code may have been entered of which `context.host` tells
    /// nothing: within an activation of another store, or by a host function
    /// that the host called.
    pub(super) entered: Cell<bool>,
    /// Whether code was entered on more than one thread.
    pub(super) moved: Cell<bool>,
    /// How memories and tables grow, if there is a limiter.
    pub(super) growth: Cell<Option<Growth>>,
    /// When code is to be stopped.
    pub(super) interruption: Interruption,
    id: StoreId,
    /// What the host holds references to.
    roots: Of<RootSet, { parts::GC.is_on() }>,
    /// The host's values that there are references to.
    externs: Of<RefCell<ExternTable>, { parts::GC.is_on() }>,
    instances: Cell<Vec<NonNull<InstanceData>>>,
    /// What the host made, for resets; all of it is in the arena.
    pub(super) made: RefCell<Vec<Made>>,
    arena: Arena,
    /// Where objects are, once there are some.
    pub(super) heap: Of<RefCell<Heap>, { parts::GC.is_on() }>,
}

/// Something that the host made, and the value that a reset gives it: the one
/// that it had at first, or null in place of a reference to what a reset drops.
pub(super) enum Made {
    Memory(NonNull<MemoryData>),
    Table(NonNull<TableData>, u64),
    Global(NonNull<Cell<ValRaw>>, ValRaw, ValType),
}

/// What is left of a reference after a reset.
fn after_reset(value: u64, ty: ValType) -> u64 {
    if ty.is_gc_ref() && I31::of_raw(value as u32).is_none() { 0 } else { value }
}

/// How many instances an unused state may have room for.
const CAPACITY_KEPT: usize = 64;

impl StoreState {
    /// A state without instances, leaked from a box.
    fn allocate(max_wasm_stack: usize, backtrace_frames: usize) -> NonNull<StoreState> {
        let id = StoreId::next();
        let state = StoreState {
            context: VMStoreContext::default(),
            limit: Limit { sp: Cell::new(0), thread: Cell::new(0), value: Cell::new(usize::MAX) },
            max_wasm_stack,
            suspended: Cell::new(ptr::null()),
            code: AtomicPtr::new(ptr::null_mut()),
            memories: AtomicPtr::new(ptr::null_mut()),
            trap: Cell::new(None),
            frames: vec![const { Cell::new(0) }; backtrace_frames].into_boxed_slice(),
            frame_count: Cell::new(0),
            exact: Cell::new(false),
            cause: Cell::new(None),
            #[cfg(feature = "async")]
            fiber: Cell::new(ptr::null()),
            beginning: Cell::new(None),
            entered: Cell::new(false),
            moved: Cell::new(false),
            growth: Cell::new(None),
            interruption: Interruption::default(),
            id,
            roots: Of::new(RootSet::new(id)),
            externs: Of::default(),
            instances: Cell::default(),
            made: RefCell::default(),
            arena: Arena::default(),
            heap: Of::default(),
        };
        state.context.builtins.set(ptr::from_ref(&BUILTINS).cast_mut().cast());
        NonNull::from(Box::leak(Box::new(state)))
    }

    /// Drops all that is in the store, and makes the state like a new one, but
    /// for the id. The stack limit stays: it says what thread and stack
    /// pointer it is for.
    ///
    /// Values of the host's are dropped here, which can do anything but use
    /// this store. If that panics, the next call drops what is left.
    fn clear(&mut self) {
        *self.code.get_mut() = ptr::null_mut();
        *self.memories.get_mut() = ptr::null_mut();
        self.release_instances();
        self.instances.get_mut().shrink_to(CAPACITY_KEPT);
        self.made.get_mut().clear();
        self.made.get_mut().shrink_to(CAPACITY_KEPT);
        if parts::GC.is_on() {
            drop_values(self.forget_references(self.id));
        }
        self.arena.clear();
        if parts::GC.is_on() {
            self.heap.get_mut().leave(&self.context);
        }
        self.cause.set(None);
        self.context = VMStoreContext::default();
        self.context.builtins.set(ptr::from_ref(&BUILTINS).cast_mut().cast());
        self.suspended.set(ptr::null());
        self.trap.set(None);
        self.frame_count.set(0);
        self.exact.set(false);
        #[cfg(feature = "async")]
        self.fiber.set(ptr::null());
        self.entered.set(false);
        self.growth.set(None);
        self.interruption.clear();
    }

    /// Forgets the references that the host has, which are as foreign to the
    /// store from now on as another store's, of which `id` is the identity; and
    /// the host's values, which are for the caller to drop.
    #[must_use = "dropping the values is a step of its own"]
    pub(super) fn forget_references(&self, id: StoreId) -> Vec<VMExternRef> {
        self.roots.renew(id);
        let mut externs = self.externs.borrow_mut();
        if externs.is_empty() { Vec::new() } else { externs.take_all() }
    }

    /// What the host holds references to.
    #[inline(always)]
    pub(crate) fn roots(&self) -> &RootSet {
        &self.roots
    }

    /// The host's values that there are references to.
    pub(crate) fn externs(&self) -> &RefCell<ExternTable> {
        &self.externs
    }

    fn release_instances(&self) {
        let activity = self.activity();
        while let Some(at) = self.with_instances(Vec::pop) {
            // SAFETY: the store is being dropped, and its lists are empty.
            unsafe { InstanceData::release(at, &activity) };
        }
    }

    /// Gives the state of another store a new identity.
    fn identify(&mut self) {
        self.id = StoreId::next();
        self.roots.identify(self.id);
    }

    /// The store's identity.
    #[inline]
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    /// The address that compiled code knows the store by.
    pub(crate) fn address(&self) -> *mut u8 {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Does something with the list of instances that calls nobody else.
    fn with_instances<R>(&self, body: impl FnOnce(&mut Vec<NonNull<InstanceData>>) -> R) -> R {
        // SAFETY: one thread at a time uses a store; nothing else has a
        // reference into the cell, and what is done here leads to none.
        body(unsafe { &mut *self.instances.as_ptr() })
    }

    /// Number of instances.
    pub(crate) fn instance_count(&self) -> usize {
        self.with_instances(|instances| instances.len())
    }

    /// Instance number `index`.
    pub(crate) fn instance(&self, index: usize) -> Option<&InstanceData> {
        let at = self.with_instances(|instances| instances.get(index).copied())?;
        // SAFETY: instances are released only when the store is dropped, and
        // only shared references to them exist.
        Some(unsafe { at.as_ref() })
    }

    /// All instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &InstanceData> {
        (0..).map_while(|index| self.instance(index))
    }

    /// Takes an instance in, for as long as the store lives, and makes its
    /// code and memories known to the fault handler.
    ///
    /// # Safety
    /// The instance is nobody else's.
    pub(super) unsafe fn adopt(&self, at: NonNull<InstanceData>) -> &InstanceData {
        // SAFETY: as in `instance`.
        let instance = unsafe { at.as_ref() };
        self.with_instances(|instances| {
            instance.index.set(instances.len());
            instances.push(at);
        });
        if self.knows_code_of(instance) {
            instance.next_code.set(ptr::null());
        } else {
            instance.next_code.set(self.code.load(Ordering::Relaxed));
            self.code.store(at.as_ptr(), Ordering::Release);
        }
        for memory in instance.memories() {
            self.publish(memory);
        }
        instance
    }

    fn knows_code_of(&self, instance: &InstanceData) -> bool {
        self.code_list().any(|known| known.module().is_same(instance.module()))
    }

    /// One instance of every module whose code may run here.
    pub(crate) fn code_list(&self) -> impl Iterator<Item = &InstanceData> {
        let mut at = self.code.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: the list holds instances of this store.
            let instance = unsafe { at.as_ref() }?;
            at = instance.next_code.get();
            Some(instance)
        })
    }

    fn publish(&self, memory: &MemoryData) {
        memory.residue().enter_store();
        memory.next.set(self.memories.load(Ordering::Relaxed));
        self.memories.store(ptr::from_ref(memory).cast_mut(), Ordering::Release);
    }

    /// Whether a fault at `address` can only have been meant for a memory of
    /// this store.
    pub(super) fn is_memory(&self, address: usize) -> bool {
        self.memory_list().any(|memory| memory.spans(address))
    }

    /// All memories that code of this store can use.
    fn memory_list(&self) -> impl Iterator<Item = &MemoryData> {
        let mut at = self.memories.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: the list holds memories of this store.
            let memory = unsafe { at.as_ref() }?;
            at = memory.next.get();
            Some(memory)
        })
    }

    /// Makes the memory writable again that was written to at `address` in
    /// spite of its guard, if there is one.
    pub(super) fn take_guard_off(&self, address: usize) -> bool {
        self.memory_list().find(|memory| memory.is_guarded_at(address)).is_some_and(MemoryData::violate_guard)
    }

    /// Keeps a value for as long as the store lives.
    pub(crate) fn keep<T>(&self, value: T) -> Stored<T> {
        let at = self.arena.keep(value);
        // SAFETY: the arena is dropped with the store.
        unsafe { Stored::new(self.id, at) }
    }

    /// A handle for something that lives in this store.
    ///
    /// # Safety
    /// The referenced value is owned by this store.
    pub(super) unsafe fn handle<T>(&self, value: &T) -> Stored<T> {
        // SAFETY: the caller's.
        unsafe { Stored::new(self.id, NonNull::from(value)) }
    }

    /// Makes a memory that belongs to no instance.
    pub(crate) fn new_memory(&self, ty: MemoryType, plan: MemoryPlan) -> io::Result<Stored<MemoryData>> {
        let def = self.arena.keep(VMMemoryDef::default());
        // SAFETY: the arena frees both no earlier than the store is dropped,
        // when nobody uses either.
        let at = self.arena.keep(unsafe { MemoryData::alone(def, ty, plan) }?);
        // SAFETY: just taken in, never freed before the store.
        self.publish(unsafe { at.as_ref() });
        self.made.borrow_mut().push(Made::Memory(at));
        // SAFETY: the arena is dropped with the store.
        Ok(unsafe { Stored::new(self.id, at) })
    }

    /// A record of a shared memory, for code of this store to use it; the same
    /// one each time.
    pub(crate) fn use_shared(&self, shared: &Arc<SharedData>) -> Stored<MemoryData> {
        if let Some(known) = self.memory_list().find(|memory| memory.shares(shared)) {
            // SAFETY: in a list of this store's memories.
            return unsafe { self.handle(known) };
        }
        self.keep_shared(shared.clone())
    }

    /// A record of a shared memory that is new.
    pub(super) fn keep_shared(&self, shared: Arc<SharedData>) -> Stored<MemoryData> {
        let record = self.keep(MemoryData::sharing(shared));
        // SAFETY: just taken in, never freed before the store.
        self.publish(unsafe { record.assume().as_ref() });
        record
    }

    /// Makes a table that belongs to no instance, all elements `value`; `None`
    /// if there is no memory for it.
    pub(crate) fn new_table(&self, ty: TableType, value: u64) -> Option<Stored<TableData>> {
        let def = self.arena.keep(VMTableDef::default());
        // SAFETY: as in `new_memory`; the table reads `def` once more when it
        // is dropped, and the arena drops what came last first.
        let table = unsafe { TableData::allocated(def, ty.clone(), (0, 0)) }?;
        // Zeros are there already, and mean null in tables of both kinds.
        if value != 0 {
            table.fill(0, value, table.length()).ok()?;
        }
        let first = after_reset(value, ty.element());
        let table = self.keep(table);
        self.made.borrow_mut().push(Made::Table(table.assume(), first));
        Some(table)
    }

    /// Makes a global that belongs to no instance.
    pub(crate) fn new_global(&self, value: ValRaw, content: ValType) -> Stored<Cell<ValRaw>> {
        let cell = self.keep(Cell::new(value));
        let first = ValRaw { low: after_reset(value.low, content), ..value };
        self.made.borrow_mut().push(Made::Global(cell.assume(), first, content));
        cell
    }

    /// Passes what globals and tables of the host's refer to to the tracer.
    pub(super) fn trace_made(&self, tracer: &mut Tracer<'_>) {
        for made in &*self.made.borrow() {
            match made {
                // SAFETY: the arena keeps it.
                Made::Table(table, _) => unsafe { table.as_ref() }.trace(tracer),
                Made::Global(cell, _, content) if content.is_gc_ref() => {
                    // SAFETY: as above.
                    trace_cell(unsafe { cell.as_ref() }, tracer);
                }
                Made::Global(..) | Made::Memory(_) => {}
            }
        }
    }

    /// How the heap is to be, of which nothing is in use yet.
    pub(crate) fn configure_heap(&self, settings: HeapSettings) {
        if parts::GC.is_on() {
            self.heap.borrow_mut().configure(settings);
        }
    }

    /// The type of something of the host's that a reset cannot make as it was: what
    /// it referred to at first is dropped, and it cannot be null, as code relies on.
    pub(super) fn not_resettable(&self) -> Option<ValType> {
        if !parts::GC.is_on() {
            return None;
        }
        let cannot = |ty: &ValType, first: u64| ty.is_gc_ref() && !ty.has_default() && first == 0;
        self.made.borrow().iter().find_map(|made| match made {
            // SAFETY: the arena keeps it.
            Made::Table(table, first) => Some(unsafe { table.as_ref() }.ty())
                .filter(|ty| ty.minimum() > 0 && cannot(&ty.element(), *first))
                .map(TableType::element),
            Made::Global(_, first, content) => cannot(content, first.low).then_some(*content),
            Made::Memory(_) => None,
        })
    }

    /// Makes what belongs to no instance as it was when the host made it.
    ///
    /// # Safety
    /// No code of the store runs, and nobody has a slice of a memory.
    pub(super) unsafe fn reset_made(&self) -> io::Result<()> {
        for made in &*self.made.borrow() {
            // SAFETY: the arena keeps all of them, and the caller answers for
            // those who use them.
            unsafe {
                match made {
                    Made::Memory(memory) => memory.as_ref().empty()?,
                    Made::Table(table, value) => {
                        let table = table.as_ref();
                        table.reset(true, usize::MAX)?;
                        if *value != 0 {
                            // It had this length and value before.
                            let _ = table.fill(0, *value, table.length());
                        }
                    }
                    Made::Global(cell, value, _) => cell.as_ref().set(*value),
                }
            }
        }
        Ok(())
    }
}

/// Drops values of the host's that nothing knows any more.
///
/// # Panics
/// If a destructor does so.
pub(super) fn drop_values(values: Vec<VMExternRef>) {
    if let Err(payload) = drop_all(values) {
        resume_unwind(payload);
    }
}

/// Owns a [`StoreState`].
pub(crate) struct VmStore(NonNull<StoreState>);

// SAFETY: the state has no thread affinity (the stack limit is recomputed on
// another thread), and what it holds of the embedder's is Send.
unsafe impl Send for VmStore {}
// SAFETY: nothing in it changes behind `&Store`: methods of the public API
// that change it take the store exclusively.
unsafe impl Sync for VmStore {}

impl VmStore {
    /// A state without instances.
    #[inline]
    pub(crate) fn new(max_wasm_stack: usize, backtrace_frames: usize) -> VmStore {
        let left = if parts::RECYCLING.is_on() { shell::take(max_wasm_stack, backtrace_frames) } else { None };
        let Some(mut at) = left else {
            let store = VmStore(StoreState::allocate(max_wasm_stack, backtrace_frames));
            store.begin();
            return store;
        };
        // SAFETY: the state is nobody else's.
        unsafe { at.as_mut() }.identify();
        let store = VmStore(at);
        store.begin();
        store
    }
}

impl VmStore {
    /// Makes the state that of a store of an engine with these epochs, if it
    /// has any, and with or without a limit to what code does.
    #[inline]
    pub(crate) fn limit_work(&mut self, epochs: Option<&Arc<Epochs>>, fuel: bool) {
        // SAFETY: this owns the state, and is borrowed exclusively.
        unsafe { self.0.as_mut() }.limit_work(epochs, fuel);
    }
}

impl Deref for VmStore {
    type Target = StoreState;

    #[inline]
    fn deref(&self) -> &StoreState {
        // SAFETY: leaked from a box, given up in `drop`, and borrowed mutably
        // only there and before it is the value's.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for StoreState {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Frees a state, unless it is forgotten.
struct Freed(NonNull<StoreState>);

impl Drop for Freed {
    fn drop(&mut self) {
        // SAFETY: made by `VmStore::drop`, which has given up the state.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Drop for VmStore {
    fn drop(&mut self) {
        let mut state = Freed(self.0);
        // SAFETY: this is the only owner of the state.
        unsafe { state.0.as_mut() }.clear();
        if !parts::RECYCLING.is_on() {
            return;
        }
        std::mem::forget(state);
        // SAFETY: leaked from a box in `allocate`, and just cleared.
        unsafe { shell::keep(self.0) };
    }
}

#[cfg(test)]
mod tests;
