//! Relaxed SIMD: the results of some inputs are a choice, and each operator
//! here takes the choice that is fastest on the target. A choice depends on
//! the target's features only, so it is the same everywhere in an artifact.
//!
//! In deterministic mode it is the one of the specification's deterministic
//! profile instead, on every target.

use super::arith::Half::{HighSigned, LowSigned};
use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

forward! {
    relaxed_multiply_add: visit_f32x4_relaxed_madd(types::F32X4), visit_f64x2_relaxed_madd(types::F64X2);
    relaxed_multiply_subtract: visit_f32x4_relaxed_nmadd(types::F32X4), visit_f64x2_relaxed_nmadd(types::F64X2);
    relaxed_lane_select:
        visit_i8x16_relaxed_laneselect(types::I8X16), visit_i16x8_relaxed_laneselect(types::I16X8),
        visit_i32x4_relaxed_laneselect(types::I32X4), visit_i64x2_relaxed_laneselect(types::I64X2);
    relaxed_min: visit_f32x4_relaxed_min(types::F32X4), visit_f64x2_relaxed_min(types::F64X2);
    relaxed_max: visit_f32x4_relaxed_max(types::F32X4), visit_f64x2_relaxed_max(types::F64X2);
}

impl Translator<'_> {
    /// Whether the choice is open.
    fn may_choose(&self) -> bool {
        !self.env.options.relaxed_simd_deterministic
    }

    /// Rounded once where the CPU can do that; a fused multiplication in
    /// software would take a hundred times as long. The deterministic profile
    /// rounds twice.
    fn relaxed_multiply_add(&mut self, ty: Type) {
        let z = self.pop_vector(ty);
        let (x, y) = self.pop2_vector(ty);
        let result = if self.may_choose() && self.env.isa.has_native_fma() {
            self.b.ins().fma(x, y, z)
        } else {
            let product = self.b.ins().fmul(x, y);
            self.b.ins().fadd(product, z)
        };
        self.push(result);
    }

    /// `z - x * y`, rounded as the multiplication with addition.
    fn relaxed_multiply_subtract(&mut self, ty: Type) {
        let z = self.pop_vector(ty);
        let (x, y) = self.pop2_vector(ty);
        let result = if self.may_choose() && self.env.isa.has_native_fma() {
            let x = self.b.ins().fneg(x);
            self.b.ins().fma(x, y, z)
        } else {
            let product = self.b.ins().fmul(x, y);
            self.b.ins().fsub(z, product)
        };
        self.push(result);
    }

    /// Masks that are neither all ones nor all zeros may select by their top
    /// bit, and for 16-bit lanes also by the top bit of each byte.
    fn relaxed_lane_select(&mut self, ty: Type) {
        let ty = if ty == types::I16X8 && self.has_sse41() { types::I8X16 } else { ty };
        let mask = self.pop_vector(ty);
        let (x, y) = self.pop2_vector(ty);
        let result = if self.may_choose() && self.env.isa.has_blendv_lowering(ty) {
            self.b.ins().blendv(mask, x, y)
        } else {
            self.b.ins().bitselect(mask, x, y)
        };
        self.push(result);
    }

    /// For NaNs and zeros of both signs either operand will do, which is what
    /// `minps` gives. Where one NaN pattern is promised, an operand's own NaN
    /// will not do.
    fn relaxed_min(&mut self, ty: Type) {
        let (x, y) = self.pop2_vector(ty);
        let result = if self.may_choose() && self.is_x86() && !self.env.options.canonicalize_nans {
            self.select_if_less(x, y, x, y)
        } else {
            self.b.ins().fmin(x, y)
        };
        self.push(result);
    }

    fn relaxed_max(&mut self, ty: Type) {
        let (x, y) = self.pop2_vector(ty);
        let result = if self.may_choose() && self.is_x86() && !self.env.options.canonicalize_nans {
            self.select_if_less(y, x, x, y)
        } else {
            self.b.ins().fmax(x, y)
        };
        self.push(result);
    }

    /// An index of 16 to 127 may wrap around or give 0.
    pub(in crate::translate) fn visit_i8x16_relaxed_swizzle(&mut self) {
        let (x, indices) = self.pop2_vector(types::I8X16);
        let result = if self.may_choose() && self.env.isa.has_x86_pshufb_lowering() {
            self.b.ins().x86_pshufb(x, indices)
        } else {
            self.b.ins().swizzle(x, indices)
        };
        self.push(result);
    }

    /// NaNs and what does not fit may become the smallest integer.
    pub(in crate::translate) fn visit_i32x4_relaxed_trunc_f32x4_s(&mut self) {
        if self.may_choose() && self.is_x86() {
            let x = self.pop_vector(types::F32X4);
            let result = self.b.ins().x86_cvtt2dq(types::I32X4, x);
            self.push(result);
        } else {
            self.visit_i32x4_trunc_sat_f32x4_s();
        }
    }

    pub(in crate::translate) fn visit_i32x4_relaxed_trunc_f64x2_s_zero(&mut self) {
        if self.may_choose() && self.is_x86() {
            let x = self.pop_vector(types::F64X2);
            let wide = self.b.ins().x86_cvtt2dq(types::I64X2, x);
            let zero = self.zero_vector(types::I64X2);
            let result = self.b.ins().snarrow(wide, zero);
            self.push(result);
        } else {
            self.visit_i32x4_trunc_sat_f64x2_s_zero();
        }
    }

    // Unsigned results that do not fit must be 0 or all ones, for which no
    // sequence shorter than the saturating one is known.
    pub(in crate::translate) fn visit_i32x4_relaxed_trunc_f32x4_u(&mut self) {
        self.visit_i32x4_trunc_sat_f32x4_u();
    }

    pub(in crate::translate) fn visit_i32x4_relaxed_trunc_f64x2_u_zero(&mut self) {
        self.visit_i32x4_trunc_sat_f64x2_u_zero();
    }

    /// The square of the smallest integer may overflow to itself.
    pub(in crate::translate) fn visit_i16x8_relaxed_q15mulr_s(&mut self) {
        let (x, y) = self.pop2_vector(types::I16X8);
        let result = if self.may_choose() && self.env.isa.has_x86_pmulhrsw_lowering() {
            self.b.ins().x86_pmulhrsw(x, y)
        } else {
            self.b.ins().sqmul_round_sat(x, y)
        };
        self.push(result);
    }

    /// Lanes of the second operand beyond 7 bits may count as signed or
    /// unsigned, and the sum of two products may saturate.
    pub(in crate::translate) fn visit_i16x8_relaxed_dot_i8x16_i7x16_s(&mut self) {
        let (x, y) = self.pop2_vector(types::I8X16);
        let result = if !self.may_choose() {
            self.saturated_dot(x, y)
        } else if self.env.isa.has_x86_pmaddubsw_lowering() {
            self.b.ins().x86_pmaddubsw(x, y)
        } else if self.splits_bytes_by_shifts() {
            let ((x_even, x_odd), (y_even, y_odd)) = (self.split_bytes(x), self.split_bytes(y));
            let (even, odd) = (self.b.ins().imul(x_even, y_even), self.b.ins().imul(x_odd, y_odd));
            self.b.ins().iadd(even, odd)
        } else {
            let low = self.multiply_halves(x, y, LowSigned);
            let high = self.multiply_halves(x, y, HighSigned);
            self.b.ins().iadd_pairwise(low, high)
        };
        self.push(result);
    }

    pub(in crate::translate) fn visit_i32x4_relaxed_dot_i8x16_i7x16_add_s(&mut self) {
        let z = self.pop_vector(types::I32X4);
        let (x, y) = self.pop2_vector(types::I8X16);
        let sum = if !self.may_choose() {
            let pairs = self.saturated_dot(x, y);
            self.add_pairs_widened(pairs)
        } else if self.env.isa.has_x86_pmaddubsw_lowering() {
            let pairs = self.b.ins().x86_pmaddubsw(x, y);
            let (low, high) = (self.b.ins().swiden_low(pairs), self.b.ins().swiden_high(pairs));
            self.b.ins().iadd_pairwise(low, high)
        } else if self.splits_bytes_by_shifts() {
            let ((x_even, x_odd), (y_even, y_odd)) = (self.split_bytes(x), self.split_bytes(y));
            let (even, odd) = (self.dot_i16x8(x_even, y_even), self.dot_i16x8(x_odd, y_odd));
            self.b.ins().iadd(even, odd)
        } else {
            // In this form it is one `sdot` on an arm64 that has it.
            let low = self.multiply_halves(x, y, LowSigned);
            let high = self.multiply_halves(x, y, HighSigned);
            let low = self.add_pairs_widened(low);
            let high = self.add_pairs_widened(high);
            self.b.ins().iadd_pairwise(low, high)
        };
        let result = self.b.ins().iadd(sum, z);
        self.push(result);
    }

    /// The sums of pairs of products of signed bytes, saturated: what the
    /// deterministic profile has.
    fn saturated_dot(&mut self, x: Value, y: Value) -> Value {
        let ((x_even, x_odd), (y_even, y_odd)) = (self.split_bytes(x), self.split_bytes(y));
        let (even, odd) = (self.b.ins().imul(x_even, y_even), self.b.ins().imul(x_odd, y_odd));
        self.b.ins().sadd_sat(even, odd)
    }

    /// Adds pairs of signed neighbours in twice their width.
    fn add_pairs_widened(&mut self, x: Value) -> Value {
        let (low, high) = (self.widen(x, LowSigned), self.widen(x, HighSigned));
        self.b.ins().iadd_pairwise(low, high)
    }
}
