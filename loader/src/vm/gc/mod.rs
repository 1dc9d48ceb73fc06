//! The garbage-collected heap of a store.
//!
//! ```text
//! gc_alloc ─▶ allocate ─▶ Heap: room? ──yes──▶ position of the object
//!                              └──no──▶ collect ─▶ roots ─▶ Tracer ─▶ Heap: room?
//! ```
//!
//! * [`heap`]: where objects are, and how much room there is for them;
//!   [`area`]: the parts of its address space;
//! * [`object`]: what the collector knows of an object; [`trace`]: moving what
//!   is alive; [`roots`]: where that begins;
//! * [`handles`]: what the host holds references to; [`externs`]: its own values
//!   that wasm can refer to; [`access`], [`layouts`]: objects in the host's hands.
//!
//! Only an allocation, or the host, makes a collection happen. All that holds a
//! reference then is a root or an object: compiled code keeps what it needs
//! later in its frame, at places that the artifact lists for every call.

pub(crate) mod access;
mod area;
pub(crate) mod externs;
pub(crate) mod handles;
mod heap;
pub(crate) mod layouts;
mod object;
pub(super) mod roots;
#[cfg(test)]
mod tests;
mod trace;

use super::state::{Cause, StoreState};
use super::structs::VMHeader;
use crate::parts;
use externs::drop_all;
use handles::unguarded;
pub(crate) use heap::{Extent, Heap, HeapSettings};
pub(crate) use object::Descriptor;
pub(super) use roots::Frame;
use std::io;
use std::panic::resume_unwind;
use std::ptr::NonNull;
pub(crate) use trace::Tracer;
use wasmc_artifacts::abi::HEAP_NULL_GUARD;

/// What the builtin `gc_alloc` does once it has noted where it was called: the
/// new object has its descriptor, and nothing else yet.
///
/// # Safety
/// Called by compiled code, with the header of its instance, the address of a
/// descriptor, and a size that fits the type.
pub(super) unsafe extern "C" fn allocate(ctx: *const VMHeader, descriptor: *mut u8, size: u64) -> u32 {
    if !parts::GC.is_on() {
        return 0;
    }
    // SAFETY: the header of an instance names its store, whose code runs.
    let state = unsafe { &*(*ctx).store.get().cast_const().cast::<StoreState>() };
    let context = &state.context;
    let frame = Frame { pc: context.exit_pc.get() as usize, fp: context.exit_fp.get() as usize };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // SAFETY: the frame is that of the code which has called.
    unsafe { state.new_object(descriptor.cast(), size, Some(frame)) }.unwrap_or(0)
}

impl StoreState {
    /// The base of the heap, for an instance that uses it.
    ///
    /// # Errors
    /// If there is no address space for it.
    pub(super) fn enter_heap(&self) -> io::Result<NonNull<u8>> {
        self.heap.borrow_mut().enter(&self.context)
    }

    /// Makes room for an object on behalf of the host. Whoever calls writes all
    /// of the object but for its descriptor, before anything else is done with
    /// the store.
    ///
    /// # Errors
    /// If the heap is exhausted, or there is no address space for one.
    ///
    /// # Panics
    /// If the destructor of a value of the host's does so.
    pub(crate) fn host_object(&self, descriptor: *const Descriptor, size: usize) -> io::Result<Option<u32>> {
        parts::GC.need("an object").map_err(io::Error::other)?;
        self.enter_heap()?;
        // SAFETY: no code of the store runs but such as has called the host.
        let object = unsafe { self.new_object(descriptor, size, None) };
        self.go_on_panicking();
        Ok(object)
    }

    /// The base of the heap, if there are objects.
    pub(super) fn heap_base(&self) -> Option<NonNull<u8>> {
        // SAFETY: used up before anything else happens.
        unsafe { unguarded(&self.heap) }.base()
    }

    /// Whether an access to `address` can only have been one through null: to an
    /// object, or to a function, which is where nothing is mapped.
    pub(super) fn is_null_access(&self, address: usize) -> bool {
        const NOWHERE: usize = 4096;
        let base = self.heap_base().filter(|_| parts::GC.is_on());
        let object = base.map(|base| address.wrapping_sub(base.as_ptr() as usize));
        address < NOWHERE || object.is_some_and(|offset| offset < HEAP_NULL_GUARD as usize)
    }

