//! Atomic accesses, fences, waiting and notifying.
//!
//! All of them are sequentially consistent. An address that is not a multiple
//! of the access's size traps, before its bounds are looked at; so an access
//! is never split between cache lines. They are allowed on memories that are
//! not shared too.

use crate::translate::heap::{self, Access};
use crate::translate::{Translator, trap_code};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use wasmc_artifacts::abi::{Arch, Builtin, Trap};
use wasmparser::{MemArg, Ordering};

/// Loads of a type, which zeros extend to another.
macro_rules! loads {
    ($($visit:ident $access:ident $wide:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let (address, flags) = self.atomic_access(&memarg, types::$access);
                let value = self.b.ins().atomic_load(types::$access, flags, address);
                self.push_widened(value, types::$wide);
            }
        )*}
    };
}

/// Stores of the low part of a value.
macro_rules! stores {
    ($($visit:ident $access:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let value = self.pop_narrowed(types::$access);
                let (address, flags) = self.atomic_access(&memarg, types::$access);
                self.atomic_store(flags, value, address);
            }
        )*}
    };
}

/// Operations that read, change and write a part of a value.
macro_rules! updates {
    ($($visit:ident $op:ident $access:ident $wide:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let operand = self.pop_narrowed(types::$access);
                let (address, flags) = self.atomic_access(&memarg, types::$access);
                let old = self.b.ins().atomic_rmw(types::$access, flags, AtomicRmwOp::$op, address, operand);
                self.push_widened(old, types::$wide);
            }
        )*}
    };
}

/// The same that write only if they read what is expected. Of that, as of
/// what is written, only the low part counts.
macro_rules! exchanges {
    ($($visit:ident $access:ident $wide:ident;)*) => {
        impl Translator<'_> {$(
            pub(in crate::translate) fn $visit(&mut self, memarg: MemArg) {
                let replacement = self.pop_narrowed(types::$access);
                let expected = self.pop_narrowed(types::$access);
                let (address, flags) = self.atomic_access(&memarg, types::$access);
                let old = self.b.ins().atomic_cas(flags, address, expected, replacement);
                self.push_widened(old, types::$wide);
            }
        )*}
    };
}

loads! {
    visit_i32_atomic_load I32 I32;
    visit_i64_atomic_load I64 I64;
    visit_i32_atomic_load8_u I8 I32;
    visit_i32_atomic_load16_u I16 I32;
    visit_i64_atomic_load8_u I8 I64;
    visit_i64_atomic_load16_u I16 I64;
    visit_i64_atomic_load32_u I32 I64;
}

stores! {
    visit_i32_atomic_store I32;
    visit_i64_atomic_store I64;
    visit_i32_atomic_store8 I8;
    visit_i32_atomic_store16 I16;
    visit_i64_atomic_store8 I8;
    visit_i64_atomic_store16 I16;
    visit_i64_atomic_store32 I32;
}

updates! {
    visit_i32_atomic_rmw_add Add I32 I32;
    visit_i64_atomic_rmw_add Add I64 I64;
    visit_i32_atomic_rmw8_add_u Add I8 I32;
    visit_i32_atomic_rmw16_add_u Add I16 I32;
    visit_i64_atomic_rmw8_add_u Add I8 I64;
    visit_i64_atomic_rmw16_add_u Add I16 I64;
    visit_i64_atomic_rmw32_add_u Add I32 I64;
    visit_i32_atomic_rmw_sub Sub I32 I32;
    visit_i64_atomic_rmw_sub Sub I64 I64;
    visit_i32_atomic_rmw8_sub_u Sub I8 I32;
    visit_i32_atomic_rmw16_sub_u Sub I16 I32;
    visit_i64_atomic_rmw8_sub_u Sub I8 I64;
    visit_i64_atomic_rmw16_sub_u Sub I16 I64;
    visit_i64_atomic_rmw32_sub_u Sub I32 I64;
    visit_i32_atomic_rmw_and And I32 I32;
    visit_i64_atomic_rmw_and And I64 I64;
    visit_i32_atomic_rmw8_and_u And I8 I32;
    visit_i32_atomic_rmw16_and_u And I16 I32;
    visit_i64_atomic_rmw8_and_u And I8 I64;
    visit_i64_atomic_rmw16_and_u And I16 I64;
    visit_i64_atomic_rmw32_and_u And I32 I64;
    visit_i32_atomic_rmw_or Or I32 I32;
    visit_i64_atomic_rmw_or Or I64 I64;
    visit_i32_atomic_rmw8_or_u Or I8 I32;
    visit_i32_atomic_rmw16_or_u Or I16 I32;
    visit_i64_atomic_rmw8_or_u Or I8 I64;
    visit_i64_atomic_rmw16_or_u Or I16 I64;
    visit_i64_atomic_rmw32_or_u Or I32 I64;
    visit_i32_atomic_rmw_xor Xor I32 I32;
    visit_i64_atomic_rmw_xor Xor I64 I64;
    visit_i32_atomic_rmw8_xor_u Xor I8 I32;
    visit_i32_atomic_rmw16_xor_u Xor I16 I32;
    visit_i64_atomic_rmw8_xor_u Xor I8 I64;
    visit_i64_atomic_rmw16_xor_u Xor I16 I64;
    visit_i64_atomic_rmw32_xor_u Xor I32 I64;
    visit_i32_atomic_rmw_xchg Xchg I32 I32;
    visit_i64_atomic_rmw_xchg Xchg I64 I64;
    visit_i32_atomic_rmw8_xchg_u Xchg I8 I32;
    visit_i32_atomic_rmw16_xchg_u Xchg I16 I32;
    visit_i64_atomic_rmw8_xchg_u Xchg I8 I64;
    visit_i64_atomic_rmw16_xchg_u Xchg I16 I64;
    visit_i64_atomic_rmw32_xchg_u Xchg I32 I64;
}

