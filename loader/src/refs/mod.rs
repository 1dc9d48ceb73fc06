//! References as the host holds them.
//!
//! ```text
//! Rooted<T>        Copy; kept until its scope ends     ┐
//! OwnedRooted<T>   kept until it is dropped            ┴─ deref to T: ExternRef, AnyRef, EqRef,
//!                                                         StructRef, ArrayRef, ExnRef
//! I31              a number, not a reference to anything
//! ```
//!
//! Objects move when the store collects garbage, so nothing outside the store
//! holds an address: a rooted reference names a place in the store where the
//! reference is, and where the collector updates it. All that is done with
//! objects goes through the store, and is checked: that it is the right one,
//! that the scope has not ended, that types fit.

mod anyref;
mod array;
mod exn;
mod externref;
mod i31;
mod rooted;
mod structs;
pub(crate) mod types;

pub(crate) use anyref::heap_type;
pub use anyref::{AnyRef, EqRef};
pub use array::{ArrayRef, ArrayRefPre};
pub use exn::{ExnRef, ExnRefPre};
pub use externref::ExternRef;
pub use i31::I31;
pub use rooted::{GcRef, OwnedRooted, RootScope, Rooted, RootedGcRef};
pub use structs::{StructRef, StructRefPre};
pub use types::{ArrayType, ExnType, FieldType, Finality, StorageType, StructType};
