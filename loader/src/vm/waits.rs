//! `memory.atomic.wait32` and `wait64`: builtins in which code can be stopped.
//!
//! Where the engine has epochs, a waiter looks again and again whether its code
//! is to stop, as loops do, and what is done about it is the same. So the
//! builtins note where the code has called them, which a callback may look at.

use super::instance::InstanceData;
use super::limits::failing;
use super::memory::MemoryData;
use super::shared_memory::Expected;
use super::state::StoreState;
use super::structs::VMHeader;
use super::unwind::{note_caller, raise};
use super::waiters::WaitResult;
use crate::parts;
use std::sync::Arc;
use std::time::Duration;
use wasmc_artifacts::abi::{vm_header, vm_store_context};

/// Waits on behalf of compiled code, which is left if it is to stop.
///
/// # Safety
/// Compiled code passes the header of the instance it runs in, from a place
/// that is noted.
unsafe fn wait(ctx: *const VMHeader, memory: u32, position: u64, expected: Expected, nanoseconds: u64) -> u32 {
    // SAFETY: the caller's.
    let (instance, state) = unsafe { (InstanceData::of_header(ctx), StoreState::of_header(ctx)) };
    // A callback may do anything with the instance meanwhile.
    let shared = instance.memory(memory).and_then(MemoryData::shared).map(|shared| Arc::clone(&shared));
    debug_assert!(shared.is_some(), "compiled code waits on shared memories only");
    let Some(shared) = shared else { return WaitResult::Mismatch as u32 };
    let timeout = u64::try_from(nanoseconds.cast_signed()).ok().map(Duration::from_nanos);
    let mut stops = || state.stops();
    let watched = parts::INTERRUPTION.is_on() && state.deadline().is_some();
    let stops: Option<&mut dyn FnMut() -> bool> = if watched { Some(&mut stops) } else { None };
    shared.wait(position, expected, timeout, stops).unwrap_or(WaitResult::TimedOut) as u32
}

/// # Safety
/// Called by compiled code with its own header, from a place that is noted.
unsafe extern "C" fn wait32(ctx: *const VMHeader, memory: u32, position: u64, expected: u32, nanoseconds: u64) -> u32 {
    // SAFETY: the caller's.
    unsafe { wait(ctx, memory, position, Expected::I32(expected), nanoseconds) }
}

/// # Safety
/// Called by compiled code with its own header, from a place that is noted.
unsafe extern "C" fn wait64(ctx: *const VMHeader, memory: u32, position: u64, expected: u64, nanoseconds: u64) -> u32 {
    // SAFETY: the caller's.
    unsafe { wait(ctx, memory, position, Expected::I64(expected), nanoseconds) }
}

failing! {
    /// `memory.atomic.wait32`.
    atomic_wait32(memory: u32, position: u64, expected: u32, nanoseconds: u64) -> u32 = wait32;
    /// `memory.atomic.wait64`.
    atomic_wait64(memory: u32, position: u64, expected: u64, nanoseconds: u64) -> u32 = wait64;
}
