//! Tests of states that are used again.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a state consists of, but for what it keeps deliberately: id, stack
/// limit and room.
fn content(state: &StoreState) -> impl PartialEq + std::fmt::Debug + use<> {
    let cause = state.cause.take();
    let rest = (state.suspended.get(), state.trap.get(), state.frame_count.get(), state.exact.get());
    let lists = (state.code.load(Ordering::Relaxed), state.memories.load(Ordering::Relaxed));
    (format!("{:?}", state.context), rest, lists, state.instance_count(), cause.is_some(), state.growth.get().is_some())
}

#[test]
fn a_state_used_again_is_like_a_new_one() {
    let new = StoreState::allocate(1 << 20, 3);
    // SAFETY: just leaked from a box.
    let new = unsafe { Box::from_raw(new.as_ptr()) };
    let used = VmStore::new(1 << 20, 3);
    let (at, value) = (used.address(), Arc::new(()));
    for field in [&used.context.entry_fp, &used.context.exit_fp, &used.context.pending, &used.context.stack_values] {
        field.set(u64::MAX);
    }
    used.context.host.set(at);
    used.suspended.set(at.cast());
    used.trap.set(Some(Trap::StackOverflow));
    used.frame_count.set(3);
    used.exact.set(true);
    used.limit_growth::<()>();
    used.cause.set(Some(Cause::Panic(Box::new(value.clone()))));
    used.keep(value.clone());
    used.new_memory(MemoryType::new(1, None), MemoryPlan { initial: 0, reserved: 0, guard: 0, limit: 0 }).unwrap();
    assert_ne!(content(&new), content(&used));
    used.cause.set(Some(Cause::Panic(Box::new(value.clone()))));
    drop(used);
    assert_eq!(Arc::strong_count(&value), 1);
    let again = VmStore::new(1 << 20, 3);
    assert_eq!(again.address(), at);
    assert_eq!(content(&new), content(&again));
}

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn stores_can_be_made_and_dropped_while_another_one_is() {
    let outer = VmStore::new(1 << 21, 0);
    let at = outer.address();
    outer.keep(OnDrop(move || {
        let inner = VmStore::new(1 << 21, 0);
        assert_ne!(inner.address(), at);
        inner.keep(OnDrop(|| drop(VmStore::new(1 << 21, 0))));
    }));
    drop(outer);
    assert_eq!(VmStore::new(1 << 21, 0).address(), at);
}

#[test]
fn a_panic_while_a_store_is_dropped_loses_nothing_else() {
    let (store, value) = (VmStore::new(1 << 22, 0), Arc::new(()));
    store.keep(value.clone());
    store.keep(OnDrop(|| panic!("on purpose")));
    store.keep(value.clone());
    catch_unwind(AssertUnwindSafe(|| drop(store))).unwrap_err();
    assert_eq!(Arc::strong_count(&value), 1);
    assert_eq!(content(&VmStore::new(1 << 22, 0)), content(&VmStore::new(1 << 22, 0)));
}

#[test]
fn ids_differ_within_and_across_threads() {
    let ids = || (0..3).map(|_| VmStore::new(1 << 23, 0).id()).collect::<Vec<_>>();
    let mut all: Vec<StoreId> = (0..4).flat_map(|_| std::thread::spawn(ids).join().unwrap()).chain(ids()).collect();
    let count = all.len();
    all.sort_by_key(|id| format!("{id:?}"));
    all.dedup();
    assert_eq!(all.len(), count);
}
