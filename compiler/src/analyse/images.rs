//! Initial contents of memories: active data segments whose place is known,
//! laid out as pages.
//!
//! A run of pages becomes an extent of the artifact, which an instance maps.
//! The pages between extents are zeros that nobody stores, so there is a
//! choice: zeros in the file, or one more mapping in every cold instance. One
//! more mapping costs an instance 2.5 to 5 µs (mapped, accounted for and
//! unmapped again) and the system two of the 65,530 mappings that a Linux
//! process may have; a page of zeros costs 4 KiB of file, once, and where it
//! is written first about 0.3 µs more than one that is not in the file.
//! Hence, in the order of [`lay_out`]:
//!
//! | zeros | stored |
//! |---|---|
//! | up to [`SMALL_GAP`]: between runs, before the first, after the last | always |
//! | up to [`LARGE_GAP`] | smallest first, to come down to [`FEW_EXTENTS`], at most [`FILL`] in all |
//! | more | smallest first, to come down to [`MOST_EXTENTS`] |
//!
//! A memory that is small or nearly full of data thus is a single mapping.

use crate::error::Error;
use crate::options::Options;
use crate::parse::{Expr, ParsedModule, initial_length};
use std::collections::BTreeMap;
use std::ops::Range;

/// So many bytes of zeros are always cheaper than another mapping.
const SMALL_GAP: u64 = 64 << 10;

/// More zeros than these are stored only where there is no other way.
const LARGE_GAP: u64 = 1 << 20;

/// A memory with at most this many extents is not worth filling larger gaps.
const FEW_EXTENTS: usize = 16;

/// A memory has at most this many extents.
const MOST_EXTENTS: usize = 1024;

/// The zeros of a memory that are stored to come down to [`FEW_EXTENTS`] have
/// at most this many bytes.
const FILL: u64 = 64 << 20;

/// All images of a module together have at most this many bytes.
const IMAGE_LIMIT: u64 = 1 << 31;

/// Consecutive pages of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRun {
    /// First byte in the memory.
    pub position: u64,
    /// Contents, a whole number of pages.
    pub bytes: Vec<u8>,
}

/// Where a memory does not start as zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryImage {
    /// Runs of pages, in order.
    pub runs: Vec<PageRun>,
}

/// Pages by number.
type Pages = BTreeMap<u64, Vec<u8>>;

/// The images of all defined memories, and which data segments they contain.
///
/// # Errors
/// [`Error::ImageTooLarge`] beyond [`IMAGE_LIMIT`].
pub(super) fn build(
    module: &ParsedModule<'_>,
    options: &Options,
    evaluate: impl Fn(&Expr) -> Option<u128>,
) -> Result<(Vec<MemoryImage>, Vec<bool>), Error> {
    let page = options.target.page_size();
    let imported = module.imported_memories as usize;
    let mut pages: Vec<Pages> = vec![BTreeMap::new(); module.memories.len()];
    let mut open: Vec<bool> = (0..module.memories.len()).map(|i| i >= imported).collect();
    let mut covered = vec![false; module.data.len()];
    let mut total = 0;
    for (data, covered) in module.data.iter().zip(&mut covered) {
        let Some((memory, offset)) = &data.active else { continue };
        let memory = *memory as usize;
        let length = initial_length(&module.memories[memory]);
        let start = evaluate(offset).map(|start| start as u64);
        let fits = |start: &u64| start.checked_add(data.bytes.len() as u64).is_some_and(|end| end <= length);
        match start.filter(fits).filter(|_| open[memory]) {
            Some(start) => {
                total += write(&mut pages[memory], page, start, data.bytes);
                within_limit(memory, total)?;
                *covered = true;
            }
            // Later segments may overlap this one and must come after it.
            None => open[memory] = false,
        }
    }
    let mut total = 0;
    let mut images = Vec::with_capacity(module.memories.len() - imported);
    for (memory, mut pages) in pages.into_iter().enumerate().skip(imported) {
        // Zeros may have been written over what was there.
        pages.retain(|_, bytes| bytes.iter().any(|byte| *byte != 0));
        let extents = lay_out(pages.keys().copied(), page, initial_length(&module.memories[memory]));
        total += extents.iter().map(|extent| extent.end - extent.start).sum::<u64>();
        within_limit(memory, total)?;
        images.push(MemoryImage { runs: extents.into_iter().map(|extent| run(extent, &pages, page)).collect() });
    }
    Ok((images, covered))
}

fn within_limit(memory: usize, bytes: u64) -> Result<(), Error> {
    if bytes <= IMAGE_LIMIT {
        return Ok(());
    }
    Err(Error::ImageTooLarge { memory: memory as u32, bytes, limit: IMAGE_LIMIT })
}

/// Writes `bytes` at `position`; how many bytes of pages that added.
fn write(pages: &mut Pages, page: u64, mut position: u64, mut bytes: &[u8]) -> u64 {
    let mut added = 0;
    while !bytes.is_empty() {
        let offset = (position % page) as usize;
        let (part, rest) = bytes.split_at(bytes.len().min(page as usize - offset));
        let number = position / page;
        if pages.contains_key(&number) || part.iter().any(|byte| *byte != 0) {
            let content = pages.entry(number).or_insert_with(|| {
                added += page;
                vec![0; page as usize]
            });
            content[offset..offset + part.len()].copy_from_slice(part);
        }
        position += part.len() as u64;
        bytes = rest;
    }
    added
}

