//! A [`LinkedImage`] and the module's facts to the bytes of an artifact.
//!
//! The metadata contains offsets in the file, which depend on the metadata's
//! length. Its length depends only on the number of rows, so the rows are
//! written twice: first with zeros to learn the length, then for good.

use crate::analyse::{ModuleFacts, TableFact};
use crate::container::{self, DebugSection, Image, Placement, SymbolKind, Unwind};
use crate::debuginfo;
use crate::error::Error;
use crate::link::LinkedImage;
use crate::parse::{ConstOp, ImportKind, ParsedModule, TypeIndex};
use crate::translate::ModuleEnv;
use crate::translate::stubs::Stub;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use wasmc_artifacts::WorkingSet;
use wasmc_artifacts::abi::ValType;
use wasmc_artifacts::format::{
    Code, CodeOffset, ConstOp as ConstRow, ConstOpKind, DataSegment, Digest, ElemSegment, Export, Extent, ExternKind,
    FuncRefRow, Function, Global, Header, Import, Index, Memory, MetadataWriter, NONE, SegmentMode, SourceLoc, Span,
    StackMap, StackMapSlot, Table, TableInit, TableKind, Tag, TypeRow,
};

/// Writes the artifact, or the object file that carries it into a host.
/// `source_hash` is the SHA-256 of the wasm.
///
/// # Errors
/// [`Error`] if a part is too large for the format.
pub fn write(env: &ModuleEnv<'_>, linked: &LinkedImage, source_hash: Digest, object: bool) -> Result<Vec<u8>, Error> {
    let names: Vec<String> = linked.items.iter().map(|placed| crate::item_name(env, placed.item)).collect();
    let tables: Vec<String> = linked.tables.iter().map(|(index, ..)| format!("wasmc.table {index}")).collect();
    let mut symbols = Vec::with_capacity(names.len() + tables.len());
    for (placed, name) in linked.items.iter().zip(&names) {
        let kind = if matches!(placed.item, crate::codegen::Item::Function(_)) {
            SymbolKind::Function
        } else {
            SymbolKind::Stub
        };
        symbols.push(container::Symbol { name, offset: placed.offset, size: placed.length, kind });
    }
    for ((_, offset, size), name) in linked.tables.iter().zip(&tables) {
        symbols.push(container::Symbol { name, offset: *offset, size: *size, kind: SymbolKind::Data });
    }
    let unwind = linked.items.iter().filter_map(|placed| {
        Some(Unwind { offset: placed.offset, length: placed.length, info: placed.unwind.as_ref()? })
    });
    let unwind: Vec<Unwind<'_>> = unwind.collect();
    let pages: Vec<&[u8]> =
        env.facts.images.iter().flat_map(|image| &image.runs).map(|run| run.bytes.as_slice()).collect();
    let data: Vec<&[u8]> = stored_data(env.module, env.facts);
    let debug = debug_sections(env, linked, &symbols)?;
    let mut writer = Writer { env, linked, source_hash, placement: None };
    let options = env.options;
    let image = Image {
        arch: options.target.arch(),
        os: options.target.os(),
        page_shift: options.target.page_shift(),
        container: options.target.file_format(),
        text: &linked.text,
        symbols: &symbols,
        unwind: &unwind,
        metadata_length: writer.rows().0.length(),
        pages: &pages,
        data: &data,
        // A host's debugger reads what its linker has put together.
        debug: if object { &[] } else { &debug },
        strip: options.strip,
    };
    let placement = container::place(&image).map_err(|e| Error::Object(e.to_string()))?;
    writer.placement = Some(&placement);
    let artifact = container::write(&image, &placement, &writer.metadata());
    if !object {
        return Ok(artifact);
    }
    let name = options.name.as_deref().or(env.module.name).unwrap_or("module").trim_end_matches(".wasm");
    let symbol = options.symbol.clone().unwrap_or_else(|| container::symbol_for(name));
    container::relocatable(&image, &placement, &artifact, &symbol, &debug).map_err(|e| Error::Object(e.to_string()))
}

/// Debug information, if asked for. It would bring the names back that
/// stripping takes away.
fn debug_sections(
    env: &ModuleEnv<'_>,
    linked: &LinkedImage,
    symbols: &[container::Symbol<'_>],
) -> Result<Vec<DebugSection>, Error> {
    if !env.options.debug || env.options.strip {
        return Ok(Vec::new());
    }
    let name = env.module.name.unwrap_or("module");
    let guest = debuginfo::Guest { sections: &env.module.dwarf, code_start: env.module.code_start };
    debuginfo::sections(&debuginfo::Input {
        unit: &format!("{}.wasm", name.trim_end_matches(".wasm")),
        guest,
        symbols,
        locations: &linked.source_locs,
        text_length: linked.text.len() as u32,
    })
}

/// The contents of data segments that are not part of an image.
fn stored_data<'a>(module: &ParsedModule<'a>, facts: &ModuleFacts) -> Vec<&'a [u8]> {
    facts.data.kept().iter().map(|segment| module.data[*segment as usize].bytes).collect()
}

