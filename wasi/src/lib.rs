//! WASI preview 1 for [`wasmc_loader`]: what lets a guest see arguments,
//! variables, standard streams, folders, clocks and random numbers.
//!
//! ```
//! use wasmc_loader::{Engine, Linker, Module, Store};
//! use wasmc_wasi::pipe::MemoryOutputPipe;
//! use wasmc_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a host this is a file that `wasmc hello.wasm` has made, for `Module::open`.
//! let artifact = wasmc::compile(br#"
//!     (module
//!       (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
//!       (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
//!       (memory (export "memory") 1)
//!       (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
//!       (func (export "_start")
//!         (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
//!         (call $proc_exit (i32.const 0))))"#, &wasmc::Options::new())?;
//!
//! let engine = Engine::default();
//! // SAFETY: the artifact was made by wasmc a moment ago.
//! let module = unsafe { Module::from_bytes(&engine, &artifact)? };
//! let mut linker: Linker<WasiCtx> = Linker::new(&engine);
//! wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! // A guest sees what it is given; `inherit_stdio` would be the host's own streams.
//! let output = MemoryOutputPipe::new(1024);
//! let ctx = WasiCtxBuilder::new().arg("hello")?.stdout(output.clone()).build();
//! let mut store = Store::new(&engine, ctx);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! match start.call(&mut store, ()) {
//!     Err(error) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => {}
//!     other => other?,
//! }
//! assert_eq!(output.contents(), b"hello\n");
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
//!       dir, file, stdio, pipe, sched, fixed     what the context is made of
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
mod fixed;
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
pub use fixed::{RandomSource, TimeSource};
pub use link::add_to_linker;
pub use permissions::{DirPerms, FilePerms};
pub use threads::{DEFAULT_THREAD_LIMIT, WasiThreads};
pub use wasi_common::{I32Exit, WasiFile};
