//! Types as bytes, and the ids that are made from them.
//!
//! ```text
//! value     one byte for numbers and nullable references to abstract types, as in wasm;
//!           otherwise 0x63 (nullable) or 0x64, then a heap type
//! heap      one byte for an abstract type; otherwise the kind, then the id
//! storage   0x78 (8 bits), 0x77 (16 bits), or a value
//! field     storage, then 1 if it can change
//! func      0x60, parameters, results: each a 32-bit count and values
//! struct    0x5f, a 32-bit count, fields
//! array     0x5e, a field
//! sub       0x50 (open) or 0x4f (final), 0 or 1 and a supertype's id, then one of the three;
//!           a final type without a supertype is encoded as one of the three alone
//! ```

use super::{
    ArrayType, CompositeType, ConcreteType, FieldType, FuncType, HeapType, RefType, StorageType, StructType, SubType,
    TypeId, TypeKind, ValType,
};
use crate::rows::Scalar;
use hmac_sha256::Hash as Sha256;

/// Bytes that are not the encoding of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the encoding of a type")]
pub struct TypeError;

const NULLABLE: u8 = 0x63;
const NON_NULL: u8 = 0x64;
const OPEN: u8 = 0x50;
const FINAL: u8 = 0x4f;
const PACKED_I8: u8 = 0x78;
const PACKED_I16: u8 = 0x77;

/// The bit that every id has, and no position in a group.
const ID_BIT: u64 = 1 << 63;

impl TypeId {
    fn of(digest: &Sha256) -> TypeId {
        let digest: [u8; 32] = (*digest).finalize();
        let (head, _) = digest.split_first_chunk::<8>().unwrap_or_else(|| unreachable!("a digest has 32 bytes"));
        TypeId(u64::from_le_bytes(*head) | ID_BIT)
    }

    /// The identity of the type with this encoding if it is alone in its
    /// recursion group and does not refer to itself.
    pub fn alone(encoding: &[u8]) -> TypeId {
        let mut hash = Sha256::new();
        hash.update(encoding);
        TypeId::of(&hash)
    }

    /// What stands for the member at `position` while the ids of a group are
    /// computed.
    pub const fn relative(position: u32) -> TypeId {
        TypeId(position as u64)
    }

    fn position(self) -> Option<usize> {
        (self.0 & ID_BIT == 0).then_some(self.0 as usize)
    }
}

/// The ids of the members of a recursion group, which refer to each other by
/// [`TypeId::relative`] and to other types by their ids.
///
/// A type that is alone and does not refer to itself is identified by its own
/// encoding; any other by that of its group and its position there.
pub fn group_ids(group: &[SubType]) -> Vec<TypeId> {
    let mut hash = Sha256::new();
    let mut alone = group.len() == 1;
    for member in group {
        let recursive = std::cell::Cell::new(false);
        member.map_ids(|id| {
            recursive.set(recursive.get() || id.position().is_some());
            id
        });
        alone &= !recursive.get();
    }
    if alone {
        return vec![TypeId::alone(&group[0].encode())];
    }
    hash.update([0x4e]);
    hash.update((group.len() as u64).to_le_bytes());
    for member in group {
        hash.update(member.encode());
    }
    (0..group.len() as u64)
        .map(|position| {
            let mut member = hash;
            member.update(position.to_le_bytes());
            TypeId::of(&member)
        })
        .collect()
}

impl ValType {
    fn put(self, out: &mut Vec<u8>) {
        let number = match self {
            ValType::I32 => 0x7f,
            ValType::I64 => 0x7e,
            ValType::F32 => 0x7d,
            ValType::F64 => 0x7c,
            ValType::V128 => 0x7b,
            ValType::Ref(RefType { nullable, heap }) => {
                let prefix = if nullable { NULLABLE } else { NON_NULL };
                if let HeapType::Concrete(ConcreteType { kind, id }) = heap {
                    out.extend_from_slice(&[prefix, kind as u8]);
                    return out.extend_from_slice(&id.0.to_le_bytes());
                }
                let code = heap.code().unwrap_or(0);
                // Nullable ones have a code of their own.
                return out.extend_from_slice(&[prefix, code][usize::from(nullable)..]);
            }
        };
        out.push(number);
    }

