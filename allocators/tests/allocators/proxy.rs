//! Proxies: the logger hears all of it and changes nothing.

use crate::blocks::{layout, play};
use crate::ledger::Ledger;
use crate::rng::{ROUNDS, Rng};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use wasmc_allocators::{AllocError, Allocator, HeapAllocator, Proxy, ProxyLogger};

/// Keeps account of what it hears.
#[derive(Default)]
struct Heard(Mutex<(BTreeMap<usize, Layout>, usize)>);

impl Heard {
    fn add(&self, block: NonNull<[u8]>, layout: Layout) {
        let was = self.0.lock().unwrap().0.insert(block.cast::<u8>().addr().get(), layout);
        assert_eq!(was, None);
    }
    fn remove(&self, block: NonNull<u8>, layout: Layout) {
        assert_eq!(self.0.lock().unwrap().0.remove(&block.addr().get()), Some(layout));
    }
    fn failures(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl ProxyLogger for Heard {
    fn allocate_success(&self, layout: Layout, block: NonNull<[u8]>) {
        self.add(block, layout);
    }
    fn allocate_failure(&self, _: Layout, error: &AllocError) {
        assert!(matches!(error, AllocError::OutOfMemory { .. }));
        self.0.lock().unwrap().1 += 1;
    }
    fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.remove(block, layout);
    }
    fn reallocate_success(&self, old_block: NonNull<u8>, old: Layout, new: Layout, block: NonNull<[u8]>) {
        self.remove(old_block, old);
        self.add(block, new);
    }
    fn reallocate_failure(&self, block: NonNull<u8>, old: Layout, _: Layout, error: &AllocError) {
        assert!(matches!(error, AllocError::OutOfMemory { .. }));
        let mut heard = self.0.lock().unwrap();
        assert_eq!(heard.0.get(&block.addr().get()), Some(&old));
        heard.1 += 1;
    }
}

/// One logger for two proxies, one within the other, hears everything twice;
/// with two of them both hear the same, whatever the pointer to them.
#[test]
fn a_logger_hears_all_that_happens_and_nothing_else() {
    let (ledger, mut rng) = (Ledger::new(), Rng::new(11));
    let (outer, inner) = (Arc::new(Heard::default()), Heard::default());
    let proxy = Proxy::new(Proxy::new(&ledger, &inner), Arc::clone(&outer));
    play(&proxy, &mut rng, ROUNDS, 100, |rng, blocks| {
        let live: BTreeMap<_, _> = blocks.held.iter().map(|block| (block.address(), block.layout)).collect();
        for heard in [&*outer, &inner] {
            assert_eq!(heard.0.lock().unwrap().0, live);
        }
        ledger.limit(if rng.once_in(3) { 0 } else { usize::MAX });
    });
    assert!(ledger.refused() > 0, "nothing failed");
    assert_eq!([outer.failures(), inner.failures()], [ledger.refused(); 2]);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn the_unit_logger_costs_nothing() {
    assert_eq!(size_of::<Proxy<HeapAllocator, ()>>(), 0);
    assert_eq!(size_of::<Proxy<&Ledger, ()>>(), size_of::<&Ledger>());
    let (ledger, mut rng) = (Ledger::new(), Rng::new(12));
    play(&Proxy::new(&ledger, ()), &mut rng, ROUNDS / 10, 100, |_, _| {});
}

struct Panicking;

impl ProxyLogger for Panicking {
    fn allocate_success(&self, _: Layout, _: NonNull<[u8]>) {
        panic!("on success");
    }
    fn allocate_failure(&self, _: Layout, _: &AllocError) {
        panic!("on failure");
    }
    fn deallocate(&self, _: NonNull<u8>, _: Layout) {
        panic!("on the way back");
    }
    fn reallocate_failure(&self, _: NonNull<u8>, _: Layout, _: Layout, _: &AllocError) {
        panic!("on failure to resize");
    }
}

#[test]
fn no_block_is_lost_by_a_logger_that_panics() {
    let ledger = Ledger::new();
    let (proxy, word) = (Proxy::new(&ledger, Panicking), layout(8, 8));
    assert!(catch_unwind(AssertUnwindSafe(|| proxy.allocate(word))).is_err());
    assert_eq!(ledger.live(), 0);

    let block = ledger.allocate(word).unwrap().cast();
    ledger.limit(0);
    // SAFETY: the block is the inner allocator's, and so the proxy's.
    let resized = catch_unwind(AssertUnwindSafe(|| unsafe { proxy.reallocate(block, word, layout(16, 8)) }));
    assert!(resized.is_err());
    assert_eq!(ledger.live(), 1, "the block is as it was");
    // SAFETY: as above.
    assert!(catch_unwind(AssertUnwindSafe(|| unsafe { proxy.deallocate(block, word) })).is_err());
    assert_eq!(ledger.live(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| proxy.allocate(word))).is_err());
}
