//! WASI preview 1 for [`wasmc_loader`]: what lets a guest see arguments,
//! variables, standard streams, folders, clocks and random numbers.
//!
//! ```no_run
//! use wasmc_loader::{Engine, Linker, Module, Store};
//! use wasmc_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::default();
//! // SAFETY: the file was written by `wasmc` and nobody changes it.
//! let module = unsafe { Module::open(&engine, "hello.cwasm")? };
//! let mut linker: Linker<WasiCtx> = Linker::new(&engine);
//! wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! let ctx = WasiCtxBuilder::new().arg("hello")?.inherit_stdio().build();
//! let mut store = Store::new(&engine, ctx);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! match start.call(&mut store, ()) {
//!     Err(error) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => {}
//!     other => other?,
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The work is done by [wasi-common](wasi_common) on capability-based file
//! access. This crate adds the connection to the loader, permissions for
//! folders ([`DirPerms`], [`FilePerms`]), streams in memory ([`pipe`]), a
//! scheduler, and what wasi-common gets wrong (each place says so):
//!
//! ```text
//! link       the loader's Linker: one closure per function
//!   abi      a function over the guest's bytes: runs wasi-common's, maps its errors
//!     ctx    the context and its builder
//!       dir, file, stdio, pipe, sched     what the context is made of
//! functions  the one list that link and abi are generated from
//! threads    wasi-threads: a store and an instance for each thread
//! ```
//!
//! [`WasiThreads`] is wasi-threads, for guests that start threads. This is not
//! an implementation of WASI 0.2 (components).

#![forbid(unsafe_code)]

mod abi;
mod ctx;
mod dir;
mod error;
mod file;
mod functions;
mod link;
mod permissions;
pub mod pipe;
mod sched;
mod stdio;
#[cfg(test)]
mod tests;
mod threads;

pub use ctx::{WasiCtx, WasiCtxBuilder};
pub use error::{Error, Fault};
pub use link::add_to_linker;
pub use permissions::{DirPerms, FilePerms};
pub use threads::{DEFAULT_THREAD_LIMIT, WasiThreads};
pub use wasi_common::{I32Exit, WasiFile};
