//! What an instance of a module consists of and how large that is: computed
//! once, when the module is loaded.

use super::image::Image;
use super::instance::InstanceData;
use super::memory::MemoryData;
use super::slot::{MemoryPlan, POOL_GUARD};
use super::structs::ValRaw;
use super::table::TableData;
use crate::config::Config;
use crate::parts;
use crate::strategy::{HeapAllocStrategy, InstanceLimits, LimitError};
use crate::sys;
use crate::types::{MemoryType, TableType};
use std::alloc::Layout;
use std::ops::Range;
use wasmc_artifacts::abi::{ContextLayout, VM_VAL_SIZE, ValType};
use wasmc_artifacts::format::{Artifact, SegmentMode, TableKind};

/// A memory that the module defines.
#[derive(Debug, Clone)]
pub(super) struct MemoryBlueprint {
    /// The type that instances have: the module's, changed as the engine is
    /// configured.
    pub(super) ty: MemoryType,
    pub(super) plan: MemoryPlan,
    pub(super) image: Image,
}

/// A table that the module defines.
#[derive(Debug, Clone)]
pub(super) struct TableBlueprint {
    pub(super) ty: TableType,
    /// The distance of its definition from `vmctx`.
    pub(super) def: i32,
    /// Its initial elements in the artifact's table of them.
    pub(super) init: (u32, u32),
    pub(super) place: TablePlace,
}

/// Where a table's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TablePlace {
    /// In the context, at this distance from `vmctx`.
    Context(i32),
    /// Allocated; the number among such tables.
    Allocated(u32),
    /// In the artifact, where only code uses them.
    ReadOnly,
}

/// Bytes of what the loader notes about an instance, below its context in the
/// slot, as [`build`](super::build::build) allocates it; a multiple of 16.
fn records((memories, tables, globals): (usize, usize, usize)) -> Option<usize> {
    let (layout, _) = Layout::new::<InstanceData>().extend(Layout::array::<MemoryData>(memories).ok()?).ok()?;
    let (layout, _) = layout.extend(Layout::array::<TableData>(tables).ok()?).ok()?;
    let (layout, _) = layout.extend(Layout::array::<ValRaw>(globals).ok()?).ok()?;
    layout.size().checked_next_multiple_of(16)
}

/// What an instance of a module consists of.
#[derive(Debug)]
pub(crate) struct Blueprint {
    /// Bytes of the context's fields.
    pub(super) context: usize,
    /// Bytes from the end of the fields to `vmctx`.
    pub(super) guard: usize,
    /// Bytes of the records.
    pub(super) records: usize,
    /// The globals: distances from `vmctx`.
    pub(super) globals: Range<i32>,
    /// The defined globals that are for the collector to follow.
    pub(super) references: Box<[u32]>,
    /// The flags of dropped segments.
    pub(super) dropped: Range<i32>,
    pub(super) memories: Box<[MemoryBlueprint]>,
    /// Whether some of them are shared, and so not in the slot.
    shares: bool,
    pub(super) tables: Box<[TableBlueprint]>,
    /// Whether tables are filled or segments copied when an instance is made.
    pub(super) active_segments: bool,
}

/// Why a module cannot have instances on this machine.
#[derive(Debug)]
pub(crate) enum Impossible {
    /// More than can be addressed.
    AddressSpace,
    /// More than the engine is configured for.
    Limit(LimitError),
    /// The artifact contradicts itself.
    Corrupt(&'static str),
}

impl Blueprint {
    /// The blueprint of a module, whose artifact was checked.
    pub(crate) fn new(artifact: &Artifact<'_>, config: &Config) -> Result<Blueprint, Impossible> {
        let layout = artifact.layout();
        let memories = memories(artifact, config)?;
        let tables = tables(artifact)?;
        let globals = globals(layout);
        let shared = memories.iter().filter(|memory| memory.ty.is_shared()).count();
        let counts = (memories.len() - shared, tables.len(), globals.len() / size_of::<ValRaw>());
        let records = records(counts).ok_or(Impossible::AddressSpace)?;
        let rows = artifact.tables();
        let active = SegmentMode::Active as u8;
        Ok(Blueprint {
            context: layout.size() as usize,
            guard: layout.counts().guard as usize,
            records,
            globals,
            references: references(artifact),
            dropped: dropped(layout),
            memories,
            shares: shared > 0,
            tables,
            active_segments: rows.tables.iter().any(|row| row.fill_count != 0)
                || rows.elem_segments.iter().any(|row| row.mode == active)
                || rows.data_segments.iter().any(|row| row.mode == active),
        })
    }

