//! Values as the host sees them.

use crate::func::Func;
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::ValType;
use crate::vm::handle::{StoreId, wrong_store};
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A 128-bit vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct V128(u128);

impl V128 {
    /// The bits; lane 0 is in the lowest ones.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for V128 {
    fn from(bits: u128) -> V128 {
        V128(bits)
    }
}
impl From<V128> for u128 {
    fn from(vector: V128) -> u128 {
        vector.0
    }
}

impl fmt::Debug for V128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#034x}", self.0)
    }
}

/// A reference from wasm to a value of the host's.
///
/// A handle, valid in one store. The value stays alive until that store is
/// dropped. The same value taken in twice, as the same `Arc`, is the same
/// reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExternRef {
    /// Of the table of values, not of the store.
    table: StoreId,
    handle: NonZeroU32,
}

impl ExternRef {
    /// A reference to a new value.
    ///
    /// # Panics
    /// If the store has 2³² values already.
    pub fn new(store: impl AsContextMut, value: impl Any + Send + Sync) -> ExternRef {
        Self::from_arc(store, Arc::new(value))
    }

    /// The reference to this value.
    ///
    /// # Panics
    /// If the store has 2³² values already.
    pub fn from_arc(mut store: impl AsContextMut, value: Arc<dyn Any + Send + Sync>) -> ExternRef {
        let opaque = &mut store.as_context_mut().0.opaque;
        let handle = opaque.externs.intern(value);
        ExternRef { table: opaque.externs.id, handle }
    }

    /// The value.
    ///
    /// # Panics
    /// If the reference belongs to another store.
    pub fn data<'a, T: 'static>(&self, store: impl Into<crate::StoreContext<'a, T>>) -> &'a (dyn Any + Send + Sync) {
        let opaque = &store.into().0.opaque;
        self.handle(opaque);
        opaque.externs.get(self.handle).unwrap_or_else(|| wrong_store())
    }

    /// The value, shared.
    ///
    /// # Panics
    /// If the reference belongs to another store.
    pub fn to_arc(&self, store: impl AsContext) -> Arc<dyn Any + Send + Sync> {
        let opaque = &store.as_context().0.opaque;
        self.handle(opaque);
        opaque.externs.shared(self.handle).unwrap_or_else(|| wrong_store())
    }

    pub(crate) fn handle(&self, store: &StoreOpaque) -> u32 {
        if self.table != store.externs.id {
            wrong_store();
        }
        self.handle.get()
    }

    pub(crate) fn from_handle(handle: u32, store: &StoreOpaque) -> Option<ExternRef> {
        Some(ExternRef { table: store.externs.id, handle: NonZeroU32::new(handle)? })
    }
}

/// How many values an emptied table may have room for.
const CAPACITY_KEPT: usize = 256;

/// The host's values that a store knows by handle: value `i` has handle
/// `before + i + 1`.
pub(crate) struct ExternTable {
    /// The store's, until the table is cleared for the first time.
    id: StoreId,
    /// Handles that were used before the table was last cleared.
    before: u32,
    values: Vec<Arc<dyn Any + Send + Sync>>,
    /// Addresses are not for others to choose: a random hash, to be seeded for
    /// every store, would protect from nothing.
    by_address: HashMap<usize, NonZeroU32, BuildHasherDefault<DefaultHasher>>,
}

impl ExternTable {
    /// An empty table of a store.
    pub(crate) fn new(store: StoreId) -> ExternTable {
        ExternTable { id: store, before: 0, values: Vec::new(), by_address: HashMap::default() }
    }

    /// Drops all values. References made before are as foreign to the table as
    /// those of another store. Nothing in wasm should hold a handle any more;
    /// if something does, it does not get another value in its place either,
    /// since numbers go on, at least for the next 2³¹ of them.
    pub(crate) fn clear(&mut self) {
        self.id = StoreId::next();
        let used = self.before as usize + self.values.len();
        self.before = u32::try_from(used).ok().filter(|used| *used < 1 << 31).unwrap_or(0);
        self.by_address.clear();
        self.by_address.shrink_to(CAPACITY_KEPT);
        self.values.clear();
        self.values.shrink_to(CAPACITY_KEPT);
    }

