//! Stacks for calls that can be suspended, and where those wait that nobody
//! uses.
//!
//! ```text
//! | guard, inaccessible | slack | as large as configured |
//! ^ limit                                          base  ^  from here it grows down
//! ```
//!
//! A stack that is given back stays with the thread, as it is, for its next
//! call: that takes no system call, no lock, and no page fault. What is too much
//! for the thread goes to the engine, which keeps the pages at the base only.

use crate::error::{Error, Result};
use crate::sys::{self, Region};
use corosensei::stack::{Stack, StackPointer};
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use wasmc_artifacts::abi::STACK_SLACK;

/// Inaccessible bytes below a stack: what host functions that use more than is
/// there run into, even those in C, which may skip a page.
const GUARD: usize = 64 << 10;
/// How many stacks a thread keeps.
const KEPT: usize = 8;
/// The part of a stack at its base that stays resident in the engine.
const RESIDENT: usize = 64 << 10;
/// The part that is cleared by writing to it rather than by the system.
const CLEARED: usize = 8 << 10;

/// A stack that nobody else uses.
#[derive(Debug)]
pub(crate) struct FiberStack {
    region: Region,
    /// In bytes, with the guard.
    length: usize,
    kind: Kind,
}

/// Which stacks can be used instead of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    size: usize,
    /// Whether each call finds nothing but zeros.
    zeroed: bool,
}

// SAFETY: the guard is at the lower end, and `Stacks` makes none smaller than
// its slack.
unsafe impl Stack for FiberStack {
    fn base(&self) -> StackPointer {
        self.address(self.length)
    }

    fn limit(&self) -> StackPointer {
        self.address(0)
    }
}

impl FiberStack {
    fn new(kind: Kind) -> std::io::Result<FiberStack> {
        let page = sys::page_size();
        let guard = GUARD.next_multiple_of(page);
        let too_large = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let size = kind.size.checked_add(STACK_SLACK as usize).and_then(|size| size.checked_next_multiple_of(page));
        let length = size.and_then(|size| size.checked_add(guard)).ok_or_else(too_large)?;
        let region = Region::reserve(length)?;
        // SAFETY: nobody else knows the region.
        unsafe { region.make_accessible(guard..length)? };
        // A large page for a few frames would be cleared as a whole.
        sys::keep_pages_small(region.start().as_ptr(), length);
        Ok(FiberStack { region, length, kind })
    }

    fn address(&self, offset: usize) -> StackPointer {
        self.region.start().addr().checked_add(offset).unwrap_or(NonZeroUsize::MIN)
    }

    /// The addresses that can be used.
    pub(super) fn bounds(&self) -> (usize, usize) {
        let start = self.region.start().addr().get();
        (start + GUARD.next_multiple_of(sys::page_size()), start + self.length)
    }

    /// Forgets what is there, but for so many bytes at the base.
    fn forget(&self, kept: usize) -> std::io::Result<()> {
        let (low, high) = self.bounds();
        let length = (high - low).saturating_sub(kept.next_multiple_of(sys::page_size()));
        let at = self.region.start().as_ptr().wrapping_add(low - self.region.start().addr().get());
        // SAFETY: nobody uses the stack, and it is accessible as a whole.
        unsafe {
            if sys::can_discard() {
                return sys::discard(at, length);
            }
            sys::make_inaccessible(at, length)?;
            sys::make_accessible(at, length)
        }
    }

    /// Makes zeros of all that is there.
    fn clear(&self) -> std::io::Result<()> {
        let page = sys::page_size();
        self.forget(CLEARED)?;
        let length = CLEARED.next_multiple_of(page);
        // SAFETY: these are the last bytes of the stack, which nobody uses, and
        // fewer than its slack and its own pages.
        unsafe { self.region.start().as_ptr().add(self.length - length).write_bytes(0, length) };
        Ok(())
    }
}

thread_local! {
    static UNUSED: RefCell<Vec<FiberStack>> = const { RefCell::new(Vec::new()) };
}

/// The stacks of an engine.
#[derive(Debug)]
pub(crate) struct Stacks {
    kind: Kind,
    /// The least size that a stack may have.
    least: usize,
    /// How many unused ones there may be beside those that threads keep.
    most: usize,
    unused: Mutex<Vec<FiberStack>>,
}

impl Stacks {
    /// Stacks of `size` bytes, at least `least`, of which up to `most` are kept.
    pub(crate) fn new(size: usize, zeroed: bool, least: usize, most: usize) -> Stacks {
        Stacks { kind: Kind { size, zeroed }, least, most, unused: Mutex::default() }
    }

    /// A stack.
    ///
    /// # Errors
    /// If stacks are configured to be smaller than what wasm code may use, or
    /// there is no memory for another one.
    #[inline(never)]
    pub(crate) fn take(&self) -> Result<FiberStack> {
        if self.kind.size < self.least {
            return Err(Error::msg(format!(
                "a call cannot be suspended on a stack of {} bytes when wasm code may use {}: set `Config::async_stack_size` to more than `Config::max_wasm_stack`, so much more as host functions need",
                self.kind.size, self.least
            )));
        }
        let own = |stacks: &RefCell<Vec<FiberStack>>| {
            let mut stacks = stacks.try_borrow_mut().ok()?;
            let found = stacks.iter().rposition(|stack| stack.kind == self.kind)?;
            Some(stacks.swap_remove(found))
        };
        // While a thread ends it has none any more.
        if let Ok(Some(stack)) = UNUSED.try_with(own) {
            return Ok(stack);
        }
        let waiting = self.unused.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.map_or_else(|| FiberStack::new(self.kind), Ok).map_err(|e| {
            Error::new(e).context(format!("cannot get a stack of {} bytes for an async call", self.kind.size))
        })
    }

