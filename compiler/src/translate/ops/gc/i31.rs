//! Small integers, identity, and conversions between hierarchies.

use crate::translate::{Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmc_artifacts::abi::descriptor::I31_BIT;
use wasmc_artifacts::abi::{HeapType, RefType, Trap};

impl Translator<'_> {
    pub(in crate::translate) fn visit_ref_eq(&mut self) {
        let (a, b) = self.pop2();
        let same = self.b.ins().icmp(IntCC::Equal, a, b);
        let result = self.b.ins().uextend(types::I32, same);
        self.push(result);
    }

    pub(in crate::translate) fn visit_ref_i31(&mut self) {
        let value = self.pop();
        let shifted = self.b.ins().ishl_imm_u(value, 1);
        let reference = self.b.ins().bor_imm_u(shifted, i64::from(I31_BIT));
        self.define(reference, RefType::new(false, HeapType::I31).into());
        // The collector has nothing to find here.
        self.push(reference);
    }

    /// Pops a small integer, which must not be null.
    fn small_integer(&mut self) -> Value {
        let reference = self.pop();
        if !self.is_non_null(reference) {
            self.b.ins().trapz(reference, trap_code(Trap::NullReference));
            self.learn(reference, RefType::new(false, HeapType::I31));
        }
        reference
    }

    pub(in crate::translate) fn visit_i31_get_s(&mut self) {
        let reference = self.small_integer();
        let value = self.b.ins().sshr_imm_u(reference, 1);
        self.push(value);
    }

    pub(in crate::translate) fn visit_i31_get_u(&mut self) {
        let reference = self.small_integer();
        let value = self.b.ins().ushr_imm_u(reference, 1);
        self.push(value);
    }

    /// Both hierarchies have the same representation.
    pub(in crate::translate) fn visit_any_convert_extern(&mut self) {}

    /// See [`visit_any_convert_extern`](Self::visit_any_convert_extern).
    pub(in crate::translate) fn visit_extern_convert_any(&mut self) {}
}