    /// Where the value with this handle is.
    fn index(&self, handle: NonZeroU32) -> Option<usize> {
        (handle.get() - 1).checked_sub(self.before).map(|index| index as usize)
    }

    fn intern(&mut self, value: Arc<dyn Any + Send + Sync>) -> NonZeroU32 {
        // Values without a size may share an address and still be different.
        let address = (size_of_val(&*value) > 0).then(|| Arc::as_ptr(&value).cast::<()>() as usize);
        if let Some(known) = address.and_then(|address| self.by_address.get(&address)) {
            return *known;
        }
        self.values.push(value);
        let number = self.before as usize + self.values.len();
        let handle = u32::try_from(number).ok().and_then(NonZeroU32::new);
        let handle = handle.unwrap_or_else(|| panic!("a store can refer to at most 2^32 - 1 values of the host"));
        if let Some(address) = address {
            self.by_address.insert(address, handle);
        }
        handle
    }

    fn get(&self, handle: NonZeroU32) -> Option<&(dyn Any + Send + Sync)> {
        self.values.get(self.index(handle)?).map(|value| &**value)
    }

    fn shared(&self, handle: NonZeroU32) -> Option<Arc<dyn Any + Send + Sync>> {
        self.values.get(self.index(handle)?).cloned()
    }
}

/// A value of any type. Floats are given as their bits.
#[derive(Debug, Clone, Copy)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector.
    V128(V128),
    /// Function, or null.
    FuncRef(Option<Func>),
    /// Value of the host's, or null.
    ExternRef(Option<ExternRef>),
}

impl Val {
    /// The type.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    /// Zero, or null.
    pub fn default_for(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(V128(0)),
            ty if ty.is_func_ref() => Val::FuncRef(None),
            ValType::Ref(_) => Val::ExternRef(None),
        }
    }

    /// The number, if it is an i32.
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(v) = self { Some(*v) } else { None }
    }

    /// The number, if it is an i64.
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(v) = self { Some(*v) } else { None }
    }

    /// The number, if it is an f32.
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(v) = self { Some(f32::from_bits(*v)) } else { None }
    }

    /// The number, if it is an f64.
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(v) = self { Some(f64::from_bits(*v)) } else { None }
    }

    /// The vector, if it is one.
    pub fn v128(&self) -> Option<V128> {
        if let Val::V128(v) = self { Some(*v) } else { None }
    }

    /// The reference, if it is one.
    pub fn ref_(&self) -> Option<Ref> {
        match self {
            Val::FuncRef(func) => Some(Ref::Func(*func)),
            Val::ExternRef(value) => Some(Ref::Extern(*value)),
            _ => None,
        }
    }

    fn expected(&self, ty: ValType) -> ! {
        panic!("expected a value of type {ty}, found one of type {}", self.ty())
    }

    /// The number.
    ///
    /// # Panics
    /// If it is not an i32.
    #[track_caller]
    pub fn unwrap_i32(&self) -> i32 {
        self.i32().unwrap_or_else(|| self.expected(ValType::I32))
    }

    /// The number.
    ///
    /// # Panics
    /// If it is not an i64.
    #[track_caller]
    pub fn unwrap_i64(&self) -> i64 {
        self.i64().unwrap_or_else(|| self.expected(ValType::I64))
    }

    /// The number.
    ///
    /// # Panics
    /// If it is not an f32.
    #[track_caller]
    pub fn unwrap_f32(&self) -> f32 {
        self.f32().unwrap_or_else(|| self.expected(ValType::F32))
    }

    /// The number.
    ///
    /// # Panics
    /// If it is not an f64.
    #[track_caller]
    pub fn unwrap_f64(&self) -> f64 {
        self.f64().unwrap_or_else(|| self.expected(ValType::F64))
    }
}

macro_rules! from {
    ($($t:ty => |$v:ident| $val:expr;)*) => {$(
        impl From<$t> for Val {
            fn from($v: $t) -> Val {
                $val
            }
        }
    )*};
}

