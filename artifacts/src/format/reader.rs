//! Reads the metadata in place and checks it.
//!
//! [`Artifact::parse`] checks everything whose number does not grow with the
//! code: the header, the directory, types, imports, memories, tables, globals,
//! segments, extents and the working set. What does grow (functions, function references, trap
//! sites, exports, operations) is only bounded as a whole, and each access
//! checks its row; [`Artifact::verify`] checks all of it.

use super::FORMAT_VERSION;
use super::header::{HEADER_MAGIC, Header, Span, content_digest, hex};
use super::tables::{
    ConstOp, Export, ExternKind, Function, Handler, Import, NONE, SegmentMode, StackMapSlot, TableKind, Tables,
};
use crate::abi::{
    Arch, ContextLayout, FINGERPRINT, FuncType, Os, SubType, Trap, TypeKind, TypeOutline, ValType, descriptor,
};
use crate::container;
use crate::error::FormatError;
use crate::rows::{Row, Rows};
use crate::working_set;

/// A checked view of an artifact's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Artifact<'a> {
    file: &'a [u8],
    metadata_at: usize,
    blob: &'a [u8],
    header: Header,
    layout: ContextLayout,
    tables: Tables<'a>,
}

/// What a check says is wrong: words, or without the feature `messages` the
/// line of this file. It becomes an error where it leaves this file: there are
/// many checks, and this takes no more than two registers.
#[cfg(feature = "messages")]
type Wrong = &'static str;
#[cfg(not(feature = "messages"))]
type Wrong = crate::error::Line;

#[cfg(feature = "messages")]
macro_rules! flaw {
    ($what:literal) => {
        $what
    };
}
#[cfg(not(feature = "messages"))]
macro_rules! flaw {
    ($what:literal) => {
        const { crate::error::Line::new(line!()) }
    };
}

/// What the check of working sets says, which brings its own words.
#[cfg(feature = "messages")]
fn of_working_set(what: &'static str) -> Wrong {
    what
}
#[cfg(not(feature = "messages"))]
fn of_working_set(_: &'static str) -> Wrong {
    flaw!("the working set does not fit")
}

fn check(condition: bool, what: Wrong) -> Result<(), Wrong> {
    if condition { Ok(()) } else { Err(what) }
}

/// Not in line: its many fields would be copied one by one.
#[inline(never)]
fn decode_header(metadata: &[u8]) -> Option<Header> {
    Header::decode(metadata)
}

/// The `length` bytes at `offset` of `bytes`.
fn part(bytes: &[u8], span: Span) -> Option<&[u8]> {
    bytes.get(usize::try_from(span.offset).ok()?..usize::try_from(span.end()?).ok()?)
}

