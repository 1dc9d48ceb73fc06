//! Allocators made from allocators made from allocators.

use crate::blocks::{layout, play};
use crate::ledger::Ledger;
use crate::rng::{ROUNDS, Rng};
use std::rc::Rc;
use std::sync::Arc;
use wasmc_allocators::{
    Allocator, BlockOwner, Fallback, Fifo, FreeList, HeapAllocator, Lifo, Lowest, NullAllocator, Proxy, Random, Scoped,
};

/// Uses what `make` makes of a ledger, which has no more memory every now and
/// then.
fn withstands<A: Allocator>(seed: u64, make: impl Fn(Arc<Ledger>) -> A) {
    let (ledger, mut rng) = (Arc::new(Ledger::new()), Rng::new(seed));
    let composition = make(ledger.clone());
    play(&composition, &mut rng, ROUNDS, 200, |rng, _| {
        let left = if rng.once_in(3) { rng.below(3) } else { usize::MAX };
        ledger.limit(left);
    });
    drop(composition);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn a_free_list_of_a_scope() {
    withstands(20, |ledger| {
        FreeList::growing(Scoped::growing(ledger, 1000), layout(200, 64), 5, Lowest::new()).unwrap()
    });
    withstands(21, |ledger| FreeList::slab(Scoped::growing(ledger, 10), layout(100, 16), 9, Lifo::new()).unwrap());
}

#[test]
fn a_scope_of_a_free_list() {
    withstands(22, |ledger| Scoped::growing(FreeList::growing(ledger, layout(1024, 64), 3, Fifo::new()).unwrap(), 512));
    withstands(23, |ledger| {
        let list = FreeList::slab(ledger, layout(4096, 64), 2, Lifo::new()).unwrap();
        Scoped::fixed(list, layout(3000, 8)).unwrap()
    });
}

#[test]
fn a_small_one_then_a_larger_one_then_the_heap() {
    withstands(24, |ledger| {
        let small = FreeList::slab(ledger.clone(), layout(32, 8), 5, Lifo::new()).unwrap();
        let large = FreeList::growing(ledger.clone(), layout(128, 64), 2, Fifo::new()).unwrap();
        let scope = Scoped::fixed(ledger.clone(), layout(500, 16)).unwrap();
        Proxy::new(small.with_fallback(Proxy::new(large, ()).with_fallback(scope.with_fallback(ledger))), ())
    });
}

#[test]
fn owners_first_and_nothing_behind() {
    withstands(25, |ledger| {
        let first = Scoped::growing(ledger.clone(), 256).with_fallback(NullAllocator);
        let second = FreeList::slab(ledger, layout(200, 64), 3, Lowest::new()).unwrap();
        Fallback::new(NullAllocator, first.with_fallback(second))
    });
}

#[test]
fn through_every_pointer_and_a_trait_object() {
    withstands(26, |ledger| {
        let mut rng = Rng::new(27);
        let list = FreeList::slab(ledger.clone(), layout(64, 8), 4, Random::new(move || rng.next())).unwrap();
        let owner: Box<dyn BlockOwner> = Box::new(list);
        let shared: Rc<dyn Allocator> = Rc::new(Box::new(owner.with_fallback(ledger)));
        shared
    });
}

#[test]
fn the_heap_itself() {
    withstands(28, |_| HeapAllocator);
    let error = HeapAllocator.allocate(layout(0, 1 << 63)).unwrap_err();
    assert_eq!(error.to_string(), "out of memory: no 0 bytes aligned to 9223372036854775808 are left");
    assert!(HeapAllocator.allocate(layout(isize::MAX as usize, 1)).is_err());
}
