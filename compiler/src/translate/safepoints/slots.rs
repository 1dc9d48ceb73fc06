//! Which place in the frame each reference gets.
//!
//! Hot references keep theirs as long as they are in use; two that are in use
//! at the same time have different ones. Cold ones get one at each safepoint,
//! behind those.

use super::liveness::{Follow, Liveness, Safepoint};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::ir::{self, Block};
use std::collections::HashMap;

/// The places.
pub(super) struct Places {
    /// That of each hot reference.
    pub(super) hot: Vec<Option<u32>>,
    /// The first that cold ones can have.
    first_cold: u32,
    /// How many there are.
    pub(super) count: u32,
}

impl Places {
    /// The references in use at a safepoint, with their places there.
    pub(super) fn at<'a>(&'a self, safepoint: &'a Safepoint) -> impl Iterator<Item = (u32, u32)> + 'a {
        let mut cold = self.first_cold;
        safepoint.live.iter().map(move |reference| {
            let place = self.hot[*reference as usize].unwrap_or_else(|| {
                cold += 1;
                cold - 1
            });
            (*reference, place)
        })
    }

    /// The place of a reference at a safepoint at which it is in use.
    pub(super) fn of(&self, safepoint: &Safepoint, reference: u32) -> u32 {
        let place = self.at(safepoint).find(|(other, _)| *other == reference);
        place.unwrap_or_else(|| unreachable!("the reference is not in use there")).1
    }
}

/// Gives every reference that is used after a call a place.
pub(super) fn assign(func: &ir::Function, domtree: &DominatorTree, follow: &Follow, liveness: &Liveness) -> Places {
    let mut places = Places { hot: vec![None; follow.count()], first_cold: 0, count: 0 };
    // Definitions come before uses in this order, so whatever is in use where
    // a block begins has its place.
    for block in domtree.cfg_rpo() {
        assign_in(func, follow, liveness, *block, &mut places);
    }
    let highest = places.hot.iter().flatten().max();
    places.first_cold = highest.map_or(0, |place| place + 1);
    let cold = |safepoint: &Safepoint| safepoint.live.iter().filter(|r| places.hot[**r as usize].is_none()).count();
    let most = liveness.safepoints.iter().map(cold).max().unwrap_or_default();
    places.count = places.first_cold + most as u32;
    places
}

/// Gives the hot references that a block defines a place.
fn assign_in(func: &ir::Function, follow: &Follow, liveness: &Liveness, block: Block, places: &mut Places) {
    let dfg = &func.dfg;
    let hot = |value| follow.index(value).filter(|reference| liveness.hot[*reference as usize]);
    let defines = |inst| dfg.inst_results(inst).iter().any(|value| hot(*value).is_some());
    let params = dfg.block_params(block).iter().any(|value| hot(*value).is_some());
    if !params && !func.layout.block_insts(block).any(defines) {
        return;
    }
    // Where each is used last, if it is not in use at the end.
    let mut ends: HashMap<u32, usize> = HashMap::new();
    for (position, inst) in (1..).zip(func.layout.block_insts(block)) {
        for value in dfg.inst_values(inst) {
            if let Some(reference) = hot(dfg.resolve_aliases(value)) {
                ends.insert(reference, position);
            }
        }
    }
    let end = |reference: u32| {
        if liveness.is_live_out(block, reference) { usize::MAX } else { ends.get(&reference).copied().unwrap_or(0) }
    };
    let in_use = liveness.live_in(block).iter().filter(|reference| liveness.hot[**reference as usize]);
    let mut active: Vec<u32> = in_use.copied().collect();
    let mut define = |position: usize, reference: u32, active: &mut Vec<u32>| {
        active.retain(|other| end(*other) > position);
        let mut taken: Vec<u32> = active.iter().filter_map(|other| places.hot[*other as usize]).collect();
        taken.sort_unstable();
        let free = (0..).zip(&taken).find(|(place, taken)| place != *taken).map(|(place, _)| place);
        places.hot[reference as usize] = Some(free.unwrap_or(taken.len() as u32));
        active.push(reference);
    };
    for reference in dfg.block_params(block).iter().filter_map(|value| hot(*value)) {
        define(0, reference, &mut active);
    }
    for (position, inst) in (1..).zip(func.layout.block_insts(block)) {
        for reference in dfg.inst_results(inst).iter().filter_map(|value| hot(*value)) {
            define(position, reference, &mut active);
        }
    }
}
