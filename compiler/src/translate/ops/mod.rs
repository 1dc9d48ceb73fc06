//! The operators, a file for each family. Every method has the name of
//! wasmparser's visitor method and works on the translator's value stack.

mod atomic;
mod bulk;
pub(crate) mod call;
mod convert;
mod exception;
mod funcref;
mod gc;
mod memory;
mod numeric;
mod reference;
mod simd;
mod table;
mod variable;
mod wide;

pub(super) use gc::Part;