/// The extents of a memory of `length` bytes that has something in the pages
/// with these numbers, which ascend.
fn lay_out(numbers: impl Iterator<Item = u64>, page: u64, length: u64) -> Vec<Range<u64>> {
    let mut extents: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        let (start, end) = (number * page, (number + 1) * page);
        match extents.last_mut() {
            Some(last) if start - last.end <= SMALL_GAP => last.end = end,
            _ => extents.push(start..end),
        }
    }
    fill_gaps(&mut extents);
    if let Some(first) = extents.first_mut().filter(|first| first.start <= SMALL_GAP) {
        first.start = 0;
    }
    // Where rounding up overflows, the memory ends where the address space does.
    let length = length.checked_next_multiple_of(page).unwrap_or(u64::MAX / page * page);
    if let Some(last) = extents.last_mut().filter(|last| length - last.end <= SMALL_GAP) {
        last.end = length;
    }
    extents
}

/// Joins extents where there are many.
fn fill_gaps(extents: &mut Vec<Range<u64>>) {
    let mut gaps: Vec<(u64, usize)> =
        extents.windows(2).enumerate().map(|(i, pair)| (pair[1].start - pair[0].end, i + 1)).collect();
    gaps.sort_unstable();
    let (mut count, mut fill) = (extents.len(), FILL);
    let mut joined = vec![false; count];
    for (gap, behind) in gaps {
        let worth_it = count > FEW_EXTENTS && gap <= LARGE_GAP.min(fill);
        if !worth_it && count <= MOST_EXTENTS {
            break;
        }
        joined[behind] = true;
        count -= 1;
        fill = fill.saturating_sub(gap);
    }
    let mut kept: Vec<Range<u64>> = Vec::with_capacity(count);
    for (extent, joined) in extents.drain(..).zip(joined) {
        match kept.last_mut() {
            Some(last) if joined => last.end = extent.end,
            _ => kept.push(extent),
        }
    }
    *extents = kept;
}

/// The contents of an extent.
fn run(extent: Range<u64>, pages: &Pages, page: u64) -> PageRun {
    let mut bytes = vec![0; (extent.end - extent.start) as usize];
    for (number, content) in pages.range(extent.start / page..extent.end / page) {
        let at = (number * page - extent.start) as usize;
        bytes[at..at + content.len()].copy_from_slice(content);
    }
    PageRun { position: extent.start, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    /// First page and number of pages of each extent.
    fn extents(pages: impl IntoIterator<Item = u64>, length: u64) -> Vec<(u64, u64)> {
        let found = lay_out(pages.into_iter(), PAGE, length);
        found.into_iter().map(|extent| (extent.start / PAGE, (extent.end - extent.start) / PAGE)).collect()
    }

    #[test]
    fn zero_pages_are_left_out_of_what_is_written() {
        let mut pages = BTreeMap::new();
        let mut added = write(&mut pages, PAGE, 4090, &[1; 10]);
        added += write(&mut pages, PAGE, 3 * PAGE, &[0; 4096]);
        added += write(&mut pages, PAGE, 4 * PAGE, &[2]);
        assert_eq!(added, 3 * PAGE);
        let run = run(0..5 * PAGE, &pages, PAGE);
        assert_eq!((run.position, run.bytes.len()), (0, 5 * 4096));
        assert_eq!(run.bytes[4090..4100], [1; 10]);
        assert_eq!(run.bytes[4 * 4096], 2);
        assert_eq!(run.bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 12);
    }

    #[test]
    fn a_later_segment_overwrites_an_earlier_one_even_with_zeros() {
        let mut pages = BTreeMap::new();
        write(&mut pages, PAGE, 10, &[7; 4]);
        write(&mut pages, PAGE, 11, &[0, 0]);
        assert_eq!(pages[&0][10..14], [7, 0, 0, 7]);
    }

    #[test]
    fn small_gaps_are_stored_and_others_are_not() {
        assert_eq!(extents([100, 117, 135], 1 << 30), [(100, 18), (135, 1)]);
        assert_eq!(extents([], 1 << 30), []);
        // Before the first run, and after the last one.
        assert_eq!(extents([16, 1000], 1017 * PAGE), [(0, 17), (1000, 17)]);
        assert_eq!(extents([17, 1000], 1018 * PAGE), [(17, 1), (1000, 1)]);
        assert_eq!(extents([2], 65_536), [(0, 16)]);
        // Pages of a memory may be smaller than those of the artifact.
        assert_eq!(extents([0], 1), [(0, 1)]);
        assert_eq!(extents([0, 1 << 40], u64::MAX), [(0, 1), (1 << 40, 1)]);
    }

    #[test]
    fn larger_gaps_are_stored_smallest_first_where_there_are_many() {
        let scattered = |count: u64, stride: u64| (1..=count).map(move |i| i * stride);
        // 127 pages of zeros between them.
        assert_eq!(extents(scattered(16, 128), 1 << 32).len(), 16);
        assert_eq!(extents(scattered(100, 128), 1 << 32).len(), 16);
        // Two gaps are smaller than the others, and one more has to go.
        let mut pages: Vec<u64> = scattered(19, 200).collect();
        pages[10] -= 100;
        pages[14] -= 50;
        let found = extents(pages, 1 << 32);
        assert_eq!(found.len(), 16);
        assert!(found.contains(&(2000, 101)) && found.contains(&(2800, 151)), "{found:?}");
        // Large ones are not.
        assert_eq!(extents(scattered(100, 258), 1 << 32).len(), 100);
        // All 64 MiB of zeros are used up.
        let found = extents(scattered(1000, 129), 1 << 32);
        assert_eq!(found.len(), 1000 - (64 << 20) / (128 << 12));
    }

    #[test]
    fn no_memory_has_more_than_so_many_extents() {
        let found = extents((1..=3000).map(|i| i * 300), 1 << 32);
        assert_eq!(found.len(), MOST_EXTENTS);
        assert_eq!(found.iter().map(|(_, pages)| pages).sum::<u64>(), 3000 + (3000 - 1024) * 299);
    }
}
