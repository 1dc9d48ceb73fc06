//! Moving what is alive: breadth first, as Cheney's algorithm does it
//! (C. J. Cheney, "A Nonrecursive List Compacting Algorithm", 1970).
//!
//! Objects in the *range* move to the end of what is in the target area; a
//! reference to one is replaced by one to where it went, which is noted in its
//! first word. The references of what has been moved are dealt with in the
//! order in which it lies there, so that no list of what is left to do exists,
//! but for a short queue: most of the time would be spent waiting for the first
//! words of objects, were they not fetched some references ahead.

use super::area::Area;
use super::object::{MOVED, POISON_WORD, Shape};
use std::ops::Range;
use std::ptr;
use wasmc_artifacts::abi::descriptor::{EXTERN_TAG, NOT_OBJECT_MASK, array_elements};

/// How much more of the target is made resident at a time.
const AHEAD: usize = 256 << 10;

/// References in the queue; a power of two.
const QUEUE: usize = 16;

/// Tells the processor that what is at `at` will be needed soon.
#[inline(always)]
fn fetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching has no effect that can be seen, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
}

/// What is noted about values of the host's to which references were found.
pub(crate) trait Marks {
    /// Notes one, given the reference.
    fn mark(&mut self, reference: u32);
}

/// A collection that is going on.
pub(crate) struct Tracer<'a> {
    base: *mut u8,
    /// Where the range of what moves begins, and its length.
    from: u32,
    length: u32,
    /// Where the next object goes.
    next: usize,
    target: &'a mut Area,
    marks: Option<&'a mut (dyn Marks + 'static)>,
    /// Where references are to objects that may have to move, as a ring; null
    /// where there is none.
    queue: [*mut u32; QUEUE],
    /// The place in it that is next.
    turn: usize,
    /// References that were not in objects.
    roots: usize,
    /// Whether an object could not be dealt with.
    lost: bool,
}

