//! Shared memories: those that several stores use at the same time.
//!
//! A shared memory belongs to nobody: whoever has a reference keeps it alive,
//! be it a host, a linker's definition or a store. Each store that uses it has
//! a [`MemoryData`](super::memory::MemoryData) that names it. It is never reset
//! while anybody else could notice.
//!
//! Its base never moves. Its length only grows, and is published after the
//! pages it speaks of have become accessible; so whoever reads it, compiled
//! code included, may use as much.

use super::image::Image;
use super::slot::MemoryPlan;
use super::structs::VMMemoryDef;
use super::waiters::{WaitResult, Waiters};
use crate::sys::{self, Region};
use crate::types::MemoryType;
use std::cell::UnsafeCell;
use std::io;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use wasmc_artifacts::abi::Trap;

/// What compiled code reads: a [`VMMemoryDef`] for all threads.
#[repr(C)]
struct Definition {
    base: NonNull<u8>,
    length: AtomicU64,
}

const _: () = assert!(
    size_of::<Definition>() == size_of::<VMMemoryDef>()
        && offset_of!(Definition, base) == offset_of!(VMMemoryDef, base)
        && offset_of!(Definition, length) == offset_of!(VMMemoryDef, length)
);

/// What a memory has to contain for a thread to wait at a position.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    I32(u32),
    I64(u64),
}

impl Expected {
    /// Bytes that are compared.
    pub(crate) fn size(self) -> u64 {
        match self {
            Expected::I32(_) => 4,
            Expected::I64(_) => 8,
        }
    }
}

/// A memory that stores share.
pub(crate) struct SharedData {
    definition: Definition,
    ty: MemoryType,
    plan: MemoryPlan,
    /// Bytes from the base on that can be accessed; locked while it grows.
    accessible: Mutex<usize>,
    waiters: Waiters,
    _region: Region,
}

// SAFETY: the base is the start of the region, which the value owns; the bytes
// there are not ours to read or write but through the methods below, which say
// how they do that. All else is of types that are Send.
unsafe impl Send for SharedData {}
// SAFETY: as above; what changes is atomic or locked.
unsafe impl Sync for SharedData {}

impl SharedData {
    /// A memory of a shared type, all zeros.
    pub(crate) fn new(ty: MemoryType, mut plan: MemoryPlan) -> io::Result<SharedData> {
        debug_assert!(ty.is_shared(), "a memory of type {ty} is not shared");
        let most = ty.bytes(ty.maximum_or_limit()).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        plan.limit = plan.limit.min(most);
        let region = Region::reserve(plan.span().max(sys::page_size()))?;
        // SAFETY: the region is new.
        unsafe { region.make_accessible(0..plan.accessible())? };
        Ok(SharedData {
            definition: Definition { base: region.start(), length: AtomicU64::new(plan.initial as u64) },
            ty,
            plan,
            accessible: Mutex::new(plan.accessible()),
            waiters: Waiters::default(),
            _region: region,
        })
    }

    /// The same with the content of an image, which was made for the plan, and
    /// whose bytes are in `source`.
    pub(super) fn filled(ty: MemoryType, plan: MemoryPlan, image: &Image, source: &[u8]) -> io::Result<SharedData> {
        let memory = Self::new(ty, plan)?;
        // SAFETY: an image is within what its plan makes accessible, which is
        // zeros, and nobody else knows the memory yet.
        unsafe { image.write_extents(memory.definition.base.as_ptr(), source) };
        Ok(memory)
    }

    /// What compiled code reads; lives as long as the value.
    pub(super) fn definition(&self) -> NonNull<VMMemoryDef> {
        NonNull::from(&self.definition).cast()
    }

    /// The type, with the minimum that the memory was made with.
    pub(crate) fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// Address space: what code may rely on.
    pub(crate) fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.definition.length.load(Ordering::SeqCst) as usize
    }

    /// The bytes, which other threads can change at any time.
    pub(crate) fn bytes(&self) -> &[UnsafeCell<u8>] {
        // SAFETY: so many bytes are accessible for ever; an `UnsafeCell` says
        // nothing about who reads or writes what is in it.
        unsafe { std::slice::from_raw_parts(self.definition.base.as_ptr().cast(), self.length()) }
    }

    /// Grows by `delta` pages; the old size in pages, or `None` if the memory
    /// cannot become that large.
    pub(crate) fn grow(&self, delta: u64) -> Option<u64> {
        let mut accessible = self.accessible.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, bytes) = self.plan.grown(&self.ty, self.length() as u64, delta)?;
        let needed = bytes.next_multiple_of(sys::page_size());
        if needed > *accessible {
            let at = self.definition.base.as_ptr().wrapping_add(*accessible);
            // SAFETY: from `accessible` to `needed` is within the reservation,
            // nobody else makes anything of it accessible, and a fault there
            // is nothing but an access out of the old bounds.
            unsafe { sys::make_accessible(at, needed - *accessible) }.ok()?;
            *accessible = needed;
        }
        self.definition.length.store(bytes as u64, Ordering::SeqCst);
        Some(old)
    }

    /// Whether `size` bytes at a position can be accessed atomically.
    pub(crate) fn check(&self, position: u64, size: u64) -> Result<(), Trap> {
        if !position.is_multiple_of(size) {
            return Err(Trap::HeapMisaligned);
        }
        let end = position.checked_add(size).ok_or(Trap::MemoryOutOfBounds)?;
        if end > self.length() as u64 { Err(Trap::MemoryOutOfBounds) } else { Ok(()) }
    }

    fn at<T>(&self, position: u64) -> *mut T {
        debug_assert_eq!(self.check(position, size_of::<T>() as u64), Ok(()), "the caller checks positions");
        self.definition.base.as_ptr().wrapping_add(position as usize).cast()
    }

    /// Waits until somebody notifies those at a position, which was checked,
    /// for so long or for ever, if the memory is as expected there. There is no
    /// result if `stops` is true meanwhile, which is called again and again.
    pub(crate) fn wait(
        &self,
        position: u64,
        expected: Expected,
        timeout: Option<Duration>,
        stops: Option<&mut dyn FnMut() -> bool>,
    ) -> Option<WaitResult> {
        self.waiters.wait(position, timeout, || self.has(position, expected), stops)
    }

    fn has(&self, position: u64, expected: Expected) -> bool {
        // SAFETY: checked; the memory lives as long as `self`. Other threads
        // may write there without atomics, which is for guests to avoid: what
        // is read then is any value.
        unsafe {
            match expected {
                Expected::I32(value) => {
                    u32::from_le(AtomicU32::from_ptr(self.at(position)).load(Ordering::SeqCst)) == value
                }
                Expected::I64(value) => {
                    u64::from_le(AtomicU64::from_ptr(self.at(position)).load(Ordering::SeqCst)) == value
                }
            }
        }
    }

    /// Wakes up to `count` of those who wait at a position; how many that were.
    pub(crate) fn notify(&self, position: u64, count: u32) -> u32 {
        self.waiters.notify(position, count)
    }
}

impl std::fmt::Debug for SharedData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {:p}, now {} bytes", self.ty, self.definition.base, self.length())
    }
}

/// Whether both are one memory.
pub(crate) fn same(a: &SharedData, b: &SharedData) -> bool {
    ptr::eq(a, b)
}
