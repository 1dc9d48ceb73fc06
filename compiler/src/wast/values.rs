//! Arguments and results: scripts' notation and the loader's values.

use std::mem::discriminant;
use wasmc_loader::{AnyRef, ExternRef, HeapType as Heap, Rooted, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// The value that an argument stands for.
pub(super) fn argument(store: &mut Store<()>, argument: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(argument) = argument else { return Err("a component's value as argument".to_owned()) };
    Ok(match argument {
        WastArgCore::I32(x) => Val::I32(*x),
        WastArgCore::I64(x) => Val::I64(*x),
        WastArgCore::F32(x) => Val::F32(x.bits),
        WastArgCore::F64(x) => Val::F64(x.bits),
        WastArgCore::V128(x) => Val::V128(u128::from_le_bytes(x.to_le_bytes()).into()),
        WastArgCore::RefNull(ty) => null(ty).ok_or_else(|| format!("no null of type {ty:?} can be passed"))?,
        WastArgCore::RefExtern(x) => Val::ExternRef(Some(host(store, *x)?)),
        WastArgCore::RefHost(x) => {
            let reference = host(store, *x)?;
            Val::AnyRef(Some(AnyRef::convert_extern(store, reference).map_err(|e| format!("{e:#}"))?))
        }
    })
}

/// The host's value with a number.
fn host(store: &mut Store<()>, number: u32) -> Result<Rooted<ExternRef>, String> {
    ExternRef::new(store, number).map_err(|e| format!("{e:#}"))
}

/// The null reference of an abstract type.
fn null(ty: &HeapType<'_>) -> Option<Val> {
    use AbstractHeapType as A;
    let HeapType::Abstract { shared: false, ty } = ty else { return None };
    Some(match ty {
        A::Func | A::NoFunc => Val::FuncRef(None),
        A::Extern | A::NoExtern => Val::ExternRef(None),
        A::Exn | A::NoExn => Val::ExnRef(None),
        A::Any | A::Eq | A::I31 | A::Struct | A::Array | A::None => Val::AnyRef(None),
        A::Cont | A::NoCont => return None,
    })
}

/// Checks all results of a call.
pub(super) fn check_results(store: &Store<()>, found: &[Val], expected: &[WastRet<'_>]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("expected {} results, got {}", expected.len(), found.len()));
    }
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let WastRet::Core(expected) = expected else { return Err("a component's value as result".to_owned()) };
        if !matches(store, found, expected) {
            let place = if i == 0 { String::new() } else { format!("result {}: ", i + 1) };
            return Err(format!("{place}expected {}, got {}", show_expected(expected), show(found)));
        }
    }
    Ok(())
}

fn matches(store: &Store<()>, found: &Val, expected: &WastRetCore<'_>) -> bool {
    match (found, expected) {
        (found, WastRetCore::Either(cases)) => cases.iter().any(|case| matches(store, found, case)),
        (Val::I32(a), WastRetCore::I32(b)) => a == b,
        (Val::I64(a), WastRetCore::I64(b)) => a == b,
        (Val::F32(a), WastRetCore::F32(b)) => f32_matches(*a, b),
        (Val::F64(a), WastRetCore::F64(b)) => f64_matches(*a, b),
        (Val::V128(a), WastRetCore::V128(b)) => v128_matches(a.as_u128(), b),
        (
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None),
            WastRetCore::RefNull(None),
        ) => true,
        (found, WastRetCore::RefNull(Some(ty))) => {
            is_null(found) && null(ty).is_some_and(|null| discriminant(&null) == discriminant(found))
        }
        (Val::FuncRef(Some(_)), WastRetCore::RefFunc(_)) => true,
        (Val::ExternRef(Some(_)), WastRetCore::RefExtern(None)) => true,
        (Val::ExternRef(Some(a)), WastRetCore::RefExtern(Some(b))) => number(store, **a) == Some(*b),
        (Val::AnyRef(Some(a)), expected) => any_matches(store, **a, expected).unwrap_or(false),
        _ => false,
    }
}

fn is_null(value: &Val) -> bool {
    value.ref_().is_some_and(|reference| reference.is_null())
}

/// The number of a value of the host's.
fn number(store: &Store<()>, reference: ExternRef) -> Option<u32> {
    reference.data(store).ok()??.downcast_ref::<u32>().copied()
}

