//! Memories, as the host uses them.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreOpaque};
use crate::sys;
use crate::types::MemoryType;
use crate::vm::handle::Stored;
use crate::vm::instance::AllocationError;
use crate::vm::memory::MemoryData;
use crate::vm::slot::MemoryPlan;

/// Address space for a memory that the host makes, in bytes: code that
/// imports it relies on what it was compiled for, which is no more than this
/// unless it was told otherwise.
const RESERVATION: u64 = 4 << 30;
/// Inaccessible bytes after that; likewise.
const GUARD: u64 = 1 << 30;

/// The address space for a memory that the host makes.
pub(crate) fn plan(engine: &Engine, ty: &MemoryType) -> Result<MemoryPlan> {
    if ty.minimum() > ty.maximum_or_limit() {
        return Err(Error::msg(format!("no memory can have the type {ty}")));
    }
    let wide = engine.config().memory64_reservation;
    MemoryPlan::of(ty, [RESERVATION, GUARD, wide], sys::page_size())
        .ok_or_else(|| Error::msg(format!("a {ty} does not fit into the address space")))
}

/// An access outside of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at {offset:#x} are not within a memory of {size:#x} bytes")]
pub struct MemoryAccessError {
    offset: usize,
    length: usize,
    size: usize,
}

/// A memory of an instance or of the host; belongs to a store.
///
/// As slices its content is borrowed with the store, so no wasm code can run
/// meanwhile; [`read`](Self::read) and [`write`](Self::write) copy.
///
/// ```
/// # use wasmc_loader::{Context, Engine, Instance, Module, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::default();
/// # let artifact = wasmc::compile(br#"(module (memory (export "memory") 1 4) (data (i32.const 0) "hello"))"#,
/// #     &wasmc::Options::new())?;
/// # // SAFETY: the artifact was made by `wasmc`.
/// # let module = unsafe { Module::from_bytes(&engine, &artifact)? };
/// # let mut store = Store::new(&engine, ());
/// # let instance = Instance::new(&mut store, &module, &[])?;
/// let memory = instance.get_memory(&mut store, "memory").context("the guest exports no memory")?;
/// assert_eq!(&memory.data(&store)[..5], b"hello");
///
/// memory.data_mut(&mut store)[0] = b'j';
/// let mut word = [0; 5];
/// memory.read(&store, 0, &mut word)?;
/// assert_eq!(&word, b"jello");
/// assert!(memory.write(&mut store, 65_535, b"too long").is_err());
///
/// assert_eq!(memory.grow(&mut store, 3)?, 1);
/// assert_eq!((memory.size(&store), memory.data_size(&store)), (4, 4 * 65_536));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Memory(pub(crate) Stored<MemoryData>);

impl Memory {
    /// A memory of the host's, filled with zeros.
    ///
    /// # Errors
    /// If the type is impossible or that of a shared memory (see
    /// [`SharedMemory`](crate::SharedMemory)), there is no address space, or the
    /// store's limiter is against it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        let inner = store.as_context_mut().0;
        if ty.is_shared() {
            return Err(Error::msg(format!("a {ty} belongs to no store; make it with `SharedMemory::new`")));
        }
        let plan = plan(&inner.opaque.engine, &ty)?;
        let limit = plan.limit;
        inner.limited(
            |limiter| limiter.memory(&ty, limit),
            |store| {
                let memory = store.state.new_memory(ty.clone(), plan);
                memory.map(Memory).map_err(|e| Error::new(e).context(AllocationError::new("a memory")))
            },
        )
    }

    /// The type, with the current size as its minimum.
    ///
    /// # Panics
    /// If the memory belongs to another store, as with every method.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        self.ty_in(&store.as_context().0.opaque)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> MemoryType {
        let memory = self.0.get(store);
        memory.ty().with_minimum(memory.length() as u64 >> memory.ty().page_size_log2())
    }

    /// The content.
    pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        self.0.bytes(&store.into().0.opaque)
    }

    /// The content, to be changed.
    pub fn data_mut<'a, T: 'static>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        self.0.bytes_mut(store.into().0).0
    }

    /// The content, to be changed, and the host's data with it.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        self.0.bytes_mut(store.into().0)
    }

    /// The address of the first byte. It is good for accesses as long as the
    /// store exists and for as many bytes as the memory has at the time.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        self.0.get(&store.as_context().0.opaque).exposed_base()
    }

    /// Length in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.0.get(&store.as_context().0.opaque).length()
    }

    /// Size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let memory = self.0.get(&store.as_context().0.opaque);
        memory.length() as u64 >> memory.ty().page_size_log2()
    }

    /// Bytes in a page.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.0.get(&store.as_context().0.opaque).ty().page_size()
    }

    /// Base-2 logarithm of the bytes in a page.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        self.0.get(&store.as_context().0.opaque).ty().page_size_log2()
    }

    /// Copies bytes from `offset` on into `buffer`.
    ///
    /// # Errors
    /// [`MemoryAccessError`] if they are not all within the memory.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        let bytes = self.0.bytes(&store.as_context().0.opaque);
        let error = MemoryAccessError { offset, length: buffer.len(), size: bytes.len() };
        let part = offset.checked_add(buffer.len()).and_then(|end| bytes.get(offset..end)).ok_or(error)?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    /// Copies bytes from `buffer` to `offset` and on.
    ///
    /// # Errors
    /// [`MemoryAccessError`] if they would not all be within the memory.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        let opaque = &mut store.as_context_mut().0.opaque;
        let size = self.0.get(opaque).length();
        let error = MemoryAccessError { offset, length: buffer.len(), size };
        offset.checked_add(buffer.len()).filter(|end| *end <= size).ok_or(error)?;
        self.0.write(opaque, offset, buffer);
        Ok(())
    }

    /// Grows by `delta` pages; the old size in pages.
    ///
    /// # Errors
    /// If the memory cannot become that large, or the store's limiter is against it.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let inner = store.as_context_mut().0;
        let grown = self.0.grow(inner, delta)?;
        grown.ok_or_else(|| Error::msg(format!("cannot grow a {} by {delta} pages", self.ty_in(&inner.opaque))))
    }
}
