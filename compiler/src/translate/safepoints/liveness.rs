//! Which values are references, and which of them are used after calls that
//! may collect.

use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{self, Block, BlockArg, Inst, InstructionData, Opcode, Value, types};
use std::collections::{BTreeSet, HashMap};

/// The references of a function, numbered.
pub(super) struct Follow {
    values: Vec<Value>,
    blocks: Vec<Block>,
    numbers: SecondaryMap<Value, PackedOption<Number>>,
}

/// The number of a reference, in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(u32);
cranelift_codegen::entity::entity_impl!(Number);

impl Follow {
    /// Finds them: those that translation knows, and what is made of these
    /// where ways join and in choices.
    pub(super) fn new(func: &ir::Function, domtree: &DominatorTree, known: &EntitySet<Value>) -> Follow {
        let dfg = &func.dfg;
        let mut follow = Follow { values: Vec::new(), blocks: Vec::new(), numbers: SecondaryMap::new() };
        let mut flows: HashMap<Value, Vec<Value>> = HashMap::new();
        let mut definitions: Vec<(Value, Block)> = Vec::new();
        for block in domtree.cfg_rpo() {
            definitions.extend(dfg.block_params(*block).iter().map(|value| (*value, *block)));
            for inst in func.layout.block_insts(*block) {
                definitions.extend(dfg.inst_results(inst).iter().map(|value| (*value, *block)));
                if let InstructionData::Ternary { opcode: Opcode::Select, args } = dfg.insts[inst] {
                    for arg in &args[1..] {
                        flows.entry(dfg.resolve_aliases(*arg)).or_default().push(dfg.first_result(inst));
                    }
                }
                for target in dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
                    let params = dfg.block_params(target.block(&dfg.value_lists));
                    for (arg, param) in target.args(&dfg.value_lists).zip(params) {
                        if let BlockArg::Value(value) = arg {
                            flows.entry(dfg.resolve_aliases(value)).or_default().push(*param);
                        }
                    }
                }
            }
        }
        let mut found: EntitySet<Value> = EntitySet::new();
        let mut work: Vec<Value> = known.iter().map(|value| dfg.resolve_aliases(value)).collect();
        while let Some(value) = work.pop() {
            if dfg.value_type(value) == types::I32 && found.insert(value) {
                work.extend(flows.get(&value).into_iter().flatten().copied());
            }
        }
        for (value, block) in definitions.into_iter().filter(|(value, _)| found.contains(*value)) {
            follow.numbers[value] = Number(follow.values.len() as u32).into();
            follow.values.push(value);
            follow.blocks.push(block);
        }
        follow
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.values.len()
    }

    /// The number of a value, if it is one.
    pub(super) fn index(&self, value: Value) -> Option<u32> {
        self.numbers[value].expand().map(|number| number.0)
    }

    /// The reference with this number.
    pub(super) fn value(&self, reference: u32) -> Value {
        self.values[reference as usize]
    }

    /// The block that defines it.
    pub(super) fn block(&self, reference: u32) -> Block {
        self.blocks[reference as usize]
    }
}

/// A call that may collect while references are in use.
pub(super) struct Safepoint {
    pub(super) inst: Inst,
    pub(super) block: Block,
    /// Whether control goes on in another block.
    pub(super) ends_block: bool,
    /// The references that are used after it, sorted.
    pub(super) live: Vec<u32>,
}

/// Which references are in use where.
pub(super) struct Liveness {
    /// In the order of the blocks, and within each.
    pub(super) safepoints: Vec<Safepoint>,
    /// The numbers of a block's safepoints, in order.
    pub(super) in_block: HashMap<Block, Vec<usize>>,
    /// What is in use at the start of blocks to which calls that end theirs go.
    pub(super) landings: HashMap<Block, Vec<u32>>,
    /// What is used after an ordinary call.
    pub(super) hot: Vec<bool>,
    renamed: Vec<bool>,
    live_in: SecondaryMap<Block, Vec<u32>>,
    live_out: SecondaryMap<Block, Vec<u32>>,
}

impl Liveness {
    /// `None` if no reference is in use at any call.
    pub(super) fn new(
        func: &ir::Function,
        cfg: &ControlFlowGraph,
        domtree: &DominatorTree,
        follow: &Follow,
        quiet: &EntitySet<Inst>,
    ) -> Option<Liveness> {
        let is_safepoint = |inst: Inst| func.dfg.insts[inst].opcode().is_safepoint() && !quiet.contains(inst);
        let blocks = || domtree.cfg_rpo().copied();
        if follow.count() == 0 || !blocks().any(|block| func.layout.block_insts(block).any(is_safepoint)) {
            return None;
        }
        let (live_in, live_out) = spread(func, cfg, domtree, follow);
        let mut all = Liveness {
            safepoints: Vec::new(),
            in_block: HashMap::new(),
            landings: HashMap::new(),
            hot: vec![false; follow.count()],
            renamed: vec![false; follow.count()],
            live_in,
            live_out,
        };
        for block in blocks() {
            if func.layout.block_insts(block).any(is_safepoint) {
                all.scan(func, follow, block, is_safepoint);
            }
        }
        if all.safepoints.is_empty() { None } else { Some(all) }
    }

