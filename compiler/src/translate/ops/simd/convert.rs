//! Conversions between lane types.

use crate::support::{self, Rounding};
use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Value, types};

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
        let result = if self.env.isa.has_round() {
            let wide = self.b.ins().fcvt_to_uint_sat(types::I64X2, x);
            let zero = self.zero_vector(types::I64X2);
            self.b.ins().uunarrow(wide, zero)
        } else {
            self.trunc_sat_f64x2_u_by_arithmetic(x)
        };
        self.push(result);
    }

    /// The same without an instruction that rounds. A number below 2^32 added
    /// to 2^52 has its integer part in its low 32 bits.
    fn trunc_sat_f64x2_u_by_arithmetic(&mut self, x: Value) -> Value {
        let largest = support::float(&mut self.b, types::F64X2, f64::from(u32::MAX));
        let exponent = support::float(&mut self.b, types::F64X2, (1u64 << 52) as f64);
        let zero = self.zero_vector(types::F64X2);
        let positive = self.select_if_less(zero, x, x, zero);
        let in_range = self.select_if_less(positive, largest, positive, largest);
        let integer = self.rounded(Rounding::Trunc, in_range);
        let pushed = self.b.ins().fadd(integer, exponent);
        let (pushed, zero) = (self.cast_vector(pushed, types::I8X16), self.zero_vector(types::I8X16));
        let low_halves = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 16, 17, 18, 19];
        let mask = self.b.func.dfg.immediates.push(low_halves.as_slice().into());
        self.b.ins().shuffle(pushed, zero, mask)
    }
}