from! {
    i32 => |v| Val::I32(v);
    u32 => |v| Val::I32(v as i32);
    i64 => |v| Val::I64(v);
    u64 => |v| Val::I64(v as i64);
    f32 => |v| Val::F32(v.to_bits());
    f64 => |v| Val::F64(v.to_bits());
    V128 => |v| Val::V128(v);
    Func => |v| Val::FuncRef(Some(v));
    Option<Func> => |v| Val::FuncRef(v);
    ExternRef => |v| Val::ExternRef(Some(v));
    Option<ExternRef> => |v| Val::ExternRef(v);
    Ref => |v| match v {
        Ref::Func(func) => Val::FuncRef(func),
        Ref::Extern(value) => Val::ExternRef(value),
    };
}

/// A reference of either type: what tables hold.
#[derive(Debug, Clone, Copy)]
pub enum Ref {
    /// Function, or null.
    Func(Option<Func>),
    /// Value of the host's, or null.
    Extern(Option<ExternRef>),
}

impl Ref {
    /// The null reference of a type.
    ///
    /// # Panics
    /// If it is not a reference type.
    #[track_caller]
    pub fn null(ty: ValType) -> Ref {
        match ty {
            ValType::FUNCREF => Ref::Func(None),
            ValType::EXTERNREF => Ref::Extern(None),
            ty => panic!("{ty} is not a type of references"),
        }
    }

    /// The type.
    pub fn ty(&self) -> ValType {
        match self {
            Ref::Func(_) => ValType::FUNCREF,
            Ref::Extern(_) => ValType::EXTERNREF,
        }
    }

    /// Whether it refers to nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Ref::Func(None) | Ref::Extern(None))
    }
}

impl From<Func> for Ref {
    fn from(func: Func) -> Ref {
        Ref::Func(Some(func))
    }
}
impl From<ExternRef> for Ref {
    fn from(value: ExternRef) -> Ref {
        Ref::Extern(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, Store};

    #[test]
    fn a_value_of_the_host_has_one_reference_in_a_store() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let shared: Arc<dyn Any + Send + Sync> = Arc::new(5u32);
        let a = ExternRef::from_arc(&mut store, shared.clone());
        let b = ExternRef::from_arc(&mut store, shared);
        assert_eq!(a, b);
        let c = ExternRef::new(&mut store, 5u32);
        assert_ne!(a, c);
        assert_eq!(c.data(&store).downcast_ref(), Some(&5u32));
        let (unit, other) = (ExternRef::new(&mut store, ()), ExternRef::new(&mut store, ()));
        assert_ne!(unit, other);
    }

    #[test]
    fn a_cleared_table_has_dropped_its_values_and_knows_no_earlier_reference() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let value = Arc::new(1u32);
        let old = ExternRef::from_arc(&mut store, value.clone());
        let used = old.handle(&store.as_context().0.opaque);
        store.as_context_mut().0.opaque.externs.clear();
        assert_eq!(Arc::strong_count(&value), 1);
        let new = ExternRef::from_arc(&mut store, value);
        assert_ne!(old, new);
        assert_eq!(new.data(&store).downcast_ref(), Some(&1u32));
        let opaque = &store.as_context().0.opaque;
        let stale = ExternRef::from_handle(used, opaque).unwrap();
        for reference in [old, stale] {
            let read = std::panic::AssertUnwindSafe(|| reference.data(&store).is::<u32>());
            std::panic::catch_unwind(read).unwrap_err();
        }
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| old.handle(opaque))).unwrap_err();
    }

    #[test]
    fn a_table_that_is_cleared_over_and_over_never_runs_out_of_numbers() {
        let mut table = ExternTable::new(StoreId::next());
        table.before = (1 << 31) - 1;
        let value: Arc<dyn Any + Send + Sync> = Arc::new(1u32);
        for handle in [1 << 31, 1] {
            assert_eq!(table.intern(value.clone()).get(), handle);
            table.clear();
        }
    }

    #[test]
    #[should_panic(expected = "every object belongs to the store it was made in")]
    fn a_reference_of_another_store_is_refused() {
        let engine = Engine::default();
        let reference = ExternRef::new(Store::new(&engine, ()), 1u32);
        reference.data(&Store::new(&engine, ()));
    }
}
