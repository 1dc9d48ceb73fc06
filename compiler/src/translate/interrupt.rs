//! Looking whether to stop, and counting what is done.
//!
//! Code looks at its store's epoch cell and at its fuel in every loop, and in
//! functions that analysis has found, before the first call on each way: who
//! calls nothing cannot go on for long, and a recursion often ends so. The call
//! that it makes if there is something to see keeps all registers, so that all
//! that this costs is a comparison.
//!
//! Fuel is counted as the operators are translated, and taken from the store
//! where it may be looked at: in loops, where code is left, and at calls of what
//! may leave the module or throw. In between it is owed, and how much so depends
//! on the place in the code alone:
//!
//! ```text
//!   owed here ──┬── the first branch to a label says how much is owed there;
//!               └── any other pays the difference, or gets it back, on its way
//! ```
//!
//! so that ways with the same number of operators, or one of two that differ,
//! count nothing by themselves.

use super::control::Kind;
use super::sampled::Look;
use super::{NATIVE_CALL_CONV, Translator};
use crate::analyse::{LoopFact, Watch};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AliasRegionData, Block, BlockArg, Inst, InstBuilder, MemFlagsData, Signature, Value, types,
};
use cranelift_codegen::isa::CallConv;
use wasmc_artifacts::abi::{Builtin, vm_header, vm_store_context};

/// The most operators of a loop in which not each round looks.
const SAMPLED: u32 = 200;

/// The signature of a builtin that keeps all registers.
pub(super) fn keeping_signature() -> Signature {
    debug_assert_ne!(NATIVE_CALL_CONV, CallConv::PreserveAll);
    Signature::new(CallConv::PreserveAll)
}

/// What an operator costs without the work that depends on its operands.
pub(super) const fn cost(visit: &str) -> i64 {
    match visit.as_bytes() {
        b"visit_nop" | b"visit_drop" | b"visit_block" | b"visit_loop" | b"visit_else" | b"visit_end"
        | b"visit_return" | b"visit_unreachable" | b"visit_catch" | b"visit_catch_all" | b"visit_delegate" => 0,
        _ => 1,
    }
}

/// For operators whose work depends on the operand on top of the stack: how
/// many bytes or elements cost as much as an operator, as a power of two.
pub(super) const fn bulk(visit: &str) -> Option<u8> {
    match visit.as_bytes() {
        b"visit_memory_fill" | b"visit_memory_copy" | b"visit_memory_init" => Some(6),
        b"visit_table_fill"
        | b"visit_table_copy"
        | b"visit_table_init"
        | b"visit_table_grow"
        | b"visit_array_new"
        | b"visit_array_new_default"
        | b"visit_array_new_data"
        | b"visit_array_new_elem"
        | b"visit_array_fill"
        | b"visit_array_copy"
        | b"visit_array_init_data"
        | b"visit_array_init_elem" => Some(3),
        _ => None,
    }
}

