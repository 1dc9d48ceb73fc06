//! Types of everything that modules import and export, and what it means for
//! one to be provided where another is expected.

mod builder;
mod defaults;
mod func;

pub use builder::MemoryTypeBuilder;
pub(crate) use defaults::has_default;
pub use func::FuncType;

use crate::engine::Engine;
use std::fmt;
use wasmc_artifacts::abi::{ConcreteType, WASM_PAGE_SIZE};
pub use wasmc_artifacts::abi::{HeapType, RefType, ValType};
use wasmc_artifacts::format;

/// Whether a global can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// It cannot.
    Const,
    /// It can.
    Var,
}

/// The type of a global.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GlobalType {
    content: ValType,
    mutability: Mutability,
}

impl GlobalType {
    /// A type from its parts.
    pub fn new(content: ValType, mutability: Mutability) -> GlobalType {
        GlobalType { content, mutability }
    }

    /// The type of the value.
    pub fn content(&self) -> &ValType {
        &self.content
    }

    /// Whether the value can change.
    pub fn mutability(&self) -> Mutability {
        self.mutability
    }

    pub(crate) fn of_row(row: &format::Global) -> Option<GlobalType> {
        let mutability = if row.mutable != 0 { Mutability::Var } else { Mutability::Const };
        Some(GlobalType { content: row.ty.ty()?, mutability })
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => write!(f, "global {}", self.content),
            Mutability::Var => write!(f, "global (mut {})", self.content),
        }
    }
}

/// The type of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableType {
    element: ValType,
    minimum: u64,
    maximum: Option<u64>,
    table64: bool,
}

impl TableType {
    /// A type from its element type, which is a [`RefType`] or the [`ValType`]
    /// of one, and its limits in elements.
    pub fn new(element: impl Into<ValType>, minimum: u32, maximum: Option<u32>) -> TableType {
        let element = element.into();
        TableType { element, minimum: u64::from(minimum), maximum: maximum.map(u64::from), table64: false }
    }

    /// The type of the elements.
    pub fn element(&self) -> ValType {
        self.element
    }

    /// The least number of elements.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// The largest number of elements, if there is one.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Whether indices have 64 bits.
    pub fn is_64(&self) -> bool {
        self.table64
    }

    pub(crate) fn maximum_or_limit(&self) -> u64 {
        self.maximum.unwrap_or(u64::MAX).min(if self.table64 { u64::MAX } else { u64::from(u32::MAX) })
    }

    pub(crate) fn of_row(row: &format::Table) -> Option<TableType> {
        Some(TableType {
            element: row.element.ty()?,
            minimum: row.minimum,
            maximum: (row.maximum != u64::MAX).then_some(row.maximum),
            table64: row.table64 != 0,
        })
    }

    /// The same type for something that has `length` elements now.
    pub(crate) fn with_minimum(&self, length: u64) -> TableType {
        TableType { minimum: length, ..self.clone() }
    }
}

fn limits(f: &mut fmt::Formatter<'_>, minimum: u64, maximum: Option<u64>) -> fmt::Result {
    match maximum {
        Some(maximum) => write!(f, "{minimum}..={maximum}"),
        None => write!(f, "{minimum}.."),
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of {}{} ", if self.table64 { "i64 " } else { "" }, self.element)?;
        limits(f, self.minimum, self.maximum)
    }
}

/// The type of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemoryType {
    minimum: u64,
    maximum: Option<u64>,
    page_shift: u8,
    memory64: bool,
    shared: bool,
}

impl MemoryType {
    /// A 32-bit memory with limits in pages of 64 KiB.
    pub fn new(minimum: u32, maximum: Option<u32>) -> MemoryType {
        MemoryType {
            minimum: u64::from(minimum),
            maximum: maximum.map(u64::from),
            page_shift: WASM_PAGE_SIZE.trailing_zeros() as u8,
            memory64: false,
            shared: false,
        }
    }

    /// A 32-bit memory that threads share, with limits in pages of 64 KiB.
    pub fn shared(minimum: u32, maximum: u32) -> MemoryType {
        MemoryType { shared: true, ..MemoryType::new(minimum, Some(maximum)) }
    }

    /// The least number of pages.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// The largest number of pages, if there is one.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Whether indices have 64 bits.
    pub fn is_64(&self) -> bool {
        self.memory64
    }

