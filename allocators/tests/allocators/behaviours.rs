//! The thirteen behaviours that these allocators are known for.

use crate::blocks::{Blocks, layout};
use crate::ledger::Ledger;
use std::alloc::Layout;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread;
use wasmc_allocators::{
    AllocBox, AllocError, Allocator, BlockOwner, FreeList, HeapAllocator, Lifo, NullAllocator, Place, Scoped, unsize,
};

#[test]
fn values_live_as_long_as_their_box() {
    struct Bomb<'a>(&'a mut bool);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            *self.0 = true;
        }
    }
    let mut dropped = false;
    let boxed = AllocBox::new(Bomb(&mut dropped), HeapAllocator).unwrap();
    assert!(!*boxed.0);
    drop(boxed);
    assert!(dropped);
}

#[test]
fn large_values_are_made_in_place() {
    // More than the stack of a thread.
    const SIZE: usize = if cfg!(miri) { 1 << 12 } else { 1 << 25 };
    let mut place = Place::<[u8; SIZE], _>::new(HeapAllocator).unwrap();
    // SAFETY: there is room for one array, which is initialised with that.
    let boxed = unsafe {
        place.memory().as_mut_ptr().write_bytes(7, 1);
        place.assume_init()
    };
    assert_eq!((boxed[0], boxed[SIZE - 1]), (7, 7));
    let made = AllocBox::new_in_place(HeapAllocator, || [1u8; 1000]).unwrap();
    assert_eq!(made.len(), 1000);
}

#[test]
fn boxes_become_boxes_of_trait_objects() {
    let boxed = unsize!(AllocBox::new(42u32, HeapAllocator).unwrap() => dyn Any);
    assert_eq!(boxed.downcast_ref::<u32>(), Some(&42));
    assert!(boxed.downcast::<u32>().is_ok());
}

#[test]
fn values_are_taken_out_of_their_box() {
    let ledger = Ledger::new();
    let boxed = AllocBox::new(vec![1, 2, 3], &ledger).unwrap();
    let numbers = AllocBox::take(boxed);
    assert_eq!((numbers, ledger.live()), (vec![1, 2, 3], 0));
}

#[test]
fn a_boxed_allocator_is_an_allocator() {
    let allocator: Box<dyn Allocator + Send + Sync> = Box::new(HeapAllocator);
    let shared: Arc<dyn Allocator + Send + Sync> = Arc::from(allocator);
    let first = AllocBox::new(1, Arc::clone(&shared)).unwrap();
    let second = AllocBox::new(2, &shared).unwrap();
    assert_eq!(*first + *second, 3);
}

#[test]
fn the_outer_scope_is_refused_while_an_inner_one_is_open() {
    let outer = Scoped::fixed(HeapAllocator, layout(1024, 8)).unwrap();
    outer.scope(|_| assert!(matches!(AllocBox::new(20, &outer), Err(AllocError::ScopeOpen)))).unwrap();
    assert!(AllocBox::new(20, &outer).is_ok());
}

#[test]
fn scopes_nest() {
    let outer = Scoped::fixed(HeapAllocator, layout(96, 8)).unwrap();
    let first = AllocBox::new(1u64, &outer).unwrap();
    outer
        .scope(|inner| {
            let second = AllocBox::new(2u64, inner).unwrap();
            inner
                .scope(|innermost| {
                    let third = AllocBox::new(3u64, innermost).unwrap();
                    assert!(AllocBox::new(0u64, inner).is_err());
                    assert_eq!(*first + *second + *third, 6);
                })
                .unwrap();
            assert_eq!(inner.used(), 8);
        })
        .unwrap();
    assert_eq!(outer.used(), 8);
}

#[test]
fn out_of_memory_is_an_error() {
    let scoped = Scoped::fixed(HeapAllocator, layout(7, 1)).unwrap();
    let error = AllocBox::new(0u64, &scoped).unwrap_err();
    assert!(matches!(error, AllocError::OutOfMemory { layout } if layout == Layout::new::<u64>()));
    assert_eq!(error.to_string(), "out of memory: no 8 bytes aligned to 8 are left");
}

#[test]
fn allocators_know_their_blocks() {
    let scoped = Scoped::fixed(HeapAllocator, layout(64, 8)).unwrap();
    let list = FreeList::slab(HeapAllocator, layout(8, 8), 4, Lifo::new()).unwrap();
    let (mut in_scope, mut in_list) = (Blocks::default(), Blocks::default());
    let (a, b) = (in_scope.allocate(&scoped, layout(8, 8)).unwrap(), in_list.allocate(&list, layout(8, 8)).unwrap());
    assert!(scoped.owns_block(a.start, a.layout) && !scoped.owns_block(b.start, b.layout));
    assert!(list.owns_block(b.start, b.layout) && !list.owns_block(a.start, a.layout));

    // What is allocated in an inner scope is the inner one's.
    let inner = scoped.open().unwrap();
    let c = in_scope.allocate(&inner, layout(8, 8)).unwrap();
    assert!(inner.owns_block(c.start, c.layout) && !inner.owns_block(a.start, a.layout));
}

#[test]
fn an_allocator_is_shared_behind_a_mutex() {
    let shared = Arc::new(Mutex::new(Scoped::growing(HeapAllocator, 256)));
    let threads = [1u64, 2, 3, 4].map(|number| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let scoped = shared.lock().unwrap();
            let boxed = AllocBox::new(number, &*scoped).unwrap();
            *boxed
        })
    });
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 2, 3, 4]);
}

#[test]
fn a_free_list_gives_blocks_out_again() {
    let ledger = Ledger::new();
    let list = FreeList::growing(&ledger, Layout::new::<[u8; 1024]>(), 100, Lifo::new()).unwrap();
    for _ in 0..10 {
        let boxes: Vec<_> = (0..10u8).map(|number| AllocBox::new([number; 1024], &list).unwrap()).collect();
        assert_eq!(boxes.iter().map(|bytes| bytes[9]).sum::<u8>(), 45);
        assert_eq!(ledger.live(), 10, "the blocks of the first round");
    }
}

#[test]
fn the_null_allocator_has_nothing() {
    assert!(matches!(NullAllocator.allocate(layout(1, 1)), Err(AllocError::OutOfMemory { .. })));
    assert!(matches!(NullAllocator.allocate(layout(0, 1)), Err(AllocError::OutOfMemory { .. })));
    assert!(!NullAllocator.owns_block(NonNull::dangling(), layout(1, 1)));
}

#[test]
fn the_null_allocator_takes_nothing_back() {
    let block = NonNull::dangling();
    // SAFETY: what is promised is not true, but nothing is done but to panic.
    let back = catch_unwind(AssertUnwindSafe(|| unsafe { NullAllocator.deallocate(block, layout(1, 1)) }));
    assert!(back.is_err());
    // SAFETY: as above.
    let resized = catch_unwind(|| unsafe { NullAllocator.reallocate(block, layout(1, 1), layout(2, 1)) }.is_ok());
    assert!(resized.is_err());
}