    /// Takes a stack back.
    #[inline(never)]
    pub(crate) fn put(&self, stack: FiberStack) {
        if self.kind.zeroed && stack.clear().is_err() {
            return;
        }
        let mut given = Some(stack);
        let _ = UNUSED.try_with(|stacks| {
            let Ok(mut stacks) = stacks.try_borrow_mut() else { return };
            if stacks.len() < KEPT {
                stacks.extend(given.take());
            }
        });
        let Some(stack) = given else { return };
        if !self.kind.zeroed && stack.forget(RESIDENT).is_err() {
            return;
        }
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < self.most {
            unused.push(stack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Runs a test on a thread of its own, which has kept nothing yet.
    fn alone(test: impl FnOnce() + Send) {
        let joined = thread::scope(|scope| scope.spawn(test).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    fn fill(stack: &FiberStack, value: u8) {
        let (low, high) = stack.bounds();
        // SAFETY: the stack is accessible, and nobody else uses it.
        unsafe { (low as *mut u8).write_bytes(value, high - low) };
    }

    /// The lowest and highest bytes, and one that is 64 KiB below the base.
    fn samples(stack: &FiberStack) -> [u8; 3] {
        let (low, high) = stack.bounds();
        // SAFETY: as above.
        [low, high - RESIDENT - 1, high - 1].map(|at| unsafe { (at as *const u8).read() })
    }

    #[test]
    fn a_thread_gets_the_stack_back_that_it_gave_last_as_it_was() {
        alone(|| {
            let stacks = Stacks::new(100_000, false, 0, 0);
            let (first, second) = (stacks.take().unwrap(), stacks.take().unwrap());
            let (a, b) = (first.bounds(), second.bounds());
            assert!(a.1 - a.0 >= 100_000 + STACK_SLACK as usize && a.1 % sys::page_size() == 0);
            assert!(a.1 <= b.0 - GUARD || b.1 <= a.0 - GUARD, "stacks overlap: {a:x?} and {b:x?}");
            fill(&first, 7);
            stacks.put(second);
            stacks.put(first);
            let again = stacks.take().unwrap();
            assert_eq!((again.bounds(), samples(&again)), (a, [7; 3]));
            assert_eq!(stacks.take().unwrap().bounds(), b);
        });
    }

    #[test]
    fn stacks_that_a_thread_has_too_many_of_wait_in_the_engine_up_to_a_limit() {
        let stacks = Stacks::new(1 << 17, false, 0, 3);
        alone(|| {
            let many: Vec<_> = (0..KEPT + 5).map(|_| stacks.take().unwrap()).collect();
            for stack in many {
                fill(&stack, 9);
                stacks.put(stack);
            }
        });
        assert_eq!(stacks.unused.lock().unwrap().len(), 3);
        let waiting: Vec<_> = stacks.unused.lock().unwrap().iter().map(FiberStack::bounds).collect();
        // Another thread gets them, with what is near the base.
        alone(|| {
            let taken: Vec<_> = (0..3).map(|_| stacks.take().unwrap()).collect();
            assert!(taken.iter().all(|stack| waiting.contains(&stack.bounds())));
            assert!(taken.iter().all(|stack| samples(stack) == [0, 0, 9]));
        });
        assert_eq!(stacks.unused.lock().unwrap().len(), 0);
    }

    #[test]
    fn stacks_are_zeros_where_that_is_asked_for_and_do_not_mix_with_others() {
        alone(|| {
            let (usual, zeroed) = (Stacks::new(1 << 17, false, 0, 9), Stacks::new(1 << 17, true, 0, 9));
            let (larger, least) = (Stacks::new(1 << 18, true, 0, 9), Stacks::new(1, true, 0, 9));
            for stacks in [&usual, &zeroed, &larger, &least] {
                let many: Vec<_> = (0..KEPT).map(|_| stacks.take().unwrap()).collect();
                many.into_iter().for_each(|stack| {
                    fill(&stack, 3);
                    stacks.put(stack);
                });
            }
            for _ in 0..2 * KEPT {
                assert!([[3; 3], [0; 3]].contains(&samples(&usual.take().unwrap())));
                for stacks in [&zeroed, &least] {
                    let stack = stacks.take().unwrap();
                    let (low, high) = stack.bounds();
                    // SAFETY: as above.
                    let bytes = unsafe { std::slice::from_raw_parts(low as *const u8, high - low) };
                    assert!(bytes.iter().all(|byte| *byte == 0), "of {} bytes", stack.kind.size);
                }
                assert_eq!(larger.take().unwrap().kind, larger.kind);
            }
        });
    }

    #[test]
    fn a_stack_that_is_too_small_or_too_large_is_an_error() {
        let text = |stacks: Stacks| format!("{:#}", stacks.take().unwrap_err());
        assert!(text(Stacks::new(99, false, 100, 0)).contains("`Config::async_stack_size`"));
        // Also where another engine's stack of that size is waiting.
        let other = Stacks::new(99, false, 99, 0);
        other.put(other.take().unwrap());
        assert!(text(Stacks::new(99, false, 100, 0)).contains("`Config::async_stack_size`"));
        for size in [usize::MAX, usize::MAX / 2] {
            assert!(text(Stacks::new(size, false, 100, 0)).contains(&format!("a stack of {size} bytes")));
        }
    }
}
