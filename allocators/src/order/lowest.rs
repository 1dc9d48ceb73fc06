//! The block with the lowest index.

use super::Order;
use crate::free_list::BlockIndex;
use std::collections::TryReserveError;

/// The free block with the lowest index goes out first: the blocks in use stay
/// together at the start.
///
/// ```text
/// levels[2]                       1                          one word
/// levels[1]        101        ...                            a bit for each word below
/// levels[0]  0110  0000  1000 ...                            a bit for each block: 1 is free
/// ```
///
/// Each step looks at one word of each level, and of 64 times as many blocks
/// there is one level more: three up to 262,144.
#[derive(Debug, Clone)]
pub struct Lowest {
    /// A bit of a higher level is set if any bit of its word below is.
    levels: Vec<Vec<u64>>,
}

const BITS: usize = u64::BITS as usize;

/// Enough for `u32::MAX` blocks.
const MAX_LEVELS: usize = 6;

impl Lowest {
    /// An order without blocks.
    pub const fn new() -> Lowest {
        Lowest { levels: Vec::new() }
    }
}

impl Default for Lowest {
    fn default() -> Lowest {
        Lowest::new()
    }
}

impl Order for Lowest {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        self.levels.try_reserve(MAX_LEVELS.saturating_sub(self.levels.len()))?;
        let mut bits = count as usize;
        for level in 0.. {
            let words = bits.div_ceil(BITS);
            if level == self.levels.len() {
                let mut new = Vec::new();
                new.try_reserve(words)?;
                // What was the highest level so far is one word, to which the
                // first bit of the new level belongs.
                let below = level.checked_sub(1).and_then(|below| self.levels[below].first());
                new.extend(below.map(|&word| u64::from(word != 0)));
                self.levels.push(new);
            }
            let level = &mut self.levels[level];
            level.try_reserve(words.saturating_sub(level.len()))?;
            level.resize(words.max(level.len()), 0);
            if level.len() <= 1 {
                return Ok(());
            }
            bits = level.len();
        }
        Ok(())
    }

    fn insert(&mut self, index: BlockIndex) {
        let mut position = index.as_usize();
        for level in &mut self.levels {
            let word = &mut level[position / BITS];
            let was = *word;
            *word |= 1 << (position % BITS);
            if was != 0 {
                return;
            }
            position /= BITS;
        }
    }

    fn take(&mut self) -> Option<BlockIndex> {
        let mut position = 0;
        for level in self.levels.iter().rev() {
            let word = *level.get(position)?;
            if word == 0 {
                debug_assert!(position == 0, "a bit of a level is set only if its word below has one");
                return None;
            }
            position = position * BITS + word.trailing_zeros() as usize;
        }
        let index = BlockIndex::new(u32::try_from(position).ok()?);
        (!self.levels.is_empty()).then(|| {
            self.remove(index);
            index
        })
    }

    fn remove(&mut self, index: BlockIndex) {
        let mut position = index.as_usize();
        for level in &mut self.levels {
            let word = &mut level[position / BITS];
            *word &= !(1 << (position % BITS));
            if *word != 0 {
                return;
            }
            position /= BITS;
        }
    }
}
