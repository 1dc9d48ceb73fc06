//! Where references are while the collector may run.
//!
//! A call that may collect moves objects, so every reference that is used after
//! it must be in the frame meanwhile, at a place that the artifact lists, and
//! be read again from there. [`expose`] adds the stores, loads and lists to
//! finished CLIF:
//!
//! ```text
//!   hot      a reference that is used after an ordinary call is stored once,
//!            where it is defined, and read again after each such call;
//!   cold     one that is only used after calls in cold blocks (the collector's,
//!            where the heap is full) is stored and read in those blocks. What
//!            comes of it joins the unmoved reference as a block parameter, so
//!            that the way past them has no access to the frame at all.
//! ```
//!
//! After every such call a reference has another name, and each use gets the
//! name that reaches it: static single assignment for several definitions of a
//! value, with block parameters where different ones meet.

mod liveness;
mod slots;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    self, AliasRegionData, Block, BlockArg, Inst, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind,
    UserStackMapEntry, Value, types,
};
use liveness::{Follow, Liveness, Safepoint};
use std::collections::{HashMap, HashSet};

/// Bytes of a reference.
const SIZE: u32 = 4;

/// What translation knows for this pass.
#[derive(Default)]
pub(super) struct Tracked {
    /// Values that are references, for the collector to follow. What is made of
    /// them by joining ways is found out.
    pub(super) references: EntitySet<Value>,
    /// Calls that never collect.
    pub(super) quiet: EntitySet<Inst>,
}

/// Makes the references of a function known at every call that may collect.
pub(super) fn expose(func: &mut ir::Function, tracked: &Tracked) {
    if tracked.references.is_empty() {
        return;
    }
    let cfg = ControlFlowGraph::with_function(func);
    let domtree = DominatorTree::with_function(func, &cfg);
    let follow = Follow::new(func, &domtree, &tracked.references);
    let Some(liveness) = Liveness::new(func, &cfg, &domtree, &follow, &tracked.quiet) else { return };
    let places = slots::assign(func, &domtree, &follow, &liveness);
    let data = AliasRegionData { user_id: 8, description: "frame".into() };
    let region = func.dfg.alias_regions.insert(data);
    let size = places.count * SIZE;
    let slot = func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3));
    let frontiers = frontiers(func, &cfg, &domtree);
    let mut pass = Pass {
        func,
        cfg: &cfg,
        domtree: &domtree,
        follow: &follow,
        liveness: &liveness,
        places: &places,
        slot,
        flags: MemFlagsData::trusted().with_alias_region(Some(region)),
        merges: HashSet::new(),
        reloads: HashMap::new(),
        entries: HashMap::new(),
        pending: Vec::new(),
    };
    pass.find_merges(&frontiers);
    pass.store_hot();
    pass.list_places();
    pass.rename();
    pass.connect();
}

