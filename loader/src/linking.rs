//! From imports to what provides them.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::externs::Extern;
use crate::module::Module;
use crate::parts;
use crate::store::StoreOpaque;
use crate::types::{ExternType, FuncType};
use crate::vm::handle::unique_id;
use crate::vm::host::HostFuncDef;
use crate::vm::slot::MemoryPlan;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use wasmc_artifacts::format::Import;

/// What provides an import.
#[derive(Clone)]
pub(crate) enum Item {
    /// A host function, for any store.
    Host(Arc<HostFuncDef>),
    /// Something of one store.
    Extern(Extern),
}

/// What provides the imports of a module, in their order.
pub(crate) struct Items {
    id: u64,
    bound: bool,
    shared: bool,
    list: Box<[Item]>,
}

impl Items {
    pub(crate) fn new(list: Vec<Item>) -> Items {
        let is_bound = |item: &Item| matches!(item, Item::Extern(external) if external.store().is_some());
        let bound = parts::LINKING.is_on() && list.iter().any(is_bound);
        let shared =
            parts::LINKING.is_on() && list.iter().any(|item| matches!(item, Item::Extern(Extern::SharedMemory(_))));
        Items { id: unique_id().get(), bound, shared, list: list.into() }
    }

    /// A number that no other items and no module of this process have or will
    /// have.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What an instance remembers of the items that its context is filled
    /// with: their id, unless they belong to a store or each store that uses
    /// them has to take note, or else 0; where there are none, all are the same.
    pub(crate) fn fill_id(&self) -> u64 {
        if self.is_empty() {
            return u64::MAX;
        }
        if self.bound || self.shared { 0 } else { self.id }
    }

    /// Whether something in it belongs to a store.
    pub(crate) fn bound(&self) -> bool {
        self.bound
    }
}

impl Deref for Items {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.list
    }
}

/// An import that is not provided as the module wants it.
#[derive(Debug, Clone)]
pub struct ImportProblem {
    module: String,
    name: String,
    expected: ExternType,
    found: Option<ExternType>,
}

impl ImportProblem {
    /// The name of the module that it is imported from.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type that the importing module wants.
    pub fn expected(&self) -> &ExternType {
        &self.expected
    }

    /// The type of what is provided, if anything is.
    pub fn found(&self) -> Option<&ExternType> {
        self.found.as_ref()
    }
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !parts::MESSAGES.is_on() {
            let kind = if self.found.is_some() { "incompatible import type" } else { "unknown import" };
            return write!(f, "`{}` from `{}`: {kind}", self.name, self.module);
        }
        write!(f, "`{}` from `{}`: expected {}, ", self.name, self.module, Named(&self.expected))?;
        match &self.found {
            Some(found) => write!(f, "found {} (incompatible import type)", Named(found)),
            None => f.write_str("found nothing (unknown import)"),
        }
    }
}

/// A type to be printed, which is a function's where nothing else is linked.
struct Named<'a>(&'a ExternType);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExternType::Func(ty) => write!(f, "function {ty}"),
            other if parts::LINKING.is_on() => other.fmt(f),
            _ => f.write_str("something that is no function"),
        }
    }
}

/// Imports are missing or of the wrong type: all of them.
#[derive(Debug, Clone)]
pub struct LinkError {
    problems: Vec<ImportProblem>,
}

impl LinkError {
    /// The imports that are missing or of the wrong type.
    pub fn problems(&self) -> &[ImportProblem] {
        &self.problems
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} import{} cannot be provided:", if count == 1 { "" } else { "s" })?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for LinkError {}

/// An import was called that nobody provides, and that was defined as a trap.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the unknown import `{name}` from `{module}` of type {ty} was called; define it in the linker")]
pub struct UnknownImportError {
    module: String,
    name: String,
    ty: FuncType,
}

impl UnknownImportError {
    pub(crate) fn new(module: &str, name: &str, ty: FuncType) -> Self {
        UnknownImportError { module: module.to_owned(), name: name.to_owned(), ty }
    }

