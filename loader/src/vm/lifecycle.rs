//! How instances come to be, are reset, and end.
//!
//! ```text
//!                 pool: warm ──────────── revive ─┐
//! allocate ──┬─▶  pool: cold ── build ────────────┼─▶ adopted by the store ──▶ release
//!            └─▶  on demand ─── build ────────────┘                              │
//!                                                          pool: restore, retire ┤
//!                                                              on demand: free ──┘
//! ```
//!
//! When its store is dropped, an instance in a pool is reset and *retired*: its
//! slot waits for the next store that wants an instance of the same module,
//! which *revives* it. Nothing but pointers to the store has to be set then.
//!
//! Shared memories are an exception to all of this, because others may use
//! them at any time: an instance that defines one gets another one when it is
//! revived or reset, and the old one ends when nobody uses it any more. Within
//! the store, those who import it get the new one with it; hosts and other
//! stores stay with the old one. An instance that imports one from elsewhere
//! leaves it as it is.

use super::blueprint::MemoryBlueprint;
use super::build::build;
use super::builtins::BUILTINS;
use super::call;
use super::handle::StoreId;
use super::image::Source;
use super::instance::{AllocationError, InstanceData, Placement};
use super::memory::MemoryData;
use super::pool::{Idle, Taken};
use super::reset::{Activity, Policy, Reset};
use super::shared_memory::SharedData;
use super::slot::{Origin, Slot};
use super::state::{StoreState, drop_values};
use crate::error::Error;
use crate::instance::ResetError;
use crate::linking::Items;
use crate::module::Module;
use crate::parts;
use crate::store::StoreInner;
use crate::sys;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Arc, PoisonError};
use wasmc_artifacts::format::PageRange;

/// One in so many resets is measured.
const SAMPLE: u32 = 64;

