//! The garbage-collected heap of a store.

use super::structs::VMHeader;

/// What the builtin `gc_alloc` does once it has noted where it was called.
///
/// # Safety
/// Called by compiled code, with the header of its instance, the address of a
/// descriptor, and a size that fits the type.
pub(super) unsafe extern "C" fn allocate(_ctx: *const VMHeader, _descriptor: *mut u8, _size: u64) -> u32 {
    // No heap has any room yet.
    0
}
