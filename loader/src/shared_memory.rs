//! Shared memories, as the host uses them.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::memory::plan;
use crate::parts;
use crate::types::MemoryType;
use crate::vm::instance::AllocationError;
use crate::vm::shared_memory::{self, Expected, SharedData};
use crate::vm::waiters::WaitResult;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::time::Duration;
use wasmc_artifacts::abi::Trap;

/// A memory that instances in several stores, on several threads, use at the
/// same time.
///
/// It belongs to no store: this is a reference, all clones of which mean the
/// same memory, and which can be given to any thread and be defined in any
/// [`Linker`](crate::Linker) of its engine. The memory lives as long as a
/// reference or a store that uses it.
///
/// An instance whose module *defines* a shared memory has one of its own,
/// another one for every instance, which
/// [`Instance::get_shared_memory`](crate::Instance::get_shared_memory) tells.
/// Because others may use that at any time, it is never reset: after
/// [`Instance::reset`](crate::Instance::reset) or
/// [`Store::reset`](crate::Store::reset) the instance, and whoever imports
/// its memory in the same store, has a new one. References that the host got
/// before, and other stores, keep the old one. A shared memory that is
/// imported from elsewhere stays as it is.
///
/// ```
/// # fn main() -> wasmc_loader::Result<()> {
/// use wasmc_loader::{Engine, MemoryType, SharedMemory, WaitResult};
///
/// let engine = Engine::default();
/// let memory = SharedMemory::new(&engine, MemoryType::shared(1, 4))?;
/// let other = memory.clone();
/// let waiter = std::thread::spawn(move || other.atomic_wait32(64, 0, None));
/// while memory.atomic_notify(64, 1)? == 0 {
///     std::thread::yield_now();
/// }
/// assert_eq!(waiter.join().unwrap()?, WaitResult::Ok);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SharedMemory {
    engine: Engine,
    pub(crate) data: Arc<SharedData>,
}

impl SharedMemory {
    /// A shared memory of the host's, filled with zeros.
    ///
    /// # Errors
    /// If the type is not that of a shared memory with a maximum, or is
    /// impossible, there is no address space for it, or the cargo feature
    /// `threads` is off.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        parts::THREADS.need("a shared memory")?;
        if !ty.is_shared() {
            return Err(Error::msg(format!("a {ty} is not shared; make the type with `MemoryType::shared`")));
        }
        if ty.maximum().is_none() {
            return Err(Error::msg(format!("a {ty} needs a maximum, as all shared memories do")));
        }
        let plan = plan(engine, &ty)?;
        let data = SharedData::new(ty, plan);
        let data = data.map_err(|e| Error::new(e).context(AllocationError::new("a shared memory")))?;
        Ok(Self::of(engine, Arc::new(data)))
    }

    pub(crate) fn of(engine: &Engine, data: Arc<SharedData>) -> SharedMemory {
        SharedMemory { engine: engine.clone(), data }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The type, with the current size as its minimum.
    pub fn ty(&self) -> MemoryType {
        self.data.ty().with_minimum(self.size())
    }

    /// Size in pages.
    pub fn size(&self) -> u64 {
        self.data.length() as u64 >> self.data.ty().page_size_log2()
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> u64 {
        self.data.ty().page_size()
    }

    /// Length in bytes.
    pub fn data_size(&self) -> usize {
        self.data.length()
    }

    /// The content, as long as it is now. Other threads can read and write it
    /// at any time: access it through pointers, atomically where that matters.
    pub fn data(&self) -> &[UnsafeCell<u8>] {
        self.data.bytes()
    }

    /// Grows by `delta` pages; the old size in pages. Of threads that do this
    /// at the same time, each gets another old size.
    ///
    /// # Errors
    /// If the memory cannot become that large.
    pub fn grow(&self, delta: u64) -> Result<u64> {
        let grown = self.data.grow(delta);
        grown.ok_or_else(|| Error::msg(format!("cannot grow a {} by {delta} pages", self.ty())))
    }

    /// Wakes up to `count` threads, of guests or of the host, that wait at
    /// `addr`, in the order in which they came; how many that were.
    ///
    /// # Errors
    /// [`Trap::HeapMisaligned`] or [`Trap::MemoryOutOfBounds`] if there are no
    /// four bytes at `addr` that can be accessed at once.
    pub fn atomic_notify(&self, addr: u64, count: u32) -> Result<u32, Trap> {
        self.data.check(addr, 4)?;
        Ok(self.data.notify(addr, count))
    }

    /// Waits, if there are the four bytes `expected` (little-endian) at `addr`,
    /// until somebody notifies this thread or `timeout` is over; without one,
    /// for ever. There are no wake-ups without a cause.
    ///
    /// # Errors
    /// As for [`atomic_notify`](Self::atomic_notify).
    pub fn atomic_wait32(&self, addr: u64, expected: u32, timeout: Option<Duration>) -> Result<WaitResult, Trap> {
        self.wait(addr, Expected::I32(expected), timeout)
    }

    /// The same for eight bytes.
    ///
    /// # Errors
    /// As for [`atomic_notify`](Self::atomic_notify), with eight bytes.
    pub fn atomic_wait64(&self, addr: u64, expected: u64, timeout: Option<Duration>) -> Result<WaitResult, Trap> {
        self.wait(addr, Expected::I64(expected), timeout)
    }

    fn wait(&self, addr: u64, expected: Expected, timeout: Option<Duration>) -> Result<WaitResult, Trap> {
        self.data.check(addr, expected.size())?;
        let result = self.data.wait(addr, expected, timeout, None);
        Ok(result.unwrap_or_else(|| unreachable!("nobody says that the wait is to stop")))
    }

    /// Whether both are the same memory.
    pub fn same(a: &SharedMemory, b: &SharedMemory) -> bool {
        shared_memory::same(&a.data, &b.data)
    }
}
