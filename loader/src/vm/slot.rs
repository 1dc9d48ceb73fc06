//! Slots: the memory that an instance lives in.
//!
//! ```text
//! 0                                             vmctx                                     total
//! | tables | ... | records | context | guard    | initial | reserved for growth | guard   | memory 1 ...
//! | RW           | RW                | none     | RW, images | none             | none    |
//! ```
//!
//! [`SlotLayout`] is arithmetic only. A slot of a pool has room for any module
//! within the pool's limits, and tables that can grow have their elements in
//! it; one that is allocated on demand is as large as its module needs, and
//! such tables are on the heap. A module that defines no memory, on demand,
//! has only records and context, also on the heap; its `vmctx` is an address
//! that nothing is read from.

use super::blueprint::Blueprint;
use super::space::AddressSpace;
use crate::error::Error;
use crate::parts;
use crate::strategy::InstanceLimits;
use crate::sys;
use crate::types::MemoryType;
use std::alloc::Layout;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use wasmc_allocators::{AllocError, Allocator, BlockIndex, HeapAllocator};

/// Bytes of a pool's slots between context and memory: what modules have by
/// default. Where a module has more, there is less room for its context.
pub(super) const POOL_GUARD: usize = 64 << 10;

/// The spare slots of a module take no more address space than this.
const SPARE_SPACE: usize = 256 << 30;

/// A memory in numbers of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    /// Length at first.
    pub(crate) initial: usize,
    /// Address space from the base on that belongs to the memory.
    pub(crate) reserved: usize,
    /// Inaccessible bytes after that.
    pub(crate) guard: usize,
    /// The length that it can grow to; not more than `reserved`.
    pub(crate) limit: usize,
}

impl MemoryPlan {
    /// The plan for a memory of `initial` bytes at first, for code that
    /// expects `reservation` and `guard`; `None` if it cannot be addressed.
    pub(crate) fn new(initial: u64, reservation: u64, guard: u64, page: usize) -> Option<MemoryPlan> {
        // Pages are counted in 32 bits where a reset keeps account of them.
        if initial > (page as u64).saturating_mul(u64::from(u32::MAX)) {
            return None;
        }
        let reserved = usize::try_from(reservation.max(initial)).ok()?.checked_next_multiple_of(page)?;
        let guard = usize::try_from(guard).ok()?.checked_next_multiple_of(page)?;
        reserved.checked_add(guard)?;
        Some(MemoryPlan { initial: usize::try_from(initial).ok()?, reserved, guard, limit: reserved })
    }

    /// What becomes of a memory of type `ty` with `length` bytes that grows by
    /// `delta` pages: its pages before, and its bytes after; `None` if it
    /// cannot become that large.
    pub(crate) fn grown(&self, ty: &MemoryType, length: u64, delta: u64) -> Option<(u64, usize)> {
        let shift = u32::from(ty.page_size_log2());
        let old = length >> shift;
        let new = old.checked_add(delta)?;
        if new > ty.maximum_or_limit() {
            return None;
        }
        let bytes = usize::try_from(new).ok()?.checked_mul(1 << shift)?;
        (bytes <= self.limit).then_some((old, bytes))
    }

    /// The plan for a memory of type `ty`, which is to have `wide` bytes of
    /// address space to grow in if it has 64-bit indices and no smaller
    /// maximum; otherwise as [`new`](Self::new).
    pub(crate) fn of(ty: &MemoryType, [reservation, guard, wide]: [u64; 3], page: usize) -> Option<MemoryPlan> {
        let most = ty.bytes(ty.maximum_or_limit()).unwrap_or(u64::MAX);
        let wide = if ty.is_64() { wide.min(most) } else { 0 };
        Self::new(ty.bytes(ty.minimum())?, reservation.max(wide), guard, page)
    }

    /// Bytes that are accessible at first: whole pages.
    pub(crate) fn accessible(&self) -> usize {
        self.initial.next_multiple_of(sys::page_size())
    }

    /// Address space needed.
    pub(crate) fn span(&self) -> usize {
        self.reserved + self.guard
    }
}

/// The layout of a slot; positions are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotLayout {
    /// Elements for each of the tables at the start.
    table_elements: usize,
    /// Bytes of all of them, in whole pages.
    tables: usize,
    /// Where `vmctx` is.
    vmctx: usize,
    /// Where memories begin, from `vmctx` on.
    memories: Box<[usize]>,
    /// Bytes of the whole, in whole pages.
    total: usize,
}

