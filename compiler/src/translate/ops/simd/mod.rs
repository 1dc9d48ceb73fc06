//! SIMD and relaxed SIMD: operators on `v128`.
//!
//! Most operators are one instruction on a lane type, and so one row of a
//! table: `I32X4: visit_i32x4_add => iadd`. The macros below turn the rows
//! into methods; what does not fit a shape is a small function.
//!
//! A value is pushed with the lane type of its producer (see `stack.rs`).
//! Several operators are sequences that the code generator recognises as a
//! whole and turns into one machine instruction (`pmaddwd`, `minps`, ...);
//! where the exact form matters for that, it is said beside the function.

/// One operand, one instruction, a result of the instruction's type.
macro_rules! unary {
    ($($ty:ident: $($visit:ident => $inst:ident),+ $(,)?;)*) => {
        impl $crate::translate::Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                let x = self.pop_vector(types::$ty);
                let result = self.b.ins().$inst(x);
                self.push(result);
            })+)*
        }
    };
}

/// Two operands of one lane type, one instruction.
macro_rules! binary {
    ($($ty:ident: $($visit:ident => $inst:ident),+ $(,)?;)*) => {
        impl $crate::translate::Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                let (x, y) = self.pop2_vector(types::$ty);
                let result = self.b.ins().$inst(x, y);
                self.push(result);
            })+)*
        }
    };
}

/// Operators that share a method, which is called with the constants of the
/// row.
macro_rules! forward {
    ($($method:ident: $($visit:ident ($($constant:expr),+)),+ $(,)?;)*) => {
        impl $crate::translate::Translator<'_> {
            $($(pub(in crate::translate) fn $visit(&mut self) {
                self.$method($($constant),+);
            })+)*
        }
    };
}

mod arith;
mod compare;
mod convert;
mod lanes;
mod memory;
mod relaxed;
mod shuffle;

use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmc_artifacts::abi::Arch;

impl Translator<'_> {
    /// Pops a vector as integer lanes, of the width it has already.
    fn pop_integers(&mut self) -> Value {
        let value = self.pop();
        let ty = self.type_of(value).as_int();
        self.cast_vector(value, ty)
    }

    /// A vector with all bytes 0.
    fn zero_vector(&mut self, ty: Type) -> Value {
        self.bytes_vector(ty, &[0; 16])
    }

    /// A constant vector, its bytes in the order of memory.
    fn bytes_vector(&mut self, ty: Type, bytes: &[u8; 16]) -> Value {
        let constant = self.b.func.dfg.constants.insert(bytes.as_slice().into());
        self.b.ins().vconst(ty, constant)
    }

    /// Whether the target is an x86-64 CPU.
    fn is_x86(&self) -> bool {
        self.env.options.target.arch() == Arch::X86_64
    }

    /// Whether the target has SSE4.1, whose blends, rounding and insertions
    /// are what makes several lowerings worth their while.
    fn has_sse41(&self) -> bool {
        self.env.isa.has_blendv_lowering(types::I8X16)
    }
}
