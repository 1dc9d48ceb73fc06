//! The host's values that a store's wasm code can refer to.
//!
//! ```text
//! reference ──▶ slots: | value | value | free | value | ...      known: address ──▶ slot
//! (slot << 3 | 2)      marks: a bit for each
//! ```
//!
//! Every value is here once: a value that comes back gets the reference that
//! it has. A value stays until a collection finds nothing that refers to it;
//! then its slot is free for another one, which no old reference can name,
//! since there is none. Compiled code only passes the numbers around.
//!
//! What a sweep removes is put aside, not dropped: destructors are the host's,
//! and can do anything, which must not find the table half swept.

use super::trace::Marks;
use crate::vm::externref::VMExternRef;
use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_artifacts::abi::descriptor::{EXTERN_SHIFT, EXTERN_TAG, NOT_OBJECT_MASK};

/// Slots beyond the numbers that references have room for.
const MOST: usize = 1 << (32 - EXTERN_SHIFT);

/// New values before the first collection that they cause.
const FIRST_LIMIT: usize = 4096;

/// How many values an emptied table may have room for.
const CAPACITY_KEPT: usize = 256;

/// There are no numbers left for references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a store cannot refer to more than {MOST} values of the host's; drop references that are not needed, and stores"
)]
pub(crate) struct TooManyExterns;

/// The host's values that a store knows; see the module's description.
pub(crate) struct ExternTable {
    slots: Vec<Option<VMExternRef>>,
    /// A bit for every slot, as of the mark phase that is going on.
    marks: Vec<u64>,
    free: Vec<u32>,
    /// Addresses are not for others to choose: a random hash, to be seeded for
    /// every store, would protect from nothing.
    known: HashMap<*mut u8, u32, BuildHasherDefault<DefaultHasher>>,
    /// What the last sweep has removed.
    dead: Vec<VMExternRef>,
    /// As many values may be there before a collection should look for dead
    /// ones.
    limit: usize,
}

// SAFETY: the addresses are compared only; values are Send and Sync.
unsafe impl Send for ExternTable {}
// SAFETY: as above.
unsafe impl Sync for ExternTable {}

impl Default for ExternTable {
    fn default() -> ExternTable {
        ExternTable {
            slots: Vec::new(),
            marks: Vec::new(),
            free: Vec::new(),
            known: HashMap::default(),
            dead: Vec::new(),
            limit: FIRST_LIMIT,
        }
    }
}

/// Whether a reference, which is not null, is to a value of the host's.
pub(crate) const fn is_extern(reference: u32) -> bool {
    reference & NOT_OBJECT_MASK == EXTERN_TAG
}

fn slot_of(reference: u32) -> usize {
    debug_assert!(is_extern(reference), "{reference:#x} is no reference to a value of the host's");
    (reference >> EXTERN_SHIFT) as usize
}

impl ExternTable {
    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.dead.is_empty()
    }

    /// Whether it is time to look for dead values before adding one more.
    #[inline]
    pub(crate) fn wants_collection(&self) -> bool {
        self.known.len() >= self.limit
    }

    /// The reference to a value, which it may have already.
    ///
    /// # Errors
    /// If the store has as many as there are numbers.
    pub(crate) fn intern(&mut self, value: VMExternRef) -> Result<u32, TooManyExterns> {
        let address = value.as_raw();
        if let Some(slot) = self.known.get(&address) {
            return Ok(slot << EXTERN_SHIFT | EXTERN_TAG);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() >= MOST => return Err(TooManyExterns),
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[slot as usize] = Some(value);
        self.known.insert(address, slot);
        Ok(slot << EXTERN_SHIFT | EXTERN_TAG)
    }

    /// The value that a reference is to.
    pub(crate) fn get(&self, reference: u32) -> Option<&VMExternRef> {
        self.slots.get(slot_of(reference))?.as_ref()
    }

    /// The same, to be changed if nobody else has a reference to it.
    pub(crate) fn get_mut(&mut self, reference: u32) -> Option<&mut VMExternRef> {
        self.slots.get_mut(slot_of(reference))?.as_mut()
    }

    /// Begins a mark phase: nothing is known to be referred to.
    pub(crate) fn clear_marks(&mut self) {
        self.marks.clear();
        self.marks.resize(self.slots.len().div_ceil(64), 0);
    }

    /// Ends a mark phase: what is not marked is dead. Then the limit is set so
    /// that the cost of collections is in proportion to that of making values.
    pub(crate) fn sweep(&mut self) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let marked = self.marks.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 != 0);
            if marked {
                continue;
            }
            if let Some(value) = slot.take() {
                self.known.remove(&value.as_raw());
                self.free.push(index as u32);
                self.dead.push(value);
            }
        }
        self.limit = FIRST_LIMIT.max(2 * self.known.len());
    }

    /// The values that sweeps have found dead, for the caller to drop.
    #[must_use = "dropping the values is a step of its own"]
    pub(crate) fn take_dead(&mut self) -> Vec<VMExternRef> {
        std::mem::take(&mut self.dead)
    }

    /// Removes all values, for the caller to drop, and most of the room for them.
    pub(crate) fn take_all(&mut self) -> Vec<VMExternRef> {
        let ExternTable { slots, marks, free, known, dead, limit } = self;
        let values = slots.drain(..).flatten().chain(dead.drain(..)).collect();
        slots.shrink_to(CAPACITY_KEPT);
        marks.clear();
        marks.shrink_to(CAPACITY_KEPT / 64);
        free.clear();
        free.shrink_to(CAPACITY_KEPT);
        known.clear();
        known.shrink_to(CAPACITY_KEPT);
        *limit = FIRST_LIMIT;
        values
    }
}