impl SlotLayout {
    /// The layout for one module; `None` if it cannot be addressed.
    pub(crate) fn of_module(blueprint: &Blueprint, page: usize) -> Option<SlotLayout> {
        if !parts::ON_DEMAND.is_on() {
            return Some(SlotLayout { table_elements: 0, tables: 0, vmctx: 0, memories: Box::default(), total: 0 });
        }
        let head = blueprint.head().checked_add(blueprint.guard)?;
        Self::new((0, 0), head, blueprint.slot_memories().map(|(_, memory)| memory.plan.span()), page)
    }

    /// The layout for every module within limits; `None` if it cannot be
    /// addressed.
    pub(super) fn of_pool(limits: &InstanceLimits, memory_span: usize, page: usize) -> Option<SlotLayout> {
        let elements = limits.table_elements as usize;
        let tables = (limits.tables as usize).checked_mul(elements)?.checked_mul(size_of::<u64>())?;
        let head = limits.size.checked_add(POOL_GUARD)?;
        // Before a list of so many memories is made: a few hundred million
        // could be addressed if they were of no size, which nobody has.
        let all = memory_span.max(page).checked_mul(limits.memories as usize)?;
        isize::try_from(all).ok()?;
        let spans = std::iter::repeat_n(memory_span, limits.memories as usize);
        Self::new((elements, tables), head, spans, page)
    }

    fn new(
        (table_elements, tables): (usize, usize),
        head: usize,
        spans: impl Iterator<Item = usize>,
        page: usize,
    ) -> Option<SlotLayout> {
        let tables = tables.checked_next_multiple_of(page)?;
        let vmctx = tables.checked_add(head.checked_next_multiple_of(page)?)?;
        let mut end = 0usize;
        let mut memories = Vec::new();
        for span in spans {
            memories.push(end);
            end = end.checked_add(span)?.checked_next_multiple_of(page)?;
        }
        let total = vmctx.checked_add(end)?;
        Some(SlotLayout { table_elements, tables, vmctx, memories: memories.into(), total })
    }

    /// Bytes of address space.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Size and alignment as an allocator wants to know them.
    pub(super) fn block(&self) -> Result<Layout, AllocError> {
        Layout::from_size_align(self.total, sys::page_size())
            .map_err(|_| AllocError::because("a slot is larger than the address space"))
    }

    /// Elements that a table which can grow has room for in the slot.
    pub(super) fn table_elements(&self) -> usize {
        self.table_elements
    }

    /// The pages of records and context.
    fn head(&self, blueprint: &Blueprint) -> Option<Range<usize>> {
        let page = sys::page_size();
        let end = self.vmctx.checked_sub(blueprint.guard)?;
        let start = end.checked_sub(blueprint.head())?;
        (start >= self.tables).then(|| start / page * page..end.next_multiple_of(page).min(self.vmctx))
    }
}

/// Where a slot's memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The heap: it has no memory of its own.
    Heap(Layout),
    /// Address space of its own.
    OnDemand,
    /// The engine's pool.
    Pool(BlockIndex),
    /// Address space of its own, because the pool was full.
    Overflow,
}

impl Origin {
    /// Whether the pool answers for it.
    pub(super) fn is_pool(self) -> bool {
        matches!(self, Origin::Pool(_) | Origin::Overflow)
    }

    /// The place in the pool.
    pub(super) fn block(self) -> Option<BlockIndex> {
        match self {
            Origin::Pool(block) => Some(block),
            _ => None,
        }
    }
}

/// A slot: nobody else uses its memory. Not given back on drop, since that
/// takes whom it came from.
#[derive(Debug)]
pub(super) struct Slot {
    start: NonNull<u8>,
    vmctx: NonNull<u8>,
    origin: Origin,
}

// SAFETY: a slot is memory that it alone owns, without thread affinity.
unsafe impl Send for Slot {}

impl Slot {
    /// The slot at `start`, where there is address space for `layout`.
    pub(super) fn at(start: NonNull<u8>, layout: &SlotLayout, origin: Origin) -> Slot {
        // SAFETY: `vmctx` is inside the slot or at its end.
        Slot { start, vmctx: unsafe { start.add(layout.vmctx) }, origin }
    }

