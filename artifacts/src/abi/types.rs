//! Value and function types, their encoding in artifacts, and type ids.

use sha2::{Digest, Sha256};

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValType {
    /// 32-bit integer.
    I32 = 0x7f,
    /// 64-bit integer.
    I64 = 0x7e,
    /// 32-bit float.
    F32 = 0x7d,
    /// 64-bit float.
    F64 = 0x7c,
    /// 128-bit vector.
    V128 = 0x7b,
    /// Nullable reference to any function.
    FuncRef = 0x70,
    /// Nullable reference to a value of the host.
    ExternRef = 0x6f,
}

impl ValType {
    /// The type with this number (that of the wasm binary format), if any.
    pub const fn from_code(code: u8) -> Option<ValType> {
        Some(match code {
            0x7f => ValType::I32,
            0x7e => ValType::I64,
            0x7d => ValType::F32,
            0x7c => ValType::F64,
            0x7b => ValType::V128,
            0x70 => ValType::FuncRef,
            0x6f => ValType::ExternRef,
            _ => return None,
        })
    }

    /// The number that stands for this type in the wasm binary format.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether this is a reference type.
    pub const fn is_ref(self) -> bool {
        matches!(self, ValType::FuncRef | ValType::ExternRef)
    }

    /// Whether this is a number type.
    pub const fn is_num(self) -> bool {
        matches!(self, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
    }
}

impl std::fmt::Display for ValType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ValType::I32 => "i32",
            ValType::I64 => "i64",
            ValType::F32 => "f32",
            ValType::F64 => "f64",
            ValType::V128 => "v128",
            ValType::FuncRef => "funcref",
            ValType::ExternRef => "externref",
        })
    }
}

/// A structural type identity: equal ids mean equal types.
///
/// The first eight bytes of the SHA-256 of the type's encoding, never 0. Two
/// different types with one id are refused when the second is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u64);

/// Bytes that are not the encoding of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a function type")]
pub struct TypeError;

/// The type of a function.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    params: Box<[ValType]>,
    results: Box<[ValType]>,
}

impl FuncType {
    /// A type from its parameters and results.
    pub fn new(params: impl IntoIterator<Item = ValType>, results: impl IntoIterator<Item = ValType>) -> Self {
        FuncType { params: params.into_iter().collect(), results: results.into_iter().collect() }
    }

    /// Parameter types.
    pub fn params(&self) -> &[ValType] {
        &self.params
    }

    /// Result types.
    pub fn results(&self) -> &[ValType] {
        &self.results
    }

    /// The encoding: `0x60`, then for parameters and results a little-endian
    /// 32-bit count and a byte for each type.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.params.len() + self.results.len());
        out.push(0x60);
        for list in [&self.params, &self.results] {
            out.extend_from_slice(&(list.len() as u32).to_le_bytes());
            out.extend(list.iter().map(|t| t.code()));
        }
        out
    }

    /// Decodes exactly what [`encode`](Self::encode) makes.
    ///
    /// # Errors
    /// [`TypeError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<FuncType, TypeError> {
        fn list<'a>(bytes: &mut &'a [u8]) -> Option<Box<[ValType]>> {
            let (count, rest) = bytes.split_first_chunk::<4>()?;
            let (codes, rest): (&'a [u8], &'a [u8]) = rest.split_at_checked(u32::from_le_bytes(*count) as usize)?;
            *bytes = rest;
            codes.iter().map(|code| ValType::from_code(*code)).collect()
        }
        let (0x60, mut rest) = bytes.split_first().map(|(tag, rest)| (*tag, rest)).ok_or(TypeError)? else {
            return Err(TypeError);
        };
        let params = list(&mut rest).ok_or(TypeError)?;
        let results = list(&mut rest).ok_or(TypeError)?;
        if rest.is_empty() { Ok(FuncType { params, results }) } else { Err(TypeError) }
    }

    /// Whether `bytes` are the encoding of the type with these parameters and
    /// results; allocates nothing.
    pub fn is_encoding(bytes: &[u8], params: &[ValType], results: &[ValType]) -> bool {
        let mut rest = bytes;
        let mut next = || rest.split_off_first().copied();
        next() == Some(0x60)
            && [params, results].into_iter().all(|list| {
                (list.len() as u32).to_le_bytes().into_iter().all(|byte| next() == Some(byte))
                    && list.iter().all(|ty| next() == Some(ty.code()))
            })
            && next().is_none()
    }

    /// The structural identity.
    pub fn id(&self) -> TypeId {
        let digest: [u8; 32] = Sha256::digest(self.encode()).into();
        let (head, _) = digest.split_first_chunk::<8>().unwrap_or_else(|| unreachable!("a digest has 32 bytes"));
        TypeId(u64::from_le_bytes(*head).max(1))
    }
}

impl std::fmt::Display for FuncType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, t) in types.iter().enumerate() {
                write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, &self.params)?;
        f.write_str(" -> ")?;
        list(f, &self.results)
    }
}

impl std::fmt::Debug for FuncType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_survives_its_encoding() {
        let ty = FuncType::new([ValType::I32, ValType::V128], [ValType::ExternRef]);
        assert_eq!(FuncType::decode(&ty.encode()), Ok(ty.clone()));
        assert_eq!(ty.to_string(), "(i32, v128) -> (externref)");
        let encoded = ty.encode();
        assert!(FuncType::is_encoding(&encoded, ty.params(), ty.results()));
        assert!(!FuncType::is_encoding(&encoded, ty.params(), &[]));
        assert!(!FuncType::is_encoding(&encoded, &[ValType::I32, ValType::I64], ty.results()));
        for cut in 0..encoded.len() {
            assert_eq!(FuncType::decode(&encoded[..cut]), Err(TypeError));
            assert!(!FuncType::is_encoding(&encoded[..cut], ty.params(), ty.results()));
        }
    }

    #[test]
    fn ids_differ_where_types_differ() {
        let a = FuncType::new([ValType::I32], []);
        let b = FuncType::new([], [ValType::I32]);
        assert_ne!(a.id(), b.id());
        assert_eq!(a.id(), FuncType::new([ValType::I32], []).id());
    }
}
