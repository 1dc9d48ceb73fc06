//! Free lists: against a model, and one by one what the model cannot show.

use crate::blocks::layout;
use crate::ledger::Ledger;
use crate::orders::{KINDS, Kind, Model};
use crate::rng::{ROUNDS, Rng};
use std::alloc::Layout;
use std::collections::{BTreeMap, TryReserveError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use wasmc_allocators::{AllocError, Allocator, BlockIndex, BlockOwner, Fifo, FreeList, Lifo, Lowest, Order};

type List<'a> = FreeList<&'a Ledger, Box<dyn Order + Send>>;

/// The model of a list: what is free, and what is held where.
struct Expected {
    free: Model,
    held: BTreeMap<u32, NonNull<[u8]>>,
}

impl Expected {
    /// Takes a block that came out, and checks what the list says of it.
    fn hold(&mut self, list: &List<'_>, index: BlockIndex, block: NonNull<[u8]>) {
        assert_eq!(block.len(), list.block_layout().size());
        assert_eq!(list.index_of(block.cast()), Some(index));
        assert_eq!(list.block_at(index), Some(block));
        assert!(list.owns_block(block.cast(), list.block_layout()));
        assert_eq!(self.held.insert(index.get(), block), None, "block {} is given out twice", index.get());
        // SAFETY: the block is that large and the test's.
        unsafe { block.cast::<u8>().write_bytes(index.get() as u8, block.len()) };
    }

    /// Chooses a block to give back.
    fn release(&mut self, rng: &mut Rng) -> Option<(u32, NonNull<[u8]>)> {
        let index = *self.held.keys().nth(rng.below(self.held.len().max(1)))?;
        let block = self.held.remove(&index)?;
        // SAFETY: the block is filled.
        let bytes = unsafe { block.as_ref() };
        assert!(bytes.iter().all(|&byte| byte == index as u8), "block {index} was changed by somebody else");
        Some((index, block))
    }
}

fn slab_follows_its_model(kind: Kind, count: u32) {
    let (ledger, mut rng) = (Ledger::new(), Rng::new(5));
    let list: List = FreeList::slab(&ledger, layout(24, 16), count, kind.order()).unwrap();
    assert_eq!((list.block_layout(), list.count(), ledger.live()), (layout(32, 16), count, 1));
    let mut expected = Expected { free: Model::new(kind), held: BTreeMap::new() };
    expected.free.fill(count);
    for _ in 0..ROUNDS / 2 {
        match rng.below(6) {
            0 | 1 => match list.take() {
                Ok((index, block)) => {
                    expected.free.take(Some(index.get()));
                    expected.hold(&list, index, block);
                }
                Err(error) => {
                    assert!(matches!(error, AllocError::Exhausted { count: all } if all == count), "{error:?}");
                    expected.free.take(None);
                }
            },
            2 => {
                let index = BlockIndex::new(rng.below(count as usize + 2) as u32);
                let is_free = expected.free.free().contains(&index.get());
                let block = list.take_at(index);
                assert_eq!(block.is_some(), is_free);
                expected.free.remove(index.get());
                block.into_iter().for_each(|block| expected.hold(&list, index, block));
            }
            _ => {
                let Some((index, block)) = expected.release(&mut rng) else { continue };
                // SAFETY: the test held the block and no longer uses it.
                unsafe { list.deallocate(block.cast(), layout(rng.below(33), 16)) };
                expected.free.insert(index);
            }
        }
        assert_eq!(list.in_use() as usize, expected.held.len());
    }
    drop(list);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn slabs_follow_their_model_in_each_order() {
    for kind in KINDS {
        for count in [0, 1, 2, 70] {
            slab_follows_its_model(kind, count);
        }
    }
}

fn growing_follows_its_model(kind: Kind, keep: u32, left: usize) {
    let (ledger, mut rng) = (Ledger::new(), Rng::new(6));
    ledger.limit(left);
    let list: List = FreeList::growing(&ledger, layout(40, 8), keep, kind.order()).unwrap();
    let mut expected = Expected { free: Model::new(kind), held: BTreeMap::new() };
    let mut left = left;
    for _ in 0..ROUNDS / 2 {
        if rng.once_in(2) && expected.held.len() < 50 {
            match list.take() {
                Ok((index, block)) if expected.free.free().is_empty() => {
                    left -= 1;
                    expected.hold(&list, index, block);
                }
                Ok((index, block)) => {
                    expected.free.take(Some(index.get()));
                    expected.hold(&list, index, block);
                }
                Err(error) => {
                    assert!(matches!(error, AllocError::OutOfMemory { .. }), "{error:?}");
                    assert_eq!((left, expected.free.free().len()), (0, 0), "there was a block to be had");
                }
            }
        } else if let Some((index, block)) = expected.release(&mut rng) {
            // SAFETY: the test held the block and no longer uses it.
            unsafe { list.deallocate(block.cast(), layout(40, 8)) };
            if (expected.free.free().len() as u32) < keep {
                expected.free.insert(index);
            } else {
                assert!(!list.owns_block(block.cast(), layout(40, 8)), "the block went back to the parent");
                assert_eq!(list.block_at(BlockIndex::new(index)), None);
            }
        }
        let live = expected.held.len() + expected.free.free().len();
        assert_eq!((ledger.live(), list.count() as usize), (live, live));
        assert_eq!(list.in_use() as usize, expected.held.len());
    }
    drop(list);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn growing_lists_follow_their_model_in_each_order() {
    for kind in KINDS {
        for (keep, left) in [(0, usize::MAX), (1, usize::MAX), (7, 100), (u32::MAX, 30), (3, 0)] {
            growing_follows_its_model(kind, keep, left);
        }
    }
}

#[test]
fn a_block_reallocated_to_no_bytes_is_not_lost() {
    let ledger = Ledger::new();
    let list = FreeList::slab(&ledger, layout(64, 8), 1, Lifo::new()).unwrap();
    for _ in 0..3 {
        let block = list.allocate(layout(64, 8)).unwrap();
        // SAFETY: the block is used as it was last given out.
        unsafe {
            let empty = list.reallocate(block.cast(), layout(64, 8), layout(0, 1)).unwrap();
            assert_eq!((empty, list.in_use()), (block, 1));
            let whole = list.reallocate(empty.cast(), layout(0, 1), layout(64, 8)).unwrap();
            assert_eq!((whole, list.in_use()), (block, 1));
            list.deallocate(whole.cast(), layout(0, 1));
        }
        assert_eq!(list.in_use(), 0);
    }
}

#[test]
fn a_request_for_no_bytes_takes_a_block_of_its_own() {
    let list = FreeList::slab(Ledger::new(), layout(0, 1), 3, Lowest::new()).unwrap();
    assert_eq!(list.block_layout(), layout(1, 1));
    let blocks = [(); 3].map(|()| list.allocate(layout(0, 1)).unwrap().cast::<u8>());
    assert_eq!(blocks.map(|block| list.index_of(block).unwrap().get()), [0, 1, 2]);
    assert!(matches!(list.allocate(layout(0, 1)), Err(AllocError::Exhausted { count: 3 })));
}

#[test]
fn what_does_not_fit_into_a_block_is_refused_by_name() {
    let list = FreeList::slab(Ledger::new(), layout(64, 16), 2, Fifo::new()).unwrap();
    let wide = list.allocate(layout(65, 1)).unwrap_err();
    assert_eq!(wide.to_string(), "65 bytes do not fit into a block of 64: make the blocks larger, or ask for less");
    let aligned = list.allocate(layout(1, 32)).unwrap_err();
    assert_eq!(aligned.to_string(), "an alignment to 32 bytes is not supported: these blocks are aligned to 16");
    let block = list.allocate(layout(10, 2)).unwrap().cast();
    // SAFETY: the block was given out so; it stays as it is on errors.
    unsafe {
        assert!(matches!(list.reallocate(block, layout(10, 2), layout(65, 1)), Err(AllocError::TooLarge { .. })));
        let aligned = list.reallocate(block, layout(10, 2), layout(1, 32));
        assert!(matches!(aligned, Err(AllocError::UnsupportedAlignment { supported: 16, .. })));
        list.deallocate(block, layout(10, 2));
    }
    assert_eq!(list.in_use(), 0);
}

#[test]
fn a_slab_that_cannot_be_says_how_large_it_could() {
    let terabyte = layout(1 << 40, 4096);
    let error = FreeList::slab(Ledger::new(), terabyte, u32::MAX, Lifo::new()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "4294967295 blocks of 1099511627776 bytes are more than the address space: at most 8388607 of them can be had"
    );
    let ledger = Ledger::new();
    ledger.limit(0);
    assert!(matches!(FreeList::slab(&ledger, layout(8, 8), 2, Lifo::new()), Err(AllocError::OutOfMemory { .. })));
}

#[test]
fn addresses_that_are_no_block_have_no_index() {
    let list = FreeList::slab(Ledger::new(), layout(32, 32), 4, Lowest::new()).unwrap();
    let start = list.block_at(BlockIndex::new(0)).unwrap().cast::<u8>();
    let at = |offset: isize| NonNull::new(start.as_ptr().wrapping_offset(offset)).unwrap();
    for (offset, index) in [(-32, None), (-1, None), (0, Some(0)), (1, None), (31, None), (96, Some(3)), (128, None)] {
        assert_eq!(list.index_of(at(offset)).map(BlockIndex::get), index, "at {offset}");
        assert_eq!(list.owns_block(at(offset), layout(1, 1)), index.is_some(), "at {offset}");
    }
    assert_eq!(list.block_at(BlockIndex::new(4)), None);
    assert_eq!(list.take_at(BlockIndex::new(4)), None);
}

#[test]
fn a_block_that_goes_back_twice_is_noticed() {
    let list = FreeList::slab(Ledger::new(), layout(8, 8), 3, Lifo::new()).unwrap();
    let [(first, block), (second, _)] = [(); 2].map(|()| list.take().unwrap());
    // SAFETY: the first time is right, and the second one is refused.
    unsafe { list.give_back(first) };
    let again = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above.
        unsafe { list.deallocate(block.cast(), layout(8, 8)) }
    }));
    let message = again.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "block 0 was given back, but it is not in use");
    assert_eq!((list.in_use(), list.count()), (1, 3));
    let rest = [(); 2].map(|()| list.take().unwrap().0);
    assert!(rest == [first, BlockIndex::new(2)] && !rest.contains(&second));
}

