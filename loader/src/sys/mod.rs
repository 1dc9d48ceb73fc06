//! Everything that depends on the operating system, behind a small interface.
//!
//! * [`Region`]: a range of address space, reserved first and filled later
//!   with zero pages or views of a file;
//! * [`anonymous_file`]: bytes as a file that can be mapped;
//! * [`stack_bounds`]: where the current thread's stack ends;
//! * [`Announced`]: code that debuggers know of;
//! * [`signals`]: the process-wide handlers that turn faults into traps.
//!
//! What this is not: it knows nothing of modules, stores or traps.

mod unix;

pub(crate) use unix::{
    Access, Announced, Region, anonymous_file, can_discard, make_accessible, overlay, page_size, signals, stack_bounds,
};
