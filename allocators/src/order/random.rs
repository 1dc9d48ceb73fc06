//! Any block, unpredictably.

use super::Order;
use crate::free_list::BlockIndex;
use std::collections::TryReserveError;
use std::fmt;

/// Where random numbers come from. Closures that return one are such sources.
///
/// How unpredictable the blocks are depends on nothing else: for security, take
/// a generator that is seeded by the operating system.
pub trait RandomSource {
    /// 64 random bits.
    fn next_u64(&mut self) -> u64;
}

impl<F: FnMut() -> u64> RandomSource for F {
    fn next_u64(&mut self) -> u64 {
        self()
    }
}

/// Any free block goes out, each with the same probability: whoever gets one
/// cannot tell what lies beside it.
#[derive(Clone)]
pub struct Random<R> {
    source: R,
    free: Vec<BlockIndex>,
    /// By index: where in `free` it is. Means nothing if it is not there.
    places: Vec<u32>,
}

impl<R: RandomSource> Random<R> {
    /// An order without blocks, which will choose as `source` says.
    ///
    /// ```
    /// use std::hash::{BuildHasher, Hasher, RandomState};
    /// use wasmc_allocators::Random;
    ///
    /// // The standard library's only source that the system seeds.
    /// let order = Random::new(|| RandomState::new().build_hasher().finish());
    /// ```
    pub const fn new(source: R) -> Random<R> {
        Random { source, free: Vec::new(), places: Vec::new() }
    }
}

/// A number below `limit`, all of them equally probable.
///
/// The high half of a product is taken, and random numbers in the low half's
/// uneven rest are refused (Lemire, "Fast random integer generation in an
/// interval", 2019). With limits of 32 bits that happens once in four thousand
/// million times; a source that is refused often is stuck, and then any number
/// will do.
fn below(limit: u32, source: &mut impl RandomSource) -> u32 {
    const PATIENCE: usize = 32;
    let limit = u64::from(limit);
    let rest = limit.wrapping_neg() % limit;
    let mut product = 0;
    for _ in 0..PATIENCE {
        product = u128::from(source.next_u64()) * u128::from(limit);
        if product as u64 >= rest {
            break;
        }
    }
    (product >> 64) as u32
}

impl<R: RandomSource> Order for Random<R> {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        let count = count as usize;
        self.free.try_reserve(count.saturating_sub(self.free.len()))?;
        self.places.try_reserve(count.saturating_sub(self.places.len()))?;
        self.places.resize(count.max(self.places.len()), 0);
        Ok(())
    }

    fn insert(&mut self, index: BlockIndex) {
        self.places[index.as_usize()] = self.free.len() as u32;
        self.free.push(index);
    }

    fn take(&mut self) -> Option<BlockIndex> {
        let count = u32::try_from(self.free.len()).ok().filter(|&count| count > 0)?;
        let index = self.free[below(count, &mut self.source) as usize];
        self.remove(index);
        Some(index)
    }

    fn remove(&mut self, index: BlockIndex) {
        let place = self.places[index.as_usize()];
        self.free.swap_remove(place as usize);
        if let Some(moved) = self.free.get(place as usize) {
            self.places[moved.as_usize()] = place;
        }
    }
}

impl<R> fmt::Debug for Random<R> {
    /// Does not show the source, from which the choices could be foretold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").field("free", &self.free.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::below;
    use std::cell::Cell;

    #[test]
    fn numbers_of_the_uneven_rest_are_refused() {
        // With a limit of 3 the rest is 1: of 2^64 numbers, 0 is one too many.
        let asked = Cell::new(0);
        let mut source = || {
            asked.set(asked.get() + 1);
            [0, u64::MAX][asked.get() - 1]
        };
        assert_eq!(below(3, &mut source), 2);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_source_that_is_stuck_does_not_hang() {
        assert_eq!(below(3, &mut || 0), 0);
    }

    #[test]
    fn the_choices_share_the_numbers_equally() {
        for limit in [1, 2, 3, 7, 1000, u32::MAX] {
            let part = (1u128 << 64) / u128::from(limit);
            for choice in [0, limit / 2, limit - 1] {
                // Well inside the part of all numbers that leads to a choice.
                let number = (u128::from(choice) * part + part / 2) as u64;
                assert_eq!(below(limit, &mut || number), choice, "of {limit}");
            }
        }
    }
}