#[test]
fn all_blocks_end_with_the_list() {
    let ledger = Ledger::new();
    let list = FreeList::growing(&ledger, layout(16, 16), 1, Lifo::new()).unwrap();
    let blocks = [(); 5].map(|()| list.allocate(layout(16, 16)).unwrap());
    // SAFETY: the block was just given out.
    unsafe { list.deallocate(blocks[2].cast(), layout(16, 16)) };
    assert_eq!((ledger.live(), list.in_use()), (5, 4));
    drop(list);
    assert_eq!(ledger.live(), 0);
}

/// An order that says what it is told to say.
struct Scripted(Vec<Option<u32>>);

impl Order for Scripted {
    fn grow(&mut self, _: u32) -> Result<(), TryReserveError> {
        Ok(())
    }
    fn insert(&mut self, _: BlockIndex) {}
    fn take(&mut self) -> Option<BlockIndex> {
        match self.0.pop() {
            Some(index) => index.map(BlockIndex::new),
            None => panic!("the script is at its end"),
        }
    }
    fn remove(&mut self, _: BlockIndex) {}
}

#[test]
fn an_order_that_lies_does_not_get_a_block_out_twice() {
    let order = Scripted(vec![Some(1), Some(7), Some(0), None, Some(0)]);
    let list = FreeList::slab(Ledger::new(), layout(8, 8), 2, order).unwrap();
    assert_eq!(list.take().unwrap().0.get(), 0);
    assert!(matches!(list.take(), Err(AllocError::Exhausted { .. })), "the order says that there is none");
    for lie in ["in use", "not there"] {
        let taken = catch_unwind(AssertUnwindSafe(|| list.take().map(|(index, _)| index)));
        assert!(taken.is_err(), "block {lie} was given out: {taken:?}");
    }
    assert_eq!(list.take().unwrap().0.get(), 1);
    assert_eq!(list.in_use(), 2);
}

