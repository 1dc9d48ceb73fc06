//! What the host holds of a store's references: roots of the collector, which
//! also updates them when it moves objects.
//!
//! ```text
//! Rooted ──▶ scoped: | raw, generation | ... |        a stack: scopes take away what came last
//! OwnedRooted ──▶ owned: | raw, generation, owner |   slots; the owner's flag tells when one is free
//! ```
//!
//! A [`Root`] is an index with the generation of what it was made for. When a
//! scope ends, or an owned root is let go, the generation goes on, so that a
//! root that is used later is recognised. There are enough generations for all
//! the scopes that a process can enter.

use crate::refs::I31;
use crate::vm::handle::StoreId;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Number of roots that an unused set may have room for.
const CAPACITY_KEPT: usize = 1024;

/// The bit of an index that tells owned roots.
const OWNED: u32 = 1 << 31;

/// Owned roots before those that are let go are looked for.
const FIRST_LIMIT: usize = 64;

/// Names a reference that a store keeps for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Root {
    set: StoreId,
    generation: u64,
    index: u32,
}

/// Why a root cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The store is not the one that the reference was made in.
    #[error(
        "a reference was used with a store that does not own it, or that was reset since; references belong to the store they were made in"
    )]
    WrongStore,
    /// The reference is no longer kept.
    #[error(
        "a reference was used after the scope that it was rooted in had ended (a RootScope, or a call of a host function); keep it as an OwnedRooted instead"
    )]
    Unrooted,
}

#[derive(Clone, Copy)]
struct Scoped {
    raw: u32,
    generation: u64,
}

struct Owned {
    raw: u32,
    generation: u64,
    /// Shared with the owners; `None` if the slot is free.
    alive: Option<Arc<()>>,
}

/// The references that a store keeps for the host.
pub(crate) struct RootSet {
    id: Cell<StoreId>,
    generation: Cell<u64>,
    /// The length of `scoped`, where it is cheap to read.
    depth: Cell<usize>,
    scoped: RefCell<Vec<Scoped>>,
    owned: RefCell<Vec<Owned>>,
    free: RefCell<Vec<u32>>,
    /// So many slots may be in use before those that are let go are looked for.
    limit: Cell<usize>,
}

impl RootSet {
    /// An empty set of a store.
    pub(crate) fn new(id: StoreId) -> RootSet {
        RootSet {
            id: Cell::new(id),
            generation: Cell::new(0),
            depth: Cell::new(0),
            scoped: RefCell::default(),
            owned: RefCell::default(),
            free: RefCell::default(),
            limit: Cell::new(FIRST_LIMIT),
        }
    }

    /// Gives an empty set another identity.
    #[inline]
    pub(crate) fn identify(&self, id: StoreId) {
        self.id.set(id);
    }

    /// Forgets all roots. Those made so far are as foreign as another store's.
    pub(crate) fn renew(&self, id: StoreId) {
        self.id.set(id);
        self.generation.set(0);
        if self.depth.take() == 0 && self.owned.borrow().is_empty() {
            return;
        }
        self.scoped.borrow_mut().clear();
        self.scoped.borrow_mut().shrink_to(CAPACITY_KEPT);
        self.owned.borrow_mut().clear();
        self.owned.borrow_mut().shrink_to(CAPACITY_KEPT);
        self.free.borrow_mut().clear();
        self.free.borrow_mut().shrink_to(CAPACITY_KEPT);
        self.limit.set(FIRST_LIMIT);
    }

    /// Keeps a reference until the current scope ends.
    ///
    /// # Panics
    /// If 2^31 references are kept.
    ///
    /// # Safety
    /// It is a reference of this set's store, and valid now.
    #[inline]
    pub(in crate::vm) unsafe fn push(&self, raw: u32) -> Root {
        let mut scoped = self.scoped.borrow_mut();
        let index = scoped.len();
        assert!(index < OWNED as usize, "a store keeps at most 2^31 references for the host; end scopes earlier");
        let generation = self.generation.get();
        scoped.push(Scoped { raw, generation });
        self.depth.set(index + 1);
        Root { set: self.id.get(), index: index as u32, generation }
    }

