//! Where the objects of a store live.
//!
//! ```text
//! base                                                        base + 4 GiB
//! | never accessible | half 0 ... | nursery ... | half 1 ... | guard |
//!                      ^ old objects ^ new ones   ^ where all go next
//! ```
//!
//! Compiled code allocates in the *nursery*. When that is full, a *minor*
//! collection moves what is alive in it to the end of the old objects, which
//! are in one of the halves. No code tells the collector where old objects
//! refer to new ones; instead it looks at all old objects, in the order in
//! which they lie there, which takes a fraction of the time that moving them
//! would take. When the old objects have doubled since the last time, a *full*
//! collection moves all that is alive, old or new, to the other half. So the
//! nursery is what is used most, and stays in the processor's cache; it grows
//! with the old objects, so that looking at them does not cost more than
//! allocating.
//!
//! Old objects lie side by side. The nursery can have gaps: code may ask for
//! several objects at once, and be left before it has made all of them.
//!
//! Nothing is cleared: what compiled code can read of an object it has written
//! before, since the code initialises all of an object before anything else
//! can see it. So an object's bytes do not tell what was there earlier, for
//! another tenant perhaps, and a heap can go from one store to the next as it
//! is. The first bytes of the heap are never accessible, so that the fields of
//! null are not either.

use super::area::Area;
use super::trace::{Marks, Tracer};
use crate::sys::Region;
use crate::vm::structs::VMStoreContext;
use std::io;
use std::ptr::{self, NonNull};

/// What a reference can address.
const SPAN: usize = 4 << 30;
/// Bytes at the beginning that are never accessible.
const NULL_GUARD: usize = 64 << 10;
/// Bytes at the end that are never accessible.
const END_GUARD: usize = 64 << 10;
/// Room for the nursery, and so for the largest object.
const NURSERY_SPAN: usize = 1 << 30;
/// Each half.
const HALF: usize = (SPAN - NULL_GUARD - END_GUARD - NURSERY_SPAN) / 2;

/// The largest nursery, unless there are very large objects.
const NURSERY_MOST: usize = 256 << 20;
/// The smallest nursery, unless the heap's limit is smaller.
const NURSERY_LEAST: usize = 64 << 10;
/// Up to this size, the nursery has twice the bytes of the old objects; then it
/// stays, as long as it has at least half as many.
const NURSERY_USUAL: usize = 32 << 20;
/// Bytes that the nursery has for each reference outside of objects: looking
/// at those takes time in every collection too.
const NURSERY_PER_ROOT: usize = 64;
/// Old objects may have so many bytes, at least, before a full collection is
/// due, beyond what was alive after the last.
const OLD_GROWTH: usize = 16 << 20;
/// A full collection that leaves less free than one so many-th of the limit
/// was in vain: a program would do little else from then on.
const LEFT_FREE: usize = 64;
/// Bytes of each part of the heap that stay resident for the next store.
const KEPT: usize = 512 << 10;

/// Settings of heaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeapSettings {
    /// The most bytes that objects may have together.
    pub(crate) limit: usize,
    /// Bytes of the nursery at first.
    pub(crate) initial: usize,
    /// Whether to collect, and move everything, at every allocation.
    pub(crate) stress: bool,
}

impl Default for HeapSettings {
    fn default() -> Self {
        HeapSettings { limit: HALF, initial: 1 << 20, stress: false }
    }
}

/// Whether all objects are considered, or only those in the nursery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What moves is what was allocated since the last collection.
    Minor,
    /// Everything moves, and what is dead is gone.
    Full,
}

/// The heap of a store, which has no address space until it is needed.
#[derive(Debug)]
pub(crate) struct Heap {
    region: Option<Region>,
    halves: [Area; 2],
    nursery: Area,
    /// The half with the old objects.
    current: usize,
    /// Where they end.
    top: usize,
    /// The nursery may be used up to here.
    end: usize,
    /// A full collection is due when old objects end beyond this.
    threshold: usize,
    settings: HeapSettings,
    /// Whether it is in use in this store.
    entered: bool,
    /// Whether objects were lost, with the file that their types were in.
    lost: bool,
    collections: u64,
}

