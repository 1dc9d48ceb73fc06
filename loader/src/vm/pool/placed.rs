//! Idle instances by slot, for the strategies that choose the slot first.

use super::idle::Idle;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasmc_allocators::BlockIndex;

/// What waits in free slots.
pub(super) struct Placed(Mutex<State>);

struct State {
    /// By slot.
    idle: Box<[Option<Idle>]>,
    count: u32,
    limit: u32,
    resident: u64,
}

impl Placed {
    /// For `slots` slots, at most `limit` of which have an idle instance.
    pub(super) fn new(slots: u32, limit: u32) -> Placed {
        let idle = (0..slots).map(|_| None).collect();
        Placed(Mutex::new(State { idle, count: 0, limit, resident: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits in a slot that was free and is not any more.
    pub(super) fn take(&self, slot: BlockIndex) -> Option<Idle> {
        let mut state = self.state();
        let idle = state.idle.get_mut(slot.get() as usize)?.take()?;
        state.count -= 1;
        state.resident -= idle.resident as u64;
        Some(idle)
    }

    /// Keeps an instance whose slot is about to become free, unless there are
    /// too many.
    pub(super) fn keep(&self, idle: Idle) -> Result<BlockIndex, Idle> {
        let mut state = self.state();
        let Some(slot) = idle.block().filter(|_| state.count < state.limit) else { return Err(idle) };
        state.count += 1;
        state.resident += idle.resident as u64;
        state.idle[slot.get() as usize] = Some(idle);
        Ok(slot)
    }

    /// The slots in which instances of a module wait.
    pub(super) fn slots_of(&self, module: u64) -> Vec<BlockIndex> {
        let state = self.state();
        let slots = (0..).map(BlockIndex::new).zip(&state.idle);
        slots
            .filter(|(_, idle)| idle.as_ref().is_some_and(|idle| idle.module == module))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Number of idle instances, and their bytes.
    pub(super) fn count(&self) -> (u32, u64) {
        let state = self.state();
        (state.count, state.resident)
    }
}
