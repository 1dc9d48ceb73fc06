//! Looks that need not be taken each time.
//!
//! Of a short loop that calls nothing, every 256th round is enough to look
//! whether to stop. Which one it is, a number tells that the loop counts by
//! itself: some eight bits of it are 0 in one of 256 rounds, wherever it begins,
//! if it changes by the same amount each time. So this costs one test of a
//! register, and reads nothing.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Value, types};

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
    for look in looks {
        let back: Vec<(Inst, usize)> = branches
            .iter()
            .filter(|(inst, _, block)| *block == look.header && *inst != look.entry)
            .map(|(inst, at, _)| (*inst, *at))
            .collect();
        match counter(func, look.header, &back) {
            Some((value, step)) => {
                let mask = ((1_i64 << BITS) - 1) << step.trailing_zeros();
                let mut pos = FuncCursor::new(func).at_inst(look.branch);
                let bits = pos.ins().band_imm_s(value, mask);
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

/// A parameter of a loop's first block that changes by the same number each
/// time round, and that number.
fn counter(func: &Function, header: Block, back: &[(Inst, usize)]) -> Option<(Value, i64)> {
    let params = func.dfg.block_params(header);
    params.iter().enumerate().find_map(|(at, param)| {
        if !matches!(func.dfg.value_type(*param), types::I32 | types::I64) {
            return None;
        }
        let mut steps = back.iter().map(|branch| step(func, *param, argument(func, *branch, at)?));
        let first = steps.next()??;
        let same = first != 0 && first.trailing_zeros() + BITS < 32 && steps.all(|step| step == Some(first));
        same.then_some((*param, first))
    })
}

/// What a branch passes for the parameter with this number.
fn argument(func: &Function, (inst, destination): (Inst, usize), at: usize) -> Option<Value> {
    let destinations = func.dfg.insts[inst].branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables);
    match destinations.get(destination)?.args(&func.dfg.value_lists).nth(at)? {
        BlockArg::Value(value) => Some(func.dfg.resolve_aliases(value)),
        _ => None,
    }
}

/// By how much `next` is more than `value`, if that is a constant.
fn step(func: &Function, value: Value, next: Value) -> Option<i64> {
    let definition = |value: Value| func.dfg.value_def(func.dfg.resolve_aliases(value)).inst();
    let constant = |value: Value| match func.dfg.insts[definition(value)?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
        _ => None,
    };
    let is_it = |other: Value| func.dfg.resolve_aliases(other) == value;
    match func.dfg.insts[definition(next)?] {
        InstructionData::Binary { opcode: Opcode::Iadd, args: [a, b] } if is_it(a) => constant(b),
        InstructionData::Binary { opcode: Opcode::Iadd, args: [a, b] } if is_it(b) => constant(a),
        InstructionData::Binary { opcode: Opcode::Isub, args: [a, b] } if is_it(a) => constant(b),
        _ => None,
    }
}