impl Default for Heap {
    fn default() -> Self {
        let first = NULL_GUARD..NULL_GUARD + HALF;
        let nursery = first.end..first.end + NURSERY_SPAN;
        let second = nursery.end..nursery.end + HALF;
        Heap {
            region: None,
            top: first.start,
            end: nursery.start,
            threshold: first.start + OLD_GROWTH,
            halves: [Area::new(first), Area::new(second)],
            nursery: Area::new(nursery),
            current: 0,
            settings: HeapSettings::default(),
            entered: false,
            lost: false,
            collections: 0,
        }
    }
}

impl Heap {
    /// Sets what holds from the next `enter` on.
    pub(crate) fn configure(&mut self, settings: HeapSettings) {
        self.settings = HeapSettings { limit: settings.limit.min(HALF), ..settings };
    }

    /// Makes the heap ready for code that allocates, unless it is; its base.
    ///
    /// # Errors
    /// If there is no address space for it.
    pub(crate) fn enter(&mut self, context: &VMStoreContext) -> io::Result<NonNull<u8>> {
        let base = match &self.region {
            Some(region) => region.start(),
            None => self.region.insert(Region::reserve(SPAN)?).start(),
        };
        if !self.entered {
            self.entered = true;
            self.collections = 0;
            self.clear(context);
        }
        Ok(base)
    }

    /// The base, if code of this store allocates.
    pub(crate) fn base(&self) -> Option<NonNull<u8>> {
        self.region.as_ref().filter(|_| self.entered).map(Region::start)
    }

    fn start(&self) -> *mut u8 {
        self.region.as_ref().map_or(ptr::null_mut(), |region| region.start().as_ptr())
    }

    /// Forgets all objects, of which nobody has references any more.
    pub(crate) fn clear(&mut self, context: &VMStoreContext) {
        if !self.entered {
            return;
        }
        self.lost = false;
        self.current = 0;
        self.top = self.halves[0].start;
        self.threshold = self.top + OLD_GROWTH;
        self.end = self.nursery.start;
        self.resize(0, 0);
        context.heap_next.set(self.nursery.start as u64);
        self.set_limit(context);
    }

    /// The same, and gives most of the memory back: no code allocates any
    /// more, until `enter` is called again.
    pub(crate) fn leave(&mut self, context: &VMStoreContext) {
        if !self.entered {
            return;
        }
        self.clear(context);
        self.entered = false;
        context.heap_next.set(0);
        context.heap_limit.set(0);
        let base = self.start();
        // SAFETY: there are no objects.
        unsafe {
            self.nursery.trim(base, KEPT);
            self.halves[0].trim(base, KEPT);
            self.halves[1].trim(base, KEPT);
        }
    }

    fn set_limit(&self, context: &VMStoreContext) {
        let limit = if self.settings.stress { 0 } else { self.end.min(self.nursery.ready()) };
        context.heap_limit.set(limit as u64);
    }

    /// Bytes of all objects, of which some may be dead.
    pub(crate) fn used(&self, context: &VMStoreContext) -> usize {
        self.old() + if self.entered { context.heap_next.get() as usize - self.nursery.start } else { 0 }
    }

    /// Bytes of memory that the heap has from the system.
    pub(crate) fn resident(&self) -> usize {
        if !self.entered {
            return 0;
        }
        self.halves.iter().map(Area::resident).sum::<usize>() + self.nursery.resident()
    }

    /// How often objects were moved.
    #[cfg(test)]
    pub(super) fn collections(&self) -> u64 {
        self.collections
    }

    /// Bytes of the old objects.
    fn old(&self) -> usize {
        self.top - self.halves[self.current].start
    }

    /// Room for `size` bytes, as far as there is some without a collection: a
    /// position in the heap.
    pub(super) fn place(&mut self, context: &VMStoreContext, size: usize) -> Option<usize> {
        let next = context.heap_next.get() as usize;
        let end = next.checked_add(size)?;
        if end > self.end {
            return None;
        }
        let base = self.start();
        // SAFETY: beyond `ready` there are no objects.
        unsafe { self.nursery.prepare(base, end) }.ok()?;
        context.heap_next.set(end as u64);
        self.set_limit(context);
        Some(next)
    }

    /// What kind of collection is due.
    pub(super) fn due(&self) -> Extent {
        if self.settings.stress || self.top > self.threshold { Extent::Full } else { Extent::Minor }
    }

    /// Whether objects were lost, and what they referred to is not known.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether all allocations are to be preceded by a collection.
    pub(super) fn stress(&self) -> bool {
        self.settings.stress
    }

