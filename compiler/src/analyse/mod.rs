//! [`ParsedModule`] to [`ModuleFacts`]: what is true of the module as a whole.
//!
//! Translation, linking and writing read these facts and derive none of them
//! again. Bodies are validated here, in the same pass over their operators
//! that notes what they use, in parallel.

mod calls;
mod images;
mod initializer;
mod memories;
mod objects;
mod segments;
mod tables;
mod usage;

pub use calls::{CallFacts, LoopFact, Watch};
pub use images::MemoryImage;
pub use initializer::{Initializer, operators};
pub use memories::MemoryFact;
pub use objects::{ObjectFacts, is_subtype};
pub use segments::SegmentRows;

use crate::error::Error;
use crate::options::Options;
use crate::parse::{ConstOp, Expr, ImportKind, ParsedModule, TypeIndex};
use crate::proposals::Features;
use crate::types::DefinedType;
use std::collections::BTreeSet;
use usage::Usage;
use wasmc_artifacts::abi::{ContextCounts, ContextLayout, TypeKind};
use wasmc_artifacts::format::ExternKind;

/// Where a table is, as the code that uses it must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFact {
    /// Imported: base and length come through a pointer.
    Imported,
    /// Never written, never seen outside: code offsets in read-only data.
    ReadOnly,
    /// Of constant length, in the context, from this element of its storage.
    Context {
        /// The first element.
        first: u32,
    },
    /// Allocated by the loader: base and length are in the context.
    Allocated,
}

/// What is known about a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalFact {
    /// It always has these bits.
    Constant(u128),
    /// It never changes after instantiation.
    Fixed,
    /// It can change.
    Variable,
}

/// What is true of a module as a whole.
#[derive(Debug)]
pub struct ModuleFacts {
    /// The layout of its context.
    pub layout: ContextLayout,
    /// Where each table is.
    pub tables: Vec<TableFact>,
    /// The initial elements of each table that are known now: functions, or
    /// `None` for null.
    pub table_init: Vec<Vec<Option<u32>>>,
    /// Whether the loader gives all elements of a table an initial value, before
    /// it copies segments.
    pub table_fills: Vec<bool>,
    /// What each global is.
    pub globals: Vec<GlobalFact>,
    /// Defined functions that can be values at run time, sorted.
    pub func_refs: Vec<u32>,
    /// Imported functions that read-only tables refer to.
    pub thunks: Vec<u32>,
    /// Types that the host can call: those of `func_refs`.
    pub entry_types: BTreeSet<TypeIndex>,
    /// Types in which wasm can call the host.
    pub host_types: BTreeSet<TypeIndex>,
    /// Types that exist at run time: those above, those of tags, and all if the
    /// module defines others than plain functions' or references name one.
    pub run_time_types: BTreeSet<TypeIndex>,
    /// The constant expressions that are compiled.
    pub initializer: Initializer,
    /// Whether instances need the garbage-collected heap: code makes objects or
    /// exceptions, or looks at those of others.
    pub uses_heap: bool,
    /// What is known of structs and arrays.
    pub objects: ObjectFacts,
    /// Initial contents of each defined memory.
    pub images: Vec<MemoryImage>,
    /// Which data segments exist at run time: those that are not part of `images`.
    pub data: SegmentRows,
    /// Which element segments exist at run time: those that are neither part
    /// of `table_init` nor only declare functions.
    pub elems: SegmentRows,
    /// For each defined function the values in its frame: parameters, locals,
    /// and as many operands as validation sees on the stack at a time, in code
    /// that cannot be reached too; at least 1. A vector is one value.
    pub frame_values: Vec<u32>,
    /// Where code that can be stopped looks; empty for other code.
    pub calls: CallFacts,
    /// The proposals that the module uses.
    pub features: Features,
    /// What is known about the size of each memory.
    pub memories: Vec<MemoryFact>,
}

