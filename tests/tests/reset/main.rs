//! An instance that is reset, or lives in a slot that others have used, is
//! like a new one: for the guest, and for the host that looks at its bytes.
//!
//! Everything here is deterministic. `WASMC_ROUNDS` multiplies what is tried,
//! and `WASMC_SEED` runs one generated module.

mod behind;
mod corpus;
mod guest;
mod kinds;
mod random;
mod state;
mod tenants;
mod threads;
mod ways;
