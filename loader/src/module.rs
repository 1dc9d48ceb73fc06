//! Modules: artifacts that are mapped and fit this machine.

use crate::debugger;
use crate::engine::Engine;
use crate::parts;
use crate::plan::Plan;
use crate::strategy::LimitError;
use crate::sys;
use crate::types::{ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType, TagType};
use crate::vm::blueprint::Blueprint;
use crate::vm::code::{Code, DamagedError};
use crate::vm::handle;
use crate::vm::of::Of;
use crate::vm::shared::{Lease, Shared};
use crate::vm::slot::Slots;
use std::ops::Range;
use std::sync::{Arc, RwLock};
use wasmc_artifacts::WorkingSet;
use wasmc_artifacts::format::{Artifact, Export, ExternKind, Import};

/// An artifact that is mapped and can be instantiated.
///
/// Cheap to clone; clones share the mapping. Loading does not allocate or
/// relocate anything for the functions in it: metadata is read where it
/// stands, and code is paged in when it is first executed.
///
/// ```
/// use wasmc_loader::{Engine, Instance, Module, Result, Store};
///
/// fn main() -> Result<()> {
///     # let folder = tempfile::tempdir()?;
///     # let file = folder.path().join("add.cwasm");
///     # std::fs::write(&file, wasmc::compile(br#"(module (func (export "add") (param i32 i32) (result i32)
///     #     (i32.add (local.get 0) (local.get 1))))"#, &wasmc::Options::new())?)?;
///     let engine = Engine::default();
///     // SAFETY: the file was made by `wasmc`, and nobody changes it.
///     let module = unsafe { Module::open(&engine, &file)? };
///     for export in module.exports() {
///         println!("{}: {}", export.name(), export.ty());
///     }
///     let mut store = Store::new(&engine, ());
///     let instance = Instance::new(&mut store, &module, &[])?;
///     let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
///     assert_eq!(add.call(&mut store, (1, 2))?, 3);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Module(pub(crate) Shared<Inner>);

/// What is behind a [`Module`].
pub(crate) struct Inner {
    id: u64,
    /// Debuggers know of the code as long as this exists, so not longer than the code.
    _announced: Of<Option<sys::Announced>, { parts::DEBUGGER.is_on() }>,
    engine: Engine,
    slots: Slots,
    working_set: Of<RwLock<Option<Arc<WorkingSet>>>, { parts::WORKING_SETS.is_on() }>,
    /// Once somebody has asked for it.
    #[cfg(feature = "addr2line")]
    symbols: std::sync::OnceLock<crate::vm::symbols::Symbols>,
    /// Of bytes that are in the plan, if the plan may outlive them.
    _watch: Of<Option<sys::Watch>, { parts::EMBEDDED.is_on() }>,
    plan: Arc<Plan>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.forget_module(self.id);
    }
}

/// Why an artifact does not run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IncompatibleError {
    /// Compiled for another architecture.
    #[cfg_attr(
        feature = "messages",
        error(
            "artifact is for {found} ({triple}), this machine is {expected}; recompile it with `--target {expected}-…`"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("artifact is for {found} ({triple}), not {expected}"))]
    Arch {
        /// The artifact's architecture.
        found: &'static str,
        /// The artifact's target triple.
        triple: String,
        /// This machine's.
        expected: &'static str,
    },
    /// The CPU lacks features that the code uses.
    #[error(
        "artifact requires the CPU features {missing}, which this machine does not have; recompile it with `--cpu baseline` or for a level that this machine reaches"
    )]
    Cpu {
        /// The names of the missing features, separated by commas.
        missing: String,
    },
    /// Aligned for smaller pages than this machine has.
    #[cfg_attr(
        feature = "messages",
        error(
            "artifact is aligned for pages of {found} bytes, this machine has pages of {expected}; recompile it for a target with such pages"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("artifact is aligned for pages of {found} bytes, not {expected}"))]
    PageSize {
        /// The artifact's alignment in bytes.
        found: u64,
        /// This machine's page size in bytes.
        expected: u64,
    },
    /// Compiled without something that the engine's settings rely on.
    #[cfg_attr(
        feature = "messages",
        error(
            "artifact was compiled without {what}, on which `Config::{setting}(true)` relies; recompile it with `{flag}`"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("artifact was compiled without {what}"))]
    Unlimited {
        /// What the code lacks.
        what: &'static str,
        /// The setting of [`Config`](crate::Config).
        setting: &'static str,
        /// The compiler's option.
        flag: &'static str,
    },
    /// More memory than can be addressed.
    #[cfg_attr(feature = "messages", error("module needs more address space for its memory than this machine has"))]
    #[cfg_attr(not(feature = "messages"), error("no address space for the memory"))]
    AddressSpace,
}