/// Bytes of stack beside the frames of functions: for an entry stub and its
/// arguments, and for what the loader's limit may be less than configured.
const STACK_MARGIN: u64 = 64 << 10;

struct Writer<'a> {
    env: &'a ModuleEnv<'a>,
    linked: &'a LinkedImage,
    source_hash: Digest,
    /// Where things are in the file; zeros until known.
    placement: Option<&'a Placement>,
}

impl Writer<'_> {
    fn metadata(&self) -> Vec<u8> {
        let (rows, header) = self.rows();
        rows.finish(header)
    }

    /// All rows and the header; their number and length do not depend on
    /// where things are.
    fn rows(&self) -> (MetadataWriter, Header) {
        let mut w = MetadataWriter::new();
        let types = self.types(&mut w);
        self.imports(&mut w, &types);
        self.exports(&mut w);
        self.functions(&mut w, &types);
        self.memories(&mut w);
        self.tables(&mut w);
        self.globals(&mut w);
        for ty in &self.env.module.tags {
            w.tags(Tag { ty: types[ty] });
        }
        self.data_segments(&mut w);
        self.elem_segments(&mut w);
        for (code, trap) in &self.linked.traps {
            w.trap_sites(CodeOffset { code: *code });
            w.trap_codes(Code { code: *trap as u8 });
        }
        for handler in &self.linked.handlers {
            w.handlers(*handler);
        }
        stack_maps(&mut w, &self.linked.stack_maps);
        for (code, wasm) in &self.linked.source_locs {
            w.source_locs(SourceLoc { code: *code, wasm: *wasm });
        }
        let header = self.header(&mut w);
        (w, header)
    }

    fn header(&self, w: &mut MetadataWriter) -> Header {
        let (module, options) = (self.env.module, self.env.options);
        let text = self.placement.map_or(Span { offset: 0, length: 0 }, |p| p.text);
        Header {
            magic: [0; 8],
            version: 0,
            metadata_length: 0,
            abi: 0,
            content_hash: [0; 32],
            source_hash: self.source_hash,
            arch: options.target.arch() as u8,
            os: options.target.os() as u8,
            page_shift: options.target.page_shift(),
            debug: options.debug.into(),
            start: module.start.unwrap_or(NONE),
            cpu_features: options.target.cpu_features().0,
            wasm_features: self.env.facts.features.bits(),
            memory_reservation: options.tunables.memory_reservation,
            memory_guard: options.tunables.memory_guard,
            stack_values: options.deterministic_stack.map_or(0, NonZeroU32::get),
            stack_bytes: self.stack_bytes(),
            canonical_nans: options.canonicalize_nans.into(),
            deterministic_relaxed_simd: options.relaxed_simd_deterministic.into(),
            epoch: options.epoch.into(),
            fuel: options.fuel.into(),
            uses_heap: self.env.facts.uses_heap.into(),
            initializer: self.linked.initializer.unwrap_or(NONE),
            initializer_entry: self.linked.stub(Stub::InitializerEntry).unwrap_or(NONE),
            context: *self.env.facts.layout.counts(),
            triple: w.blob(options.target.triple().to_string()),
            compiler: w.blob(concat!("wasmc ", env!("CARGO_PKG_VERSION"))),
            name: w.blob(module.name.unwrap_or_default()),
            initialized_by: w.blob(options.snapshot.as_ref().map_or("", |snapshot| snapshot.initialized_by())),
            text,
            mapped: self.placement.map_or(0, |p| p.mapped),
        }
    }

    /// Bytes of stack within which the frames of as many values as there may
    /// be fit, if they are counted.
    fn stack_bytes(&self) -> u64 {
        let Some(limit) = self.env.options.deterministic_stack else { return 0 };
        let limit = u64::from(limit.get());
        // If all frames are those of the function with the most bytes for its
        // values, as many of them as there can be.
        let frames = self.linked.items.iter().zip(&self.env.facts.frame_values);
        let most = frames.map(|(placed, values)| (u64::from(placed.frame) * limit).div_ceil(u64::from(*values))).max();
        most.unwrap_or(0) + STACK_MARGIN
    }

    /// Writes the types that exist at run time; the row of each.
    fn types(&self, w: &mut MetadataWriter) -> BTreeMap<TypeIndex, u32> {
        let facts = self.env.facts;
        let mut rows = BTreeMap::new();
        for index in &facts.run_time_types {
            let defined = self.env.module.types.get(*index);
            let stub = |stub: Stub| self.linked.stub(stub).unwrap_or(NONE);
            let row = TypeRow {
                id: defined.id.0,
                encoding: w.blob(defined.ty.encode()),
                supertype: defined.supertype.map_or(NONE, |supertype| rows[&supertype]),
                descriptor: self.linked.descriptors.get(index).copied().unwrap_or(NONE),
                exception: self.linked.exceptions.get(index).copied().unwrap_or(NONE),
                native_entry: stub(Stub::NativeEntry(*index)),
                array_entry: stub(Stub::ArrayEntry(*index)),
                native_host: stub(Stub::NativeHost(*index)),
                array_host: stub(Stub::ArrayHost(*index)),
            };
            rows.insert(*index, w.types(row));
        }
        rows
    }

    fn imports(&self, w: &mut MetadataWriter, types: &BTreeMap<TypeIndex, u32>) {
        for import in &self.env.module.imports {
            let (kind, index) = match import.kind {
                ImportKind::Func(ty) => (ExternKind::Func, types[&ty]),
                ImportKind::Table(index) => (ExternKind::Table, index),
                ImportKind::Memory(index) => (ExternKind::Memory, index),
                ImportKind::Global(index) => (ExternKind::Global, index),
                ImportKind::Tag(index) => (ExternKind::Tag, index),
            };
            let (module, name) = (w.blob(import.module), w.blob(import.name));
            w.imports(Import { module, name, kind: kind as u8, index });
        }
    }

    fn exports(&self, w: &mut MetadataWriter) {
        let exports = &self.env.module.exports;
        for export in exports {
            let name = w.blob(export.name);
            w.exports(Export { name, kind: export.kind as u8, index: export.index });
        }
        let mut sorted: Vec<u32> = (0..exports.len() as u32).collect();
        sorted.sort_by_key(|i| exports[*i as usize].name);
        for index in sorted {
            w.exports_by_name(Index { index });
        }
    }

    fn functions(&self, w: &mut MetadataWriter, types: &BTreeMap<TypeIndex, u32>) {
        let defined = self.env.module.bodies.len();
        for (i, placed) in self.linked.items.iter().take(defined).enumerate() {
            let (name, name_length) = self.placement.map_or((0, 0), |p| p.names[i]);
            w.functions(Function { code: placed.offset, length: placed.length, name, name_length });
        }
        for function in &self.env.facts.func_refs {
            w.func_refs(FuncRefRow { function: *function, ty: types[&self.env.module.functions[*function as usize]] });
        }
    }

    fn memories(&self, w: &mut MetadataWriter) {
        for memory in &self.env.module.memories {
            w.memories(Memory {
                minimum: memory.initial,
                maximum: memory.maximum.unwrap_or(u64::MAX),
                page_shift: memory.page_size_log2.unwrap_or(16) as u8,
                memory64: memory.memory64.into(),
                shared: memory.shared.into(),
            });
        }
        let mut places = self.placement.map(|p| p.pages.as_slice()).unwrap_or_default().iter();
        for (memory, image) in self.env.facts.images.iter().enumerate() {
            for run in &image.runs {
                let offset = places.next().copied().unwrap_or_default();
                let content = Span { offset, length: run.bytes.len() as u64 };
                w.extents(Extent { memory: memory as u32, position: run.position, content });
            }
        }
        for range in self.env.options.working_set.iter().flat_map(WorkingSet::ranges) {
            w.working_set(*range);
        }
    }

    fn tables(&self, w: &mut MetadataWriter) {
        let facts = self.env.facts;
        for (i, table) in self.env.module.tables.iter().enumerate() {
            let (kind, first_element) = match facts.tables[i] {
                TableFact::Imported => (TableKind::Context, 0),
                TableFact::Context { first } => (TableKind::Context, first),
                TableFact::Allocated => (TableKind::Allocated, 0),
                TableFact::ReadOnly => (TableKind::ReadOnly, 0),
            };
            let mut init = 0;
            let mut init_count = 0;
            // Code alone uses a read-only table, and has its elements in the text.
            if kind != TableKind::ReadOnly {
                for function in &facts.table_init[i] {
                    let row = w.table_init(TableInit { function: function.unwrap_or(NONE) });
                    init = row - init_count;
                    init_count += 1;
                }
            }
            let fill = table.init.as_ref().filter(|_| facts.table_fills[i]);
            let (fill, fill_count) = fill.map_or((0, 0), |init| const_expr(w, init));
            w.tables(Table {
                minimum: table.ty.initial,
                maximum: table.ty.maximum.unwrap_or(u64::MAX),
                element: table.element.into(),
                kind: kind as u8,
                table64: table.ty.table64.into(),
                first_element,
                init,
                init_count,
                fill,
                fill_count,
            });
        }
    }

    fn globals(&self, w: &mut MetadataWriter) {
        for (index, global) in (0..).zip(&self.env.module.globals) {
            // Without an operation, the value is left to the initialiser.
            let computed = self.env.facts.initializer.computes(index);
            let init = global.init.as_deref().filter(|_| !computed);
            let (init, init_count) = const_expr(w, init.unwrap_or_default());
            w.globals(Global { ty: global.ty.into(), mutable: global.mutable.into(), init, init_count });
        }
    }

    fn data_segments(&self, w: &mut MetadataWriter) {
        let rows = &self.env.facts.data;
        let mut places = self.placement.map(|p| p.data.as_slice()).unwrap_or_default().iter();
        for segment in rows.kept() {
            let data = &self.env.module.data[*segment as usize];
            let content = Span { offset: places.next().copied().unwrap_or_default(), length: data.bytes.len() as u64 };
            let mut row = DataSegment { content, ..DROPPED_DATA };
            row.mode = SegmentMode::Passive as u8;
            if let Some((memory, offset)) = &data.active {
                row.mode = SegmentMode::Active as u8;
                row.memory = *memory;
                (row.offset, row.offset_count) = const_expr(w, offset);
            }
            w.data_segments(row);
        }
        if rows.any_dropped() {
            w.data_segments(DROPPED_DATA);
        }
    }

    fn elem_segments(&self, w: &mut MetadataWriter) {
        let rows = &self.env.facts.elems;
        for segment in rows.kept() {
            let elem = &self.env.module.elems[*segment as usize];
            let (first, count) = const_expr(w, &elem.items);
            let mut row = ElemSegment { element: elem.element.into(), first, count, ..dropped_elems() };
            row.mode = SegmentMode::Passive as u8;
            if let Some((table, offset)) = &elem.active {
                row.mode = SegmentMode::Active as u8;
                row.table = *table;
                (row.offset, row.offset_count) = const_expr(w, offset);
            }
            w.elem_segments(row);
        }
        if rows.any_dropped() {
            w.elem_segments(dropped_elems());
        }
    }
}

