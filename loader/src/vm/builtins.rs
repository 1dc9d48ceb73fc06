//! What compiled code asks of the loader. The table is generated from the one
//! list in `wasmc_artifacts`; a builtin without an implementation here does
//! not compile.

use super::instance::InstanceData;
use super::interrupt::{interrupted, out_of_fuel};
use super::limits::{memory_grow, table_grow, trap};
use super::memory::MemoryData;
use super::structs::VMHeader;
use super::unwind::{note_caller, raise, throw};
use super::waits::{atomic_wait32, atomic_wait64};
use crate::parts;
use wasmc_artifacts::abi::{FUNCREF_INIT_BIT, vm_header, vm_store_context};
use wasmc_artifacts::for_each_builtin;
use wasmc_artifacts::format::SegmentMode;

macro_rules! builtins {
    ($($(#[$meta:meta])* $name:ident($($param:ident: $t:ident),*) $(-> $result:ident)?;)*) => {
        /// The table that context headers and store contexts point to.
        #[repr(C)]
        pub(super) struct Builtins {
            $($name: unsafe extern "C" fn($(builtins!(@type $t)),*) $(-> builtins!(@type $result))?,)*
        }

        pub(super) static BUILTINS: Builtins = Builtins { $($name,)* };
    };
    (@type header) => { *const VMHeader };
    (@type ptr) => { *mut u8 };
    (@type i32) => { u32 };
    (@type i64) => { u64 };
}

for_each_builtin!(builtins);

/// The answer to a builtin that cannot fail other than by a bound.
fn status<T, E>(result: Result<T, E>) -> u32 {
    u32::from(result.is_err())
}

/// # Safety
/// Compiled code passes the header of the instance it runs in.
unsafe fn instance<'a>(header: *const VMHeader) -> &'a InstanceData {
    // SAFETY: the caller's.
    unsafe { InstanceData::of_header(header) }
}

unsafe extern "C" fn memory_move(to: *mut u8, from: *mut u8, length: u64) {
    // SAFETY: compiled code has checked both ranges.
    unsafe { std::ptr::copy(from, to, length as usize) };
}

unsafe extern "C" fn memory_set(to: *mut u8, value: u32, length: u64) {
    // SAFETY: compiled code has checked the range.
    unsafe { std::ptr::write_bytes(to, value as u8, length as usize) };
}

unsafe extern "C" fn memory_init(
    ctx: *const VMHeader,
    memory: u32,
    segment: u32,
    to: u64,
    from: u32,
    length: u32,
) -> u32 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    status(instance.memory_init(memory, segment, to, from, length))
}

unsafe extern "C" fn array_init_data(ctx: *const VMHeader, segment: u32, to: *mut u8, from: u64, length: u64) -> u32 {
    if !parts::GC.is_on() {
        return 1;
    }
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    let Some(bytes) = instance.segment_bytes(segment, from, length) else { return 1 };
    // SAFETY: the code has room for `length` bytes at `to`, in an object of
    // its own.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    0
}

unsafe extern "C" fn array_init_elem(ctx: *const VMHeader, segment: u32, to: *mut u8, from: u64, length: u64) -> u32 {
    if !parts::GC.is_on() {
        return 1;
    }
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    // SAFETY: the code has room for `length` elements of the segment's type at
    // `to`, in an array of its own.
    status(unsafe { instance.elements_init(segment, to, from, length) })
}

/// Goes on in another function, with the same arguments.
#[cfg(target_arch = "x86_64")]
macro_rules! go_to {
    () => {
        "jmp {to}"
    };
}

/// Goes on in another function, with the same arguments.
#[cfg(target_arch = "aarch64")]
macro_rules! go_to {
    () => {
        "b {to}"
    };
}

/// Allocates, which looks at the frames of compiled code.
///
/// # Safety
/// Called by compiled code.
#[unsafe(naked)]
unsafe extern "C" fn gc_alloc(ctx: *const VMHeader, descriptor: *mut u8, size: u64) -> u32 {
    std::arch::naked_asm!(
        note_caller!(),
        go_to!(),
        store = const vm_header::store,
        fp = const vm_store_context::exit_fp,
        pc = const vm_store_context::exit_pc,
        to = sym super::gc::allocate,
    )
}

unsafe extern "C" fn data_drop(ctx: *const VMHeader, segment: u32) {
    // SAFETY: called by compiled code.
    unsafe { instance(ctx) }.data_dropped(segment).set(1);
}

unsafe extern "C" fn atomic_notify(ctx: *const VMHeader, memory: u32, position: u64, count: u32) -> u32 {
    // SAFETY: called by compiled code.
    let memory = unsafe { instance(ctx) }.memory(memory);
    memory.and_then(MemoryData::shared).map_or(0, |shared| shared.notify(position, count))
}

unsafe extern "C" fn table_fill(ctx: *const VMHeader, table: u32, to: u64, value: u64, length: u64) -> u32 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    instance.table(table).map_or(1, |table| status(table.fill(to, value, length)))
}

unsafe extern "C" fn table_copy(
    ctx: *const VMHeader,
    to_table: u32,
    from_table: u32,
    to: u64,
    from: u64,
    length: u64,
) -> u32 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    match (instance.table(to_table), instance.table(from_table)) {
        (Some(target), Some(source)) => status(target.copy(to, source, from, length)),
        _ => 1,
    }
}

unsafe extern "C" fn table_init(
    ctx: *const VMHeader,
    table: u32,
    segment: u32,
    to: u64,
    from: u32,
    length: u32,
) -> u32 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    status(instance.table_init(table, segment, to, from, length, SegmentMode::Passive))
}

unsafe extern "C" fn elem_drop(ctx: *const VMHeader, segment: u32) {
    // SAFETY: called by compiled code.
    unsafe { instance(ctx) }.elem_dropped(segment).set(1);
}

unsafe extern "C" fn table_lazy_init(ctx: *const VMHeader, table: u32, index: u64) -> *mut u8 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    let reference = instance.table(table).and_then(|table| table.get(index)).unwrap_or(0);
    debug_assert_eq!(reference & FUNCREF_INIT_BIT, 0);
    reference as *mut u8
}

unsafe extern "C" fn ref_func(ctx: *const VMHeader, function: u32) -> *mut u8 {
    // SAFETY: called by compiled code.
    let instance = unsafe { instance(ctx) };
    let func_ref = instance.func_ref(function);
    debug_assert!(func_ref.is_some(), "function {function} is used as a value and has no reference");
    func_ref.map_or(std::ptr::null_mut(), |f| std::ptr::from_ref(f).cast_mut().cast())
}
