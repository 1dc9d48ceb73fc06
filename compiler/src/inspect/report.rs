//! What an artifact contains, gathered for people and programs.

use super::Error;
use super::object::{ObjectView, hex};
use crate::proposals::Features;
use std::num::NonZeroU32;
use wasmc_artifacts::abi::{Arch, CpuFeatures, Os, ValTypeCode, WASM_PAGE_SIZE};
use wasmc_artifacts::format::{Artifact, ExternKind, FORMAT_VERSION, Function, Import, Memory};

/// What an artifact contains.
#[derive(Debug, Clone)]
pub struct Report {
    /// Bytes of the file.
    pub file_size: u64,
    /// Version of the format.
    pub format_version: u32,
    /// Fingerprint of the ABI.
    pub abi: u64,
    /// Version of the compiler.
    pub compiler: String,
    /// Name of the module, if it has one.
    pub name: Option<String>,
    /// What has run when the artifact was made, as `start function, _initialize`, if instances begin where that
    /// has ended.
    pub initialized_by: Option<String>,
    /// SHA-256 of the content, in hexadecimal.
    pub content_hash: String,
    /// SHA-256 of the wasm, in hexadecimal.
    pub source_hash: String,
    /// Target triple.
    pub triple: String,
    /// Architecture.
    pub arch: &'static str,
    /// Operating system.
    pub os: &'static str,
    /// Page size that everything is aligned to, in bytes.
    pub page_size: u64,
    /// CPU features that the code needs.
    pub cpu_features: Vec<&'static str>,
    /// Proposals that the module uses.
    pub wasm_features: Vec<&'static str>,
    /// Whether there is debug information.
    pub debug: bool,
    /// How many values the frames on the stack may have, if that is limited.
    pub stack_values: Option<NonZeroU32>,
    /// Bytes of stack that frames with so many values take at most, if they are
    /// all of this module: what the loader's `Config::max_wasm_stack` must be
    /// for the limit in values to be the one that is reached. Functions of the
    /// host that are called in between need stack beside that.
    pub stack_bytes: u64,
    /// Whether every NaN that the code computes has one bit pattern.
    pub canonical_nans: bool,
    /// Whether relaxed SIMD has the results of the specification's
    /// deterministic profile.
    pub deterministic_relaxed_simd: bool,
    /// Whether the code does the same on every machine, as far as it can: NaNs
    /// are canonical, relaxed SIMD is deterministic, and the stack is limited in
    /// values.
    pub deterministic: bool,
    /// Whether the code looks whether it is to stop, at a deadline or at once.
    pub epoch: bool,
    /// Whether the code counts fuel.
    pub fuel: bool,
    /// Bytes reserved for each memory, at least.
    pub memory_reservation: u64,
    /// Inaccessible bytes after that.
    pub memory_guard: u64,
    /// Inaccessible bytes between context and memory.
    pub context_guard: u32,
    /// Bytes of an instance's context, that guard included.
    pub context_size: u32,
    /// Bytes of metadata.
    pub metadata_size: u64,
    /// Bytes of machine code.
    pub text_size: u64,
    /// Number of places where the code traps.
    pub trap_sites: usize,
    /// Whether instances have objects on their store's heap.
    pub uses_heap: bool,
    /// Number of calls during which references are kept in the stack frame.
    pub stack_maps: usize,
    /// Number of tags, imported ones included.
    pub tags: usize,
    /// Number of calls that have a handler for exceptions.
    pub handlers: usize,
    /// The file as others see it.
    pub object: ObjectView,
    /// Imports, in the module's order.
    pub imports: Vec<ImportEntry>,
    /// Exports, in the module's order.
    pub exports: Vec<Entry>,
    /// Number of defined functions.
    pub functions: usize,
    /// Defined functions with their code's size, largest first.
    pub largest: Vec<FunctionSize>,
    /// Defined memories.
    pub memories: Vec<MemoryImage>,
    /// Number of tables, imported ones included.
    pub tables: usize,
    /// Number of globals, imported ones included.
    pub globals: usize,
    /// Number of data segments.
    pub data_segments: usize,
    /// Number of element segments.
    pub elem_segments: usize,
}

/// What an import or export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `func`, `table`, `memory` or `global`.
    pub kind: &'static str,
    /// Its type, as `(i32) -> (i64)`, `funcref, 10..20`, `i64 1..65536 pages` or `mut i32`.
    pub ty: String,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// Module name.
    pub module: String,
    /// Field name.
    pub name: String,
    /// What it is.
    pub entity: Entity,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: String,
    /// What it is.
    pub entity: Entity,
}