    fn on_heap(blueprint: &Blueprint) -> Result<Slot, AllocError> {
        let layout = Layout::from_size_align(blueprint.head().max(16), 16)
            .map_err(|_| AllocError::because("a context is larger than the address space"))?;
        let start = HeapAllocator.allocate(layout)?.cast::<u8>();
        // SAFETY: just allocated.
        unsafe { start.write_bytes(0, layout.size()) };
        let vmctx = start.as_ptr().wrapping_add(blueprint.head() + blueprint.guard);
        let vmctx = NonNull::new(vmctx).ok_or(AllocError::OutOfMemory { layout })?;
        Ok(Slot { start, vmctx, origin: Origin::Heap(layout) })
    }

    /// The slot once more, for who ends the first value.
    ///
    /// # Safety
    /// Only one of both is used from then on.
    pub(super) unsafe fn again(&self) -> Slot {
        Slot { ..*self }
    }

    /// The context pointer.
    pub(super) fn vmctx(&self) -> NonNull<u8> {
        self.vmctx
    }

    /// The first byte.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Where it comes from.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// The place of the records of an instance with this blueprint, which is in
    /// the slot if [`prepare`](Self::prepare) says nothing else.
    pub(super) fn records(&self, blueprint: &Blueprint) -> NonNull<[u8]> {
        let start = self.vmctx.as_ptr().wrapping_sub(blueprint.guard + blueprint.head());
        let start = NonNull::new(start).unwrap_or(self.start);
        NonNull::slice_from_raw_parts(start, blueprint.records)
    }

    /// The first byte of memory `index`.
    pub(super) fn memory(&self, layout: &SlotLayout, index: usize) -> Option<NonNull<u8>> {
        let offset = *layout.memories.get(index)?;
        // SAFETY: memories are inside the slot.
        Some(unsafe { self.vmctx.add(offset) })
    }

    /// The storage of table `index` of those that can grow, if the slot has
    /// any.
    pub(super) fn table(&self, layout: &SlotLayout, index: u32) -> Option<NonNull<u64>> {
        let offset = (index as usize).checked_mul(layout.table_elements * size_of::<u64>())?;
        let end = offset.checked_add(layout.table_elements * size_of::<u64>())?;
        // SAFETY: the tables are inside the slot.
        (self.origin.is_pool() && end <= layout.tables).then(|| unsafe { self.start.add(offset) }.cast())
    }

    /// Makes the pages accessible that records and context are in, and those
    /// of tables that can grow. They are zeros.
    ///
    /// # Safety
    /// Nobody uses them.
    pub(super) unsafe fn prepare(&self, layout: &SlotLayout, blueprint: &Blueprint) -> io::Result<()> {
        if let Origin::Heap(_) = self.origin {
            return Ok(());
        }
        let head = layout.head(blueprint).ok_or(io::ErrorKind::OutOfMemory)?;
        let tables = blueprint.table_bytes(layout.table_elements).min(layout.tables);
        let tables = tables.next_multiple_of(sys::page_size());
        // SAFETY: both are inside the slot, and the caller answers for the rest.
        unsafe {
            sys::make_accessible(self.start.as_ptr(), tables)?;
            sys::make_accessible(self.start.as_ptr().wrapping_add(head.start), head.len())
        }
    }

    /// Gives a slot back to where it came from, unless that is a pool.
    ///
    /// # Safety
    /// Nobody uses it.
    pub(super) unsafe fn free(self, layout: &SlotLayout) {
        match self.origin {
            // SAFETY: allocated there with this layout, and nobody uses it.
            Origin::Heap(heap) => unsafe { HeapAllocator.deallocate(self.start, heap) },
            Origin::OnDemand => {
                if let Ok(block) = layout.block() {
                    // SAFETY: as above.
                    unsafe { AddressSpace.deallocate(self.start, block) };
                }
            }
            Origin::Pool(_) | Origin::Overflow => debug_assert!(false, "slots of a pool go back to the pool"),
        }
    }
}

/// The slots of one module that are allocated on demand.
///
/// What an instance wrote is given back to the system when it is dropped. What
/// is kept of a few slots is the address space with its mappings, without a
/// page of memory: the kernel needs longer to set these up and to tear them
/// down than for all the rest.
#[derive(Debug)]
pub(crate) struct Slots {
    layout: Arc<SlotLayout>,
    spare: Mutex<Vec<Slot>>,
    /// How many are kept.
    limit: usize,
}

impl Slots {
    /// The slots of a module, laid out for it alone, `limit` of which are kept
    /// for reuse.
    pub(crate) fn new(blueprint: &Blueprint, layout: Arc<SlotLayout>, limit: usize) -> Slots {
        let keeps = parts::ON_DEMAND.is_on() && sys::can_discard() && blueprint.slot_memories().next().is_some();
        let limit = if keeps { limit.min(SPARE_SPACE / layout.total.max(1)) } else { 0 };
        Slots { layout, spare: Mutex::default(), limit }
    }

