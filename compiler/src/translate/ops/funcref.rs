//! Functions as values, and branches on null.
//!
//! A reference to a function is the address of its `VMFuncRef`. A null one is
//! found out where the callee's address is loaded through it: that load faults,
//! and is listed as a trap.

use super::call::Callee;
use crate::translate::handlers::Code;
use crate::translate::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::{Builtin, Trap, vm_func_ref};

impl Translator<'_> {
    pub(in crate::translate) fn visit_call_ref(&mut self, ty: u32) {
        self.makes_calls = true;
        self.look_before_call();
        self.pay();
        let ty = self.type_index(ty);
        let callee = self.reference_callee();
        let args = self.call_args(ty, callee.ctx);
        self.call(ty, Code::At(callee.code), &args);
    }

    pub(in crate::translate) fn visit_return_call_ref(&mut self, ty: u32) {
        self.makes_calls = true;
        self.look_before_call();
        let ty = self.type_index(ty);
        let callee = self.reference_callee();
        self.tail_call(ty, callee);
    }

    /// Pops a reference to a function that is not null.
    fn reference_callee(&mut self) -> Callee {
        let reference = self.pop();
        // A function value never changes.
        let flags = MemFlagsData::trusted().with_readonly();
        let checked = flags.with_trap_code(Some(trap_code(Trap::NullReference)));
        let code = self.b.ins().load(types::I64, checked, reference, vm_func_ref::code);
        let ctx = self.b.ins().load(types::I64, flags, reference, vm_func_ref::ctx);
        Callee { code, ctx }
    }

    /// The address of a function's `VMFuncRef`, which the loader fills in when
    /// it is asked for the first time.
    pub(in crate::translate) fn visit_ref_func(&mut self, function: u32) {
        let layout = &self.env.facts.layout;
        if self.env.module.is_imported_function(function) {
            let reference = self.b.ins().iadd_imm_s(self.vmctx, i64::from(layout.func_import(function)));
            return self.push(reference);
        }
        let slot = self.env.facts.func_refs.binary_search(&function);
        let slot = slot.unwrap_or_else(|_| unreachable!("analysis lists every function that is a value"));
        let place = layout.func_ref(slot as u32);
        let (compute, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(compute);
        self.b.append_block_param(done, types::I64);
        let code = self.load_context(place + vm_func_ref::code, self.context_flags());
        let reference = self.b.ins().iadd_imm_s(self.vmctx, i64::from(place));
        self.b.ins().brif(code, done, &[reference.into()], compute, &[]);
        self.b.seal_block(compute);
        self.b.switch_to_block(compute);
        let function = self.index(function);
        let reference = self.call_builtin_value(Builtin::ref_func, &[function]);
        self.b.ins().jump(done, &[reference.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.push(self.b.block_params(done)[0]);
    }

    pub(in crate::translate) fn visit_ref_as_non_null(&mut self) {
        let reference = self.pop();
        self.b.ins().trapz(reference, trap_code(Trap::NullReference));
        self.push(reference);
    }

    pub(in crate::translate) fn visit_br_on_null(&mut self, depth: u32) {
        let reference = self.pop();
        let null = self.is_null(reference);
        self.branch_if(null, depth);
        self.push(reference);
    }

    pub(in crate::translate) fn visit_br_on_non_null(&mut self, depth: u32) {
        // The label takes the reference, too; where control falls through, it
        // is gone.
        let reference = self.pop();
        self.push(reference);
        let null = self.is_null(reference);
        let some = self.b.ins().bxor_imm_u(null, 1);
        self.branch_if(some, depth);
        self.pop();
    }

    /// Whether a reference is null, as an 8-bit flag.
    pub(super) fn is_null(&mut self, reference: Value) -> Value {
        self.b.ins().icmp_imm_s(IntCC::Equal, reference, 0)
    }
}
