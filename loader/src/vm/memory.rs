//! Linear memories as a store knows them.
//!
//! Of a [shared memory](super::shared_memory) a store has such a record too,
//! which names it. It is in no slot, has no guard, and is not reset: an
//! instance that defines it gets another one.

use super::handle::Stored;
use super::reset::Residue;
use super::shared_memory::{self, SharedData};
use super::slot::MemoryPlan;
use super::structs::VMMemoryDef;
use crate::error::Result;
use crate::parts;
use crate::store::{StoreInner, StoreOpaque};
use crate::sys::{self, Region};
use crate::types::MemoryType;
use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A memory: of an instance, or made by the host.
pub(crate) struct MemoryData {
    /// What compiled code reads; in the owner's context or the store's arena,
    /// or of `shared`.
    def: Cell<NonNull<VMMemoryDef>>,
    /// The shared memory that this is.
    shared: RefCell<Option<Arc<SharedData>>>,
    ty: MemoryType,
    plan: MemoryPlan,
    /// Bytes from the base on that can be accessed; whole pages.
    accessible: Cell<usize>,
    /// The next of the store's memories, for the fault handler.
    pub(super) next: Cell<*const MemoryData>,
    residue: Residue,
    /// Address space of its own, unless it lies in a slot.
    _region: Option<Region>,
}

impl MemoryData {
    /// A memory in address space that its owner has prepared: `plan.initial`
    /// bytes, rounded up to pages, are accessible at `base`.
    ///
    /// # Safety
    /// `def` and the `plan.span()` bytes at `base` live as long as the value,
    /// the latter in `region` if there is one, and are nobody else's.
    pub(super) unsafe fn new(
        def: NonNull<VMMemoryDef>,
        base: NonNull<u8>,
        ty: MemoryType,
        plan: MemoryPlan,
        region: Option<Region>,
    ) -> MemoryData {
        // SAFETY: `def` is valid, says the caller.
        let shared = unsafe { def.as_ref() };
        shared.base.set(base.as_ptr());
        shared.length.set(plan.initial as u64);
        MemoryData {
            def: Cell::new(def),
            shared: RefCell::new(None),
            ty,
            plan,
            accessible: Cell::new(plan.accessible()),
            next: Cell::new(ptr::null()),
            residue: Residue::default(),
            _region: region,
        }
    }

    /// A record of a shared memory.
    pub(super) fn sharing(shared: Arc<SharedData>) -> MemoryData {
        MemoryData {
            def: Cell::new(shared.definition()),
            ty: shared.ty().clone(),
            plan: *shared.plan(),
            accessible: Cell::new(0),
            next: Cell::new(ptr::null()),
            residue: Residue::default(),
            _region: None,
            shared: RefCell::new(Some(shared)),
        }
    }

    /// Makes the record one of another shared memory of the same type.
    ///
    /// # Safety
    /// No code of the store runs before all contexts know the new definition.
    pub(super) unsafe fn share(&self, shared: Arc<SharedData>) {
        self.def.set(shared.definition());
        self.shared.replace(Some(shared));
    }

