//! Bulk operations on memories. The ranges are checked here, so that the
//! builtins that move the bytes cannot fail.

use crate::translate::Translator;
use crate::translate::pieces::{self, Order};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmc_artifacts::abi::{Builtin, Trap};

impl Translator<'_> {
    /// A 32-bit operand as an unsigned 64-bit number.
    pub(in crate::translate) fn wide(&mut self, value: Value) -> Value {
        self.b.ins().uextend(types::I64, value)
    }

    pub(in crate::translate) fn visit_memory_copy(&mut self, to_memory: u32, from_memory: u32) {
        let (to, from, length) = self.pop3();
        // The length is of the narrower index type.
        let length = if self.type_of(length) == types::I32 { self.wide(length) } else { length };
        let (to, from) = (self.memory_index(to_memory, to), self.memory_index(from_memory, from));
        let to = self.checked_range(to_memory, to, length);
        let from = self.checked_range(from_memory, from, length);
        let order = Order::BackwardsIfAbove(to, from);
        self.in_pieces(
            pieces::BYTES,
            length,
            order,
            |_| (),
            |t, offset, length| {
                let (to, from) = (t.with_offset(to, offset), t.with_offset(from, offset));
                t.call_builtin(Builtin::memory_move, &[to, from, length]);
            },
        );
    }

    pub(in crate::translate) fn visit_memory_fill(&mut self, memory: u32) {
        let (to, value, length) = self.pop3();
        let (to, length) = (self.memory_index(memory, to), self.memory_index(memory, length));
        let to = self.checked_range(memory, to, length);
        self.set_bytes(to, value, length);
    }

    /// Sets `length` bytes at an address, which was checked, to the low byte of
    /// `value`.
    fn set_bytes(&mut self, to: Value, value: Value, length: Value) {
        self.in_pieces(
            pieces::BYTES,
            length,
            Order::Forwards,
            |_| (),
            |t, offset, length| {
                let to = t.with_offset(to, offset);
                t.call_builtin(Builtin::memory_set, &[to, value, length]);
            },
        );
    }

    pub(in crate::translate) fn visit_memory_init(&mut self, segment: u32, memory: u32) {
        let (to, from, length) = self.pop3();
        let to = self.memory_index(memory, to);
        let (index, row) = (self.index(memory), self.index(self.env.facts.data.row(segment)));
        let trap = Trap::MemoryOutOfBounds;
        if !self.has_pieces(self.env.module.data[segment as usize].bytes.len(), pieces::BYTES) {
            return self.call_builtin_or_trap(Builtin::memory_init, &[index, row, to, from, length], trap);
        }
        let (wide_from, length) = (self.wide(from), self.wide(length));
        let check = |t: &mut Self| {
            t.checked_range(memory, to, length);
            let count = t.data_length(segment);
            t.check_segment(count, wide_from, length, trap);
        };
        self.in_pieces(pieces::BYTES, length, Order::Forwards, check, |t, offset, length| {
            let (to, from) = (t.with_offset(to, offset), t.with_offset(wide_from, offset));
            let [from, length] = [from, length].map(|value| t.b.ins().ireduce(types::I32, value));
            t.call_builtin_or_trap(Builtin::memory_init, &[index, row, to, from, length], trap);
        });
    }

    pub(in crate::translate) fn visit_data_drop(&mut self, segment: u32) {
        let segment = self.index(self.env.facts.data.row(segment));
        self.call_builtin(Builtin::data_drop, &[segment]);
    }
}