    /// Whether an object of so many bytes can never be allocated.
    pub(super) fn is_beyond(&self, size: usize) -> bool {
        self.lost || size > self.settings.limit.min(NURSERY_SPAN)
    }

    /// Whether so little is free after a full collection that the heap is
    /// exhausted.
    pub(super) fn is_full(&self) -> bool {
        self.settings.limit - self.old() < self.settings.limit / LEFT_FREE
    }

    /// Moves what is alive: what `roots` passes to the tracer, and what can be
    /// reached from there. After it, if what is alive leaves so much, there is
    /// room for `size` bytes. Whether there was memory for it; if not, nothing
    /// has happened.
    ///
    /// # Safety
    /// `roots` passes all references to objects of this heap that are used
    /// later, and puts what it gets in their places; nobody uses an object or
    /// reference meanwhile.
    pub(super) unsafe fn collect(
        &mut self,
        context: &VMStoreContext,
        extent: Extent,
        size: usize,
        marks: Option<&mut (dyn Marks + 'static)>,
        roots: impl FnOnce(&mut Tracer<'_>),
    ) -> bool {
        if self.lost {
            return false;
        }
        if !self.entered {
            // No object can be referred to, but values of the host's can.
            let half = &mut self.halves[0];
            let start = half.start;
            // SAFETY: there is nothing that could move.
            roots(&mut unsafe { Tracer::new(ptr::null_mut(), 0..0, half, start, marks) });
            return true;
        }
        let base = self.start();
        let new = context.heap_next.get() as usize;
        let (from, old) = (self.current, self.old());
        let full = extent == Extent::Full;
        let to = if full { 1 - from } else { from };
        let range = match (full, from) {
            (false, _) => self.nursery.start..new,
            (true, 0) => self.halves[0].start..new,
            (true, _) => self.nursery.start..self.top,
        };
        let begin = if full { self.halves[to].start } else { self.top };
        let most = begin + (new - self.nursery.start) + if full { old } else { 0 };
        let target = &mut self.halves[to];
        // SAFETY: of the target, nothing beyond `begin` is in use.
        if unsafe { target.open(base, most) }.is_err() {
            return false;
        }
        let scan = target.start;
        // SAFETY: the caller's; the target was just made accessible.
        let mut tracer = unsafe { Tracer::new(base, range, target, begin, marks) };
        roots(&mut tracer);
        let count = tracer.roots();
        let (top, whole) = tracer.finish(scan);
        self.lost |= !whole;
        self.collections += 1;
        if full && self.settings.stress {
            // SAFETY: everything has moved.
            unsafe {
                self.nursery.poison(base, new);
                self.halves[from].poison(base, self.top);
            }
        }
        (self.current, self.top) = (to, top);
        context.heap_next.set(self.nursery.start as u64);
        if full {
            let live = self.old();
            self.threshold = self.top + live.max(OLD_GROWTH);
        }
        self.resize(count, size);
        if full {
            self.shrink(base);
        }
        let nursery = self.end - self.nursery.start;
        if self.nursery.resident() > 4 * nursery.max(KEPT) {
            // SAFETY: the nursery is empty.
            unsafe { self.nursery.trim(base, nursery) };
        }
        self.set_limit(context);
        true
    }

    /// Decides how large the nursery is until the next collection, given the
    /// number of references outside of objects, and what there must be room for.
    fn resize(&mut self, roots: usize, size: usize) {
        let old = self.old();
        let share = (2 * old).min(NURSERY_USUAL).max(old / 2);
        let wanted = self.settings.initial.max(share).max(roots.saturating_mul(NURSERY_PER_ROOT));
        let mut wanted = wanted.clamp(NURSERY_LEAST, NURSERY_MOST).next_multiple_of(NURSERY_LEAST);
        if size > wanted / 4 {
            // More objects of that kind may follow.
            wanted = wanted.saturating_add(2 * size);
        }
        // All of it may have to move behind the old objects.
        let left = self.settings.limit.saturating_sub(old);
        self.end = self.nursery.start + wanted.min(NURSERY_SPAN).min(left) / 8 * 8;
    }

    /// Gives memory back that is not needed for as many objects as there are.
    fn shrink(&mut self, base: *mut u8) {
        let usual = (2 * self.old()).max(KEPT);
        for area in &mut self.halves {
            if area.resident() > 2 * usual {
                // SAFETY: old objects take less than that, in either half.
                unsafe { area.trim(base, usual) };
            }
        }
    }
}
