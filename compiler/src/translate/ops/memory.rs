//! Loads, stores, and the size of a memory.

use crate::translate::Translator;
use crate::translate::heap::Access;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmc_artifacts::abi::Builtin;
use wasmparser::MemArg;

/// A load of `$size` bytes: with its type, or with the type it is widened to.
macro_rules! loads {
    ($($visit:ident $size:literal $ins:ident $($ty:ident)?;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let Access { base, displacement, flags } = self.access(&memarg, $size);
                let value = self.b.ins().$ins($(types::$ty,)? flags, base, displacement);
                self.push(value);
            }
        )*}
    };
}

macro_rules! stores {
    ($($visit:ident $size:literal $ins:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let value = self.pop();
                let Access { base, displacement, flags } = self.access(&memarg, $size);
                self.b.ins().$ins(flags, value, base, displacement);
            }
        )*}
    };
}

loads! {
    visit_i32_load 4 load I32;
    visit_i64_load 8 load I64;
    visit_f32_load 4 load F32;
    visit_f64_load 8 load F64;
    visit_i32_load8_s 1 sload8 I32;
    visit_i32_load8_u 1 uload8 I32;
    visit_i32_load16_s 2 sload16 I32;
    visit_i32_load16_u 2 uload16 I32;
    visit_i64_load8_s 1 sload8 I64;
    visit_i64_load8_u 1 uload8 I64;
    visit_i64_load16_s 2 sload16 I64;
    visit_i64_load16_u 2 uload16 I64;
    visit_i64_load32_s 4 sload32;
    visit_i64_load32_u 4 uload32;
}

stores! {
    visit_i32_store 4 store;
    visit_i64_store 8 store;
    visit_f32_store 4 store;
    visit_f64_store 8 store;
    visit_i32_store8 1 istore8;
    visit_i32_store16 2 istore16;
    visit_i64_store8 1 istore8;
    visit_i64_store16 2 istore16;
    visit_i64_store32 4 istore32;
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_memory_size(&mut self, memory: u32) {
        let shift = self.env.module.memories[memory as usize].page_size_log2.unwrap_or(16);
        let bytes = self.current_memory_length(memory);
        let pages = self.b.ins().ushr_imm_u(bytes, i64::from(shift));
        self.push_size(memory, pages);
    }

    pub(in crate::translate) fn visit_memory_grow(&mut self, memory: u32) {
        let delta = self.pop();
        let delta = self.memory_index(memory, delta);
        let index = self.index(memory);
        let old = self.call_builtin_value(Builtin::memory_grow, &[index, delta]);
        self.push_size(memory, old);
    }

    /// Pushes a 64-bit number of pages, or -1, as `memory` counts them.
    fn push_size(&mut self, memory: u32, pages: Value) {
        let index64 = self.env.facts.memories[memory as usize].index64;
        let pages = if index64 { pages } else { self.b.ins().ireduce(types::I32, pages) };
        self.push(pages);
    }
}
