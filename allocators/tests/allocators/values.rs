//! Values in blocks: made once, dropped once, and the block goes back.

use crate::ledger::Ledger;
use std::any::Any;
use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_allocators::{AllocBox, AllocError, HeapAllocator, Place, Scoped, unsize};

/// Counts its drops, and may panic in them.
struct Counted<'a> {
    drops: &'a Cell<usize>,
    panics: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        assert!(!self.panics, "while it is dropped");
    }
}

#[test]
fn a_constructor_that_panics_loses_nothing() {
    let ledger = Ledger::new();
    let made = catch_unwind(AssertUnwindSafe(|| {
        AllocBox::new_in_place(&ledger, || -> String { panic!("before there is a value") })
    }));
    assert!(made.is_err());
    assert_eq!(ledger.live(), 0);
}

#[test]
fn without_memory_no_value_is_made() {
    let ledger = Ledger::new();
    ledger.limit(0);
    let made = AllocBox::new_in_place(&ledger, || -> u8 { unreachable!("there is no block") });
    assert!(matches!(made, Err(AllocError::OutOfMemory { .. })));
    let drops = Cell::new(0);
    assert!(AllocBox::new(Counted { drops: &drops, panics: false }, &ledger).is_err());
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_drop_that_panics_gives_the_block_back() {
    let (ledger, drops) = (Ledger::new(), Cell::new(0));
    let value = AllocBox::new(Counted { drops: &drops, panics: true }, &ledger).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(value))).is_err());
    assert_eq!((ledger.live(), drops.get()), (0, 1));
}

#[test]
fn a_place_is_used_again_after_its_value_was_taken_out() {
    let (ledger, drops) = (Ledger::new(), Cell::new(0));
    let first = AllocBox::new(Counted { drops: &drops, panics: false }, &ledger).unwrap();
    let address = &raw const *first;
    let (value, place) = AllocBox::take_out(first);
    assert_eq!((drops.get(), ledger.live()), (0, 1));
    ledger.limit(0);
    let second = place.fill(Counted { drops: &drops, panics: false });
    assert_eq!(&raw const *second, address);
    drop(value);
    assert_eq!(drops.get(), 1);
    drop(second);
    assert_eq!((drops.get(), ledger.live()), (2, 0));
}

#[test]
fn an_empty_place_gives_its_block_back() {
    let ledger = Ledger::new();
    let place = Place::<u64, _>::new(&ledger).unwrap();
    assert_eq!(ledger.live(), 1);
    drop(place);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn unsized_values_go_back_with_their_own_layout() {
    #[repr(align(128))]
    #[derive(Debug)]
    struct Aligned(#[expect(dead_code, reason = "printed")] u8);
    let (ledger, drops) = (Ledger::new(), Cell::new(0));
    // The ledger compares layouts.
    let object = unsize!(AllocBox::new(Aligned(1), &ledger).unwrap() => dyn Debug);
    assert_eq!(format!("{object:?}"), "Aligned(1)");
    let many = [(); 5].map(|()| Counted { drops: &drops, panics: false });
    let slice = unsize!(AllocBox::new(many, &ledger).unwrap() => [Counted<'_>]);
    assert_eq!((slice.len(), ledger.live()), (5, 2));
    drop((object, slice));
    assert_eq!((drops.get(), ledger.live()), (5, 0));
}

#[test]
fn any_value_is_found_under_its_own_type_only() {
    let ledger = Ledger::new();
    let any = unsize!(AllocBox::new(String::from("text"), &ledger).unwrap() => dyn Any);
    let any = any.downcast::<u32>().unwrap_err();
    let text: AllocBox<String, _> = any.downcast().unwrap();
    assert_eq!(*text, "text");

    let sendable = unsize!(AllocBox::new(5u8, &ledger).unwrap() => dyn Any + Send);
    assert_eq!(*sendable.downcast::<u8>().unwrap(), 5);
    let both = unsize!(AllocBox::new(6u8, &ledger).unwrap() => dyn Any + Send + Sync);
    assert_eq!(*both.downcast::<u8>().unwrap(), 6);
}

#[test]
fn values_of_no_size_are_dropped_too() {
    thread_local!(static DROPS: Cell<usize> = const { Cell::new(0) });
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.set(DROPS.get() + 1);
        }
    }
    let scoped = Scoped::fixed(HeapAllocator, std::alloc::Layout::new::<[u8; 2]>()).unwrap();
    let two = [(); 2].map(|()| AllocBox::new(Nothing, &scoped).unwrap());
    assert!(AllocBox::new(Nothing, &scoped).is_err(), "each has an address of its own");
    assert_eq!(DROPS.get(), 1, "the one that there was no room for");
    drop(two);
    assert_eq!((DROPS.get(), scoped.used()), (3, 1));
}

#[test]
fn a_box_of_its_raw_parts_is_the_same_box() {
    let ledger = Ledger::new();
    let mut number = AllocBox::new(1, &ledger).unwrap();
    *number += 1;
    assert_eq!(AllocBox::allocator(&number).live(), 1);
    let (value, allocator) = AllocBox::into_raw(number);
    // SAFETY: the parts of a box, unchanged.
    let number = unsafe { AllocBox::from_raw(value, allocator) };
    assert_eq!(format!("{number} {number:?}"), "2 2");
}