    /// Where things are in these slots.
    pub(super) fn layout(&self) -> &SlotLayout {
        &self.layout
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot whose head is zeros, and whether its memories are mapped
    /// already; otherwise they are inaccessible, as the head is. Those that
    /// are mapped are mapped as the engine does it, which has to be the `usual`
    /// way for the instance as well.
    pub(super) fn allocate(&self, blueprint: &Blueprint, usual: bool) -> Result<(Slot, bool), Error> {
        if usual
            && self.limit > 0
            && let Some(slot) = self.spare().pop()
        {
            return Ok((slot, true));
        }
        if blueprint.slot_memories().next().is_none() {
            return Ok((Slot::on_heap(blueprint)?, false));
        }
        let start = AddressSpace.allocate(self.layout.block()?)?.cast();
        Ok((Slot::at(start, &self.layout, Origin::OnDemand), false))
    }

    /// Takes back a slot of which `used` bytes were in use. It is kept if
    /// `reusable`: its memories are mapped as they were at first.
    ///
    /// # Safety
    /// The slot is of this module, and nobody uses it.
    pub(super) unsafe fn release(&self, slot: Slot, used: usize, reusable: bool) {
        if reusable && self.limit > 0 && self.spare().len() < self.limit {
            // SAFETY: the range is in the slot, which nobody uses.
            if unsafe { sys::discard(slot.start.as_ptr(), used) }.is_ok() {
                let mut spare = self.spare();
                if spare.len() < self.limit {
                    spare.push(slot);
                    return;
                }
            }
        }
        // SAFETY: the caller's.
        unsafe { slot.free(&self.layout) };
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if !parts::ON_DEMAND.is_on() {
            return;
        }
        for slot in std::mem::take(&mut *self.spare()) {
            // SAFETY: spare slots are nobody's.
            unsafe { slot.free(&self.layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans() -> impl Iterator<Item = usize> {
        [(4 << 30) + (32 << 20), 65536, 4096].into_iter()
    }

    #[test]
    fn parts_of_a_slot_are_aligned_and_do_not_overlap() {
        for page in [4096, 16384, 65536] {
            for (elements, tables) in [(0, 0), (20_000, 20_000 * 8), (7, 3 * 7 * 8)] {
                for head in [1, 16, 70_000, 1 << 20] {
                    let slot = SlotLayout::new((elements, tables), head, spans(), page).unwrap();
                    assert!(slot.tables >= tables && slot.vmctx >= slot.tables + head);
                    assert!([slot.tables, slot.vmctx, slot.total].iter().all(|at| at.is_multiple_of(page)));
                    assert_eq!(slot.memories[0], 0);
                    let ends = slot.memories[1..].iter().copied().chain([slot.total - slot.vmctx]);
                    for ((start, span), end) in slot.memories.iter().zip(spans()).zip(ends) {
                        assert!(start + span <= end && start.is_multiple_of(page));
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_addressed_has_no_plan() {
        assert!(MemoryPlan::new(u64::MAX, 0, 0, 4096).is_none());
        assert!(MemoryPlan::new(1, u64::MAX - 8192, 8192, 4096).is_none());
        let plan = MemoryPlan::new(5 << 16, 1 << 16, 0, 4096).unwrap();
        assert_eq!((plan.initial, plan.reserved), (5 << 16, 5 << 16));
        let wide = |maximum| MemoryPlan::of(&MemoryType::new64(1, maximum), [4 << 30, 0, 64 << 30], 4096).unwrap();
        assert_eq!((wide(None).reserved, wide(None).limit), (64 << 30, 64 << 30));
        assert_eq!((wide(Some(7)).reserved, wide(Some(1 << 18)).reserved), (4 << 30, 16 << 30));
        assert!(MemoryPlan::of(&MemoryType::new64(1 << 48, None), [0, 0, 0], 4096).is_none());
        assert!(MemoryPlan::of(&MemoryType::new64(1 << 29, None), [0, 0, 0], 4096).is_none());
        assert!(SlotLayout::new((0, 0), usize::MAX, spans(), 4096).is_none());
        assert!(SlotLayout::new((0, 0), 16, [usize::MAX - 8192, 16384].into_iter(), 4096).is_none());
    }
}