impl<'a> Artifact<'a> {
    /// Finds the metadata in `file` and checks it.
    ///
    /// # Errors
    /// [`FormatError`], for anything that is not an intact artifact of this
    /// version and ABI. Whether it fits the machine is the loader's question.
    pub fn parse(file: &'a [u8]) -> Result<Artifact<'a>, FormatError> {
        let at = container::metadata_offset(file)?;
        let metadata = file.get(at..).ok_or(FormatError::Truncated {
            what: "the metadata",
            end: at as u64,
            have: file.len() as u64,
        })?;
        let header = decode_header(metadata).ok_or(FormatError::Truncated {
            what: "the header",
            end: (at + Header::SIZE) as u64,
            have: file.len() as u64,
        })?;
        check(header.magic == HEADER_MAGIC, flaw!("the metadata does not begin with its magic number"))?;
        if header.version != FORMAT_VERSION {
            return Err(FormatError::Version { found: header.version, expected: FORMAT_VERSION });
        }
        if header.abi != FINGERPRINT {
            return Err(FormatError::Abi { found: header.abi, expected: FINGERPRINT });
        }
        let metadata = metadata.get(..header.metadata_length as usize).ok_or(FormatError::Truncated {
            what: "the metadata",
            end: at as u64 + u64::from(header.metadata_length),
            have: file.len() as u64,
        })?;
        let directory = Header::SIZE.next_multiple_of(8);
        let entry = |number: usize| -> Option<&'a [u8]> {
            let at = directory + number * 8;
            let offset = u32::from_le_bytes(metadata.get(at..at + 4)?.try_into().ok()?) as usize;
            let length = u32::from_le_bytes(metadata.get(at + 4..at + 8)?.try_into().ok()?) as usize;
            metadata.get(offset..offset.checked_add(length)?)
        };
        let mut tables: [&[u8]; Tables::COUNT] = [&[]; Tables::COUNT];
        for (number, (table, width)) in tables.iter_mut().zip(Tables::WIDTHS).enumerate() {
            *table = entry(number).ok_or(flaw!("a table of the metadata lies outside it"))?;
            check(table.len().is_multiple_of(width), flaw!("a table of the metadata ends in the middle of a row"))?;
        }
        let blob = entry(Tables::COUNT).ok_or(flaw!("the blob lies outside the metadata"))?;
        let layout = ContextLayout::new(header.context)
            .map_err(|_| flaw!("the context is larger than any compiler makes it"))?;
        let artifact = Self::assemble(file, at, blob, header, layout, tables);
        artifact.check_header()?;
        artifact.check_counts()?;
        artifact.check_types()?;
        artifact.check_entities()?;
        artifact.check_segments()?;
        artifact.check_extents()?;
        artifact.check_working_set()?;
        Ok(artifact)
    }

    /// Not in line, as `decode_header`.
    #[inline(never)]
    fn assemble(
        file: &'a [u8],
        metadata_at: usize,
        blob: &'a [u8],
        header: Header,
        layout: ContextLayout,
        tables: [&'a [u8]; Tables::COUNT],
    ) -> Artifact<'a> {
        Artifact { file, metadata_at, blob, header, layout, tables: Tables::of(tables) }
    }

    fn check_header(&self) -> Result<(), Wrong> {
        let h = &self.header;
        check(Arch::from_code(h.arch).is_some(), flaw!("the architecture has an unknown number"))?;
        check(Os::from_code(h.os).is_some(), flaw!("the operating system has an unknown number"))?;
        check((12..=16).contains(&h.page_shift), flaw!("the page size is not between 4 KiB and 64 KiB"))?;
        let page = self.page_size();
        check(h.text.offset.is_multiple_of(page), flaw!("the text is not page-aligned"))?;
        check(part(self.file, h.text).is_some(), flaw!("the text lies outside the file"))?;
        check(h.text.length < u64::from(NONE), flaw!("the text is larger than 4 GiB"))?;
        check(h.text.end().is_some_and(|end| end <= h.mapped), flaw!("the text lies outside the mapped part"))?;
        check(h.mapped <= self.file.len() as u64, flaw!("the mapped part lies outside the file"))?;
        check(u64::from(h.context.guard) % page == 0, flaw!("the context guard is not a multiple of the page size"))?;
        check(
            h.memory_reservation.is_multiple_of(page) && h.memory_guard.is_multiple_of(page),
            flaw!("the memory reservation or guard is not a multiple of the page size"),
        )?;
        check(
            h.memory_reservation <= 1 << 40 && h.memory_guard <= 1 << 40,
            flaw!("the memory reservation or guard is larger than 1 TiB"),
        )?;
        for span in [h.triple, h.compiler, h.name, h.initialized_by] {
            check(self.str(span).is_some(), flaw!("a string of the header is not in the blob"))?;
        }
        for at in [h.initializer, h.initializer_entry] {
            check(at == NONE || u64::from(at) < h.text.length, flaw!("the initialiser lies outside the text"))?;
        }
        check(h.start == NONE || (h.start as usize) < self.function_count(), flaw!("the start function does not exist"))
    }

