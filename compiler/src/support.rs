//! Support routines: what the code generator calls for instructions that a
//! CPU lacks.
//!
//! On an x86-64 CPU without SSSE3 no instruction looks bytes up in a vector.
//! Cranelift calls a library there; an artifact imports nothing, so the
//! routine is compiled into it if it is called. It is a leaf with a few dozen
//! bytes of stack, uses SSE2 only, and gets no context.
//!
//! Without SSE4.1 there is no instruction for `ceil` and its like either;
//! [`round`] does that in place, which takes half the time of a call.

use crate::translate::Symbol;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{
    self, Endianness, InstBuilder, LibCall, MemFlagsData, StackSlotData, StackSlotKind, Type, UserFuncName, Value,
    types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// To which integer a number is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// The next one upwards.
    Ceil,
    /// The next one downwards.
    Floor,
    /// The next one towards zero.
    Trunc,
    /// The closest one, and of two the even one.
    Nearest,
}

struct Routine {
    call: LibCall,
    name: &'static str,
}

/// All routines. A routine's number is its position.
const ROUTINES: &[Routine] = &[Routine { call: LibCall::X86Pshufb, name: "support.shuffle_bytes" }];

/// The number of the routine for a call of the code generator. Calls without
/// one come from instructions that translation does not emit.
pub(crate) fn routine(call: LibCall) -> Option<u32> {
    ROUTINES.iter().position(|routine| routine.call == call).map(|number| number as u32)
}

/// The name of a routine's symbol.
pub(crate) fn name(number: u32) -> &'static str {
    ROUTINES[number as usize].name
}

/// Builds routine `number` into `func`.
pub(crate) fn build(number: u32, isa: &dyn TargetIsa, func: &mut ir::Function, context: &mut FunctionBuilderContext) {
    let routine = &ROUTINES[number as usize];
    func.name = UserFuncName::User(Symbol::Support(number).name());
    func.signature = routine.call.signature(CallConv::SystemV, types::I64);
    let mut b = FunctionBuilder::new(func, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let result = shuffle_bytes(&mut b, params[0], params[1]);
    b.ins().return_(&[result]);
    b.finalize(isa.frontend_config());
}

/// Rounds a float, or all lanes of a vector of floats, to integers, with
/// arithmetic only.
///
/// A float of 2^p or more, where p is the width of its fraction, is an integer
/// already. Below that, adding 2^p to the magnitude pushes the fraction out of
/// the float, rounding to nearest as the CPU is set to, and subtracting it
/// again gives the integer. For the other directions that is corrected by one
/// where it went the wrong way. The sign is put back last, for the sake of
/// results that are -0: a result has its operand's sign, always.
pub(crate) fn round(b: &mut FunctionBuilder<'_>, rounding: Rounding, x: Value) -> Value {
    match b.func.dfg.value_type(x) {
        types::F32 => round_first_lane(b, rounding, types::F32X4, x),
        types::F64 => round_first_lane(b, rounding, types::F64X2, x),
        _ => round_lanes(b, rounding, x),
    }
}

/// Rounds a scalar as a vector, where a comparison gives a mask to work with.
fn round_first_lane(b: &mut FunctionBuilder<'_>, rounding: Rounding, ty: Type, x: Value) -> Value {
    let x = b.ins().scalar_to_vector(ty, x);
    let rounded = round_lanes(b, rounding, x);
    b.ins().extractlane(rounded, 0)
}

fn round_lanes(b: &mut FunctionBuilder<'_>, rounding: Rounding, x: Value) -> Value {
    let ty = b.func.dfg.value_type(x);
    let limit = float(b, ty, if ty == types::F32X4 { (1u32 << 23).into() } else { (1u64 << 52) as f64 });
    let minus_zero = float(b, ty, -0.0);
    let sign = b.ins().band(x, minus_zero);
    let magnitude = b.ins().bxor(x, sign);
    let pushed = b.ins().fadd(magnitude, limit);
    let nearest = b.ins().fsub(pushed, limit);
    let rounded = match rounding {
        Rounding::Nearest => nearest,
        Rounding::Trunc => {
            let too_large = one_where(b, FloatCC::LessThan, magnitude, nearest);
            b.ins().fsub(nearest, too_large)
        }
        Rounding::Floor => {
            let signed = b.ins().bor(nearest, sign);
            let too_large = one_where(b, FloatCC::LessThan, x, signed);
            b.ins().fsub(signed, too_large)
        }
        Rounding::Ceil => {
            let signed = b.ins().bor(nearest, sign);
            let too_small = one_where(b, FloatCC::LessThan, signed, x);
            b.ins().fadd(signed, too_small)
        }
    };
    let rounded = b.ins().bor(rounded, sign);
    // Adding 0 makes a signalling NaN quiet and changes nothing else here:
    // -0 is not large.
    let zero = float(b, ty, 0.0);
    let large = b.ins().fadd(x, zero);
    let small = mask(b, FloatCC::LessThan, magnitude, limit);
    b.ins().bitselect(small, rounded, large)
}

/// A float in all lanes.
pub(crate) fn float(b: &mut FunctionBuilder<'_>, ty: Type, value: f64) -> Value {
    match ty {
        types::F32X4 => vector(b, ty, &(value as f32).to_le_bytes()),
        _ => vector(b, ty, &value.to_le_bytes()),
    }
}

/// A constant vector with `lane` in all lanes.
fn vector(b: &mut FunctionBuilder<'_>, ty: Type, lane: &[u8]) -> Value {
    let constant = b.func.dfg.constants.insert(lane.repeat(16 / lane.len()).into());
    b.ins().vconst(ty, constant)
}

/// All ones where the comparison holds, as floats, and 0 elsewhere.
fn mask(b: &mut FunctionBuilder<'_>, condition: FloatCC, x: Value, y: Value) -> Value {
    let ty = b.func.dfg.value_type(x);
    let mask = b.ins().fcmp(condition, x, y);
    cast(b, ty, mask)
}

/// 1 where the comparison holds, and 0 elsewhere.
fn one_where(b: &mut FunctionBuilder<'_>, condition: FloatCC, x: Value, y: Value) -> Value {
    let ty = b.func.dfg.value_type(x);
    let one = float(b, ty, 1.0);
    let mask = mask(b, condition, x, y);
    b.ins().band(mask, one)
}

fn cast(b: &mut FunctionBuilder<'_>, ty: Type, x: Value) -> Value {
    b.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), x)
}

