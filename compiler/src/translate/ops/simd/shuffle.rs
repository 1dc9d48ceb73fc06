//! Shuffles on an x86-64 CPU without SSSE3, which cannot look bytes up in a
//! vector.
//!
//! Shuffles that SSE2 has an instruction for are left to the code generator.
//! For all others it would call a support routine twice; picking the bytes
//! from memory in place takes about a third of that, and less where bytes stay
//! beside each other.

use crate::translate::Translator;
use cranelift_codegen::ir::{
    InstBuilder, InstructionData, MemFlagsData, Opcode, StackSlot, StackSlotData, StackSlotKey, StackSlotKind, Value,
    types,
};

/// Whether one SSE2 instruction does it: one that moves lanes of 16, 32 or 64
/// bits, or one that interleaves.
fn has_instruction(lanes: &[u8; 16]) -> bool {
    is_interleaving(lanes)
        || wide_lanes::<4>(lanes, 4).is_some_and(is_shufps)
        || wide_lanes::<8>(lanes, 2).is_some_and(is_pshufw)
}

/// The lanes as lanes of `width` bytes, if they move as such.
fn wide_lanes<const COUNT: usize>(lanes: &[u8; 16], width: u8) -> Option<[u8; COUNT]> {
    let mut wide = [0; COUNT];
    for (lane, bytes) in wide.iter_mut().zip(lanes.chunks(width.into())) {
        if bytes[0] % width != 0 || !bytes.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            return None;
        }
        *lane = bytes[0] / width;
    }
    Some(wide)
}

/// `pshufd`, or `shufps` with the operands in either order: each half of the
/// result is from one operand.
fn is_shufps(lanes: [u8; 4]) -> bool {
    lanes.chunks(2).all(|half| half[0] / 4 == half[1] / 4)
}

/// `pshuflw` or `pshufhw`: one half of one operand is permuted, the other one
/// kept.
fn is_pshufw(lanes: [u8; 8]) -> bool {
    let operand = lanes[0] / 8;
    if lanes.iter().any(|lane| lane / 8 != operand) {
        return false;
    }
    let kept = |half: usize| (4 * half..4 * half + 4).all(|i| usize::from(lanes[i] % 8) == i);
    let within = |half: usize| (4 * half..4 * half + 4).all(|i| usize::from(lanes[i] % 8 / 4) == half);
    kept(0) && within(1) || within(0) && kept(1)
}

/// `punpckl` and `punpckh` of lanes of any width: lanes of the two operands'
/// low or high halves in turn.
fn is_interleaving(lanes: &[u8; 16]) -> bool {
    [1, 2, 4, 8].into_iter().any(|width: usize| {
        [0, 8].into_iter().any(|half| {
            (0..16).all(|i| {
                let (lane, byte) = (i / width, i % width);
                usize::from(lanes[i]) == half + lane / 2 * width + byte + lane % 2 * 16
            })
        })
    })
}

/// How many bytes the lanes of some width are rotated by, if all are alike:
/// the width, and the index of the byte that comes first.
fn rotation(lanes: &[u8; 16]) -> Option<(u8, u8)> {
    let rotated = |width: u8, first: u8| (0..16).all(|i| lanes[usize::from(i)] == i - i % width + (i + first) % width);
    [2, 4, 8].into_iter().map(|width| (width, lanes[0])).find(|(width, first)| *first > 0 && rotated(*width, *first))
}

/// 16-bit lanes that stay in their half of the vector.
fn words_within_halves(lanes: &[u8; 16]) -> Option<[u8; 8]> {
    wide_lanes::<8>(lanes, 2).filter(|words| (0..8).all(|i| words[usize::from(i)] / 4 == i / 4))
}

/// Bytes that stay beside each other: where they are in the two operands, and
/// where they go in their half of the result.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    from: u8,
    to: u8,
    bytes: u8,
}

/// The pieces of 1, 2, 4 or 8 bytes that make up half of a result, without
/// those from the second operand if it is `zero`.
fn pieces(half: &[u8], zero: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut to = 0;
    while to < half.len() {
        let from = half[to];
        let run = half[to..].iter().zip(from..).take_while(|(lane, expected)| **lane == *expected).count();
        // No piece reaches over the end of the first operand: the two are
        // stored one by one, and a load of both would wait for both.
        let run = if from < 16 { run.min(16 - usize::from(from)) } else { run };
        let bytes = 1 << run.ilog2();
        if from < 16 || !zero {
            pieces.push(Piece { from, to: to as u8, bytes: bytes as u8 });
        }
        to += bytes;
    }
    pieces
}

