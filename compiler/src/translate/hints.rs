//! Branch hints (the custom section `metadata.code.branch_hint`) as code
//! layout: what is only reached by way of a branch that is hinted to be
//! unlikely goes to the end of the function, out of the way of the rest.

use crate::parse::Hint;
use cranelift_codegen::ir::{Block, Function, Inst};
use std::collections::HashSet;

/// The hints for one function, and what became of them so far.
#[derive(Debug, Default)]
pub(super) struct Hints<'a> {
    /// All of the function, in the order of their positions.
    hints: &'a [Hint],
    /// Where the instruction is that is being translated.
    position: u32,
    /// Branches, and which of their destinations is unlikely.
    unlikely: Vec<(Inst, usize)>,
}

impl<'a> Hints<'a> {
    /// The hints of a function.
    pub(super) fn new(hints: &'a [Hint]) -> Self {
        Hints { hints, ..Self::default() }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.hints.is_empty()
    }

    /// Notes that the instruction at this byte of the body comes next.
    pub(super) fn set_position(&mut self, position: u32) {
        self.position = position;
    }

    /// Whether the instruction that is being translated branches, if there is
    /// a hint.
    pub(super) fn taken(&self) -> Option<bool> {
        let at = self.hints.binary_search_by_key(&self.position, |(position, _)| *position).ok()?;
        Some(self.hints[at].1)
    }

    /// Notes that `branch` rarely goes to the destination with this number.
    pub(super) fn note_unlikely(&mut self, branch: Inst, destination: usize) {
        self.unlikely.push((branch, destination));
    }

    /// Marks the blocks as cold that are reached by unlikely ways only.
    pub(super) fn apply(&self, func: &mut Function) {
        if self.unlikely.is_empty() {
            return;
        }
        let likely = self.reached(func);
        let blocks: Vec<Block> = func.layout.blocks().collect();
        for block in blocks {
            if !likely.contains(&block) {
                func.layout.set_cold(block);
            }
        }
    }

    /// The blocks that can be reached without an unlikely branch.
    fn reached(&self, func: &Function) -> HashSet<Block> {
        let mut reached: HashSet<Block> = func.layout.entry_block().into_iter().collect();
        let mut open: Vec<Block> = reached.iter().copied().collect();
        while let Some(block) = open.pop() {
            let Some(branch) = func.layout.last_inst(block) else { continue };
            let destinations =
                func.dfg.insts[branch].branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables);
            for (number, destination) in destinations.iter().enumerate() {
                let block = destination.block(&func.dfg.value_lists);
                if !self.unlikely.contains(&(branch, number)) && reached.insert(block) {
                    open.push(block);
                }
            }
        }
        reached
    }
}
