//! Comparisons, whose lanes are all ones or all zeros, and tests of a whole
//! vector, whose result is an `i32`.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, types};

/// Rows of comparisons of two vectors.
macro_rules! compare {
    ($($ty:ident $inst:ident $conditions:ident: $($visit:ident $condition:ident),+;)*) => {
        impl Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                use cranelift_codegen::ir::condcodes::$conditions;
                let (x, y) = self.pop2_vector(types::$ty);
                let mask = self.b.ins().$inst($conditions::$condition, x, y);
                self.push(mask);
            })+)*
        }
    };
}

compare! {
    I8X16 icmp IntCC: visit_i8x16_eq Equal, visit_i8x16_ne NotEqual,
        visit_i8x16_lt_s SignedLessThan, visit_i8x16_lt_u UnsignedLessThan,
        visit_i8x16_gt_s SignedGreaterThan, visit_i8x16_gt_u UnsignedGreaterThan,
        visit_i8x16_le_s SignedLessThanOrEqual, visit_i8x16_le_u UnsignedLessThanOrEqual,
        visit_i8x16_ge_s SignedGreaterThanOrEqual, visit_i8x16_ge_u UnsignedGreaterThanOrEqual;
    I16X8 icmp IntCC: visit_i16x8_eq Equal, visit_i16x8_ne NotEqual,
        visit_i16x8_lt_s SignedLessThan, visit_i16x8_lt_u UnsignedLessThan,
        visit_i16x8_gt_s SignedGreaterThan, visit_i16x8_gt_u UnsignedGreaterThan,
        visit_i16x8_le_s SignedLessThanOrEqual, visit_i16x8_le_u UnsignedLessThanOrEqual,
        visit_i16x8_ge_s SignedGreaterThanOrEqual, visit_i16x8_ge_u UnsignedGreaterThanOrEqual;
    I32X4 icmp IntCC: visit_i32x4_eq Equal, visit_i32x4_ne NotEqual,
        visit_i32x4_lt_s SignedLessThan, visit_i32x4_lt_u UnsignedLessThan,
        visit_i32x4_gt_s SignedGreaterThan, visit_i32x4_gt_u UnsignedGreaterThan,
        visit_i32x4_le_s SignedLessThanOrEqual, visit_i32x4_le_u UnsignedLessThanOrEqual,
        visit_i32x4_ge_s SignedGreaterThanOrEqual, visit_i32x4_ge_u UnsignedGreaterThanOrEqual;
    I64X2 icmp IntCC: visit_i64x2_eq Equal, visit_i64x2_ne NotEqual,
        visit_i64x2_lt_s SignedLessThan, visit_i64x2_gt_s SignedGreaterThan,
        visit_i64x2_le_s SignedLessThanOrEqual, visit_i64x2_ge_s SignedGreaterThanOrEqual;
    F32X4 fcmp FloatCC: visit_f32x4_eq Equal, visit_f32x4_ne NotEqual,
        visit_f32x4_lt LessThan, visit_f32x4_gt GreaterThan,
        visit_f32x4_le LessThanOrEqual, visit_f32x4_ge GreaterThanOrEqual;
    F64X2 fcmp FloatCC: visit_f64x2_eq Equal, visit_f64x2_ne NotEqual,
        visit_f64x2_lt LessThan, visit_f64x2_gt GreaterThan,
        visit_f64x2_le LessThanOrEqual, visit_f64x2_ge GreaterThanOrEqual;
}

/// Rows of tests of a vector's lanes.
macro_rules! test {
    ($($ty:ident: $all_true:ident, $bitmask:ident;)*) => {
        impl Translator<'_> {
            $(pub(in crate::translate) fn $all_true(&mut self) {
                let x = self.pop_vector(types::$ty);
                let result = self.b.ins().vall_true(x);
                let result = self.b.ins().uextend(types::I32, result);
                self.push(result);
            }

            pub(in crate::translate) fn $bitmask(&mut self) {
                let x = self.pop_vector(types::$ty);
                let result = self.b.ins().vhigh_bits(types::I32, x);
                self.push(result);
            })*
        }
    };
}

test! {
    I8X16: visit_i8x16_all_true, visit_i8x16_bitmask;
    I16X8: visit_i16x8_all_true, visit_i16x8_bitmask;
    I32X4: visit_i32x4_all_true, visit_i32x4_bitmask;
    I64X2: visit_i64x2_all_true, visit_i64x2_bitmask;
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_v128_any_true(&mut self) {
        let x = self.pop_integers();
        let result = self.b.ins().vany_true(x);
        let result = self.b.ins().uextend(types::I32, result);
        self.push(result);
    }
}
