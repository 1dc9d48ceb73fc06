//! What this process has of the system.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

/// What this process has of the system at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Mappings: lines of `/proc/self/maps`.
    pub maps: usize,
    /// Open descriptors.
    pub files: usize,
    /// KiB of memory that is no file's.
    pub anonymous: usize,
    /// KiB of address space.
    pub space: usize,
}

impl Usage {
    /// Now.
    pub fn now() -> Usage {
        let field = |path: &str, name: &str| -> usize {
            let text = fs::read_to_string(path).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Usage {
            maps: maps(),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            anonymous: field("/proc/self/smaps_rollup", "Anonymous:"),
            space: field("/proc/self/status", "VmSize:"),
        }
    }

    /// Asserts that since then nothing has become more: memory by no more than
    /// `kib`, and mappings by no more than `maps`.
    #[track_caller]
    pub fn assert_flat(self, maps: usize, kib: usize) {
        let now = Usage::now();
        assert!(now.maps <= self.maps + maps, "mappings: {self:?}, then {now:?}");
        assert_eq!(now.files, self.files, "descriptors: {self:?}, then {now:?}");
        assert!(now.anonymous <= self.anonymous + kib, "memory: {self:?}, then {now:?}");
    }
}

/// Mappings. Reads line by line: all of them would be a piece of heap that
/// changes what is measured.
pub fn maps() -> usize {
    BufReader::new(File::open("/proc/self/maps").unwrap()).split(b'\n').count()
}

/// The most mappings that the system allows.
pub fn most_maps() -> usize {
    fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap()
}

/// Whether so many mappings can be made: some systems allow more than there is
/// memory for.
pub fn maps_can_be_used_up() -> bool {
    let few = most_maps() <= 2 << 20;
    if !few {
        eprintln!("skipped: vm.max_map_count is {}, and a mapping takes some 200 bytes", most_maps());
    }
    few
}

/// Whether a file at this path is mapped.
pub fn is_mapped(path: &std::path::Path) -> bool {
    let path = path.to_str().unwrap();
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| line.contains(path))
}
