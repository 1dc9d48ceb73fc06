//! Tables whose elements' type the Rust compiler knows.

use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::func::Func;
use crate::refs::{AnyRef, ExnRef, ExternRef, Rooted};
use crate::store::{AsContext, AsContextMut};
use crate::table::Table;
use crate::types::{HeapType, RefType, TableType, ValType};
use crate::values::Ref;
use std::fmt;
use std::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// What a [`TypedTable`] consists of: a [`Func`], or a [`Rooted`] [`ExternRef`],
/// [`AnyRef`] or [`ExnRef`]; each of them in an `Option` where null is allowed.
pub trait TableElement: sealed::Sealed + Copy + Into<Ref> + 'static {
    /// The type of the table's elements.
    const TYPE: ValType;

    /// The element that a reference is, if it is of this type.
    fn from_ref(reference: Ref) -> Option<Self>;
}

macro_rules! elements {
    ($($t:ty, $heap:ident, $variant:ident;)*) => {$(
        impl sealed::Sealed for $t {}
        impl TableElement for $t {
            const TYPE: ValType = ValType::Ref(RefType::new(false, HeapType::$heap));
            fn from_ref(reference: Ref) -> Option<Self> {
                if let Ref::$variant(value) = reference { value } else { None }
            }
        }
        impl sealed::Sealed for Option<$t> {}
        impl TableElement for Option<$t> {
            const TYPE: ValType = ValType::Ref(RefType::new(true, HeapType::$heap));
            fn from_ref(reference: Ref) -> Option<Self> {
                if let Ref::$variant(value) = reference { Some(value) } else { None }
            }
        }
    )*};
}

elements! {
    Func, Func, Func;
    Rooted<ExternRef>, Extern, Extern;
    Rooted<AnyRef>, Any, Any;
    Rooted<ExnRef>, Exn, Exn;
}

/// A table with elements of type `R`; belongs to a store.
///
/// ```
/// use wasmc_loader::bindings::TypedTable;
/// use wasmc_loader::{Engine, Func, Result, Store, TableType, ValType};
///
/// # fn main() -> Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let ty = TableType::new(ValType::FUNCREF, 2, None);
/// let table = TypedTable::<Option<Func>>::new(&mut store, ty, None)?;
/// let func = Func::wrap(&mut store, |a: i32| a + 1);
/// table.set(&mut store, 1, Some(func))?;
/// assert!(table.get(&mut store, 1).is_some_and(|element| element.is_some()));
/// assert!(table.get(&mut store, 2).is_none());
/// # Ok(())
/// # }
/// ```
pub struct TypedTable<R>(Table, PhantomData<fn() -> R>);

impl<R> Clone for TypedTable<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for TypedTable<R> {}

impl<R> fmt::Debug for TypedTable<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All methods panic if they are given another store.
impl<R: TableElement> TypedTable<R> {
    /// A table of the host's, all elements `init`.
    ///
    /// # Errors
    /// If the type is impossible or its elements are not of type `R`, or there
    /// is no memory for the elements.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: R) -> Result<Self> {
        let table = Table::new(&mut store, ty, init.into())?;
        Self::of(store, table)
    }

    /// A table with its type.
    ///
    /// # Errors
    /// If its elements are not of type `R`.
    pub fn of(store: impl AsContext, table: Table) -> Result<Self> {
        let found = table.ty(store).element();
        if found == R::TYPE {
            return Ok(TypedTable(table, PhantomData));
        }
        Err(Error::msg(format!("expected a table with elements of type {}, found {found}", R::TYPE)))
    }

    /// The table without its type.
    pub fn table(&self) -> Table {
        self.0
    }

    /// The type, with the current size as its minimum.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        self.0.ty(store)
    }

    /// Number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.0.size(store)
    }

    /// The element at `index`, if there is one.
    pub fn get(&self, store: impl AsContextMut, index: u64) -> Option<R> {
        R::from_ref(self.0.get(store, index)?)
    }

    /// Sets the element at `index`.
    ///
    /// # Errors
    /// If there is none, or `value` is a reference whose scope has ended.
    pub fn set(&self, store: impl AsContextMut, index: u64, value: R) -> Result<()> {
        self.0.set(store, index, value.into())
    }

    /// Grows by `delta` elements, which are `init`; the old length.
    ///
    /// # Errors
    /// If the table cannot become that large, or `init` is a reference whose
    /// scope has ended.
    pub fn grow(&self, store: impl AsContextMut, delta: u64, init: R) -> Result<u64> {
        self.0.grow(store, delta, init.into())
    }

    /// Sets `count` elements from `to` on.
    ///
    /// # Errors
    /// If there are not so many, or `value` is a reference whose scope has
    /// ended.
    pub fn fill(&self, store: impl AsContextMut, to: u64, value: R, count: u64) -> Result<()> {
        self.0.fill(store, to, value.into(), count)
    }
}

impl<R> From<TypedTable<R>> for Extern {
    fn from(table: TypedTable<R>) -> Extern {
        Extern::Table(table.0)
    }
}