/// A function and the size of its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSize {
    /// Index in the module's function index space.
    pub index: u64,
    /// Name, as far as the artifact has it.
    pub name: Option<String>,
    /// Bytes of code.
    pub size: u32,
}

/// A defined memory and what of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryImage {
    /// Index in the module's memory index space.
    pub index: usize,
    /// Limits, as `1..2 pages`, `i64 1.. pages` or `5..9 pages of 1 byte`.
    pub limits: String,
    /// Number of stored ranges.
    pub extents: usize,
    /// Bytes stored.
    pub stored: u64,
    /// Bytes of the initial memory.
    pub initial: u64,
    /// The pages that instances touch, as first page and number of pages of
    /// 4 KiB; none if no run was recorded.
    pub working_set: Vec<(u32, u32)>,
}

impl Report {
    /// Looks into an artifact. At most `largest` functions are listed.
    ///
    /// # Errors
    /// [`Error`] if it is no artifact, or the file around it is malformed.
    pub fn read(file: &[u8], largest: usize) -> Result<Report, Error> {
        let artifact = Artifact::parse(file)?;
        let object = ObjectView::read(file)?;
        let (header, tables) = (artifact.header(), artifact.tables());
        let text = |span| artifact.str(span).unwrap_or_default().to_owned();
        Ok(Report {
            file_size: file.len() as u64,
            format_version: FORMAT_VERSION,
            abi: header.abi,
            compiler: text(header.compiler),
            name: Some(text(header.name)).filter(|name| !name.is_empty()),
            initialized_by: Some(text(header.initialized_by)).filter(|what| !what.is_empty()),
            content_hash: hex(&header.content_hash),
            source_hash: hex(&header.source_hash),
            triple: text(header.triple),
            arch: Arch::from_code(header.arch).map_or("?", Arch::name),
            os: Os::from_code(header.os).map_or("?", Os::name),
            page_size: artifact.page_size(),
            cpu_features: CpuFeatures(header.cpu_features).iter().map(|feature| feature.name).collect(),
            wasm_features: Features::names(header.wasm_features).collect(),
            debug: header.debug != 0,
            stack_values: NonZeroU32::new(header.stack_values),
            stack_bytes: header.stack_bytes,
            canonical_nans: header.canonical_nans != 0,
            deterministic_relaxed_simd: header.deterministic_relaxed_simd != 0,
            deterministic: header.canonical_nans != 0
                && header.deterministic_relaxed_simd != 0
                && header.stack_values != 0,
            epoch: header.epoch != 0,
            fuel: header.fuel != 0,
            memory_reservation: header.memory_reservation,
            memory_guard: header.memory_guard,
            context_guard: header.context.guard,
            context_size: artifact.layout().size(),
            metadata_size: u64::from(header.metadata_length),
            text_size: header.text.length,
            trap_sites: tables.trap_sites.len(),
            uses_heap: header.uses_heap != 0,
            stack_maps: tables.stack_maps.len(),
            tags: tables.tags.len(),
            handlers: tables.handlers.len(),
            object,
            imports: imports(&artifact),
            exports: exports(&artifact),
            functions: tables.functions.len(),
            largest: largest_functions(&artifact, largest),
            memories: memories(&artifact),
            tables: tables.tables.len(),
            globals: tables.globals.len(),
            data_segments: tables.data_segments.len(),
            elem_segments: tables.elem_segments.len(),
        })
    }
}

fn imports(artifact: &Artifact<'_>) -> Vec<ImportEntry> {
    let imports = artifact.tables().imports.iter().map(|import: Import| {
        let (module, name) = artifact.import_name(&import);
        let entity = match ExternKind::from_code(import.kind) {
            Some(ExternKind::Func) => function(artifact, import.index),
            kind => entity(artifact, kind, import.index),
        };
        ImportEntry { module: module.to_owned(), name: name.to_owned(), entity }
    });
    imports.collect()
}

fn exports(artifact: &Artifact<'_>) -> Vec<Entry> {
    let mut imported = artifact.tables().imports.iter().filter(|import| import.kind == ExternKind::Func as u8);
    let imported: Vec<u32> = imported.by_ref().map(|import| import.index).collect();
    let exports = artifact.tables().exports.iter().map(|export| {
        let entity = match ExternKind::from_code(export.kind) {
            // An exported function is a value, so its type is with the
            // function references; an imported one's is with the imports.
            Some(ExternKind::Func) => {
                let reference = artifact.func_ref(export.index).map(|(_, ty)| ty);
                let ty = imported.get(export.index as usize).copied().or(reference);
                ty.map_or_else(|| unknown("func"), |ty| function(artifact, ty))
            }
            kind => entity(artifact, kind, export.index),
        };
        Entry { name: artifact.str(export.name).unwrap_or("?").to_owned(), entity }
    });
    exports.collect()
}