impl InstanceData {
    /// Gets an instance of `module` for a store, with its memories, tables and
    /// images, but perhaps without imports.
    pub(crate) fn allocate<'a>(
        state: &'a StoreState,
        module: &Module,
        placement: Placement,
    ) -> Result<&'a InstanceData, Error> {
        let failed = |what: &'static str| move |e: Error| e.context(AllocationError::new(what));
        // Before the store has the instance: one that is not complete must
        // never be reset.
        let heap = match parts::GC.is_on() && module.artifact().header().uses_heap != 0 {
            true => Some(state.enter_heap().map_err(|e| failed("the garbage-collected heap")(e.into()))?),
            false => None,
        };
        let shared = Self::shared_of(module).map_err(|e| failed("a shared memory")(e.into()))?;
        let at = match module.engine().pool().filter(|_| placement.pooled) {
            Some(pool) => match pool.take(module)? {
                Taken::Warm(idle) => Self::revive(idle, module),
                Taken::Cold(slot) => {
                    // SAFETY: the slot was just taken.
                    let built = unsafe { build(slot, pool.layout(), module, placement, false) };
                    // SAFETY: nothing in the slot is used yet.
                    built.map_err(|(e, slot)| unsafe {
                        pool.discard(slot);
                        failed("the memory")(e)
                    })?
                }
            },
            None => {
                parts::ON_DEMAND.need("an instance outside the pool")?;
                let usual = placement.view == module_views(module);
                let (slot, mapped) = module.slots().allocate(module.blueprint(), usual).map_err(failed("the slot"))?;
                let layout = module.slots().layout();
                // SAFETY: as above.
                let built = unsafe { build(slot, layout, module, placement, mapped) };
                // SAFETY: as above.
                built.map_err(|(e, slot)| unsafe {
                    slot.free(layout);
                    failed("the memory")(e)
                })?
            }
        };
        // SAFETY: made or revived for this store, which is where it goes.
        let instance = unsafe { state.adopt(at) };
        let header = instance.header();
        header.instance.set(at.as_ptr().cast());
        header.store.set(state.address());
        header.builtins.set(ptr::from_ref(&BUILTINS).cast_mut().cast());
        header.stack_limit.set(state.limit.value.get() as u64);
        header.epoch.set(state.epoch_cell());
        if let Some(base) = heap {
            header.heap.set(base.as_ptr());
        }
        instance.define_shared(state, shared);
        Ok(instance)
    }

    /// The shared memories that a module defines, as it wants them at first.
    /// Never views of the artifact's file: that is watched for as long as there
    /// is the instance.
    fn shared_of(module: &Module) -> io::Result<Vec<Arc<SharedData>>> {
        if !parts::THREADS.is_on() {
            return Ok(Vec::new());
        }
        let new = |(_, blueprint): (u32, &MemoryBlueprint)| {
            SharedData::filled(blueprint.ty.clone(), blueprint.plan, &blueprint.image, module.bytes()).map(Arc::new)
        };
        module.blueprint().shared_memories().map(new).collect()
    }

    /// Takes in the shared memories that the module defines.
    fn define_shared(&self, state: &StoreState, memories: Vec<Arc<SharedData>>) {
        if !parts::THREADS.is_on() || memories.is_empty() {
            return;
        }
        let places = self.module().blueprint().shared_memories();
        let records = places.zip(memories).map(|((defined, _), memory)| {
            let record = state.keep_shared(memory);
            // SAFETY: the store has just taken it in.
            self.shared_reference(defined).name(unsafe { record.assume().as_ref() }.def());
            record
        });
        let _ = self.shared_memories.set(records.collect());
    }

    /// Replaces the shared memories that the module defines with new ones, for
    /// all instances of the store that use them.
    ///
    /// # Safety
    /// No code of the store runs.
    unsafe fn renew_shared(&self, state: &StoreState) -> io::Result<()> {
        if !parts::THREADS.is_on() {
            return Ok(());
        }
        let records = self.shared_memories.get().map_or(&[][..], |records| records);
        let places = self.module().blueprint().shared_memories();
        for (((defined, _), record), new) in places.zip(records).zip(Self::shared_of(self.module())?) {
            let record = record.assume();
            // SAFETY: the record is this store's, and the caller answers for
            // its code; below, all contexts get to know the new definition.
            let memory = unsafe { record.as_ref() };
            // SAFETY: as above.
            unsafe { memory.share(new) };
            self.shared_reference(defined).name(memory.def());
            for instance in state.instances() {
                instance.update_imports_of(record);
            }
        }
        Ok(())
    }

    /// Takes note that an imported memory has another definition now.
    fn update_imports_of(&self, record: NonNull<MemoryData>) {
        for (index, imported) in (0..).zip(self.imported_memories.get().map_or(&[][..], |memories| memories)) {
            if imported.assume() == record {
                // SAFETY: the caller's record is one of this store's.
                self.memory_import(index).name(unsafe { record.as_ref() }.def());
            }
        }
    }

    /// Takes a retired instance up again.
    fn revive(idle: Idle, module: &Module) -> NonNull<InstanceData> {
        let at = idle.into_instance();
        // SAFETY: a retired instance of this module is nobody else's, and the
        // place of its lease is empty.
        unsafe {
            (*at.as_ptr()).module = ManuallyDrop::new(module.lease());
            if parts::RECYCLING.is_on() {
                for memory in at.as_ref().resets(module) {
                    memory.fill();
                }
            }
        }
        at
    }

    /// Makes the pages resident that instances of this module are known to
    /// write. If that fails they will be when they are written.
    ///
    /// # Safety
    /// Nobody uses the instance yet.
    pub(super) unsafe fn populate(&self, module: &Module) {
        if !parts::WORKING_SETS.is_on() {
            return;
        }
        let working_set = module.working_set().read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(working_set) = working_set else { return };
        let page = sys::page_size();
        for ((index, _), memory) in module.blueprint().slot_memories().zip(self.resets(module)) {
            for range in working_set.ranges().iter().filter(|range| range.memory == index) {
                let start = range.first as usize * PageRange::PAGE_SIZE as usize;
                let end = start + range.pages as usize * PageRange::PAGE_SIZE as usize;
                // SAFETY: the caller's.
                let _ = unsafe { memory.populate(start / page * page..end.next_multiple_of(page)) };
            }
        }
    }

    /// The pages of memories in the slot that were written since these were as at first;
    /// `None` if the system does not tell.
    pub(crate) fn written_pages(&self) -> Option<Vec<(u32, Range<usize>)>> {
        const MOST: usize = 1 << 16;
        let mut pages = Vec::new();
        let mut ranges = vec![0..0; MOST];
        for ((index, _), memory) in self.module().blueprint().slot_memories().zip(self.memories()) {
            let count = sys::written(memory.base(), memory.initial(), &mut ranges)?;
            pages.extend(ranges[..count].iter().map(|range| (index, range.clone())));
        }
        Some(pages)
    }

    /// The memories in the slot, ready to be reset.
    pub(super) fn resets<'a>(&'a self, module: &'a Module) -> impl Iterator<Item = Reset<'a>> {
        let keep = module.engine().config().pool.memory_keep_resident;
        let policy = Policy { keep, view: self.placement.view };
        let source = Source::new(module.code());
        self.memories().iter().zip(module.blueprint().slot_memories()).map(move |(memory, (_, blueprint))| Reset {
            memory,
            image: &blueprint.image,
            source,
            policy,
        })
    }

    /// Restores what code and host can have changed of the instance, as far as
    /// it is not in the imports: memories, tables, globals, segments.
    ///
    /// # Safety
    /// No code of the store runs, and nobody has a slice of a memory.
    unsafe fn restore(&self, activity: &impl Activity) -> io::Result<()> {
        let module = self.module();
        for memory in self.resets(module) {
            // SAFETY: the caller's.
            unsafe { memory.run(activity)? };
        }
        let keep = module.engine().config().pool.table_keep_resident;
        for table in self.tables() {
            // SAFETY: the caller's.
            unsafe { table.reset(activity.code_ran(), keep)? };
        }
        let blueprint = module.blueprint();
        let at = |distance: i32| self.vmctx.as_ptr().wrapping_byte_offset(distance as isize);
        // SAFETY: the ranges are in the context, and nobody uses them.
        unsafe {
            if self.initialised.get() {
                let globals = &blueprint.globals;
                ptr::copy_nonoverlapping(self.snapshot.as_ptr().cast(), at(globals.start), globals.len());
            }
            // Filling nothing takes a CPU long if the page is not there: it is
            // a masked store to it.
            if !blueprint.dropped.is_empty() {
                at(blueprint.dropped.start).write_bytes(0, blueprint.dropped.len());
            }
        }
        self.resets.set(self.resets.get().wrapping_add(1));
        Ok(())
    }

    /// Whether globals have their first values already.
    pub(super) fn is_initialised(&self) -> bool {
        self.initialised.get()
    }

    /// Notes the first values of globals, for resets.
    pub(super) fn take_snapshot(&self) {
        let globals = &self.module().blueprint().globals;
        let from = self.vmctx.as_ptr().wrapping_byte_offset(globals.start as isize);
        // SAFETY: the globals are in the context, and the record of the
        // snapshot is as long as they are.
        unsafe { ptr::copy_nonoverlapping(from, self.snapshot.as_ptr().cast(), globals.len()) };
        self.initialised.set(true);
    }

    /// Makes the instance as it was before it got its first content, apart
    /// from its globals, which have theirs; memories stay resident.
    ///
    /// # Safety
    /// No code of the store runs, and nobody has a slice of a memory.
    unsafe fn reset(&self, activity: &impl Activity) -> io::Result<()> {
        // SAFETY: the caller's.
        unsafe {
            self.restore(activity)?;
            for memory in self.resets(self.module()) {
                memory.fill();
            }
        }
        Ok(())
    }

    /// Whether this is an instance of `module` with imports `items`.
    pub(crate) fn is_of(&self, module: &Module, items: &Items) -> bool {
        // SAFETY: nobody changes the cell while the store has the instance.
        let imports = unsafe { &*self.imports.get() };
        self.module().is_same(module) && imports.as_ref().is_some_and(|own| own.id() == items.id())
    }

    /// Takes an instance back from its store, which is being dropped.
    ///
    /// # Safety
    /// `at` is an instance of that store; nobody uses it after this.
    pub(super) unsafe fn release(at: NonNull<InstanceData>, activity: &impl Activity) {
        // SAFETY: no references to the instance are left.
        let instance = unsafe { at.as_ref() };
        let module = instance.module();
        let Some(pool) = module.engine().pool().filter(|_| instance.slot.origin().is_pool()) else {
            if parts::ON_DEMAND.is_on() {
                // SAFETY: the caller's.
                unsafe { Self::free(at) };
            }
            return;
        };
        let reusable = parts::RECYCLING.is_on() && instance.initialised.get();
        let reusable = reusable && matches!(instance.slot.origin(), Origin::Pool(_));
        let reusable = reusable && !module.is_damaged();
        let measured = parts::RECYCLING.is_on() && instance.resets.get().is_multiple_of(SAMPLE);
        let sample = measured.then(std::time::Instant::now);
        // SAFETY: the store is being dropped: none of its code runs.
        let reusable = reusable && unsafe { instance.restore(activity) }.is_ok();
        // What the memory contains now comes from a file that has changed.
        let reusable = reusable && !module.is_damaged();
        if parts::GC.is_on() && reusable {
            // The next store has another heap.
            instance.drop_references();
        }
        // SAFETY: below, the instance is given up.
        let idle = unsafe { Idle::new(at, module, if reusable { instance.resident() } else { 0 }, reusable) };
        if let (true, Some(start)) = (reusable, sample) {
            pool.note_reset(start.elapsed());
        }
        // SAFETY: taken once per life; the pool does not need the module.
        unsafe {
            let instance = &mut *at.as_ptr();
            instance.imported_memories.take();
            instance.shared_memories.take();
            let imports = instance.imports.get_mut().take();
            let lease = ManuallyDrop::take(&mut instance.module);
            pool.put(idle);
            // Last, since destructors of the host's functions can panic.
            drop(imports);
            drop(lease);
        }
    }

    /// Bytes that the instance occupies although nobody uses it.
    fn resident(&self) -> usize {
        let head = self.module().blueprint().head().next_multiple_of(sys::page_size());
        head + self.memories().iter().map(|memory| memory.residue().bytes()).sum::<usize>()
    }

    /// Frees an instance that was allocated on demand.
    ///
    /// # Safety
    /// As for `release`.
    unsafe fn free(at: NonNull<InstanceData>) {
        // SAFETY: the caller's; the module lives until the end of the function.
        unsafe {
            let lease = ManuallyDrop::take(&mut (*at.as_ptr()).module);
            // Dropped last, since destructors of the host's functions can panic.
            let _imports = (*at.as_ptr()).imports.get_mut().take();
            let instance = at.as_ref();
            let same = instance.placement.view == module_views(&lease);
            let as_mapped = |memory: &MemoryData| memory.is_open() && memory.shrink().is_ok();
            let reusable = same && instance.initialised.get() && instance.memories().iter().all(as_mapped);
            let end = instance.memories().iter().map(|m| m.base() as usize + m.accessible()).max();
            let start = instance.slot.start().as_ptr() as usize;
            let used = end.map_or(0, |end| end - start);
            let slot = Self::dismantle(at);
            lease.slots().release(slot, used, reusable && !lease.is_damaged());
        }
    }

    /// Ends an instance whose module's lease is gone; what is left is its slot.
    ///
    /// # Safety
    /// Nobody uses it after this.
    pub(super) unsafe fn dismantle(at: NonNull<InstanceData>) -> Slot {
        // SAFETY: the records were made in `build` and are dropped once, here.
        unsafe {
            let slot = (*at.as_ptr()).slot.again();
            (*at.as_ptr()).watches.clear();
            let (memories, tables) = ((*at.as_ptr()).memories, (*at.as_ptr()).tables);
            ptr::drop_in_place(memories.as_ptr());
            ptr::drop_in_place(tables.as_ptr());
            ptr::drop_in_place(at.as_ptr());
            slot
        }
    }

    /// The addresses that are accessible in the slot: from its start to the
    /// end of memory 0, and the other memories.
    pub(super) fn accessible_parts(&self) -> impl Iterator<Item = (*mut u8, usize)> {
        let start = self.slot.start().as_ptr();
        let mut memories = self.memories().iter().map(|memory| (memory.base(), memory.accessible()));
        let end = memories.next().map_or(self.vmctx.as_ptr(), |(base, length)| base.wrapping_add(length));
        std::iter::once((start, end as usize - start as usize)).chain(memories)
    }
}

