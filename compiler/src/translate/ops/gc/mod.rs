//! Structs, arrays, small integers and casts.
//!
//! * `access.rs`: reading and writing fields and elements;
//! * `structs.rs`, `arrays.rs`, `bulk.rs`: their operators;
//! * `casts.rs`: type tests; `i31.rs`: small integers and conversions.
//!
//! No operator here calls anything but the collector, when a heap is full, and
//! builtins that move many elements. An object's address is computed from the
//! reference wherever it is needed and never lives across a call.

mod access;
mod arrays;
mod bulk;
mod casts;
mod i31;
mod structs;

pub(in crate::translate) use access::Part;