fn unknown(kind: &'static str) -> Entity {
    Entity { kind, ty: "?".to_owned() }
}

fn function(artifact: &Artifact<'_>, ty: u32) -> Entity {
    artifact.func_type(ty).map_or_else(|| unknown("func"), |ty| Entity { kind: "func", ty: ty.to_string() })
}

/// Anything but a function.
fn entity(artifact: &Artifact<'_>, kind: Option<ExternKind>, index: u32) -> Entity {
    let (tables, index) = (artifact.tables(), index as usize);
    let value = |code: ValTypeCode| code.ty().map_or_else(|| "?".to_owned(), |ty| ty.to_string());
    match kind {
        Some(ExternKind::Table) => {
            let index_type = |wide: u8| if wide != 0 { "i64 " } else { "" };
            let ty = tables
                .tables
                .get(index)
                .map(|t| format!("{}{}, {}", index_type(t.table64), value(t.element), range(t.minimum, t.maximum)));
            Entity { kind: "table", ty: ty.unwrap_or_else(|| "?".to_owned()) }
        }
        Some(ExternKind::Memory) => {
            let ty = tables.memories.get(index).map(|m| memory_type(&m));
            Entity { kind: "memory", ty: ty.unwrap_or_else(|| "?".to_owned()) }
        }
        Some(ExternKind::Global) => {
            let mutable = |g: &wasmc_artifacts::format::Global| if g.mutable != 0 { "mut " } else { "" };
            let ty = tables.globals.get(index).map(|g| format!("{}{}", mutable(&g), value(g.ty)));
            Entity { kind: "global", ty: ty.unwrap_or_else(|| "?".to_owned()) }
        }
        Some(ExternKind::Tag) => {
            let ty = tables.tags.get(index).and_then(|tag| artifact.func_type(tag.ty));
            Entity { kind: "tag", ty: ty.map_or_else(|| "?".to_owned(), |ty| ty.to_string()) }
        }
        Some(ExternKind::Func) | None => unknown("?"),
    }
}

/// A memory's limits and what is special about it.
fn memory_type(memory: &Memory) -> String {
    let shared = if memory.shared != 0 { "shared " } else { "" };
    let index = if memory.memory64 != 0 { "i64 " } else { "" };
    let pages = match 1u64 << memory.page_shift {
        WASM_PAGE_SIZE => "pages".to_owned(),
        1 => "pages of 1 byte".to_owned(),
        bytes => format!("pages of {bytes} bytes"),
    };
    format!("{shared}{index}{} {pages}", range(memory.minimum, memory.maximum))
}

fn range(minimum: u64, maximum: u64) -> String {
    if maximum == u64::MAX { format!("{minimum}..") } else { format!("{minimum}..{maximum}") }
}

fn largest_functions(artifact: &Artifact<'_>, count: usize) -> Vec<FunctionSize> {
    let first = u64::from(artifact.header().context.func_imports);
    let mut all: Vec<(u64, Function)> = (first..).zip(artifact.tables().functions.iter()).collect();
    all.sort_by_key(|(index, function)| (std::cmp::Reverse(function.length), *index));
    let named = all.into_iter().take(count).map(|(index, function)| FunctionSize {
        index,
        name: artifact.function_name(&function).map(str::to_owned),
        size: function.length,
    });
    named.collect()
}

fn memories(artifact: &Artifact<'_>) -> Vec<MemoryImage> {
    let imported = artifact.header().context.memory_imports as usize;
    let defined = artifact.tables().memories.iter().enumerate().skip(imported).map(|(index, memory)| {
        let extents = artifact.tables().extents.iter().filter(|extent| extent.memory as usize + imported == index);
        let touched = artifact.tables().working_set.iter().filter(|range| range.memory as usize + imported == index);
        let (extents, stored) = extents.fold((0, 0), |(n, bytes), extent| (n + 1, bytes + extent.content.length));
        MemoryImage {
            index,
            limits: memory_type(&memory),
            extents,
            stored,
            initial: artifact.initial_length((index - imported) as u32).unwrap_or_default(),
            working_set: touched.map(|range| (range.first, range.pages)).collect(),
        }
    });
    defined.collect()
}