    /// Whether threads can share it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> u64 {
        1 << self.page_shift
    }

    /// Base-2 logarithm of the bytes in a page.
    pub fn page_size_log2(&self) -> u8 {
        self.page_shift
    }

    /// The largest number of pages that indices can address; one less if that
    /// number cannot be told.
    fn limit(&self) -> u64 {
        let (bits, most) = if self.memory64 { (64, u64::MAX) } else { (32, u32::MAX.into()) };
        u64::try_from((1u128 << bits) >> self.page_shift).unwrap_or(u64::MAX).min(most)
    }

    /// The largest number of pages that the memory can have.
    pub(crate) fn maximum_or_limit(&self) -> u64 {
        self.maximum.unwrap_or(u64::MAX).min(self.limit())
    }

    /// A number of pages in bytes, if it is a number.
    pub(crate) fn bytes(&self, pages: u64) -> Option<u64> {
        pages.checked_mul(self.page_size())
    }

    pub(crate) fn of_row(row: &format::Memory) -> MemoryType {
        MemoryType {
            minimum: row.minimum,
            maximum: (row.maximum != u64::MAX).then_some(row.maximum),
            page_shift: row.page_shift,
            memory64: row.memory64 != 0,
            shared: row.shared != 0,
        }
    }

    /// The same type for something that has `pages` pages now.
    pub(crate) fn with_limits(&self, minimum: u64, maximum: u64) -> MemoryType {
        MemoryType { minimum, maximum: Some(maximum), ..*self }
    }

    /// The same with another minimum.
    pub(crate) fn with_minimum(&self, pages: u64) -> MemoryType {
        MemoryType { minimum: pages, ..self.clone() }
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.shared { "shared " } else { "" };
        write!(f, "{prefix}memory of {}", if self.memory64 { "i64 " } else { "" })?;
        limits(f, self.minimum, self.maximum)?;
        f.write_str(" pages")?;
        if self.page_size() != WASM_PAGE_SIZE {
            write!(f, " of {} bytes", self.page_size())?;
        }
        Ok(())
    }
}

/// The type of a tag: what its exceptions carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagType {
    ty: FuncType,
}

impl TagType {
    /// A type from a function type, whose parameters are the values of an
    /// exception.
    pub fn new(ty: FuncType) -> TagType {
        TagType { ty }
    }

    /// The function type.
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {}", self.ty)
    }
}

/// The type of something that can be imported or exported.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A global.
    Global(GlobalType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A tag.
    Tag(TagType),
}

impl ExternType {
    /// The type of a function, if it is one.
    pub fn func(&self) -> Option<&FuncType> {
        if let ExternType::Func(ty) = self { Some(ty) } else { None }
    }

    /// The type of a global, if it is one.
    pub fn global(&self) -> Option<&GlobalType> {
        if let ExternType::Global(ty) = self { Some(ty) } else { None }
    }

    /// The type of a table, if it is one.
    pub fn table(&self) -> Option<&TableType> {
        if let ExternType::Table(ty) = self { Some(ty) } else { None }
    }

    /// The type of a tag, if it is one.
    pub fn tag(&self) -> Option<&TagType> {
        if let ExternType::Tag(ty) = self { Some(ty) } else { None }
    }

    /// The type of a memory, if it is one.
    pub fn memory(&self) -> Option<&MemoryType> {
        if let ExternType::Memory(ty) = self { Some(ty) } else { None }
    }