    /// The shared memory that this is, if it is one.
    pub(crate) fn shared(&self) -> Option<Ref<'_, Arc<SharedData>>> {
        if !parts::THREADS.is_on() {
            return None;
        }
        Ref::filter_map(self.shared.borrow(), Option::as_ref).ok()
    }

    /// Whether this is a certain shared memory.
    pub(super) fn shares(&self, shared: &SharedData) -> bool {
        self.shared().is_some_and(|own| shared_memory::same(&own, shared))
    }

    /// A memory in address space of its own.
    ///
    /// # Safety
    /// `def` lives as long as the value.
    pub(super) unsafe fn alone(def: NonNull<VMMemoryDef>, ty: MemoryType, plan: MemoryPlan) -> io::Result<MemoryData> {
        let region = Region::reserve(plan.span().max(sys::page_size()))?;
        // SAFETY: the region is new.
        unsafe { region.make_accessible(0..plan.accessible())? };
        let base = region.start();
        // SAFETY: the value owns the region; the caller answers for `def`.
        Ok(unsafe { MemoryData::new(def, base, ty, plan, Some(region)) })
    }

    /// What compiled code reads.
    pub(crate) fn def(&self) -> &VMMemoryDef {
        // SAFETY: valid as long as `self`, says `new`, or as the shared memory
        // that it is of, which lives as long as its record.
        unsafe { self.def.get().as_ref() }
    }

    /// The type, with the minimum that the memory was made with.
    pub(crate) fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// Address space: what code may rely on.
    pub(crate) fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// First byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.def().base.get()
    }

    /// First byte, for a host that may write as long as the store exists.
    pub(crate) fn exposed_base(&self) -> *mut u8 {
        self.residue.expose();
        self.violate_guard();
        self.base()
    }

    /// First byte, for a host that may write until the store is used again.
    pub(crate) fn lent_base(&self) -> *mut u8 {
        self.residue.lend();
        self.violate_guard();
        self.base()
    }

    /// Bytes that are accessible at first.
    pub(super) fn initial(&self) -> usize {
        self.plan.accessible()
    }

    /// Whether a write to `address` can have met the memory's guard.
    pub(super) fn is_guarded_at(&self, address: usize) -> bool {
        self.residue.guard.is_on() && address.wrapping_sub(self.base() as usize) < self.initial()
    }

    /// Makes the whole memory writable, since somebody may write to a page
    /// that is not hot; whether it was not.
    #[inline]
    pub(super) fn violate_guard(&self) -> bool {
        // SAFETY: the memory is this one.
        self.residue.guard.is_on() && unsafe { self.residue.guard.violate(self.base(), self.initial()) }
    }

    /// Takes the guard off, if there is one; whether there is none now.
    pub(super) fn is_open(&self) -> bool {
        // SAFETY: the memory is this one.
        !self.residue.guard.is_on() || unsafe { self.residue.guard.take_off(self.base(), self.initial()) }
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        // SAFETY: the definition is valid. That of a shared memory is written
        // on other threads, always as an atomic; others are this store's.
        unsafe { AtomicU64::from_ptr(self.def().length.as_ptr()) }.load(Ordering::Acquire) as usize
    }

    /// Bytes that can be accessed.
    pub(super) fn accessible(&self) -> usize {
        self.accessible.get()
    }

    /// What is remembered between resets.
    pub(super) fn residue(&self) -> &Residue {
        &self.residue
    }

    /// Takes the initial length again, and makes inaccessible what is beyond.
    ///
    /// # Safety
    /// Nobody uses the memory.
    pub(super) unsafe fn shrink(&self) -> io::Result<()> {
        let (initial, accessible) = (self.initial(), self.accessible.get());
        if accessible > initial {
            // SAFETY: the caller's.
            unsafe { sys::make_inaccessible(self.base().wrapping_add(initial), accessible - initial)? };
        }
        self.set_initial_length(initial);
        Ok(())
    }

    /// Sets the initial length, of which `accessible` bytes are accessible.
    fn set_initial_length(&self, accessible: usize) {
        self.accessible.set(accessible);
        self.def().length.set(self.plan.initial as u64);
    }

    /// Makes a memory that is in address space of its own as large as at
    /// first, and all zeros.
    ///
    /// # Safety
    /// Nobody uses the memory.
    pub(super) unsafe fn empty(&self) -> io::Result<()> {
        // SAFETY: the caller's.
        unsafe {
            sys::make_inaccessible(self.base(), self.accessible.get())?;
            // If the system refuses the rest, there is nothing to read.
            self.accessible.set(0);
            self.def().length.set(0);
            sys::make_accessible(self.base(), self.initial())?;
        }
        self.set_initial_length(self.initial());
        Ok(())
    }

    /// Whether an access to `address` can only have been meant for this
    /// memory.
    pub(super) fn spans(&self, address: usize) -> bool {
        address.wrapping_sub(self.base() as usize) < self.plan.span()
    }

    /// Grows by `delta` pages; the old size in pages, or `None` if the memory
    /// cannot become that large.
    pub(crate) fn grow(&self, delta: u64) -> Option<u64> {
        if let Some(shared) = self.shared() {
            return shared.grow(delta);
        }
        let (old, bytes) = self.plan.grown(&self.ty, self.def().length.get(), delta)?;
        let accessible = self.accessible.get();
        let needed = bytes.next_multiple_of(sys::page_size());
        if needed > accessible {
            let at = self.base().wrapping_add(accessible);
            // SAFETY: from `accessible` to `needed` is within the reservation;
            // a fault there is nothing but an access out of the old bounds.
            unsafe { sys::make_accessible(at, needed - accessible) }.ok()?;
            self.accessible.set(needed);
        }
        self.def().length.set(bytes as u64);
        Some(old)
    }
}

impl Stored<MemoryData> {
    /// The content.
    pub(crate) fn bytes(self, store: &StoreOpaque) -> &[u8] {
        let memory = self.get(store);
        // SAFETY: `length` bytes at the base are accessible. Only code of the
        // store and holders of an exclusive borrow of it write to them, and
        // there is none of either while the store is borrowed.
        unsafe { std::slice::from_raw_parts(memory.base(), memory.length()) }
    }

    /// Copies `bytes` to `offset`, where there is room for them. Unlike a
    /// slice for the host, this is known to write on this thread alone.
    pub(crate) fn write(self, store: &mut StoreOpaque, offset: usize, bytes: &[u8]) {
        let memory = self.get(store);
        assert!(memory.length().checked_sub(offset).is_some_and(|room| room >= bytes.len()), "no room for {bytes:?}");
        if !store.state.writes_here() {
            memory.residue.lend();
        }
        if memory.residue.guard.is_on() && !memory.residue.is_hot(&(offset..offset + bytes.len())) {
            memory.violate_guard();
        }
        // SAFETY: in the memory, as just checked; the store is borrowed
        // exclusively, so that there is no slice of it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.base().add(offset), bytes.len()) };
    }

    /// Grows by `delta` pages; the old size in pages, or `None` if the memory
    /// does not become that large.
    ///
    /// # Errors
    /// If the store's limiter wants that.
    pub(crate) fn grow<T: 'static>(self, store: &mut StoreInner<T>, delta: u64) -> Result<Option<u64>> {
        #[cfg(feature = "async")]
        let _outside = store.opaque.state.wait_outside_calls();
        // SAFETY: the address is that of a memory of this store, which lives as
        // long as the store does, elsewhere.
        store.grow_memory(unsafe { self.address(&store.opaque).as_ref() }, delta)
    }

    /// The content, to be changed, and the host's data.
    pub(crate) fn bytes_mut<T: 'static>(self, store: &mut StoreInner<T>) -> (&mut [u8], &mut T) {
        let memory = self.get(&store.opaque);
        // SAFETY: as in `bytes`; the store is borrowed exclusively, and the
        // host's data is not part of the memory.
        let bytes = unsafe { std::slice::from_raw_parts_mut(memory.lent_base(), memory.length()) };
        (bytes, &mut store.data)
    }
}
