//! The implementation for Unix systems: what all have in common, and either
//! `linux` or `portable` for the rest, which have the same functions.
//!
//! On Linux the cargo feature `portable-unix` chooses the portable one, so
//! that it can be tested there; a build for tests has both.

mod anonymous;
mod gdb;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "portable-unix")))]
mod leap;
#[cfg(all(target_os = "linux", any(test, not(feature = "portable-unix"))))]
mod linux;
mod loaded;
mod mmap;
#[cfg(all(target_os = "linux", any(test, not(feature = "portable-unix"))))]
mod pagemap;
#[cfg(any(test, not(target_os = "linux"), feature = "portable-unix"))]
mod portable;
mod probe;
mod random;
pub(crate) mod signals;
mod stack;
#[cfg(test)]
mod tests;
mod ucontext;
mod watch;

#[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
use linux as system;
#[cfg(any(not(target_os = "linux"), feature = "portable-unix"))]
use portable as system;

pub(crate) use anonymous::{anonymous_copy, anonymous_file};
pub(crate) use gdb::Announced;
pub(crate) use loaded::{NotFound, Place, locate, unloaded};
pub(crate) use mmap::{
    Access, Region, make_accessible, make_inaccessible, make_read_only, overlay, page_size, processors,
};
use mmap::{make_unexecutable, touch};
pub(crate) use probe::copy_on_write_works;
pub(crate) use random::random;
pub(crate) use stack::{after_fork, stack_bounds};
pub(crate) use system::{
    can_discard, can_tell_written, discard, keep_pages_small, populate, prefer_large_pages, thread_faults, try_out,
    written,
};
pub(crate) use watch::{Damage, Watch, note_loss};
