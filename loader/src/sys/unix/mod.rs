//! The implementation for Unix systems.

mod anonymous;
mod gdb;
mod mmap;
pub(crate) mod signals;
mod stack;
mod ucontext;

pub(crate) use anonymous::anonymous_file;
pub(crate) use gdb::Announced;
pub(crate) use mmap::{Access, Region, can_discard, make_accessible, overlay, page_size};
pub(crate) use stack::stack_bounds;