/// For each block those where its definitions meet others.
fn frontiers(func: &ir::Function, cfg: &ControlFlowGraph, domtree: &DominatorTree) -> SecondaryMap<Block, Vec<Block>> {
    let mut frontiers: SecondaryMap<Block, Vec<Block>> = SecondaryMap::new();
    for block in func.layout.blocks().filter(|block| domtree.is_reachable(*block)) {
        let Some(parent) = domtree.idom(block) else { continue };
        let preds: Vec<Block> =
            cfg.pred_iter(block).map(|pred| pred.block).filter(|b| domtree.is_reachable(*b)).collect();
        if preds.len() < 2 {
            continue;
        }
        for pred in preds {
            let mut at = pred;
            while at != parent {
                if frontiers[at].last() != Some(&block) {
                    frontiers[at].push(block);
                }
                match domtree.idom(at) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    frontiers
}

struct Pass<'a> {
    func: &'a mut ir::Function,
    cfg: &'a ControlFlowGraph,
    domtree: &'a DominatorTree,
    follow: &'a Follow,
    liveness: &'a Liveness,
    places: &'a slots::Places,
    slot: StackSlot,
    flags: MemFlagsData,
    /// Blocks where names of a reference meet.
    merges: HashSet<(Block, u32)>,
    /// What was read again after a safepoint, by its number.
    reloads: HashMap<(usize, u32), Value>,
    /// The names that references have where blocks begin.
    entries: HashMap<(Block, u32), Value>,
    /// Block parameters that branches do not provide yet.
    pending: Vec<(Block, u32)>,
}

impl Pass<'_> {
    /// Finds the blocks where names of a reference can meet: the iterated
    /// frontier of those in which it gets another one, as far as it is live.
    fn find_merges(&mut self, frontiers: &SecondaryMap<Block, Vec<Block>>) {
        let mut renamed: Vec<Vec<Block>> = vec![Vec::new(); self.follow.count()];
        for safepoint in &self.liveness.safepoints {
            for reference in &safepoint.live {
                renamed[*reference as usize].push(safepoint.block);
            }
        }
        for (block, references) in &self.liveness.landings {
            for reference in references {
                renamed[*reference as usize].push(*block);
            }
        }
        for (reference, mut blocks) in (0..).zip(renamed) {
            while let Some(block) = blocks.pop() {
                for merge in &frontiers[block] {
                    let meets = self.liveness.is_live_in(*merge, reference) && !self.lands(*merge, reference);
                    if meets && self.merges.insert((*merge, reference)) {
                        blocks.push(*merge);
                    }
                }
            }
        }
    }

    /// Whether a reference is read again at the start of a block, which calls
    /// that end theirs return or unwind to.
    fn lands(&self, block: Block, reference: u32) -> bool {
        self.liveness.landings.get(&block).is_some_and(|live| live.binary_search(&reference).is_ok())
    }

    /// The address of a place in the frame.
    fn place(pos: &mut FuncCursor<'_>, slot: StackSlot, place: u32) -> Value {
        pos.ins().stack_addr(types::I64, slot, (place * SIZE) as i32)
    }

    /// Stores hot references where they are defined.
    fn store_hot(&mut self) {
        for reference in 0..self.follow.count() as u32 {
            let Some(place) = self.places.hot[reference as usize] else { continue };
            let value = self.follow.value(reference);
            let mut pos = match self.func.dfg.value_def(value) {
                ir::ValueDef::Result(inst, _) => FuncCursor::new(self.func).after_inst(inst),
                _ => FuncCursor::new(self.func).at_first_insertion_point(self.follow.block(reference)),
            };
            let address = Self::place(&mut pos, self.slot, place);
            pos.ins().store(self.flags, value, address, 0);
        }
    }

    /// Adds the list of places to every safepoint, and stores what is cold.
    fn list_places(&mut self) {
        for safepoint in &self.liveness.safepoints {
            for (reference, place) in self.places.at(safepoint) {
                let entry = UserStackMapEntry { ty: types::I32, slot: self.slot, offset: place * SIZE };
                self.func.dfg.append_user_stack_map_entry(safepoint.inst, entry);
                if self.places.hot[reference as usize].is_none() {
                    let value = self.follow.value(reference);
                    let mut pos = FuncCursor::new(self.func).at_inst(safepoint.inst);
                    let address = Self::place(&mut pos, self.slot, place);
                    // Renamed with all other uses.
                    pos.ins().store(self.flags, value, address, 0);
                }
            }
        }
    }

    /// The name of a reference after a safepoint.
    fn reload(&mut self, number: usize, reference: u32) -> Value {
        if let Some(name) = self.reloads.get(&(number, reference)) {
            return *name;
        }
        let safepoint = &self.liveness.safepoints[number];
        let place = self.places.of(safepoint, reference);
        let mut pos = FuncCursor::new(self.func).after_inst(safepoint.inst);
        let address = Self::place(&mut pos, self.slot, place);
        let name = pos.ins().load(types::I32, self.flags, address, 0);
        self.reloads.insert((number, reference), name);
        name
    }

    /// The name of a reference at the end of a block, if the block gives it
    /// one.
    fn exit_of(&mut self, block: Block, reference: u32) -> Option<Value> {
        let safepoints = self.liveness.in_block.get(&block).map(Vec::as_slice).unwrap_or_default();
        let last = safepoints.iter().rev().find(|number| self.liveness.safepoints[**number].renames(reference));
        match last {
            Some(number) => Some(self.reload(*number, reference)),
            None => (self.follow.block(reference) == block).then(|| self.follow.value(reference)),
        }
    }

    /// The name of a reference where a block begins, in which it is live.
    fn entry_name(&mut self, block: Block, reference: u32) -> Value {
        let mut path = Vec::new();
        let mut at = block;
        let name = loop {
            if let Some(name) = self.entries.get(&(at, reference)) {
                break *name;
            }
            path.push(at);
            if self.lands(at, reference) {
                let place = self.places.hot[reference as usize].unwrap_or_default();
                let mut pos = FuncCursor::new(self.func).at_first_insertion_point(at);
                let address = Self::place(&mut pos, self.slot, place);
                break pos.ins().load(types::I32, self.flags, address, 0);
            }
            if self.merges.contains(&(at, reference)) {
                self.pending.push((at, reference));
                break self.func.dfg.append_block_param(at, types::I32);
            }
            let Some(parent) = self.domtree.idom(at) else { break self.follow.value(reference) };
            if let Some(name) = self.exit_of(parent, reference) {
                break name;
            }
            at = parent;
        };
        for block in path {
            self.entries.insert((block, reference), name);
        }
        name
    }

    fn exit_name(&mut self, block: Block, reference: u32) -> Value {
        match self.exit_of(block, reference) {
            Some(name) => name,
            None => self.entry_name(block, reference),
        }
    }

    /// Gives every use the name that reaches it.
    fn rename(&mut self) {
        for block in self.domtree.cfg_rpo().copied().collect::<Vec<_>>() {
            let safepoints = self.liveness.in_block.get(&block).cloned().unwrap_or_default();
            let mut passed = 0;
            let mut next = self.func.layout.first_inst(block);
            while let Some(inst) = next {
                self.rename_uses(block, inst, &safepoints[..passed]);
                if safepoints.get(passed).is_some_and(|number| self.liveness.safepoints[*number].inst == inst) {
                    passed += 1;
                }
                next = self.func.layout.next_inst(inst);
            }
        }
    }

    /// Renames the references that an instruction uses, given the safepoints
    /// before it in its block.
    fn rename_uses(&mut self, block: Block, inst: Inst, passed: &[usize]) {
        let values: Vec<Value> = self.func.dfg.inst_values(inst).collect();
        let mut renamed = Vec::with_capacity(values.len());
        let mut changed = false;
        for value in values {
            let value = self.func.dfg.resolve_aliases(value);
            let name = match self.follow.index(value).filter(|index| self.liveness.is_renamed(*index)) {
                Some(reference) => self.name_at(block, reference, passed),
                None => value,
            };
            changed |= name != value;
            renamed.push(name);
        }
        if changed {
            self.func.dfg.overwrite_inst_values(inst, renamed.into_iter());
        }
    }

    fn name_at(&mut self, block: Block, reference: u32, passed: &[usize]) -> Value {
        let last = passed.iter().rev().find(|number| self.liveness.safepoints[**number].renames(reference));
        match last {
            Some(number) => self.reload(*number, reference),
            None if self.follow.block(reference) == block => self.follow.value(reference),
            None => self.entry_name(block, reference),
        }
    }

    /// Provides the new block parameters with names.
    fn connect(&mut self) {
        // In the order of the parameters of each block; more may come up.
        let mut done = 0;
        while let Some((block, reference)) = self.pending.get(done).copied() {
            done += 1;
            for pred in self.cfg.pred_iter(block).collect::<Vec<_>>() {
                let name = if self.domtree.is_reachable(pred.block) {
                    self.exit_name(pred.block, reference)
                } else {
                    self.follow.value(reference)
                };
                let dfg = &mut self.func.dfg;
                for target in
                    dfg.insts[pred.inst].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables)
                {
                    if target.block(&dfg.value_lists) == block {
                        target.append_argument(BlockArg::Value(name), &mut dfg.value_lists);
                    }
                }
            }
        }
    }
}

impl Safepoint {
    /// Whether a reference has another name after it, in its block.
    fn renames(&self, reference: u32) -> bool {
        !self.ends_block && self.live.binary_search(&reference).is_ok()
    }
}