#[test]
fn a_panic_inside_does_not_poison_a_list() {
    let list = FreeList::slab(Ledger::new(), layout(8, 8), 2, Scripted(vec![])).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| list.take())).is_err());
    assert_eq!((list.in_use(), list.count()), (0, 2));
    let block = list.take_at(BlockIndex::new(1)).expect("it is free");
    // SAFETY: the block was just given out.
    unsafe { list.deallocate(block.cast(), layout(8, 8)) };
    assert_eq!(list.in_use(), 0);
}

/// Panics instead of giving out a block, if it is told to.
struct Moody<'a>(&'a Ledger, std::cell::Cell<bool>);

// SAFETY: the blocks are the ledger's.
unsafe impl Allocator for Moody<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        assert!(!self.1.get(), "not today");
        self.0.allocate(layout)
    }
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises the same.
        unsafe { self.0.deallocate(block, layout) };
    }
}

#[test]
fn a_parent_that_panics_leaves_a_list_as_it_was() {
    let ledger = Ledger::new();
    let list = FreeList::growing(Moody(&ledger, true.into()), layout(8, 8), 4, Lifo::new()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| list.take())).is_err());
    assert_eq!((list.count(), list.in_use()), (0, 0));
    list.parent().1.set(false);
    assert_eq!(list.take().unwrap().0, BlockIndex::new(0));
}