    /// The counts in the header against the tables.
    fn check_counts(&self) -> Result<(), Wrong> {
        let (c, t) = (&self.header.context, &self.tables);
        let equal = |rows: usize, imported: u32, defined: u32| rows as u64 == u64::from(imported) + u64::from(defined);
        check(
            equal(t.memories.len(), c.memory_imports, c.memories),
            flaw!("the number of memories differs from the header's"),
        )?;
        check(
            equal(t.tables.len(), c.table_imports, c.tables),
            flaw!("the number of tables differs from the header's"),
        )?;
        check(
            equal(t.globals.len(), c.global_imports, c.globals),
            flaw!("the number of globals differs from the header's"),
        )?;
        check(equal(t.tags.len(), c.tag_imports, c.tags), flaw!("the number of tags differs from the header's"))?;
        check(
            equal(t.func_refs.len(), 0, c.func_refs),
            flaw!("the number of function references differs from the header's"),
        )?;
        check(
            equal(t.data_segments.len(), 0, c.data_segments),
            flaw!("the number of data segments differs from the header's"),
        )?;
        check(
            equal(t.elem_segments.len(), 0, c.elem_segments),
            flaw!("the number of element segments differs from the header's"),
        )?;
        check(
            t.exports.len() == t.exports_by_name.len(),
            flaw!("the sorted exports differ from the exports in number"),
        )?;
        check(t.trap_sites.len() == t.trap_codes.len(), flaw!("trap sites and trap codes differ in number"))?;
        let mut counts = [0u32; 5];
        for import in t.imports.iter() {
            let kind = ExternKind::from_code(import.kind).ok_or(flaw!("an import has an unknown kind"))?;
            let count = &mut counts[kind as usize];
            let known = match kind {
                // The host may implement it, which takes an adapter.
                ExternKind::Func => t.types.get(import.index as usize).is_some_and(|row| row.array_host != NONE),
                ExternKind::Table | ExternKind::Memory | ExternKind::Global | ExternKind::Tag => import.index == *count,
            };
            check(known, flaw!("an import has no type"))?;
            *count += 1;
            check(
                self.str(import.module).is_some() && self.str(import.name).is_some(),
                flaw!("an import's name is not in the blob"),
            )?;
        }
        check(
            counts == [c.func_imports, c.table_imports, c.memory_imports, c.global_imports, c.tag_imports],
            flaw!("the number of imports differs from the header's"),
        )
    }

    fn check_types(&self) -> Result<(), Wrong> {
        for (i, row) in self.tables.types.iter().enumerate() {
            let encoding = self.bytes(row.encoding).ok_or(flaw!("a type's encoding is not in the blob"))?;
            let ty = TypeOutline::of(encoding).ok_or(flaw!("a type's encoding is not one"))?;
            for stub in [row.native_entry, row.array_entry, row.native_host, row.array_host] {
                let is_func = ty.kind == TypeKind::Func;
                check(stub == NONE || is_func, flaw!("a type that is not a function's has a stub"))?;
                check(
                    stub == NONE || u64::from(stub) < self.header.text.length,
                    flaw!("a stub lies outside the text"),
                )?;
            }
            for at in [row.descriptor, row.exception] {
                let end = u64::from(at) + descriptor::SUPERS as u64;
                check(at == NONE || end <= self.header.text.length, flaw!("a descriptor lies outside the text"))?;
                check(at == NONE || at % descriptor::ALIGNMENT == 0, flaw!("a descriptor is not aligned"))?;
            }
            let supertype = (row.supertype != NONE).then(|| self.tables.types.get(row.supertype as usize));
            let known = match (ty.supertype, supertype) {
                (None, None) => true,
                (Some(id), Some(Some(parent))) => (row.supertype as usize) < i && parent.id == id.0,
                _ => false,
            };
            check(known, flaw!("a type's supertype is not an earlier one"))?;
        }
        for tag in self.tables.tags.iter() {
            let outline = self.type_encoding(tag.ty).and_then(TypeOutline::of);
            check(outline.is_some_and(|ty| ty.kind == TypeKind::Func), flaw!("a tag has no function type"))?;
        }
        Ok(())
    }

