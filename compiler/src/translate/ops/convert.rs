//! Conversions between number types.

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, types};

macro_rules! convert {
    ($($visit:ident $ins:ident $ty:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let a = self.pop();
                let result = self.b.ins().$ins(types::$ty, a);
                self.push(result);
            }
        )*}
    };
}

macro_rules! reinterpret {
    ($($visit:ident $ty:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let a = self.pop();
                let result = self.b.ins().bitcast(types::$ty, MemFlagsData::new(), a);
                self.push(result);
            }
        )*}
    };
}

/// Sign extension from the low part of an integer.
macro_rules! extend {
    ($($visit:ident $from:ident $to:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self) {
                let a = self.pop();
                let low = self.b.ins().ireduce(types::$from, a);
                let result = self.b.ins().sextend(types::$to, low);
                self.push(result);
            }
        )*}
    };
}

// The conversions to integers trap by themselves where wasm's do.
convert! {
    visit_i32_wrap_i64 ireduce I32;
    visit_i64_extend_i32_s sextend I64;
    visit_i64_extend_i32_u uextend I64;
    visit_i32_trunc_f32_s fcvt_to_sint I32;
    visit_i32_trunc_f32_u fcvt_to_uint I32;
    visit_i32_trunc_f64_s fcvt_to_sint I32;
    visit_i32_trunc_f64_u fcvt_to_uint I32;
    visit_i64_trunc_f32_s fcvt_to_sint I64;
    visit_i64_trunc_f32_u fcvt_to_uint I64;
    visit_i64_trunc_f64_s fcvt_to_sint I64;
    visit_i64_trunc_f64_u fcvt_to_uint I64;
    visit_i32_trunc_sat_f32_s fcvt_to_sint_sat I32;
    visit_i32_trunc_sat_f32_u fcvt_to_uint_sat I32;
    visit_i32_trunc_sat_f64_s fcvt_to_sint_sat I32;
    visit_i32_trunc_sat_f64_u fcvt_to_uint_sat I32;
    visit_i64_trunc_sat_f32_s fcvt_to_sint_sat I64;
    visit_i64_trunc_sat_f32_u fcvt_to_uint_sat I64;
    visit_i64_trunc_sat_f64_s fcvt_to_sint_sat I64;
    visit_i64_trunc_sat_f64_u fcvt_to_uint_sat I64;
    visit_f32_convert_i32_s fcvt_from_sint F32;
    visit_f32_convert_i32_u fcvt_from_uint F32;
    visit_f32_convert_i64_s fcvt_from_sint F32;
    visit_f32_convert_i64_u fcvt_from_uint F32;
    visit_f64_convert_i32_s fcvt_from_sint F64;
    visit_f64_convert_i32_u fcvt_from_uint F64;
    visit_f64_convert_i64_s fcvt_from_sint F64;
    visit_f64_convert_i64_u fcvt_from_uint F64;
    visit_f32_demote_f64 fdemote F32;
    visit_f64_promote_f32 fpromote F64;
}

reinterpret! {
    visit_i32_reinterpret_f32 I32;
    visit_i64_reinterpret_f64 I64;
    visit_f32_reinterpret_i32 F32;
    visit_f64_reinterpret_i64 F64;
}

extend! {
    visit_i32_extend8_s I8 I32;
    visit_i32_extend16_s I16 I32;
    visit_i64_extend8_s I8 I64;
    visit_i64_extend16_s I16 I64;
    visit_i64_extend32_s I32 I64;
}
