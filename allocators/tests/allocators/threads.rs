//! Allocators used by several threads at a time.

use crate::blocks::{Blocks, any_layout, layout, play};
use crate::ledger::Ledger;
use crate::orders::{KINDS, Kind};
use crate::rng::{ROUNDS, Rng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use wasmc_allocators::{
    AllocBox, AllocError, BlockIndex, BlockOwner, Fallback, Fifo, FreeList, HeapAllocator, Lifo, Lowest, NullAllocator,
    Order, Place, Proxy, Random, Scope, Scoped,
};

const THREADS: u64 = if cfg!(miri) { 3 } else { 8 };

/// All that is sent and shared between threads if its parts can be.
#[test]
fn everything_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<FreeList<HeapAllocator, Lifo>>();
    check::<FreeList<HeapAllocator, Random<fn() -> u64>>>();
    check::<Fallback<FreeList<NullAllocator, Fifo>, HeapAllocator>>();
    check::<Proxy<FreeList<HeapAllocator, Lowest>, ()>>();
    check::<Scoped<HeapAllocator>>();
    check::<Scope<'_, HeapAllocator>>();
    check::<AllocBox<u8, &Scoped<HeapAllocator>>>();
    check::<Place<u8, &Scoped<HeapAllocator>>>();
    check::<AllocError>();
}

fn use_by_all(list: &FreeList<&Ledger, Box<dyn Order + Send>>, live: u32) {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let start = &start;
            scope.spawn(move || {
                let mut rng = Rng::new(number);
                start.wait();
                // Each block is filled with a pattern that is checked when it
                // goes back: another holder of it would be seen.
                play(list, &mut rng, ROUNDS, list.block_layout().size(), |_, _| {});
            });
        }
    });
    assert_eq!(list.in_use(), 0);
    assert!(list.count() <= live);
}

#[test]
fn threads_never_hold_the_same_block_of_a_slab() {
    for kind in KINDS {
        let ledger = Ledger::new();
        let list = FreeList::slab(&ledger, layout(64, 64), 20, kind.order()).unwrap();
        use_by_all(&list, 20);
        assert_eq!(list.count(), 20);
    }
}

#[test]
fn threads_never_hold_the_same_block_of_a_growing_list() {
    for kind in KINDS {
        let ledger = Ledger::new();
        let list = FreeList::growing(&ledger, layout(64, 64), 5, kind.order()).unwrap();
        use_by_all(&list, 5);
        assert_eq!(ledger.live() as u32, list.count());
    }
}

#[test]
fn every_block_of_a_slab_is_found_by_somebody() {
    let ledger = Ledger::new();
    let each = 10;
    let list = FreeList::slab(&ledger, layout(1, 1), THREADS as u32 * each, Kind::Lowest.order()).unwrap();
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..each + 1 {
                    refused.fetch_add(usize::from(list.take().is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((list.in_use(), refused.into_inner()), (THREADS as u32 * each, THREADS as usize));
}

/// An order that panics every now and then.
struct Capricious(Lifo, Rng);

impl Order for Capricious {
    fn grow(&mut self, count: u32) -> Result<(), std::collections::TryReserveError> {
        self.0.grow(count)
    }
    fn insert(&mut self, index: BlockIndex) {
        self.0.insert(index);
    }
    fn take(&mut self) -> Option<BlockIndex> {
        assert!(!self.1.once_in(5), "no wish to choose");
        self.0.take()
    }
    fn remove(&mut self, index: BlockIndex) {
        self.0.remove(index);
    }
}

#[test]
fn a_panic_of_one_thread_does_not_hinder_the_others() {
    let ledger = Ledger::new();
    let list = FreeList::slab(&ledger, layout(8, 8), 4, Capricious(Lifo::new(), Rng::new(40))).unwrap();
    let panics = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..20 {
                    match catch_unwind(AssertUnwindSafe(|| list.take())) {
                        // SAFETY: the block was just given out.
                        Ok(Ok((index, _))) => unsafe { list.give_back(index) },
                        Ok(Err(error)) => assert!(matches!(error, AllocError::Exhausted { .. })),
                        Err(_) => drop(panics.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    assert!(panics.into_inner() > 0, "nobody panicked");
    assert_eq!((list.in_use(), list.count()), (0, 4));
}

/// Blocks of a scope that several threads allocate from, some of which open
/// scopes: the others are refused as long, and nothing overlaps.
#[test]
fn threads_share_a_scope() {
    let ledger = Ledger::new();
    for chunk in [64, 100_000] {
        let scoped = Scoped::growing(&ledger, chunk);
        let opened = AtomicBool::new(false);
        let rounds = ROUNDS / 10;
        let work = |number| {
            let (mut rng, mut blocks) = (Rng::new(number), Blocks::default());
            for _ in 0..rounds {
                let (new, count) = (any_layout(&mut rng, 40), blocks.held.len());
                let done = match rng.below(6) {
                    0 => scoped.scope(|inner| {
                        opened.store(true, Ordering::Relaxed);
                        play(inner, &mut rng, 10, 40, |_, _| {});
                    }),
                    1 if count > 0 => blocks.reallocate(&scoped, rng.below(count), new).map(drop),
                    2 if count > 0 => {
                        blocks.deallocate(&scoped, rng.below(count));
                        Ok(())
                    }
                    _ => blocks.allocate(&scoped, new).map(drop),
                };
                assert!(matches!(done, Ok(()) | Err(AllocError::ScopeOpen)), "{done:?}");
            }
            SendBlocks(blocks)
        };
        let held: Vec<Blocks> = thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || work(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().0).collect()
        });
        assert!(opened.into_inner());
        let mut all: Vec<_> = held.iter().flat_map(|blocks| &blocks.held).collect();
        all.sort_by_key(|block| block.address());
        for pair in all.windows(2) {
            assert!(pair[0].address() + pair[0].layout.size().max(1) <= pair[1].address(), "{pair:?} overlap");
        }
        assert!(all.iter().all(|block| scoped.owns_block(block.start, block.layout)));
        held.into_iter().for_each(|mut blocks| blocks.check_and_forget_all());
    }
    assert_eq!(ledger.live(), 0);
}

struct SendBlocks(Blocks);

// SAFETY: the blocks are of an allocator that is shared between the threads.
unsafe impl Send for SendBlocks {}