    /// The start of a scope.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.depth.get()
    }

    /// Room for so many more roots.
    pub(crate) fn reserve(&self, additional: usize) {
        self.scoped.borrow_mut().reserve(additional);
    }

    /// Ends a scope that started at `depth`.
    #[inline(always)]
    pub(crate) fn leave(&self, depth: usize) {
        if self.depth.get() > depth {
            self.truncate(depth);
        }
    }

    #[inline(never)]
    fn truncate(&self, depth: usize) {
        self.scoped.borrow_mut().truncate(depth);
        self.depth.set(depth);
        self.advance();
    }

    /// Makes roots that are gone differ from those to come.
    fn advance(&self) {
        self.generation.set(self.generation.get() + 1);
    }

    /// Keeps a number.
    ///
    /// # Panics
    /// If 2^31 references are kept.
    pub(crate) fn push_i31(&self, value: I31) -> Root {
        // SAFETY: numbers are always valid.
        unsafe { self.push(value.raw()) }
    }

    /// Keeps what a root stands for in the current scope.
    ///
    /// # Errors
    /// If the root is another store's, or no longer kept.
    pub(crate) fn again(&self, root: Root) -> Result<Root, RootError> {
        let raw = self.get(root)?;
        // SAFETY: what is kept is valid.
        Ok(unsafe { self.push(raw) })
    }

    /// Keeps what a root stands for until the flag and its clones are dropped.
    ///
    /// # Errors
    /// If the root is another store's, or no longer kept.
    pub(crate) fn own_again(&self, root: Root) -> Result<(Root, Arc<()>), RootError> {
        let raw = self.get(root)?;
        // SAFETY: what is kept is valid.
        Ok(unsafe { self.own(raw) })
    }

    /// Keeps a reference until the flag, and its clones, are dropped.
    ///
    /// # Panics
    /// If 2^31 references are kept.
    ///
    /// # Safety
    /// It is a reference of this set's store, and valid now.
    pub(in crate::vm) unsafe fn own(&self, raw: u32) -> (Root, Arc<()>) {
        let mut owned = self.owned.borrow_mut();
        if owned.len() - self.free.borrow().len() >= self.limit.get() {
            self.let_go(&mut owned);
        }
        let alive = Arc::new(());
        self.advance();
        let slot = Owned { raw, generation: self.generation.get(), alive: Some(alive.clone()) };
        let generation = slot.generation;
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                owned[index as usize] = slot;
                index
            }
            None => {
                assert!(owned.len() < OWNED as usize, "a store keeps at most 2^31 references for the host");
                owned.push(slot);
                (owned.len() - 1) as u32
            }
        };
        (Root { set: self.id.get(), index: index | OWNED, generation }, alive)
    }

    /// Frees the slots of owned roots that nobody has any more.
    fn let_go(&self, owned: &mut [Owned]) {
        let mut free = self.free.borrow_mut();
        for (index, slot) in owned.iter_mut().enumerate() {
            if slot.alive.as_ref().is_some_and(|alive| Arc::strong_count(alive) == 1) {
                slot.alive = None;
                free.push(index as u32);
            }
        }
        self.limit.set(FIRST_LIMIT.max(2 * (owned.len() - free.len())));
    }

    /// The reference that a root stands for.
    ///
    /// # Errors
    /// If it is another store's, or no longer kept.
    #[inline]
    pub(crate) fn get(&self, root: Root) -> Result<u32, RootError> {
        if root.set != self.id.get() {
            return Err(RootError::WrongStore);
        }
        let found = if root.index & OWNED == 0 {
            // SAFETY: nothing is called that changes the set.
            let scoped = unsafe { unguarded(&self.scoped) };
            scoped.get(root.index as usize).map(|slot| (slot.raw, slot.generation))
        } else {
            // SAFETY: as above.
            let owned = unsafe { unguarded(&self.owned) };
            let slot = owned.get((root.index & !OWNED) as usize).filter(|slot| slot.alive.is_some());
            slot.map(|slot| (slot.raw, slot.generation))
        };
        match found {
            Some((raw, generation)) if generation == root.generation => Ok(raw),
            _ => Err(RootError::Unrooted),
        }
    }

    /// Shows every reference that is kept to the collector, which may change
    /// it.
    pub(crate) fn trace(&self, mut visit: impl FnMut(&mut u32)) {
        for slot in &mut *self.scoped.borrow_mut() {
            visit(&mut slot.raw);
        }
        let mut owned = self.owned.borrow_mut();
        self.let_go(&mut owned);
        for slot in owned.iter_mut().filter(|slot| slot.alive.is_some()) {
            visit(&mut slot.raw);
        }
    }
}

