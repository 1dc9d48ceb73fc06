//! Ownership shared between threads that do not contend for it.
//!
//! [`Shared`] is like `Arc`. A [`Lease`] is a second kind of reference, for
//! what is taken and given back all the time: its count is one of several,
//! each on a cache line of its own, and a thread uses always the same one.
//!
//! ```text
//! central: [closed|   count]    handles; once closed: handles and leases
//! shard 0: [closed|   count]    leases that were taken by threads 0, n, ...
//! shard 1: [closed|   count]
//! ```
//!
//! As long as there are handles, leases need not be added up: the value lives
//! anyway. When the last handle goes, the central count is *closed*: it is set
//! to a large bias, then every shard is closed and what it counts is added to
//! the central count, then the bias is taken off. From then on
//!
//! * a lease that is released in a closed shard is taken off the central count
//!   too, and one that is acquired there is added to it;
//! * whoever brings the central count to 0 drops the value.
//!
//! A shard goes on to count its own leases also when it is closed, so that
//! nothing need be undone.
//!
//! # Why this is right
//!
//! *Not too early.* In a shard, acquiring and releasing a lease and closing
//! the shard are read-modify-write operations of one atomic, so each of the
//! former is either before the closing, and what it left is added to the
//! central count, or after it, and then it sees the bit and goes to the central
//! count itself. A lease released in a closed shard may be taken off the
//! central count before it was added there; the bias, taken off last, is larger
//! than any number of leases. Acquiring needs no ordering: it takes a reference
//! (a handle or a lease) to acquire one, so that the value is alive, and what
//! kept it alive is released afterwards with an ordering of its own.
//!
//! *Nothing is still being done with the value when it is dropped.* Each
//! reference is released with `Release`, in its shard or centrally. Closing a
//! shard acquires what was released in it before, and taking the bias off
//! releases that again; taking something off the central count acquires all of
//! it, so that the one who brings it to 0 has seen the end of all others.
//!
//! *No overflow.* Even if every reference were forgotten, 2^61 of them would
//! take decades.

use crate::engine::Engine;
use crate::module::Module;
use crate::sys;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const CLOSED: u64 = 1 << 63;
const BIAS: u64 = 1 << 61;

/// A value on cache lines of its own: two, since CPUs fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// How many shards there are of everything that is divided among threads; a
/// power of two.
pub(crate) fn shards() -> usize {
    /// 0 until it is known.
    static SHARDS: AtomicUsize = AtomicUsize::new(0);
    match SHARDS.load(Ordering::Relaxed) {
        0 => {
            let count = shards_for(sys::processors());
            // The first one counts: the processors of a process can change.
            SHARDS.compare_exchange(0, count, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|set| set, |_| count)
        }
        count => count,
    }
}

/// Twice as many as threads can run at a time, so that few of them meet.
fn shards_for(parallelism: usize) -> usize {
    parallelism.saturating_mul(2).clamp(4, 64).next_power_of_two()
}

const UNKNOWN: usize = usize::MAX;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// This thread's shard, less than [`shards`]: always the same one.
#[inline]
pub(crate) fn shard() -> usize {
    match SHARD.get() {
        UNKNOWN => assign_shard(),
        shard => shard,
    }
}

#[cold]
fn assign_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) & (shards() - 1);
    SHARD.set(shard);
    shard
}

/// A count, and the bit that says whether it is closed.
#[repr(transparent)]
struct Count(AtomicU64);

impl Count {
    const fn new(count: u64) -> Count {
        Count(AtomicU64::new(count))
    }

    #[inline]
    fn atomic(&self) -> &AtomicU64 {
        #[cfg(test)]
        tests::schedule::step();
        &self.0
    }

    /// Counts references; what the count was.
    #[inline]
    fn acquire(&self, count: u64) -> u64 {
        self.atomic().fetch_add(count, Ordering::Relaxed)
    }

    /// Takes references off; what the count was.
    #[inline]
    fn release(&self, count: u64, ordering: Ordering) -> u64 {
        self.atomic().fetch_sub(count, ordering)
    }

    /// Closes the count of a shard; what it was.
    fn close(&self) -> u64 {
        self.atomic().fetch_or(CLOSED, Ordering::Acquire)
    }

    /// Takes a handle off the central count, and closes that if it was the
    /// last one; what the count was.
    fn release_handle(&self) -> u64 {
        let next = |count| Some(if count == 1 { CLOSED | BIAS } else { count - 1 });
        let (Ok(count) | Err(count)) = self.atomic().fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
        count
    }
}

/// The counts of a value.
struct Counts {
    central: Padded<Count>,
    shards: Box<[Padded<Count>]>,
}

impl Counts {
    /// Those of a value that many threads will lease.
    #[inline(never)]
    fn sharded() -> Counts {
        let shards = (0..shards()).map(|_| Padded(Count::new(0))).collect();
        Counts { central: Padded(Count::new(1)), shards }
    }

    /// Takes references off the central count; whether they were the last ones.
    ///
    /// # Safety
    /// They were counted there, and are not used any more: from now on somebody
    /// else may drop the value, with its counts.
    unsafe fn release(&self, count: u64) -> bool {
        self.central.0.release(count, Ordering::AcqRel) == CLOSED | count
    }

