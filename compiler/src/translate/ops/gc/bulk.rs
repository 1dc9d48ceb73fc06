//! Operators on many elements of arrays, and arrays made from segments.

use crate::translate::Translator;
use crate::translate::pieces::{self, Order};
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
    /// The index and the length with 64 bits; traps unless there are so many
    /// elements from there on.
    fn checked_elements(&mut self, ty: TypeIndex, array: Value, index: Value, length: Value) -> (Value, Value) {
        let all = self.load_length(array);
        self.learn(array, self.reference_to(ty));
        let (all, index, length) = (self.wide(all), self.wide(index), self.wide(length));
        let end = self.b.ins().iadd(index, length);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, all);
        self.trap_if(outside, Trap::ArrayOutOfBounds);
        (index, length)
    }

    /// So many elements in bytes.
    fn element_bytes(&mut self, ty: TypeIndex, length: Value) -> Value {
        let (_, size) = self.element(ty);
        self.b.ins().imul_imm_u(length, i64::from(size))
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
        let (index, length) = self.checked_elements(ty, array, index, length);
        self.in_pieces(
            pieces::ELEMENTS,
            length,
            Order::Forwards,
            |_| (),
            |t, offset, length| {
                let index = t.with_offset(index, offset);
                let start = t.element_at(ty, array, index);
                t.fill_elements(ty, start, value, length);
            },
        );
    }

    /// Sets `length` elements from an address on.
    fn fill_elements(&mut self, ty: TypeIndex, start: Value, value: Value, length: Value) {
        let bytes = self.element_bytes(ty, length);
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
        let (to_index, wide) = self.checked_elements(to_ty, to, to_index, length);
        let (from_index, _) = self.checked_elements(from_ty, from, from_index, length);
        let order = Order::BackwardsIfAbove(to_index, from_index);
        self.in_pieces(
            pieces::ELEMENTS,
            wide,
            order,
            |_| (),
            |t, offset, length| {
                let (to_index, from_index) = (t.with_offset(to_index, offset), t.with_offset(from_index, offset));
                let to = t.element_at(to_ty, to, to_index);
                let from = t.element_at(from_ty, from, from_index);
                let bytes = t.element_bytes(to_ty, length);
                t.call_builtin(Builtin::memory_move, &[to, from, bytes]);
            },
        );
    }

    /// Traps unless `length` of the `count` parts of a segment are there from
    /// `from` on; all are 64-bit numbers below 2^36.
    pub(in crate::translate) fn check_segment(&mut self, count: Value, from: Value, length: Value, trap: Trap) {
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
    pub(in crate::translate) fn data_length(&mut self, segment: u32) -> Value {
        let data = &self.env.module.data[segment as usize];
        // Active ones are dropped before any code runs.
        if data.active.is_some() {
            return self.b.ins().iconst(types::I64, 0);
        }
        let row = self.env.facts.data.row(segment);
        self.present(data.bytes.len(), self.env.facts.layout.data_dropped(row))
    }

    /// The elements that an element segment has at run time.
    pub(in crate::translate) fn elem_length(&mut self, segment: u32) -> Value {
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
        let (index, length) = self.checked_elements(ty, array, index, length);
        let from = self.wide(from);
        let (_, size) = self.element(ty);
        let count = self.env.module.data[segment as usize].bytes.len() / size as usize;
        self.copy_segment_in_pieces(Segment::Data(segment), count, (ty, array, index), from, length);
    }

    /// Copies `length` elements of a segment, in which there are at most
    /// `count`, from `from` on to an array.
    fn copy_segment_in_pieces(
        &mut self,
        segment: Segment,
        count: usize,
        (ty, array, index): (TypeIndex, Value, Value),
        from: Value,
        length: Value,
    ) {
        let parts = |t: &mut Self, elements: Value| match segment {
            Segment::Data(_) => t.element_bytes(ty, elements),
            Segment::Elem(_) => elements,
        };
        if !self.has_pieces(count, pieces::ELEMENTS) {
            let all = parts(self, length);
            return self.copy_segment(segment, (ty, array, Some(index)), from, all);
        }
        let check = |t: &mut Self| {
            let (present, trap) = match segment {
                Segment::Data(data) => (t.data_length(data), Trap::MemoryOutOfBounds),
                Segment::Elem(elem) => (t.elem_length(elem), Trap::TableOutOfBounds),
            };
            let all = parts(t, length);
            t.check_segment(present, from, all, trap);
        };
        self.in_pieces(pieces::ELEMENTS, length, Order::Forwards, check, |t, offset, length| {
            let index = t.with_offset(index, offset);
            let offset = offset.map(|offset| parts(t, offset));
            let from = t.with_offset(from, offset);
            let now = parts(t, length);
            t.copy_segment(segment, (ty, array, Some(index)), from, now);
        });
    }

    /// Copies `count` bytes of a data segment, or elements of an element
    /// segment, from `from` on to an array, at a 64-bit index or to its start.
    fn copy_segment(&mut self, segment: Segment, to: (TypeIndex, Value, Option<Value>), from: Value, count: Value) {
        let (ty, array, index) = to;
        let index = index.unwrap_or_else(|| self.b.ins().iconst(types::I64, 0));
        let to = self.element_at(ty, array, index);
        let (row, builtin, trap) = match segment {
            Segment::Data(data) => (self.env.facts.data.row(data), Builtin::array_init_data, Trap::MemoryOutOfBounds),
            Segment::Elem(elem) => (self.env.facts.elems.row(elem), Builtin::array_init_elem, Trap::TableOutOfBounds),
        };
        let row = self.index(row);
        self.call_builtin_or_trap(builtin, &[row, to, from, count], trap);
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
        let (index, length) = self.checked_elements(ty, array, index, length);
        let from = self.wide(from);
        let count = self.env.module.elems[segment as usize].items.len();
        self.copy_segment_in_pieces(Segment::Elem(segment), count, (ty, array, index), from, length);
    }
}