impl Module {
    /// Makes a module of an artifact that is ready for use. `watch` is of its
    /// bytes, unless the plan itself watches them.
    pub(crate) fn of_plan(engine: &Engine, plan: Arc<Plan>, watch: Option<sys::Watch>) -> Module {
        let announced =
            if parts::DEBUGGER.is_on() && engine.config().debugger { debugger::announce(plan.code()) } else { None };
        let artifact = plan.code().artifact();
        let has_working_set = parts::WORKING_SETS.is_on() && !artifact.tables().working_set.is_empty();
        let working_set = Of::new(RwLock::new(has_working_set.then(|| Arc::new(WorkingSet::of(artifact)))));
        Module(Shared::new(Inner {
            id: handle::unique_id().get(),
            _announced: Of::new(announced),
            engine: engine.clone(),
            slots: Slots::new(plan.blueprint(), plan.layout().clone(), engine.config().spare_slots),
            working_set,
            #[cfg(feature = "addr2line")]
            symbols: std::sync::OnceLock::new(),
            _watch: Of::new(watch),
            plan,
        }))
    }

    /// The engine it was loaded with.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The name that the module gives itself.
    pub fn name(&self) -> Option<&str> {
        let artifact = self.artifact();
        artifact.str(artifact.header().name).filter(|name| !name.is_empty())
    }

