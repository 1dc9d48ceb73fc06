//! Settings of engines.

use crate::parts;
use crate::profiler::ProfilingStrategy;
use crate::strategy::{
    HeapAllocStrategy, InstanceAllocationStrategy, InstanceLimits, InstantiationStrategy, PoolExhaustion,
};
use crate::vm::gc::HeapSettings;

/// Settings of an [`Engine`](crate::Engine).
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) max_wasm_stack: usize,
    #[cfg(feature = "async")]
    stacks: StackSettings,
    pub(crate) wasm_backtrace: bool,
    pub(crate) wasm_backtrace_max_frames: usize,
    backtrace_details: WasmBacktraceDetails,
    pub(crate) debugger: bool,
    pub(crate) profiler: ProfilingStrategy,
    pub(crate) sealed_artifacts: bool,
    pub(crate) allocation: InstanceAllocationStrategy,
    pub(crate) copy_on_write: bool,
    pub(crate) reuse_instances: bool,
    pub(crate) heap: Option<HeapAllocStrategy>,
    pub(crate) spare_slots: usize,
    pub(crate) gc: HeapSettings,
    pub(crate) memory64_reservation: u64,
    pub(crate) epoch_interruption: bool,
    pub(crate) consume_fuel: bool,
    pub(crate) pool: PoolSettings,
}

/// Settings for the stacks of async calls.
#[cfg(feature = "async")]
#[derive(Debug, Clone, Copy)]
struct StackSettings {
    size: usize,
    zeroing: bool,
    spare: usize,
}

/// The environment variable of [`WasmBacktraceDetails::Environment`].
#[cfg(feature = "addr2line")]
const DETAILS: &str = "WASMC_BACKTRACE_DETAILS";

/// Whether backtraces have files and lines of source code; see
/// [`Config::wasm_backtrace_details`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WasmBacktraceDetails {
    /// They do.
    Enable,
    /// They do not.
    Disable,
    /// They do if the environment variable `WASMC_BACKTRACE_DETAILS` is `1` at
    /// the time when they are asked for.
    Environment,
}

