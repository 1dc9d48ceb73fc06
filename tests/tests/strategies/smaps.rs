//! What of an address range is in memory, as `/proc/self/smaps` says.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;

/// Bytes of an address range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// In memory, whosesoever.
    pub all: usize,
    /// In memory and this process's own: written, not the file's.
    pub own: usize,
    /// Accessible.
    pub accessible: usize,
}

/// Adds up the mappings that are in the range. One that sticks out of it would
/// make the answer meaningless, unless nothing of it is in memory.
pub fn resident(range: Range<usize>) -> Resident {
    let mut sum = Resident::default();
    let mut inside = false;
    let mut area = 0..0;
    for line in BufReader::new(File::open("/proc/self/smaps").unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap(), words.next().unwrap_or_default());
        if let Some((start, end)) = first.split_once('-').filter(|_| !first.ends_with(':')) {
            let hex = |text| usize::from_str_radix(text, 16).unwrap();
            area = hex(start)..hex(end);
            inside = area.start < range.end && range.start < area.end;
            if inside && second.starts_with('r') {
                sum.accessible += area.end.min(range.end) - area.start.max(range.start);
            }
            continue;
        }
        let bytes = match first {
            "Rss:" | "Anonymous:" if inside => second.parse::<usize>().unwrap() << 10,
            _ => continue,
        };
        let within = range.start <= area.start && area.end <= range.end;
        assert!(within || bytes == 0, "{area:x?} is only partly in {range:x?}");
        if first == "Rss:" { sum.all += bytes } else { sum.own += bytes }
    }
    sum
}

#[test]
fn pages_are_counted_when_they_are_touched() {
    let engine = wasmc_loader::Engine::default();
    let mut store = wasmc_loader::Store::new(&engine, ());
    let memory = wasmc_loader::Memory::new(&mut store, wasmc_loader::MemoryType::new(2, None)).unwrap();
    let start = memory.data_ptr(&store) as usize;
    let whole = start..start + (4 << 30);
    assert_eq!(resident(whole.clone()), Resident { all: 0, own: 0, accessible: 2 << 16 });
    memory.data_mut(&mut store)[70_000] = 1;
    let page = resident(whole.clone()).all;
    assert!((4096..=65_536).contains(&page), "{page}");
    memory.data_mut(&mut store)[0] = 1;
    assert_eq!(resident(whole), Resident { all: 2 * page, own: 2 * page, accessible: 2 << 16 });
}
