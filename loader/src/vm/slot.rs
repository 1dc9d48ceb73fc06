//! Slots: the memory that an instance lives in.
//!
//! ```text
//! 0        context.end            vmctx                                     total
//! | context | inaccessible, guard | initial | reserved for growth | guard   |
//! | RW      | none                | RW, images | none             | none    |
//! ```
//!
//! [`SlotLayout`] is arithmetic only; [`Slot`] makes it real, and [`Slots`]
//! is where slots come from and go back to. A module that defines no memory
//! has only the context, which then comes from the heap; its `vmctx` is an
//! address that nothing is read from.
//!
//! Slots are allocated when asked for, and what an instance wrote is given
//! back to the system when it is dropped. What is kept of a few slots of each
//! module is the address space with its page tables, and the context's pages
//! as zeros: the kernel needs longer to set these up and to tear them down
//! than for all the rest.

use crate::sys::{self, Region, Watch};
use std::alloc::{self, Layout};
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};
use wasmc_artifacts::abi::ContextLayout;

/// A memory in numbers of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    /// Length at first.
    pub(crate) initial: usize,
    /// The length that it can grow to.
    pub(crate) reserved: usize,
    /// Inaccessible bytes after that.
    pub(crate) guard: usize,
}

impl MemoryPlan {
    /// The plan for a memory of `initial` bytes at first and `maximum` at
    /// most, for code that expects `reservation` and `guard`; `None` if it
    /// cannot be addressed.
    pub(crate) fn new(initial: u64, reservation: u64, guard: u64, page: usize) -> Option<MemoryPlan> {
        let reserved = usize::try_from(reservation.max(initial)).ok()?.checked_next_multiple_of(page)?;
        let guard = usize::try_from(guard).ok()?.checked_next_multiple_of(page)?;
        reserved.checked_add(guard)?;
        Some(MemoryPlan { initial: usize::try_from(initial).ok()?, reserved, guard })
    }

    /// Address space needed.
    pub(crate) fn span(&self) -> usize {
        self.reserved + self.guard
    }
}

/// The layout of a slot; positions are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotLayout {
    /// Bytes of the context's fields.
    pub(crate) size: usize,
    /// Bytes from the end of the fields to `vmctx`.
    pub(crate) guard: usize,
    /// The pages of the context.
    pub(crate) context: Range<usize>,
    /// Where `vmctx` is.
    pub(crate) vmctx: usize,
    /// The memory at `vmctx`, if there is one.
    pub(crate) memory: Option<MemoryPlan>,
    /// Bytes of the whole.
    pub(crate) total: usize,
}

impl SlotLayout {
    /// Lays a slot out; `None` if it cannot be addressed.
    pub(crate) fn new(context: &ContextLayout, memory: Option<MemoryPlan>, page: usize) -> Option<SlotLayout> {
        let (size, guard) = (context.size() as usize, context.counts().guard as usize);
        let vmctx = (size + guard).checked_next_multiple_of(page)?;
        let context = 0..(vmctx - guard).next_multiple_of(page).min(vmctx);
        let total = vmctx.checked_add(memory.map_or(0, |m| m.span()))?;
        Some(SlotLayout { size, guard, context, vmctx, memory, total })
    }
}

#[derive(Debug)]
enum Backing {
    Mapped(Region),
    Heap(NonNull<u8>, Layout),
}

/// A slot, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Of the artifact's views in its memory; before `backing`, which they are in.
    pub(super) watch: OnceLock<Watch>,
    backing: Backing,
    vmctx: NonNull<u8>,
}

// SAFETY: a slot is memory that it alone owns, without thread affinity.
unsafe impl Send for Slot {}
// SAFETY: as above; shared access only yields an address.
unsafe impl Sync for Slot {}

impl Slot {
    /// Makes a slot whose context is zeros and whose memory is inaccessible.
    pub(crate) fn allocate(layout: &SlotLayout) -> io::Result<Slot> {
        if layout.memory.is_none() {
            return Self::on_heap(layout);
        }
        let region = Region::reserve(layout.total)?;
        // SAFETY: the region is new.
        unsafe { region.make_accessible(layout.context.clone())? };
        // SAFETY: `vmctx` is inside the region.
        let vmctx = unsafe { region.start().add(layout.vmctx) };
        Ok(Slot { watch: OnceLock::new(), backing: Backing::Mapped(region), vmctx })
    }

    fn on_heap(layout: &SlotLayout) -> io::Result<Slot> {
        let out_of_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        // Field offsets are multiples of 16, so the end is aligned as the start is.
        let heap = Layout::from_size_align(layout.size.max(16), 16).map_err(|_| out_of_memory())?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(heap) }).ok_or_else(out_of_memory)?;
        let vmctx = NonNull::new(start.as_ptr().wrapping_add(layout.size + layout.guard)).ok_or_else(out_of_memory)?;
        Ok(Slot { watch: OnceLock::new(), backing: Backing::Heap(start, heap), vmctx })
    }

    /// The context pointer.
    pub(crate) fn vmctx(&self) -> NonNull<u8> {
        self.vmctx
    }

    /// The mapped range and the position of `vmctx` in it, unless the slot
    /// has no memory.
    pub(crate) fn region(&self) -> Option<(&Region, usize)> {
        match &self.backing {
            Backing::Mapped(region) => Some((region, self.vmctx.as_ptr() as usize - region.start().as_ptr() as usize)),
            Backing::Heap(..) => None,
        }
    }
}

