//! Where tables are, and what they contain at first.

use super::usage::Usage;
use super::{ModuleFacts, TableFact, is_subtype};
use crate::parse::{ConstOp, Expr, ParsedModule};
use crate::types::TypeIndex;
use std::collections::BTreeSet;
use wasmc_artifacts::format::ExternKind;

/// A read-only table has at most this many elements.
const READ_ONLY_ELEMENTS: u64 = 1 << 24;

/// All tables in the context together have at most this many elements.
const CONTEXT_ELEMENTS: u64 = 1 << 17;

/// A table has at most this many elements that are written down because its
/// initial value is a function.
const FILLED_ELEMENTS: u64 = 1 << 14;

/// A read-only table has functions of at most this many types that have
/// supertypes: calls compare with each.
const READ_ONLY_SUBTYPES: usize = 8;

/// The function that all elements of a table are at first, if that can be
/// written down.
fn filled_with(module: &ParsedModule<'_>, table: usize) -> Option<u32> {
    let table = &module.tables[table];
    match table.init.as_deref() {
        Some([ConstOp::RefFunc(function)]) if table.ty.initial <= FILLED_ELEMENTS => Some(*function),
        _ => None,
    }
}

/// Which tables the loader gives an initial value.
pub(super) fn fills(module: &ParsedModule<'_>) -> Vec<bool> {
    let fill = |(i, table): (usize, &crate::parse::ParsedTable)| match table.init.as_deref() {
        None | Some([ConstOp::RefNull]) => false,
        Some(_) => filled_with(module, i).is_none(),
    };
    module.tables.iter().enumerate().map(fill).collect()
}

/// The elements that active segments give to defined funcref tables, as far as
/// they are known, and which segments that covers. A segment that is not known
/// ends this for its table, since later ones overwrite it.
pub(super) fn initial(
    module: &ParsedModule<'_>,
    fills: &[bool],
    evaluate: impl Fn(&Expr) -> Option<u128>,
) -> (Vec<Vec<Option<u32>>>, Vec<bool>) {
    let first = |table: usize| match filled_with(module, table) {
        Some(function) => vec![Some(function); module.tables[table].ty.initial as usize],
        None => Vec::new(),
    };
    let mut init: Vec<Vec<Option<u32>>> = (0..module.tables.len()).map(first).collect();
    let mut open: Vec<bool> = module
        .tables
        .iter()
        .enumerate()
        .map(|(i, table)| i >= module.imported_tables as usize && table.element.is_func_ref() && !fills[i])
        .collect();
    let mut covered = vec![false; module.elems.len()];
    for (elem, covered) in module.elems.iter().zip(&mut covered) {
        let Some((table, offset)) = &elem.active else { continue };
        let table = *table as usize;
        let known = || {
            let start = evaluate(offset)? as u64;
            let end = start.checked_add(elem.items.len() as u64)?;
            let functions = elem.items.iter().map(|item| match item {
                ConstOp::RefFunc(function) => Some(Some(*function)),
                ConstOp::RefNull => Some(None),
                _ => None,
            });
            let functions = functions.collect::<Option<Vec<_>>>()?;
            let fits = end <= module.tables[table].ty.initial && end <= READ_ONLY_ELEMENTS;
            fits.then_some((start as usize, functions))
        };
        match known().filter(|_| open[table]) {
            Some((start, functions)) => {
                let elements: &mut Vec<Option<u32>> = &mut init[table];
                elements.resize(elements.len().max(start + functions.len()), None);
                elements[start..start + functions.len()].copy_from_slice(&functions);
                *covered = true;
            }
            None => open[table] = false,
        }
    }
    (init, covered)
}

/// Where each table is.
pub(super) fn facts(
    module: &ParsedModule<'_>,
    usage: &Usage,
    init: &[Vec<Option<u32>>],
    fills: &[bool],
    static_elems: &[bool],
) -> Vec<TableFact> {
    let mut in_context = 0;
    let mut facts = Vec::with_capacity(module.tables.len());
    for (i, table) in module.tables.iter().enumerate() {
        let size = table.ty.initial;
        let complete = module
            .elems
            .iter()
            .zip(static_elems)
            .all(|(elem, known)| *known || elem.active.as_ref().is_none_or(|(table, _)| *table as usize != i));
        let private = !module.is_exported(ExternKind::Table, i) && !usage.tables_grown.contains(&(i as u32));
        facts.push(if i < module.imported_tables as usize {
            TableFact::Imported
        } else if private
            && complete
            && !fills[i]
            && !usage.tables_accessed.contains(&(i as u32))
            && table.element.is_func_ref()
            && size <= READ_ONLY_ELEMENTS
            && has_known_types(module, &init[i])
        {
            TableFact::ReadOnly
        } else if private && size <= CONTEXT_ELEMENTS - in_context {
            in_context += size;
            TableFact::Context { first: (in_context - size) as u32 }
        } else {
            TableFact::Allocated
        });
    }
    facts
}

/// Whether the types of functions are known, and few enough of them have
/// supertypes. What is imported as a function of an open type may be one of a
/// subtype.
fn has_known_types(module: &ParsedModule<'_>, elements: &[Option<u32>]) -> bool {
    let types = &module.types;
    let mut below = BTreeSet::new();
    for function in elements.iter().flatten() {
        let ty = module.functions[*function as usize];
        if module.is_imported_function(*function) && !types.get(ty).ty.is_final {
            return false;
        }
        if types.get(ty).supertype.is_some() {
            below.insert(ty);
        }
    }
    below.len() <= READ_ONLY_SUBTYPES
}

impl ModuleFacts {
    /// Whether calls through a table reach functions alone that the module
    /// defines.
    pub fn calls_own_functions(&self, module: &ParsedModule<'_>, table: u32) -> bool {
        let mut functions = self.table_init[table as usize].iter().flatten();
        self.tables[table as usize] == TableFact::ReadOnly
            && !functions.any(|function| module.is_imported_function(*function))
    }

    /// The types that a function in a read-only table can have where one of
    /// type `ty` is called.
    pub fn read_only_types(&self, module: &ParsedModule<'_>, table: u32, ty: TypeIndex) -> Vec<TypeIndex> {
        if module.types.get(ty).ty.is_final {
            return vec![ty];
        }
        let functions = self.table_init[table as usize].iter().flatten();
        let found: BTreeSet<TypeIndex> = functions.map(|function| module.functions[*function as usize]).collect();
        found.into_iter().filter(|found| is_subtype(&module.types, *found, ty)).collect()
    }
}