    /// What it imports, in its own order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        self.artifact().tables().imports.iter().map(|row| {
            let (module, name) = self.artifact().import_name(&row);
            ImportType { module, name, ty: self.import_type(&row) }
        })
    }

    /// What it exports, in its own order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        self.artifact().tables().exports.iter().map(|row| ExportType {
            name: self.artifact().str(row.name).unwrap_or_default(),
            ty: self.export_type(&row),
        })
    }

    /// The type of the export `name`, if there is one.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        self.artifact().export(name).map(|row| self.export_type(&row))
    }

    /// The place of the export `name`, if there is one: with it
    /// [`Instance::get_module_export`](crate::Instance::get_module_export)
    /// needs no search.
    pub fn get_export_index(&self, name: &str) -> Option<ModuleExport> {
        let row = self.artifact().export(name)?;
        Some(ModuleExport { module: self.clone(), row })
    }

    /// The addresses of the machine code.
    pub fn text(&self) -> Range<usize> {
        self.0.plan.code().text()
    }

    /// Whether both are the same module, as clones of one are; loading a file
    /// again makes another module.
    pub fn same(a: &Module, b: &Module) -> bool {
        a.is_same(b)
    }

    /// SHA-256 of the WebAssembly binary that the artifact was compiled from.
    pub fn source_hash(&self) -> [u8; 32] {
        self.artifact().header().source_hash
    }

    /// The functions that the module defines, in its order, and where their
    /// machine code is.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction<'_>> {
        let artifact = self.artifact();
        let imported = artifact.header().context.func_imports;
        artifact.tables().functions.iter().enumerate().map(move |(number, row)| ModuleFunction {
            index: imported + number as u32,
            name: artifact.function_name(&row),
            offset: row.code as usize,
            len: row.length as usize,
        })
    }

    pub(crate) fn is_same(&self, other: &Module) -> bool {
        Shared::same(&self.0, &other.0)
    }

    /// A number that no other module and no [`Items`](crate::linking::Items)
    /// of this process has or will have.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// A reference for an instance, to be counted without contention.
    #[inline]
    pub(crate) fn lease(&self) -> Lease<Module> {
        Lease::of(self)
    }

    #[inline]
    pub(crate) fn artifact(&self) -> &Artifact<'_> {
        self.0.plan.code().artifact()
    }

    pub(crate) fn code_at(&self, offset: u32) -> *mut u8 {
        self.0.plan.code().code_at(offset)
    }

    /// Whether the artifact was truncated while it was mapped; see [`Code::damaged`].
    #[inline]
    pub(crate) fn is_damaged(&self) -> bool {
        self.0.plan.code().damaged()
    }

    /// See [`Code::shortened`].
    pub(crate) fn is_shortened(&self) -> bool {
        self.0.plan.code().shortened()
    }

    /// As an error, [`is_damaged`](Self::is_damaged).
    #[inline]
    pub(crate) fn intact(&self) -> Result<(), DamagedError> {
        self.0.plan.code().intact()
    }

    /// Watches a view of the artifact's file, until the value is dropped; see
    /// [`Code::watch`].
    pub(crate) fn watch(&self, view: Range<usize>) -> Option<sys::Watch> {
        self.0.plan.code().watch(view)
    }

    pub(crate) fn code(&self) -> &Code {
        self.0.plan.code()
    }

    /// All bytes of the artifact.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.plan.code().bytes()
    }

    /// The debug information, which is read now if it was not before.
    #[cfg(feature = "addr2line")]
    pub(crate) fn symbols(&self) -> &crate::vm::symbols::Symbols {
        self.0.symbols.get_or_init(|| crate::vm::symbols::Symbols::read(self.bytes()))
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    pub(crate) fn blueprint(&self) -> &Blueprint {
        self.0.plan.blueprint()
    }

    /// Checks that instances of the module fit into the engine's pool, if it
    /// has one.
    pub(crate) fn check_limits(&self) -> Result<(), LimitError> {
        self.engine().pool().map_or(Ok(()), |pool| pool.check(self.engine().config(), self.blueprint()))
    }

    /// The pages that instances are known to write, unless there are none.
    pub(crate) fn working_set(&self) -> &RwLock<Option<Arc<WorkingSet>>> {
        &self.0.working_set
    }

    /// The type of an import.
    ///
    /// Where the artifact, against the checks at loading, has no such row, the
    /// type is one that nothing matches.
    pub(crate) fn import_type(&self, row: &Import) -> ExternType {
        let index = row.index as usize;
        let tables = self.artifact().tables();
        let ty = ExternKind::from_code(row.kind).and_then(|kind| {
            Some(match kind {
                ExternKind::Func => ExternType::Func(self.func_type(row.index)?),
                _ if !parts::LINKING.is_on() => return None,
                ExternKind::Table => ExternType::Table(TableType::of_row(&tables.tables.get(index)?)?),
                ExternKind::Memory => ExternType::Memory(MemoryType::of_row(&tables.memories.get(index)?)),
                ExternKind::Global => ExternType::Global(GlobalType::of_row(&tables.globals.get(index)?)?),
                ExternKind::Tag => ExternType::Tag(TagType::new(self.func_type(tables.tags.get(index)?.ty)?)),
            })
        });
        debug_assert!(ty.is_some() || self.is_damaged(), "an import without a type passed the checks");
        ty.unwrap_or_else(nothing)
    }

    fn export_type(&self, row: &Export) -> ExternType {
        let index = row.index as usize;
        let tables = self.artifact().tables();
        let ty = ExternKind::from_code(row.kind).and_then(|kind| {
            Some(match kind {
                ExternKind::Func => ExternType::Func(self.func_type(self.func_type_row(row.index)?)?),
                ExternKind::Table => ExternType::Table(TableType::of_row(&tables.tables.get(index)?)?),
                ExternKind::Memory => ExternType::Memory(MemoryType::of_row(&tables.memories.get(index)?)),
                ExternKind::Global => ExternType::Global(GlobalType::of_row(&tables.globals.get(index)?)?),
                ExternKind::Tag => ExternType::Tag(TagType::new(self.func_type(tables.tags.get(index)?.ty)?)),
            })
        });
        ty.unwrap_or_else(nothing)
    }

    /// The function type in a row of the type table.
    fn func_type(&self, row: u32) -> Option<FuncType> {
        self.engine().types().func_type(self.artifact().tables().types.get(row as usize)?.id)
    }

    /// The row of the type of a function that can be a value.
    fn func_type_row(&self, function: u32) -> Option<u32> {
        if function >= self.artifact().header().context.func_imports {
            return Some(self.artifact().func_ref(function)?.1);
        }
        let mut functions =
            self.artifact().tables().imports.iter().filter(|import| import.kind == ExternKind::Func as u8);
        Some(functions.nth(function as usize)?.index)
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The type of a row that does not exist.
fn nothing() -> ExternType {
    ExternType::Memory(MemoryType::new(u32::MAX, Some(0)))
}

/// A function that a module defines; from [`Module::functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleFunction<'module> {
    /// Its index in the module, imported functions counted.
    pub index: u32,
    /// Its name, if the artifact has names; `wasm-function[7]` if only the module
    /// has none for it.
    pub name: Option<&'module str>,
    /// Where its machine code begins, in bytes from the start of
    /// [`Module::text`].
    pub offset: usize,
    /// Bytes of machine code.
    pub len: usize,
}

/// Where an export is in a module.
#[derive(Debug, Clone)]
pub struct ModuleExport {
    pub(crate) module: Module,
    pub(crate) row: Export,
}
