//! The ABI between compiled code and the loader.
//!
//! # The slot
//!
//! An instance lives in one contiguous region, and the context pointer
//! (`vmctx`, the first argument of every wasm function) is the base of its
//! memory 0:
//!
//! ```text
//! | tables, function references, imports, globals, header | guard | memory 0 ...
//!                                                                 ^ vmctx
//! ```
//!
//! Everything in the VMContext is at a constant negative distance from `vmctx`
//! ([`ContextLayout`]); an access to memory 0 is `vmctx + index + offset`.
//!
//! # Conventions
//!
//! * **wasm**: Cranelift's `tail` convention, `(ctx, params...) -> results`.
//!   `ctx` is the callee's: a vmctx for a wasm function, the address of a
//!   [`vm_host_func`] record for a host function. Every function value carries
//!   an address callable this way.
//! * **native entry** (host to wasm), C convention:
//!   `(func_ref, params...[, results]) -> result`. One result is returned in a
//!   register; two or more are written as 16-byte [`VM_VAL_SIZE`] values to
//!   the memory that the last argument points to.
//! * **array entry** (host to wasm), C convention: `(func_ref, values)`, with
//!   parameters read from and results written to 16-byte values.
//! * **native host** (wasm to host), C convention: `(host_func, params...[,
//!   results]) -> result`, called by the adapter that is the record's `code`.
//! * **array host** (wasm to host), C convention: `(host_func, values)`.
//!
//! In native conventions i32, i64, f32, f64 and v128 are themselves, a
//! reference to a function is a nullable pointer to a [`vm_func_ref`], and any
//! other reference a `u32`, as [`descriptor`] says.
//!
//! # Leaving wasm
//!
//! An entry stub stores its frame pointer, stack pointer and handler address
//! into the store context (`entry_fp`, `entry_sp`, `entry_pc`). To unwind, the
//! loader restores the first two and jumps to the third; the stub then
//! returns to the host with unspecified results, and the host finds the cause
//! in `pending`, which is not 0. A host function that fails sets `pending` and
//! returns; the adapter that called it sees that and jumps in the same way.
//! Adapters store the frame pointer of the code that called them and their
//! return address into `exit_fp` and `exit_pc` first, so that the wasm frames
//! below a host function can be walked.
//!
//! Where all arguments are in the same registers in both conventions, the loader
//! needs no adapter: it then has compiled code call a function of its own, which
//! does all of this.
//!
//! If the stub itself got lost with the artifact's file, the loader does its
//! work. For that, every entry stub saves all registers that are its caller's
//! directly below its frame pointer, in this order with the lowest address
//! first: on x86-64 rbx, r12 to r15 and 8 unused bytes; on arm64 d8 to d15,
//! then x19 to x28. And it does not cross a multiple of 4096 bytes of the
//! file, the smallest page, unless it is longer than that, so that it is lost
//! as a whole.
//!
//! # Exceptions
//!
//! A call that has handlers for what it may throw is listed in the artifact
//! with the address of its landing pad and the distance of its frame's stack
//! pointer from the frame pointer. To get there, the loader restores both and
//! jumps, with the reference to the exception in the first of Cranelift's
//! payload registers (rax or x0). All other registers are lost. The landing pad
//! compares tags and throws the exception again if none is its own.
//!
//! # Frames that the collector reads
//!
//! Wherever compiled code calls a function or [`Builtin::gc_alloc`], the
//! artifact lists the places of its frame that hold references then. `gc_alloc`
//! and `throw` are entered through code that stores the caller's frame pointer
//! and the return address, as adapters do.
//!
//! # Counting values
//!
//! Code compiled with a limit on the values of its frames keeps their number in
//! the store context (`stack_values`), which is 0 while no wasm runs: a function
//! that calls others adds its own when it is entered and takes them away when
//! it returns or makes a tail call. Frames that are unwound do neither, so the
//! loader sets the number back to what it was at the entry stub.

