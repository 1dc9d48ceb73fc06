//! Scopes: against a model, and what others got wrong.

use crate::blocks::{Blocks, any_layout, layout};
use crate::ledger::Ledger;
use crate::rng::{ROUNDS, Rng};
use std::alloc::Layout;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use wasmc_allocators::{AllocError, Allocator, BlockOwner, HeapAllocator, Scope, Scoped};

/// The model of one chunk: where it ends, and what is used of it.
struct Chunk {
    end: usize,
    used: usize,
}

impl Chunk {
    /// The address at which a block has to be, if there is one.
    fn place(&self, layout: Layout) -> Option<usize> {
        let start = self.used.next_multiple_of(layout.align());
        (start + layout.size().max(1) <= self.end).then_some(start)
    }
}

fn end(block: usize, layout: Layout) -> usize {
    block + layout.size().max(1)
}

/// Any use of a scope in a fixed chunk, and of scopes within; `outer` is used
/// in between to see that it is closed.
fn follows_its_model(
    scope: &Scope<'_, &Ledger>,
    outer: &dyn Allocator,
    chunk: &mut Chunk,
    rng: &mut Rng,
    depth: usize,
) {
    let mut blocks = Blocks::default();
    for _ in 0..30 {
        let (count, new) = (blocks.held.len(), any_layout(rng, 60));
        assert!(matches!(outer.allocate(new), Err(AllocError::ScopeOpen)));
        match rng.below(9) {
            0..4 => match (blocks.allocate(scope, new), chunk.place(new)) {
                (Ok(block), Some(place)) => {
                    assert_eq!(block.address(), place);
                    chunk.used = end(place, new);
                }
                (Err(AllocError::OutOfMemory { .. }), None) => {}
                (got, expected) => panic!("{got:?} instead of {expected:?}"),
            },
            4 | 5 if count > 0 => {
                let position = rng.below(count);
                let block = blocks.held[position];
                blocks.deallocate(scope, position);
                if end(block.address(), block.layout) == chunk.used {
                    chunk.used = block.address();
                }
            }
            6 | 7 if count > 0 => {
                let position = rng.below(count);
                let old = blocks.held[position];
                let is_last = end(old.address(), old.layout) == chunk.used;
                let new_end = end(old.address(), new);
                let aligned = old.address().is_multiple_of(new.align());
                let smaller = new.size().max(1) <= old.layout.size().max(1);
                let got = blocks.reallocate(scope, position, new).map(|block| block.address());
                if aligned && (smaller || is_last) && new_end <= chunk.end {
                    assert_eq!(got.unwrap(), old.address());
                    chunk.used = if is_last { new_end } else { chunk.used };
                } else if let Some(place) = chunk.place(new) {
                    assert_eq!(got.unwrap(), place);
                    chunk.used = end(place, new);
                } else {
                    assert!(matches!(got, Err(AllocError::OutOfMemory { .. })));
                }
            }
            8 if depth > 0 => {
                let mut rest = Chunk { ..*chunk };
                let played = scope.scope(|inner| follows_its_model(inner, scope, &mut rest, rng, depth - 1));
                played.expect("no other scope is open");
            }
            _ => {}
        }
    }
    for block in &blocks.held {
        assert!(scope.owns_block(block.start, block.layout));
    }
    blocks.check_and_forget_all();
}

#[test]
fn scopes_in_a_fixed_chunk_follow_their_model() {
    let (ledger, mut rng) = (Ledger::new(), Rng::new(30));
    for _ in 0..ROUNDS / 20 {
        let size = rng.below(1000);
        let mut scoped = Scoped::fixed(&ledger, layout(size, 32)).unwrap();
        // The chunk's address is that of its first block, if there can be one.
        let start = scoped.allocate(layout(0, 1)).map_or(0, |block| block.cast::<u8>().addr().get());
        scoped.clear();
        let mut chunk = Chunk { end: start + size, used: start };
        scoped.scope(|scope| follows_its_model(scope, &scoped, &mut chunk, &mut rng, 3)).unwrap();
        assert_eq!(scoped.used(), 0);
    }
    assert_eq!(ledger.live(), 0);
}