/// `pshufb`: byte `i` of the result is the one of `x` at the index in byte
/// `i` of `indices` modulo 16, or 0 if the top bit there is set.
fn shuffle_bytes(b: &mut FunctionBuilder<'_>, x: Value, indices: Value) -> Value {
    let flags = MemFlagsData::trusted();
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 32, 4));
    let bytes = b.ins().stack_addr(types::I64, slot, 0);
    b.ins().store(flags, x, bytes, 0);
    let low_bits = vector(b, types::I8X16, &[15]);
    let wrapped = b.ins().band(indices, low_bits);
    b.ins().store(flags, wrapped, bytes, 16);
    let mut halves = [None; 2];
    for (half, value) in halves.iter_mut().enumerate() {
        for byte in 0..8 {
            let index = b.ins().uload8(types::I64, flags, bytes, 16 + 8 * half as i32 + byte);
            let at = b.ins().iadd(bytes, index);
            let found = b.ins().uload8(types::I64, flags, at, 0);
            let placed = b.ins().ishl_imm_u(found, i64::from(8 * byte));
            *value = Some(match *value {
                Some(others) => b.ins().bor(others, placed),
                None => placed,
            });
        }
    }
    let [Some(low), Some(high)] = halves else { unreachable!("each half has eight bytes") };
    let low = b.ins().scalar_to_vector(types::I64X2, low);
    let both = b.ins().insertlane(low, high, 1);
    let both = cast(b, types::I8X16, both);
    let zero = vector(b, types::I8X16, &[0]);
    let cleared = b.ins().icmp(IntCC::SignedLessThan, indices, zero);
    b.ins().band_not(both, cleared)
}
