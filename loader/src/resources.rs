//! What a module needs of memory, and how it gets it.

use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::module::Module;
use crate::store::AsContext;
use crate::strategy::InstanceLimits;
use std::sync::{Arc, PoisonError};
use wasmc_artifacts::WorkingSet;
use wasmc_artifacts::format::PageRange;

/// What an instance of a module needs; from [`Module::resources_required`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourcesRequired {
    /// Memories that the module defines.
    pub num_memories: u32,
    /// The size at first of the largest one, in pages of 64 KiB; `None` if
    /// there is none.
    pub max_initial_memory_size: Option<u64>,
    /// Tables that the module defines.
    pub num_tables: u32,
    /// The number of elements at first of the largest one; `None` if there is
    /// none.
    pub max_initial_table_size: Option<u64>,
    /// Bytes for the context: what [`InstanceLimits::size`] has to be.
    pub context_size: usize,
}

/// How a memory of an instance gets its first content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryInitialization {
    /// It is all zeros.
    Zero,
    /// It is a copy-on-write view of the artifact.
    CopyOnWrite {
        /// Parts of the file that it consists of, other than zeros.
        extents: usize,
        /// Bytes of these.
        bytes: u64,
    },
    /// It is copied from the artifact for each instance.
    Copied {
        /// Parts of the file that it consists of, other than zeros.
        extents: usize,
        /// Bytes of these.
        bytes: u64,
        /// Why it is not a view.
        reason: &'static str,
    },
}

impl InstanceLimits {
    /// The least limits that instances of all these modules fit within, with
    /// the default number of slots. Memories and tables have room for their
    /// initial size; raise `memory_pages` and `table_elements` for those that
    /// are to grow.
    pub fn for_modules<'a>(modules: impl IntoIterator<Item = &'a Module>) -> InstanceLimits {
        let mut limits = InstanceLimits {
            size: 0,
            tables: 0,
            table_elements: 0,
            memories: 0,
            memory_pages: 0,
            ..Default::default()
        };
        for module in modules {
            let needs = module.resources_required();
            limits.size = limits.size.max(needs.context_size);
            limits.tables = limits.tables.max(needs.num_tables);
            let elements = u32::try_from(needs.max_initial_table_size.unwrap_or(0)).unwrap_or(u32::MAX);
            limits.table_elements = limits.table_elements.max(elements);
            limits.memories = limits.memories.max(needs.num_memories);
            limits.memory_pages = limits.memory_pages.max(needs.max_initial_memory_size.unwrap_or(0));
        }
        limits
    }
}

/// Why shared memories are never views of the artifact.
const SHARED: &str = "it is shared, and can outlive the instance";

impl Module {
    /// What an instance needs, for choosing [`InstanceLimits`].
    pub fn resources_required(&self) -> ResourcesRequired {
        let blueprint = self.blueprint();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        ResourcesRequired {
            num_memories: count(blueprint.memory_sizes().count()),
            max_initial_memory_size: blueprint.memory_sizes().map(|size| (size as u64).div_ceil(64 << 10)).max(),
            num_tables: count(blueprint.table_sizes().count()),
            max_initial_table_size: blueprint.table_sizes().max(),
            context_size: blueprint.room(),
        }
    }

    /// How the memories that the module defines get their first content, in
    /// their order.
    pub fn memory_initialization(&self) -> Vec<MemoryInitialization> {
        let copied = self.engine().why_copied();
        let images = self.blueprint().images();
        let each = images.map(|(extents, bytes, shared)| match (extents, copied.or(shared.then_some(SHARED))) {
            (0, _) => MemoryInitialization::Zero,
            (_, None) => MemoryInitialization::CopyOnWrite { extents, bytes: bytes as u64 },
            (_, Some(reason)) => MemoryInitialization::Copied { extents, bytes: bytes as u64, reason },
        });
        each.collect()
    }

    /// Takes note of the pages that an instance of this module has written so
    /// far, after a training run: instances that are made in a new slot get
    /// these pages in one go instead of one page fault each.
    ///
    /// Write [`WorkingSet::to_text`] to a file and pass it to
    /// `wasmc --working-set` to have this in the artifact.
    ///
    /// # Errors
    /// If the instance is of another module, or the system does not tell which
    /// pages were written, as only Linux does (since 6.7).
    ///
    /// # Panics
    /// If the instance belongs to another store.
    pub fn record_working_set(&self, store: impl AsContext, instance: &Instance) -> Result<WorkingSet> {
        let data = instance.0.get(&store.as_context().0.opaque);
        if !data.module().is_same(self) {
            return Err(Error::msg("a working set can only be recorded from an instance of the same module"));
        }
        let pages = data.written_pages().ok_or_else(|| {
            Error::msg(
                "this system does not tell which pages were written; record the working set on Linux 6.7 or later",
            )
        })?;
        let page = PageRange::PAGE_SIZE as usize;
        let ranges = pages.into_iter().map(|(memory, range)| PageRange {
            memory,
            first: (range.start / page) as u32,
            pages: (range.len() / page) as u32,
        });
        let working_set = WorkingSet::new(self.artifact().header().source_hash, ranges.collect())?;
        self.set_working_set(&working_set)?;
        Ok(working_set)
    }

    /// Uses a working set that was recorded before, instead of the artifact's.
    ///
    /// # Errors
    /// If it was recorded with another module.
    pub fn set_working_set(&self, working_set: &WorkingSet) -> Result<()> {
        let sizes: Vec<_> = self.blueprint().memory_sizes().collect();
        let initial = |memory: u32| sizes.get(memory as usize).map(|size| *size as u64);
        working_set.check(&self.artifact().header().source_hash, initial)?;
        let set = (!working_set.is_empty()).then(|| Arc::new(working_set.clone()));
        *self.working_set().write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(())
    }
}
