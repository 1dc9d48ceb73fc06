//! Arithmetic, bitwise operators and shifts.

use crate::support::{self, Rounding};
use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

unary! {
    I8X16: visit_i8x16_abs => iabs, visit_i8x16_neg => ineg, visit_i8x16_popcnt => popcnt;
    I16X8: visit_i16x8_abs => iabs, visit_i16x8_neg => ineg;
    I32X4: visit_i32x4_abs => iabs, visit_i32x4_neg => ineg;
    I64X2: visit_i64x2_abs => iabs, visit_i64x2_neg => ineg;
    F32X4: visit_f32x4_abs => fabs, visit_f32x4_neg => fneg, visit_f32x4_sqrt => sqrt;
    F64X2: visit_f64x2_abs => fabs, visit_f64x2_neg => fneg, visit_f64x2_sqrt => sqrt;
}

binary! {
    I8X16: visit_i8x16_add => iadd, visit_i8x16_sub => isub,
        visit_i8x16_add_sat_s => sadd_sat, visit_i8x16_add_sat_u => uadd_sat,
        visit_i8x16_sub_sat_s => ssub_sat, visit_i8x16_sub_sat_u => usub_sat,
        visit_i8x16_min_s => smin, visit_i8x16_min_u => umin,
        visit_i8x16_max_s => smax, visit_i8x16_max_u => umax,
        visit_i8x16_avgr_u => avg_round;
    I16X8: visit_i16x8_add => iadd, visit_i16x8_sub => isub, visit_i16x8_mul => imul,
        visit_i16x8_add_sat_s => sadd_sat, visit_i16x8_add_sat_u => uadd_sat,
        visit_i16x8_sub_sat_s => ssub_sat, visit_i16x8_sub_sat_u => usub_sat,
        visit_i16x8_min_s => smin, visit_i16x8_min_u => umin,
        visit_i16x8_max_s => smax, visit_i16x8_max_u => umax,
        visit_i16x8_avgr_u => avg_round, visit_i16x8_q15mulr_sat_s => sqmul_round_sat;
    I32X4: visit_i32x4_add => iadd, visit_i32x4_sub => isub, visit_i32x4_mul => imul,
        visit_i32x4_min_s => smin, visit_i32x4_min_u => umin,
        visit_i32x4_max_s => smax, visit_i32x4_max_u => umax;
    I64X2: visit_i64x2_add => iadd, visit_i64x2_sub => isub, visit_i64x2_mul => imul;
    F32X4: visit_f32x4_add => fadd, visit_f32x4_sub => fsub, visit_f32x4_mul => fmul, visit_f32x4_div => fdiv,
        visit_f32x4_min => fmin, visit_f32x4_max => fmax;
    F64X2: visit_f64x2_add => fadd, visit_f64x2_sub => fsub, visit_f64x2_mul => fmul, visit_f64x2_div => fdiv,
        visit_f64x2_min => fmin, visit_f64x2_max => fmax;
}

/// Shifts of all lanes by one amount, which the instructions take modulo the
/// width of a lane, as WebAssembly wants it.
macro_rules! shift {
    ($($ty:ident: $($visit:ident => $inst:ident),+;)*) => {
        impl Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                let amount = self.pop();
                let x = self.pop_vector(types::$ty);
                let result = self.b.ins().$inst(x, amount);
                self.push(result);
            })+)*
        }
    };
}

shift! {
    I8X16: visit_i8x16_shl => ishl, visit_i8x16_shr_s => sshr, visit_i8x16_shr_u => ushr;
    I16X8: visit_i16x8_shl => ishl, visit_i16x8_shr_s => sshr, visit_i16x8_shr_u => ushr;
    I32X4: visit_i32x4_shl => ishl, visit_i32x4_shr_s => sshr, visit_i32x4_shr_u => ushr;
    I64X2: visit_i64x2_shl => ishl, visit_i64x2_shr_s => sshr, visit_i64x2_shr_u => ushr;
}

/// Bitwise operators keep the lane type of their second operand, so that a
/// mask made by a comparison is still known as one where it is used.
macro_rules! bitwise {
    ($($visit:ident => $inst:ident;)*) => {
        impl Translator<'_> {
            $(pub(in crate::translate) fn $visit(&mut self) {
                let y = self.pop_integers();
                let ty = self.type_of(y);
                let x = self.pop_vector(ty);
                let result = self.b.ins().$inst(x, y);
                self.push(result);
            })*
        }
    };
}

