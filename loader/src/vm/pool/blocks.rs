//! The pool's address space, as a composition of allocators.
//!
//! ```text
//! Fallback
//!   ├ FreeList ── one reservation, cut into slots, in the order of the strategy
//!   │   └ AddressSpace
//!   └ Proxy ── counts
//!       └ Overflow ── address space of its own for each slot, or nothing
//! ```

use super::super::of::Of;
use super::super::slot::{Origin, Slot, SlotLayout};
use super::super::space::AddressSpace;
use crate::parts;
use crate::strategy::{PoolSizeError, PoolingAllocationStrategy};
use crate::sys;
use std::alloc::Layout;
use std::collections::TryReserveError;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmc_allocators::{
    AllocError, Allocator, BlockIndex, Fallback, Fifo, FreeList, Lowest, NullAllocator, Order, Proxy, ProxyLogger,
    Random, RandomSource,
};

/// Random numbers of the system, fetched many at a time.
#[derive(Debug)]
struct SystemRandom {
    numbers: [u8; 256],
    left: usize,
}

impl RandomSource for SystemRandom {
    fn next_u64(&mut self) -> u64 {
        if self.left == 0 {
            // Without random numbers the choice would be predictable, which
            // whoever asked for this strategy must not have to fear.
            sys::random(&mut self.numbers).unwrap_or_else(|e| panic!("the system has no random numbers: {e}"));
            self.left = self.numbers.len() / size_of::<u64>();
        }
        self.left -= 1;
        let mut number = [0; size_of::<u64>()];
        let start = self.left * size_of::<u64>();
        // What was used is forgotten: later choices must not be told from it.
        number.swap_with_slice(&mut self.numbers[start..start + size_of::<u64>()]);
        u64::from_ne_bytes(number)
    }
}

/// What only the part that chooses slots otherwise makes.
type Policy<T> = Of<T, { parts::POOL_POLICIES.is_on() }>;

/// The order that a strategy wants free slots in.
enum SlotOrder {
    /// Those first that were not used for the longest time.
    Coldest(Fifo),
    Lowest(Policy<Lowest>),
    Random(Policy<Box<Random<SystemRandom>>>),
}

impl SlotOrder {
    fn of(strategy: PoolingAllocationStrategy) -> SlotOrder {
        match strategy {
            _ if !parts::POOL_POLICIES.is_on() => SlotOrder::Coldest(Fifo::new()),
            PoolingAllocationStrategy::ReuseAffinity => SlotOrder::Coldest(Fifo::new()),
            PoolingAllocationStrategy::NextAvailable => SlotOrder::Lowest(Of::new(Lowest::new())),
            PoolingAllocationStrategy::Random => {
                SlotOrder::Random(Of::new(Box::new(Random::new(SystemRandom { numbers: [0; 256], left: 0 }))))
            }
        }
    }

    fn order(&mut self) -> &mut dyn Order {
        match self {
            SlotOrder::Coldest(order) => order,
            _ if !parts::POOL_POLICIES.is_on() => unreachable!("a pool has the default strategy without the feature"),
            SlotOrder::Lowest(order) => &mut **order,
            SlotOrder::Random(order) => &mut ***order,
        }
    }
}

impl Order for SlotOrder {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        self.order().grow(count)
    }
    fn insert(&mut self, index: BlockIndex) {
        self.order().insert(index);
    }
    fn fill(&mut self, count: u32) {
        self.order().fill(count);
    }
    fn take(&mut self) -> Option<BlockIndex> {
        self.order().take()
    }
    fn remove(&mut self, index: BlockIndex) {
        self.order().remove(index);
    }
}

/// Where slots come from when the pool is full.
enum Overflow {
    Nowhere(NullAllocator),
    OnDemand(AddressSpace),
}

// SAFETY: both are allocators, and a value does not change from one to the
// other.
unsafe impl Allocator for Overflow {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        match self {
            Overflow::Nowhere(none) => none.allocate(layout),
            Overflow::OnDemand(space) => space.allocate(layout),
        }
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises the same.
        unsafe {
            match self {
                Overflow::Nowhere(none) => none.deallocate(block, layout),
                Overflow::OnDemand(space) => space.deallocate(block, layout),
            }
        }
    }
}