    fn expect<'a, T>(&self, found: Option<&'a T>, what: &str) -> &'a T {
        found.unwrap_or_else(|| panic!("expected the type of {what}, found {self}"))
    }

    /// The type of a function.
    ///
    /// # Panics
    /// If it is another one.
    pub fn unwrap_func(&self) -> &FuncType {
        self.expect(self.func(), "a function")
    }

    /// The type of a global.
    ///
    /// # Panics
    /// If it is another one.
    pub fn unwrap_global(&self) -> &GlobalType {
        self.expect(self.global(), "a global")
    }

    /// The type of a table.
    ///
    /// # Panics
    /// If it is another one.
    pub fn unwrap_table(&self) -> &TableType {
        self.expect(self.table(), "a table")
    }

    /// The type of a memory.
    ///
    /// # Panics
    /// If it is another one.
    pub fn unwrap_memory(&self) -> &MemoryType {
        self.expect(self.memory(), "a memory")
    }

    /// The type of a tag.
    ///
    /// # Panics
    /// If it is another one.
    pub fn unwrap_tag(&self) -> &TagType {
        self.expect(self.tag(), "a tag")
    }

    /// Whether something of this type may be provided where `expected` is
    /// imported: functions and globals that cannot change may be of a subtype,
    /// memories and tables larger than is asked for.
    pub fn matches(&self, engine: &Engine, expected: &ExternType) -> bool {
        /// The provided thing is at least as large and can grow no further.
        fn fits(min: u64, max: Option<u64>, expected_min: u64, expected_max: Option<u64>) -> bool {
            min >= expected_min && expected_max.is_none_or(|expected_max| max.is_some_and(|max| max <= expected_max))
        }
        match (self, expected) {
            (ExternType::Func(found), ExternType::Func(expected)) => found.matches(engine, expected),
            (ExternType::Global(found), ExternType::Global(expected)) => match expected.mutability {
                Mutability::Var => found == expected,
                Mutability::Const => {
                    let below = |a: ConcreteType, b: ConcreteType| engine.types().is_subtype(a.id, b.id);
                    found.mutability == Mutability::Const && found.content.matches(expected.content, below)
                }
            },
            (ExternType::Tag(found), ExternType::Tag(expected)) => found == expected,
            (ExternType::Table(found), ExternType::Table(expected)) => {
                found.element == expected.element
                    && found.table64 == expected.table64
                    && fits(found.minimum, found.maximum, expected.minimum, expected.maximum)
            }
            (ExternType::Memory(found), ExternType::Memory(expected)) => {
                found.page_shift == expected.page_shift
                    && found.memory64 == expected.memory64
                    && found.shared == expected.shared
                    && fits(found.minimum, found.maximum, expected.minimum, expected.maximum)
            }
            _ => false,
        }
    }

    /// The same type without a lower limit, for something that may have grown.
    pub(crate) fn without_minimum(&self) -> ExternType {
        match self {
            ExternType::Table(ty) => ExternType::Table(ty.with_minimum(0)),
            ExternType::Memory(ty) => ExternType::Memory(ty.with_minimum(0)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => write!(f, "function {ty}"),
            ExternType::Global(ty) => ty.fmt(f),
            ExternType::Table(ty) => ty.fmt(f),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Tag(ty) => ty.fmt(f),
        }
    }
}

impl From<FuncType> for ExternType {
    fn from(ty: FuncType) -> Self {
        ExternType::Func(ty)
    }
}
impl From<GlobalType> for ExternType {
    fn from(ty: GlobalType) -> Self {
        ExternType::Global(ty)
    }
}
impl From<TableType> for ExternType {
    fn from(ty: TableType) -> Self {
        ExternType::Table(ty)
    }
}
impl From<MemoryType> for ExternType {
    fn from(ty: MemoryType) -> Self {
        ExternType::Memory(ty)
    }
}

/// What a module imports.
#[derive(Debug, Clone)]
pub struct ImportType<'module> {
    pub(crate) module: &'module str,
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ImportType<'module> {
    /// The name of the module it is imported from.
    pub fn module(&self) -> &'module str {
        self.module
    }

    /// Its name there.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Its type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// What a module exports.
#[derive(Debug, Clone)]
pub struct ExportType<'module> {
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ExportType<'module> {
    /// Its name.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Its type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_match_when_the_provided_ones_are_narrower() {
        let engine = Engine::default();
        let memory = |min, max| ExternType::Memory(MemoryType::new(min, max));
        assert!(memory(2, Some(3)).matches(&engine, &memory(1, Some(4))));
        assert!(memory(2, Some(3)).matches(&engine, &memory(1, None)));
        assert!(!memory(2, None).matches(&engine, &memory(1, Some(4))));
        assert!(!memory(0, Some(3)).matches(&engine, &memory(1, Some(4))));
        assert!(!memory(2, Some(5)).matches(&engine, &memory(1, Some(4))));
        let table = |e, min, max| ExternType::Table(TableType::new(e, min, max));
        assert!(!table(ValType::EXTERNREF, 1, None).matches(&engine, &table(ValType::FUNCREF, 1, None)));
        assert!(!memory(1, None).matches(&engine, &table(ValType::FUNCREF, 1, None)));
    }

    #[test]
    fn types_print_as_one_would_say_them() {
        assert_eq!(ExternType::Memory(MemoryType::new(1, Some(2))).to_string(), "memory of 1..=2 pages");
        assert_eq!(TableType::new(ValType::FUNCREF, 3, None).to_string(), "table of funcref 3..");
        assert_eq!(GlobalType::new(ValType::I64, Mutability::Var).to_string(), "global (mut i64)");
        let ty = FuncType::new([ValType::I32], []);
        assert_eq!(ExternType::Func(ty).to_string(), "function (i32) -> ()");
    }
}
