//! Retired instances that wait for their next life.

use super::super::instance::InstanceData;
use super::super::slot::{Origin, Slot};
use crate::module::Module;
use crate::sys;
use std::ptr::NonNull;
use wasmc_allocators::BlockIndex;

/// A retired instance: nobody uses it, and it refers to nothing outside its
/// slot.
pub(in super::super) struct Idle {
    at: NonNull<InstanceData>,
    /// The id of its module.
    pub(super) module: u64,
    /// Bytes that are resident.
    pub(super) resident: usize,
    /// Whether it can be revived.
    pub(super) reusable: bool,
    block: Option<BlockIndex>,
}

// SAFETY: a retired instance belongs to whoever has the value, and has no
// thread affinity.
unsafe impl Send for Idle {}

impl Idle {
    /// # Safety
    /// The instance at `at` is used through the value alone from the time on
    /// when `put` gets it; by then it has no lease of its module any more, and
    /// if it is `reusable` it is as it was at first.
    pub(in super::super) unsafe fn new(
        at: NonNull<InstanceData>,
        module: &Module,
        resident: usize,
        reusable: bool,
    ) -> Idle {
        // SAFETY: the caller's.
        let block = match unsafe { at.as_ref() }.slot.origin() {
            Origin::Pool(block) => Some(block),
            _ => None,
        };
        Idle { at, module: module.id(), resident, reusable, block }
    }

    /// The slot's place in the pool; none if it does not belong there.
    pub(super) fn block(&self) -> Option<BlockIndex> {
        self.block
    }

    /// Ends the retirement.
    pub(in super::super) fn into_instance(self) -> NonNull<InstanceData> {
        self.at
    }

    /// Ends the instance and gives its memory back to the system; what is left
    /// is a slot of which nothing is accessible, if it is the pool's. If the system refuses, the
    /// instance stays.
    pub(super) fn dismantle(self) -> Result<Slot, Idle> {
        // SAFETY: the instance is this value's. A retired one in a pool owns
        // nothing outside its slot but watches, so it may vanish with its
        // memory.
        unsafe {
            // What is watched must not outlive the views of the file.
            // Nor must the list's own memory, which is on the heap.
            drop(std::mem::take(&mut (*self.at.as_ptr()).watches));
            let instance = self.at.as_ref();
            let slot = instance.slot.again();
            if self.block.is_none() {
                // Its address space goes as a whole.
                return Ok(slot);
            }
            let mut parts = instance.accessible_parts();
            // What the records are in goes last: `parts` reads them.
            let first = parts.next();
            for (start, length) in parts {
                if sys::make_inaccessible(start, length).is_err() {
                    return Err(self);
                }
            }
            match first.map(|(start, length)| sys::make_inaccessible(start, length)) {
                Some(Err(_)) => Err(self),
                _ => Ok(slot),
            }
        }
    }
}