//! # Interruption
//!
//! Code compiled with epochs looks at a word that other threads can set (the
//! header's `epoch` points to it) in every loop, and where functions are entered
//! that could otherwise go on calling each other for long. Code compiled with
//! fuel takes what it does from the store context's `fuel`, and looks at the
//! sign in the same places, and entry stubs and adapters do so where they are
//! left. The builtins that are called then make a frame like that of an adapter,
//! so that the host can do there what it can do in a function that wasm has
//! called.

mod builtins;
mod context;
mod cpu;
pub mod descriptor;
mod trap;
mod types;
mod vm;

pub use builtins::{BUILTIN_DEFINITIONS, Builtin, BuiltinType};
pub use context::{ContextCounts, ContextLayout, LayoutError};
pub use cpu::{Arch, CPU_FEATURES, CpuFeature, CpuFeatures, Os};
pub use trap::Trap;
pub use types::{
    ArrayType, CompositeType, ConcreteType, FieldType, FuncType, HeapType, Hierarchy, RefType, StorageType, StructType,
    SubType, TypeError, TypeId, TypeKind, TypeOutline, ValType, ValTypeCode, group_ids,
};
pub use vm::{
    VM_STRUCT_DEFINITIONS, vm_func_import, vm_func_ref, vm_global_import, vm_header, vm_host_func, vm_memory_def,
    vm_memory_import, vm_store_context, vm_table_def, vm_table_import, vm_tag_def, vm_tag_import,
};

/// Bytes of a value in an array of values, and of a global's cell.
pub const VM_VAL_SIZE: u32 = 16;

/// Bytes of a table element: a reference, zero-extended to 64 bits. A funcref
/// element is `0` where it has not been computed yet, and otherwise the
/// address of a [`vm_func_ref`] (or null) with [`FUNCREF_INIT_BIT`] set.
pub const TABLE_ELEMENT_SIZE: u32 = 8;

/// Set in a funcref table element whose value has been computed.
pub const FUNCREF_INIT_BIT: u64 = 1;

/// Bytes at the start of the garbage-collected heap that are never accessible:
/// compiled code finds out there that a reference is null.
pub const HEAP_NULL_GUARD: u32 = 64 << 10;

/// Bytes in a page of WebAssembly memory.
pub const WASM_PAGE_SIZE: u64 = 65_536;

/// Bytes of stack that a leaf function may use without a check, and that the
/// loader keeps free below the limit that it writes into the context header:
/// for leaf frames, builtins and the delivery of a signal.
pub const STACK_SLACK: u32 = 64 << 10;

/// The largest frame of a function that has no stack check.
pub const UNCHECKED_FRAME: u32 = 4 << 10;

/// Fingerprint of everything in this module and of every row of the format: a
/// hash (64-bit FNV-1a) of the definitions' text, computed when this is
/// compiled, so that no program contains that text.
///
/// An edit of a definition changes it, so that an old artifact is refused even
/// if nobody raised [`FORMAT_VERSION`](crate::format::FORMAT_VERSION).
pub const FINGERPRINT: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    hash = hash_parts(
        hash,
        &[
            VM_STRUCT_DEFINITIONS,
            BUILTIN_DEFINITIONS,
            trap::DEFINITIONS,
            cpu::DEFINITIONS,
            context::DEFINITION,
            descriptor::DEFINITION,
        ],
    );
    hash = hash_parts(hash, crate::format::ROW_DEFINITIONS);
    let numbers =
        [VM_VAL_SIZE, TABLE_ELEMENT_SIZE, FUNCREF_INIT_BIT as u32, STACK_SLACK, UNCHECKED_FRAME, HEAP_NULL_GUARD];
    let mut i = 0;
    while i < numbers.len() {
        hash = hash_bytes(hash, &numbers[i].to_le_bytes());
        i += 1;
    }
    hash
};

/// Continues the hash over texts, each with its length.
const fn hash_parts(mut hash: u64, parts: &[&str]) -> u64 {
    let mut i = 0;
    while i < parts.len() {
        hash = hash_bytes(hash, &(parts[i].len() as u64).to_le_bytes());
        hash = hash_bytes(hash, parts[i].as_bytes());
        i += 1;
    }
    hash
}

const fn hash_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}
