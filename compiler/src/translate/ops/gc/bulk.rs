//! Operators on many elements of arrays, and arrays made from segments.

use crate::translate::Translator;
use crate::types::TypeIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmc_artifacts::abi::descriptor::array_elements;
use wasmc_artifacts::abi::{Builtin, StorageType, Trap};

/// A segment of the module.
#[derive(Clone, Copy)]
enum Segment {
    /// A data segment.
    Data(u32),
    /// An element segment.
    Elem(u32),
}

impl Translator<'_> {
    /// The address of the element at `index`, after which there are `length`
    /// elements at least, and the bytes of those; traps otherwise.
    fn checked_elements(&mut self, ty: TypeIndex, array: Value, index: Value, length: Value) -> (Value, Value) {
        let all = self.load_length(array);
        self.learn(array, self.reference_to(ty));
        let (all, index, length) = (self.wide(all), self.wide(index), self.wide(length));
        let end = self.b.ins().iadd(index, length);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, all);
        self.trap_if(outside, Trap::ArrayOutOfBounds);
        let address = self.element_at(ty, array, index);
        let (_, size) = self.element(ty);
        (address, self.b.ins().imul_imm_u(length, i64::from(size)))
    }

    /// The address of the element at a 64-bit index.
    fn element_at(&mut self, ty: TypeIndex, array: Value, index: Value) -> Value {
        let (_, size) = self.element(ty);
        let address = self.object_address(array);
        let offset = self.b.ins().imul_imm_u(index, i64::from(size));
        let offset = self.b.ins().iadd_imm_u(offset, i64::from(array_elements(size)));
        self.b.ins().iadd(address, offset)
    }

    pub(in crate::translate) fn visit_array_fill(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let length = self.pop();
        let (array, index, value) = self.pop3();
        let (start, bytes) = self.checked_elements(ty, array, index, length);
        let (storage, size) = self.element(ty);
        if storage == StorageType::I8 {
            self.call_builtin(Builtin::memory_set, &[start, value, bytes]);
            return;
        }
        let part = self.elements_part(ty);
        let flags = self.part_flags(part);
        let end = self.b.ins().iadd(start, bytes);
        self.fill_range_with(i64::from(size), start, end, |t, address| {
            t.store_stored(storage, value, flags, address, 0);
        });
    }

    pub(in crate::translate) fn visit_array_copy(&mut self, to_ty: u32, from_ty: u32) {
        let (to_ty, from_ty) = (self.type_index(to_ty), self.type_index(from_ty));
        let (from, from_index, length) = self.pop3();
        let (to, to_index) = self.pop2();
        let (to, bytes) = self.checked_elements(to_ty, to, to_index, length);
        let (from, _) = self.checked_elements(from_ty, from, from_index, length);
        self.call_builtin(Builtin::memory_move, &[to, from, bytes]);
    }

    /// Traps unless `length` of the `count` parts of a segment are there from
    /// `from` on; all are 64-bit numbers below 2^36.
    fn check_segment(&mut self, count: Value, from: Value, length: Value, trap: Trap) {
        let end = self.b.ins().iadd(from, length);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, count);
        self.trap_if(outside, trap);
    }

    /// How much there is in a segment of `count` parts, which has been dropped
    /// if the byte at `dropped` in the context is not 0.
    fn present(&mut self, count: usize, dropped: i32) -> Value {
        let flags = self.context_flags();
        let dropped = self.b.ins().uload8(types::I32, flags, self.vmctx, dropped);
        let none = self.b.ins().iconst(types::I64, 0);
        let all = self.b.ins().iconst(types::I64, count as i64);
        self.b.ins().select(dropped, none, all)
    }

    /// The bytes that a data segment has at run time.
    fn data_length(&mut self, segment: u32) -> Value {
        let data = &self.env.module.data[segment as usize];
        // Active ones are dropped before any code runs.
        if data.active.is_some() {
            return self.b.ins().iconst(types::I64, 0);
        }
        let row = self.env.facts.data.row(segment);
        self.present(data.bytes.len(), self.env.facts.layout.data_dropped(row))
    }

    /// The elements that an element segment has at run time.
    fn elem_length(&mut self, segment: u32) -> Value {
        let elem = &self.env.module.elems[segment as usize];
        if elem.active.is_some() || elem.declared {
            return self.b.ins().iconst(types::I64, 0);
        }
        let row = self.env.facts.elems.row(segment);
        self.present(elem.items.len(), self.env.facts.layout.elem_dropped(row))
    }

    pub(in crate::translate) fn visit_array_new_data(&mut self, ty: u32, segment: u32) {
        let ty = self.type_index(ty);
        let (from, length) = self.pop2();
        let (_, size) = self.element(ty);
        let (from, wide) = (self.wide(from), self.wide(length));
        let bytes = self.b.ins().imul_imm_u(wide, i64::from(size));
        let count = self.data_length(segment);
        self.check_segment(count, from, bytes, Trap::MemoryOutOfBounds);
        let array = self.allocate_array(ty, length);
        self.copy_segment(Segment::Data(segment), (ty, array, None), from, bytes);
        self.push_typed(array, self.reference_to(ty).into());
    }

    pub(in crate::translate) fn visit_array_init_data(&mut self, ty: u32, segment: u32) {
        let ty = self.type_index(ty);
        let (index, from, length) = self.pop3();
        let array = self.pop();
        let (_, bytes) = self.checked_elements(ty, array, index, length);
        let from = self.wide(from);
        self.copy_segment(Segment::Data(segment), (ty, array, Some(index)), from, bytes);
    }

    /// Copies `count` bytes of a data segment, or elements of an element
    /// segment, from `from` on to an array, at `index` or to its start.
    fn copy_segment(&mut self, segment: Segment, to: (TypeIndex, Value, Option<Value>), from: Value, count: Value) {
        let (ty, array, index) = to;
        let index = self.start_index(index);
        let to = self.element_at(ty, array, index);
        let (row, builtin, trap) = match segment {
            Segment::Data(data) => (self.env.facts.data.row(data), Builtin::array_init_data, Trap::MemoryOutOfBounds),
            Segment::Elem(elem) => (self.env.facts.elems.row(elem), Builtin::array_init_elem, Trap::TableOutOfBounds),
        };
        let row = self.index(row);
        self.call_builtin_or_trap(builtin, &[row, to, from, count], trap);
    }

    /// An index with 64 bits; 0 where there is none.
    fn start_index(&mut self, index: Option<Value>) -> Value {
        match index {
            Some(index) => self.wide(index),
            None => self.b.ins().iconst(types::I64, 0),
        }
    }

    pub(in crate::translate) fn visit_array_new_elem(&mut self, ty: u32, segment: u32) {
        let ty = self.type_index(ty);
        let (from, length) = self.pop2();
        let (from, wide) = (self.wide(from), self.wide(length));
        let count = self.elem_length(segment);
        self.check_segment(count, from, wide, Trap::TableOutOfBounds);
        let array = self.allocate_array(ty, length);
        self.copy_segment(Segment::Elem(segment), (ty, array, None), from, wide);
        self.push_typed(array, self.reference_to(ty).into());
    }

    pub(in crate::translate) fn visit_array_init_elem(&mut self, ty: u32, segment: u32) {
        let ty = self.type_index(ty);
        let (index, from, length) = self.pop3();
        let array = self.pop();
        self.checked_elements(ty, array, index, length);
        let (from, length) = (self.wide(from), self.wide(length));
        self.copy_segment(Segment::Elem(segment), (ty, array, Some(index)), from, length);
    }
}