/// The row that dropped data segments share.
const DROPPED_DATA: DataSegment = DataSegment {
    mode: SegmentMode::Static as u8,
    memory: 0,
    offset: 0,
    offset_count: 0,
    content: Span { offset: 0, length: 0 },
};

/// The row that dropped element segments share.
fn dropped_elems() -> ElemSegment {
    ElemSegment {
        mode: SegmentMode::Static as u8,
        element: ValType::FUNCREF.into(),
        table: 0,
        offset: 0,
        offset_count: 0,
        first: 0,
        count: 0,
    }
}

/// Writes where frames hold references; equal places once.
fn stack_maps(w: &mut MetadataWriter, maps: &[(u32, Vec<u32>)]) {
    let mut known: HashMap<&[u32], u32> = HashMap::new();
    for (pc, places) in maps {
        let first = *known.entry(places).or_insert_with(|| {
            let rows = places.iter().map(|offset| w.stack_map_slots(StackMapSlot { offset: *offset }));
            rows.min().unwrap_or(0)
        });
        w.stack_maps(StackMap { pc: *pc, first, count: places.len() as u32 });
    }
}

/// Writes operations; the first one's row and their number.
fn const_expr(w: &mut MetadataWriter, ops: &[ConstOp]) -> (u32, u32) {
    let mut first = 0;
    for (i, op) in ops.iter().enumerate() {
        let (kind, low, high) = match *op {
            ConstOp::Const(bits) => (ConstOpKind::Const, bits as u64, (bits >> 64) as u64),
            ConstOp::GlobalGet(index) => (ConstOpKind::GlobalGet, index.into(), 0),
            ConstOp::RefFunc(index) => (ConstOpKind::RefFunc, index.into(), 0),
            ConstOp::RefNull => (ConstOpKind::RefNull, 0, 0),
            ConstOp::Binary(op) => (op, 0, 0),
            ConstOp::Computed { .. } => unreachable!("code computes this value"),
        };
        let row = w.const_ops(ConstRow { kind: kind as u8, low, high });
        if i == 0 {
            first = row;
        }
    }
    (first, ops.len() as u32)
}