    fn get(bytes: &mut &[u8]) -> Option<ValType> {
        Some(match *bytes.split_off_first()? {
            0x7f => ValType::I32,
            0x7e => ValType::I64,
            0x7d => ValType::F32,
            0x7c => ValType::F64,
            0x7b => ValType::V128,
            code @ (NULLABLE | NON_NULL) => {
                let heap = *bytes.split_off_first()?;
                let heap = match TypeKind::from_code(heap) {
                    Some(kind) => HeapType::Concrete(ConcreteType { kind, id: get_id(bytes)? }),
                    None => HeapType::from_code(heap).filter(|_| code == NON_NULL)?,
                };
                ValType::Ref(RefType { nullable: code == NULLABLE, heap })
            }
            code => ValType::Ref(RefType { nullable: true, heap: HeapType::from_code(code)? }),
        })
    }
}

fn get_id(bytes: &mut &[u8]) -> Option<TypeId> {
    let (id, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(TypeId(u64::from_le_bytes(*id))).filter(|id| id.position().is_none())
}

fn put_list<T: Copy>(list: &[T], out: &mut Vec<u8>, put: impl Fn(T, &mut Vec<u8>)) {
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    for item in list {
        put(*item, out);
    }
}

fn get_list<T>(bytes: &mut &[u8], get: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Box<[T]>> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    let count = u32::from_le_bytes(*count) as usize;
    // Every item takes at least a byte.
    if count > bytes.len() {
        return None;
    }
    (0..count).map(|_| get(bytes)).collect()
}

impl FieldType {
    fn put(self, out: &mut Vec<u8>) {
        match self.storage {
            StorageType::I8 => out.push(PACKED_I8),
            StorageType::I16 => out.push(PACKED_I16),
            StorageType::Val(ty) => ty.put(out),
        }
        out.push(self.mutable.into());
    }

    fn get(bytes: &mut &[u8]) -> Option<FieldType> {
        let storage = match *bytes.first()? {
            PACKED_I8 => StorageType::I8,
            PACKED_I16 => StorageType::I16,
            _ => StorageType::Val(ValType::get(bytes)?),
        };
        if !matches!(storage, StorageType::Val(_)) {
            bytes.split_off_first()?;
        }
        let mutable = match bytes.split_off_first()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(FieldType { storage, mutable })
    }
}

impl CompositeType {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind() as u8);
        match self {
            CompositeType::Func(ty) => ty.put_lists(out),
            CompositeType::Struct(ty) => put_list(&ty.fields, out, FieldType::put),
            CompositeType::Array(ty) => ty.element.put(out),
        }
    }

    fn get(kind: TypeKind, bytes: &mut &[u8]) -> Option<CompositeType> {
        Some(match kind {
            TypeKind::Func => CompositeType::Func(FuncType::get(bytes)?),
            TypeKind::Struct => CompositeType::Struct(StructType { fields: get_list(bytes, FieldType::get)? }),
            TypeKind::Array => CompositeType::Array(ArrayType { element: FieldType::get(bytes)? }),
        })
    }
}

impl SubType {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.is_plain() {
            out.push(if self.is_final { FINAL } else { OPEN });
            out.push(self.supertype.is_some().into());
            out.extend(self.supertype.iter().flat_map(|id| id.0.to_le_bytes()));
        }
        self.composite.put(&mut out);
        out
    }

    /// Decodes exactly what [`encode`](Self::encode) makes of a type whose ids
    /// are known.
    ///
    /// # Errors
    /// [`TypeError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<SubType, TypeError> {
        let mut rest = bytes;
        Self::get(&mut rest).filter(|_| rest.is_empty()).ok_or(TypeError)
    }

    fn get(bytes: &mut &[u8]) -> Option<SubType> {
        let TypeOutline { kind, is_final, supertype } = TypeOutline::get(bytes)?;
        Some(SubType { is_final, supertype, composite: CompositeType::get(kind, bytes)? })
    }
}

/// What can be said of an encoded type without making one, which allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeOutline {
    /// What kind of type it is.
    pub kind: TypeKind,
    /// Whether nothing can be declared to be its subtype.
    pub is_final: bool,
    /// Its supertype.
    pub supertype: Option<TypeId>,
}

