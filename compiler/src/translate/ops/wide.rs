//! Wide arithmetic: 128-bit integers as two 64-bit halves, the low one first.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Value, types};

impl Translator<'_> {
    /// Pops two 128-bit integers, the deeper one first.
    fn pop2_pairs(&mut self) -> (Value, Value) {
        let (b_low, b_high) = self.pop2();
        let (a_low, a_high) = self.pop2();
        (self.b.ins().iconcat(a_low, a_high), self.b.ins().iconcat(b_low, b_high))
    }

    fn push_pair(&mut self, value: Value) {
        let (low, high) = self.b.ins().isplit(value);
        self.push(low);
        self.push(high);
    }

    pub(in crate::translate) fn visit_i64_add128(&mut self) {
        let (a, b) = self.pop2_pairs();
        let sum = self.b.ins().iadd(a, b);
        self.push_pair(sum);
    }

    pub(in crate::translate) fn visit_i64_sub128(&mut self) {
        let (a, b) = self.pop2_pairs();
        let difference = self.b.ins().isub(a, b);
        self.push_pair(difference);
    }

    // The product of two extended numbers is one instruction: every target
    // recognises it.
    pub(in crate::translate) fn visit_i64_mul_wide_s(&mut self) {
        let (a, b) = self.pop2();
        let (a, b) = (self.b.ins().sextend(types::I128, a), self.b.ins().sextend(types::I128, b));
        let product = self.b.ins().imul(a, b);
        self.push_pair(product);
    }

    pub(in crate::translate) fn visit_i64_mul_wide_u(&mut self) {
        let (a, b) = self.pop2();
        let (a, b) = (self.b.ins().uextend(types::I128, a), self.b.ins().uextend(types::I128, b));
        let product = self.b.ins().imul(a, b);
        self.push_pair(product);
    }
}
