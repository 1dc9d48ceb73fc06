//! Why wasm code stops.

macro_rules! traps {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// The reason for a trap. The number stands in artifacts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Trap {
            $($(#[$meta])* $name = $code,)*
        }

        impl Trap {
            /// All traps.
            pub const ALL: &[Trap] = &[$(Trap::$name,)*];

            /// The trap with this number, if there is one.
            pub const fn from_code(code: u8) -> Option<Trap> {
                match code { $($code => Some(Trap::$name),)* _ => None }
            }

            /// The wording of the specification's test suite, where it has one.
            pub const fn message(self) -> &'static str {
                match self { $(Trap::$name => $message,)* }
            }
        }

        pub(super) const DEFINITIONS: &str = concat!($(stringify!($name), "=", stringify!($code), ";",)*);
    };
}

traps! {
    /// The stack limit was reached.
    StackOverflow = 1, "call stack exhausted";
    /// A memory access out of bounds.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// An atomic access that is not naturally aligned.
    HeapMisaligned = 3, "unaligned atomic";
    /// A table access out of bounds.
    TableOutOfBounds = 4, "out of bounds table access";
    /// `call_indirect` of an index beyond the table.
    UndefinedElement = 5, "undefined element";
    /// `call_indirect` of a null element.
    IndirectCallToNull = 6, "uninitialized element";
    /// `call_indirect` of a function of another type.
    BadSignature = 7, "indirect call type mismatch";
    /// An integer result that does not fit.
    IntegerOverflow = 8, "integer overflow";
    /// Division by zero.
    IntegerDivisionByZero = 9, "integer divide by zero";
    /// A float that has no integer counterpart.
    BadConversionToInteger = 10, "invalid conversion to integer";
    /// `unreachable` was executed.
    UnreachableCodeReached = 11, "unreachable";
    /// A null reference was used.
    NullReference = 12, "null reference";
    /// The guest was interrupted from outside.
    Interrupt = 13, "interrupt";
    /// The guest ran out of fuel.
    OutOfFuel = 14, "all fuel consumed";
    /// A cast to a type that the reference does not have.
    CastFailure = 15, "cast failure";
    /// An array access out of bounds.
    ArrayOutOfBounds = 16, "out of bounds array access";
    /// An array that no heap could hold.
    AllocationTooLarge = 17, "allocation size too large";
    /// The module's code, or what its memory or tables contain at first, can
    /// no longer be read from the artifact.
    ArtifactLost = 18, "the artifact file was truncated, or could not be read, while it was mapped";
    /// The garbage-collected heap is full of what is still used.
    HeapExhausted = 19, "garbage-collected heap exhausted";
    /// A wait on a memory that is not shared.
    AtomicWaitNonSharedMemory = 20, "expected shared memory";
}

impl std::fmt::Display for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Trap {}
