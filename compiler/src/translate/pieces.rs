//! Bulk operations in pieces.
//!
//! One operator can write to all of a memory, a table or an array, which takes
//! as long as a loop that does. In code that looks whether to stop it therefore
//! does so in pieces, and looks after each of them:
//!
//! ```text
//!   length ──▶ short ───────────────────────────▶ all in one ──────────┬──▶ on
//!        │                                                             │
//!        └───▶ long: check all ranges ──▶ a piece ──▶ look ──▶ more? ──┘
//!                                           ▲                   │
//!                                           └───────────────────┘
//! ```
//!
//! Ranges are checked before the first piece, so that what traps has written
//! nothing. Code that is stopped has written some pieces: the first ones, or the
//! last ones where a copy has to begin at the end.

use super::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, InstructionData, Opcode, Value, types};

/// The most bytes of memory in a piece.
pub(super) const BYTES: u64 = 1 << 20;

/// The most elements of a table or an array in a piece.
pub(super) const ELEMENTS: u64 = 1 << 16;

/// In which order pieces are handled.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// From the first one on.
    Forwards,
    /// From the last one on if the first of the two numbers is larger: of a copy
    /// between ranges that may overlap, where it writes and where it reads.
    BackwardsIfAbove(Value, Value),
}

impl Translator<'_> {
    /// Whether operators that handle up to so many bytes or elements do it in
    /// pieces of `most`.
    pub(super) fn has_pieces(&self, count: usize, most: u64) -> bool {
        self.env.options.epoch && count as u64 > most
    }

    /// Does something with `length` bytes or elements, a number of 64 bits:
    /// calls `piece` to make the code for so many of them, which begin at an
    /// offset unless they are all. What is longer than `most` is done in pieces
    /// of that length, after what `check` makes the code for.
    pub(super) fn in_pieces(
        &mut self,
        most: u64,
        length: Value,
        order: Order,
        check: impl FnOnce(&mut Self),
        mut piece: impl FnMut(&mut Self, Option<Value>, Value),
    ) {
        if !self.env.options.epoch || self.is_at_most(length, most) {
            return piece(self, None, length);
        }
        let [short, long, header, done] = [(); 4].map(|()| self.b.create_block());
        let most = self.b.ins().iconst(types::I64, most.cast_signed());
        let is_long = self.b.ins().icmp(IntCC::SignedGreaterThan, length, most);
        self.b.set_cold_block(long);
        self.b.ins().brif(is_long, long, &[], short, &[]);
        self.b.seal_block(short);
        self.b.seal_block(long);
        self.b.switch_to_block(short);
        piece(self, None, length);
        self.b.ins().jump(done, &[]);

        self.b.switch_to_block(long);
        check(self);
        let first = self.b.ins().iconst(types::I64, 0);
        self.b.set_cold_block(header);
        let before = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[BlockArg::Value(first)]);
        self.b.switch_to_block(header);
        let left = self.b.ins().isub(length, before);
        let now = self.b.ins().umin(left, most);
        let after = self.b.ins().iadd(before, now);
        let offset = match order {
            Order::Forwards => before,
            Order::BackwardsIfAbove(to, from) => {
                let above = self.b.ins().icmp(IntCC::UnsignedGreaterThan, to, from);
                let backwards = self.b.ins().isub(length, after);
                self.b.ins().select(above, backwards, before)
            }
        };
        piece(self, Some(offset), now);
        self.look_at_epoch();
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, after, length);
        self.b.ins().brif(more, header, &[BlockArg::Value(after)], done, &[]);
        self.b.seal_block(header);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    /// Whether a number is known to be at most so large.
    fn is_at_most(&self, value: Value, most: u64) -> bool {
        let dfg = &self.b.func.dfg;
        let constant = |value| self.constant_value(value);
        let extended = || {
            let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
            match dfg.insts[inst] {
                InstructionData::Unary { opcode: Opcode::Uextend, arg } => constant(arg).map(|bits| bits & 0xffff_ffff),
                _ => None,
            }
        };
        constant(value).or_else(extended).is_some_and(|value| value <= most)
    }

    /// The sum of a number and the offset of a piece.
    pub(super) fn with_offset(&mut self, value: Value, offset: Option<Value>) -> Value {
        match offset {
            Some(offset) => self.b.ins().iadd(value, offset),
            None => value,
        }
    }
}
