//! Conversions between lane types.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, types};

unary! {
    I8X16: visit_i16x8_extend_low_i8x16_s => swiden_low, visit_i16x8_extend_low_i8x16_u => uwiden_low,
        visit_i16x8_extend_high_i8x16_s => swiden_high, visit_i16x8_extend_high_i8x16_u => uwiden_high;
    I16X8: visit_i32x4_extend_low_i16x8_s => swiden_low, visit_i32x4_extend_low_i16x8_u => uwiden_low,
        visit_i32x4_extend_high_i16x8_s => swiden_high, visit_i32x4_extend_high_i16x8_u => uwiden_high;
    I32X4: visit_i64x2_extend_low_i32x4_s => swiden_low, visit_i64x2_extend_low_i32x4_u => uwiden_low,
        visit_i64x2_extend_high_i32x4_s => swiden_high, visit_i64x2_extend_high_i32x4_u => uwiden_high;
    F64X2: visit_f32x4_demote_f64x2_zero => fvdemote;
    F32X4: visit_f64x2_promote_low_f32x4 => fvpromote_low;
}

// Both forms take the lanes as signed; the results are signed or unsigned.
binary! {
    I16X8: visit_i8x16_narrow_i16x8_s => snarrow, visit_i8x16_narrow_i16x8_u => unarrow;
    I32X4: visit_i16x8_narrow_i32x4_s => snarrow, visit_i16x8_narrow_i32x4_u => unarrow;
}

/// Rows of conversions with a lane type to convert to.
macro_rules! convert {
    ($($from:ident => $to:ident: $($visit:ident => $inst:ident),+;)*) => {
        impl Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                let x = self.pop_vector(types::$from);
                let result = self.b.ins().$inst(types::$to, x);
                self.push(result);
            })+)*
        }
    };
}

convert! {
    F32X4 => I32X4: visit_i32x4_trunc_sat_f32x4_s => fcvt_to_sint_sat, visit_i32x4_trunc_sat_f32x4_u => fcvt_to_uint_sat;
    I32X4 => F32X4: visit_f32x4_convert_i32x4_s => fcvt_from_sint, visit_f32x4_convert_i32x4_u => fcvt_from_uint;
}

/// Rows of two steps: what becomes of the operand, and what of that.
macro_rules! steps {
    ($($visit:ident: $from:ident => $first:ident => $second:ident $to:ident;)*) => {
        impl Translator<'_> {
            $(pub(in crate::translate) fn $visit(&mut self) {
                let x = self.pop_vector(types::$from);
                let wide = self.b.ins().$first(x);
                let result = self.b.ins().$second(types::$to, wide);
                self.push(result);
            })*
        }
    };
}

steps! {
    visit_f64x2_convert_low_i32x4_s: I32X4 => swiden_low => fcvt_from_sint F64X2;
    visit_f64x2_convert_low_i32x4_u: I32X4 => uwiden_low => fcvt_from_uint F64X2;
}

// To 64 bits and then narrowed against a constant zero: the code generator
// has these conversions in this form only.
impl Translator<'_> {
    pub(in crate::translate) fn visit_i32x4_trunc_sat_f64x2_s_zero(&mut self) {
        let x = self.pop_vector(types::F64X2);
        let wide = self.b.ins().fcvt_to_sint_sat(types::I64X2, x);
        let zero = self.zero_vector(types::I64X2);
        let result = self.b.ins().snarrow(wide, zero);
        self.push(result);
    }

    pub(in crate::translate) fn visit_i32x4_trunc_sat_f64x2_u_zero(&mut self) {
        let x = self.pop_vector(types::F64X2);
        let wide = self.b.ins().fcvt_to_uint_sat(types::I64X2, x);
        let zero = self.zero_vector(types::I64X2);
        let result = self.b.ins().uunarrow(wide, zero);
        self.push(result);
    }
}
