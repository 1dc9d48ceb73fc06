//! Where everything in a VMContext is: a pure function of a few counts.
//!
//! ```text
//! low addresses                                                  vmctx
//! | table storage | dropped flags | function references | imports |
//! | tags | table and memory definitions | globals | header | guard | memory 0
//! ```
//!
//! The header is nearest to the memory, then what code touches most. Compiler
//! and loader both compute this layout from the counts in the artifact, so no
//! offset is stored that would have to be trusted.

use super::{
    TABLE_ELEMENT_SIZE, VM_VAL_SIZE, vm_func_import, vm_func_ref, vm_global_import, vm_header, vm_memory_def,
    vm_memory_import, vm_table_def, vm_table_import, vm_tag_def, vm_tag_import,
};
use crate::row;

row! {
    /// What the layout of a VMContext depends on.
    pub struct ContextCounts {
        /// Bytes of the guard between the context and memory 0.
        pub guard: u32,
        /// Imported functions.
        pub func_imports: u32,
        /// Imported tables.
        pub table_imports: u32,
        /// Imported memories.
        pub memory_imports: u32,
        /// Imported globals.
        pub global_imports: u32,
        /// Imported tags.
        pub tag_imports: u32,
        /// Globals that the module defines, hidden ones included.
        pub globals: u32,
        /// Memories that it defines.
        pub memories: u32,
        /// Tables that it defines.
        pub tables: u32,
        /// Tags that it defines.
        pub tags: u32,
        /// Functions that it defines and that can be referred to as values.
        pub func_refs: u32,
        /// Data segments.
        pub data_segments: u32,
        /// Element segments.
        pub elem_segments: u32,
        /// Elements of all tables together that are stored in the context.
        pub inline_elements: u32,
    }
}

pub(super) const DEFINITION: &str = "header globals memory_defs table_defs memory_imports table_imports \
     global_imports func_imports tag_imports tags func_refs data_dropped elem_dropped table_storage; down from vmctx-guard; align 16";

/// A context that is too large to be addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the module needs a context of {bytes} bytes, more than the {limit} that code can address; it has too many globals, imports or table elements"
)]
pub struct LayoutError {
    /// Bytes needed, the guard included.
    pub bytes: u64,
    /// Bytes allowed.
    pub limit: u64,
}

/// The layout of a VMContext. All offsets are relative to `vmctx` and
/// negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextLayout {
    counts: ContextCounts,
    header: i32,
    globals: i32,
    memory_defs: i32,
    table_defs: i32,
    memory_imports: i32,
    table_imports: i32,
    global_imports: i32,
    func_imports: i32,
    tag_imports: i32,
    tags: i32,
    func_refs: i32,
    data_dropped: i32,
    elem_dropped: i32,
    table_storage: i32,
}

impl ContextLayout {
    /// The farthest that anything may be from `vmctx`, in bytes.
    pub const LIMIT: u64 = 1 << 30;

    /// Lays out a context.
    ///
    /// # Errors
    /// [`LayoutError`] if it is larger than [`LIMIT`](Self::LIMIT).
    pub fn new(counts: ContextCounts) -> Result<ContextLayout, LayoutError> {
        let mut distance = u64::from(counts.guard);
        let mut area = |count: u32, size: u32| {
            let bytes = u64::from(count).saturating_mul(u64::from(size));
            distance = distance.saturating_add(bytes).next_multiple_of(16);
            distance
        };
        let areas = [
            area(1, vm_header::SIZE),
            area(counts.globals, VM_VAL_SIZE),
            area(counts.memories, vm_memory_def::SIZE),
            area(counts.tables, vm_table_def::SIZE),
            area(counts.memory_imports, vm_memory_import::SIZE),
            area(counts.table_imports, vm_table_import::SIZE),
            area(counts.global_imports, vm_global_import::SIZE),
            area(counts.func_imports, vm_func_import::SIZE),
            area(counts.tag_imports, vm_tag_import::SIZE),
            area(counts.tags, vm_tag_def::SIZE),
            area(counts.func_refs, vm_func_ref::SIZE),
            area(counts.data_segments, 1),
            area(counts.elem_segments, 1),
            area(counts.inline_elements, TABLE_ELEMENT_SIZE),
        ];
        if distance > Self::LIMIT {
            return Err(LayoutError { bytes: distance, limit: Self::LIMIT });
        }
        let [
            header,
            globals,
            memory_defs,
            table_defs,
            memory_imports,
            table_imports,
            global_imports,
            func_imports,
            tag_imports,
            tags,
            func_refs,
            data_dropped,
            elem_dropped,
            table_storage,
        ] = areas.map(|distance| -(distance as i32));
        Ok(ContextLayout {
            counts,
            header,
            globals,
            memory_defs,
            table_defs,
            memory_imports,
            table_imports,
            global_imports,
            func_imports,
            tag_imports,
            tags,
            func_refs,
            data_dropped,
            elem_dropped,
            table_storage,
        })
    }

