//! Allocators that are put together from parts, on stable Rust.
//!
//! Each part does one thing and leaves the rest to the allocators that it is
//! made from. wasmc's loader pools its instance slots with them, for example
//! so:
//!
//! ```text
//!                   Fallback           a full pool is no failure
//!                  ╱        ╲
//!             Proxy          Proxy     count the hits of each
//!               │              │
//!           FreeList       on demand   the loader's: maps each slot on its own
//!               │
//!               │   1000 blocks of 4 GiB + 34 MiB, the lowest free one first;
//!               │   the list is beside the blocks, which are never touched
//!               │
//!         address space                the loader's: reserves, inaccessible
//!
//!   head of a slot ── Scoped ── AllocBox   small records of the instance in it
//! ```
//!
//! * [`Allocator`] gives out blocks of bytes, takes them back and resizes them;
//!   [`BlockOwner`] also tells its own blocks from others; [`AllocError`] says
//!   why there was none.
//! * Where memory comes from: [`HeapAllocator`], and [`NullAllocator`], which
//!   has none. A host adds its own, for example one that maps files.
//! * Compositions: [`FreeList`], blocks of one size, given out in an [`Order`];
//!   [`Fallback`], two allocators one after the other; [`Proxy`], which tells a
//!   [`ProxyLogger`] what happens; [`Scoped`], blocks that end together.
//! * Values in blocks: [`AllocBox`], and [`Place`] before there is a value.
//!
//! Allocators are used by shared reference, so `&A`, `Box<A>`, `Rc<A>` and
//! `Arc<A>` are allocators too, and `dyn Allocator` is one. Those of this crate
//! are `Send` and `Sync` whenever their parts are.
//!
//! What this crate is not: it makes no system call, and it is no global
//! allocator. It never reads or writes the bytes of a block, except to copy
//! them when a reallocation has to move them.
//!
//! ```
//! use std::alloc::Layout;
//! use wasmc_allocators::{Allocator, BlockOwner, FreeList, HeapAllocator, Lowest};
//!
//! let page = Layout::from_size_align(4096, 4096)?;
//! let pages = FreeList::slab(HeapAllocator, page, 2, Lowest::new())?.with_fallback(HeapAllocator);
//!
//! let blocks = [pages.allocate(page)?, pages.allocate(page)?, pages.allocate(page)?];
//! assert_eq!(pages.main().in_use(), 2, "the third one came from the heap");
//! for block in blocks {
//!     // SAFETY: the block came from `pages` with this layout and is not used any more.
//!     unsafe { pages.deallocate(block.cast(), page) };
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allocator;
mod error;
mod fallback;
mod free_list;
mod heap;
mod held;
mod null;
mod order;
mod owner;
mod proxy;
mod scoped;
mod values;

pub use allocator::Allocator;
pub use error::{AllocError, FallbackError, Reason};
pub use fallback::Fallback;
pub use free_list::{BlockIndex, FreeList};
pub use heap::HeapAllocator;
pub use null::NullAllocator;
pub use order::{Fifo, Lifo, Lowest, Order, Random, RandomSource};
pub use owner::BlockOwner;
pub use proxy::{Proxy, ProxyLogger};
pub use scoped::{Scope, Scoped};
pub use values::{AllocBox, Place};
