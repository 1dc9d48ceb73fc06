//! `array.*` for single elements and new arrays.

use super::access::{Extend, Part};
use crate::translate::{Symbol, Translator};
use crate::types::TypeIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::descriptor::{ARRAY_LENGTH, array_elements, array_size};
use wasmc_artifacts::abi::{Builtin, HeapType, StorageType, Trap, ValType};

/// Where the first word is that elements alone can be in.
const FIRST_WORD: u64 = 16;

/// Words that are written one by one; more are written in a loop.
const UNROLLED_WORDS: u64 = 8;

/// Zeros beyond this many bytes are left to a builtin.
const LONG: i64 = 256;

impl Translator<'_> {
    /// Allocates an array of `length` elements (32 bits), all still to be
    /// written, and writes its length.
    pub(super) fn allocate_array(&mut self, ty: TypeIndex, length: Value) -> Value {
        let (_, size) = self.element(ty);
        let descriptor = self.symbol_address(Symbol::Descriptor(ty));
        let reference = match self.constant_length(length) {
            Some(length) if array_size(size, length) <= u64::from(u32::MAX) => {
                self.allocate_object(descriptor, array_size(size, length) as u32)
            }
            _ => {
                // At most some 2^36, so that nothing wraps.
                let length = self.wide(length);
                let bytes = self.b.ins().imul_imm_u(length, i64::from(size));
                let bytes = self.b.ins().iadd_imm_u(bytes, i64::from(array_elements(size) + 7));
                let bytes = self.b.ins().band_imm_s(bytes, -8);
                let limit = self.b.ins().iconst(types::I64, i64::from(u32::MAX));
                let huge = self.b.ins().icmp(IntCC::UnsignedGreaterThan, bytes, limit);
                self.trap_if(huge, Trap::AllocationTooLarge);
                self.allocate(descriptor, bytes)
            }
        };
        let address = self.object_address(reference);
        let flags = self.part_flags(Part::Length);
        self.b.ins().store(flags, length, address, ARRAY_LENGTH as i32);
        reference
    }

    /// A length that is the same whenever control gets here.
    pub(super) fn constant_length(&self, length: Value) -> Option<u32> {
        let dfg = &self.b.func.dfg;
        let inst = dfg.value_def(dfg.resolve_aliases(length)).inst()?;
        match dfg.insts[inst] {
            cranelift_codegen::ir::InstructionData::UnaryImm { opcode: cranelift_codegen::ir::Opcode::Iconst, imm } => {
                Some(imm.bits() as u32)
            }
            _ => None,
        }
    }

    fn push_array(&mut self, ty: TypeIndex, reference: Value) {
        self.push_typed(reference, ValType::Ref(self.reference_to(ty)));
    }

    pub(in crate::translate) fn visit_array_new(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let (value, length) = self.pop2();
        let reference = self.allocate_array(ty, length);
        self.fill_new(ty, reference, length, Some(value));
        self.push_array(ty, reference);
    }

    pub(in crate::translate) fn visit_array_new_default(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let length = self.pop();
        let reference = self.allocate_array(ty, length);
        self.fill_new(ty, reference, length, None);
        self.push_array(ty, reference);
    }

    pub(in crate::translate) fn visit_array_new_fixed(&mut self, ty: u32, length: u32) {
        let ty = self.type_index(ty);
        let values = self.pop_many(length as usize);
        let length = self.b.ins().iconst(types::I32, i64::from(length));
        let reference = self.allocate_array(ty, length);
        let (storage, size) = self.element(ty);
        let part = self.elements_part(ty);
        let flags = self.part_flags(part);
        let address = self.object_address(reference);
        for (i, value) in (0..).zip(values) {
            self.store_stored(storage, value, flags, address, (array_elements(size) + i * size) as i32);
        }
        self.push_array(ty, reference);
    }

    /// Writes the elements of a new array: `value` everywhere, or zeros. What
    /// is behind the last element up to a multiple of 8 is written, too.
    fn fill_new(&mut self, ty: TypeIndex, reference: Value, length: Value, value: Option<Value>) {
        let (storage, size) = self.element(ty);
        let part = self.elements_part(ty);
        let flags = self.part_flags(part);
        let address = self.object_address(reference);
        let pattern = match value {
            None => self.b.ins().iconst(types::I64, 0),
            Some(value) => self.pattern(storage, value),
        };
        let stride = if self.type_of(pattern) == types::I64 { 8 } else { 16 };
        self.store_head(size, flags, pattern, address);
        if let Some(length) = self.constant_length(length) {
            let end = array_size(size, length);
            if end <= FIRST_WORD + UNROLLED_WORDS * stride {
                for at in (FIRST_WORD..end).step_by(stride as usize) {
                    self.b.ins().store(flags, pattern, address, at as i32);
                }
                return;
            }
        }
        let wide = self.wide(length);
        let bytes = self.b.ins().imul_imm_u(wide, i64::from(size));
        let bytes = self.b.ins().iadd_imm_u(bytes, i64::from(array_elements(size)));
        let end = self.b.ins().iadd(address, bytes);
        let start = self.b.ins().iadd_imm_u(address, FIRST_WORD as i64);
        match value {
            None => self.fill_zeros(flags, pattern, start, end),
            Some(_) => self.fill_range(flags, pattern, stride as i64, start, end),
        }
    }

    /// Writes the elements before the first whole word, if there can be some.
    fn store_head(&mut self, size: u32, flags: MemFlagsData, pattern: Value, address: Value) {
        if u64::from(array_elements(size)) < FIRST_WORD {
            let head = self.b.ins().ireduce(types::I32, pattern);
            self.b.ins().store(flags, head, address, array_elements(size) as i32);
        }
    }

    /// A value as often as it fits into 64 bits; a vector as it is.
    fn pattern(&mut self, storage: StorageType, value: Value) -> Value {
        let bits = match storage {
            StorageType::I8 | StorageType::I16 => {
                let (mask, ones) = if storage == StorageType::I8 {
                    (0xff, 0x0101_0101_0101_0101)
                } else {
                    (0xffff, 0x0001_0001_0001_0001)
                };
                let value = self.b.ins().band_imm_u(value, mask);
                let value = self.b.ins().uextend(types::I64, value);
                return self.b.ins().imul_imm_u(value, ones);
            }
            StorageType::Val(ValType::F32) => self.b.ins().bitcast(types::I32, MemFlagsData::new(), value),
            StorageType::Val(ValType::F64) => self.b.ins().bitcast(types::I64, MemFlagsData::new(), value),
            StorageType::Val(ValType::V128) => return self.canonical(value),
            StorageType::Val(_) => value,
        };
        if self.type_of(bits) == types::I64 {
            return bits;
        }
        let low = self.b.ins().uextend(types::I64, bits);
        let high = self.b.ins().ishl_imm_u(low, 32);
        self.b.ins().bor(low, high)
    }

    /// Writes zeros from `start` up to `end`, and at most 7 bytes beyond.
    fn fill_zeros(&mut self, flags: MemFlagsData, zero: Value, start: Value, end: Value) {
        let (long, short, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let length = self.b.ins().isub(end, start);
        let limit = self.b.ins().iconst(types::I64, LONG);
        let is_long = self.b.ins().icmp(IntCC::SignedGreaterThan, length, limit);
        self.b.ins().brif(is_long, long, &[], short, &[]);
        self.b.seal_block(long);
        self.b.seal_block(short);
        self.b.switch_to_block(long);
        let padded = self.b.ins().iadd_imm_u(length, 7);
        let padded = self.b.ins().band_imm_s(padded, -8);
        let byte = self.b.ins().iconst(types::I32, 0);
        self.call_builtin(Builtin::memory_set, &[start, byte, padded]);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(short);
        self.fill_range(flags, zero, 8, start, end);
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    /// Writes `value` every `stride` bytes from `start` on as long as the
    /// address is below `end`.
    pub(super) fn fill_range(&mut self, flags: MemFlagsData, value: Value, stride: i64, start: Value, end: Value) {
        self.fill_range_with(stride, start, end, |t, address| {
            t.b.ins().store(flags, value, address, 0);
        });
    }

    /// Calls `store` for every `stride`th address from `start` on below `end`.
    pub(super) fn fill_range_with(
        &mut self,
        stride: i64,
        start: Value,
        end: Value,
        store: impl FnOnce(&mut Self, Value),
    ) {
        let (header, body, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let address = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[BlockArg::Value(start)]);
        self.b.switch_to_block(header);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, address, end);
        self.b.ins().brif(more, body, &[], done, &[]);
        self.b.seal_block(body);
        self.b.switch_to_block(body);
        store(self, address);
        let next = self.b.ins().iadd_imm_u(address, stride);
        self.b.ins().jump(header, &[BlockArg::Value(next)]);
        self.b.seal_block(header);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    /// The address of an element, less the offset of the first, which is
    /// returned too; traps if there is none.
    fn checked_element(&mut self, ty: TypeIndex, array: Value, index: Value) -> (Value, i32) {
        let length = self.load_length(array);
        self.learn(array, self.reference_to(ty));
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.trap_if(outside, Trap::ArrayOutOfBounds);
        let (_, size) = self.element(ty);
        let address = self.object_address(array);
        let index = self.wide(index);
        let offset = self.b.ins().imul_imm_u(index, i64::from(size));
        (self.b.ins().iadd(address, offset), array_elements(size) as i32)
    }

    fn get_element(&mut self, ty: u32, extend: Extend) {
        let ty = self.type_index(ty);
        let (array, index) = self.pop2();
        let (address, offset) = self.checked_element(ty, array, index);
        let (storage, _) = self.element(ty);
        let part = self.elements_part(ty);
        let flags = self.part_flags(part);
        let value = self.load_stored(storage, extend, flags, address, offset);
        self.push_typed(value, storage.unpack());
    }

    pub(in crate::translate) fn visit_array_get(&mut self, ty: u32) {
        self.get_element(ty, Extend::None);
    }

    pub(in crate::translate) fn visit_array_get_s(&mut self, ty: u32) {
        self.get_element(ty, Extend::Signed);
    }

    pub(in crate::translate) fn visit_array_get_u(&mut self, ty: u32) {
        self.get_element(ty, Extend::Unsigned);
    }

    pub(in crate::translate) fn visit_array_set(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let (array, index, value) = self.pop3();
        let (address, offset) = self.checked_element(ty, array, index);
        let (storage, _) = self.element(ty);
        let part = self.elements_part(ty);
        let flags = self.part_flags(part);
        self.store_stored(storage, value, flags, address, offset);
    }

    pub(in crate::translate) fn visit_array_len(&mut self) {
        let array = self.pop();
        let length = self.load_length(array);
        self.learn_non_null(array, HeapType::Array);
        self.push(length);
    }
}
