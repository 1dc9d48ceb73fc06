//! What stores cost in allocations. A binary of its own, since it counts those
//! of the whole process, each thread's for itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wasmc_loader::{Engine, Store};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread while it does something.
fn allocations<R>(work: impl FnOnce() -> R) -> usize {
    let before = ALLOCATIONS.get();
    let result = work();
    let count = ALLOCATIONS.get() - before;
    drop(result);
    count
}

#[test]
fn a_store_after_another_one_is_one_allocation() {
    let engine = Engine::default();
    assert!(allocations(|| Store::new(&engine, [0u64; 4])) > 1, "the first one has to be made");
    for _ in 0..3 {
        assert_eq!(allocations(|| Store::new(&engine, [0u64; 4])), 1);
    }
    let mut nested = Vec::with_capacity(3);
    for _ in 0..2 {
        nested.extend((0..3).map(|_| Store::new(&engine, ())));
        nested.clear();
    }
    assert_eq!(allocations(|| nested.extend((0..3).map(|_| Store::new(&engine, ())))), 3);
}
