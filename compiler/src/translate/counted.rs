//! The deterministic stack limit: a function counts the values of its frame
//! while it runs, and traps where that makes too many.
//!
//! The count is in the store context, for the frames of all instances of the
//! store. It is read again where a function returns, rather than kept in a
//! register over all calls: whoever was called has put it back. A function that
//! calls nothing only looks at it, as nobody else sees the count meanwhile.

use super::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Inst, InstBuilder, Value, types};
use wasmc_artifacts::abi::{Trap, vm_header, vm_store_context};

/// A frame that is counted.
pub(super) struct Frame {
    /// Its values.
    values: u32,
    /// The count while the function itself runs.
    claimed: Option<Value>,
    /// The instructions that do nothing but to change the count.
    changes: Vec<Inst>,
}

impl Translator<'_> {
    /// Begins the code of defined function `index`: traps if the frame has
    /// more values than are left, and counts them in.
    pub(super) fn claim_values(&mut self, index: u32) {
        let Some(limit) = self.env.options.deterministic_stack else { return };
        let values = self.env.facts.frame_values[(index - self.env.module.imported_functions) as usize];
        self.counted = Some(Frame { values, claimed: None, changes: Vec::new() });
        let store = self.load_context(self.env.facts.layout.header() + vm_header::store, self.constant_flags());
        let count = self.load_count(store);
        let full = match limit.get().checked_sub(values) {
            Some(most) => {
                let most = self.b.ins().iconst(types::I64, i64::from(most));
                self.b.ins().icmp(IntCC::UnsignedGreaterThan, count, most)
            }
            None => self.b.ins().iconst(types::I8, 1),
        };
        self.b.ins().trapnz(full, trap_code(Trap::StackOverflow));
        let claimed = self.change_count(store, count, i64::from(values));
        self.counted.iter_mut().for_each(|frame| frame.claimed = Some(claimed));
    }

    /// Takes the frames out of the count that an exception has skipped on its
    /// way to this function.
    pub(super) fn restore_values(&mut self) {
        let Some(Frame { claimed: Some(claimed), .. }) = self.counted else { return };
        let flags = self.context_flags();
        let store = self.load_context(self.env.facts.layout.header() + vm_header::store, flags);
        self.b.ins().store(flags, claimed, store, vm_store_context::stack_values);
    }

    /// Takes the frame out of the count; it is about to be left.
    pub(super) fn release_values(&mut self) {
        let Some(Frame { values, .. }) = self.counted else { return };
        // Not as a constant of the instance: such a load would be made once
        // and its result kept for the whole function.
        let flags = self.context_flags();
        let store = self.load_context(self.env.facts.layout.header() + vm_header::store, flags);
        let count = self.load_count(store);
        self.note_change(store);
        self.note_change(count);
        self.change_count(store, count, -i64::from(values));
    }

    /// Makes the function one that does not change the count.
    pub(super) fn keep_count_unchanged(&mut self) {
        for inst in self.counted.take().into_iter().flat_map(|frame| frame.changes) {
            self.b.func.layout.remove_inst(inst);
        }
    }

    fn load_count(&mut self, store: Value) -> Value {
        let flags = self.context_flags();
        self.b.ins().load(types::I64, flags, store, vm_store_context::stack_values)
    }

    /// Changes the count; what it is then.
    fn change_count(&mut self, store: Value, count: Value, by: i64) -> Value {
        let by = self.b.ins().iconst(types::I64, by);
        let changed = self.b.ins().iadd(count, by);
        let flags = self.context_flags();
        let written = self.b.ins().store(flags, changed, store, vm_store_context::stack_values);
        self.note_change(by);
        self.note_change(changed);
        self.counted.iter_mut().for_each(|frame| frame.changes.push(written));
        changed
    }

    /// Notes the instruction that makes `value`.
    fn note_change(&mut self, value: Value) {
        let inst = self.b.func.dfg.value_def(value).inst();
        self.counted.iter_mut().for_each(|frame| frame.changes.extend(inst));
    }
}