/// Any use of scopes that get further chunks, which may be refused.
fn gives_chunks_back(scope: &Scope<'_, &Ledger>, ledger: &Ledger, rng: &mut Rng, depth: usize) {
    let mut blocks = Blocks::default();
    for _ in 0..30 {
        let count = blocks.held.len();
        ledger.limit(if rng.once_in(4) { 0 } else { usize::MAX });
        match rng.below(8) {
            0..4 => drop(blocks.allocate(scope, any_layout(rng, 300))),
            4 if count > 0 => blocks.deallocate(scope, rng.below(count)),
            5 | 6 if count > 0 => {
                let (position, new) = (rng.below(count), any_layout(rng, 300));
                drop(blocks.reallocate(scope, position, new));
            }
            7 if depth > 0 => {
                let before = ledger.live();
                scope.scope(|inner| gives_chunks_back(inner, ledger, rng, depth - 1)).unwrap();
                assert_eq!(ledger.live(), before, "the inner scope's chunks went back");
            }
            _ => {}
        }
    }
    for block in &blocks.held {
        assert!(scope.owns_block(block.start, block.layout));
    }
    blocks.check_and_forget_all();
}

#[test]
fn scopes_with_several_chunks_give_all_of_them_back() {
    let (ledger, mut rng) = (Ledger::new(), Rng::new(31));
    for chunk in [0, 1, 64, 400, 5000] {
        for _ in 0..ROUNDS / 100 {
            let scoped = Scoped::growing(&ledger, chunk);
            ledger.limit(usize::MAX);
            scoped.scope(|scope| gives_chunks_back(scope, &ledger, &mut rng, 3)).unwrap();
            assert_eq!(ledger.live(), 0);
            ledger.limit(usize::MAX);
            scoped.allocate(layout(9, 1)).unwrap();
            scoped.scope(|scope| gives_chunks_back(scope, &ledger, &mut rng, 3)).unwrap();
            assert_eq!(ledger.live(), 1, "the outer one's chunk stays");
        }
        assert_eq!(ledger.live(), 0);
    }
}

#[test]
fn the_address_behind_the_end_is_not_owned() {
    // Two arenas, one right behind the other.
    let mut bytes = [0u8; 64];
    let (first, second) = bytes.split_at_mut(32);
    // SAFETY: nobody else uses the bytes before the end of the test.
    let (first, second) = unsafe { (Scoped::within(first.into()), Scoped::within(second.into())) };
    let last = first.allocate(layout(32, 1)).unwrap().cast::<u8>();
    let behind = second.allocate(layout(1, 1)).unwrap().cast::<u8>();
    assert_eq!(behind.addr().get(), last.addr().get() + 32);
    assert!(first.owns_block(last, layout(32, 1)) && !first.owns_block(behind, layout(1, 1)));
    assert!(second.owns_block(behind, layout(1, 1)) && !second.owns_block(last, layout(32, 1)));

    // Also for blocks of no bytes: there is none at the end.
    assert!(first.allocate(layout(0, 1)).is_err());
}

#[test]
fn a_block_that_fills_the_chunk_exactly_fits() {
    let scoped = Scoped::fixed(HeapAllocator, layout(64, 16)).unwrap();
    scoped.allocate(layout(16, 16)).unwrap();
    let block = scoped.allocate(layout(40, 8)).unwrap().cast();
    // SAFETY: the block was just given out.
    let block = unsafe { scoped.reallocate(block, layout(40, 8), layout(48, 8)) }.unwrap();
    assert_eq!((block.len(), scoped.used()), (48, 64));
    assert!(matches!(scoped.allocate(layout(1, 1)), Err(AllocError::OutOfMemory { .. })));
}

#[test]
fn shrinking_the_only_block_makes_room() {
    let scoped = Scoped::fixed(HeapAllocator, layout(64, 16)).unwrap();
    let block = scoped.allocate(layout(64, 16)).unwrap();
    // SAFETY: the block is used as it was last given out.
    unsafe {
        for (from, to) in [(64, 10), (10, 0), (0, 64), (64, 1)] {
            let (from, to) = (layout(from, 16), layout(to, 16));
            assert_eq!(scoped.reallocate(block.cast(), from, to).unwrap().cast::<u8>(), block.cast());
            assert_eq!(scoped.used(), to.size().max(1));
        }
    }
}

#[test]
fn shrinking_a_block_in_the_middle_keeps_the_others() {
    let (scoped, mut blocks) = (Scoped::fixed(HeapAllocator, layout(100, 1)).unwrap(), Blocks::default());
    blocks.allocate(&scoped, layout(30, 1)).unwrap();
    blocks.allocate(&scoped, layout(30, 1)).unwrap();
    blocks.reallocate(&scoped, 0, layout(5, 1)).unwrap();
    assert_eq!(scoped.used(), 60);
    blocks.deallocate(&scoped, 1);
    blocks.allocate(&scoped, layout(40, 1)).unwrap();
    blocks.check_and_forget_all();
}

