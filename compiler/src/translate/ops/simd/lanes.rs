//! Constants, and operators that move lanes around.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::V128;

/// `splat`, `extract_lane` and `replace_lane`; the words in parentheses say
/// how a lane narrower than an `i32` meets the value stack.
macro_rules! lanes {
    ($($ty:ident: splat $splat:ident($($narrow:ident)?), replace $replace:ident($($reduce:ident)?)
        $(, extract $extract:ident($($extend:ident)?))+;)*) => {
        impl Translator<'_> {
            $(pub(in crate::translate) fn $splat(&mut self) {
                let lane = self.pop();
                $(let lane = self.b.ins().$narrow(types::$ty.lane_type(), lane);)?
                let vector = self.b.ins().splat(types::$ty, lane);
                self.push(vector);
            }

            pub(in crate::translate) fn $replace(&mut self, index: u8) {
                let lane = self.pop();
                let vector = self.pop_vector(types::$ty);
                $(let lane = self.b.ins().$reduce(types::$ty.lane_type(), lane);)?
                let vector = self.b.ins().insertlane(vector, lane, index);
                self.push(vector);
            }

            $(pub(in crate::translate) fn $extract(&mut self, index: u8) {
                let vector = self.pop_vector(types::$ty);
                let lane = self.b.ins().extractlane(vector, index);
                $(let lane = self.b.ins().$extend(types::I32, lane);)?
                self.push(lane);
            })+)*
        }
    };
}

lanes! {
    I8X16: splat visit_i8x16_splat(ireduce), replace visit_i8x16_replace_lane(ireduce),
        extract visit_i8x16_extract_lane_s(sextend), extract visit_i8x16_extract_lane_u(uextend);
    I16X8: splat visit_i16x8_splat(ireduce), replace visit_i16x8_replace_lane(ireduce),
        extract visit_i16x8_extract_lane_s(sextend), extract visit_i16x8_extract_lane_u(uextend);
    I32X4: splat visit_i32x4_splat(), replace visit_i32x4_replace_lane(), extract visit_i32x4_extract_lane();
    I64X2: splat visit_i64x2_splat(), replace visit_i64x2_replace_lane(), extract visit_i64x2_extract_lane();
    F32X4: splat visit_f32x4_splat(), replace visit_f32x4_replace_lane(), extract visit_f32x4_extract_lane();
    F64X2: splat visit_f64x2_splat(), replace visit_f64x2_replace_lane(), extract visit_f64x2_extract_lane();
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_v128_const(&mut self, value: V128) {
        let vector = self.bytes_vector(types::I8X16, value.bytes());
        self.push(vector);
    }

    pub(in crate::translate) fn visit_i8x16_shuffle(&mut self, lanes: [u8; 16]) {
        let (x, y) = self.pop2_vector(types::I8X16);
        if self.is_x86()
            && !self.env.isa.has_x86_pshufb_lowering()
            && let Some(vector) = self.shuffle_without_lookup(x, y, &lanes)
        {
            self.push(vector);
            return;
        }
        let mask = self.b.func.dfg.immediates.push(lanes.as_slice().into());
        let vector = self.b.ins().shuffle(x, y, mask);
        self.push(vector);
    }
}

binary! {
    I8X16: visit_i8x16_swizzle => swizzle;
}