fn any_matches(store: &Store<()>, found: AnyRef, expected: &WastRetCore<'_>) -> wasmc_loader::Result<bool> {
    let ty = match expected {
        WastRetCore::RefAny => return Ok(true),
        WastRetCore::RefEq => Heap::Eq,
        WastRetCore::RefArray => Heap::Array,
        WastRetCore::RefStruct => Heap::Struct,
        WastRetCore::RefI31 => Heap::I31,
        WastRetCore::RefHost(x) => {
            let value = found.host_data(store)?.and_then(|value| value.downcast_ref::<u32>());
            return Ok(value == Some(x));
        }
        _ => return Ok(false),
    };
    found.matches_ty(store, &ty)
}

/// A canonical NaN has the quiet bit and no other in its payload; its sign is
/// free. An arithmetic NaN has the quiet bit.
fn f32_matches(found: u32, expected: &NanPattern<F32>) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => found == value.bits,
    }
}

fn f64_matches(found: u64, expected: &NanPattern<F64>) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => found == value.bits,
    }
}

fn v128_matches(found: u128, expected: &V128Pattern) -> bool {
    let lane = |index: usize, bits: usize| found >> (index * bits);
    match expected {
        V128Pattern::I8x16(lanes) => lanes.iter().enumerate().all(|(i, x)| lane(i, 8) as i8 == *x),
        V128Pattern::I16x8(lanes) => lanes.iter().enumerate().all(|(i, x)| lane(i, 16) as i16 == *x),
        V128Pattern::I32x4(lanes) => lanes.iter().enumerate().all(|(i, x)| lane(i, 32) as i32 == *x),
        V128Pattern::I64x2(lanes) => lanes.iter().enumerate().all(|(i, x)| lane(i, 64) as i64 == *x),
        V128Pattern::F32x4(lanes) => lanes.iter().enumerate().all(|(i, x)| f32_matches(lane(i, 32) as u32, x)),
        V128Pattern::F64x2(lanes) => lanes.iter().enumerate().all(|(i, x)| f64_matches(lane(i, 64) as u64, x)),
    }
}

/// A value, with floats by their bits as well.
fn show(value: &Val) -> String {
    match value {
        Val::I32(x) => format!("i32 {x} ({x:#x})"),
        Val::I64(x) => format!("i64 {x} ({x:#x})"),
        Val::F32(x) => format!("f32 {} ({x:#010x})", f32::from_bits(*x)),
        Val::F64(x) => format!("f64 {} ({x:#018x})", f64::from_bits(*x)),
        Val::V128(x) => format!("v128 {:#034x}", x.as_u128()),
        other => format!("{other:?}"),
    }
}

fn show_expected(expected: &WastRetCore<'_>) -> String {
    match expected {
        WastRetCore::I32(x) => show(&Val::I32(*x)),
        WastRetCore::I64(x) => show(&Val::I64(*x)),
        WastRetCore::F32(NanPattern::Value(x)) => show(&Val::F32(x.bits)),
        WastRetCore::F64(NanPattern::Value(x)) => show(&Val::F64(x.bits)),
        WastRetCore::Either(cases) => cases.iter().map(show_expected).collect::<Vec<_>>().join(" or "),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns_look_at_the_payload() {
        let (canonical, arithmetic) = (NanPattern::CanonicalNan, NanPattern::ArithmeticNan);
        for (bits, is_canonical, is_arithmetic) in [
            (0x7fc0_0000, true, true),
            (0xffc0_0000, true, true),
            (0x7fc0_0001, false, true),
            (0x7fa0_0000, false, false),
            (0x7f80_0000, false, false),
        ] {
            assert_eq!(f32_matches(bits, &canonical), is_canonical, "{bits:#x}");
            assert_eq!(f32_matches(bits, &arithmetic), is_arithmetic, "{bits:#x}");
        }
        assert!(f64_matches(0xfff8_0000_0000_0000, &NanPattern::CanonicalNan));
        assert!(!f64_matches(0x7ff8_0000_0000_0001, &NanPattern::CanonicalNan));
        assert!(!f64_matches(0x7ff4_0000_0000_0000, &NanPattern::ArithmeticNan));
    }

    #[test]
    fn lanes_are_counted_from_the_low_end() {
        let found = u128::from_le_bytes(*b"\x01\xff\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10");
        assert!(v128_matches(found, &V128Pattern::I8x16([1, -1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])));
        assert!(v128_matches(found, &V128Pattern::I64x2([0x0807_0605_0403_ff01, 0x100f_0e0d_0c0b_0a09])));
        assert!(!v128_matches(found, &V128Pattern::I64x2([0x0807_0605_0403_ff01, 0])));
    }
}
