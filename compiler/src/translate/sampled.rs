//! Looks that need not be taken each time.
//!
//! Of a short loop that calls nothing, every 256th round is enough to look
//! whether to stop. Which one it is, a number tells that the loop counts by
//! itself: some eight bits of it are 0 in one of 256 rounds, wherever it begins,
//! if it changes by the same amount each time. So this costs one test of a
//! register, and reads nothing. The amount may be known at run time only: which
//! bits they are is then computed before the loop, and none are if it is 0.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef, types,
};

/// Bits of the number that are tested.
const BITS: u32 = 8;

/// A place in a loop from which code goes on to look, or past that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Where the loop begins.
    pub(super) header: Block,
    /// How control gets there first.
    pub(super) entry: Inst,
    /// The branch past the look if its condition is not 0; what that is, is to be
    /// found.
    pub(super) branch: Inst,
    /// Where the look is taken.
    pub(super) look: Block,
}

/// By how much a number changes in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Constant(i64),
    /// By as much as this value is, up or down.
    Value(Value),
}

/// Lets looks be taken in some rounds only where there is a number to tell
/// which, and in all others elsewhere.
pub(super) fn sample(func: &mut Function, looks: &[Look]) {
    if looks.is_empty() {
        return;
    }
    let mut branches: Vec<(Inst, usize, Block)> = Vec::new();
    for block in func.layout.blocks() {
        let Some(inst) = func.layout.last_inst(block) else { continue };
        let destinations = func.dfg.insts[inst].branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables);
        for (at, destination) in destinations.iter().enumerate() {
            branches.push((inst, at, destination.block(&func.dfg.value_lists)));
        }
    }
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    for look in looks {
        let back: Vec<(Inst, usize)> = branches
            .iter()
            .filter(|(inst, _, block)| *block == look.header && *inst != look.entry)
            .map(|(inst, at, _)| (*inst, *at))
            .collect();
        match counter(func, &domtree, look.header, &back) {
            Some((value, step)) => {
                let bits = tested(func, look, value, step);
                // Nearly all rounds go straight on.
                func.layout.set_cold(look.look);
                if let InstructionData::Brif { arg, .. } = &mut func.dfg.insts[look.branch] {
                    *arg = bits;
                }
            }
            None => {
                let destination = func.dfg.block_call(look.look, &[]);
                func.dfg.insts[look.branch] = InstructionData::Jump { opcode: Opcode::Jump, destination };
            }
        }
    }
}

/// The bits of a number that are 0 in one of so many rounds.
fn tested(func: &mut Function, look: &Look, value: Value, step: Step) -> Value {
    match step {
        Step::Constant(step) => {
            let mask = ((1_i64 << BITS) - 1) << step.trailing_zeros();
            FuncCursor::new(func).at_inst(look.branch).ins().band_imm_s(value, mask)
        }
        Step::Value(step) => {
            let mut pos = FuncCursor::new(func).at_inst(look.entry);
            let negated = pos.ins().ineg(step);
            let lowest = pos.ins().band(step, negated);
            let above = pos.ins().ishl_imm_u(lowest, i64::from(BITS));
            // Fewer bits where the number has no more.
            let mask = pos.ins().isub(above, lowest);
            FuncCursor::new(func).at_inst(look.branch).ins().band(value, mask)
        }
    }
}

/// A parameter of a loop's first block that changes by the same number each
/// time round, and that number.
fn counter(func: &Function, domtree: &DominatorTree, header: Block, back: &[(Inst, usize)]) -> Option<(Value, Step)> {
    let params = func.dfg.block_params(header);
    let mut found = params.iter().enumerate().filter_map(|(at, param)| {
        if !matches!(func.dfg.value_type(*param), types::I32 | types::I64) {
            return None;
        }
        let mut steps = back.iter().map(|branch| step(func, *param, argument(func, *branch, at)?));
        let first = steps.next()??;
        let counts = match first {
            Step::Constant(step) => step != 0 && step.trailing_zeros() + BITS < 32,
            Step::Value(step) => is_before(func, domtree, header, step),
        };
        (counts && steps.all(|step| step == Some(first))).then_some((*param, first))
    });
    let first = found.next()?;
    // One whose bits need not be computed, if there is any.
    let constant = |(_, step): &(Value, Step)| matches!(step, Step::Constant(_));
    if constant(&first) { Some(first) } else { found.find(constant).or(Some(first)) }
}

/// What a branch passes for the parameter with this number.
fn argument(func: &Function, (inst, destination): (Inst, usize), at: usize) -> Option<Value> {
    let destinations = func.dfg.insts[inst].branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables);
    match destinations.get(destination)?.args(&func.dfg.value_lists).nth(at)? {
        BlockArg::Value(value) => Some(func.dfg.resolve_aliases(value)),
        _ => None,
    }
}

/// Whether a value is there before the loop that begins with `header`. One that
/// is used in the loop is, if it does not come about there.
fn is_before(func: &Function, domtree: &DominatorTree, header: Block, value: Value) -> bool {
    let block = match func.dfg.value_def(value) {
        ValueDef::Result(inst, _) => func.layout.inst_block(inst),
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Union(..) => None,
    };
    block.is_some_and(|block| block != header && domtree.block_dominates(block, header))
}

/// By how much `next` is more or less than `value`.
fn step(func: &Function, value: Value, next: Value) -> Option<Step> {
    let definition = |value: Value| func.dfg.value_def(func.dfg.resolve_aliases(value)).inst();
    let amount = |amount: Value| {
        let amount = func.dfg.resolve_aliases(amount);
        match definition(amount).map(|inst| func.dfg.insts[inst]) {
            Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) => Step::Constant(imm.bits()),
            _ => Step::Value(amount),
        }
    };
    let is_it = |other: Value| func.dfg.resolve_aliases(other) == value;
    match func.dfg.insts[definition(next)?] {
        InstructionData::Binary { opcode: Opcode::Iadd, args: [a, b] } if is_it(a) => Some(amount(b)),
        InstructionData::Binary { opcode: Opcode::Iadd, args: [a, b] } if is_it(b) => Some(amount(a)),
        InstructionData::Binary { opcode: Opcode::Isub, args: [a, b] } if is_it(a) => Some(amount(b)),
        _ => None,
    }
}