/// Settings that matter only to an engine with a pool, and to resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSettings {
    pub(crate) max_unused_warm_slots: u32,
    pub(crate) memory_keep_resident: usize,
    pub(crate) table_keep_resident: usize,
    pub(crate) decommit_batch_size: usize,
    pub(crate) exhaustion: PoolExhaustion,
    pub(crate) memory_reservation: u64,
    pub(crate) memory_guard: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults: instances on demand with copy-on-write memories, 512 KiB
    /// of stack, backtraces of up to 20 frames.
    pub fn new() -> Config {
        Config {
            max_wasm_stack: 512 << 10,
            #[cfg(feature = "async")]
            stacks: StackSettings { size: 2 << 20, zeroing: false, spare: 1000 },
            wasm_backtrace: parts::BACKTRACES.is_on(),
            wasm_backtrace_max_frames: 20,
            backtrace_details: WasmBacktraceDetails::Enable,
            debugger: false,
            profiler: ProfilingStrategy::None,
            sealed_artifacts: false,
            allocation: InstanceAllocationStrategy::OnDemand,
            copy_on_write: true,
            reuse_instances: false,
            heap: None,
            spare_slots: 8,
            gc: HeapSettings::default(),
            memory64_reservation: 64 << 30,
            epoch_interruption: false,
            consume_fuel: false,
            pool: PoolSettings {
                max_unused_warm_slots: 100,
                memory_keep_resident: 2 << 20,
                table_keep_resident: 64 << 10,
                decommit_batch_size: 1,
                exhaustion: PoolExhaustion::Error,
                memory_reservation: 4 << 30,
                memory_guard: 32 << 20,
            },
        }
    }

    /// Bytes of stack that wasm code may use, from where the outermost call
    /// entered it; beyond that it traps. It may be up to 16 KiB more or less,
    /// and is less where the thread's stack ends earlier. Default: 512 KiB.
    ///
    /// Of a stack that is neither the thread's nor one of an async call, but a
    /// coroutine's for example, nobody here knows where it ends: below where wasm
    /// code is entered there have to be so many bytes and 80 KiB more, and a guard.
    /// Calls on several such stacks of a thread have to return in the reverse
    /// order of their beginnings.
    ///
    /// An artifact with a limit of its own in values (`wasmc
    /// --deterministic-stack`) says how many bytes they take at most, which
    /// `wasmc inspect` shows: with no less here, and beside it what functions
    /// of the host take in between, its own limit is reached first.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Bytes of the stack that each async call (`call_async`,
    /// `instantiate_async`) runs on: of these wasm code may use as many as
    /// [`max_wasm_stack`](Self::max_wasm_stack) says, and host functions that it
    /// calls can rely on the rest. With less than `max_wasm_stack`, async calls
    /// fail. Stacks take memory only as far down as they are used. A host
    /// function that uses more than there is ends the process, as on any other
    /// stack. Default: 2 MiB.
    #[cfg(feature = "async")]
    pub fn async_stack_size(&mut self, bytes: usize) -> &mut Self {
        self.stacks.size = bytes;
        self
    }

    /// Whether the stack of an async call is all zeros when the call begins,
    /// rather than having on it what the call before has left: no correct code
    /// reads that, so this is for defence in depth. It costs some 0.5 µs a call,
    /// and the page faults of calls that use more than 8 KiB. Default: no.
    #[cfg(feature = "async")]
    pub fn async_stack_zeroing(&mut self, enable: bool) -> &mut Self {
        self.stacks.zeroing = enable;
        self
    }

    /// How many unused stacks of async calls the engine keeps, beside eight that
    /// each thread keeps; of each, up to 64 KiB of memory. This is no limit for
    /// calls at the same time. Default: 1,000.
    #[cfg(feature = "async")]
    pub fn spare_async_stacks(&mut self, stacks: usize) -> &mut Self {
        self.stacks.spare = stacks;
        self
    }

    /// The stacks of an engine.
    #[cfg(feature = "async")]
    pub(crate) fn stacks(&self) -> crate::vm::stacks::Stacks {
        let StackSettings { size, zeroing, spare } = self.stacks;
        crate::vm::stacks::Stacks::new(size, zeroing, self.max_wasm_stack, spare)
    }

    /// Whether errors that come out of wasm have a
    /// [`WasmBacktrace`](crate::WasmBacktrace). Default: yes, unless the cargo
    /// feature `backtraces` is off.
    pub fn wasm_backtrace(&mut self, enable: bool) -> &mut Self {
        self.wasm_backtrace = enable;
        self
    }

    /// The largest number of frames, the innermost ones, that a backtrace
    /// has. Default: 20.
    pub fn wasm_backtrace_max_frames(&mut self, frames: usize) -> &mut Self {
        self.wasm_backtrace_max_frames = frames;
        self
    }

    /// Whether backtraces have files and lines of source code, where the
    /// artifact and this crate's cargo features allow it (see
    /// [`FrameInfo::symbols`](crate::FrameInfo::symbols)). Default: yes, as
    /// debug information is read only when somebody asks for it or prints a
    /// backtrace. The first time costs memory and time in proportion to it,
    /// which a host that prints errors of many modules may not want to spend.
    pub fn wasm_backtrace_details(&mut self, details: WasmBacktraceDetails) -> &mut Self {
        self.backtrace_details = details;
        self
    }

    /// Whether backtraces have files and lines.
    #[cfg(feature = "addr2line")]
    pub(crate) fn shows_details(&self) -> bool {
        match self.backtrace_details {
            WasmBacktraceDetails::Enable => true,
            WasmBacktraceDetails::Disable => false,
            WasmBacktraceDetails::Environment => std::env::var_os(DETAILS).is_some_and(|value| value == "1"),
        }
    }

    /// Whether code can be stopped at a deadline
    /// ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)) or by
    /// another thread
    /// ([`Store::interrupt_handle`](crate::Store::interrupt_handle)). Modules
    /// must then have been compiled with `wasmc --epoch`. Such modules run
    /// without this setting, too, and nobody stops them. Default: no.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.epoch_interruption = enable;
        self
    }

    /// Whether what code does is limited by fuel
    /// ([`Store::set_fuel`](crate::Store::set_fuel)). Modules must then have
    /// been compiled with `wasmc --fuel`. Such modules run without this setting,
    /// too, and then without a limit. Default: no.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.consume_fuel = enable;
        self
    }

    /// Whether debuggers are told about the functions of each module that is
    /// loaded, with source lines if it was compiled with `-g`: then gdb (and
    /// lldb, after `settings set plugin.jit-loader.gdb.enable on`) can break on
    /// them by name and walk their frames. Works for ELF artifacts on Linux,
    /// in a host that has a symbol table. Loading then copies the artifact,
    /// so the default is no. Profilers need none of this; see
    /// [`profiler`](Self::profiler).
    pub fn debugger(&mut self, enable: bool) -> &mut Self {
        self.debugger = enable;
        self
    }

    /// How a profiler learns the names of the functions of loaded modules.
    /// Default: [`ProfilingStrategy::None`], which is enough for `perf` where
    /// code is mapped from an artifact that was opened by its path
    /// ([`Module::open`](crate::Module::open)), or was linked into the program.
    ///
    /// With [`ProfilingStrategy::PerfMap`] it learns them of embedded modules and
    /// of those from bytes, too: their code is copied into memory that belongs to
    /// no file, for perf does not ask for other names of what does, and each load
    /// adds a line per function to `/tmp/perf-PID.map`. Names of modules that are
    /// dropped stay there. Loading fails if the file cannot be written. On other
    /// systems than Linux it changes nothing.
    pub fn profiler(&mut self, strategy: ProfilingStrategy) -> &mut Self {
        self.profiler = strategy;
        self
    }

    /// Whether [`Module::open`](crate::Module::open) copies an artifact into
    /// memory that nobody can change, rather than mapping its file: then
    /// truncating the file harms nothing. Costs a copy per module, and memory
    /// that processes do not share. Default: no.
    pub fn sealed_artifacts(&mut self, enable: bool) -> &mut Self {
        self.sealed_artifacts = enable;
        self
    }

    /// Where instances live. Default: [`InstanceAllocationStrategy::OnDemand`].
    pub fn allocation_strategy(&mut self, strategy: impl Into<InstanceAllocationStrategy>) -> &mut Self {
        self.allocation = strategy.into();
        self
    }

    /// Whether memories are copy-on-write views of the artifact, where that
    /// works, rather than copies of it. Default: yes.
    pub fn memory_init_cow(&mut self, enable: bool) -> &mut Self {
        self.copy_on_write = enable;
        self
    }

    /// Where instances live and how their memories begin, in one word. Sets
    /// what [`allocation_strategy`](Self::allocation_strategy) and
    /// [`memory_init_cow`](Self::memory_init_cow) set; a pool that was
    /// configured before keeps its limits.
    ///
    /// [`Engine::instantiation_strategy`](crate::Engine::instantiation_strategy)
    /// tells what is really in force.
    pub fn instantiation_strategy(&mut self, strategy: InstantiationStrategy) -> &mut Self {
        if !strategy.is_pooling() {
            self.allocation = InstanceAllocationStrategy::OnDemand;
        } else if self.allocation == InstanceAllocationStrategy::OnDemand {
            self.allocation = InstanceAllocationStrategy::pooling();
        }
        self.copy_on_write = strategy.is_copy_on_write();
        self.reuse_instances = strategy.reuses_instances();
        self
    }

    /// How large the memories of instances are and can become, whatever their
    /// modules say. Default: as the modules say.
    pub fn heap_alloc_strategy(&mut self, strategy: HeapAllocStrategy) -> &mut Self {
        self.heap = Some(strategy);
        self
    }

    /// On demand: of how many dropped instances of each module the address
    /// space is kept for the next ones, without a single page of memory.
    /// Works on Linux; elsewhere nothing is kept. Default: 8.
    pub fn spare_slots(&mut self, slots: usize) -> &mut Self {
        self.spare_slots = slots;
        self
    }

    /// The most bytes that the objects of a store's garbage-collected heap may
    /// have together, dead ones that were not found yet included; beyond that
    /// allocations trap ([`Trap::HeapExhausted`](crate::Trap::HeapExhausted)).
    /// While a collection goes on, the heap takes up to twice as much memory. A
    /// heap is also exhausted when a collection leaves less than one part in 64
    /// of it free. Default, and the most that is possible: about 1.5 GiB.
    pub fn gc_heap_limit(&mut self, bytes: usize) -> &mut Self {
        self.gc.limit = bytes;
        self
    }

    /// How many bytes of objects are allocated before the first collection, and
    /// at least between any two. It takes memory only as it is used. Default: 1
    /// MiB, at least 64 KiB.
    pub fn gc_heap_initial_size(&mut self, bytes: usize) -> &mut Self {
        self.gc.initial = bytes;
        self
    }

    /// Whether every allocation of an object collects garbage and moves all
    /// objects, so that whoever uses one that was not kept alive finds out at
    /// once. For tests: it makes programs very slow. Default: no.
    pub fn gc_stress(&mut self, enable: bool) -> &mut Self {
        self.gc.stress = enable;
        self
    }

    /// Bytes of address space for a memory with 64-bit indices, within which it
    /// can grow, unless its maximum is smaller or its initial size larger. In a
    /// pool it has what every memory there has
    /// ([`pool_memory_reservation`](Self::pool_memory_reservation)). Address
    /// space costs no memory, but even a 64-bit process has no more than 128
    /// TiB of it on most machines. Default: 64 GiB.
    pub fn memory64_reservation(&mut self, bytes: u64) -> &mut Self {
        self.memory64_reservation = bytes;
        self
    }

    /// Bytes of address space that are wanted for a memory with 64-bit indices.
    pub(crate) fn wide_memory_reservation(&self) -> u64 {
        let room = self.limits().map_or(u64::MAX, |limits| self.pool_memory_room(limits));
        self.memory64_reservation.min(room)
    }

    /// Bytes of address space that a memory has in a pool with these limits.
    pub(crate) fn pool_memory_room(&self, limits: &InstanceLimits) -> u64 {
        limits.memory_pages.saturating_mul(64 << 10).max(self.pool.memory_reservation)
    }

    /// How many slots of a pool that nobody uses may stay prepared for the
    /// module that they had last; the others give their memory back. None do
    /// without the cargo feature `recycling`. Default: 100.
    pub fn max_unused_warm_slots(&mut self, slots: u32) -> &mut Self {
        self.pool.max_unused_warm_slots = slots;
        self
    }

    /// Bytes of each linear memory in a pool that may stay resident from one
    /// instance to the next, restored by copying instead of by page faults.
    /// With 0, no page that an instance wrote outlives it. Pages that were only
    /// read belong to the file and are not counted. Default: 2 MiB.
    ///
    /// A process that uses `mlockall` has to do so before it makes instances:
    /// what it locks later is written without the page faults by which written
    /// pages are found.
    pub fn linear_memory_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.pool.memory_keep_resident = bytes;
        self
    }

    /// The same for each table of a slot. Works on Linux; elsewhere all of a
    /// table stays resident that was used. Default: 64 KiB.
    pub fn table_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.pool.table_keep_resident = bytes;
        self
    }

    /// How many slots that have to give memory back wait for each other, so
    /// that the system is asked for all of them in one go, by the thread that
    /// frees the last. Default: 1, at once.
    pub fn decommit_batch_size(&mut self, slots: usize) -> &mut Self {
        self.pool.decommit_batch_size = slots;
        self
    }

    /// What happens when all slots of a pool are in use. Default:
    /// [`PoolExhaustion::Error`].
    pub fn pool_exhaustion(&mut self, policy: PoolExhaustion) -> &mut Self {
        self.pool.exhaustion = policy;
        self
    }

    /// Bytes of address space for each memory in a pool. Modules whose code
    /// relies on more (a tunable of the compiler) are refused. Default: 4 GiB,
    /// for which modules are compiled by default.
    pub fn pool_memory_reservation(&mut self, bytes: u64) -> &mut Self {
        self.pool.memory_reservation = bytes;
        self
    }

    /// Inaccessible bytes after that. Default: 32 MiB, for which modules are
    /// compiled by default.
    pub fn pool_memory_guard(&mut self, bytes: u64) -> &mut Self {
        self.pool.memory_guard = bytes;
        self
    }

    /// The limits of the pool, if there is to be one.
    pub(crate) fn limits(&self) -> Option<&InstanceLimits> {
        match &self.allocation {
            InstanceAllocationStrategy::OnDemand => None,
            InstanceAllocationStrategy::Pooling { instance_limits, .. } => Some(instance_limits),
        }
    }
}