/// Validates all function bodies and finds the facts.
///
/// # Errors
/// The first invalid body's [`Error`], or a context that is too large.
pub fn analyse(module: &mut ParsedModule<'_>, options: &Options) -> Result<ModuleFacts, Error> {
    let mut usage = usage::scan(module, options)?;
    module.uses.union(usage.uses);
    let module = &*module;
    let initializer = Initializer::new(module)?;
    let globals = global_facts(module, &usage);
    let table_fills = tables::fills(module);
    let (table_init, static_elems) = tables::initial(module, &table_fills, |offset| evaluate(offset, &globals));
    let tables = tables::facts(module, &usage, &table_init, &table_fills, &static_elems);
    let (images, static_data) = images::build(module, options, |expr| evaluate(expr, &globals))?;
    let func_refs = func_refs(module, &usage, &initializer, &tables, &static_elems);
    let declared = module.elems.iter().map(|elem| elem.declared);
    let elems = SegmentRows::new(static_elems.iter().zip(declared).map(|(known, declared)| *known || declared));
    let data = SegmentRows::new(static_data);
    let counts = counts(module, options, &tables, &func_refs, [data.count(), elems.count()]);
    let is_import = |function: &u32| module.is_imported_function(*function);
    let read_only = tables.iter().zip(&table_init).filter(|(fact, _)| **fact == TableFact::ReadOnly);
    let thunks: BTreeSet<u32> =
        read_only.flat_map(|(_, init)| init.iter().flatten().copied()).filter(is_import).collect();
    let entry_types: BTreeSet<TypeIndex> = func_refs.iter().map(|f| module.functions[*f as usize]).collect();
    let host_types = host_types(module, &usage, &tables);
    let calls = if options.epoch || options.fuel {
        calls::facts(module, std::mem::take(&mut usage.calls), (&tables, &table_init), &func_refs)
    } else {
        CallFacts::default()
    };
    Ok(ModuleFacts {
        layout: ContextLayout::new(counts)?,
        run_time_types: run_time_types(module, entry_types.union(&host_types)),
        host_types,
        memories: memories::facts(module, options),
        uses_heap: uses_heap(module, &usage),
        objects: ObjectFacts::new(module, usage.converts || initializer.converts),
        initializer,
        tables,
        table_init,
        table_fills,
        globals,
        func_refs,
        calls,
        thunks: thunks.into_iter().collect(),
        entry_types,
        images,
        data,
        elems,
        features: module.uses.features(),
        frame_values: usage.frame_values,
    })
}

/// The value of a constant expression, if it is known before instantiation.
/// References are not.
fn evaluate(expr: &Expr, globals: &[GlobalFact]) -> Option<u128> {
    let mut stack: Vec<u128> = Vec::new();
    for op in expr {
        let value = match *op {
            ConstOp::Const(bits) => bits,
            ConstOp::GlobalGet(index) => match globals.get(index as usize)? {
                GlobalFact::Constant(bits) => *bits,
                _ => return None,
            },
            ConstOp::Binary(op) => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                op.arithmetic(a as u64, b as u64)?.into()
            }
            ConstOp::RefFunc(_) | ConstOp::RefNull | ConstOp::Computed { .. } => return None,
        };
        stack.push(value);
    }
    stack.pop()
}

fn global_facts(module: &ParsedModule<'_>, usage: &Usage) -> Vec<GlobalFact> {
    let mut facts = Vec::with_capacity(module.globals.len());
    for (i, global) in module.globals.iter().enumerate() {
        let visible = global.init.is_none() || module.is_exported(ExternKind::Global, i);
        let changes = global.mutable && (visible || usage.globals_set.contains(&(i as u32)));
        let fact = match &global.init {
            _ if changes => GlobalFact::Variable,
            Some(init) if !global.ty.is_ref() => evaluate(init, &facts).map_or(GlobalFact::Fixed, GlobalFact::Constant),
            _ => GlobalFact::Fixed,
        };
        facts.push(fact);
    }
    facts
}

