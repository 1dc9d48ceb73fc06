//! The types that an engine has seen. Compiled code compares ids only, so no
//! two types may have the same one.
//!
//! Types are looked up by every thread that calls functions, and are added
//! when a module is loaded or a host function defined. So looking one up takes
//! no lock and writes nothing: entries stay where they are for ever, in tables
//! of which each is twice as large as the one before it.

use crate::error::{Error, Result};
use crate::parts;
use crate::sys;
use crate::types::FuncType;
use crate::vm::once::SetOnce;
use crate::vm::shared::Padded;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use wasmc_artifacts::abi::descriptor::{Descriptor, ObjectKind};
use wasmc_artifacts::abi::{self, SubType, TypeId, TypeKind, TypeOutline};

/// Entries of the first table.
const SMALLEST: usize = 64;

/// Enough for more types than there is memory for.
const TABLES: usize = 40;

struct Entry {
    id: u64,
    encoding: Box<[u8]>,
    supertype: Option<TypeId>,
    /// Whether nothing but its parameters and results tells the function type:
    /// `UNKNOWN` until somebody asks, since finding out takes a hash.
    plain: AtomicU8,
}

const UNKNOWN: u8 = 2;

impl Entry {
    fn new(id: u64, encoding: &[u8]) -> Entry {
        let supertype = TypeOutline::of(encoding).and_then(|ty| ty.supertype);
        Entry { id, encoding: encoding.into(), supertype, plain: AtomicU8::new(UNKNOWN) }
    }

    fn is_plain(&self) -> bool {
        // Whoever finds that it is unknown finds out the same.
        match self.plain.load(Ordering::Relaxed) {
            UNKNOWN => {
                let ty = TypeOutline::of(&self.encoding);
                let plain = ty.is_some_and(|ty| ty.is_final && ty.supertype.is_none() && ty.kind == TypeKind::Func);
                // Others look the same as part of a group of types.
                let plain = plain && TypeId::alone(&self.encoding).0 == self.id;
                self.plain.store(plain.into(), Ordering::Relaxed);
                plain
            }
            known => known != 0,
        }
    }
}

/// A type has at most so many supertypes: validation allows 63. Types of
/// artifacts that say otherwise end here.
const MAX_DEPTH: usize = 64;

/// A hash table with linear probing; at least one in four places is empty.
type Table = Box<[SetOnce<Entry>]>;

/// What only those need who add types.
#[derive(Default)]
struct Additions {
    /// Number of tables, and of entries in the last one.
    tables: usize,
    entries: usize,
    /// Encodings of the host's types in order, each with its id, which is
    /// expensive to compute.
    ids: Vec<(Vec<u8>, u64)>,
}

/// The types that an engine has seen, by id.
pub(crate) struct TypeRegistry {
    /// Randomly keyed, so that nobody can choose types that collide in it.
    key: u64,
    tables: [SetOnce<Table>; TABLES],
    additions: Padded<Mutex<Additions>>,
}

/// Two different types have the same id.
#[derive(Debug, thiserror::Error)]
#[error("the types {first} and {second} have the same id {id:016x}; modules that use both cannot share an engine")]
struct TypeCollision {
    first: String,
    second: String,
    id: u64,
}

/// A type that is defined in a module which the engine has not seen.
#[derive(Debug, thiserror::Error)]
#[error("the function type {ty} is not known to this engine; it comes from a module of another one")]
struct ForeignType {
    ty: String,
}

impl Default for TypeRegistry {
    fn default() -> Self {
        TypeRegistry { key: odd_number(), tables: [const { SetOnce::new() }; TABLES], additions: Padded::default() }
    }
}

/// A random odd number; some number where the system has none to give.
fn odd_number() -> u64 {
    let mut bytes = 0x9e37_79b9_7f4a_7c15_u64.to_ne_bytes();
    let _ = sys::random(&mut bytes);
    u64::from_ne_bytes(bytes) | 1
}

