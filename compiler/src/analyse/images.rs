//! Initial contents of memories: active data segments whose place is known,
//! laid out as pages, zero pages left out.

use crate::error::Error;
use crate::options::Options;
use crate::parse::{Expr, ParsedModule, initial_length};
use std::collections::BTreeMap;

/// Runs of pages with at most this many zero pages between them are joined:
/// mapping one more run costs more than the few zero pages.
const JOIN_PAGES: u64 = 4;

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

/// The images of all defined memories, and which data segments they contain.
///
/// # Errors
/// [`Error::TooLarge`] beyond [`IMAGE_LIMIT`].
pub(super) fn build(
    module: &ParsedModule<'_>,
    options: &Options,
    evaluate: impl Fn(&Expr) -> Option<u128>,
) -> Result<(Vec<MemoryImage>, Vec<bool>), Error> {
    let page = options.target.page_size();
    let imported = module.imported_memories as usize;
    let mut pages: Vec<BTreeMap<u64, Vec<u8>>> = vec![BTreeMap::new(); module.memories.len()];
    let mut open: Vec<bool> = (0..module.memories.len()).map(|i| i >= imported).collect();
    let mut covered = vec![false; module.data.len()];
    let mut total = 0;
    for (data, covered) in module.data.iter().zip(&mut covered) {
        let Some((memory, offset)) = &data.active else { continue };
        let memory = *memory as usize;
        let ty = &module.memories[memory];
        let length = initial_length(ty);
        let start = evaluate(offset).map(|start| start as u64);
        let fits = |start: &u64| start.checked_add(data.bytes.len() as u64).is_some_and(|end| end <= length);
        match start.filter(fits).filter(|_| open[memory]) {
            Some(start) => {
                total += write(&mut pages[memory], page, start, data.bytes);
                if total > IMAGE_LIMIT {
                    return Err(Error::TooLarge {
                        what: "the initial contents of memories in bytes",
                        value: total,
                        limit: IMAGE_LIMIT,
                    });
                }
                *covered = true;
            }
            // Later segments may overlap this one and must come after it.
            None => open[memory] = false,
        }
    }
    let images = pages.into_iter().skip(imported).map(|pages| MemoryImage { runs: join(pages, page) }).collect();
    Ok((images, covered))
}

/// Writes `bytes` at `position`; how many bytes of pages that added.
fn write(pages: &mut BTreeMap<u64, Vec<u8>>, page: u64, mut position: u64, mut bytes: &[u8]) -> u64 {
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

fn join(pages: BTreeMap<u64, Vec<u8>>, page: u64) -> Vec<PageRun> {
    let mut runs: Vec<PageRun> = Vec::new();
    for (number, bytes) in pages {
        let position = number * page;
        match runs.last_mut() {
            Some(run) if position - (run.position + run.bytes.len() as u64) <= JOIN_PAGES * page => {
                run.bytes.resize((position - run.position) as usize, 0);
                run.bytes.extend_from_slice(&bytes);
            }
            _ => runs.push(PageRun { position, bytes }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_pages_are_left_out_and_small_gaps_joined() {
        let mut pages = BTreeMap::new();
        let mut added = write(&mut pages, 4096, 4090, &[1; 10]);
        added += write(&mut pages, 4096, 3 * 4096, &[0; 4096]);
        added += write(&mut pages, 4096, 4 * 4096, &[2]);
        added += write(&mut pages, 4096, 100 * 4096, &[3]);
        assert_eq!(added, 4 * 4096);
        let runs = join(pages, 4096);
        assert_eq!(
            runs.iter().map(|r| (r.position, r.bytes.len())).collect::<Vec<_>>(),
            [(0, 5 * 4096), (100 * 4096, 4096)]
        );
        assert_eq!(runs[0].bytes[4090..4100], [1; 10]);
        assert_eq!(runs[0].bytes[4 * 4096], 2);
    }

    #[test]
    fn a_later_segment_overwrites_an_earlier_one_even_with_zeros() {
        let mut pages = BTreeMap::new();
        write(&mut pages, 4096, 10, &[7; 4]);
        write(&mut pages, 4096, 11, &[0, 0]);
        assert_eq!(pages[&0][10..14], [7, 0, 0, 7]);
    }
}