    fn check_entities(&self) -> Result<(), Wrong> {
        for m in self.tables.memories.iter() {
            check(m.page_shift <= 16, flaw!("a memory has an impossible page size"))?;
            check(m.minimum <= m.maximum, flaw!("a memory's minimum is larger than its maximum"))?;
            check(
                u128::from(m.minimum) << m.page_shift <= 1 << 64,
                flaw!("a memory is larger than indices can address"),
            )?;
        }
        for (i, t) in self.tables.tables.iter().enumerate() {
            check(t.element.ty().is_some_and(ValType::is_ref), flaw!("a table's elements are not references"))?;
            let kind = TableKind::from_code(t.kind).ok_or(flaw!("a table has an unknown kind"))?;
            check(t.minimum <= t.maximum, flaw!("a table's minimum is larger than its maximum"))?;
            check(
                self.tables.table_init.range(t.init, t.init_count).is_some(),
                flaw!("a table's initial elements do not exist"),
            )?;
            check(u64::from(t.init_count) <= t.minimum, flaw!("a table has more initial elements than elements"))?;
            let filled = t.fill_count == 0 || self.const_expr(t.fill, t.fill_count).is_some();
            check(filled, flaw!("a table's initial value does not exist"))?;
            if kind == TableKind::Context && i >= self.header.context.table_imports as usize {
                let end = u64::from(t.first_element).checked_add(t.minimum);
                check(
                    end.is_some_and(|end| end <= u64::from(self.header.context.inline_elements)),
                    flaw!("a table lies outside the context"),
                )?;
            }
        }
        for (i, g) in self.tables.globals.iter().enumerate() {
            check(g.ty.ty().is_some(), flaw!("a global has an unknown type"))?;
            let defined = i >= self.header.context.global_imports as usize;
            check(
                !defined || self.const_expr(g.init, g.init_count).is_some(),
                flaw!("a global's initial value does not exist"),
            )?;
        }
        Ok(())
    }

    fn check_segments(&self) -> Result<(), Wrong> {
        for s in self.tables.data_segments.iter() {
            let mode = SegmentMode::from_code(s.mode).ok_or(flaw!("a data segment has an unknown mode"))?;
            check(part(self.file, s.content).is_some(), flaw!("a data segment lies outside the file"))?;
            if mode == SegmentMode::Active {
                check(
                    (s.memory as usize) < self.tables.memories.len(),
                    flaw!("a data segment's memory does not exist"),
                )?;
                check(
                    self.const_expr(s.offset, s.offset_count).is_some(),
                    flaw!("a data segment's offset does not exist"),
                )?;
            }
        }
        for s in self.tables.elem_segments.iter() {
            let mode = SegmentMode::from_code(s.mode).ok_or(flaw!("an element segment has an unknown mode"))?;
            check(
                s.element.ty().is_some_and(ValType::is_ref),
                flaw!("an element segment's elements are not references"),
            )?;
            check(self.const_expr(s.first, s.count).is_some(), flaw!("an element segment's elements do not exist"))?;
            if mode == SegmentMode::Active {
                check(
                    (s.table as usize) < self.tables.tables.len(),
                    flaw!("an element segment's table does not exist"),
                )?;
                check(
                    self.const_expr(s.offset, s.offset_count).is_some(),
                    flaw!("an element segment's offset does not exist"),
                )?;
            }
        }
        Ok(())
    }