/// Counts the slots that did not come from the pool.
#[derive(Debug, Default)]
struct Overflowed(AtomicU64);

impl ProxyLogger for Overflowed {
    fn allocate_success(&self, _: Layout, _: NonNull<[u8]>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type List = FreeList<AddressSpace, SlotOrder>;

/// The pool's slots, as address space.
pub(super) struct Blocks {
    allocator: Fallback<List, Proxy<Overflow, Overflowed>>,
    layout: SlotLayout,
    block: Layout,
}

impl Blocks {
    /// Reserves address space for `count` slots.
    pub(super) fn new(
        layout: SlotLayout,
        count: u32,
        strategy: PoolingAllocationStrategy,
        overflow: bool,
    ) -> Result<Blocks, PoolSizeError> {
        let refused =
            |_| PoolSizeError { slots: count, slot_bytes: layout.total() as u64, largest: largest(&layout, count) };
        let block = layout.block().map_err(refused)?;
        let list = FreeList::slab(AddressSpace, block, count, SlotOrder::of(strategy)).map_err(refused)?;
        let overflow = if overflow { Overflow::OnDemand(AddressSpace) } else { Overflow::Nowhere(NullAllocator) };
        Ok(Blocks { allocator: Fallback::new(list, Proxy::new(overflow, Overflowed::default())), layout, block })
    }

    fn list(&self) -> &List {
        self.allocator.main()
    }

    pub(super) fn layout(&self) -> &SlotLayout {
        &self.layout
    }

    /// How many slots did not come from the pool.
    pub(super) fn overflowed(&self) -> u64 {
        self.allocator.second().logger().0.load(Ordering::Relaxed)
    }

    /// Whether a slot of the pool itself is free.
    pub(super) fn has_free(&self) -> bool {
        let list = self.list();
        list.in_use() < list.count()
    }

    /// A free slot of the pool itself.
    pub(super) fn take(&self) -> Option<Slot> {
        let (index, block) = self.list().take().ok()?;
        Some(Slot::at(block.cast(), &self.layout, Origin::Pool(index)))
    }

    /// Takes a certain slot of the pool, if it is free.
    pub(super) fn claim(&self, index: BlockIndex) -> bool {
        self.list().take_at(index).is_some()
    }

    /// Gives a slot of the pool back.
    ///
    /// # Safety
    /// As for `deallocate`.
    pub(super) unsafe fn give_back(&self, index: BlockIndex) {
        // SAFETY: the caller's.
        unsafe { self.list().give_back(index) };
    }

    /// A slot of the pool, or else one from elsewhere, of which nothing is
    /// accessible.
    pub(super) fn allocate(&self) -> Result<Slot, AllocError> {
        let start = self.allocator.allocate(self.block)?.cast();
        let origin = self.list().index_of(start).map_or(Origin::Overflow, Origin::Pool);
        Ok(Slot::at(start, &self.layout, origin))
    }

    /// Gives a slot back.
    ///
    /// # Safety
    /// It came from `allocate`, nobody uses it, and unless it goes to a
    /// retired instance of the same slot, nothing of it is accessible.
    pub(super) unsafe fn deallocate(&self, slot: Slot) {
        match slot.origin() {
            // SAFETY: the caller's.
            Origin::Pool(index) => unsafe { self.list().give_back(index) },
            _ if !parts::POOL_POLICIES.is_on() => {}
            // SAFETY: the caller's.
            _ => unsafe { self.allocator.deallocate(slot.start(), self.block) },
        }
    }
}

/// How many slots of this size, less than `count`, can be reserved now.
fn largest(layout: &SlotLayout, count: u32) -> u32 {
    let fits = |count: u32| {
        let size = layout.total().checked_mul(count as usize);
        let block = size.and_then(|size| Layout::from_size_align(size, sys::page_size()).ok());
        let Some(block) = block else { return false };
        let Ok(start) = AddressSpace.allocate(block) else { return false };
        // SAFETY: just allocated, and not used.
        unsafe { AddressSpace.deallocate(start.cast(), block) };
        true
    };
    let (mut most, mut too_many) = (0, count);
    while too_many - most > 1 {
        let middle = most + (too_many - most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}