    /// Notes the safepoints of a block.
    fn scan(&mut self, func: &ir::Function, follow: &Follow, block: Block, is_safepoint: impl Fn(Inst) -> bool) {
        let dfg = &func.dfg;
        let mut live: BTreeSet<u32> = self.live_out[block].iter().copied().collect();
        let mut found = Vec::new();
        let mut next = func.layout.last_inst(block);
        while let Some(inst) = next {
            for result in dfg.inst_results(inst) {
                if let Some(reference) = follow.index(*result) {
                    live.remove(&reference);
                }
            }
            if is_safepoint(inst) && !live.is_empty() {
                let ends_block = Some(inst) == func.layout.last_inst(block);
                found.push(Safepoint { inst, block, ends_block, live: live.iter().copied().collect() });
            }
            for value in dfg.inst_values(inst) {
                live.extend(follow.index(dfg.resolve_aliases(value)));
            }
            next = func.layout.prev_inst(inst);
        }
        for safepoint in found.into_iter().rev() {
            for reference in &safepoint.live {
                self.renamed[*reference as usize] = true;
                self.hot[*reference as usize] |= safepoint.ends_block || !func.layout.is_cold(block);
            }
            if safepoint.ends_block {
                self.note_landings(func, &safepoint);
            }
            self.in_block.entry(block).or_default().push(self.safepoints.len());
            self.safepoints.push(safepoint);
        }
    }

    /// Notes where control goes from a call that ends its block.
    fn note_landings(&mut self, func: &ir::Function, safepoint: &Safepoint) {
        let dfg = &func.dfg;
        for target in dfg.insts[safepoint.inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
            debug_assert!(
                target.args(&dfg.value_lists).all(|arg| arg.as_value().is_none()),
                "what a call passes on when it returns would not be read again"
            );
            let block = target.block(&dfg.value_lists);
            let live = &self.live_in[block];
            self.landings
                .insert(block, live.iter().copied().filter(|r| safepoint.live.binary_search(r).is_ok()).collect());
        }
    }

    /// Whether a reference is in use where a block begins.
    pub(super) fn is_live_in(&self, block: Block, reference: u32) -> bool {
        self.live_in[block].binary_search(&reference).is_ok()
    }

    /// What is in use where a block begins.
    pub(super) fn live_in(&self, block: Block) -> &[u32] {
        &self.live_in[block]
    }

    /// Whether a reference is in use where a block ends.
    pub(super) fn is_live_out(&self, block: Block, reference: u32) -> bool {
        self.live_out[block].binary_search(&reference).is_ok()
    }

    /// Whether a reference is used after a safepoint.
    pub(super) fn is_renamed(&self, reference: u32) -> bool {
        self.renamed[reference as usize]
    }
}

/// What is in use at the start and at the end of every block.
type InUse = (SecondaryMap<Block, Vec<u32>>, SecondaryMap<Block, Vec<u32>>);

/// Follows every reference from its uses up to its definition.
fn spread(func: &ir::Function, cfg: &ControlFlowGraph, domtree: &DominatorTree, follow: &Follow) -> InUse {
    let mut uses: Vec<Vec<Block>> = vec![Vec::new(); follow.count()];
    for block in domtree.cfg_rpo() {
        for inst in func.layout.block_insts(*block) {
            for value in func.dfg.inst_values(inst) {
                let Some(reference) = follow.index(func.dfg.resolve_aliases(value)) else { continue };
                let blocks = &mut uses[reference as usize];
                if follow.block(reference) != *block && blocks.last() != Some(block) {
                    blocks.push(*block);
                }
            }
        }
    }
    let (mut live_in, mut live_out) = InUse::default();
    for (reference, mut work) in (0..).zip(uses) {
        while let Some(block) = work.pop() {
            let list: &mut Vec<u32> = &mut live_in[block];
            if list.last() == Some(&reference) {
                continue;
            }
            list.push(reference);
            for pred in cfg.pred_iter(block).map(|pred| pred.block).filter(|block| domtree.is_reachable(*block)) {
                let list: &mut Vec<u32> = &mut live_out[pred];
                if list.last() != Some(&reference) {
                    list.push(reference);
                }
                if pred != follow.block(reference) {
                    work.push(pred);
                }
            }
        }
    }
    (live_in, live_out)
}
