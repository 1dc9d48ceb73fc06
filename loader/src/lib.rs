//! Maps artifacts made by `wasmc` and runs them.
//!
//! No compiler is in here: a module was compiled before, on another machine
//! perhaps, and is mapped, not read. Names and shapes are Wasmtime's where the
//! thing is the same.
//!
//! ```text
//! file ── Module ──┐
//! Linker ──────────┴─▶ InstancePre ── instantiate(&mut Store) ──▶ Instance ──▶ TypedFunc::call
//! ```
//!
//! A whole host: it loads an artifact, provides what the guest imports, and
//! calls what it exports.
//!
//! ```
//! use wasmc_loader::{Caller, Engine, Linker, Module, Result, Store};
//!
//! # fn main() -> Result<()> {
//! // In a host this is a file that `wasmc plugin.wat` has made, for `Module::open`.
//! let artifact = wasmc::compile(br#"
//!     (module
//!       (import "host" "log" (func $log (param i32)))
//!       (func (export "add") (param i32 i32) (result i32)
//!         (call $log (local.get 0))
//!         (i32.add (local.get 0) (local.get 1))))"#, &wasmc::Options::new())?;
//!
//! // Once in a process: the engine, modules, and what modules import.
//! let engine = Engine::default();
//! // SAFETY: the artifact was made by wasmc a moment ago.
//! let module = unsafe { Module::from_bytes(&engine, &artifact)? };
//! let mut linker = Linker::<Vec<i32>>::new(&engine);
//! linker.func_wrap("host", "log", |mut caller: Caller<'_, Vec<i32>>, code: i32| caller.data_mut().push(code))?;
//! let plugin = linker.instantiate_pre(&module)?;
//!
//! // Once for each request: a store with the request's own data, and an instance.
//! let mut store = Store::new(&engine, Vec::new());
//! let instance = plugin.instantiate(&mut store)?;
//! let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
//! assert_eq!(add.call(&mut store, (1, 2))?, 3);
//! assert_eq!(store.data(), &[1]);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Engine`] and [`Module`]: loaded once, shared by all threads;
//! * [`Store`]: owns instances and the host's data; one thread at a time;
//! * [`Linker`], [`InstancePre`], [`Instance`]: from imports to exports;
//! * [`Func`], [`TypedFunc`], [`Caller`]: calls in both directions;
//! * [`Memory`], [`Table`], [`Global`]: the rest of what instances consist of;
//! * [`Rooted`], [`OwnedRooted`]: references to values of the host's
//!   ([`ExternRef`]) and to wasm's own ([`AnyRef`], [`StructRef`], [`ArrayRef`],
//!   [`ExnRef`]); [`VMExternRef`]: a value of the host's by itself;
//! * [`SharedMemory`]: what instances on several threads have in common.
//!
//! What this crate is not: it does not compile, parse or validate WebAssembly,
//! and it trusts the machine code that it is given (see [`Module::open`]).
//!
//! Unsafe code is in `vm` (compiled code, and memory shared with it) and `sys`
//! (system calls) only.
//!
//! # Cargo features
//!
//! With `default-features = false` this is a small loader: for pools, with host
//! functions as the only imports. What needs a part that was left out is
//! refused with the name of the feature ([`FeatureError`]), a module when it is
//! loaded. On by default:
//!
//! | feature | what is there with it |
//! |---|---|
//! | `backtraces` | [`WasmBacktrace`] in errors |
//! | `cpu-features` | artifacts for more than the baseline of a CPU |
//! | `debugger` | [`Config::debugger`] |
//! | `embedded` | [`Module::from_embedded`], [`Module::from_linked`] |
//! | `exceptions` | modules that throw or catch exceptions; implies `gc` |
//! | `gc` | references other than to functions, and the garbage-collected heap |
//! | `instance-reuse` | the strategy `legacy-instance-reuse` |
//! | `interruption` | epoch deadlines, interrupts and fuel |
//! | `linking` | imports other than host functions |
//! | `on-demand` | engines without a pool, and instances outside it |
//! | `pool-policies` | [`PoolingAllocationStrategy`]s and [`PoolExhaustion`] policies other than the defaults |
//! | `profiling` | [`Config::profiler`] |
//! | `threads` | [`SharedMemory`], and modules that define or import such |
//! | `truncation` | that a mapped file is truncated is an error, not the end of the process; [`Config::sealed_artifacts`] |
//! | `working-sets` | pages that instances are known to touch are fetched in one go; without, as they are touched |
//!
//! Off by default: `addr2line` (file and line in backtraces), `anyhow`
//! (conversion to its error), `async`, `call-hook`, `demangle`.