impl TypeOutline {
    /// The outline of the type that `bytes` encode; `None` for any other bytes.
    pub fn of(bytes: &[u8]) -> Option<TypeOutline> {
        let mut rest = bytes;
        let outline = Self::get(&mut rest)?;
        match outline.kind {
            TypeKind::Func => [(); 2].iter().try_for_each(|()| skip_list(&mut rest, ValType::get)),
            TypeKind::Struct => skip_list(&mut rest, FieldType::get),
            TypeKind::Array => FieldType::get(&mut rest).map(drop),
        }?;
        rest.is_empty().then_some(outline)
    }

    /// Reads all that comes before parameters, fields or element.
    fn get(bytes: &mut &[u8]) -> Option<TypeOutline> {
        let (mut code, mut is_final, mut supertype) = (*bytes.split_off_first()?, true, None);
        if matches!(code, OPEN | FINAL) {
            is_final = code == FINAL;
            supertype = match *bytes.split_off_first()? {
                // There is one encoding only of each type, and this one has a shorter one.
                0 if is_final => return None,
                0 => None,
                1 => Some(get_id(bytes)?),
                _ => return None,
            };
            code = *bytes.split_off_first()?;
        }
        Some(TypeOutline { kind: TypeKind::from_code(code)?, is_final, supertype })
    }
}

fn skip_list<T>(bytes: &mut &[u8], get: fn(&mut &[u8]) -> Option<T>) -> Option<()> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    // Every item takes at least a byte, so this ends soon whatever the count is.
    (0..u32::from_le_bytes(*count)).try_for_each(|_| get(bytes).map(drop))
}

impl FuncType {
    /// The encoding as a type that is final and has no supertype.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![TypeKind::Func as u8];
        self.put_lists(&mut out);
        out
    }

    fn put_lists(&self, out: &mut Vec<u8>) {
        put_list(&self.params, out, ValType::put);
        put_list(&self.results, out, ValType::put);
    }

    /// The function type that `bytes` encode, whatever its sub- and
    /// supertypes are.
    ///
    /// # Errors
    /// [`TypeError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<FuncType, TypeError> {
        let mut rest = bytes;
        let ty = match TypeOutline::get(&mut rest) {
            Some(TypeOutline { kind: TypeKind::Func, .. }) => FuncType::get(&mut rest),
            _ => None,
        };
        ty.filter(|_| rest.is_empty()).ok_or(TypeError)
    }

    fn get(bytes: &mut &[u8]) -> Option<FuncType> {
        let (params, results) = (get_list(bytes, ValType::get)?, get_list(bytes, ValType::get)?);
        Some(FuncType { params, results })
    }

    /// Whether `bytes` encode a function type with these parameters and
    /// results; allocates nothing.
    pub fn is_encoding(bytes: &[u8], params: &[ValType], results: &[ValType]) -> bool {
        let mut rest = bytes;
        TypeOutline::get(&mut rest).is_some_and(|ty| ty.kind == TypeKind::Func)
            && [params, results].into_iter().all(|list| {
                rest.split_off(..4).is_some_and(|count| *count == (list.len() as u32).to_le_bytes())
                    && list.iter().all(|ty| ValType::get(&mut rest) == Some(*ty))
            })
            && rest.is_empty()
    }

    /// The identity of this type if it is final, has no supertype, and is
    /// alone in its recursion group.
    pub fn id(&self) -> TypeId {
        TypeId::alone(&self.encode())
    }
}

/// A value type in a row of the format: its encoding, and zeros after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValTypeCode([u8; 10]);

impl From<ValType> for ValTypeCode {
    fn from(ty: ValType) -> ValTypeCode {
        let mut bytes = Vec::with_capacity(10);
        ty.put(&mut bytes);
        bytes.resize(10, 0);
        ValTypeCode(bytes.try_into().unwrap_or_default())
    }
}

impl ValTypeCode {
    /// The type, if it is one.
    pub fn ty(self) -> Option<ValType> {
        let mut rest = &self.0[..];
        let ty = ValType::get(&mut rest)?;
        rest.iter().all(|byte| *byte == 0).then_some(ty)
    }
}