impl Marks for ExternTable {
    fn mark(&mut self, reference: u32) {
        let slot = slot_of(reference);
        debug_assert!(self.get(reference).is_some(), "{reference:#x} is a reference to a value that was dropped");
        if let Some(word) = self.marks.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
    }
}

/// Drops values, all of them even if destructors panic.
///
/// # Errors
/// What the first destructor that panicked did so with.
pub(crate) fn drop_all(values: Vec<VMExternRef>) -> Result<(), Box<dyn Any + Send>> {
    let mut first = Ok(());
    for value in values {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            if first.is_ok() {
                first = Err(payload);
            } else {
                // A payload is the host's as well, and dropping it can panic.
                std::mem::forget(payload);
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn table_of(count: usize) -> (ExternTable, Vec<u32>) {
        let mut table = ExternTable::default();
        let references = (0..count).map(|i| table.intern(VMExternRef::new(i)).unwrap()).collect();
        (table, references)
    }

    #[test]
    fn a_value_has_one_reference_however_often_it_comes() {
        let mut table = ExternTable::default();
        let value = VMExternRef::new(5u32);
        let first = table.intern(value.clone()).unwrap();
        assert!(is_extern(first) && first != 0);
        assert_eq!(table.intern(value.clone()), Ok(first));
        assert_eq!(value.strong_count(), 2);
        assert_ne!(table.intern(VMExternRef::new(5u32)).unwrap(), first);
        assert_ne!(table.intern(VMExternRef::new(())), table.intern(VMExternRef::new(())));
        assert!(VMExternRef::eq(table.get(first).unwrap(), &value));
        assert!(table.get(100 << EXTERN_SHIFT | EXTERN_TAG).is_none());
    }

    #[test]
    fn a_sweep_removes_what_is_not_marked_and_numbers_are_used_again() {
        let (mut table, references) = table_of(200);
        table.clear_marks();
        for reference in references.iter().step_by(3) {
            table.mark(*reference);
        }
        table.sweep();
        let dead = table.take_dead();
        assert_eq!((dead.len(), table.known.len()), (200 - 67, 67));
        for (i, reference) in references.iter().enumerate() {
            let value = table.get(*reference).and_then(|value| value.downcast_ref::<usize>().copied());
            assert_eq!(value, (i % 3 == 0).then_some(i));
        }
        let kept: HashSet<u32> = references.iter().copied().step_by(3).collect();
        for i in 0..200 - 67 {
            let new = table.intern(VMExternRef::new(1000 + i)).unwrap();
            assert!(!kept.contains(&new) && references.contains(&new));
        }
        assert!(!references.contains(&table.intern(VMExternRef::new(0u8)).unwrap()));
        // A value that was removed and is still there comes back as a new one.
        let again = table.intern(dead[0].clone()).unwrap();
        assert!(VMExternRef::eq(table.get(again).unwrap(), &dead[0]));
    }

    #[test]
    fn collections_become_rarer_the_more_values_live() {
        let (mut table, references) = table_of(FIRST_LIMIT);
        assert!(table.wants_collection());
        table.clear_marks();
        references.iter().for_each(|reference| table.mark(*reference));
        table.sweep();
        assert!(table.take_dead().is_empty());
        assert!(!table.wants_collection());
        for i in 0..FIRST_LIMIT {
            assert!(!table.wants_collection());
            table.intern(VMExternRef::new(i)).unwrap();
        }
        assert!(table.wants_collection());
        table.clear_marks();
        table.sweep();
        assert_eq!(table.take_dead().len(), 2 * FIRST_LIMIT);
        assert!(!table.wants_collection());
    }

    #[test]
    fn all_values_are_dropped_although_destructors_panic() {
        struct Angry(Arc<AtomicUsize>);
        impl Drop for Angry {
            fn drop(&mut self) {
                let before = self.0.fetch_add(1, Relaxed);
                panic!("number {before}");
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let mut table = ExternTable::default();
        for _ in 0..3 {
            table.intern(VMExternRef::new(Angry(drops.clone()))).unwrap();
        }
        let payload = drop_all(table.take_all()).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "number 0");
        assert_eq!((drops.load(Relaxed), table.known.len(), Arc::strong_count(&drops)), (3, 0, 1));
    }
}
