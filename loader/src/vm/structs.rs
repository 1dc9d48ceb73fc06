//! The structures that compiled code and the loader share, generated from
//! the one list in `wasmc_artifacts`.
//!
//! Every field is a `Cell`: compiled code reads and writes them between any
//! two steps of the loader, so a plain field behind a shared reference would
//! be a lie.

use std::cell::Cell;
use std::mem::offset_of;
use wasmc_artifacts::{abi, for_each_vm_struct};

macro_rules! structs {
    ($($(#[$meta:meta])* struct $name:ident / $module:ident { $($(#[$fmeta:meta])* $field:ident: $kind:ident,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Default, Clone)]
            #[repr(C)]
            #[allow(dead_code, reason = "some fields are only for compiled code")]
            pub(crate) struct $name { $($(#[$fmeta])* pub(crate) $field: Cell<structs!(@type $kind)>,)* }

            const _: () = {
                $(assert!(offset_of!($name, $field) == abi::$module::$field as usize);)*
                assert!(size_of::<$name>() == abi::$module::SIZE as usize);
            };
        )*
    };
    (@type ptr) => { *mut u8 };
    (@type word) => { u64 };
}

for_each_vm_struct!(structs);

// An imported function begins with what a reference to it looks like, and
// contains the record of a host function.
const _: () = {
    assert!(abi::vm_func_import::host_native as u32 == abi::vm_func_ref::SIZE);
    assert!(abi::vm_func_import::SIZE == abi::vm_func_ref::SIZE + abi::vm_host_func::SIZE);
};

impl VMFuncImport {
    /// The import as the function value that it begins with.
    pub(crate) fn func_ref(&self) -> &VMFuncRef {
        // SAFETY: the fields of VMFuncRef are the first fields of
        // VMFuncImport, in the same order and of the same types.
        unsafe { &*std::ptr::from_ref(self).cast::<VMFuncRef>() }
    }

    /// The record of a host function inside the import.
    pub(crate) fn record(&self) -> &VMHostFunc {
        // SAFETY: the fields from `host_native` on are those of VMHostFunc,
        // in the same order and of the same types, up to the end.
        unsafe {
            &*std::ptr::from_ref(self).cast::<u8>().add(abi::vm_func_import::host_native as usize).cast::<VMHostFunc>()
        }
    }
}

// A context has the second in place of the first where a memory is shared.
const _: () = assert!(size_of::<VMMemoryDef>() == size_of::<VMMemoryImport>());

impl VMMemoryImport {
    /// Names the memory with this definition.
    pub(crate) fn name(&self, def: &VMMemoryDef) {
        self.def.set(std::ptr::from_ref(def).cast_mut().cast());
        self.base.set(def.base.get());
    }
}

impl VMFuncRef {
    /// Takes over all fields of another function value.
    pub(crate) fn assign(&self, other: &VMFuncRef) {
        self.code.set(other.code.get());
        self.ctx.set(other.ctx.get());
        self.type_id.set(other.type_id.get());
        self.native_entry.set(other.native_entry.get());
        self.array_entry.set(other.array_entry.get());
        self.host.set(other.host.get());
        self.descriptor.set(other.descriptor.get());
    }
}

/// A value in the 16 bytes that it has in arrays of values and in globals:
/// little-endian, the upper bytes unspecified unless it is a vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct ValRaw {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

const _: () = assert!(size_of::<ValRaw>() == abi::VM_VAL_SIZE as usize);

impl ValRaw {
    /// A value of up to 64 bits.
    pub(crate) const fn of(low: u64) -> ValRaw {
        ValRaw { low, high: 0 }
    }

    pub(crate) const fn of_v128(bits: u128) -> ValRaw {
        ValRaw { low: bits as u64, high: (bits >> 64) as u64 }
    }

    pub(crate) const fn v128(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}
