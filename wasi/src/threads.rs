//! wasi-threads: guests that start threads.
//!
//! ```text
//! guest: thread-spawn(argument) ──▶ WasiThreads ── a host thread, a store and an instance ──▶ wasi_thread_start(id, argument)
//! ```
//!
//! All instances of a guest are of one module, import one shared memory, and
//! see one WASI context.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use wasmc_loader::{
    Caller, Error, ExternType, Instance, InstancePre, Linker, MemoryType, Module, SharedMemory, Store, ValType,
};

/// What the guest exports for its threads to begin with.
const ENTRY: &str = "wasi_thread_start";
/// The module of the function that starts threads, and the function's name.
const SPAWN: (&str, &str) = ("wasi", "thread-spawn");
/// What that function returns if there is no thread.
const REFUSED: i32 = -1;
/// The largest identifier of a thread.
const LARGEST_ID: i32 = 0x1fff_ffff;
/// Bytes of a thread's stack: what wasm may use and much more, since only what
/// is used becomes resident.
const STACK: usize = 8 << 20;

/// Threads of a guest that may run at the same time, unless
/// [`limit`](WasiThreads::limit) says otherwise; the one that `_start` runs on
/// is not counted.
pub const DEFAULT_THREAD_LIMIT: u32 = 1024;

/// The threads of one guest: what `thread-spawn` starts them with.
///
/// wasi-threads wants a process to end as soon as one of its threads exits or
/// traps, or `_start` returns. No host thread can be ended from outside; so it
/// is the host that has to end, which it is told by the function given to
/// [`link`](WasiThreads::link). A host that serves several guests runs those
/// with threads in a process of their own.
///
/// Each thread's store gets a clone of the data of the store that it was
/// started from; clones of a [`WasiCtx`](crate::WasiCtx) are the same context.
///
/// ```no_run
/// use wasmc_loader::{Engine, Linker, Module, Store};
/// use wasmc_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiThreads};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::default();
/// // SAFETY: the file was written by `wasmc` and nobody changes it.
/// let module = unsafe { Module::open(&engine, "server.cwasm")? };
/// let mut linker: Linker<WasiCtx> = Linker::new(&engine);
/// wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
/// let mut store = Store::new(&engine, WasiCtxBuilder::new().inherit_stdio().build());
/// let threads = WasiThreads::link(&mut linker, &mut store, &module, |error| {
///     let exit = error.downcast_ref::<I32Exit>();
///     std::process::exit(exit.map_or(134, |exit| exit.0))
/// })?;
///
/// let instance = threads.instantiate(&mut store)?;
/// instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
/// // Other threads may still run; they end with this process.
/// # Ok(())
/// # }
/// ```
pub struct WasiThreads<T: 'static>(Arc<Inner<T>>);

struct Inner<T: 'static> {
    /// Set once the guest's imports are found, before it can run.
    guest: OnceLock<InstancePre<T>>,
    last_id: AtomicI32,
    live: AtomicU32,
    limit: AtomicU32,
    ended: Box<dyn Fn(Error) + Send + Sync>,
    prepare: OnceLock<Prepare<T>>,
}

/// What is done to the store of every thread.
type Prepare<T> = Box<dyn Fn(&mut Store<T>) + Send + Sync>;

impl<T: 'static> Clone for WasiThreads<T> {
    fn clone(&self) -> Self {
        WasiThreads(self.0.clone())
    }
}

impl<T: 'static> std::fmt::Debug for WasiThreads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { last_id, live, limit, .. } = &*self.0;
        f.debug_struct("WasiThreads")
            .field("started", last_id)
            .field("live", live)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

impl<T: 'static> WasiThreads<T> {
    /// Whether a module imports the function that starts threads, or a shared
    /// memory, as modules do that were compiled for a target with threads.
    pub fn are_used_by(module: &Module) -> bool {
        let shared = |ty: ExternType| ty.memory().is_some_and(MemoryType::is_shared);
        starts_threads(module) || module.imports().any(|import| shared(import.ty()))
    }

    /// Threads of the guest that run now, but for the one of `_start`.
    pub fn live(&self) -> u32 {
        self.0.live.load(Ordering::Relaxed)
    }

    /// Lets no more than `threads` run at the same time; `thread-spawn` fails
    /// beyond that. Default: [`DEFAULT_THREAD_LIMIT`].
    pub fn limit(&self, threads: u32) -> &Self {
        self.0.limit.store(threads, Ordering::Relaxed);
        self
    }
}

