//! Values in blocks.

mod alloc_box;
mod place;

pub use alloc_box::AllocBox;
pub use place::Place;
