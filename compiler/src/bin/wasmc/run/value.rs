//! Values as they are written on command lines and printed.

use anyhow::{Context, bail};
use wasmc_loader::{Val, ValType};

/// Reads a value of type `ty`: integers in decimal, signed or unsigned, or in
/// hexadecimal; floats as Rust reads them; vectors in hexadecimal; `null` for
/// references.
pub(super) fn parse(text: &str, ty: ValType) -> anyhow::Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(integer(text, 32)? as i32),
        ValType::I64 => Val::I64(integer(text, 64)? as i64),
        ValType::F32 => Val::F32(text.parse::<f32>()?.to_bits()),
        ValType::F64 => Val::F64(text.parse::<f64>()?.to_bits()),
        ValType::V128 => {
            let digits = text.strip_prefix("0x").context("a vector is written in hexadecimal, as 0x1234")?;
            Val::V128(u128::from_str_radix(digits, 16)?.into())
        }
        ValType::Ref(ty) if text == "null" && ty.nullable => Val::null_ref(&ty.heap),
        ValType::Ref(_) => bail!("a reference can only be given as `null`"),
    })
}

/// An integer of up to `bits` bits, signed or unsigned, as those bits.
fn integer(text: &str, bits: u32) -> anyhow::Result<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = match digits.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16)?,
        None => digits.parse::<u128>()?,
    };
    let limit = if negative { 1_u128 << (bits - 1) } else { (1_u128 << bits) - 1 };
    if size > limit {
        bail!("it does not fit into {bits} bits");
    }
    Ok(if negative { (size as u64).wrapping_neg() } else { size as u64 })
}

/// A result as it is printed.
pub(super) fn show(value: &Val) -> String {
    match value {
        Val::I32(x) => x.to_string(),
        Val::I64(x) => x.to_string(),
        Val::F32(x) => f32::from_bits(*x).to_string(),
        Val::F64(x) => f64::from_bits(*x).to_string(),
        Val::V128(x) => format!("{:#034x}", x.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => "null".to_owned(),
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
        Val::AnyRef(Some(_)) => "anyref".to_owned(),
        Val::ExnRef(Some(_)) => "exnref".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_signed_and_unsigned() {
        let i32_of = |text| match parse(text, ValType::I32) {
            Ok(Val::I32(x)) => Some(x),
            _ => None,
        };
        assert_eq!(i32_of("-2147483648"), Some(i32::MIN));
        assert_eq!(i32_of("4294967295"), Some(-1));
        assert_eq!(i32_of("0xffffffff"), Some(-1));
        assert_eq!(i32_of("-0x10"), Some(-16));
        assert_eq!(i32_of("4294967296"), None);
        assert_eq!(i32_of("-2147483649"), None);
        assert_eq!(i32_of("1.5"), None);
        assert!(matches!(parse("-1", ValType::I64), Ok(Val::I64(-1))));
    }
}