impl TypeRegistry {
    /// Where an entry is in a table, or nearly: the upper bits of a product
    /// with a random factor (Dietzfelbinger et al., "A reliable randomized
    /// algorithm for the closest-pair problem", 1997).
    fn place(&self, id: u64, length: usize) -> usize {
        debug_assert!(length.is_power_of_two() && length > 1, "tables have {SMALLEST} entries or more");
        (id.wrapping_mul(self.key) >> (u64::BITS - length.trailing_zeros())) as usize
    }

    /// The places of a table where an entry can be, the likeliest one first.
    fn places<'t>(&self, table: &'t [SetOnce<Entry>], id: u64) -> impl Iterator<Item = &'t SetOnce<Entry>> {
        let (before, from) = table.split_at_checked(self.place(id, table.len())).unwrap_or((&[], table));
        from.iter().chain(before)
    }

    fn entry(&self, id: u64) -> Option<&Entry> {
        self.tables.iter().map_while(SetOnce::get).find_map(|table| {
            let mut entries = self.places(table, id).map_while(SetOnce::get);
            entries.find(|entry| entry.id == id)
        })
    }

    /// The encoding of the type with this id, if the engine has seen it.
    pub(crate) fn encoding(&self, id: u64) -> Option<&[u8]> {
        Some(&self.entry(id)?.encoding)
    }

    /// The function type with this id, if the engine has seen it.
    pub(crate) fn func_type(&self, id: u64) -> Option<FuncType> {
        let entry = self.entry(id)?;
        let ty = abi::FuncType::decode(&entry.encoding).ok()?;
        Some(FuncType::defined(ty, (!entry.is_plain()).then_some(TypeId(id))))
    }

    /// Ids of a type and its supertypes, from itself upwards.
    pub(crate) fn supers(&self, id: TypeId) -> impl Iterator<Item = TypeId> {
        // Supertypes are seen before their subtypes, and never change.
        std::iter::successors(Some(id), |id| self.entry(id.0)?.supertype).take(MAX_DEPTH)
    }

    /// Whether the first type is the second or below it.
    pub(crate) fn is_subtype(&self, id: TypeId, of: TypeId) -> bool {
        self.supers(id).any(|id| id == of)
    }

    fn add(&self, additions: &mut Additions, id: u64, encoding: &[u8]) -> Result<()> {
        if let Some(known) = self.encoding(id) {
            if *known == *encoding {
                return Ok(());
            }
            if !parts::MESSAGES.is_on() {
                return Err(Error::msg("two types have the same id"));
            }
            let show = |bytes| {
                if parts::GC.is_on() {
                    return SubType::decode(bytes).map_or_else(|e| e.to_string(), |ty| ty.to_string());
                }
                abi::FuncType::decode(bytes).map_or_else(|e| e.to_string(), |ty| ty.to_string())
            };
            return Err(Error::new(TypeCollision { first: show(known), second: show(encoding), id }));
        }
        let size = |tables: usize| SMALLEST << tables.saturating_sub(1);
        if additions.tables == 0 || additions.entries >= size(additions.tables) / 4 * 3 {
            (additions.tables, additions.entries) = (additions.tables + 1, 0);
        }
        let place = self.tables.get(additions.tables - 1);
        let table = place.and_then(SetOnce::get).or_else(|| {
            let empty = (0..size(additions.tables)).map(|_| SetOnce::new()).collect();
            place?.set(empty).ok()
        });
        let table =
            table.ok_or_else(|| Error::msg("only who holds the lock adds a table, and there is room for it"))?;
        let entry = Entry::new(id, encoding);
        let added = self.places(table, id).find(|place| place.get().is_none()).is_some_and(|p| p.set(entry).is_ok());
        debug_assert!(added, "a table that is not full has room, and only who holds the lock adds to it");
        additions.entries += 1;
        Ok(())
    }

    /// The descriptor of a function type that has one, and else nothing.
    pub(crate) fn descriptor(&self, ty: &FuncType) -> Box<[u64]> {
        let Some(id) = ty.definition() else { return [].into() };
        let mut supers: Vec<TypeId> = self.supers(id).collect();
        supers.reverse();
        let descriptor = Descriptor { kind: ObjectKind::Func, supers, size: 0, refs: Vec::new() };
        descriptor.encode().as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    fn additions(&self) -> std::sync::MutexGuard<'_, Additions> {
        self.additions.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in types with their ids.
    ///
    /// # Errors
    /// If one has the id of another type.
    pub(crate) fn register<'a>(&self, types: impl Iterator<Item = (u64, &'a [u8])>) -> Result<()> {
        let mut additions = self.additions();
        for (id, encoding) in types {
            self.add(&mut additions, id, encoding)?;
        }
        Ok(())
    }

    /// The id of a type of the host's.
    ///
    /// # Errors
    /// If it is that of another type, or the type comes from a module of
    /// another engine.
    pub(crate) fn id(&self, ty: &FuncType) -> Result<u64> {
        if let Some(id) = ty.definition() {
            return match self.func_type(id.0) {
                Some(known) if known == *ty => Ok(id.0),
                _ if !parts::MESSAGES.is_on() => Err(Error::msg("a function type is of another engine")),
                _ => Err(Error::new(ForeignType { ty: ty.to_string() })),
            };
        }
        let encoding = ty.as_abi().encode();
        let mut additions = self.additions();
        let place = additions.ids.partition_point(|(known, _)| *known < encoding);
        if let Some((_, id)) = additions.ids.get(place).filter(|(known, _)| *known == encoding) {
            return Ok(*id);
        }
        let id = ty.as_abi().id().0;
        self.add(&mut additions, id, &encoding)?;
        additions.ids.insert(place, (encoding, id));
        Ok(id)
    }
}