/// A context larger than this is given back to the system rather than filled
/// with zeros, which then takes longer than a system call.
const CONTEXT_KEPT: usize = 64 << 10;

/// The slots of one module.
#[derive(Debug)]
pub(crate) struct Slots {
    layout: SlotLayout,
    /// Slots as good as new, except that their memories' first content is
    /// mapped already.
    spare: Mutex<Vec<Slot>>,
    /// How many of them are kept.
    limit: usize,
}

impl Slots {
    /// The slots of a module, `limit` of which are kept for reuse.
    pub(crate) fn new(layout: SlotLayout, limit: usize) -> Slots {
        let limit = if layout.memory.is_some() && sys::can_discard() { limit } else { 0 };
        Slots { layout, spare: Mutex::default(), limit }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot whose context is zeros, and whether its memory has its first
    /// content already; otherwise the memory is inaccessible.
    pub(super) fn allocate(&self) -> io::Result<(Slot, bool)> {
        if self.limit > 0
            && let Some(slot) = self.spare().pop()
        {
            return Ok((slot, true));
        }
        Slot::allocate(&self.layout).map(|slot| (slot, false))
    }

    /// Takes a slot back, of whose memory `accessible` bytes are accessible.
    ///
    /// # Safety
    /// The slot came from `allocate`, its memory got its first content, and
    /// nobody uses either any more.
    pub(super) unsafe fn release(&self, slot: Slot, accessible: usize) {
        if self.limit == 0 || self.spare().len() >= self.limit {
            return;
        }
        // SAFETY: the caller's.
        if unsafe { self.reset(&slot, accessible) }.is_ok() {
            let mut spare = self.spare();
            if spare.len() < self.limit {
                spare.push(slot);
            }
        }
    }

    /// # Safety
    /// As for `release`.
    unsafe fn reset(&self, slot: &Slot, accessible: usize) -> io::Result<()> {
        let (Some((region, vmctx)), Some(memory)) = (slot.region(), self.layout.memory) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let initial = memory.initial.next_multiple_of(sys::page_size());
        let context = &self.layout.context;
        // SAFETY: nobody uses the slot, says the caller, and all ranges are in it.
        unsafe {
            if accessible > initial {
                region.make_inaccessible(vmctx + initial..vmctx + accessible)?;
            }
            region.discard(vmctx..vmctx + initial)?;
            if context.len() > CONTEXT_KEPT {
                region.discard(context.clone())?;
            } else {
                region.start().add(context.start).write_bytes(0, context.len());
            }
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Backing::Heap(start, layout) = self.backing {
            // SAFETY: allocated in `on_heap` with this layout.
            unsafe { alloc::dealloc(start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmc_artifacts::abi::ContextCounts;

    fn context(guard: u32, inline_elements: u32) -> ContextLayout {
        ContextLayout::new(ContextCounts {
            guard,
            func_imports: 1,
            table_imports: 0,
            memory_imports: 0,
            global_imports: 0,
            globals: 3,
            memories: 1,
            tables: 0,
            func_refs: 2,
            data_segments: 0,
            elem_segments: 0,
            inline_elements,
        })
        .unwrap()
    }

    #[test]
    fn the_fields_are_accessible_and_the_guard_is_not() {
        for page in [4096, 16384, 65536] {
            for guard in [0, 65536, 1 << 20] {
                for elements in [0, 1, 1000, 100_000] {
                    let fields = context(guard, elements);
                    let plan = MemoryPlan::new(65536, 1 << 32, 1 << 25, page).unwrap();
                    let slot = SlotLayout::new(&fields, Some(plan), page).unwrap();
                    let lowest = slot.vmctx - fields.distance() as usize;
                    let highest = slot.vmctx - guard as usize;
                    assert!(slot.context.start <= lowest && highest <= slot.context.end);
                    assert_eq!(slot.context.end, highest.next_multiple_of(page));
                    assert!(slot.vmctx.is_multiple_of(page) && slot.context.end.is_multiple_of(page));
                    assert_eq!(slot.total, slot.vmctx + (1 << 32) + (1 << 25));
                }
            }
        }
    }

    #[test]
    fn a_memory_that_cannot_be_addressed_has_no_plan() {
        assert!(MemoryPlan::new(u64::MAX, 0, 0, 4096).is_none());
        assert!(MemoryPlan::new(1, u64::MAX - 8192, 8192, 4096).is_none());
        let plan = MemoryPlan::new(5 << 16, 1 << 16, 0, 4096).unwrap();
        assert_eq!((plan.initial, plan.reserved), (5 << 16, 5 << 16));
    }
}