/// An order that cannot grow beyond two.
struct Narrow(Lifo);

impl Order for Narrow {
    fn grow(&mut self, count: u32) -> Result<(), TryReserveError> {
        if count > 2 { Vec::<u8>::new().try_reserve(usize::MAX) } else { self.0.grow(count) }
    }
    fn insert(&mut self, index: BlockIndex) {
        self.0.insert(index);
    }
    fn take(&mut self) -> Option<BlockIndex> {
        self.0.take()
    }
    fn remove(&mut self, index: BlockIndex) {
        self.0.remove(index);
    }
}

#[test]
fn a_block_goes_back_to_the_parent_if_there_is_no_memory_for_its_account() {
    let ledger = Ledger::new();
    let list = FreeList::growing(&ledger, layout(8, 8), 4, Narrow(Lifo::new())).unwrap();
    let (first, _) = list.take().unwrap();
    list.take().unwrap();
    assert!(matches!(list.take(), Err(AllocError::OutOfMemory { .. })));
    assert_eq!((ledger.live(), list.in_use()), (2, 2));
    // SAFETY: nobody uses the block.
    unsafe { list.give_back(first) };
    assert_eq!(list.take().unwrap().0, first);
    assert!(FreeList::slab(&ledger, layout(8, 8), 3, Narrow(Lifo::new())).is_err());
    assert_eq!(ledger.live(), 2);
}

/// Address space that cannot be accessed.
#[cfg(all(unix, not(miri)))]
struct Reserved;

#[cfg(all(unix, not(miri)))]
// SAFETY: each block is a mapping of its own.
unsafe impl Allocator for Reserved {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a new mapping where the system likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), layout.size(), libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        let start = NonNull::new(start.cast()).ok_or(AllocError::because("mmap returned address 0"))?;
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: it is the mapping made above.
        let failed = unsafe { libc::munmap(block.as_ptr().cast(), layout.size()) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }
}

/// As the instance pool of the loader: any access to a block would be a fault.
#[cfg(all(unix, not(miri)))]
#[test]
fn the_bytes_of_blocks_are_never_touched() {
    let (slot, count) = (layout((4 << 30) + (34 << 20), 4096), if valgrind() { 4 } else { 1000 });
    for kind in KINDS {
        let list = FreeList::slab(Reserved, slot, count, kind.order()).unwrap();
        let mut slots: Vec<_> = (0..count).map(|_| list.allocate(slot).unwrap().cast::<u8>()).collect();
        let full = list.allocate(slot).unwrap_err();
        assert!(matches!(full, AllocError::Exhausted { count: all } if all == count), "{full:?}");
        for block in &slots {
            // SAFETY: the block was given out so.
            unsafe { list.reallocate(*block, slot, layout(1, 1)).unwrap() };
        }
        slots.sort();
        assert!(slots.windows(2).all(|pair| pair[1].addr().get() - pair[0].addr().get() == slot.size()));
        // SAFETY: the blocks were given out so, and now each goes back once.
        slots.drain(..).for_each(|block| unsafe { list.deallocate(block, slot) });
        assert_eq!(list.in_use(), 0);
    }
    let alone = FreeList::growing(Reserved, slot, 1, Lifo::new()).unwrap();
    let blocks = [(); 3].map(|()| alone.allocate(slot).unwrap());
    // SAFETY: as above.
    blocks.into_iter().for_each(|block| unsafe { alone.deallocate(block.cast(), slot) });
    assert_eq!(alone.count(), 1);
}

/// Valgrind has less address space than a pool of usual size.
#[cfg(all(unix, not(miri)))]
fn valgrind() -> bool {
    std::env::var_os("LD_PRELOAD").is_some_and(|libraries| libraries.to_string_lossy().contains("valgrind"))
}
