//! Everything that depends on the operating system, behind a small interface.
//!
//! * [`Region`]: a range of address space, reserved first and filled later
//!   with zero pages or views of a file;
//! * [`anonymous_file`], [`anonymous_copy`]: bytes as a file that can be mapped;
//! * [`copy_on_write_works`], [`can_discard`], [`can_tell_written`]: what the
//!   kernel is good for, each tried out once;
//! * [`written`]: which pages hold data of their own; [`populate`]: giving it
//!   to them beforehand; [`thread_faults`]: how often that was not done;
//! * [`processors`]: how many of them there are;
//! * [`stack_bounds`]: where the current thread's stack ends; [`after_fork`]: in
//!   which processes it is another thread;
//! * [`random`]: random numbers;
//! * [`Announced`]: code that debuggers know of;
//! * [`signals`]: the process-wide handlers that turn faults into traps;
//! * [`locate`]: where bytes of this process are in its executable's file, or
//!   in a shared library's; [`unloaded`]: how many of these are gone;
//! * [`Watch`], [`Damage`]: views of files that may shrink while mapped.
//!
//! What this is not: it knows nothing of modules, stores or traps.

mod unix;

pub(crate) use unix::{
    Access, Announced, Damage, NotFound, Place, Region, Watch, after_fork, anonymous_copy, anonymous_file, can_discard,
    can_tell_written, copy_on_write_works, discard, keep_pages_small, locate, make_accessible, make_inaccessible,
    make_read_only, note_loss, overlay, page_size, populate, prefer_large_pages, processors, random, signals,
    stack_bounds, thread_faults, try_out, unloaded, written,
};