#![deny(unsafe_code)]

#[cfg(feature = "async")]
mod async_limits;
mod backtrace;
pub mod bindings;
mod caller;
mod config;
mod debugger;
mod engine;
mod epochs;
mod error;
mod exception;
mod externs;
mod func;
#[cfg(feature = "async")]
mod futures;
mod gc;
#[cfg(feature = "call-hook")]
mod hook;
mod instance;
mod interruption;
mod limits;
mod linker;
mod linking;
mod memory;
mod module;
mod names;
mod parts;
mod plan;
mod pre;
mod profiler;
mod refs;
mod registry;
mod resources;
mod shared_memory;
#[cfg(feature = "snapshot")]
#[doc(hidden)]
pub mod snapshot;
mod store;
mod strategy;
#[allow(unsafe_code, reason = "system calls and signal handlers")]
mod sys;
mod table;
mod tag;
mod types;
mod values;
#[allow(unsafe_code, reason = "compiled code, and the memory that is shared with it")]
mod vm;

#[cfg(feature = "async")]
pub use async_limits::ResourceLimiterAsync;
pub use backtrace::{FrameInfo, FrameSymbol, WasmBacktrace};
pub use caller::Caller;
pub use config::{Config, WasmBacktraceDetails};
pub use engine::{Engine, Precompiled};
pub use epochs::InterruptHandle;
pub use error::{Context, Error, Result};
pub use exception::ThrownException;
pub use externs::{Export, Extern};
pub use func::{Func, TypedFunc};
#[cfg(feature = "call-hook")]
pub use hook::CallHook;
#[cfg(all(feature = "async", feature = "call-hook"))]
pub use hook::CallHookHandler;
pub use instance::{Instance, ResetError};
pub use interruption::UpdateDeadline;
pub use limits::{
    DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, ResourceLimiter, StoreLimits, StoreLimitsBuilder,
};
pub use linker::Linker;
pub use linking::{ImportProblem, LinkError, UnknownImportError};
pub use memory::{Memory, MemoryAccessError};
pub use module::{IncompatibleError, Module, ModuleExport, ModuleFunction};
pub use parts::FeatureError;
pub use pre::InstancePre;
pub use profiler::ProfilingStrategy;
pub use refs::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, EqRef, ExnRef, ExnRefPre, ExnType, ExternRef, FieldType, Finality, GcRef,
    I31, OwnedRooted, RootScope, Rooted, RootedGcRef, StorageType, StructRef, StructRefPre, StructType,
};
pub use resources::{MemoryInitialization, ResourcesRequired};
pub use shared_memory::SharedMemory;
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub use strategy::{
    HeapAllocStrategy, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, LimitError,
    PoolConcurrencyLimitError, PoolExhaustion, PoolMetrics, PoolSizeError, PoolingAllocationStrategy,
    UnknownStrategyError,
};
pub use table::Table;
pub use tag::Tag;
pub use types::{
    ExportType, ExternType, FuncType, GlobalType, HeapType, ImportType, MemoryType, MemoryTypeBuilder, Mutability,
    RefType, TableType, TagType, ValType,
};
pub use values::{Ref, V128, Val};
pub use vm::backing::CarrierError;
pub use vm::code::DamagedError;
pub use vm::externref::VMExternRef;
#[cfg(feature = "async")]
pub use vm::fiber::SuspendError;
pub use vm::gc::handles::RootError;
pub use vm::global::Global;
pub use vm::host::{IntoFunc, WasmRet};
#[cfg(feature = "async")]
pub use vm::host_async::WasmTyList;
pub use vm::instance::AllocationError;
pub use vm::load::LinkedArtifact;
pub use vm::typed::{WasmParams, WasmResults, WasmTy};
pub use vm::waiters::WaitResult;
pub use wasmc_artifacts::abi::Trap;
pub use wasmc_artifacts::format::PageRange;
pub use wasmc_artifacts::{FormatError, WorkingSet, WorkingSetError};

#[doc(hidden)]
pub mod __carriers {
    pub use crate::vm::carriers::PageAligned;
}
