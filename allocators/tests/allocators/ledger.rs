//! The heap, with an account of every block.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::thread;
use wasmc_allocators::{AllocError, Allocator, HeapAllocator};

/// Fails the test if a block goes back that was not given out, with another
/// layout than it was given out with, twice or not at all. Can be told to have
/// no more memory.
pub struct Ledger {
    account: Mutex<Account>,
}

struct Account {
    live: BTreeMap<usize, Layout>,
    /// How many blocks it will still give out.
    left: usize,
    /// How often there was none.
    refused: usize,
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger { account: Mutex::new(Account { live: BTreeMap::new(), left: usize::MAX, refused: 0 }) }
    }

    /// From now on it gives out `left` blocks and then no more.
    pub fn limit(&self, left: usize) {
        self.account.lock().unwrap().left = left;
    }

    /// How often it had no block because of the limit.
    pub fn refused(&self) -> usize {
        self.account.lock().unwrap().refused
    }

    /// How many blocks are given out.
    pub fn live(&self) -> usize {
        self.account.lock().unwrap().live.len()
    }
}

// SAFETY: the blocks are the heap's.
unsafe impl Allocator for Ledger {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let mut account = self.account.lock().unwrap();
        let Some(left) = account.left.checked_sub(1) else {
            account.refused += 1;
            return Err(AllocError::OutOfMemory { layout });
        };
        account.left = left;
        let block = HeapAllocator.allocate(layout)?;
        assert_eq!(account.live.insert(block.cast::<u8>().addr().get(), layout), None, "a block is given out twice");
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let was = self.account.lock().unwrap().live.remove(&block.addr().get());
        assert_eq!(was, Some(layout), "the block at {block:p} was not given out so");
        // SAFETY: it was given out with this layout.
        unsafe { HeapAllocator.deallocate(block, layout) };
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(self.live(), 0, "blocks were not given back");
        }
    }
}
