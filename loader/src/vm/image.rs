//! What memories contain at first: parts of the artifact, and zeros.
//!
//! ```text
//! memory   0 .......| extent |..............| extent |......... initial
//! artifact ... | extent | extent | ...
//! ```

use super::code::Code;
use super::slot::MemoryPlan;
use crate::sys::{self, Access};
use std::io;
use std::ops::Range;
use wasmc_artifacts::format::Artifact;

/// A part of a memory that is not zeros at first. Whole pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes of the memory.
    pub(super) range: Range<usize>,
    /// Where they are in the artifact.
    offset: u64,
}

/// What a memory contains at first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// Ascending, not overlapping.
    extents: Box<[Extent]>,
}

/// Where images come from: an artifact's bytes, and the file that has them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    code: &'a Code,
    pub(super) bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub(super) fn new(code: &'a Code) -> Source<'a> {
        Source { code, bytes: code.bytes() }
    }
}

impl Image {
    /// The image of defined memory `memory`; `None` if it contradicts itself.
    pub(super) fn of(artifact: &Artifact<'_>, memory: u32, plan: &MemoryPlan, page: usize) -> Option<Image> {
        let end = plan.initial.next_multiple_of(page);
        let mut extents = Vec::new();
        let mut done = 0;
        for row in artifact.tables().extents.iter().filter(|row| row.memory == memory) {
            let start = usize::try_from(row.position).ok()?;
            // An extent's last page can reach beyond what this machine needs,
            // whose pages are smaller.
            let stop = start.checked_add(usize::try_from(row.content.length).ok()?)?.min(end);
            if start < done || stop < start || !start.is_multiple_of(page) {
                return None;
            }
            done = stop;
            extents.push(Extent { range: start..stop, offset: row.content.offset });
        }
        Some(Image { extents: extents.into() })
    }

    /// The parts that are not zeros.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Bytes that are not zeros, in whole pages.
    pub(super) fn bytes(&self) -> usize {
        self.extents.iter().map(|extent| extent.range.len()).sum()
    }

    /// Whether any of `range` is not zeros.
    pub(super) fn touches(&self, range: &Range<usize>) -> bool {
        self.extents.iter().any(|extent| extent.range.start < range.end && range.start < extent.range.end)
    }

    /// Makes `length` bytes at `base` accessible, with this content if they
    /// are to be a view of the file, otherwise with zeros.
    ///
    /// # Safety
    /// They are address space that nobody uses and that nothing was written to.
    pub(super) unsafe fn map(&self, base: *mut u8, length: usize, source: Option<Source<'_>>) -> io::Result<()> {
        let at = |position| base.wrapping_add(position);
        let mut done = 0;
        if let Some(source) = source.filter(|_| !self.extents.is_empty()) {
            let (file, start) = source.code.file()?;
            for Extent { range, offset } in &self.extents {
                // SAFETY: the ranges are within the memory, says `of`, and
                // within the file, says the artifact's check.
                unsafe {
                    sys::make_accessible(at(done), range.start - done)?;
                    sys::overlay(at(range.start), range.len(), file, start + *offset, Access::Write)?;
                }
                done = range.end;
            }
        }
        // SAFETY: as above.
        unsafe { sys::make_accessible(at(done), length - done) }
    }

    /// Writes the content of `range` into the memory at `base`.
    ///
    /// # Safety
    /// The range is in the memory, writable, and nobody uses it.
    pub(super) unsafe fn write(&self, base: *mut u8, range: Range<usize>, source: &[u8]) {
        self.pieces(range, source, |at, length, piece| {
            // SAFETY: the caller answers for the range; the artifact is no
            // part of the memory.
            unsafe {
                match piece {
                    Some(bytes) => std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at), length),
                    None => base.add(at).write_bytes(0, length),
                }
            }
        });
    }

    /// Writes all that is not zeros into the memory at `base`, of which every
    /// page is zeros or as it is at first. Pages of zeros, which extents may
    /// have, are not touched: they would become resident.
    ///
    /// # Safety
    /// As for `write`, of the whole memory.
    pub(super) unsafe fn write_extents(&self, base: *mut u8, source: &[u8]) {
        let page = sys::page_size();
        for Extent { range, offset } in &self.extents {
            let content = source.get(*offset as usize..).unwrap_or_default();
            for (at, bytes) in range.clone().step_by(page).zip(content.chunks(page)) {
                if !is_zero(bytes) {
                    let length = bytes.len().min(range.end - at);
                    // SAFETY: the caller answers for the memory; the artifact is
                    // no part of it.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at), length) };
                }
            }
        }
    }

    /// Whether `range` of the memory at `base` has its first content.
    ///
    /// # Safety
    /// The range is in the memory, readable, and nobody writes to it.
    pub(super) unsafe fn is_intact(&self, base: *const u8, range: Range<usize>, source: &[u8]) -> bool {
        let mut intact = true;
        self.pieces(range, source, |at, length, piece| {
            // SAFETY: the caller answers for the range.
            let found = unsafe { std::slice::from_raw_parts(base.add(at), length) };
            intact = intact
                && match piece {
                    Some(bytes) => found == bytes,
                    None => is_zero(found),
                };
        });
        intact
    }

    /// Calls `each` with every part of `range`: its position, its length, and
    /// its content unless that is zeros.
    fn pieces<'a>(&self, range: Range<usize>, source: &'a [u8], mut each: impl FnMut(usize, usize, Option<&'a [u8]>)) {
        let mut done = range.start;
        for extent in &self.extents {
            let (start, end) = (extent.range.start.max(done), extent.range.end.min(range.end));
            if start >= end {
                continue;
            }
            if start > done {
                each(done, start - done, None);
            }
            let from = extent.offset as usize + (start - extent.range.start);
            // The artifact's check has seen that extents are in the file.
            each(start, end - start, source.get(from..from + (end - start)));
            done = end;
        }
        if done < range.end {
            each(done, range.end - done, None);
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // SAFETY: any bytes are a `u64`.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    head.iter().chain(tail).all(|byte| *byte == 0) && words.iter().all(|word| *word == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(extents: &[(usize, usize, u64)]) -> Image {
        let extents = extents.iter().map(|(start, end, offset)| Extent { range: *start..*end, offset: *offset });
        Image { extents: extents.collect() }
    }

    #[test]
    fn any_part_of_an_image_can_be_written_back() {
        let source: Vec<u8> = (0..64).map(|i| i + 1).collect();
        let image = image(&[(8, 16, 0), (16, 24, 32), (40, 48, 8)]);
        let mut whole = [0; 64];
        whole[8..16].copy_from_slice(&source[..8]);
        whole[16..24].copy_from_slice(&source[32..40]);
        whole[40..48].copy_from_slice(&source[8..16]);
        for start in 0..64 {
            for end in start..=64 {
                let mut memory = [0xff; 64];
                // SAFETY: the range is in the array.
                unsafe {
                    image.write(memory.as_mut_ptr(), start..end, &source);
                    assert!(image.is_intact(memory.as_ptr(), start..end, &source));
                }
                let outside = memory[..start].iter().chain(&memory[end..]).all(|byte| *byte == 0xff);
                assert!(outside && memory[start..end] == whole[start..end], "{start}..{end}");
                if start < end {
                    memory[end - 1] ^= 1;
                    // SAFETY: as above.
                    assert!(!unsafe { image.is_intact(memory.as_ptr(), start..end, &source) });
                }
            }
        }
        assert_eq!(image.bytes(), 24);
    }
}
