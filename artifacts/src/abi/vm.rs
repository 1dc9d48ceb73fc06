//! The structures that compiled code and the loader share in memory.
//!
//! [`for_each_vm_struct!`](crate::for_each_vm_struct) is the only list of
//! them. Here it becomes modules of offsets for the compiler; in the loader
//! the same list becomes `repr(C)` structs. Every field is eight bytes.

/// Calls the macro `$callback` with every structure of the ABI.
///
/// A field is `ptr` (an address) or `word` (a 64-bit number).
#[macro_export]
macro_rules! for_each_vm_struct {
    ($callback:ident) => {
        $callback! {
            /// A function value: what a funcref points to.
            struct VMFuncRef / vm_func_ref {
                /// Address to call in the wasm convention.
                code: ptr,
                /// First argument for `code`: the callee's vmctx or host record.
                ctx: ptr,
                /// Structural type id, compared by `call_indirect`.
                type_id: word,
                /// Native entry stub, 0 for a host function.
                native_entry: ptr,
                /// Array entry stub, 0 for a host function.
                array_entry: ptr,
                /// For the loader alone: a host function's definition.
                host: ptr,
                /// The type's descriptor, 0 if it is final and has no supertype.
                descriptor: ptr,
            }
            /// A host function as wasm code calls it: the `ctx` of its adapter.
            struct VMHostFunc / vm_host_func {
                /// The host's native (or array) function.
                native: ptr,
                /// What that function closes over.
                env: ptr,
                /// The store context.
                store: ptr,
                /// For the loader alone: the instance that imports it, or null.
                caller: ptr,
            }
            /// An imported function: `func_ref` for any callee, and the
            /// record that `func_ref.ctx` points to if it is a host function.
            struct VMFuncImport / vm_func_import {
                /// As `VMFuncRef::code`.
                code: ptr,
                /// As `VMFuncRef::ctx`.
                ctx: ptr,
                /// As `VMFuncRef::type_id`.
                type_id: word,
                /// As `VMFuncRef::native_entry`.
                native_entry: ptr,
                /// As `VMFuncRef::array_entry`.
                array_entry: ptr,
                /// As `VMFuncRef::host`.
                host: ptr,
                /// As `VMFuncRef::descriptor`.
                descriptor: ptr,
                /// As `VMHostFunc::native`.
                host_native: ptr,
                /// As `VMHostFunc::env`.
                host_env: ptr,
                /// As `VMHostFunc::store`.
                host_store: ptr,
                /// As `VMHostFunc::caller`.
                host_caller: ptr,
            }
            /// A memory as its owner describes it. That of a shared memory is
            /// with the memory, and read and written as an atomic.
            struct VMMemoryDef / vm_memory_def {
                /// First byte; never moves.
                base: ptr,
                /// Current length in bytes.
                length: word,
            }
            /// An imported memory; and in place of its definition a shared
            /// memory that the module defines.
            struct VMMemoryImport / vm_memory_import {
                /// The owner's `VMMemoryDef`.
                def: ptr,
                /// A copy of its base.
                base: ptr,
            }
            /// A table as its owner describes it.
            struct VMTableDef / vm_table_def {
                /// First element.
                base: ptr,
                /// Current number of elements.
                length: word,
            }
            /// An imported table.
            struct VMTableImport / vm_table_import {
                /// The owner's `VMTableDef`.
                def: ptr,
                /// For the loader alone: who owns it.
                owner: ptr,
            }
            /// An imported global.
            struct VMGlobalImport / vm_global_import {
                /// The owner's 16-byte cell.
                cell: ptr,
                /// For the loader alone.
                reserved: word,
            }
            /// A tag as its owner describes it; its address is its identity.
            struct VMTagDef / vm_tag_def {
                /// Structural id of its function type.
                type_id: word,
                /// The descriptor of its exceptions.
                descriptor: ptr,
            }
            /// An imported tag.
            struct VMTagImport / vm_tag_import {
                /// The owner's `VMTagDef`.
                def: ptr,
                /// For the loader alone.
                reserved: word,
            }
            /// The fixed part of a VMContext, nearest to the memory.
            struct VMHeader / vm_header {
                /// For the loader alone: its instance.
                instance: ptr,
                /// The store context.
                store: ptr,
                /// The table of builtins.
                builtins: ptr,
                /// The lowest address that a stack pointer may have.
                stack_limit: word,
                /// The base of the store's garbage-collected heap, if the
                /// module uses one.
                heap: ptr,
                /// The store's epoch cell: a word that is 0 or, for code that
                /// is compiled to look at it and then calls `interrupted`, all
                /// ones: more than any address.
                epoch: ptr,
            }
            /// What a store shares with the code that runs in it.
            struct VMStoreContext / vm_store_context {
                /// Frame pointer of the innermost entry stub.
                entry_fp: word,
                /// Stack pointer there.
                entry_sp: word,
                /// Address of its handler.
                entry_pc: word,
                /// Where wasm last left to the host, or to a builtin that looks
                /// at its frames: the frame pointer of the code that called.
                exit_fp: word,
                /// The return address of that call.
                exit_pc: word,
                /// Not 0: unwind to the entry stub, which then returns.
                pending: word,
                /// The table of builtins, as in the header: adapters have no vmctx.
                builtins: ptr,
                /// For the loader alone: its store.
                host: ptr,
                /// Values in the frames of all functions that count theirs.
                stack_values: word,
                /// The first free byte of the heap, from its base.
                heap_next: word,
                /// Where allocation in line ends, from the heap's base.
                heap_limit: word,
                /// The exception on its way to a handler.
                exception: word,
                /// Units of work that code may still do, as a signed number;
                /// code that is compiled to count them calls `out_of_fuel`
                /// where it is negative.
                fuel: word,
            }
        }
    };
}

macro_rules! offsets {
    ($($(#[$meta:meta])* struct $name:ident / $module:ident { $($(#[$fmeta:meta])* $field:ident: $kind:ident,)* })*) => {
        $(
            $(#[$meta])*
            pub mod $module {
                offsets!(@fields 0; $($(#[$fmeta])* $field,)*);
            }
        )*
        /// The text of all definitions, for the ABI fingerprint.
        pub const VM_STRUCT_DEFINITIONS: &str =
            concat!($(stringify!($name), "{", $(stringify!($field), ":", stringify!($kind), ",",)* "}",)*);
    };
    (@fields $at:expr; $(#[$fmeta:meta])* $field:ident, $($rest:tt)*) => {
        $(#[$fmeta])*
        #[allow(non_upper_case_globals, reason = "the constant has its field's name")]
        pub const $field: i32 = $at;
        offsets!(@fields $at + 8; $($rest)*);
    };
    (@fields $at:expr;) => {
        /// Bytes of the structure.
        pub const SIZE: u32 = $at;
    };
}

for_each_vm_struct!(offsets);