    /// The counts that this is the layout of.
    pub fn counts(&self) -> &ContextCounts {
        &self.counts
    }

    /// Bytes from the lowest field to `vmctx`, the guard included.
    pub fn distance(&self) -> u32 {
        self.table_storage.unsigned_abs()
    }

    /// Bytes of the fields, the guard not included.
    pub fn size(&self) -> u32 {
        self.distance() - self.counts.guard
    }

    /// The header.
    pub fn header(&self) -> i32 {
        self.header
    }

    fn at(start: i32, index: u32, count: u32, size: u32) -> i32 {
        debug_assert!(index < count, "context index {index} of {count}");
        start + (index * size) as i32
    }

    /// The cell of defined global `index`.
    pub fn global(&self, index: u32) -> i32 {
        Self::at(self.globals, index, self.counts.globals, VM_VAL_SIZE)
    }

    /// The definition of defined memory `index`.
    pub fn memory_def(&self, index: u32) -> i32 {
        Self::at(self.memory_defs, index, self.counts.memories, vm_memory_def::SIZE)
    }

    /// The definition of defined table `index`.
    pub fn table_def(&self, index: u32) -> i32 {
        Self::at(self.table_defs, index, self.counts.tables, vm_table_def::SIZE)
    }

    /// Imported memory `index`.
    pub fn memory_import(&self, index: u32) -> i32 {
        Self::at(self.memory_imports, index, self.counts.memory_imports, vm_memory_import::SIZE)
    }

    /// Imported table `index`.
    pub fn table_import(&self, index: u32) -> i32 {
        Self::at(self.table_imports, index, self.counts.table_imports, vm_table_import::SIZE)
    }

    /// Imported global `index`.
    pub fn global_import(&self, index: u32) -> i32 {
        Self::at(self.global_imports, index, self.counts.global_imports, vm_global_import::SIZE)
    }

    /// Imported function `index`.
    pub fn func_import(&self, index: u32) -> i32 {
        Self::at(self.func_imports, index, self.counts.func_imports, vm_func_import::SIZE)
    }

    /// Imported tag `index`.
    pub fn tag_import(&self, index: u32) -> i32 {
        Self::at(self.tag_imports, index, self.counts.tag_imports, vm_tag_import::SIZE)
    }

    /// The definition of defined tag `index`.
    pub fn tag_def(&self, index: u32) -> i32 {
        Self::at(self.tags, index, self.counts.tags, vm_tag_def::SIZE)
    }

    /// Function reference slot `index`.
    pub fn func_ref(&self, index: u32) -> i32 {
        Self::at(self.func_refs, index, self.counts.func_refs, vm_func_ref::SIZE)
    }

    /// The byte that says whether data segment `index` was dropped.
    pub fn data_dropped(&self, index: u32) -> i32 {
        Self::at(self.data_dropped, index, self.counts.data_segments, 1)
    }

    /// The byte that says whether element segment `index` was dropped.
    pub fn elem_dropped(&self, index: u32) -> i32 {
        Self::at(self.elem_dropped, index, self.counts.elem_segments, 1)
    }

    /// Element `index` of the storage that all tables kept in the context
    /// share; a table's first element there is in its row.
    pub fn table_element(&self, index: u32) -> i32 {
        self.table_storage + (index * TABLE_ELEMENT_SIZE) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> ContextCounts {
        ContextCounts {
            guard: 65_536,
            func_imports: 3,
            table_imports: 1,
            memory_imports: 0,
            global_imports: 2,
            tag_imports: 1,
            globals: 5,
            memories: 1,
            tables: 1,
            tags: 2,
            func_refs: 7,
            data_segments: 3,
            elem_segments: 1,
            inline_elements: 9,
        }
    }

    #[test]
    fn fields_are_aligned_and_do_not_overlap() {
        let l = ContextLayout::new(counts()).unwrap();
        let mut spans = vec![
            (l.header(), 48),
            (l.tag_import(0), 16),
            (l.tag_def(0), 32),
            (l.global(0), 80),
            (l.memory_def(0), 16),
            (l.table_def(0), 16),
            (l.table_import(0), 16),
            (l.global_import(0), 32),
            (l.func_import(0), 3 * 88),
            (l.func_ref(0), 7 * 56),
            (l.data_dropped(0), 3),
            (l.elem_dropped(0), 1),
            (l.table_element(0), 72),
        ];
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} overlap");
        }
        assert!(spans.iter().all(|(at, _)| at % 16 == 0));
        let (last, size) = spans[spans.len() - 1];
        assert_eq!(last + size, -65_536);
        assert_eq!(l.distance(), l.size() + 65_536);
    }

    #[test]
    fn a_context_beyond_the_limit_is_refused() {
        let err = ContextLayout::new(ContextCounts { func_refs: u32::MAX, ..counts() }).unwrap_err();
        assert!(err.bytes > err.limit);
        assert!(ContextLayout::new(ContextCounts { globals: u32::MAX, func_refs: u32::MAX, ..counts() }).is_err());
    }
}