    /// The memories that are in the slot, with their numbers among those that
    /// the module defines; that is all but shared ones.
    pub(super) fn slot_memories(&self) -> impl Iterator<Item = (u32, &MemoryBlueprint)> {
        (0..).zip(&self.memories).filter(|(_, memory)| !memory.ty.is_shared())
    }

    /// The types of all memories that the module defines, as instances have
    /// them, and how many bytes each can have.
    pub(crate) fn memory_types(&self) -> impl ExactSizeIterator<Item = (&MemoryType, usize)> {
        self.memories.iter().map(|memory| (&memory.ty, memory.plan.limit))
    }

    /// The types of all tables that the module defines.
    pub(crate) fn table_types(&self) -> impl ExactSizeIterator<Item = &TableType> {
        self.tables.iter().map(|table| &table.ty)
    }

    /// The others, in their order.
    pub(super) fn shared_memories(&self) -> impl Iterator<Item = (u32, &MemoryBlueprint)> {
        (0..).zip(&self.memories).filter(|(_, memory)| memory.ty.is_shared())
    }

    /// The place of a memory that the module defines, among those that are in
    /// the slot, or else among those that are shared.
    pub(super) fn memory_place(&self, defined: u32) -> Result<usize, usize> {
        let defined = defined as usize;
        if !self.shares {
            return Ok(defined);
        }
        let shared = |memory: &&MemoryBlueprint| memory.ty.is_shared();
        let before = self.memories.iter().take(defined).filter(shared).count();
        if self.memories.get(defined).as_ref().is_some_and(shared) { Err(before) } else { Ok(defined - before) }
    }

    /// Bytes for the elements of tables that can grow, of which a pool has room
    /// for `elements` each.
    pub(super) fn table_bytes(&self, elements: usize) -> usize {
        let allocated = self.tables.iter().filter(|table| matches!(table.place, TablePlace::Allocated(_)));
        allocated.count() * elements * size_of::<u64>()
    }

    /// Bytes of the records and the context's fields.
    pub(crate) fn head(&self) -> usize {
        self.records + self.context
    }

    /// Bytes of a slot that records and context take, of what a pool has for
    /// them.
    pub(crate) fn room(&self) -> usize {
        self.head() + self.guard.saturating_sub(POOL_GUARD)
    }

    /// The memories' extents and bytes that are not zeros at first, and
    /// whether they are shared.
    pub(crate) fn images(&self) -> impl Iterator<Item = (usize, usize, bool)> {
        let image =
            |memory: &MemoryBlueprint| (memory.image.extents().len(), memory.image.bytes(), memory.ty.is_shared());
        self.memories.iter().map(image)
    }

    /// The memories' initial sizes in bytes.
    pub(crate) fn memory_sizes(&self) -> impl Iterator<Item = usize> {
        self.memories.iter().map(|memory| memory.plan.initial)
    }

    /// The tables' initial numbers of elements.
    pub(crate) fn table_sizes(&self) -> impl Iterator<Item = u64> {
        self.tables.iter().map(|table| table.ty.minimum())
    }

