//! What the allocators promise, and the mistakes that others have made before.
//!
//! Everything in here runs under Miri and Valgrind as well, with fewer rounds
//! under Miri; only what maps memory itself does not.

mod behaviours;
mod blocks;
mod compositions;
mod fallback;
mod free_list;
mod ledger;
mod orders;
mod proxy;
mod rng;
mod scoped;
mod threads;
mod values;
