//! Where compiled code and Rust meet: all unsafe code of the loader apart
//! from system calls, behind interfaces that are safe to use.
//!
//! ```text
//! Store ── StoreState ─┬─ VMStoreContext      shared with compiled code
//!                      ├─ InstanceData ...    each in its slot
//!                      └─ arena               host functions, memories, tables
//!
//! slot:  | records | context | guard | memory 0, accessible | reserved | guard |
//!                                    ^ vmctx
//! ```
//!
//! * [`structs`]: the shared structures; [`handle`]: how the host names things;
//! * [`shared`]: what threads share without contending for it; [`once`]: without a lock;
//! * [`code`]: a mapped artifact; [`backing`]: what it is mapped from; [`load`]: how
//!   it becomes a module; [`blueprint`]: what its instances consist of;
//!   [`image`]: what their memories contain at first;
//! * [`slot`], [`space`], [`pool`]: where instances live;
//! * [`instance`], [`memory`], [`table`], [`global`], [`tag`]: what they are made of;
//!   [`lifecycle`], [`build`], [`init`]: how they come to be, and end;
//! * [`shared_memory`], [`waiters`], [`waits`]: memories that stores share;
//! * [`reset`], [`quiet`], [`guard`]: how memories get their first content back;
//! * [`state`], [`activation`], [`traps`], [`unwind`]: a store as compiled code
//!   sees it, entering and leaving that code; [`interrupt`]: stopping it; [`shell`]: what is left of it for the next;
//! * [`typed`], [`references`], [`call`], [`host`]: calls in both directions;
//!   `fiber`, `stacks`, `host_async`, with the feature `async`: those that can be suspended;
//! * [`externref`]: values of the host's that wasm can refer to; [`gc`]: objects
//!   on a store's heap, and the collector;
//! * `snapshot`: what an instance consists of, for the compiler;
//! * [`builtins`]: what compiled code asks of the loader; [`limits`]: what it may be refused.
//! * `symbols`, with the feature `addr2line`: files and lines.
//!
//! Two rules make shared references to all of this sound. Nothing that a
//! store owns is freed or moved before the store is. And whatever changes is
//! in a `Cell`, changed only by code that has the store exclusively, or that
//! runs on behalf of a call for which someone lent the store exclusively.

pub(crate) mod activation;
pub(crate) mod arena;
pub(crate) mod backing;
pub(crate) mod blueprint;
mod build;
pub(crate) mod builtins;
pub(crate) mod call;
pub(crate) mod carriers;
pub(crate) mod code;
pub(crate) mod externref;
#[cfg(feature = "async")]
pub(crate) mod fiber;
pub(crate) mod gc;
pub(crate) mod global;
mod guard;
pub(crate) mod handle;
pub(crate) mod host;
#[cfg(feature = "async")]
pub(crate) mod host_async;
mod image;
pub(crate) mod init;
pub(crate) mod instance;
mod interrupt;
pub(crate) mod lifecycle;
mod limits;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod of;
pub(crate) mod once;
pub(crate) mod pool;
pub(crate) mod quiet;
mod references;
mod reset;
pub(crate) mod shared;
pub(crate) mod shared_memory;
mod shell;
pub(crate) mod slot;
#[cfg(feature = "snapshot")]
mod snapshot;
mod space;
#[cfg(feature = "async")]
pub(crate) mod stacks;
pub(crate) mod state;
pub(crate) mod structs;
#[cfg(feature = "addr2line")]
pub(crate) mod symbols;
pub(crate) mod table;
pub(crate) mod tag;
pub(crate) mod traps;
pub(crate) mod typed;
mod unwind;
pub(crate) mod waiters;
mod waits;
