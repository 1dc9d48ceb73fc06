//! A store as compiled code and the fault handler see it.

use super::arena::Arena;
use super::builtins::BUILTINS;
use super::handle::{StoreId, Stored};
use super::instance::InstanceData;
use super::memory::MemoryData;
use super::slot::MemoryPlan;
use super::structs::{VMMemoryDef, VMStoreContext, VMTableDef};
use super::table::TableData;
use crate::error::Error;
use crate::types::{MemoryType, TableType};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use wasmc_artifacts::abi::Trap;

/// Why wasm code was left early.
pub(crate) enum Cause {
    /// A fault that the handler recognised.
    Trap(Trap),
    /// A host function returned an error.
    Error(Error),
    /// A host function panicked.
    Panic(Box<dyn Any + Send>),
}

/// An activation that is interrupted by a newer one of the same store.
pub(super) struct Suspended {
    pub(super) entry_fp: u64,
    pub(super) entry_sp: u64,
    pub(super) entry_pc: u64,
    pub(super) exit_fp: u64,
    pub(super) host: *mut u8,
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
    id: StoreId,
    instances: RefCell<Vec<NonNull<InstanceData>>>,
    arena: Arena,
}

impl StoreState {
    /// The store's identity.
    #[inline]
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    /// The address that compiled code knows the store by.
    pub(crate) fn address(&self) -> *mut u8 {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Number of instances.
    pub(crate) fn instance_count(&self) -> usize {
        self.instances.borrow().len()
    }

    /// Instance number `index`.
    pub(crate) fn instance(&self, index: usize) -> Option<&InstanceData> {
        let at = *self.instances.borrow().get(index)?;
        // SAFETY: instances are boxed, freed only when the store is dropped,
        // and only shared references to them exist.
        Some(unsafe { at.as_ref() })
    }

    /// Takes an instance in, for as long as the store lives, and makes its
    /// code and memories known to the fault handler.
    pub(super) fn adopt(&self, instance: Box<InstanceData>) -> &InstanceData {
        let at = NonNull::from(Box::leak(instance));
        self.instances.borrow_mut().push(at);
        // SAFETY: as in `instance`.
        let instance = unsafe { at.as_ref() };
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
        memory.next.set(self.memories.load(Ordering::Relaxed));
        self.memories.store(ptr::from_ref(memory).cast_mut(), Ordering::Release);
    }

    /// Whether a fault at `address` can only have been meant for a memory of
    /// this store.
    pub(super) fn is_memory(&self, address: usize) -> bool {
        let mut at = self.memories.load(Ordering::Acquire).cast_const();
        // SAFETY: the list holds memories of this store.
        while let Some(memory) = unsafe { at.as_ref() } {
            if memory.spans(address) {
                return true;
            }
            at = memory.next.get();
        }
        false
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
        // SAFETY: the arena is dropped with the store.
        Ok(unsafe { Stored::new(self.id, at) })
    }

    /// Makes a table that belongs to no instance, all elements `value`; `None`
    /// if there is no memory for it.
    pub(crate) fn new_table(&self, ty: TableType, value: u64) -> Option<Stored<TableData>> {
        let def = self.arena.keep(VMTableDef::default());
        // SAFETY: as in `new_memory`; the table reads `def` once more when it
        // is dropped, and the arena drops what came last first.
        let table = unsafe { TableData::allocated(def, ty, (0, 0)) }?;
        // Zeros are there already, and mean null in tables of both kinds.
        if value != 0 {
            table.fill(0, value, table.length()).ok()?;
        }
        Some(self.keep(table))
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
    pub(crate) fn new(max_wasm_stack: usize, backtrace_frames: usize) -> VmStore {
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
            id: StoreId::next(),
            instances: RefCell::default(),
            arena: Arena::default(),
        };
        state.context.builtins.set(ptr::from_ref(&BUILTINS).cast_mut().cast());
        VmStore(NonNull::from(Box::leak(Box::new(state))))
    }
}

impl Deref for VmStore {
    type Target = StoreState;

    #[inline]
    fn deref(&self) -> &StoreState {
        // SAFETY: allocated in `new`, freed in `drop`, never borrowed mutably.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for VmStore {
    fn drop(&mut self) {
        for at in std::mem::take(&mut *self.instances.borrow_mut()) {
            // SAFETY: leaked from a box in `adopt`; nothing of the store runs
            // any more.
            drop(unsafe { Box::from_raw(at.as_ptr()) });
        }
        // SAFETY: leaked from a box in `new`, and this is its only owner.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
