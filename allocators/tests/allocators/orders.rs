//! Each order against a model that is plainly right.

use crate::rng::{ROUNDS, Rng};
use std::collections::BTreeSet;
use wasmc_allocators::{BlockIndex, Fifo, Lifo, Lowest, Order, Random};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lifo,
    Fifo,
    Lowest,
    Random,
}

pub const KINDS: [Kind; 4] = [Kind::Lifo, Kind::Fifo, Kind::Lowest, Kind::Random];

impl Kind {
    pub fn order(self) -> Box<dyn Order + Send> {
        let mut rng = Rng::new(1);
        match self {
            Kind::Lifo => Box::new(Lifo::new()),
            Kind::Fifo => Box::new(Fifo::new()),
            Kind::Lowest => Box::new(Lowest::new()),
            Kind::Random => Box::new(Random::new(move || rng.next())),
        }
    }
}

/// The free indices, in the order in which they became free.
pub struct Model {
    kind: Kind,
    free: Vec<u32>,
}

impl Model {
    pub fn new(kind: Kind) -> Model {
        Model { kind, free: Vec::new() }
    }

    /// Blocks that were never used count as given back in an order that makes
    /// the lowest come first.
    pub fn fill(&mut self, count: u32) {
        self.free = (0..count).collect();
        if self.kind == Kind::Lifo {
            self.free.reverse();
        }
    }

    pub fn free(&self) -> &[u32] {
        &self.free
    }

    pub fn insert(&mut self, index: u32) {
        assert!(!self.free.contains(&index));
        self.free.push(index);
    }

    pub fn remove(&mut self, index: u32) {
        self.free.retain(|&free| free != index);
    }

    /// `taken` was taken; was that the right one?
    pub fn take(&mut self, taken: Option<u32>) {
        let right = match self.kind {
            Kind::Lifo => self.free.last().copied(),
            Kind::Fifo => self.free.first().copied(),
            Kind::Lowest => self.free.iter().min().copied(),
            Kind::Random => self.free.iter().find(|&&free| Some(free) == taken).or(self.free.first()).copied(),
        };
        assert_eq!(taken, right, "{:?} of {:?}", self.kind, self.free);
        taken.into_iter().for_each(|index| self.remove(index));
    }
}

fn follows_its_model(kind: Kind, counts: &[u32], rounds: usize) {
    let mut rng = Rng::new(2);
    let (mut order, mut model) = (kind.order(), Model::new(kind));
    let mut in_use = Vec::new();
    for (step, &count) in counts.iter().enumerate() {
        order.grow(count).unwrap();
        if step == 0 {
            order.fill(count);
            model.fill(count);
        } else {
            // As a growing list does it: what is new is in use.
            in_use.extend(counts[step - 1]..count);
        }
        for _ in 0..rounds {
            match rng.below(7) {
                0..3 => {
                    let taken = order.take().map(BlockIndex::get);
                    model.take(taken);
                    in_use.extend(taken);
                }
                3 if !model.free().is_empty() => {
                    let index = model.free()[rng.below(model.free().len())];
                    order.remove(BlockIndex::new(index));
                    model.remove(index);
                    in_use.push(index);
                }
                _ if !in_use.is_empty() => {
                    let index = in_use.swap_remove(rng.below(in_use.len()));
                    order.insert(BlockIndex::new(index));
                    model.insert(index);
                }
                _ => {}
            }
        }
    }
    while let Some(taken) = order.take() {
        model.take(Some(taken.get()));
    }
    model.take(None);
}

#[test]
fn every_order_follows_its_model() {
    for kind in KINDS {
        for count in [0, 1, 2, 63, 64, 65] {
            follows_its_model(kind, &[count], ROUNDS / 10);
        }
    }
}

#[test]
fn every_order_follows_its_model_while_it_grows() {
    for kind in KINDS {
        follows_its_model(kind, &[0, 1, 2, 3, 64, 65, 66, 129, 200], ROUNDS / 20);
        follows_its_model(kind, &[5, 64, 65], ROUNDS / 20);
    }
}

/// Each level of the bitmap, and its first growth, at sizes around 64 to the
/// powers.
#[test]
fn the_lowest_is_found_among_very_many() {
    let large = if cfg!(miri) { 4200 } else { 300_000 };
    let mut rng = Rng::new(3);
    for first in [0, 1, 64, 4095, 4096, 4097, large] {
        let mut order = Lowest::new();
        order.grow(first).unwrap();
        order.fill(first);
        order.grow(large).unwrap();
        let mut model: BTreeSet<u32> = (0..first).collect();
        for _ in 0..ROUNDS {
            let index = rng.below(large as usize) as u32;
            if model.insert(index) {
                order.insert(BlockIndex::new(index));
            }
            if rng.once_in(2) {
                assert_eq!(order.take().map(BlockIndex::get), model.pop_first());
            }
        }
        while let Some(lowest) = model.pop_first() {
            assert_eq!(order.take(), Some(BlockIndex::new(lowest)));
        }
        assert_eq!(order.take(), None);
    }
}

#[test]
fn a_random_order_gives_every_block_the_same_part_of_the_numbers() {
    const COUNT: u32 = 37;
    for parts in [COUNT, 10 * COUNT] {
        let mut chosen = [0; COUNT as usize];
        for part in 0..parts {
            // From the middle of each part.
            let number = ((u128::from(2 * part + 1) << 63) / u128::from(parts)) as u64;
            let mut order = Random::new(|| number);
            order.grow(COUNT).unwrap();
            order.fill(COUNT);
            chosen[order.take().unwrap().get() as usize] += 1;
        }
        assert_eq!(chosen, [parts / COUNT; COUNT as usize]);
    }
}

/// Nothing that an attacker could use comes out by printing.
#[test]
fn a_random_order_does_not_show_its_source() {
    let order = Random::new(|| 0x5eed);
    assert_eq!(format!("{order:?}"), "Random { free: 0, .. }");
}