impl Scalar for ValTypeCode {
    const SIZE: usize = 10;
    fn get(bytes: &[u8]) -> Option<Self> {
        Some(ValTypeCode(bytes.get(..10)?.try_into().ok()?))
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(nullable: bool, kind: TypeKind, id: TypeId) -> ValType {
        ValType::Ref(RefType { nullable, heap: HeapType::Concrete(ConcreteType { kind, id }) })
    }

    fn node(next: TypeId, supertype: Option<TypeId>) -> SubType {
        let value = FieldType { storage: StorageType::I16, mutable: true };
        let next = FieldType { storage: StorageType::Val(reference(true, TypeKind::Struct, next)), mutable: false };
        let composite = CompositeType::Struct(StructType { fields: [value, next].into() });
        SubType { is_final: false, supertype, composite }
    }

    #[test]
    fn a_type_survives_its_encoding_and_no_part_of_it_is_one() {
        let id = TypeId(ID_BIT | 77);
        let func =
            FuncType::new([ValType::I32, ValType::V128], [ValType::EXTERNREF, reference(false, TypeKind::Array, id)]);
        let array = CompositeType::Array(ArrayType {
            element: FieldType {
                storage: StorageType::Val(ValType::Ref(RefType::new(false, HeapType::I31))),
                mutable: true,
            },
        });
        for ty in [
            SubType::plain(CompositeType::Func(func.clone())),
            node(id, Some(id)),
            node(id, None),
            SubType::plain(array),
        ] {
            let encoded = ty.encode();
            assert_eq!(SubType::decode(&encoded), Ok(ty.clone()));
            for cut in 0..encoded.len() {
                assert_eq!(SubType::decode(&encoded[..cut]), Err(TypeError), "{ty} cut at {cut}");
            }
            let mut longer = encoded;
            longer.push(0);
            assert_eq!(SubType::decode(&longer), Err(TypeError));
        }
        assert_eq!(FuncType::decode(&func.encode()), Ok(func));
        assert_eq!(SubType::decode(&node(TypeId::relative(0), None).encode()), Err(TypeError));
    }

    #[test]
    fn a_function_type_is_recognised_in_place() {
        let ty = FuncType::new([ValType::I32, ValType::V128], [ValType::EXTERNREF]);
        let open =
            SubType { is_final: false, supertype: Some(TypeId(ID_BIT)), composite: CompositeType::Func(ty.clone()) };
        for encoded in [ty.encode(), open.encode()] {
            assert!(FuncType::is_encoding(&encoded, ty.params(), ty.results()));
            assert!(!FuncType::is_encoding(&encoded, ty.params(), &[]));
            assert!(!FuncType::is_encoding(&encoded, &[ValType::I32, ValType::I64], ty.results()));
            for cut in 0..encoded.len() {
                assert!(!FuncType::is_encoding(&encoded[..cut], ty.params(), ty.results()));
            }
        }
        assert_eq!(ty.to_string(), "(i32, v128) -> (externref)");
    }

    #[test]
    fn ids_tell_structure_group_and_position_apart() {
        let a = FuncType::new([ValType::I32], []);
        let b = FuncType::new([], [ValType::I32]);
        assert_ne!(a.id(), b.id());
        assert_eq!(group_ids(&[SubType::plain(CompositeType::Func(a.clone()))]), [a.id()]);
        let (first, second) = (TypeId::relative(0), TypeId::relative(1));
        let own = group_ids(&[node(first, None)]);
        let pair = group_ids(&[node(first, None), node(first, None)]);
        let crossed = group_ids(&[node(second, None), node(first, None)]);
        let mut all = [own, pair, crossed].concat();
        assert_eq!(group_ids(&[node(second, None), node(first, None)]), all[3..]);
        assert!(all.iter().all(|id| id.position().is_none()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_value_type_survives_its_row() {
        for ty in
            [ValType::F32, ValType::FUNCREF, ValType::NULLREF, reference(true, TypeKind::Func, TypeId(ID_BIT | 5))]
        {
            assert_eq!(ValTypeCode::from(ty).ty(), Some(ty));
        }
        assert_eq!(ValTypeCode([0x7f, 1, 0, 0, 0, 0, 0, 0, 0, 0]).ty(), None);
        assert_eq!(ValTypeCode([1; 10]).ty(), None);
    }
}