impl fmt::Debug for TypeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.tables.iter().filter_map(SetOnce::get).flatten().filter_map(SetOnce::get);
        f.debug_list().entries(entries.map(|entry| format!("{:016x}", entry.id))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ValType;
    use std::thread;

    #[test]
    fn two_types_with_one_id_are_refused_and_named() {
        let types = TypeRegistry::default();
        let (a, b) = (FuncType::new([ValType::I32], []), FuncType::new([], [ValType::F64]));
        let (a, b) = (a.as_abi().encode(), b.as_abi().encode());
        types.register([(7, &*a)].into_iter()).unwrap();
        types.register([(7, &*a)].into_iter()).unwrap();
        let error = types.register([(7, &*b)].into_iter()).unwrap_err().to_string();
        assert!(error.contains("(i32) -> ()") && error.contains("() -> (f64)"), "{error}");
        assert_eq!(types.encoding(7), Some(&*a));
    }

    #[test]
    fn a_type_of_the_host_has_the_id_that_it_is_found_by() {
        let types = TypeRegistry::default();
        let ty = FuncType::new([ValType::I32, ValType::I64], [ValType::F32]);
        let id = types.id(&ty).unwrap();
        assert_eq!((types.id(&ty).unwrap(), ty.as_abi().id().0), (id, id));
        assert_eq!(types.func_type(id), Some(ty));
        assert_eq!(types.encoding(id ^ 1), None);
    }

    #[test]
    fn every_type_is_found_while_others_are_added() {
        const COUNT: u64 = 5000;
        let types = TypeRegistry::default();
        let encoding = |id: u64| id.to_le_bytes();
        thread::scope(|scope| {
            for part in 0..2 {
                let types = &types;
                scope.spawn(move || {
                    for id in (0..COUNT).filter(|id| id % 2 == part) {
                        types.register([(id, &encoding(id)[..])].into_iter()).unwrap();
                        for known in [part, part + (id - part) / 4 * 2, id] {
                            assert_eq!(types.encoding(known), Some(&encoding(known)[..]), "{known} after {id}");
                        }
                    }
                });
            }
        });
        assert!((0..COUNT).all(|id| types.encoding(id) == Some(&encoding(id)[..])));
        assert_eq!(types.encoding(COUNT), None);
        let entries = types.tables.iter().filter_map(SetOnce::get).flatten().filter(|e| e.get().is_some());
        assert_eq!(entries.count() as u64, COUNT);
    }
}