    fn check_extents(&self) -> Result<(), Wrong> {
        let page = self.page_size();
        let mut last = (0, 0);
        for e in self.tables.extents.iter() {
            let aligned = e.position % page == 0 && e.content.offset % page == 0 && e.content.length % page == 0;
            check(aligned && e.content.length > 0, flaw!("a memory extent is not page-aligned"))?;
            check(part(self.file, e.content).is_some(), flaw!("a memory extent lies outside the file"))?;
            let initial = self.initial_length(e.memory).ok_or(flaw!("an extent's memory does not exist"))?;
            let end = e.position.checked_add(e.content.length);
            // Where rounding up overflows, the memory ends where the address space does.
            let limit = initial.checked_next_multiple_of(page).unwrap_or(u64::MAX);
            check(end.is_some_and(|end| end <= limit), flaw!("a memory extent lies outside its memory"))?;
            check((e.memory, e.position) >= last, flaw!("memory extents overlap or are not in order"))?;
            last = (e.memory, end.unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn check_working_set(&self) -> Result<(), Wrong> {
        let rows = self.tables.working_set;
        let ranges = (0..rows.len()).filter_map(move |i| rows.get(i));
        working_set::check_table(ranges, |memory| self.initial_length(memory)).map_err(of_working_set)
    }

    /// The initial size in bytes of a defined memory, imported ones not counted;
    /// `u64::MAX` if that is not a number.
    pub fn initial_length(&self, memory: u32) -> Option<u64> {
        let imports = self.header.context.memory_imports as usize;
        let memory = self.tables.memories.get(imports.checked_add(memory as usize)?)?;
        Some(u64::try_from(u128::from(memory.minimum) << memory.page_shift).unwrap_or(u64::MAX))
    }

    /// Checks everything else: rows that grow with the code, and the content
    /// hash.
    ///
    /// # Errors
    /// [`FormatError`], as for [`parse`](Self::parse).
    pub fn verify(&self) -> Result<(), FormatError> {
        let found = content_digest(self.file, self.metadata_at + Header::CONTENT_HASH_OFFSET)
            .ok_or(flaw!("the header lies outside the file"))?;
        if found != self.header.content_hash {
            return Err(FormatError::Hash { found: hex(&found), expected: hex(&self.header.content_hash) });
        }
        let text = self.header.text.length;
        let mut end = 0;
        for f in self.tables.functions.iter() {
            check(f.code >= end, flaw!("functions overlap or are not in order"))?;
            end = f.code.checked_add(f.length).ok_or(flaw!("a function lies outside the text"))?;
            check(u64::from(end) <= text, flaw!("a function lies outside the text"))?;
            check(f.name == 0 || self.function_name(&f).is_some(), flaw!("a function's name lies outside the file"))?;
        }
        let ordered = |mut codes: Box<dyn Iterator<Item = u32> + '_>| {
            let mut last = None;
            codes.all(|code| u64::from(code) < text && last.replace(code).is_none_or(|last| last <= code))
        };
        check(ordered(Box::new(self.tables.trap_sites.iter().map(|r| r.code))), flaw!("trap sites are not in order"))?;
        check(
            ordered(Box::new(self.tables.source_locs.iter().map(|r| r.code))),
            flaw!("source locations are not in order"),
        )?;
        check(
            self.tables.trap_codes.iter().all(|r| Trap::from_code(r.code).is_some()),
            flaw!("a trap has an unknown number"),
        )?;
        self.verify_frames()?;
        let mut last = None;
        for r in self.tables.func_refs.iter() {
            let defined =
                r.function >= self.header.context.func_imports && (r.function as usize) < self.function_count();
            check(
                defined && (r.ty as usize) < self.tables.types.len(),
                flaw!("a function reference has no function or type"),
            )?;
            check(
                last.replace(r.function).is_none_or(|last| last < r.function),
                flaw!("function references are not in order"),
            )?;
        }
        for r in self.tables.table_init.iter() {
            check(
                r.function == NONE || (r.function as usize) < self.function_count(),
                flaw!("a table element has no function"),
            )?;
        }
        check(
            self.tables.const_ops.iter().all(|op| super::ConstOpKind::from_code(op.kind).is_some()),
            flaw!("a constant expression has an unknown operation"),
        )?;
        let t = &self.tables;
        let counts = [self.function_count(), t.tables.len(), t.memories.len(), t.globals.len(), t.tags.len()];
        for e in self.tables.exports.iter() {
            let kind = ExternKind::from_code(e.kind).ok_or(flaw!("an export has an unknown kind"))?;
            check((e.index as usize) < counts[kind as usize], flaw!("an export does not exist"))?;
            check(self.str(e.name).is_some(), flaw!("an export's name is not in the blob"))?;
        }
        let mut last = None;
        for r in self.tables.exports_by_name.iter() {
            let export = self.tables.exports.get(r.index as usize).ok_or(flaw!("a sorted export does not exist"))?;
            let name = self.bytes(export.name);
            check(last.replace(name).is_none_or(|last| last < name), flaw!("the sorted exports are not in order"))?;
        }
        Ok(())
    }

    /// Checks what the collector and exceptions read about frames.
    fn verify_frames(&self) -> Result<(), Wrong> {
        let text = self.header.text.length;
        let mut last = None;
        for r in self.tables.stack_maps.iter() {
            let ordered = last.replace(r.pc).is_none_or(|last| last < r.pc) && u64::from(r.pc) <= text;
            check(ordered, flaw!("stack maps are not in order"))?;
            check(self.tables.stack_map_slots.range(r.first, r.count).is_some(), flaw!("a stack map has no places"))?;
        }
        let mut last = None;
        for r in self.tables.handlers.iter() {
            let ordered = last.replace(r.pc).is_none_or(|last| last < r.pc) && u64::from(r.pc) <= text;
            check(ordered, flaw!("exception handlers are not in order"))?;
            check(u64::from(r.handler) < text, flaw!("an exception handler lies outside the text"))?;
        }
        Ok(())
    }

    /// The whole file.
    pub fn file(&self) -> &'a [u8] {
        self.file
    }

    /// Where the metadata begins, in bytes from the start of the file.
    pub fn metadata_offset(&self) -> usize {
        self.metadata_at
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The tables.
    pub fn tables(&self) -> &Tables<'a> {
        &self.tables
    }

    /// The layout of the VMContext.
    pub fn layout(&self) -> &ContextLayout {
        &self.layout
    }

    /// The page size that segments and images are aligned to, in bytes.
    pub fn page_size(&self) -> u64 {
        1 << self.header.page_shift
    }

    /// Number of functions, imported ones included.
    pub fn function_count(&self) -> usize {
        self.tables.functions.len().saturating_add(self.header.context.func_imports as usize)
    }

    /// Bytes of the blob.
    pub fn bytes(&self, span: Span) -> Option<&'a [u8]> {
        part(self.blob, span)
    }