impl Translator<'_> {
    /// Shuffles in place what the code generator would call a routine for.
    pub(super) fn shuffle_without_lookup(&mut self, x: Value, y: Value, lanes: &[u8; 16]) -> Option<Value> {
        if has_instruction(lanes) {
            return None;
        }
        let swapped = lanes.map(|lane| lane ^ 16);
        if is_interleaving(&swapped) {
            let mask = self.b.func.dfg.immediates.push(swapped.as_slice().into());
            return Some(self.b.ins().shuffle(y, x, mask));
        }
        if let Some(vector) = self.repeat_lane(x, y, lanes).or_else(|| self.permute_words(x, y, lanes)) {
            return Some(vector);
        }
        if (0..16).all(|i| lanes[usize::from(i)] % 16 == i) {
            let mask = lanes.map(|lane| if lane < 16 { 0xff } else { 0 });
            let mask = self.bytes_vector(types::I8X16, &mask);
            return Some(self.b.ins().bitselect(mask, x, y));
        }
        let zero = self.is_zero(y);
        let flags = MemFlagsData::trusted();
        let slot = self.shuffle_slot();
        let operands = self.b.ins().stack_addr(types::I64, slot, 0);
        self.b.ins().store(flags, x, operands, 0);
        if !zero {
            self.b.ins().store(flags, y, operands, 16);
        }
        let low = self.gather(operands, &pieces(&lanes[..8], zero));
        let high = self.gather(operands, &pieces(&lanes[8..], zero));
        let low = self.b.ins().scalar_to_vector(types::I64X2, low);
        Some(self.b.ins().insertlane(low, high, 1))
    }

    /// Room for two operands. All shuffles of a function share it: what is in
    /// it is needed for the length of one shuffle only.
    fn shuffle_slot(&mut self) -> StackSlot {
        let key = StackSlotKey::new(u64::from_le_bytes(*b"shuffle\0"));
        let slots = &self.b.func.sized_stack_slots;
        if let Some((slot, _)) = slots.iter().find(|(_, data)| data.key == Some(key)) {
            return slot;
        }
        self.b.create_sized_stack_slot(StackSlotData::new_with_key(StackSlotKind::ExplicitSlot, 32, 4, key))
    }

    /// A shuffle that repeats one lane.
    fn repeat_lane(&mut self, x: Value, y: Value, lanes: &[u8; 16]) -> Option<Value> {
        let (ty, lane) = if lanes.iter().all(|lane| *lane == lanes[0]) {
            (types::I8X16, lanes[0])
        } else {
            let wide = wide_lanes::<8>(lanes, 2)?;
            (wide.iter().all(|lane| *lane == wide[0])).then_some((types::I16X8, wide[0]))?
        };
        let count = ty.lane_count() as u8;
        let vector = self.cast_vector(if lane < count { x } else { y }, ty);
        let lane = self.b.ins().extractlane(vector, lane % count);
        Some(self.b.ins().splat(ty, lane))
    }

    /// A shuffle of one operand that rotates lanes, or permutes the 16-bit
    /// lanes of each half after it has swapped their bytes, or has not.
    fn permute_words(&mut self, x: Value, y: Value, lanes: &[u8; 16]) -> Option<Value> {
        let operand = lanes[0] / 16;
        if x != y && lanes.iter().any(|lane| lane / 16 != operand) {
            return None;
        }
        let vector = if operand == 0 { x } else { y };
        let lanes = lanes.map(|lane| lane % 16);
        if let Some((width, first)) = rotation(&lanes) {
            return Some(self.rotate_lanes(vector, width, first));
        }
        let (vector, words) = match words_within_halves(&lanes) {
            Some(words) => (vector, words),
            None => {
                let words = words_within_halves(&lanes.map(|lane| lane ^ 1))?;
                (self.rotate_lanes(vector, 2, 1), words)
            }
        };
        let mut vector = self.cast_vector(vector, types::I8X16);
        for half in [0, 4] {
            let step: [u8; 8] = std::array::from_fn(|i| if i / 4 * 4 == half { words[i] } else { i as u8 });
            let bytes: [u8; 16] = std::array::from_fn(|i| 2 * step[i / 2] + (i % 2) as u8);
            let mask = self.b.func.dfg.immediates.push(bytes.as_slice().into());
            vector = self.b.ins().shuffle(vector, vector, mask);
        }
        Some(vector)
    }

    /// Rotates lanes of `width` bytes so that byte `first` comes first.
    fn rotate_lanes(&mut self, vector: Value, width: u8, first: u8) -> Value {
        let ty = match width {
            2 => types::I16X8,
            4 => types::I32X4,
            _ => types::I64X2,
        };
        let vector = self.cast_vector(vector, ty);
        let right = self.b.ins().iconst(types::I32, 8 * i64::from(first));
        let left = self.b.ins().iconst(types::I32, 8 * i64::from(width - first));
        let (low, high) = (self.b.ins().ushr(vector, right), self.b.ins().ishl(vector, left));
        self.b.ins().bor(low, high)
    }

    /// Puts the pieces together.
    fn gather(&mut self, operands: Value, pieces: &[Piece]) -> Value {
        let flags = MemFlagsData::trusted();
        let mut all = None;
        for piece in pieces {
            let from = i32::from(piece.from);
            let bytes = match piece.bytes {
                1 => self.b.ins().uload8(types::I64, flags, operands, from),
                2 => self.b.ins().uload16(types::I64, flags, operands, from),
                4 => self.b.ins().uload32(flags, operands, from),
                _ => self.b.ins().load(types::I64, flags, operands, from),
            };
            let bytes = if piece.to == 0 { bytes } else { self.b.ins().ishl_imm_u(bytes, 8 * i64::from(piece.to)) };
            all = Some(match all {
                Some(others) => self.b.ins().bor(others, bytes),
                None => bytes,
            });
        }
        all.unwrap_or_else(|| self.b.ins().iconst(types::I64, 0))
    }

    /// Whether a vector is seen to be a constant 0.
    fn is_zero(&self, vector: Value) -> bool {
        let dfg = &self.b.func.dfg;
        let Some(inst) = dfg.value_def(vector).inst() else { return false };
        match dfg.insts[inst] {
            InstructionData::UnaryConst { opcode: Opcode::Vconst, constant_handle } => {
                dfg.constants.get(constant_handle).iter().all(|byte| *byte == 0)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shuffle of lanes of `16 / COUNT` bytes.
    fn wide<const COUNT: usize>(lanes: [u8; COUNT]) -> [u8; 16] {
        let width = 16 / COUNT;
        std::array::from_fn(|i| lanes[i / width] * width as u8 + (i % width) as u8)
    }

    #[test]
    fn shuffles_with_an_instruction_are_known() {
        for lanes in [
            wide([0, 3, 5, 4]),
            wide([7, 4, 0, 0]),
            wide([2, 1, 0, 2]),
            wide([1, 2]),
            wide([0, 2]),
            wide([1, 3]),
            wide([0, 4, 1, 5]),
            wide([4, 12, 5, 13, 6, 14, 7, 15]),
            wide([3, 1, 0, 0, 4, 5, 6, 7]),
            wide([8, 9, 10, 11, 15, 12, 13, 13]),
            wide([0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]),
        ] {
            assert!(has_instruction(&lanes), "{lanes:?}");
        }
        for lanes in [
            wide([0, 4, 5, 6]),
            wide([3, 1, 0, 0, 4, 5, 7, 6]),
            wide([0, 1, 2, 3, 4, 5, 6, 8]),
            wide([16, 0, 17, 1, 18, 2, 19, 3, 20, 4, 21, 5, 22, 6, 23, 7]),
            [15; 16],
        ] {
            assert!(!has_instruction(&lanes), "{lanes:?}");
        }
    }

    #[test]
    fn rotations_of_lanes_are_known() {
        assert_eq!(rotation(&[1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14]), Some((2, 1)));
        assert_eq!(rotation(&[3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14]), Some((4, 3)));
        assert_eq!(rotation(&[5, 6, 7, 0, 1, 2, 3, 4, 13, 14, 15, 8, 9, 10, 11, 12]), Some((8, 5)));
        assert_eq!(rotation(&[3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]), None);
        assert_eq!(rotation(&std::array::from_fn(|i| i as u8)), None);
    }

    #[test]
    fn bytes_that_stay_together_are_one_piece() {
        let piece = |from, to, bytes| Piece { from, to, bytes };
        let lanes = [12, 13, 14, 15, 16, 17, 18, 19];
        assert_eq!(pieces(&lanes, false), [piece(12, 0, 4), piece(16, 4, 4)]);
        assert_eq!(pieces(&lanes, true), [piece(12, 0, 4)]);
        assert_eq!(pieces(&[24, 25, 26, 27, 28, 29, 30, 31], false), [piece(24, 0, 8)]);
        assert_eq!(
            pieces(&[1, 2, 3, 9, 7, 6, 5, 5], false),
            [
                piece(1, 0, 2),
                piece(3, 2, 1),
                piece(9, 3, 1),
                piece(7, 4, 1),
                piece(6, 5, 1),
                piece(5, 6, 1),
                piece(5, 7, 1)
            ]
        );
    }
}