#[test]
fn a_panic_ends_a_scope_like_anything_else() {
    let ledger = Ledger::new();
    let scoped = Scoped::growing(&ledger, 100);
    scoped.allocate(layout(10, 1)).unwrap();
    let used = scoped.used();
    for _ in 0..3 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            scoped.scope(|inner| {
                inner.allocate(layout(1000, 1)).unwrap();
                inner.scope(|innermost| {
                    innermost.allocate(layout(1000, 1)).unwrap();
                    panic!("in the middle");
                })
            })
        }));
        assert!(panicked.is_err());
        assert_eq!((scoped.used(), ledger.live()), (used, 1));
        scoped.scope(|inner| inner.allocate(layout(10, 1)).map(drop)).unwrap().unwrap();
    }
    scoped.allocate(layout(10, 1)).unwrap();
}

#[test]
fn while_a_scope_is_open_the_outer_one_only_takes_back() {
    let scoped = Scoped::fixed(HeapAllocator, layout(100, 1)).unwrap();
    let blocks = [(); 2].map(|()| scoped.allocate(layout(10, 1)).unwrap().cast::<u8>());
    let inner = scoped.open().unwrap();
    assert!(matches!(scoped.open(), Err(AllocError::ScopeOpen)));
    assert!(matches!(scoped.scope(|_| panic!("it is open")), Err(AllocError::ScopeOpen)));
    // SAFETY: the blocks are used as they were last given out.
    unsafe {
        let larger = scoped.reallocate(blocks[1], layout(10, 1), layout(20, 1));
        assert!(matches!(larger, Err(AllocError::ScopeOpen)));
        assert!(scoped.reallocate(blocks[1], layout(10, 1), layout(5, 1)).is_ok());
        scoped.deallocate(blocks[1], layout(5, 1));
    }
    let all = inner.allocate(layout(80, 1)).unwrap();
    assert!(inner.allocate(layout(1, 1)).is_err());
    assert_eq!(all.cast::<u8>().addr().get(), blocks[0].addr().get() + 20);
    drop(inner);
    assert_eq!(scoped.used(), 20, "what went back meanwhile is lost until the end");
}

#[test]
fn an_outer_scope_that_is_full_can_be_used_again() {
    // With nothing left for the inner one, what goes back meanwhile is last.
    let scoped = Scoped::fixed(HeapAllocator, layout(20, 1)).unwrap();
    let block = scoped.allocate(layout(20, 1)).unwrap().cast();
    let inner = scoped.open().unwrap();
    // SAFETY: the block was given out so.
    unsafe { scoped.deallocate(block, layout(20, 1)) };
    assert!(inner.allocate(layout(1, 1)).is_err());
    assert!(matches!(scoped.allocate(layout(1, 1)), Err(AllocError::ScopeOpen)));
    drop(inner);
    assert!(matches!(scoped.allocate(layout(1, 1)), Err(AllocError::OutOfMemory { .. })));
}

#[test]
fn a_forgotten_scope_stays_open_until_all_is_cleared() {
    let mut scoped = Scoped::fixed(HeapAllocator, layout(100, 1)).unwrap();
    mem::forget(scoped.open().unwrap());
    assert!(matches!(scoped.allocate(layout(1, 1)), Err(AllocError::ScopeOpen)));
    scoped.clear();
    assert_eq!(scoped.used(), 0);
    scoped.allocate(layout(100, 1)).unwrap();
}

#[test]
fn a_large_block_gets_a_chunk_of_its_size() {
    let ledger = Ledger::new();
    let mut scoped = Scoped::growing(&ledger, 64);
    let mut blocks = Blocks::default();
    for size in [1, 10_000, 0, 100] {
        for align in [1, 8, 256] {
            blocks.allocate(&scoped, layout(size, align)).unwrap();
        }
    }
    blocks.check_and_forget_all();
    scoped.clear();
    assert_eq!((ledger.live(), scoped.used()), (0, 0));
    let huge = scoped.allocate(layout(isize::MAX as usize, 1)).unwrap_err();
    assert!(matches!(huge, AllocError::OutOfMemory { .. }));
}

#[test]
fn a_chunk_of_bytes_is_used_where_it_is() {
    let mut bytes = [0u8; 16];
    let start = NonNull::from(&mut bytes);
    // SAFETY: nobody else uses the bytes before the end of the scope.
    let records = unsafe { Scoped::within(start) };
    let block = records.allocate(layout(16, 1)).unwrap();
    assert_eq!(block.cast(), start.cast::<u8>());
    // SAFETY: the block is that large.
    unsafe { block.cast::<u8>().write_bytes(3, 16) };
    drop(records);
    assert_eq!(bytes, [3; 16]);
}
