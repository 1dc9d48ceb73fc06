//! Moving what is alive: breadth first, as Cheney's algorithm does it
//! (C. J. Cheney, "A Nonrecursive List Compacting Algorithm", 1970).
//!
//! Objects in the *range* move to the end of what is in the target area; a
//! reference to one is replaced by one to where it went, which is noted in its
//! first word. The references of what has been moved are dealt with in the
//! order in which it lies there, so that no list of what is left to do exists.

use super::area::Area;
use super::object::{MOVED, POISON_WORD, Shape};
use std::ops::Range;
use wasmc_artifacts::abi::descriptor::{EXTERN_TAG, NOT_OBJECT_MASK, array_elements};

/// How much more of the target is made resident at a time.
const AHEAD: usize = 256 << 10;

/// What is noted about values of the host's to which references were found.
pub(crate) trait Marks {
    /// Notes one, given the reference.
    fn mark(&mut self, reference: u32);
}

/// A collection that is going on.
pub(crate) struct Tracer<'a> {
    base: *mut u8,
    /// Where the range of what moves begins, and its length.
    from: u64,
    length: u64,
    /// Where the next object goes.
    next: usize,
    target: &'a mut Area,
    marks: Option<&'a mut (dyn Marks + 'static)>,
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
        let (from, length) = (range.start as u64, range.len() as u64);
        Tracer { base, from, length, next, target, marks, roots: 0, lost: false }
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

    #[inline(always)]
    fn trace(&mut self, reference: u32) -> u32 {
        if reference & NOT_OBJECT_MASK != 0 {
            if reference & NOT_OBJECT_MASK == EXTERN_TAG
                && let Some(marks) = &mut self.marks
            {
                marks.mark(reference);
            }
            return reference;
        }
        // Null is in no range.
        if u64::from(reference).wrapping_sub(self.from) >= self.length {
            return reference;
        }
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
                for offset in (0..size).step_by(8) {
                    let word = at.wrapping_add(offset).cast::<u64>().read();
                    target.wrapping_add(offset).cast::<u64>().write(word);
                }
            } else {
                target.copy_from_nonoverlapping(at, size);
            }
            at.cast::<u64>().write(to as u64 | MOVED);
        }
        to as u32
    }

    #[inline(always)]
    fn field(&mut self, at: *mut u8) {
        let at = at.cast::<u32>();
        // SAFETY: the descriptor says that a reference is there.
        unsafe {
            let old = at.read();
            let new = self.trace(old);
            if new != old {
                at.write(new);
            }
        }
    }

    /// Deals with the references of all objects in the target area from `scan`
    /// on, those included that move there meanwhile. Where they end, and
    /// whether none was lost.
    pub(super) fn finish(mut self, mut scan: usize) -> (usize, bool) {
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
        (self.next, !self.lost)
    }
}