    /// The name of the module that it is imported from.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Something provided, and its type.
///
/// A host function says itself what type it has.
pub(crate) type Provided = (Item, Option<ExternType>);

/// Finds something for every import of a module.
///
/// With `sized`, the given types say how large memories and tables are;
/// otherwise those may have grown since, and their sizes are not looked at.
pub(crate) fn resolve(
    module: &Module,
    sized: bool,
    find: &mut dyn FnMut(usize, &Import) -> Option<Provided>,
) -> Result<Items> {
    let rows = module.artifact().tables().imports;
    let (mut items, mut problems) = (Vec::with_capacity(rows.len()), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let expected = module.import_type(&row);
        let found = match find(i, &row) {
            Some((Item::Host(def), _)) => {
                if expected.func().is_some_and(|expected| def.ty().matches(module.engine(), expected)) {
                    items.push(Item::Host(def));
                    continue;
                }
                Some(ExternType::Func(def.ty().clone()))
            }
            // Nothing else could be defined.
            _ if !parts::LINKING.is_on() => None,
            Some((item, Some(found))) => {
                // What no store is needed for is looked at now.
                let sized = sized || matches!(item, Item::Extern(Extern::SharedMemory(_)));
                let fits = if sized {
                    found.matches(module.engine(), &expected)
                } else {
                    found.matches(module.engine(), &expected.without_minimum())
                };
                if fits {
                    items.push(item);
                    continue;
                }
                Some(found)
            }
            Some((_, None)) | None => None,
        };
        let (module, name) = module.artifact().import_name(&row);
        problems.push(ImportProblem { module: module.to_owned(), name: name.to_owned(), expected, found });
    }
    if problems.is_empty() { Ok(Items::new(items)) } else { Err(Error::new(LinkError { problems })) }
}

/// Checks what belongs to a store, now that the store is known.
pub(crate) fn check_bound(store: &StoreOpaque, module: &Module, items: &Items) -> Result<()> {
    if !parts::LINKING.is_on() {
        return Ok(());
    }
    check_stores(store, items.iter())?;
    resolve(module, true, &mut |i, _| {
        let item = items.get(i)?;
        let ty = match item {
            Item::Host(_) => None,
            Item::Extern(external) => Some(external.ty_in(store)),
        };
        Some((item.clone(), ty))
    })?;
    for item in items.iter() {
        if let Item::Extern(Extern::Memory(memory)) = item {
            let memory = memory.0.get(store);
            check_address_space(module, memory.plan())?;
        }
    }
    check_shared(module, items)
}

/// Checks shared memories, which belong to no store.
pub(crate) fn check_shared(module: &Module, items: &Items) -> Result<()> {
    if !parts::LINKING.is_on() {
        return Ok(());
    }
    for item in items.iter() {
        if let Item::Extern(Extern::SharedMemory(memory)) = item {
            if !Engine::same(memory.engine(), module.engine()) {
                return Err(Error::msg("a shared memory is imported that was made with another engine"));
            }
            check_address_space(module, memory.data.plan())?;
        }
    }
    Ok(())
}

/// Whether everything is of this store.
pub(crate) fn check_stores<'a>(store: &StoreOpaque, mut items: impl Iterator<Item = &'a Item>) -> Result<()> {
    let foreign =
        |item: &Item| matches!(item, Item::Extern(external) if external.store().is_some_and(|id| id != store.id()));
    if items.any(foreign) {
        return Err(Error::msg(
            "an import is provided from another store; instances that are linked must live in one store",
        ));
    }
    Ok(())
}

/// Code that imports a memory checks no bounds that the address space
/// around the memory checks already, so that must be as large as it expects.
fn check_address_space(module: &Module, plan: &MemoryPlan) -> Result<()> {
    let header = module.artifact().header();
    let (reservation, guard) = (header.memory_reservation, header.memory_guard);
    let enough = plan.reserved as u64 >= reservation && plan.span() as u64 >= reservation.saturating_add(guard);
    if enough {
        return Ok(());
    }
    Err(Error::msg(format!(
        "a memory with {} bytes of address space and a guard of {} cannot be imported by code that expects {reservation} and {guard}; compile both modules with the same memory reservation and guard",
        plan.reserved, plan.guard
    )))
}
