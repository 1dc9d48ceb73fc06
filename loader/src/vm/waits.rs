//! `memory.atomic.wait32` and `wait64`: builtins in which code can be stopped.
//!
//! Where the engine has epochs, a waiter looks again and again whether its code
//! is to stop, as loops do, and what is done about it is the same. So the
//! builtins note where the code has called them, which a callback may look at.

use super::instance::InstanceData;
use super::limits::failing;
use super::memory::MemoryData;
use super::shared_memory::SharedData;
use super::state::StoreState;
use super::structs::VMHeader;
use super::unwind::raise;
use super::waiters::WaitResult;
use crate::parts;
use std::sync::Arc;
use std::time::Duration;
use wasmc_artifacts::abi::{vm_header, vm_store_context};

/// A timeout as compiled code gives it.
fn timeout(nanoseconds: u64) -> Option<Duration> {
    u64::try_from(nanoseconds.cast_signed()).ok().map(Duration::from_nanos)
}

/// The state of the store whose code waits, and the memory with this number.
///
/// # Safety
/// Compiled code passes the header of the instance it runs in.
unsafe fn waiting<'a>(ctx: *const VMHeader, memory: u32) -> (&'a StoreState, Option<Arc<SharedData>>) {
    // SAFETY: the caller's.
    let (instance, state) = unsafe { (InstanceData::of_header(ctx), StoreState::of_header(ctx)) };
    // A callback may do anything with the instance meanwhile.
    let shared = instance.memory(memory).and_then(MemoryData::shared).map(|shared| Arc::clone(&shared));
    debug_assert!(shared.is_some(), "compiled code waits on shared memories only");
    (state, shared)
}

/// Whether code of a store can be told to stop.
fn is_watched(state: &StoreState) -> bool {
    parts::INTERRUPTION.is_on() && state.deadline().is_some()
}

/// The result of a wait; without one the code is left.
fn result(result: Option<WaitResult>) -> u32 {
    result.unwrap_or(WaitResult::TimedOut) as u32
}

/// # Safety
/// Called by compiled code with its own header, from a place that is noted.
unsafe extern "C" fn wait32(ctx: *const VMHeader, memory: u32, position: u64, expected: u32, nanoseconds: u64) -> u32 {
    // SAFETY: the caller's.
    let (state, shared) = unsafe { waiting(ctx, memory) };
    let timeout = timeout(nanoseconds);
    let Some(shared) = shared else { return WaitResult::Mismatch as u32 };
    if !is_watched(state) {
        return shared.wait32(position, expected, timeout) as u32;
    }
    result(shared.wait32_unless(position, expected, timeout, || state.stops()))
}

/// # Safety
/// Called by compiled code with its own header, from a place that is noted.
unsafe extern "C" fn wait64(ctx: *const VMHeader, memory: u32, position: u64, expected: u64, nanoseconds: u64) -> u32 {
    // SAFETY: the caller's.
    let (state, shared) = unsafe { waiting(ctx, memory) };
    let timeout = timeout(nanoseconds);
    let Some(shared) = shared else { return WaitResult::Mismatch as u32 };
    if !is_watched(state) {
        return shared.wait64(position, expected, timeout) as u32;
    }
    result(shared.wait64_unless(position, expected, timeout, || state.stops()))
}

failing! {
    /// `memory.atomic.wait32`.
    atomic_wait32(memory: u32, position: u64, expected: u32, nanoseconds: u64) -> u32 = wait32;
    /// `memory.atomic.wait64`.
    atomic_wait64(memory: u32, position: u64, expected: u64, nanoseconds: u64) -> u32 = wait64;
}