/// What is in a cell of a store, which several threads may look into at the
/// same time: a guard would count them, without being made for it.
///
/// # Safety
/// Nobody changes it while the result is used. Whoever changes a store has it
/// exclusively.
pub(super) unsafe fn unguarded<T>(cell: &RefCell<T>) -> &T {
    // SAFETY: the caller's.
    match unsafe { cell.try_borrow_unguarded() } {
        Ok(content) => content,
        Err(_) => unreachable!("a store is looked into while it changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(set: &RootSet, raw: u32) -> Root {
        // SAFETY: nothing is done with what is kept.
        unsafe { set.push(raw) }
    }

    fn own(set: &RootSet, raw: u32) -> (Root, Arc<()>) {
        // SAFETY: as above.
        unsafe { set.own(raw) }
    }

    fn traced(set: &RootSet) -> Vec<u32> {
        let mut all = Vec::new();
        set.trace(|raw| all.push(*raw));
        all
    }

    #[test]
    fn a_root_is_known_until_its_scope_ends_and_never_taken_for_another() {
        let set = RootSet::new(StoreId::next());
        let outer = push(&set, 8);
        let depth = set.depth();
        let inner = push(&set, 16);
        assert_eq!((set.get(outer), set.get(inner)), (Ok(8), Ok(16)));
        set.leave(depth);
        assert_eq!((set.get(outer), set.get(inner)), (Ok(8), Err(RootError::Unrooted)));
        let later = push(&set, 24);
        assert_eq!((set.get(later), set.get(inner)), (Ok(24), Err(RootError::Unrooted)));
        assert_eq!(traced(&set), [8, 24]);
        let other = RootSet::new(StoreId::next());
        push(&other, 1);
        assert_eq!(other.get(outer), Err(RootError::WrongStore));
        set.renew(StoreId::next());
        push(&set, 32);
        assert_eq!(set.get(outer), Err(RootError::WrongStore));
    }

    #[test]
    fn an_owned_root_is_kept_as_long_as_someone_has_it() {
        let set = RootSet::new(StoreId::next());
        let (first, alive) = own(&set, 8);
        let (second, other) = own(&set, 16);
        set.leave(0);
        let clone = alive.clone();
        drop(alive);
        assert_eq!(traced(&set), [8, 16]);
        drop(clone);
        assert_eq!(traced(&set), [16]);
        assert_eq!((set.get(first), set.get(second)), (Err(RootError::Unrooted), Ok(16)));
        let (third, _alive) = own(&set, 24);
        assert_eq!(third.index, first.index);
        assert_eq!((set.get(first), set.get(third)), (Err(RootError::Unrooted), Ok(24)));
        drop(other);
    }

    #[test]
    fn slots_of_owned_roots_are_used_again_without_a_collection() {
        let set = RootSet::new(StoreId::next());
        let kept: Vec<_> = (0..10).map(|i| own(&set, i * 8)).collect();
        for _ in 0..10_000 {
            own(&set, 80);
        }
        assert!(set.owned.borrow().len() <= 2 * FIRST_LIMIT);
        assert!(kept.iter().zip(0..).all(|((root, _), i)| set.get(*root) == Ok(i * 8)));
    }

    #[test]
    fn the_collector_can_change_what_roots_stand_for() {
        let set = RootSet::new(StoreId::next());
        let (scoped, (owned, _alive)) = (push(&set, 8), own(&set, 16));
        set.trace(|raw| *raw += 100 * 8);
        assert_eq!((set.get(scoped), set.get(owned)), (Ok(808), Ok(816)));
    }
}
