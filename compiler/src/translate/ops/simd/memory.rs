//! Loads and stores of vectors and of single lanes.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Type, types};
use wasmparser::MemArg;

/// Loads of 8 bytes of which each lane is widened.
macro_rules! load_extend {
    ($($visit:ident => $inst:ident;)*) => {
        impl Translator<'_> {
            $(pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let at = self.access(&memarg, 8);
                let vector = self.b.ins().$inst(at.flags, at.base, at.displacement);
                self.push(vector);
            })*
        }
    };
}

load_extend! {
    visit_v128_load8x8_s => sload8x8;
    visit_v128_load8x8_u => uload8x8;
    visit_v128_load16x4_s => sload16x4;
    visit_v128_load16x4_u => uload16x4;
    visit_v128_load32x2_s => sload32x2;
    visit_v128_load32x2_u => uload32x2;
}

/// Operators that share a method, given the memory argument and the row's
/// lane type.
macro_rules! by_lane_type {
    ($($method:ident($($lane:ident)?): $($visit:ident $ty:ident),+;)*) => {
        impl Translator<'_> {
            $(by_lane_type!(@one $method ($($lane)?) $($visit $ty)+);)*
        }
    };
    (@one $method:ident () $($visit:ident $ty:ident)+) => {
        $(pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
            self.$method(&memarg, types::$ty);
        })+
    };
    (@one $method:ident ($lane:ident) $($visit:ident $ty:ident)+) => {
        $(pub(in crate::translate) fn $visit(&mut self, memarg: MemArg, $lane: u8) {
            self.$method(&memarg, types::$ty, $lane);
        })+
    };
}

// Lanes of 32 and 64 bits travel as floats where they only pass through: a
// float is loaded into and stored from a vector register directly.
by_lane_type! {
    load_splat(): visit_v128_load8_splat I8X16, visit_v128_load16_splat I16X8,
        visit_v128_load32_splat F32X4, visit_v128_load64_splat F64X2;
    load_zero(): visit_v128_load32_zero F32X4, visit_v128_load64_zero F64X2;
    load_lane(lane): visit_v128_load8_lane I8X16, visit_v128_load16_lane I16X8,
        visit_v128_load32_lane F32X4, visit_v128_load64_lane F64X2;
    store_lane(lane): visit_v128_store8_lane I8X16, visit_v128_store16_lane I16X8,
        visit_v128_store32_lane F32X4, visit_v128_store64_lane F64X2;
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_v128_load(&mut self, memarg: MemArg) {
        let at = self.access(&memarg, 16);
        let vector = self.b.ins().load(types::I8X16, at.flags, at.base, at.displacement);
        self.push(vector);
    }

    pub(in crate::translate) fn visit_v128_store(&mut self, memarg: MemArg) {
        let vector = self.pop();
        let at = self.access(&memarg, 16);
        self.b.ins().store(at.flags, vector, at.base, at.displacement);
    }

    /// Loads one lane and repeats it.
    fn load_splat(&mut self, memarg: &MemArg, ty: Type) {
        let at = self.access(memarg, ty.lane_type().bytes());
        let lane = self.b.ins().load(ty.lane_type(), at.flags, at.base, at.displacement);
        let vector = self.b.ins().splat(ty, lane);
        self.push(vector);
    }

    /// Loads the first lane; the others are 0.
    fn load_zero(&mut self, memarg: &MemArg, ty: Type) {
        let at = self.access(memarg, ty.lane_type().bytes());
        let lane = self.b.ins().load(ty.lane_type(), at.flags, at.base, at.displacement);
        let vector = self.b.ins().scalar_to_vector(ty, lane);
        self.push(vector);
    }

    /// Replaces one lane by one from memory.
    fn load_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(ty);
        let at = self.access(memarg, ty.lane_type().bytes());
        let value = self.b.ins().load(ty.lane_type(), at.flags, at.base, at.displacement);
        let vector = self.b.ins().insertlane(vector, value, lane);
        self.push(vector);
    }

    /// Stores one lane.
    fn store_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        // SSE4.1 stores an integer lane other than the first in one instruction.
        let ty = if lane != 0 && self.has_sse41() { ty.as_int() } else { ty };
        let vector = self.pop_vector(ty);
        let at = self.access(memarg, ty.lane_type().bytes());
        let value = self.b.ins().extractlane(vector, lane);
        self.b.ins().store(at.flags, value, at.base, at.displacement);
    }
}