impl<T: Clone + Send + 'static> WasiThreads<T> {
    /// Finds the imports of `module` in `linker`, in which all of them must be
    /// defined but for `thread-spawn` of `wasi`, and shared memories: these
    /// are defined here, each memory as a new one. `store` is any store that
    /// the linker can be used with.
    ///
    /// `ended` is called on a thread of the guest that did not return, with
    /// the error: [`I32Exit`](crate::I32Exit) if it called `proc_exit`. It is
    /// expected to end the process; if it returns, the other threads go on.
    ///
    /// # Errors
    /// If an import is missing or does not fit, or the module starts threads
    /// and exports no function `wasi_thread_start` of two numbers.
    pub fn link(
        linker: &mut Linker<T>,
        store: &mut Store<T>,
        module: &Module,
        ended: impl Fn(Error) + Send + Sync + 'static,
    ) -> Result<WasiThreads<T>, Error> {
        if starts_threads(module) {
            check_entry(module)?;
        }
        let threads = WasiThreads(Arc::new(Inner {
            guest: OnceLock::new(),
            last_id: AtomicI32::new(0),
            live: AtomicU32::new(0),
            limit: AtomicU32::new(DEFAULT_THREAD_LIMIT),
            ended: Box::new(ended),
            prepare: OnceLock::new(),
        }));
        // The linker must not keep itself alive through what it defines.
        let weak = Arc::downgrade(&threads.0);
        let (name, function) = SPAWN;
        linker.func_wrap(name, function, move |caller: Caller<'_, T>, argument: i32| -> i32 {
            match weak.upgrade() {
                Some(threads) => spawn(&threads, caller.data().clone(), argument),
                None => REFUSED,
            }
        })?;
        define_memories(linker, store, module)?;
        // Nobody else has set it: nobody else has it.
        let _ = threads.0.guest.set(linker.instantiate_pre(module)?);
        Ok(threads)
    }

    /// Calls `prepare` with the store of every thread before its instance is
    /// made there: to set what is the store's own, such as deadlines and fuel.
    /// Only the first call of this counts.
    pub fn prepare(&self, prepare: impl Fn(&mut Store<T>) + Send + Sync + 'static) -> &Self {
        let _ = self.0.prepare.set(Box::new(prepare));
        self
    }

    /// Makes the guest's first instance, whose `_start` the host calls.
    ///
    /// # Errors
    /// As for [`InstancePre::instantiate`].
    pub fn instantiate(&self, store: &mut Store<T>) -> Result<Instance, Error> {
        self.0.instantiate(store)
    }
}

impl<T: 'static> Inner<T> {
    fn instantiate(&self, store: &mut Store<T>) -> Result<Instance, Error> {
        let guest = self.guest.get().ok_or_else(|| Error::msg("the guest's imports were not found"))?;
        guest.instantiate(store)
    }

    /// Counts a thread that is about to start, if there may be one more.
    fn enter(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |live| (live < limit).then_some(live + 1);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// The identifier for another thread. None is given twice.
    fn next_id(&self) -> Option<i32> {
        let next = |last| (last < LARGEST_ID).then_some(last + 1);
        self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(|last| last + 1)
    }
}

/// A thread that is counted among those that run.
struct Live<T: 'static>(Arc<Inner<T>>);

impl<T: 'static> Drop for Live<T> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a thread; its identifier, or a negative number if there is none.
fn spawn<T: Clone + Send + 'static>(threads: &Arc<Inner<T>>, data: T, argument: i32) -> i32 {
    if !threads.enter() {
        return REFUSED;
    }
    let live = Live(threads.clone());
    let Some(id) = threads.next_id() else { return REFUSED };
    let builder = std::thread::Builder::new().name(format!("wasi-thread-{id}")).stack_size(STACK);
    let run = move || {
        let threads = &live.0;
        let done = catch_unwind(AssertUnwindSafe(|| run(threads, data, id, argument)));
        if let Err(error) = done.unwrap_or_else(|panic| Err(panicked(id, &*panic))) {
            (threads.ended)(error);
        }
    };
    // The thread is the guest's, and nobody waits for its end but the guest.
    if builder.spawn(run).is_ok() { id } else { REFUSED }
}

/// What a thread does.
fn run<T: Send + 'static>(threads: &Inner<T>, data: T, id: i32, argument: i32) -> Result<(), Error> {
    let guest = threads.guest.get().ok_or_else(|| Error::msg("the guest's imports were not found"))?;
    let mut store = Store::new(guest.module().engine(), data);
    if let Some(prepare) = threads.prepare.get() {
        prepare(&mut store);
    }
    let failed = || format!("in thread {id} of the guest");
    let instance = guest.instantiate(&mut store).map_err(|error| error.context(failed()))?;
    let entry = instance.get_typed_func::<(i32, i32), ()>(&mut store, ENTRY)?;
    entry.call(&mut store, (id, argument)).map_err(|error| error.context(failed()))
}

fn panicked(id: i32, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::msg(format!("a host function panicked in thread {id} of the guest: {}", text.unwrap_or("without a message")))
}

fn starts_threads(module: &Module) -> bool {
    module.imports().any(|import| (import.module(), import.name()) == SPAWN)
}

fn check_entry(module: &Module) -> Result<(), Error> {
    let ty = module.get_export(ENTRY);
    let fits = |ty: &ExternType| {
        ty.func().is_some_and(|ty| ty.params() == [ValType::I32, ValType::I32] && ty.results().is_empty())
    };
    match ty {
        Some(ty) if fits(&ty) => Ok(()),
        Some(ty) => Err(Error::msg(format!(
            "the guest's export `{ENTRY}` is a {ty}, and not a function of two i32: it cannot start threads"
        ))),
        None => Err(Error::msg(format!(
            "the guest exports no function `{ENTRY}`, which its threads begin with; compile it for a target with threads"
        ))),
    }
}

/// Defines the shared memories that a module imports and nobody has defined.
fn define_memories<T: 'static>(linker: &mut Linker<T>, store: &mut Store<T>, module: &Module) -> Result<(), Error> {
    for import in module.imports() {
        let ExternType::Memory(ty) = import.ty() else { continue };
        if ty.is_shared() && linker.get_by_import(&mut *store, &import).is_none() {
            let memory = SharedMemory::new(module.engine(), ty)?;
            linker.define(&mut *store, import.module(), import.name(), memory)?;
        }
    }
    Ok(())
}
