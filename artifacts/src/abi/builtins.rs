//! Builtins: what compiled code asks of the loader, through the table that
//! the context header points to.
//!
//! [`for_each_builtin!`](crate::for_each_builtin) is the only list. Here it
//! becomes an enum with signatures for the compiler; in the loader it becomes
//! the table itself.

/// Calls the macro `$callback` with every builtin.
///
/// Types: `header` is the address of the caller's `VMHeader` (from a vmctx
/// alone nobody can find it: the guard between is a tunable), `ptr` is any
/// other address, `i32` and `i64` are numbers. All
/// use the C convention, but for two that keep all registers, and none unwinds. A builtin that can fail returns
/// `i32` 0 for success, and 1 for a failure whose trap the compiled code
/// raises itself.
#[macro_export]
macro_rules! for_each_builtin {
    ($callback:ident) => {
        $callback! {
            /// Grows memory `memory` by `delta` wasm pages; the old size in
            /// pages, or -1.
            memory_grow(ctx: header, memory: i32, delta: i64) -> i64;
            /// Copies `length` bytes that may overlap.
            memory_move(to: ptr, from: ptr, length: i64);
            /// Sets `length` bytes to the low byte of `value`.
            memory_set(to: ptr, value: i32, length: i64);
            /// `memory.init`; 1 if either range is out of bounds.
            memory_init(ctx: header, memory: i32, segment: i32, to: i64, from: i32, length: i32) -> i32;
            /// `data.drop`.
            data_drop(ctx: header, segment: i32);
            /// `memory.atomic.notify` at a position in shared memory `memory`,
            /// which was checked; how many were woken.
            atomic_notify(ctx: header, memory: i32, position: i64, count: i32) -> i32;
            /// `memory.atomic.wait32` likewise, for so many nanoseconds or, if
            /// that is negative, for ever; its result.
            atomic_wait32(ctx: header, memory: i32, position: i64, expected: i32, timeout: i64) -> i32;
            /// `memory.atomic.wait64` likewise.
            atomic_wait64(ctx: header, memory: i32, position: i64, expected: i64, timeout: i64) -> i32;
            /// Grows table `table` by `delta` elements set to `value`; the old
            /// size, or -1.
            table_grow(ctx: header, table: i32, delta: i64, value: i64) -> i64;
            /// `table.fill`; 1 if out of bounds.
            table_fill(ctx: header, table: i32, to: i64, value: i64, length: i64) -> i32;
            /// `table.copy`; 1 if either range is out of bounds.
            table_copy(ctx: header, to_table: i32, from_table: i32, to: i64, from: i64, length: i64) -> i32;
            /// `table.init`; 1 if either range is out of bounds.
            table_init(ctx: header, table: i32, segment: i32, to: i64, from: i32, length: i32) -> i32;
            /// `elem.drop`.
            elem_drop(ctx: header, segment: i32);
            /// Computes the funcref element at `index`, which is in bounds and
            /// not computed yet; the untagged reference.
            table_lazy_init(ctx: header, table: i32, index: i64) -> ptr;
            /// The function reference of function `function`.
            ref_func(ctx: header, function: i32) -> ptr;
            /// Allocates an object of `size` bytes on the heap, and collects
            /// garbage first if it has to. The result has its descriptor
            /// and, for now, nothing else; 0 if the heap is exhausted.
            gc_alloc(ctx: header, descriptor: ptr, size: i64) -> i32;
            /// `array.init_data` and `array.new_data`: copies `length` bytes
            /// from a data segment to `to`; 1 if they are not all in it.
            array_init_data(ctx: header, segment: i32, to: ptr, from: i64, length: i64) -> i32;
            /// Copies `length` elements of a segment to `to`, where those of an
            /// array are; 1 if they are not all in it.
            array_init_elem(ctx: header, segment: i32, to: ptr, from: i64, length: i64) -> i32;
            /// Unwinds to the entry stub of the store context `store`, whose
            /// `pending` is set, or to the handler of an exception that a host
            /// function has returned; does not return.
            raise(store: ptr);
            /// Ends the code with the trap `code`, as of where it is called;
            /// does not return.
            trap(ctx: header, code: i32);
            /// Throws an exception, which is not null: goes to the innermost
            /// handler, and does not return.
            throw(ctx: header, exception: i32);
            /// What code calls that found the word in its epoch cell to be set.
            /// Keeps all registers; goes to the entry stub instead of
            /// returning if the code is to stop.
            interrupted();
            /// What code calls that found the `fuel` of its store context to be
            /// negative; likewise.
            out_of_fuel();
        }
    };
}

/// The type of a builtin's parameter or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltinType {
    /// The address of the caller's `VMHeader`.
    Header,
    /// An address.
    Ptr,
    /// A 32-bit number.
    I32,
    /// A 64-bit number.
    I64,
}

macro_rules! builtins {
    ($($(#[$meta:meta])* $name:ident($($param:ident: $t:ident),*) $(-> $result:ident)?;)*) => {
        /// A builtin; its number is its place in the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, reason = "a variant has its builtin's name")]
        #[repr(u32)]
        pub enum Builtin {
            $($(#[$meta])* $name,)*
        }

        impl Builtin {
            /// Whether it keeps all registers for its caller.
            pub const fn keeps_registers(self) -> bool {
                matches!(self, Builtin::interrupted | Builtin::out_of_fuel)
            }

            /// All builtins in table order.
            pub const ALL: &[Builtin] = &[$(Builtin::$name,)*];

            /// The name.
            pub fn name(self) -> &'static str {
                match self { $(Builtin::$name => stringify!($name),)* }
            }

            /// Parameter types.
            pub fn params(self) -> &'static [BuiltinType] {
                match self { $(Builtin::$name => &[$(builtins!(@type $t),)*],)* }
            }

            /// Result type, if there is a result.
            pub fn result(self) -> Option<BuiltinType> {
                match self { $(Builtin::$name => builtins!(@result $($result)?),)* }
            }

            /// Offset of the entry in the table, in bytes.
            pub fn offset(self) -> i32 {
                (self as i32) * 8
            }
        }

        /// The text of all definitions, for the ABI fingerprint.
        pub const BUILTIN_DEFINITIONS: &str =
            concat!($(stringify!($name), "(", $(stringify!($t), ",",)* ")", $(stringify!($result),)? ";",)*);
    };
    (@type header) => { BuiltinType::Header };
    (@type ptr) => { BuiltinType::Ptr };
    (@type i32) => { BuiltinType::I32 };
    (@type i64) => { BuiltinType::I64 };
    (@result) => { None };
    (@result $t:ident) => { Some(builtins!(@type $t)) };
}

for_each_builtin!(builtins);
