//! What is known about the sizes of memories, on which the code for accesses
//! to them depends.

use crate::options::Options;
use crate::parse::ParsedModule;
use wasmparser::MemoryType;

/// What is known about a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryFact {
    /// Whether indices have 64 bits.
    pub index64: bool,
    /// The length in bytes that it has at least.
    pub least: u64,
    /// The length in bytes that it has at most, `u64::MAX` if that is not a
    /// number.
    pub most: u64,
    /// Whether its length is always a multiple of the target's page size, so
    /// that the first byte which is not accessible is the first one beyond it.
    pub whole_pages: bool,
}

impl MemoryFact {
    fn new(memory: &MemoryType, target_page: u64) -> Self {
        let shift = memory.page_size_log2.unwrap_or(16);
        let bytes = |pages: u64| u64::try_from(u128::from(pages) << shift).unwrap_or(u64::MAX);
        let addressable = if memory.memory64 { u64::MAX } else { 1 << 32 };
        let least = bytes(memory.initial);
        let most = memory.maximum.map_or(u64::MAX, bytes).min(addressable);
        let whole_pages = 1u64 << shift >= target_page || least == most && least % target_page == 0;
        MemoryFact { index64: memory.memory64, least, most, whole_pages }
    }

    /// The length in bytes, if it is always the same. Only a maximum makes it
    /// so: up to that, a host can give a memory more pages than its module asks
    /// for, even if no code grows it.
    pub fn fixed_length(&self) -> Option<u64> {
        (self.least == self.most && self.most != u64::MAX).then_some(self.least)
    }
}

/// The facts of all memories.
pub(super) fn facts(module: &ParsedModule<'_>, options: &Options) -> Vec<MemoryFact> {
    module.memories.iter().map(|memory| MemoryFact::new(memory, options.target.page_size())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(memory64: bool, initial: u64, maximum: Option<u64>, page_size_log2: Option<u32>) -> MemoryFact {
        MemoryFact::new(&MemoryType { memory64, shared: false, initial, maximum, page_size_log2 }, 4096)
    }

    #[test]
    fn lengths_are_bounded_by_limits_and_indices() {
        let memory = fact(false, 1, None, None);
        assert_eq!((memory.least, memory.most, memory.fixed_length()), (65_536, 1 << 32, None));
        let memory = fact(true, 3, Some(3), None);
        assert_eq!((memory.index64, memory.fixed_length()), (true, Some(3 << 16)));
        assert_eq!(fact(true, 0, None, None).most, u64::MAX);
        assert_eq!(fact(false, 65_536, None, None).fixed_length(), Some(1 << 32));
    }

    #[test]
    fn sizes_that_are_no_numbers_are_not_taken_for_small_ones() {
        let memory = fact(true, 1 << 48, Some(1 << 48), None);
        assert_eq!((memory.least, memory.fixed_length()), (u64::MAX, None));
    }

    #[test]
    fn small_pages_leave_slack_unless_the_length_happens_to_fit() {
        assert!(fact(false, 1, None, None).whole_pages);
        assert!(!fact(false, 4096, None, Some(0)).whole_pages);
        assert!(!fact(false, 4095, Some(4095), Some(0)).whole_pages);
        assert!(fact(true, 8192, Some(8192), Some(0)).whole_pages);
        let large = MemoryType { memory64: false, shared: false, initial: 1, maximum: None, page_size_log2: None };
        assert!(MemoryFact::new(&large, 65_536).whole_pages);
    }
}