    /// Room for an object, with its descriptor; `None` if the heap is
    /// exhausted.
    ///
    /// # Safety
    /// `frame` is that of the code of this store which runs; without it, none
    /// runs but such as has called the host.
    unsafe fn new_object(&self, descriptor: *const Descriptor, size: usize, frame: Option<Frame>) -> Option<u32> {
        // SAFETY: the caller's.
        let at = unsafe { self.room(size, frame) }?;
        let base = self.heap.borrow().base()?;
        // SAFETY: there is room for `size` bytes, of which these are the first.
        unsafe { base.as_ptr().wrapping_add(at).cast::<*const Descriptor>().write(descriptor) };
        u32::try_from(at).ok()
    }

    /// # Safety
    /// As for `new_object`.
    unsafe fn room(&self, size: usize, frame: Option<Frame>) -> Option<usize> {
        let stress = {
            let mut heap = self.heap.borrow_mut();
            if heap.is_beyond(size) {
                return None;
            }
            if !heap.stress()
                && let Some(at) = heap.place(&self.context, size)
            {
                return Some(at);
            }
            heap.stress()
        };
        let mut extent = if stress { Extent::Full } else { self.heap.borrow().due() };
        loop {
            // SAFETY: the caller's.
            if !unsafe { self.collect(extent, size, frame) } || !self.drop_dead() {
                return None;
            }
            let mut heap = self.heap.borrow_mut();
            if extent == Extent::Full && heap.is_full() {
                return None;
            }
            let place = heap.place(&self.context, size);
            if place.is_some() || extent == Extent::Full {
                return place;
            }
            extent = Extent::Full;
        }
    }

    /// Drops what nobody can use any more. Whether there was memory for it.
    ///
    /// # Safety
    /// As for `new_object`.
    unsafe fn collect(&self, extent: Extent, size: usize, frame: Option<Frame>) -> bool {
        let mut heap = self.heap.borrow_mut();
        let mut externs = self.externs().borrow_mut();
        // Only a collection of everything comes across everything that is alive.
        let marks = (extent == Extent::Full).then(|| {
            externs.clear_marks();
            &mut *externs as &mut (dyn trace::Marks + 'static)
        });
        let roots = |tracer: &mut Tracer<'_>| self.trace(tracer, frame);
        // SAFETY: those are all the roots, if the frame is right.
        let done = unsafe { heap.collect(&self.context, extent, size, marks, roots) };
        if done && extent == Extent::Full && !heap.is_lost() {
            externs.sweep();
        }
        done
    }

    /// Drops the host's values that nothing refers to. A destructor can do
    /// anything but use this store. Whether none panicked; if one did, that is
    /// why the activation ends.
    fn drop_dead(&self) -> bool {
        let dead = self.externs().borrow_mut().take_dead();
        match drop_all(dead) {
            Ok(()) => true,
            Err(payload) => {
                self.cause.set(Some(Cause::Panic(payload)));
                false
            }
        }
    }

    /// Goes on panicking on behalf of the host, if a destructor has done so.
    fn go_on_panicking(&self) {
        match self.cause.take() {
            Some(Cause::Panic(payload)) => resume_unwind(payload),
            other => self.cause.set(other),
        }
    }

    /// Whether the host has made so many values known that it is time to look
    /// for those that are dead.
    pub(super) fn has_many_externs(&self) -> bool {
        self.externs().borrow().wants_collection() || self.heap.borrow().stress()
    }

    /// Drops everything that nobody can use any more, on behalf of the host.
    ///
    /// # Panics
    /// If the destructor of a value of the host's does so.
    pub(crate) fn collect_garbage(&self) {
        // SAFETY: no code of the store runs but such as has called the host.
        unsafe { self.collect(Extent::Full, 0, None) };
        self.drop_dead();
        self.go_on_panicking();
    }

    /// Forgets all objects, to which nothing refers any more.
    pub(super) fn empty_heap(&self) {
        self.context.exception.set(0);
        self.heap.borrow_mut().clear(&self.context);
    }

    /// Bytes of all objects.
    pub(crate) fn heap_size(&self) -> usize {
        // SAFETY: as in `heap_base`.
        unsafe { unguarded(&self.heap) }.used(&self.context)
    }

    /// Bytes of memory that the heap has.
    pub(crate) fn heap_resident(&self) -> usize {
        // SAFETY: as in `heap_base`.
        unsafe { unguarded(&self.heap) }.resident()
    }
}
