//! Bytes that are given out from the start to the end.

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// ```text
///   start                 start + used            start + size
///     | block | block |pad| block |      rest         |
/// ```
///
/// Blocks occupy a byte at least, so that each has an address of its own, and
/// none of them has that of the end.
pub(super) struct Chunk {
    start: NonNull<u8>,
    size: usize,
    used: AtomicUsize,
}

// SAFETY: the pointer is only computed with; who may access a block is a matter
// of those who hold it. Its way from one holder to the next goes through
// `used`: giving back releases and giving out acquires.
unsafe impl Send for Chunk {}
// SAFETY: as above; `used` is atomic and the rest does not change.
unsafe impl Sync for Chunk {}

/// Where a block for `layout` comes to lie in a chunk of `size` bytes at
/// `address`, of which `used` are used; `None` if there is no room.
fn place(address: usize, used: usize, size: usize, layout: Layout) -> Option<Range<usize>> {
    // Rounded up to the alignment, a power of two.
    let mask = layout.align() - 1;
    let start = (address.checked_add(used)?.checked_add(mask)? & !mask) - address;
    let end = start.checked_add(occupied(layout))?;
    (end <= size).then_some(start..end)
}

/// The bytes that a block occupies.
fn occupied(layout: Layout) -> usize {
    layout.size().max(1)
}

impl Chunk {
    /// # Safety
    /// As long as the chunk is used, the `size` bytes at `start` belong to
    /// nobody else.
    pub(super) const unsafe fn new(start: NonNull<u8>, size: usize) -> Chunk {
        Chunk { start, size, used: AtomicUsize::new(0) }
    }

    /// A chunk without bytes.
    pub(super) const fn empty() -> Chunk {
        // SAFETY: there are no bytes.
        unsafe { Chunk::new(NonNull::dangling(), 0) }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Replaces the number of used bytes unless it has changed meanwhile.
    fn change(&self, from: usize, to: usize) -> Result<(), usize> {
        self.used.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    fn slice(&self, offset: usize, size: usize) -> NonNull<[u8]> {
        debug_assert!(offset + size <= self.size, "blocks are inside their chunk");
        // SAFETY: the offset is inside the chunk.
        NonNull::slice_from_raw_parts(unsafe { self.start.add(offset) }, size)
    }

    /// A new block; the number of used bytes that left no room for it, if
    /// there is none.
    pub(super) fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, usize> {
        let mut used = self.used();
        loop {
            let range = place(self.start.addr().get(), used, self.size, layout).ok_or(used)?;
            match self.change(used, range.end) {
                Ok(()) => return Ok(self.slice(range.start, layout.size())),
                Err(now) => used = now,
            }
        }
    }

    /// Whether a block is in here.
    pub(super) fn contains(&self, block: NonNull<u8>) -> bool {
        self.offset(block) < self.size
    }

    /// Meaningless unless the block is in here.
    fn offset(&self, block: NonNull<u8>) -> usize {
        block.addr().get().wrapping_sub(self.start.addr().get())
    }

    /// Makes room again if the block, which is in here, is the last one.
    pub(super) fn give_back(&self, block: NonNull<u8>, layout: Layout) {
        let offset = self.offset(block);
        // Otherwise the bytes are lost until the scope ends, which is no error.
        let _ = self.change(offset + occupied(layout), offset);
    }

    /// Resizes a block, which is in here, without moving it: always if it does
    /// not become larger, otherwise if it is the last one and there is room.
    pub(super) fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        if block.addr().get() & (new.align() - 1) != 0 {
            return None;
        }
        let offset = self.offset(block);
        let end = offset.checked_add(occupied(new)).filter(|&end| end <= self.size)?;
        let is_last = self.change(offset + occupied(old), end).is_ok();
        (is_last || occupied(new) <= occupied(old)).then(|| self.slice(offset, new.size()))
    }

    /// Uses up all of the rest: a chunk of its own, and what
    /// [`Chunk::give_rest_back`] needs.
    pub(super) fn take_rest(&self) -> (Chunk, usize) {
        let used = self.used.swap(self.size, Ordering::AcqRel);
        // SAFETY: `used` is at most the size, and nobody else gets the bytes
        // behind before they are given back.
        (unsafe { Chunk::new(self.start.add(used), self.size - used) }, used)
    }

    /// The chunk that [`Chunk::take_rest`] made ends.
    pub(super) fn give_rest_back(&self, used: usize) {
        self.used.store(used, Ordering::Release);
    }

    /// All blocks end.
    pub(super) fn clear(&mut self) {
        *self.used.get_mut() = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::place;
    use std::alloc::Layout;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_block_may_fill_its_chunk_exactly() {
        assert_eq!(place(4096, 0, 64, layout(64, 64)), Some(0..64));
        assert_eq!(place(4096, 0, 63, layout(64, 64)), None);
        assert_eq!(place(4096, 33, 64, layout(16, 16)), Some(48..64));
    }

    #[test]
    fn a_block_of_no_bytes_has_an_address_before_the_end() {
        assert_eq!(place(4096, 7, 8, layout(0, 1)), Some(7..8));
        assert_eq!(place(4096, 8, 8, layout(0, 1)), None);
        assert_eq!(place(4096, 0, 0, layout(0, 1)), None);
    }

    #[test]
    fn the_end_of_the_address_space_is_no_place() {
        let last = usize::MAX - 15;
        assert_eq!(place(last, 0, 15, layout(15, 1)), Some(0..15));
        assert_eq!(place(last, 1, 15, layout(1, 16)), None);
        assert_eq!(place(last, 0, 15, layout(isize::MAX as usize, 1)), None);
    }
}
