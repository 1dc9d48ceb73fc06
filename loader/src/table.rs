//! Tables, as the host uses them.

use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreOpaque};
use crate::types::{TableType, ValType};
use crate::values::{Ref, Val, matches};
use crate::vm::handle::Stored;
use crate::vm::table::{OutOfBounds, TableData};

/// A table of an instance or of the host; belongs to a store.
#[derive(Debug, Clone, Copy)]
pub struct Table(pub(crate) Stored<TableData>);

fn out_of_bounds(what: &str, at: u64, count: u64, length: u64) -> Error {
    Error::msg(format!("cannot {what} {count} elements at {at} of a table that has {length}"))
}

/// A reference as an element of a table.
fn element(store: &StoreOpaque, value: Ref, expected: ValType) -> Result<u64> {
    let message =
        |found| format!("the elements of this table are of type {expected}, and the given one of type {found}");
    Ok(Val::from(value).checked_raw(store, expected, message)?.low)
}

impl Table {
    /// A table of the host's, all elements `init`.
    ///
    /// # Errors
    /// If the type is impossible or not that of `init`, there is no memory for the
    /// elements, or the store's limiter is against it.
    ///
    /// # Panics
    /// If `init` belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Table> {
        let inner = store.as_context_mut().0;
        if ty.minimum() > ty.maximum_or_limit() || !ty.element().is_ref() {
            return Err(Error::msg(format!("no table can have the type {ty}")));
        }
        let raw = element(&inner.opaque, init, ty.element())?;
        inner.limited(
            |limiter| limiter.table(&ty),
            |store| {
                let table = store.state.new_table(ty.clone(), raw);
                table.map(Table).ok_or_else(|| Error::msg("there is no memory for a table of this size"))
            },
        )
    }

    /// The type, with the current size as its minimum.
    ///
    /// # Panics
    /// If the table belongs to another store, as with every method.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> TableType {
        let table = self.0.get(store);
        table.ty().with_minimum(table.length())
    }

    /// Number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.0.get(&store.as_context().0.opaque).length()
    }

    /// The element at `index`, if there is one.
    pub fn get(&self, mut store: impl AsContextMut, index: u64) -> Option<Ref> {
        self.0.get_ref(&mut store.as_context_mut().0.opaque, index)
    }

    /// Sets the element at `index`.
    ///
    /// # Errors
    /// If there is none, or `value` is of another type.
    pub fn set(&self, store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        self.fill(store, index, value, 1)
    }

    /// Grows by `delta` elements, which are `init`; the old length.
    ///
    /// # Errors
    /// If the table cannot become that large, the store's limiter is against it, or
    /// `init` is of another type.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let inner = store.as_context_mut().0;
        let value = element(&inner.opaque, init, self.0.get(&inner.opaque).ty().element())?;
        let grown = self.0.grow(inner, delta, value)?;
        grown.ok_or_else(|| Error::msg(format!("cannot grow a {} by {delta} elements", self.ty_in(&inner.opaque))))
    }

    /// Sets `count` elements from `to` on.
    ///
    /// # Errors
    /// If there are not so many, or `value` is of another type.
    pub fn fill(&self, mut store: impl AsContextMut, to: u64, value: Ref, count: u64) -> Result<()> {
        let opaque = &store.as_context_mut().0.opaque;
        let value = element(opaque, value, self.0.get(opaque).ty().element())?;
        let table = self.0.get(opaque);
        table.fill(to, value, count).map_err(|OutOfBounds| out_of_bounds("set", to, count, table.length()))
    }

    /// Copies `count` elements from `from` of one table to `to` of another,
    /// which may be the same.
    ///
    /// # Errors
    /// If either has not so many, or their elements are of different types.
    pub fn copy(
        mut store: impl AsContextMut,
        target: &Table,
        to: u64,
        source: &Table,
        from: u64,
        count: u64,
    ) -> Result<()> {
        let opaque = &store.as_context_mut().0.opaque;
        let (target, source) = (target.0.get(opaque), source.0.get(opaque));
        if !matches(&opaque.engine, source.ty().element(), target.ty().element()) {
            let (from, to) = (source.ty().element(), target.ty().element());
            return Err(Error::msg(format!("elements of type {from} cannot be copied to a table of {to}")));
        }
        let length = target.length().min(source.length());
        target.copy(to, source, from, count).map_err(|OutOfBounds| out_of_bounds("copy", to.max(from), count, length))
    }
}