impl Translator<'_> {
    /// Begins the code of a defined function.
    pub(super) fn begin_watch(&mut self, index: u32) {
        let defined = (index - self.env.module.imported_functions) as usize;
        if let Some(loops) = self.env.facts.calls.loops.get(defined) {
            self.loops = loops.iter();
        }
        match self.env.facts.calls.watched.get(defined) {
            Some(Watch::Entry) => self.look(),
            Some(Watch::Calls) => self.looked = false,
            Some(Watch::No) | None => {}
        }
        if self.env.options.fuel {
            // The call itself.
            self.owed = Some(1);
        }
    }

    /// Looks before a call, if there is a way to here on which nothing has.
    pub(super) fn look_before_call(&mut self) {
        if !self.looked {
            self.looked = true;
            self.pay();
            self.look();
        }
    }

    /// Looks whether to stop. No fuel is owed here.
    pub(super) fn look(&mut self) {
        debug_assert!(self.owed.is_none_or(|owed| owed == 0), "fuel is owed where code looks");
        if self.env.options.epoch {
            self.look_at_epoch();
        }
        if self.env.options.fuel {
            let fuel = match self.fuel_loop {
                Some((_, variable)) => {
                    self.put_fuel_back();
                    self.b.use_var(variable)
                }
                None => self.load_fuel(),
            };
            self.look_at_fuel(fuel);
        }
    }

    /// Looks whether the deadline is over, or a handle has interrupted the code.
    pub(super) fn look_at_epoch(&mut self) {
        let cell = self.load_context(self.env.facts.layout.header() + vm_header::epoch, self.constant_flags());
        let flags = self.context_flags();
        let flag = self.b.ins().load(types::I64, flags, cell, 0);
        // An address is less than all ones, and not less than 0; and this
        // one is in a register.
        let set = self.b.ins().icmp(IntCC::UnsignedLessThan, self.vmctx, flag);
        self.ask_if(set, Builtin::interrupted);
    }

    /// Looks at the beginning of a loop, which control first gets to by `entry`.
    pub(super) fn look_in_loop(&mut self, fact: Option<LoopFact>, header: Block, entry: Inst) {
        let short = |fact: LoopFact| !fact.nests && !fact.leaves && fact.operators <= SAMPLED;
        if !fact.is_some_and(short) {
            // Who comes past the loop has been here too.
            self.looked = true;
            self.top().looked = true;
            return self.look();
        }
        let (look, next) = (self.b.create_block(), self.b.create_block());
        let undecided = self.b.ins().iconst(types::I32, 0);
        let branch = self.b.ins().brif(undecided, next, &[], look, &[]);
        self.b.seal_block(look);
        self.b.switch_to_block(look);
        self.look();
        self.b.ins().jump(next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        self.looks.push(Look { header, entry, branch, look });
    }

    /// Begins a loop, whose frame is the innermost one: if nothing in it calls,
    /// fuel is in a variable there.
    pub(super) fn begin_counting_loop(&mut self, fact: Option<LoopFact>) {
        if self.owed.is_some() && self.fuel_loop.is_none() && fact.is_some_and(|fact| !fact.leaves) {
            let fuel = self.load_fuel();
            let variable = self.b.declare_var(types::I64);
            self.b.def_var(variable, fuel);
            self.fuel_loop = Some((self.frames.len() - 1, variable));
        }
    }

    /// Writes fuel back that is in a variable.
    pub(super) fn put_fuel_back(&mut self) {
        if let Some((_, variable)) = self.fuel_loop {
            let fuel = self.b.use_var(variable);
            self.store_fuel(fuel);
        }
    }

    fn load_fuel(&mut self) -> Value {
        let store = self.store_context();
        let flags = self.fuel_flags();
        self.b.ins().load(types::I64, flags, store, vm_store_context::fuel)
    }

    fn store_fuel(&mut self, fuel: Value) {
        let store = self.store_context();
        let flags = self.fuel_flags();
        self.b.ins().store(flags, fuel, store, vm_store_context::fuel);
    }

    fn look_at_fuel(&mut self, fuel: Value) {
        let none = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, fuel, 0);
        self.ask_if(none, Builtin::out_of_fuel);
    }

    /// Calls a builtin that keeps all registers if `condition` is not 0.
    fn ask_if(&mut self, condition: Value, builtin: Builtin) {
        self.watches = true;
        let (cold, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(condition, cold, &[], next, &[]);
        self.b.seal_block(cold);
        self.b.switch_to_block(cold);
        let flags = self.context_flags();
        let header = self.env.facts.layout.header();
        let table = self.load_context(header + vm_header::builtins, flags);
        let code = self.b.ins().load(types::I64, flags, table, builtin.offset());
        let sig = match self.builtin_signatures.get(&builtin) {
            Some(sig) => *sig,
            None => {
                let sig = self.b.import_signature(keeping_signature());
                self.builtin_signatures.insert(builtin, sig);
                sig
            }
        };
        self.put_fuel_back();
        self.b.ins().call_indirect(sig, code, &[]);
        if let Some((_, variable)) = self.fuel_loop {
            let fuel = self.load_fuel();
            self.b.def_var(variable, fuel);
        }
        self.b.ins().jump(next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    fn store_context(&mut self) -> Value {
        self.load_context(self.env.facts.layout.header() + vm_header::store, self.constant_flags())
    }

    fn fuel_flags(&mut self) -> MemFlagsData {
        let region = *self.fuel_region.get_or_insert_with(|| {
            let data = AliasRegionData { user_id: 9, description: "fuel".into() };
            self.b.func.dfg.alias_regions.insert(data)
        });
        MemFlagsData::trusted().with_alias_region(Some(region))
    }

    /// Takes note of an operator that costs so much.
    pub(super) fn owe(&mut self, cost: i64) {
        if let Some(owed) = &mut self.owed {
            *owed += cost;
        }
    }

    /// Pays for an operator that handles as many bytes or elements as the top of
    /// the stack says, before it begins.
    pub(super) fn pay_for_bulk(&mut self, shift: u8) {
        if self.owed.is_none() {
            return;
        }
        let count = self.peek();
        let count = if self.type_of(count) == types::I32 { self.wide(count) } else { count };
        let owed = self.owed.replace(0).unwrap_or(0);
        let work = self.b.ins().ushr_imm_u(count, i64::from(shift));
        let work = self.b.ins().iadd_imm_s(work, owed);
        let left = self.take_fuel(work);
        self.look_at_fuel(left);
    }

    /// Takes fuel; what is left.
    fn take_fuel(&mut self, units: Value) -> Value {
        if let Some((_, variable)) = self.fuel_loop {
            let fuel = self.b.use_var(variable);
            let left = self.b.ins().isub(fuel, units);
            self.b.def_var(variable, left);
            return left;
        }
        let fuel = self.load_fuel();
        let left = self.b.ins().isub(fuel, units);
        self.store_fuel(left);
        left
    }

    /// Pays as much of what is owed that this much is left to be paid.
    pub(super) fn settle(&mut self, rest: i64) {
        let Some(owed) = self.owed else { return };
        if owed != rest {
            let units = self.b.ins().iconst(types::I64, owed - rest);
            self.take_fuel(units);
            self.owed = Some(rest);
        }
    }

    /// Pays all that is owed.
    pub(super) fn pay(&mut self) {
        self.settle(0);
    }

    /// Pays before a call of function `function`, unless nobody can tell.
    pub(super) fn pay_for_call(&mut self, function: u32) {
        let defined = function.checked_sub(self.env.module.imported_functions);
        let closed = |defined: u32| self.env.facts.calls.closed.get(defined as usize).copied().unwrap_or(false);
        if !defined.is_some_and(closed) {
            self.pay();
        }
    }

    /// What is owed at the label of a frame: as much as is owed now if this is
    /// the first branch to it; nothing where a loop begins.
    pub(super) fn owed_at(&mut self, frame: usize) -> i64 {
        let owed = self.owed.unwrap_or(0);
        let frame = &mut self.frames[frame];
        if matches!(frame.kind, Kind::Loop { .. }) { 0 } else { *frame.owed.get_or_insert(owed) }
    }

    /// Jumps to the label of a frame, on a way that control does not come back
    /// from: what is owed here stays as it is for others.
    pub(super) fn jump_to_label(&mut self, frame: usize, target: Block, args: &[BlockArg]) {
        let owed = self.owed;
        let rest = self.owed_at(frame);
        self.settle(rest);
        if self.ends_fuel_loop(frame) {
            self.put_fuel_back();
        }
        self.b.ins().jump(target, args);
        self.owed = owed;
    }

    /// Whether a branch to the label of a frame leaves the loop in which fuel is
    /// in a variable.
    fn ends_fuel_loop(&self, frame: usize) -> bool {
        self.fuel_loop.is_some_and(|(at, _)| frame < at)
    }

    /// Whether a branch to the label of a frame has to pay.
    pub(super) fn pays_on_way_to(&mut self, frame: usize) -> bool {
        let rest = self.owed_at(frame);
        self.owed.is_some_and(|owed| owed != rest) || self.ends_fuel_loop(frame)
    }
}
