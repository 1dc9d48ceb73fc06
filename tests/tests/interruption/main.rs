//! Code that does not end by itself is stopped: at deadlines, by other threads,
//! and for lack of fuel, which is counted exactly and everywhere the same.

mod bulk;
mod callbacks;
mod counts;
mod endless;
mod guest;
mod handles;
mod model;
mod refusals;
mod waits;