    /// Takes a handle off; whether it was the last reference. If it was the last
    /// handle, all leases are moved to the central count.
    ///
    /// # Safety
    /// As for [`release`](Self::release).
    #[inline(never)]
    unsafe fn release_handle(&self) -> bool {
        match self.central.0.release_handle() {
            1 => {
                // The bias keeps the value alive.
                let leases: u64 = self.shards.iter().map(|shard| shard.0.close()).sum();
                // SAFETY: the bias was put there when the count was closed, by
                // this very handle, and less it are the leases just found.
                unsafe { self.release(BIAS - leases) }
            }
            count => count == CLOSED | 1,
        }
    }
}

struct Inner<T> {
    counts: Counts,
    value: T,
}

/// A value that lives as long as there are handles and leases.
pub(crate) struct Shared<T> {
    at: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

// SAFETY: as for `Arc`: whoever has a handle can share the value with other
// threads, and be the one who drops it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// A value that many threads will lease.
    pub(crate) fn new(value: T) -> Shared<T> {
        Self::make(value, Counts::sharded())
    }

    /// A value for few references: their counting may be contended, but it
    /// takes less memory.
    pub(crate) fn small(value: T) -> Shared<T> {
        Self::make(value, Counts { central: Padded(Count::new(CLOSED | 1)), shards: Box::default() })
    }

    // In line, the fields of a large value would be moved one by one.
    #[inline(never)]
    fn make(value: T, counts: Counts) -> Shared<T> {
        let inner = Inner { counts, value };
        Shared { at: NonNull::from(Box::leak(Box::new(inner))), owns: PhantomData }
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: this handle, or the lease that it is part of, is counted.
        unsafe { self.at.as_ref() }
    }

    /// Whether both are the same value.
    pub(crate) fn same(a: &Shared<T>, b: &Shared<T>) -> bool {
        a.at == b.at
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        self.inner().counts.central.0.acquire(1);
        Shared { at: self.at, owns: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: this handle was counted.
        if unsafe { self.inner().counts.release_handle() } {
            // SAFETY: this was the last reference, and its release acquired the
            // end of all others.
            unsafe { free(self.at) };
        }
    }
}

/// Drops a value.
///
/// # Safety
/// This was the last reference to it.
#[cold]
#[inline(never)]
unsafe fn free<T>(at: NonNull<Inner<T>>) {
    // SAFETY: leaked from a box in `make`.
    drop(unsafe { Box::from_raw(at.as_ptr()) });
}

/// What is nothing but a [`Shared`], perhaps by another name.
///
/// # Safety
/// `wrap` puts its argument into the result, which drops it when it is dropped,
/// and `shared` finds it there.
pub(crate) unsafe trait Handle {
    /// What is shared.
    type Value;
    /// Makes the handle.
    fn wrap(shared: Shared<Self::Value>) -> Self;
    /// What it was made of.
    fn shared(&self) -> &Shared<Self::Value>;
}

// SAFETY: it is one.
unsafe impl<T> Handle for Shared<T> {
    type Value = T;

    fn wrap(shared: Shared<T>) -> Self {
        shared
    }

    #[inline]
    fn shared(&self) -> &Shared<T> {
        self
    }
}

macro_rules! handles {
    ($($handle:ident of $value:path;)*) => {$(
        // SAFETY: a struct whose only field this is, and that has no `Drop`.
        unsafe impl Handle for $handle {
            type Value = $value;

            #[inline]
            fn wrap(shared: Shared<Self::Value>) -> Self {
                $handle(shared)
            }

            #[inline]
            fn shared(&self) -> &Shared<Self::Value> {
                &self.0
            }
        }
    )*};
}

handles! {
    Engine of crate::engine::Inner;
    Module of crate::module::Inner;
}

/// A reference that is counted where no other thread counts at the same time.
///
/// It gives access to the handle, of which clones can be made as long as the
/// lease lasts. It may be released by another thread, which is slower.
pub(crate) struct Lease<H: Handle> {
    /// A copy of the handle that it was made from; never dropped.
    handle: ManuallyDrop<H>,
    shard: usize,
}

impl<H: Handle> Lease<H> {
    /// One more reference to what `handle` refers to.
    #[inline]
    pub(crate) fn of(handle: &H) -> Lease<H> {
        let at = handle.shared().at;
        let (counts, shard) = (&handle.shared().inner().counts, shard());
        if counts.shards.get(shard).is_none_or(|count| count.0.acquire(1) & CLOSED != 0) {
            counts.central.0.acquire(1);
        }
        Lease { handle: ManuallyDrop::new(H::wrap(Shared { at, owns: PhantomData })), shard }
    }
}

impl<H: Handle> Deref for Lease<H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H: Handle> Drop for Lease<H> {
    #[inline]
    fn drop(&mut self) {
        let at = self.handle.shared().at;
        let counts = &self.handle.shared().inner().counts;
        let shard = counts.shards.get(self.shard).map(|shard| &shard.0);
        // After this the value may be gone, unless the shard was closed.
        if shard.is_none_or(|count| count.release(1, Ordering::Release) & CLOSED != 0) {
            // SAFETY: counted centrally when it was acquired or when the shard
            // was closed, and if the latter is just being done, by the bias.
            if unsafe { counts.release(1) } {
                // SAFETY: this was the last reference.
                unsafe { free(at) };
            }
        }
    }
}

impl<H: Handle + fmt::Debug> fmt::Debug for Lease<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests;
