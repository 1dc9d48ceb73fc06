//! Fallbacks: nothing goes to the wrong one of the two, and nothing is lost.

use crate::blocks::{Blocks, any_layout, layout};
use crate::ledger::Ledger;
use crate::rng::{ROUNDS, Rng};
use std::alloc::Layout;
use std::collections::BTreeSet;
use wasmc_allocators::{
    AllocError, Allocator, BlockOwner, Fallback, FallbackError, FreeList, HeapAllocator, Lifo, NullAllocator,
};

type Pool<'a> = Fallback<FreeList<&'a Ledger>, &'a Ledger>;

/// What can be had of a [`Pool`] of `COUNT` blocks of [`BLOCK`].
struct Expected {
    /// Addresses of the blocks that come from the main allocator.
    in_main: BTreeSet<usize>,
}

const BLOCK: Layout = Layout::new::<[u64; 8]>();
const COUNT: usize = 6;

impl Expected {
    fn main_has(&self, layout: Layout) -> bool {
        layout.size() <= BLOCK.size() && layout.align() <= BLOCK.align() && self.in_main.len() < COUNT
    }

    fn fits(layout: Layout) -> bool {
        layout.size() <= BLOCK.size() && layout.align() <= BLOCK.align()
    }
}

fn pool<'a>(first: &'a Ledger, second: &'a Ledger) -> Pool<'a> {
    FreeList::slab(first, BLOCK, COUNT as u32, Lifo::new()).unwrap().with_fallback(second)
}

#[test]
fn a_fallback_follows_its_model() {
    let (first, second, mut rng) = (Ledger::new(), Ledger::new(), Rng::new(7));
    let pool = pool(&first, &second);
    let (mut blocks, mut expected) = (Blocks::default(), Expected { in_main: BTreeSet::new() });
    for _ in 0..ROUNDS {
        let second_has = !rng.once_in(4);
        second.limit(if second_has { usize::MAX } else { 0 });
        let (count, new) = (blocks.held.len(), any_layout(&mut rng, 100));
        match rng.below(5) {
            0 | 1 if count < 20 => {
                let there = expected.main_has(new);
                match blocks.allocate(&pool, new) {
                    Ok(block) if there => assert!(expected.in_main.insert(block.address())),
                    Ok(_) => assert!(second_has),
                    Err(_) => assert!(!there && !second_has, "there was a block to be had"),
                }
            }
            2 if count > 0 => {
                let position = rng.below(count);
                expected.in_main.remove(&blocks.held[position].address());
                blocks.deallocate(&pool, position);
            }
            3 | 4 if count > 0 => {
                let position = rng.below(count);
                let old = blocks.held[position];
                let was_main = expected.in_main.contains(&old.address());
                match blocks.reallocate(&pool, position, new) {
                    Ok(block) if was_main && Expected::fits(new) => assert_eq!(block.address(), old.address()),
                    Ok(_) if was_main => assert!(second_has && expected.in_main.remove(&old.address())),
                    Ok(_) if second_has => {}
                    Ok(block) => assert!(expected.main_has(new) && expected.in_main.insert(block.address())),
                    Err(_) if was_main => assert!(!Expected::fits(new) && !second_has),
                    Err(_) => assert!(!expected.main_has(new) && !second_has),
                }
            }
            _ => {}
        }
        assert_eq!(pool.main().in_use() as usize, expected.in_main.len());
        assert_eq!(second.live(), blocks.held.len() - expected.in_main.len());
        for block in &blocks.held {
            let is_main = expected.in_main.contains(&block.address());
            assert_eq!(pool.main().owns_block(block.start, block.layout), is_main);
        }
    }
    second.limit(usize::MAX);
    blocks.deallocate_all(&pool, &mut rng);
    assert_eq!((pool.main().in_use(), second.live()), (0, 0));
}

#[test]
fn blocks_that_the_main_allocator_does_not_own_go_back_to_the_second_one() {
    let (first, second) = (Ledger::new(), Ledger::new());
    let pool = pool(&first, &second);
    let block = pool.allocate(layout(1000, 8)).unwrap();
    assert_eq!(second.live(), 1);
    // SAFETY: the block was just given out.
    unsafe { pool.deallocate(block.cast(), layout(1000, 8)) };
    assert_eq!(second.live(), 0);
}

#[test]
fn a_bounded_pool_falls_back_to_the_heap_which_owns_nothing() {
    let pool = FreeList::slab(HeapAllocator, BLOCK, 2, Lifo::new()).unwrap().with_fallback(HeapAllocator);
    let mut blocks = Blocks::default();
    for _ in 0..5 {
        blocks.allocate(&pool, BLOCK).unwrap();
    }
    assert_eq!(pool.main().in_use(), 2);
    blocks.deallocate_all(&pool, &mut Rng::new(8));
    assert_eq!(pool.main().in_use(), 0);
}

#[test]
fn the_error_says_what_both_said() {
    let (first, second) = (Ledger::new(), Ledger::new());
    second.limit(0);
    let pool = pool(&first, &second);
    let mut blocks = Blocks::default();
    for _ in 0..COUNT {
        blocks.allocate(&pool, BLOCK).unwrap();
    }
    let error = pool.allocate(BLOCK).unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 6 of 6 blocks are in use: give one back, make more of them, or add a fallback; \
         and of the fallback: out of memory: no 64 bytes aligned to 8 are left"
    );
    let both = error.downcast_ref::<FallbackError>().unwrap();
    assert!(matches!(both.main, AllocError::Exhausted { count: 6 }));
    assert!(matches!(both.second, AllocError::OutOfMemory { layout: BLOCK }));
    blocks.deallocate_all(&pool, &mut Rng::new(9));
}

#[test]
fn an_allocators_own_reason_is_found_through_a_fallback() {
    struct Refusing(i32);
    // SAFETY: it gives nothing out.
    unsafe impl Allocator for Refusing {
        fn allocate(&self, _: Layout) -> Result<std::ptr::NonNull<[u8]>, AllocError> {
            Err(std::io::Error::from_raw_os_error(self.0).into())
        }
        unsafe fn deallocate(&self, _: std::ptr::NonNull<u8>, _: Layout) {
            unreachable!("it gives nothing out");
        }
    }
    let chain = Fallback::new(NullAllocator, Fallback::new(NullAllocator, Refusing(12)));
    let error = chain.allocate(BLOCK).unwrap_err();
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().raw_os_error(), Some(12));
}

#[test]
fn if_memory_is_short_everywhere_the_error_is_just_that() {
    let chain = Fallback::new(NullAllocator, NullAllocator);
    assert!(matches!(chain.allocate(BLOCK), Err(AllocError::OutOfMemory { layout: BLOCK })));
}

#[test]
fn a_fallback_of_owners_is_an_owner() {
    let (first, second, third) = (Ledger::new(), Ledger::new(), Ledger::new());
    let list = |parent, count| FreeList::slab(parent, BLOCK, count, Lifo::new()).unwrap();
    let chain = list(&first, 1).with_fallback(list(&second, 1)).with_fallback(&third);
    let mut blocks = Blocks::default();
    let owned = [(); 3].map(|()| {
        let block = blocks.allocate(&chain, BLOCK).unwrap();
        chain.main().owns_block(block.start, BLOCK)
    });
    assert_eq!(owned, [true, true, false]);
    blocks.deallocate_all(&chain, &mut Rng::new(10));
}