/// Defined functions that code or the host can get hold of as values.
fn func_refs(
    module: &ParsedModule<'_>,
    usage: &Usage,
    initializer: &Initializer,
    tables: &[TableFact],
    static_elems: &[bool],
) -> Vec<u32> {
    let mut functions: BTreeSet<u32> = usage.ref_funcs.union(&initializer.functions).copied().collect();
    functions.extend(module.exports.iter().filter(|e| e.kind == ExternKind::Func).map(|e| e.index));
    functions.extend(module.start);
    let mut exprs: Vec<&[ConstOp]> = module.globals.iter().filter_map(|g| g.init.as_deref()).collect();
    let in_context = module.tables.iter().zip(tables).filter(|(_, fact)| **fact != TableFact::ReadOnly);
    exprs.extend(in_context.filter_map(|(table, _)| table.init.as_deref()));
    for (elem, known) in module.elems.iter().zip(static_elems) {
        let read_only = |table: &u32| tables[*table as usize] == TableFact::ReadOnly;
        let in_code_only = *known && elem.active.as_ref().is_some_and(|(table, _)| read_only(table));
        if !in_code_only && !elem.declared {
            exprs.push(&elem.items);
        }
    }
    for op in exprs.into_iter().flatten() {
        if let ConstOp::RefFunc(function) = op {
            functions.insert(*function);
        }
    }
    functions.into_iter().filter(|function| !module.is_imported_function(*function)).collect()
}

fn host_types(module: &ParsedModule<'_>, usage: &Usage, tables: &[TableFact]) -> BTreeSet<TypeIndex> {
    let imported = module.imports.iter().filter_map(|import| match import.kind {
        ImportKind::Func(ty) => Some(ty),
        _ => None,
    });
    let through_tables =
        usage.indirect_calls.iter().filter(|(table, _)| tables[*table as usize] != TableFact::ReadOnly);
    let mut types: BTreeSet<TypeIndex> =
        imported.chain(through_tables.map(|(_, ty)| *ty)).chain(usage.reference_calls.iter().copied()).collect();
    // What is called as a function of an open type can be one of a subtype.
    for (index, defined) in module.types.distinct() {
        if defined.supertype.is_some_and(|supertype| types.contains(&supertype)) {
            types.insert(index);
        }
    }
    types
}

fn uses_heap(module: &ParsedModule<'_>, usage: &Usage) -> bool {
    let makes = |(_, defined): (_, &DefinedType)| defined.ty.composite.kind() != TypeKind::Func;
    usage.inspects || !module.tags.is_empty() || module.types.distinct().any(makes)
}

fn run_time_types<'t>(module: &ParsedModule<'_>, called: impl Iterator<Item = &'t TypeIndex>) -> BTreeSet<TypeIndex> {
    let mut used: BTreeSet<TypeIndex> = called.copied().chain(module.tags.iter().copied()).collect();
    if module.types.distinct().any(|(_, defined)| !defined.is_self_contained()) {
        used.extend(module.types.distinct().map(|(index, _)| index));
    }
    used
}

fn counts(
    module: &ParsedModule<'_>,
    options: &Options,
    tables: &[TableFact],
    func_refs: &[u32],
    [data_segments, elem_segments]: [u32; 2],
) -> ContextCounts {
    let in_context = tables.iter().zip(&module.tables).filter(|(fact, _)| matches!(fact, TableFact::Context { .. }));
    ContextCounts {
        guard: options.tunables.context_guard,
        func_imports: module.imported_functions,
        table_imports: module.imported_tables,
        memory_imports: module.imported_memories,
        global_imports: module.imported_globals,
        tag_imports: module.imported_tags,
        globals: module.globals.len() as u32 - module.imported_globals,
        memories: module.memories.len() as u32 - module.imported_memories,
        tables: module.tables.len() as u32 - module.imported_tables,
        tags: module.tags.len() as u32 - module.imported_tags,
        func_refs: func_refs.len() as u32,
        data_segments,
        elem_segments,
        inline_elements: in_context.map(|(_, table)| table.ty.initial as u32).sum(),
    }
}
