//! Very many instances, very often, on too many threads, and with too little
//! of everything. What is measured belongs to the whole process, so that most
//! cases run in a process of their own (see [`child`]). It is measured, and
//! taken away, with the means of Linux.

#![cfg(target_os = "linux")]

mod child;
mod churn;
mod exhaustion;
#[cfg(target_arch = "x86_64")]
mod failures;
mod guests;
#[cfg(target_arch = "x86_64")]
mod inject;
mod live;
mod scarcity;
mod sequence;
mod storm;
mod usage;