bitwise! {
    visit_v128_and => band;
    visit_v128_andnot => band_not;
    visit_v128_or => bor;
    visit_v128_xor => bxor;
}

/// A half of a vector, its lanes widened.
#[derive(Clone, Copy)]
pub(super) enum Half {
    LowSigned,
    LowUnsigned,
    HighSigned,
    HighUnsigned,
}

use Half::{HighSigned, HighUnsigned, LowSigned, LowUnsigned};

forward! {
    round_lanes:
        visit_f32x4_ceil(types::F32X4, Rounding::Ceil), visit_f64x2_ceil(types::F64X2, Rounding::Ceil),
        visit_f32x4_floor(types::F32X4, Rounding::Floor), visit_f64x2_floor(types::F64X2, Rounding::Floor),
        visit_f32x4_trunc(types::F32X4, Rounding::Trunc), visit_f64x2_trunc(types::F64X2, Rounding::Trunc),
        visit_f32x4_nearest(types::F32X4, Rounding::Nearest), visit_f64x2_nearest(types::F64X2, Rounding::Nearest);
    pseudo_min: visit_f32x4_pmin(types::F32X4), visit_f64x2_pmin(types::F64X2);
    pseudo_max: visit_f32x4_pmax(types::F32X4), visit_f64x2_pmax(types::F64X2);
    extended_multiply:
        visit_i16x8_extmul_low_i8x16_s(types::I8X16, LowSigned),
        visit_i16x8_extmul_low_i8x16_u(types::I8X16, LowUnsigned),
        visit_i16x8_extmul_high_i8x16_s(types::I8X16, HighSigned),
        visit_i16x8_extmul_high_i8x16_u(types::I8X16, HighUnsigned),
        visit_i32x4_extmul_low_i16x8_s(types::I16X8, LowSigned),
        visit_i32x4_extmul_low_i16x8_u(types::I16X8, LowUnsigned),
        visit_i32x4_extmul_high_i16x8_s(types::I16X8, HighSigned),
        visit_i32x4_extmul_high_i16x8_u(types::I16X8, HighUnsigned),
        visit_i64x2_extmul_low_i32x4_s(types::I32X4, LowSigned),
        visit_i64x2_extmul_low_i32x4_u(types::I32X4, LowUnsigned),
        visit_i64x2_extmul_high_i32x4_s(types::I32X4, HighSigned),
        visit_i64x2_extmul_high_i32x4_u(types::I32X4, HighUnsigned);
    extended_pairwise_add:
        visit_i32x4_extadd_pairwise_i16x8_s(types::I16X8, LowSigned, HighSigned),
        visit_i32x4_extadd_pairwise_i16x8_u(types::I16X8, LowUnsigned, HighUnsigned);
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_v128_not(&mut self) {
        let x = self.pop_integers();
        let result = self.b.ins().bnot(x);
        self.push(result);
    }

    pub(in crate::translate) fn visit_v128_bitselect(&mut self) {
        // In the mask's own type: a mask seen to come from a comparison
        // selects whole bytes, which is one instruction.
        let mask = self.pop_integers();
        let (x, y) = self.pop2_vector(self.type_of(mask));
        let result = self.b.ins().bitselect(mask, x, y);
        self.push(result);
    }

    pub(in crate::translate) fn visit_i32x4_dot_i16x8_s(&mut self) {
        let (x, y) = self.pop2_vector(types::I16X8);
        let result = self.dot_i16x8(x, y);
        self.push(result);
    }

    /// The products of pairs of signed lanes, added in pairs: `pmaddwd`.
    pub(super) fn dot_i16x8(&mut self, x: Value, y: Value) -> Value {
        let low = self.multiply_halves(x, y, LowSigned);
        let high = self.multiply_halves(x, y, HighSigned);
        self.b.ins().iadd_pairwise(low, high)
    }

    /// `y < x ? y : x`: the first operand unless the second one is smaller.
    ///
    /// In this form, mask cast to the float type included, it is `minps`.
    fn pseudo_min(&mut self, ty: Type) {
        let (x, y) = self.pop2_vector(ty);
        let result = self.select_if_less(y, x, y, x);
        self.push(result);
    }

    /// `x < y ? y : x`: the first operand unless the second one is larger.
    fn pseudo_max(&mut self, ty: Type) {
        let (x, y) = self.pop2_vector(ty);
        let result = self.select_if_less(x, y, y, x);
        self.push(result);
    }

    fn round_lanes(&mut self, ty: Type, rounding: Rounding) {
        let x = self.pop_vector(ty);
        let result = self.rounded(rounding, x);
        self.push(result);
    }

    /// A float or vector of floats rounded to integers: by an instruction, or
    /// in place by arithmetic, as a call of a support routine for each lane
    /// would cost several times more.
    pub(in crate::translate) fn rounded(&mut self, rounding: Rounding, x: Value) -> Value {
        if !self.env.isa.has_round() {
            return support::round(&mut self.b, rounding, x);
        }
        match rounding {
            Rounding::Ceil => self.b.ins().ceil(x),
            Rounding::Floor => self.b.ins().floor(x),
            Rounding::Trunc => self.b.ins().trunc(x),
            Rounding::Nearest => self.b.ins().nearest(x),
        }
    }

    /// In each lane `yes` if `x < y`, otherwise `no`.
    pub(super) fn select_if_less(&mut self, x: Value, y: Value, yes: Value, no: Value) -> Value {
        let ty = self.type_of(yes);
        let mask = self.b.ins().fcmp(cranelift_codegen::ir::condcodes::FloatCC::LessThan, x, y);
        let mask = self.cast_vector(mask, ty);
        self.b.ins().bitselect(mask, yes, no)
    }

    /// Widens the lanes of one half.
    pub(super) fn widen(&mut self, x: Value, half: Half) -> Value {
        match half {
            LowSigned => self.b.ins().swiden_low(x),
            LowUnsigned => self.b.ins().uwiden_low(x),
            HighSigned => self.b.ins().swiden_high(x),
            HighUnsigned => self.b.ins().uwiden_high(x),
        }
    }

    /// The full products of the lanes of one half.
    pub(super) fn multiply_halves(&mut self, x: Value, y: Value, half: Half) -> Value {
        let (x, y) = (self.widen(x, half), self.widen(y, half));
        self.b.ins().imul(x, y)
    }

    fn extended_multiply(&mut self, from: Type, half: Half) {
        let (x, y) = self.pop2_vector(from);
        let result = self.multiply_halves(x, y, half);
        self.push(result);
    }

    pub(in crate::translate) fn visit_i16x8_extadd_pairwise_i8x16_s(&mut self) {
        if self.splits_bytes_by_shifts() {
            let x = self.pop_vector(types::I8X16);
            let (even, odd) = self.split_bytes(x);
            let result = self.b.ins().iadd(even, odd);
            self.push(result);
        } else {
            self.extended_pairwise_add(types::I8X16, LowSigned, HighSigned);
        }
    }

    pub(in crate::translate) fn visit_i16x8_extadd_pairwise_i8x16_u(&mut self) {
        if self.splits_bytes_by_shifts() {
            let x = self.pop_vector(types::I16X8);
            let low_bytes =
                self.bytes_vector(types::I16X8, &std::array::from_fn(|i| if i % 2 == 0 { 0xff } else { 0 }));
            let even = self.b.ins().band(x, low_bytes);
            let eight = self.b.ins().iconst(types::I32, 8);
            let odd = self.b.ins().ushr(x, eight);
            let result = self.b.ins().iadd(even, odd);
            self.push(result);
        } else {
            self.extended_pairwise_add(types::I8X16, LowUnsigned, HighUnsigned);
        }
    }

    /// Whether `pmaddubsw`, which adds pairs of bytes, is missing, and shifts
    /// within 16-bit lanes are the shortest way to bring them together.
    pub(super) fn splits_bytes_by_shifts(&self) -> bool {
        self.is_x86() && !self.env.isa.has_x86_pmaddubsw_lowering()
    }

    /// The bytes of even and of odd index as signed 16-bit lanes.
    pub(super) fn split_bytes(&mut self, x: Value) -> (Value, Value) {
        let x = self.cast_vector(x, types::I16X8);
        let eight = self.b.ins().iconst(types::I32, 8);
        let even = self.b.ins().ishl(x, eight);
        (self.b.ins().sshr(even, eight), self.b.ins().sshr(x, eight))
    }

    /// Adds pairs of neighbours in twice their width.
    fn extended_pairwise_add(&mut self, from: Type, low: Half, high: Half) {
        let x = self.pop_vector(from);
        let (low, high) = (self.widen(x, low), self.widen(x, high));
        let result = self.b.ins().iadd_pairwise(low, high);
        self.push(result);
    }
}