/// Gives a store's instance, whose imports are provided, its first content.
pub(crate) fn initialise<T: 'static>(store: &mut StoreInner<T>, index: usize) -> Result<(), Error> {
    let Some(instance) = store.opaque.state.instance(index) else { return Ok(()) };
    instance.begin_content()?;
    if let Some(initializer) = instance.initializer() {
        // SAFETY: it is the store's, and has neither parameters nor results.
        unsafe { call::run(store, &initializer) }?;
    }
    let Some(instance) = store.opaque.state.instance(index) else { return Ok(()) };
    Ok(instance.end_content()?)
}

/// Whether instances of a module that are allocated on demand have views as
/// memories, unless their creator wants something else.
fn module_views(module: &Module) -> bool {
    module.engine().placement().view
}

/// Resets those instances of a store that `which` picks, but does not run
/// their start functions.
///
/// # Errors
/// [`ResetError`] if code of the store is running; if the system refuses, or
/// a segment does not fit.
pub(crate) fn restore<T: 'static>(
    inner: &mut StoreInner<T>,
    which: impl Fn(&InstanceData) -> bool,
) -> Result<(), Error> {
    let store = &mut inner.opaque;
    if store.state.is_running() {
        return Err(Error::new(ResetError::CallActive));
    }
    let activity = store.state.activity();
    let mut all = true;
    for instance in store.state.instances() {
        if !which(instance) {
            all = false;
            continue;
        }
        instance.module().intact()?;
        // SAFETY: no code runs, and the store is borrowed exclusively, so that
        // no slices of its memories exist.
        unsafe { instance.reset(&activity).and_then(|()| instance.renew_shared(&store.state)) }
            .map_err(|e| Error::new(e).context("cannot reset an instance"))?;
        instance.module().intact()?;
    }
    drop(activity);
    for index in 0..inner.opaque.state.instance_count() {
        if inner.opaque.state.instance(index).is_some_and(&which) {
            initialise(inner, index)?;
        }
    }
    if all {
        inner.opaque.state.begin();
    }
    Ok(())
}

/// Resets everything in a store, but does not run start functions.
///
/// # Errors
/// As for [`restore`].
pub(crate) fn restore_all<T: 'static>(inner: &mut StoreInner<T>) -> Result<(), Error> {
    let store = &mut inner.opaque;
    let mut values = Vec::new();
    if !store.state.is_running() {
        if let Some(ty) = store.state.not_resettable() {
            return Err(Error::msg(format!(
                "a global or table of the host's of type {ty} cannot be reset: what it refers to goes with the reset, and it cannot be null; make it of a type that can"
            )));
        }
        // SAFETY: as in `restore`. Before the instances: their segments may
        // go to what the host made.
        unsafe { store.state.reset_made() }.map_err(|e| Error::new(e).context("cannot reset what the host made"))?;
        // All of them, before the first one allocates.
        for instance in store.state.instances() {
            instance.drop_references();
        }
        store.state.empty_heap();
        values = store.state.forget_references(StoreId::next());
    }
    let restored = restore(inner, |_| true);
    // Last, since destructors can panic.
    drop_values(values);
    restored
}