exchanges! {
    visit_i32_atomic_rmw_cmpxchg I32 I32;
    visit_i64_atomic_rmw_cmpxchg I64 I64;
    visit_i32_atomic_rmw8_cmpxchg_u I8 I32;
    visit_i32_atomic_rmw16_cmpxchg_u I16 I32;
    visit_i64_atomic_rmw8_cmpxchg_u I8 I64;
    visit_i64_atomic_rmw16_cmpxchg_u I16 I64;
    visit_i64_atomic_rmw32_cmpxchg_u I32 I64;
}

impl Translator<'_> {
    pub(in crate::translate) fn visit_atomic_fence(&mut self, _: Ordering) {
        self.b.ins().fence();
    }

    pub(in crate::translate) fn visit_memory_atomic_wait32(&mut self, memarg: MemArg) {
        self.wait(Builtin::atomic_wait32, &memarg, 4);
    }

    pub(in crate::translate) fn visit_memory_atomic_wait64(&mut self, memarg: MemArg) {
        self.wait(Builtin::atomic_wait64, &memarg, 8);
    }

    fn wait(&mut self, builtin: Builtin, memarg: &MemArg, size: u32) {
        let timeout = self.pop();
        let expected = self.pop();
        let position = self.checked_atomic_position(memarg, size);
        let memory = heap::accessed(memarg);
        if !self.env.module.memories[memory as usize].shared {
            // Nobody could end the wait.
            self.b.ins().trap(trap_code(Trap::AtomicWaitNonSharedMemory));
            self.set_unreachable();
            return;
        }
        let memory = self.index(memory);
        let result = self.call_builtin_value(builtin, &[memory, position, expected, timeout]);
        self.push(result);
    }

    pub(in crate::translate) fn visit_memory_atomic_notify(&mut self, memarg: MemArg) {
        let count = self.pop();
        let position = self.checked_atomic_position(&memarg, 4);
        let memory = heap::accessed(&memarg);
        let woken = if self.env.module.memories[memory as usize].shared {
            let memory = self.index(memory);
            self.call_builtin_value(Builtin::atomic_notify, &[memory, position, count])
        } else {
            // Nobody waits there.
            self.b.ins().iconst(types::I32, 0)
        };
        self.push(woken);
    }

    /// Pops an index, and makes the address for an atomic access of a type.
    fn atomic_access(&mut self, memarg: &MemArg, ty: Type) -> (Value, MemFlagsData) {
        self.check_alignment(memarg, ty.bytes());
        let Access { base, displacement, flags } = self.access(memarg, ty.bytes());
        let address = if displacement == 0 { base } else { self.b.ins().iadd_imm_s(base, i64::from(displacement)) };
        (address, flags)
    }

    /// Traps unless the index on top of the stack plus the offset is a multiple
    /// of `size`. The sum may wrap: the low bits are right even then.
    fn check_alignment(&mut self, memarg: &MemArg, size: u32) {
        let mask = i64::from(size) - 1;
        if mask == 0 {
            return;
        }
        let index = self.peek();
        let offset = memarg.offset as i64 & mask;
        let low = if offset == 0 { index } else { self.b.ins().iadd_imm_s(index, offset) };
        let rest = self.b.ins().band_imm_s(low, mask);
        self.trap_if(rest, Trap::HeapMisaligned);
    }

    /// Pops an index, and traps unless `size` bytes there are aligned and in
    /// the memory; the position of the first one.
    fn checked_atomic_position(&mut self, memarg: &MemArg, size: u32) -> Value {
        self.check_alignment(memarg, size);
        self.checked_position(memarg, size)
    }

    /// A store that all threads see at the same time.
    fn atomic_store(&mut self, flags: MemFlagsData, value: Value, address: Value) {
        if self.env.options.target.arch() == Arch::X86_64 {
            // An exchange is a fence as well, and a cheaper one than `mfence`.
            let ty = self.type_of(value);
            self.b.ins().atomic_rmw(ty, flags, AtomicRmwOp::Xchg, address, value);
        } else {
            self.b.ins().atomic_store(flags, value, address);
        }
    }

    /// Pops a value; its low part, of a type.
    fn pop_narrowed(&mut self, ty: Type) -> Value {
        let value = self.pop();
        if self.type_of(value) == ty { value } else { self.b.ins().ireduce(ty, value) }
    }

    /// Pushes a value that zeros extend to a type.
    fn push_widened(&mut self, value: Value, ty: Type) {
        let same = self.type_of(value) == ty;
        let value = if same { value } else { self.b.ins().uextend(ty, value) };
        self.push(value);
    }
}
