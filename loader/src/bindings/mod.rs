//! What the typed bindings consist of that `wasmc::build` generates for a
//! guest in a build script.
//!
//! [`include_module!`](crate::include_module) puts the generated code into the
//! host program. Everything there is made of the types of this crate; what is
//! in here are those that know more at compile time: which type a global or
//! the elements of a table have ([`TypedGlobal`], [`ConstGlobal`],
//! [`TypedTable`]), and in which store something lives ([`Bound`]). They are of
//! use without generated code too.

mod bound;
mod global;
#[doc(hidden)]
pub mod support;
mod table;

pub use bound::Bound;
pub use global::{ConstGlobal, TypedGlobal};
pub use table::{TableElement, TypedTable};
