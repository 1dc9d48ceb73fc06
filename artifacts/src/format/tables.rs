//! The rows of the metadata's tables.

use super::header::{Header, Span};
use crate::abi::{ContextCounts, ValTypeCode};
use crate::row;
use crate::rows::{Row, Rows};

/// Stands for "no index" where an index is optional.
pub const NONE: u32 = u32::MAX;

macro_rules! codes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        $vis enum $name { $($(#[$vmeta])* $variant = $code,)* }

        impl $name {
            /// The variant with this number, if there is one.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// What an import or export is.
    pub enum ExternKind {
        /// A function.
        Func = 0,
        /// A table.
        Table = 1,
        /// A memory.
        Memory = 2,
        /// A global.
        Global = 3,
        /// A tag.
        Tag = 4,
    }
}

codes! {
    /// When a segment is used.
    pub enum SegmentMode {
        /// By `memory.init` or `table.init`.
        Passive = 0,
        /// Copied by the loader at instantiation, then dropped.
        Active = 1,
        /// Dropped from the start: part of an image or of a table's initial
        /// elements, or a mere declaration. All such segments share one row.
        Static = 2,
    }
}

codes! {
    /// Where a defined table is.
    pub enum TableKind {
        /// In the VMContext, where it stays.
        Context = 0,
        /// Allocated by the loader.
        Allocated = 1,
        /// In the artifact's read-only data: never written, invisible outside.
        ReadOnly = 2,
    }
}

codes! {
    /// An operation of a constant expression, on a stack.
    pub enum ConstOpKind {
        /// Pushes a number or vector: `low` and `high` are its bits.
        Const = 0,
        /// Pushes global `low`.
        GlobalGet = 1,
        /// Pushes a reference to function `low`.
        RefFunc = 2,
        /// Pushes a null reference.
        RefNull = 3,
        /// Pops two i32, pushes their sum.
        I32Add = 4,
        /// Pops two i32, pushes their difference.
        I32Sub = 5,
        /// Pops two i32, pushes their product.
        I32Mul = 6,
        /// Pops two i64, pushes their sum.
        I64Add = 7,
        /// Pops two i64, pushes their difference.
        I64Sub = 8,
        /// Pops two i64, pushes their product.
        I64Mul = 9,
    }
}

impl ConstOpKind {
    /// The result of integer arithmetic, 32-bit numbers in the low half; `None`
    /// for every other operation.
    pub fn arithmetic(self, left: u64, right: u64) -> Option<u64> {
        let (l, r) = (left as u32, right as u32);
        Some(match self {
            ConstOpKind::I32Add => l.wrapping_add(r).into(),
            ConstOpKind::I32Sub => l.wrapping_sub(r).into(),
            ConstOpKind::I32Mul => l.wrapping_mul(r).into(),
            ConstOpKind::I64Add => left.wrapping_add(right),
            ConstOpKind::I64Sub => left.wrapping_sub(right),
            ConstOpKind::I64Mul => left.wrapping_mul(right),
            ConstOpKind::Const | ConstOpKind::GlobalGet | ConstOpKind::RefFunc | ConstOpKind::RefNull => return None,
        })
    }
}

row! {
    /// A type that code or the host can meet at run time. Supertypes come
    /// before their subtypes.
    pub struct TypeRow {
        /// [`TypeId`](crate::abi::TypeId).
        pub id: u64,
        /// The encoding of its [`SubType`](crate::abi::SubType), in the blob.
        pub encoding: Span,
        /// The row of its supertype, or [`NONE`].
        pub supertype: u32,
        /// Its descriptor: offset in the text, or [`NONE`].
        pub descriptor: u32,
        /// For function types, the descriptor of exceptions with these
        /// parameters, likewise.
        pub exception: u32,
        /// Native entry stub: offset in the text, or [`NONE`].
        pub native_entry: u32,
        /// Array entry stub, likewise.
        pub array_entry: u32,
        /// Adapter from wasm to a native host function, likewise.
        pub native_host: u32,
        /// Adapter from wasm to an array host function, likewise.
        pub array_host: u32,
    }
}

row! {
    /// An import. Its index among those of its kind is its index in the
    /// module's index space of that kind.
    pub struct Import {
        /// Module name, in the blob.
        pub module: Span,
        /// Field name, in the blob.
        pub name: Span,
        /// [`ExternKind`].
        pub kind: u8,
        /// Row in the table of that kind; for functions in the type table.
        pub index: u32,
    }
}

row! {
    /// An export, in the module's order.
    pub struct Export {
        /// Name, in the blob.
        pub name: Span,
        /// [`ExternKind`].
        pub kind: u8,
        /// Index in the module's index space of that kind.
        pub index: u32,
    }
}

row! {
    /// A function that the module defines, in index order, which is also the
    /// order of their code.
    pub struct Function {
        /// First byte of its code, in the text.
        pub code: u32,
        /// Bytes of code.
        pub length: u32,
        /// Name: offset in the file, 0 if there is none.
        pub name: u32,
        /// Bytes of the name.
        pub name_length: u32,
    }
}

row! {
    /// A defined function that can be referred to as a value. The row's number
    /// is its slot in the VMContext; rows are sorted by function.
    pub struct FuncRefRow {
        /// Index in the function index space.
        pub function: u32,
        /// Row in the type table.
        pub ty: u32,
    }
}

row! {
    /// A memory, imported ones first.
    pub struct Memory {
        /// Initial size in pages.
        pub minimum: u64,
        /// Largest size in pages, `u64::MAX` if there is none.
        pub maximum: u64,
        /// Base-2 logarithm of the page size.
        pub page_shift: u8,
        /// Not 0 if indices have 64 bits.
        pub memory64: u8,
        /// Not 0 if it is shared between threads.
        pub shared: u8,
    }
}

row! {
    /// A table, imported ones first.
    pub struct Table {
        /// Initial number of elements.
        pub minimum: u64,
        /// Largest number of elements, `u64::MAX` if there is none.
        pub maximum: u64,
        /// Type of the elements.
        pub element: ValTypeCode,
        /// [`TableKind`]; 0 for imported tables.
        pub kind: u8,
        /// Not 0 if indices have 64 bits.
        pub table64: u8,
        /// For [`TableKind::Context`]: its first element in the context's storage.
        pub first_element: u32,
        /// The first of its initial elements in the `table_init` table.
        pub init: u32,
        /// How many of its elements have a row there; the others are null.
        pub init_count: u32,
        /// First operation of the value that all elements have before segments
        /// are copied, if it is not null.
        pub fill: u32,
        /// Number of operations; 0 for null.
        pub fill_count: u32,
    }
}

row! {
    /// The initial value of a funcref table's element.
    pub struct TableInit {
        /// Index of the function, or [`NONE`] for null.
        pub function: u32,
    }
}

row! {
    /// A global, imported ones first.
    pub struct Global {
        /// Its type.
        pub ty: ValTypeCode,
        /// Not 0 if it can change.
        pub mutable: u8,
        /// First operation of its initial value; unused for imported globals.
        pub init: u32,
        /// Number of operations.
        pub init_count: u32,
    }
}

row! {
    /// A tag, imported ones first.
    pub struct Tag {
        /// Row of its function type in the type table.
        pub ty: u32,
    }
}

row! {
    /// A call during which the collector may run. Rows are sorted by `pc`.
    pub struct StackMap {
        /// The return address: offset in the text.
        pub pc: u32,
        /// The first of the frame's places in the `stack_map_slots` table.
        pub first: u32,
        /// Number of places.
        pub count: u32,
    }
}

row! {
    /// A place in a frame that holds a reference.
    pub struct StackMapSlot {
        /// Bytes from the place up to where the frame pointer points.
        pub offset: u32,
    }
}

row! {
    /// A call that has an exception handler. Rows are sorted by `pc`.
    pub struct Handler {
        /// The return address: offset in the text.
        pub pc: u32,
        /// The landing pad: offset in the text.
        pub handler: u32,
        /// Bytes from the frame's stack pointer up to its frame pointer.
        pub frame: u32,
    }
}

row! {
    /// An operation of a constant expression.
    pub struct ConstOp {
        /// [`ConstOpKind`].
        pub kind: u8,
        /// See there.
        pub low: u64,
        /// See there.
        pub high: u64,
    }
}

row! {
    /// A range of a defined memory that does not start as zeros. Extents are
    /// sorted by memory and position, page-aligned, and do not overlap.
    pub struct Extent {
        /// Which defined memory, imported ones not counted.
        pub memory: u32,
        /// First byte in the memory.
        pub position: u64,
        /// Its bytes, in the file.
        pub content: Span,
    }
}

row! {
    /// Pages of a defined memory that instances touch, so that a loader can
    /// fetch them in one go: advice only. Ranges are sorted by memory and
    /// first page and do not overlap.
    pub struct PageRange {
        /// Which defined memory, imported ones not counted.
        pub memory: u32,
        /// The first page, in units of [`PageRange::PAGE_SIZE`].
        pub first: u32,
        /// Number of pages.
        pub pages: u32,
    }
}

impl PageRange {
    /// Bytes of a page of a working set, on every target.
    pub const PAGE_SIZE: u64 = 4096;
}

row! {
    /// A data segment.
    pub struct DataSegment {
        /// [`SegmentMode`].
        pub mode: u8,
        /// Memory of an active segment.
        pub memory: u32,
        /// First operation of an active segment's offset.
        pub offset: u32,
        /// Number of operations.
        pub offset_count: u32,
        /// Its bytes, in the file; empty for a static segment.
        pub content: Span,
    }
}

row! {
    /// An element segment. Each element is a constant expression of one
    /// operation.
    pub struct ElemSegment {
        /// [`SegmentMode`].
        pub mode: u8,
        /// Type of the elements.
        pub element: ValTypeCode,
        /// Table of an active segment.
        pub table: u32,
        /// First operation of an active segment's offset.
        pub offset: u32,
        /// Number of operations.
        pub offset_count: u32,
        /// First element in the table of operations.
        pub first: u32,
        /// Number of elements; 0 for a static segment.
        pub count: u32,
    }
}

row! {
    /// Where code comes from, with `-g`. Rows are sorted by `code`.
    pub struct SourceLoc {
        /// First byte of code, in the text.
        pub code: u32,
        /// Offset in the wasm file.
        pub wasm: u32,
    }
}

macro_rules! directory {
    (at_load { $($early:tt)* } later { $($late:tt)* }) => {
        directory! { @all $($early)* $($late)* }
        directory! { @count $($early)* }
    };
    (@count $($(#[$meta:meta])* $name:ident: $row:ty,)*) => {
        impl Tables<'_> {
            /// Number of tables that lie before the blob.
            pub(super) const BEFORE_BLOB: usize = [$(stringify!($name)),*].len();
        }
    };
    (@all $($(#[$meta:meta])* $name:ident: $row:ty,)*) => {
        /// The metadata's tables. The declaration order is the order of the directory.
        #[derive(Debug, Clone, Copy)]
        pub struct Tables<'a> { $($(#[$meta])* pub $name: Rows<'a, $row>,)* }

        /// The same tables while they are built.
        #[derive(Debug, Default)]
        #[allow(missing_docs, reason = "documented on Tables")]
        pub(super) struct TableVecs { $(pub $name: Vec<u8>,)* }

        impl<'a> Tables<'a> {
            /// Number of tables.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// Bytes of a row of each.
            pub(super) const WIDTHS: [usize; Tables::COUNT] = [$(<$row as Row>::SIZE),*];

            /// Makes the tables from the bytes of each.
            pub(super) fn of(bytes: [&'a [u8]; Tables::COUNT]) -> Self {
                let [$($name),*] = bytes;
                Tables { $($name: Rows::new($name),)* }
            }
        }

        impl TableVecs {
            /// The tables' bytes in the order of the directory.
            pub(super) fn all(&self) -> [&Vec<u8>; Tables::COUNT] {
                [$(&self.$name),*]
            }
        }

        impl super::MetadataWriter {
            $(
                /// Appends a row and returns its number.
                pub fn $name(&mut self, row: $row) -> u32 {
                    let number = self.tables.$name.len() / <$row as Row>::SIZE;
                    row.encode(&mut self.tables.$name);
                    number as u32
                }
            )*
        }

        /// The text of all rows, for the ABI fingerprint.
        pub(crate) const ROW_DEFINITIONS: &[&str] = &[
            <Header as Row>::DEFINITION,
            <ContextCounts as Row>::DEFINITION,
            <Span as Row>::DEFINITION,
            $(stringify!($name), <$row as Row>::DEFINITION,)*
        ];
    };
}

row! {
    /// A byte offset in the text.
    pub struct CodeOffset {
        /// The offset.
        pub code: u32,
    }
}

row! {
    /// A small number.
    pub struct Code {
        /// The number.
        pub code: u8,
    }
}

row! {
    /// A row number of another table.
    pub struct Index {
        /// The number.
        pub index: u32,
    }
}

// What every load reads comes first and is followed by the blob, so that it is
// on few pages however much code there is.
directory! {
    at_load {
        /// Types.
        types: TypeRow,
        /// Imports, in the module's order.
        imports: Import,
        /// Memories.
        memories: Memory,
        /// Tables.
        tables: Table,
        /// Globals.
        globals: Global,
        /// Tags.
        tags: Tag,
        /// Contents of memories.
        extents: Extent,
        /// Pages that instances touch; empty if no run was recorded.
        working_set: PageRange,
        /// Data segments.
        data_segments: DataSegment,
        /// Element segments.
        elem_segments: ElemSegment,
    }
    later {
        /// Operations of constant expressions.
        const_ops: ConstOp,
        /// Exports, in the module's order.
        exports: Export,
        /// Row numbers of the exports, sorted by name.
        exports_by_name: Index,
        /// Defined functions that can be values.
        func_refs: FuncRefRow,
        /// Initial elements of funcref tables.
        table_init: TableInit,
        /// Defined functions.
        functions: Function,
        /// Where code traps, sorted. Accesses to a memory are not listed: a fault
        /// of wasm code that has no row here is one of them.
        trap_sites: CodeOffset,
        /// The [`Trap`](crate::abi::Trap) of each trap site.
        trap_codes: Code,
        /// Where the collector may run.
        stack_maps: StackMap,
        /// What it finds there; rows of `stack_maps` may share places.
        stack_map_slots: StackMapSlot,
        /// Where exceptions are caught.
        handlers: Handler,
        /// Source locations.
        source_locs: SourceLoc,
    }
}
