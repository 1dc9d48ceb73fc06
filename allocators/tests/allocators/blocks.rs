//! Random use of any allocator, with everything checked that can be seen from
//! outside.

use crate::rng::Rng;
use std::alloc::Layout;
use std::ptr::NonNull;
use wasmc_allocators::{AllocError, Allocator};

pub fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("tests name possible layouts")
}

/// A layout of up to `size` bytes, aligned to 1 to 64.
pub fn any_layout(rng: &mut Rng, size: usize) -> Layout {
    let size = if rng.once_in(10) { 0 } else { rng.below(size + 1) };
    layout(size, 1 << rng.below(7))
}

/// A block that the test holds, filled with a pattern of its own.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub start: NonNull<u8>,
    pub layout: Layout,
    pattern: u8,
}

impl Held {
    pub fn address(&self) -> usize {
        self.start.addr().get()
    }

    fn check(&self, bytes: usize) {
        for offset in 0..bytes.min(self.layout.size()) {
            // SAFETY: the offset is inside the block, which is filled.
            let byte = unsafe { self.start.add(offset).read() };
            assert_eq!(byte, self.pattern, "byte {offset} of {self:?} was changed by somebody else");
        }
    }

    fn fill(&self) {
        // SAFETY: the block is of that size, and the test's.
        unsafe { self.start.write_bytes(self.pattern, self.layout.size()) };
    }
}

/// The blocks that a test holds of one allocator.
#[derive(Default)]
pub struct Blocks {
    pub held: Vec<Held>,
    patterns: u8,
}

impl Blocks {
    fn next_pattern(&mut self) -> u8 {
        self.patterns = self.patterns.wrapping_add(1);
        self.patterns
    }

    /// Checks a new block, fills it and adds it.
    fn add(&mut self, block: NonNull<[u8]>, layout: Layout) -> Held {
        let start = block.cast::<u8>();
        assert!(block.len() >= layout.size(), "{} bytes were given out for {layout:?}", block.len());
        assert!(start.addr().get().is_multiple_of(layout.align()), "{start:p} is not aligned for {layout:?}");
        let new = Held { start, layout, pattern: self.next_pattern() };
        for other in &self.held {
            let (from, to) = (new.address(), new.address() + layout.size().max(1));
            let apart = to <= other.address() || other.address() + other.layout.size().max(1) <= from;
            assert!(apart, "{new:?} overlaps {other:?}");
        }
        new.fill();
        self.held.push(new);
        new
    }

    pub fn allocate(&mut self, from: &(impl Allocator + ?Sized), layout: Layout) -> Result<Held, AllocError> {
        from.allocate(layout).map(|block| self.add(block, layout))
    }

    /// Gives the block with that position in `held` back.
    pub fn deallocate(&mut self, to: &(impl Allocator + ?Sized), position: usize) {
        let block = self.held.swap_remove(position);
        block.check(usize::MAX);
        // SAFETY: the test allocated it from there, with this layout.
        unsafe { to.deallocate(block.start, block.layout) };
    }

    /// Resizes the block with that position in `held`, which is the last one
    /// afterwards. On failure it has to be what it was.
    pub fn reallocate(
        &mut self,
        by: &(impl Allocator + ?Sized),
        position: usize,
        new: Layout,
    ) -> Result<Held, AllocError> {
        let old = self.held.swap_remove(position);
        // SAFETY: the test allocated it from there, with this layout.
        match unsafe { by.reallocate(old.start, old.layout, new) } {
            Ok(block) => {
                Held { start: block.cast(), ..old }.check(new.size());
                Ok(self.add(block, new))
            }
            Err(error) => {
                old.check(usize::MAX);
                self.held.push(old);
                Err(error)
            }
        }
    }

    /// Gives all blocks back, in any order.
    pub fn deallocate_all(&mut self, to: &(impl Allocator + ?Sized), rng: &mut Rng) {
        while !self.held.is_empty() {
            self.deallocate(to, rng.below(self.held.len()));
        }
    }

    /// Forgets all blocks, which have ended with their allocator.
    pub fn check_and_forget_all(&mut self) {
        self.held.drain(..).for_each(|block| block.check(usize::MAX));
    }
}

/// Does anything that can be done with an allocator, `rounds` times; `each`
/// is called in between.
pub fn play(
    allocator: &(impl Allocator + ?Sized),
    rng: &mut Rng,
    rounds: usize,
    size: usize,
    mut each: impl FnMut(&mut Rng, &Blocks),
) {
    let mut blocks = Blocks::default();
    for _ in 0..rounds {
        let count = blocks.held.len();
        // Which of these fail is the allocator's business; what it does not
        // give out is not held, and what it does is checked.
        match rng.below(5) {
            0 | 1 if count < 40 => drop(blocks.allocate(allocator, any_layout(rng, size))),
            2 | 3 if count > 0 => blocks.deallocate(allocator, rng.below(count)),
            _ if count > 0 => {
                let (position, new) = (rng.below(count), any_layout(rng, size));
                drop(blocks.reallocate(allocator, position, new));
            }
            _ => {}
        }
        each(rng, &blocks);
    }
    blocks.deallocate_all(allocator, rng);
}
