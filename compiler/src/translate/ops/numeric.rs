//! Constants, arithmetic and comparison of numbers.

use crate::support::Rounding;
use crate::translate::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, types};

macro_rules! unary {
    ($($visit:ident $ins:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let a = self.pop();
                let result = self.b.ins().$ins(a);
                self.push(result);
            }
        )*}
    };
}

macro_rules! binary {
    ($($visit:ident $ins:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let (a, b) = self.pop2();
                let result = self.b.ins().$ins(a, b);
                self.push(result);
            }
        )*}
    };
}

macro_rules! compare {
    ($($visit:ident $ins:ident $cc:expr;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let (a, b) = self.pop2();
                let flag = self.b.ins().$ins($cc, a, b);
                let result = self.b.ins().uextend(types::I32, flag);
                self.push(result);
            }
        )*}
    };
}

unary! {
    visit_i32_clz clz;
    visit_i32_ctz ctz;
    visit_i32_popcnt popcnt;
    visit_i64_clz clz;
    visit_i64_ctz ctz;
    visit_i64_popcnt popcnt;
    visit_f32_abs fabs;
    visit_f32_neg fneg;
    visit_f32_sqrt sqrt;
    visit_f64_abs fabs;
    visit_f64_neg fneg;
    visit_f64_sqrt sqrt;
}

macro_rules! round {
    ($($visit:ident $rounding:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let a = self.pop();
                let result = self.rounded(Rounding::$rounding, a);
                self.push(result);
            }
        )*}
    };
}

round! {
    visit_f32_ceil Ceil;
    visit_f32_floor Floor;
    visit_f32_trunc Trunc;
    visit_f32_nearest Nearest;
    visit_f64_ceil Ceil;
    visit_f64_floor Floor;
    visit_f64_trunc Trunc;
    visit_f64_nearest Nearest;
}

// Division traps by itself: Cranelift's instructions do so where wasm's do.
binary! {
    visit_i32_add iadd;
    visit_i32_sub isub;
    visit_i32_mul imul;
    visit_i32_div_s sdiv;
    visit_i32_div_u udiv;
    visit_i32_rem_s srem;
    visit_i32_rem_u urem;
    visit_i32_and band;
    visit_i32_or bor;
    visit_i32_xor bxor;
    visit_i32_shl ishl;
    visit_i32_shr_s sshr;
    visit_i32_shr_u ushr;
    visit_i32_rotl rotl;
    visit_i32_rotr rotr;
    visit_i64_add iadd;
    visit_i64_sub isub;
    visit_i64_mul imul;
    visit_i64_div_s sdiv;
    visit_i64_div_u udiv;
    visit_i64_rem_s srem;
    visit_i64_rem_u urem;
    visit_i64_and band;
    visit_i64_or bor;
    visit_i64_xor bxor;
    visit_i64_shl ishl;
    visit_i64_shr_s sshr;
    visit_i64_shr_u ushr;
    visit_i64_rotl rotl;
    visit_i64_rotr rotr;
    visit_f32_add fadd;
    visit_f32_sub fsub;
    visit_f32_mul fmul;
    visit_f32_div fdiv;
    visit_f32_min fmin;
    visit_f32_max fmax;
    visit_f32_copysign fcopysign;
    visit_f64_add fadd;
    visit_f64_sub fsub;
    visit_f64_mul fmul;
    visit_f64_div fdiv;
    visit_f64_min fmin;
    visit_f64_max fmax;
    visit_f64_copysign fcopysign;
}

compare! {
    visit_i32_eq icmp IntCC::Equal;
    visit_i32_ne icmp IntCC::NotEqual;
    visit_i32_lt_s icmp IntCC::SignedLessThan;
    visit_i32_lt_u icmp IntCC::UnsignedLessThan;
    visit_i32_gt_s icmp IntCC::SignedGreaterThan;
    visit_i32_gt_u icmp IntCC::UnsignedGreaterThan;
    visit_i32_le_s icmp IntCC::SignedLessThanOrEqual;
    visit_i32_le_u icmp IntCC::UnsignedLessThanOrEqual;
    visit_i32_ge_s icmp IntCC::SignedGreaterThanOrEqual;
    visit_i32_ge_u icmp IntCC::UnsignedGreaterThanOrEqual;
    visit_i64_eq icmp IntCC::Equal;
    visit_i64_ne icmp IntCC::NotEqual;
    visit_i64_lt_s icmp IntCC::SignedLessThan;
    visit_i64_lt_u icmp IntCC::UnsignedLessThan;
    visit_i64_gt_s icmp IntCC::SignedGreaterThan;
    visit_i64_gt_u icmp IntCC::UnsignedGreaterThan;
    visit_i64_le_s icmp IntCC::SignedLessThanOrEqual;
    visit_i64_le_u icmp IntCC::UnsignedLessThanOrEqual;
    visit_i64_ge_s icmp IntCC::SignedGreaterThanOrEqual;
    visit_i64_ge_u icmp IntCC::UnsignedGreaterThanOrEqual;
    visit_f32_eq fcmp FloatCC::Equal;
    visit_f32_ne fcmp FloatCC::NotEqual;
    visit_f32_lt fcmp FloatCC::LessThan;
    visit_f32_gt fcmp FloatCC::GreaterThan;
    visit_f32_le fcmp FloatCC::LessThanOrEqual;
    visit_f32_ge fcmp FloatCC::GreaterThanOrEqual;
    visit_f64_eq fcmp FloatCC::Equal;
    visit_f64_ne fcmp FloatCC::NotEqual;
    visit_f64_lt fcmp FloatCC::LessThan;
    visit_f64_gt fcmp FloatCC::GreaterThan;
    visit_f64_le fcmp FloatCC::LessThanOrEqual;
    visit_f64_ge fcmp FloatCC::GreaterThanOrEqual;
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_i32_const(&mut self, value: i32) {
        let value = self.b.ins().iconst(types::I32, i64::from(value as u32));
        self.push(value);
    }

    pub(in crate::translate) fn visit_i64_const(&mut self, value: i64) {
        let value = self.b.ins().iconst(types::I64, value);
        self.push(value);
    }

    pub(in crate::translate) fn visit_f32_const(&mut self, value: wasmparser::Ieee32) {
        let value = self.b.ins().f32const(Ieee32::with_bits(value.bits()));
        self.push(value);
    }

    pub(in crate::translate) fn visit_f64_const(&mut self, value: wasmparser::Ieee64) {
        let value = self.b.ins().f64const(Ieee64::with_bits(value.bits()));
        self.push(value);
    }

    pub(in crate::translate) fn visit_i32_eqz(&mut self) {
        self.equals_zero();
    }

    pub(in crate::translate) fn visit_i64_eqz(&mut self) {
        self.equals_zero();
    }

    fn equals_zero(&mut self) {
        let a = self.pop();
        let ty = self.type_of(a);
        let zero = self.b.ins().iconst(ty, 0);
        let flag = self.b.ins().icmp(IntCC::Equal, a, zero);
        let result = self.b.ins().uextend(types::I32, flag);
        self.push(result);
    }
}