    /// A string of the blob.
    pub fn str(&self, span: Span) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(span)?).ok()
    }

    /// Bytes of the file.
    pub fn file_bytes(&self, span: Span) -> Option<&'a [u8]> {
        part(self.file, span)
    }

    /// The operations of a constant expression.
    pub fn const_expr(&self, first: u32, count: u32) -> Option<Rows<'a, ConstOp>> {
        self.tables.const_ops.range(first, count)
    }

    /// The encoding of the type in row `index` of the type table.
    fn type_encoding(&self, index: u32) -> Option<&'a [u8]> {
        self.bytes(self.tables.types.get(index as usize)?.encoding)
    }

    /// The type in row `index` of the type table.
    pub fn sub_type(&self, index: u32) -> Option<SubType> {
        SubType::decode(self.type_encoding(index)?).ok()
    }

    /// The places of a frame that hold references when the call returns to
    /// offset `pc` of the text.
    pub fn stack_map_at(&self, pc: u32) -> Option<Rows<'a, StackMapSlot>> {
        let maps = self.tables.stack_maps;
        let row = maps.get(maps.partition_point(|row| row.pc < pc)).filter(|row| row.pc == pc)?;
        self.tables.stack_map_slots.range(row.first, row.count)
    }

    /// The exception handler of the call that returns to offset `pc` of the
    /// text.
    pub fn handler_at(&self, pc: u32) -> Option<Handler> {
        let handlers = self.tables.handlers;
        handlers.get(handlers.partition_point(|row| row.pc < pc)).filter(|row| row.pc == pc)
    }

    /// The function type in row `index` of the type table.
    pub fn func_type(&self, index: u32) -> Option<FuncType> {
        FuncType::decode(self.type_encoding(index)?).ok()
    }

    /// The export called `name`.
    pub fn export(&self, name: &str) -> Option<Export> {
        let export = |row: super::tables::Index| self.tables.exports.get(row.index as usize);
        let sorted = self.tables.exports_by_name;
        let at = sorted
            .partition_point(|row| export(*row).and_then(|e| self.bytes(e.name)).is_some_and(|n| n < name.as_bytes()));
        export(sorted.get(at)?).filter(|e| self.bytes(e.name) == Some(name.as_bytes()))
    }

    /// The name of a function as far as the file has one.
    pub fn function_name(&self, function: &Function) -> Option<&'a str> {
        if function.name == 0 {
            return None;
        }
        let span = Span { offset: u64::from(function.name), length: u64::from(function.name_length) };
        std::str::from_utf8(part(self.file, span)?).ok()
    }

    /// The defined function whose code contains offset `code` of the text: its
    /// number among the defined ones, and its row.
    pub fn function_at(&self, code: u32) -> Option<(u32, Function)> {
        let after = self.tables.functions.partition_point(|f| f.code <= code);
        let index = after.checked_sub(1)?;
        let function = self.tables.functions.get(index)?;
        (code - function.code < function.length).then_some((index as u32, function))
    }

    /// Why code traps at offset `code` of the text, if a trap is listed there.
    pub fn trap_at(&self, code: u32) -> Option<Trap> {
        let at = self.tables.trap_sites.partition_point(|site| site.code < code);
        if self.tables.trap_sites.get(at)?.code != code {
            return None;
        }
        Trap::from_code(self.tables.trap_codes.get(at)?.code)
    }

    /// The offset in the wasm file of the code at offset `code` of the text,
    /// if the artifact was compiled with `-g`.
    pub fn source_at(&self, code: u32) -> Option<u32> {
        let after = self.tables.source_locs.partition_point(|loc| loc.code <= code);
        Some(self.tables.source_locs.get(after.checked_sub(1)?)?.wasm).filter(|wasm| *wasm != NONE)
    }

    /// The least offset in the wasm file of a function's code, if the artifact
    /// was compiled with `-g`.
    pub fn first_source(&self, function: &Function) -> Option<u32> {
        let locations = self.tables.source_locs;
        let first = locations.partition_point(|loc| loc.code < function.code);
        let within = (first..locations.len()).map_while(|at| locations.get(at));
        // Whether they are in order, only `verify` looks.
        let within = within.take_while(|loc| loc.code.wrapping_sub(function.code) < function.length);
        within.map(|loc| loc.wasm).filter(|wasm| *wasm != NONE).min()
    }

    /// The slot of function `function` among the context's function
    /// references, and its row in the type table.
    pub fn func_ref(&self, function: u32) -> Option<(u32, u32)> {
        let slot = self.tables.func_refs.partition_point(|r| r.function < function);
        let row = self.tables.func_refs.get(slot)?;
        (row.function == function).then_some((slot as u32, row.ty))
    }

    /// The name of an import: module and field.
    pub fn import_name(&self, import: &Import) -> (&'a str, &'a str) {
        (self.str(import.module).unwrap_or_default(), self.str(import.name).unwrap_or_default())
    }
}