impl<'a> Tracer<'a> {
    /// Begins to move what is in `range` to `target` from `next` on.
    ///
    /// # Safety
    /// `base` is that of a heap, which has objects in `range`, and nobody uses
    /// them until `finish` is done. The target is accessible to where
    /// everything in the range would end if it moved there.
    pub(super) unsafe fn new(
        base: *mut u8,
        range: Range<usize>,
        target: &'a mut Area,
        next: usize,
        marks: Option<&'a mut (dyn Marks + 'static)>,
    ) -> Tracer<'a> {
        let (from, length) = (range.start as u32, range.len() as u32);
        Tracer {
            base,
            from,
            length,
            next,
            target,
            marks,
            queue: [ptr::null_mut(); QUEUE],
            turn: 0,
            roots: 0,
            lost: false,
        }
    }

    /// Deals with a reference that is not in an object; what it is now.
    #[inline]
    pub(crate) fn root(&mut self, reference: u32) -> u32 {
        self.roots += 1;
        self.trace(reference)
    }

    /// The references so far that were not in objects.
    pub(super) fn roots(&self) -> usize {
        self.roots
    }

    /// Whether a reference is to something that moves. If it is to a value of
    /// the host's, notes that.
    #[inline(always)]
    fn moves(&mut self, reference: u32) -> bool {
        // Null is in no range. What is no object can be, as a number.
        if reference.wrapping_sub(self.from) < self.length && reference & NOT_OBJECT_MASK == 0 {
            return true;
        }
        if let Some(marks) = &mut self.marks
            && reference & NOT_OBJECT_MASK == EXTERN_TAG
        {
            marks.mark(reference);
        }
        false
    }

    #[inline(always)]
    fn trace(&mut self, reference: u32) -> u32 {
        if self.moves(reference) { self.forward(reference) } else { reference }
    }

    /// Where the object is now that a reference is to, which moves.
    #[inline(always)]
    fn forward(&mut self, reference: u32) -> u32 {
        let at = self.base.wrapping_add(reference as usize);
        // SAFETY: an object is there, or what is left of it.
        let word = unsafe { at.cast::<u64>().read() };
        if word & MOVED != 0 { (word - MOVED) as u32 } else { self.evacuate(at, word) }
    }

    /// Moves the object at `at`, whose first word is given.
    #[inline]
    fn evacuate(&mut self, at: *mut u8, word: u64) -> u32 {
        assert_ne!(word, POISON_WORD, "a reference to an object that has moved was not found in a collection");
        // SAFETY: a descriptor's address.
        let Some(shape) = (unsafe { Shape::described(word as *const _, at) }) else {
            self.lost = true;
            return 0;
        };
        let (size, to) = (shape.size(), self.next);
        self.next = to + size;
        if self.next > self.target.ready() {
            // SAFETY: the target has room for all there is to move. If it
            // cannot be made resident at once, it will be page by page.
            let _ = unsafe { self.target.prepare(self.base, self.next.max(to + AHEAD).min(self.target.end)) };
        }
        let target = self.base.wrapping_add(to);
        // SAFETY: the object is so long, and so is the place for it.
        unsafe {
            if size <= 64 {
                target.cast::<u64>().write(word);
                let mut offset = 8;
                while offset < size {
                    let word = at.wrapping_add(offset).cast::<u64>().read();
                    target.wrapping_add(offset).cast::<u64>().write(word);
                    offset += 8;
                }
            } else {
                target.copy_from_nonoverlapping(at, size);
            }
            at.cast::<u64>().write(to as u64 | MOVED);
        }
        to as u32
    }

    /// Deals with the reference at `at`, or puts it into the queue.
    #[inline(always)]
    fn field(&mut self, at: *mut u8) {
        let at = at.cast::<u32>();
        // SAFETY: the descriptor says that a reference is there.
        let reference = unsafe { at.read() };
        if self.moves(reference) {
            fetch(self.base.wrapping_add(reference as usize));
            let turn = self.turn % QUEUE;
            self.turn = turn + 1;
            let waiting = std::mem::replace(&mut self.queue[turn], at);
            if !waiting.is_null() {
                self.follow(waiting);
            }
        }
    }

    /// Deals with the reference at `at`, which is to something that moves.
    #[inline(always)]
    fn follow(&mut self, at: *mut u32) {
        // SAFETY: the place is in an object that has moved already, or that
        // does not move.
        unsafe { at.write(self.forward(at.read())) };
    }

    /// Deals with the references in the queue.
    fn empty_queue(&mut self) {
        for turn in 0..QUEUE {
            let turn = (self.turn + turn) % QUEUE;
            let waiting = std::mem::replace(&mut self.queue[turn], ptr::null_mut());
            if !waiting.is_null() {
                self.follow(waiting);
            }
        }
    }

    /// Deals with the references of all objects in the target area from `scan`
    /// on, those included that move there meanwhile. Where they end, and
    /// whether none was lost.
    pub(super) fn finish(mut self, mut scan: usize) -> (usize, bool) {
        loop {
            scan = self.scan(scan);
            self.empty_queue();
            if scan >= self.next || self.lost {
                return (self.next, !self.lost);
            }
        }
    }

    /// Deals with the references of objects from `scan` on; where there are no
    /// more.
    fn scan(&mut self, mut scan: usize) -> usize {
        while scan < self.next {
            let at = self.base.wrapping_add(scan);
            // SAFETY: objects follow each other without gaps.
            let Some(shape) = (unsafe { Shape::of(at) }) else {
                self.lost = true;
                break;
            };
            match shape {
                Shape::Fields { refs, offsets, .. } => {
                    for index in 0..refs {
                        // SAFETY: the descriptor has so many offsets.
                        let offset = unsafe { offsets.wrapping_add(index).read() };
                        self.field(at.wrapping_add(offset as usize));
                    }
                }
                Shape::Opaque { .. } => {}
                Shape::References { length, .. } => {
                    let first = at.wrapping_add(array_elements(4) as usize);
                    for index in 0..length {
                        self.field(first.wrapping_add(4 * index));
                    }
                }
            }
            scan += shape.size();
        }
        scan
    }
}