    /// Whether instances fit into slots with these limits, for whose memories
    /// there are `reservation` bytes and a guard of `guard` bytes.
    pub(crate) fn check(&self, limits: &InstanceLimits, reservation: u64, guard: u64) -> Result<(), LimitError> {
        let (mut pages, mut reserved, mut guarded) = (0, 0, 0);
        for MemoryBlueprint { plan, .. } in &self.memories {
            pages = pages.max((plan.initial as u64).div_ceil(64 << 10));
            reserved = reserved.max(plan.reserved as u64);
            guarded = guarded.max(plan.guard as u64);
        }
        let checks = [
            ("size", limits.size as u64, self.room() as u64),
            ("tables", limits.tables.into(), self.tables.len() as u64),
            ("table_elements", limits.table_elements.into(), self.table_sizes().max().unwrap_or(0)),
            ("memories", limits.memories.into(), self.memories.len() as u64),
            ("memory_pages", limits.memory_pages, pages),
            ("pool_memory_reservation", reservation, reserved),
            ("pool_memory_guard", guard, guarded),
        ];
        for (limit, allowed, required) in checks {
            if required > allowed {
                return Err(LimitError { limit, allowed, required });
            }
        }
        Ok(())
    }
}

fn globals(layout: &ContextLayout) -> Range<i32> {
    let first = if layout.counts().globals > 0 { layout.global(0) } else { layout.header() };
    first..first + layout.counts().globals as i32 * VM_VAL_SIZE as i32
}

/// The defined globals whose values are references into the heap.
fn references(artifact: &Artifact<'_>) -> Box<[u32]> {
    if !parts::GC.is_on() {
        return Box::default();
    }
    let globals = artifact.tables().globals.iter().skip(artifact.layout().counts().global_imports as usize);
    let followed = (0..).zip(globals).filter(|(_, row)| row.ty.ty().is_some_and(ValType::is_gc_ref));
    followed.map(|(index, _)| index).collect()
}

/// The flags of both kinds of segments, which are neighbours.
fn dropped(layout: &ContextLayout) -> Range<i32> {
    let counts = layout.counts();
    let data = (counts.data_segments > 0).then(|| layout.data_dropped(0));
    let elem = (counts.elem_segments > 0).then(|| layout.elem_dropped(0));
    let end = data.map(|at| at + counts.data_segments as i32).or(elem.map(|at| at + counts.elem_segments as i32));
    match (elem.or(data), end) {
        (Some(start), Some(end)) => start..end,
        _ => 0..0,
    }
}

fn memories(artifact: &Artifact<'_>, config: &Config) -> Result<Box<[MemoryBlueprint]>, Impossible> {
    let counts = artifact.layout().counts();
    let header = artifact.header();
    let page = sys::page_size();
    let rows = artifact.tables().memories;
    (0..counts.memories)
        .map(|defined| {
            let row = rows.get((counts.memory_imports + defined) as usize);
            let ty = MemoryType::of_row(&row.ok_or(Impossible::Corrupt("a memory has no row"))?);
            let ty = resized(ty, config.heap)?;
            let space = [header.memory_reservation, header.memory_guard, config.wide_memory_reservation()];
            let mut plan = MemoryPlan::of(&ty, space, page).ok_or(Impossible::AddressSpace)?;
            if let Some(limits) = config.limits() {
                let most = usize::try_from(limits.memory_pages.saturating_mul(64 << 10)).unwrap_or(usize::MAX);
                plan.limit = plan.limit.min(most.max(plan.initial));
            }
            let image = Image::of(artifact, defined, &plan, page)
                .ok_or(Impossible::Corrupt("the parts of a memory's image overlap"))?;
            Ok(MemoryBlueprint { ty, plan, image })
        })
        .collect()
}

/// A memory's type as the engine wants it.
fn resized(ty: MemoryType, heap: Option<HeapAllocStrategy>) -> Result<MemoryType, Impossible> {
    // The strategy counts in pages of 64 KiB.
    let pages = |count: u32| u64::from(count).saturating_mul(64 << 10) / ty.page_size();
    Ok(match heap {
        None | Some(HeapAllocStrategy::Dynamic { maximum_pages: None }) => ty,
        Some(HeapAllocStrategy::Dynamic { maximum_pages: Some(maximum) }) => {
            if pages(maximum) < ty.minimum() {
                return Err(Impossible::Limit(LimitError {
                    limit: "maximum_pages",
                    allowed: maximum.into(),
                    required: ty.bytes(ty.minimum()).unwrap_or(u64::MAX).div_ceil(64 << 10),
                }));
            }
            ty.with_limits(ty.minimum(), pages(maximum).min(ty.maximum_or_limit()))
        }
        Some(HeapAllocStrategy::Static { extra_pages }) => {
            let size = ty.minimum().saturating_add(pages(extra_pages)).min(ty.maximum_or_limit());
            ty.with_limits(size, size)
        }
    })
}

fn tables(artifact: &Artifact<'_>) -> Result<Box<[TableBlueprint]>, Impossible> {
    let counts = artifact.layout().counts();
    let rows = artifact.tables().tables;
    let mut allocated = 0;
    (0..counts.tables)
        .map(|defined| {
            let row = rows.get((counts.table_imports + defined) as usize);
            let row = row.ok_or(Impossible::Corrupt("a table has no row"))?;
            let ty = TableType::of_row(&row).ok_or(Impossible::Corrupt("a table has elements of no type"))?;
            let place = match TableKind::from_code(row.kind) {
                Some(TableKind::Context) => TablePlace::Context(artifact.layout().table_element(row.first_element)),
                Some(TableKind::Allocated) => {
                    allocated += 1;
                    TablePlace::Allocated(allocated - 1)
                }
                Some(TableKind::ReadOnly) | None => TablePlace::ReadOnly,
            };
            let def = artifact.layout().table_def(defined);
            Ok(TableBlueprint { ty, def, init: (row.init, row.init_count), place })
        })
        .collect()
}
