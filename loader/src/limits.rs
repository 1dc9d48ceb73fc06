//! What a store may take: who decides about it, and the usual decision.
//!
//! A store without a limiter has none of this on its way: whether there is one
//! is looked at when something is made or grows, and all else is reached
//! through a pointer that [`Store::limiter`] alone makes.

use crate::error::{Error, Result};
use crate::module::Module;
use crate::store::Store;
use crate::types::{MemoryType, TableType};
use crate::vm::memory::MemoryData;
use crate::vm::state::StoreState;
use crate::vm::table::TableData;

/// What [`ResourceLimiter::instances`] says by default.
pub const DEFAULT_INSTANCE_LIMIT: usize = 10_000;
/// What [`ResourceLimiter::tables`] says by default.
pub const DEFAULT_TABLE_LIMIT: usize = 10_000;
/// What [`ResourceLimiter::memories`] says by default.
pub const DEFAULT_MEMORY_LIMIT: usize = 10_000;

/// Decides what the instances of a store may take; given to a store by
/// [`Store::limiter`]. [`StoreLimits`] is one with fixed limits.
///
/// It is asked before an instance is made, with all memories and tables that
/// the module defines; before the host makes a memory or a table; and before
/// one of them grows, whether by code or by the host. It is not asked
///
/// * when something is reset, since that takes no more than before;
/// * when a shared memory grows, which belongs to no store (its type has a
///   maximum); a shared memory that an instance defines is asked for when the
///   instance is made;
/// * for the objects of the garbage-collected heap, of which each store has one
///   with the limit [`Config::gc_heap_limit`](crate::Config::gc_heap_limit).
pub trait ResourceLimiter: Send {
    /// Whether a memory may grow from `current` to `desired` bytes; `current`
    /// is 0 for a new memory. `maximum` is what its type or the engine's
    /// configuration allows it, if that is less than what can be addressed;
    /// asked for more, the memory does not grow, whatever this returns.
    ///
    /// With `Ok(false)` a `memory.grow` returns -1, and a method of the host's
    /// fails.
    ///
    /// # Errors
    /// An error ends the calling code as if it had trapped there.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Takes note that a memory did not grow although
    /// [`memory_growing`](Self::memory_growing) would have allowed it, or that
    /// no memory can have the size that was asked for.
    ///
    /// # Errors
    /// As for [`memory_growing`](Self::memory_growing).
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        log::debug!("a memory did not grow: {error:#}");
        Ok(())
    }

    /// Whether a table may grow from `current` to `desired` elements, of eight
    /// bytes each; otherwise like [`memory_growing`](Self::memory_growing).
    ///
    /// # Errors
    /// As for [`memory_growing`](Self::memory_growing).
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// The same for a table as [`memory_grow_failed`](Self::memory_grow_failed).
    ///
    /// # Errors
    /// As for [`memory_growing`](Self::memory_growing).
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        log::debug!("a table did not grow: {error:#}");
        Ok(())
    }

    /// How many instances there may be in the store. Asked each time one is to
    /// be made, like the following two.
    fn instances(&self) -> usize {
        DEFAULT_INSTANCE_LIMIT
    }

    /// How many tables there may be in the store.
    fn tables(&self) -> usize {
        DEFAULT_TABLE_LIMIT
    }

    /// How many memories there may be in the store.
    fn memories(&self) -> usize {
        DEFAULT_MEMORY_LIMIT
    }
}

/// A [`ResourceLimiter`] with fixed limits, for each memory and table by
/// itself; from [`StoreLimitsBuilder`].
///
/// ```
/// # fn main() -> wasmc_loader::Result<()> {
/// use wasmc_loader::{Engine, Memory, MemoryType, Store, StoreLimits, StoreLimitsBuilder};
///
/// struct Request {
///     limits: StoreLimits,
/// }
///
/// let limits = StoreLimitsBuilder::new().memory_size(1 << 20).instances(2).build();
/// let mut store = Store::new(&Engine::default(), Request { limits });
/// store.limiter(|request| &mut request.limits);
///
/// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
/// assert!(memory.grow(&mut store, 15).is_ok());
/// assert!(memory.grow(&mut store, 1).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            memory_size: None,
            table_elements: None,
            instances: DEFAULT_INSTANCE_LIMIT,
            tables: DEFAULT_TABLE_LIMIT,
            memories: DEFAULT_MEMORY_LIMIT,
            trap_on_grow_failure: false,
        }
    }
}

impl StoreLimits {
    fn growing(&self, what: &str, desired: usize, [limit, maximum]: [Option<usize>; 2]) -> Result<bool> {
        let exceeded = [(limit, "the store's limit"), (maximum, "its maximum")];
        let exceeded =
            exceeded.iter().find_map(|(most, whose)| Some(((*most)?, whose)).filter(|(most, _)| desired > *most));
        match exceeded {
            Some((most, whose)) if self.trap_on_grow_failure => {
                Err(Error::msg(format!("a {what} was to grow to {desired}, and {whose} is {most}")))
            }
            exceeded => Ok(exceeded.is_none()),
        }
    }

    fn failed(&self, what: &str, error: Error) -> Result<()> {
        if self.trap_on_grow_failure {
            return Err(error.context(format!("a {what} did not grow")));
        }
        log::debug!("a {what} did not grow: {error:#}");
        Ok(())
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.growing("memory", desired, [self.memory_size, maximum])
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("memory", error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.growing("table", desired, [self.table_elements, maximum])
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("table", error)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// Makes [`StoreLimits`], which have the default limits of
/// [`ResourceLimiter`] at first and no others.
#[derive(Debug, Clone, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The most bytes that a memory may have, each by itself.
    #[must_use]
    pub fn memory_size(mut self, limit: usize) -> Self {
        self.0.memory_size = Some(limit);
        self
    }

    /// The most elements that a table may have, each by itself.
    #[must_use]
    pub fn table_elements(mut self, limit: usize) -> Self {
        self.0.table_elements = Some(limit);
        self
    }

    /// The most instances that the store may have.
    #[must_use]
    pub fn instances(mut self, limit: usize) -> Self {
        self.0.instances = limit;
        self
    }

    /// The most tables that the store may have.
    #[must_use]
    pub fn tables(mut self, limit: usize) -> Self {
        self.0.tables = limit;
        self
    }

    /// The most memories that the store may have.
    #[must_use]
    pub fn memories(mut self, limit: usize) -> Self {
        self.0.memories = limit;
        self
    }

    /// Whether code that grows a memory or table in vain is ended by an error,
    /// with a backtrace that tells where, rather than getting -1.
    #[must_use]
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
    #[must_use]
    pub fn build(self) -> StoreLimits {
        self.0
    }
}

impl<T: 'static> Store<T> {
    /// Sets who decides what instances of this store may take from now on;
    /// `limiter` finds it in the host's data, where it can keep account of
    /// what it has allowed. What is in the store already stays, and counts.
    ///
    /// Without a limiter, which is how a store begins, nothing but the engine's
    /// configuration limits it.
    pub fn limiter(&mut self, limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static) {
        self.set_limiter(Box::new(Now(limiter)));
    }

    /// Asks somebody else from now on.
    pub(crate) fn set_limiter(&mut self, find: Box<dyn Find<T>>) {
        let state = &self.inner.opaque.state;
        let taken = state.taken();
        state.limit_growth::<T>();
        self.inner.limiter = Some(Limiter { find, taken, before: taken });
    }
}

/// Numbers of what is in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) instances: usize,
    pub(crate) memories: usize,
    pub(crate) tables: usize,
}

impl Taken {
    /// With `more` of what `limiter` allows so many of.
    fn with(self, more: Taken, limiter: &Asked<'_>) -> Result<Taken> {
        let add = |what: &str, has: usize, more: usize, most: usize| match has.saturating_add(more) {
            all if more > 0 && all > most => {
                Err(Error::msg(format!("the store would have {all} {what}, and its limiter allows {most}")))
            }
            all => Ok(all),
        };
        let most = limiter.most();
        Ok(Taken {
            instances: add("instances", self.instances, more.instances, most.instances)?,
            memories: add("memories", self.memories, more.memories, most.memories)?,
            tables: add("tables", self.tables, more.tables, most.tables)?,
        })
    }
}

/// The limiter of a store, as it is asked.
pub(crate) enum Asked<'a> {
    /// One that answers at once.
    Now(&'a mut dyn ResourceLimiter),
    /// One that is waited for by the call that is in progress in a store.
    #[cfg(feature = "async")]
    Later(&'a mut dyn crate::async_limits::ResourceLimiterAsync, &'a StoreState),
}

impl Asked<'_> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        match self {
            Asked::Now(limiter) => limiter.memory_growing(current, desired, maximum),
            #[cfg(feature = "async")]
            Asked::Later(limiter, state) => state.ask_limiter(limiter.memory_growing(current, desired, maximum)),
        }
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        match self {
            Asked::Now(limiter) => limiter.memory_grow_failed(error),
            #[cfg(feature = "async")]
            Asked::Later(limiter, _) => limiter.memory_grow_failed(error),
        }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        match self {
            Asked::Now(limiter) => limiter.table_growing(current, desired, maximum),
            #[cfg(feature = "async")]
            Asked::Later(limiter, state) => state.ask_limiter(limiter.table_growing(current, desired, maximum)),
        }
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        match self {
            Asked::Now(limiter) => limiter.table_grow_failed(error),
            #[cfg(feature = "async")]
            Asked::Later(limiter, _) => limiter.table_grow_failed(error),
        }
    }

    /// How much there may be in the store.
    fn most(&self) -> Taken {
        match self {
            Asked::Now(limiter) => {
                Taken { instances: limiter.instances(), memories: limiter.memories(), tables: limiter.tables() }
            }
            #[cfg(feature = "async")]
            Asked::Later(limiter, _) => {
                Taken { instances: limiter.instances(), memories: limiter.memories(), tables: limiter.tables() }
            }
        }
    }
}

/// Finds the limiter in the host's data.
pub(crate) trait Find<T>: Send + Sync {
    /// The limiter; `state` is that of its store.
    fn find<'a>(&'a mut self, data: &'a mut T, state: &'a StoreState) -> Asked<'a>;

    /// Whether it has to be waited for.
    #[cfg(feature = "async")]
    fn is_async(&self) -> bool {
        false
    }
}

/// A limiter that answers at once.
struct Now<F>(F);

impl<T: 'static, F> Find<T> for Now<F>
where
    F: (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync,
{
    fn find<'a>(&'a mut self, data: &'a mut T, _state: &'a StoreState) -> Asked<'a> {
        Asked::Now((self.0)(data))
    }
}

/// A store's limiter, and what it has been asked about.
pub(crate) struct Limiter<T: 'static> {
    pub(crate) find: Box<dyn Find<T>>,
    taken: Taken,
    /// The same before it allowed something last.
    before: Taken,
}

impl<T: 'static> Limiter<T> {
    fn take(&mut self, taken: Taken) {
        self.before = std::mem::replace(&mut self.taken, taken);
    }

    /// Takes what was allowed last off the account again: it was not made.
    pub(crate) fn take_back(&mut self) {
        self.taken = self.before;
    }
}

/// A question to the limiter of a store.
pub(crate) struct Question<'a, T: 'static> {
    pub(crate) limiter: &'a mut Limiter<T>,
    pub(crate) data: &'a mut T,
    pub(crate) state: &'a StoreState,
}

impl<T: 'static> Question<'_, T> {
    fn asked(&mut self) -> Asked<'_> {
        self.limiter.find.find(self.data, self.state)
    }

    /// Whether there may be another instance of a module.
    pub(crate) fn instance(mut self, module: &Module) -> Result<()> {
        let taken = self.limiter.taken;
        let taken = admit_instance(&mut self.asked(), taken, module)?;
        self.limiter.take(taken);
        Ok(())
    }

    /// Whether the host may make a memory, which can have so many bytes.
    pub(crate) fn memory(mut self, ty: &MemoryType, limit: usize) -> Result<()> {
        let taken = self.limiter.taken;
        let mut asked = self.asked();
        let taken = taken.with(Taken { memories: 1, ..Taken::default() }, &asked)?;
        admit_memory(&mut asked, ty, limit)?;
        self.limiter.take(taken);
        Ok(())
    }

    /// Whether the host may make a table.
    pub(crate) fn table(mut self, ty: &TableType) -> Result<()> {
        let taken = self.limiter.taken;
        let mut asked = self.asked();
        let taken = taken.with(Taken { tables: 1, ..Taken::default() }, &asked)?;
        admit_table(&mut asked, ty)?;
        self.limiter.take(taken);
        Ok(())
    }

    /// Grows a memory; its old size, unless it does not become that large.
    pub(crate) fn grow_memory(mut self, memory: &MemoryData, delta: u64) -> Result<Option<u64>> {
        grow_memory(&mut self.asked(), memory, delta)
    }

    /// Grows a table; likewise.
    pub(crate) fn grow_table(mut self, table: &TableData, delta: u64, value: u64) -> Result<Option<u64>> {
        grow_table(&mut self.asked(), table, delta, value)
    }
}

fn admit_instance(limiter: &mut Asked<'_>, taken: Taken, module: &Module) -> Result<Taken> {
    let blueprint = module.blueprint();
    let more =
        Taken { instances: 1, memories: blueprint.memory_types().count(), tables: blueprint.table_types().count() };
    let taken = taken.with(more, limiter)?;
    for (ty, limit) in blueprint.memory_types() {
        admit_memory(limiter, ty, limit)?;
    }
    for ty in blueprint.table_types() {
        admit_table(limiter, ty)?;
    }
    Ok(taken)
}

fn admit_memory(limiter: &mut Asked<'_>, ty: &MemoryType, limit: usize) -> Result<()> {
    let bytes = ty.bytes(ty.minimum()).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
    if limiter.memory_growing(0, bytes, most_bytes(ty, limit))? {
        return Ok(());
    }
    Err(Error::msg(format!("the store's limiter does not allow a memory of {bytes} bytes")))
}

fn admit_table(limiter: &mut Asked<'_>, ty: &TableType) -> Result<()> {
    let elements = usize::try_from(ty.minimum()).unwrap_or(usize::MAX);
    if limiter.table_growing(0, elements, most_elements(ty, None))? {
        return Ok(());
    }
    Err(Error::msg(format!("the store's limiter does not allow a table of {elements} elements")))
}

/// The bytes that a memory can have, if that is less than what its type can
/// address.
fn most_bytes(ty: &MemoryType, limit: usize) -> Option<usize> {
    let declared = ty.maximum().and_then(|pages| ty.bytes(pages)).and_then(|most| usize::try_from(most).ok());
    let addressable = ty.bytes(ty.maximum_or_limit()).and_then(|most| usize::try_from(most).ok());
    let configured = Some(limit).filter(|limit| addressable.is_none_or(|most| *limit < most));
    declared.into_iter().chain(configured).min()
}

fn most_elements(ty: &TableType, capacity: Option<usize>) -> Option<usize> {
    let declared = ty.maximum().and_then(|most| usize::try_from(most).ok());
    declared.into_iter().chain(capacity).min()
}

fn grow_memory(limiter: &mut Asked<'_>, memory: &MemoryData, delta: u64) -> Result<Option<u64>> {
    if memory.shared().is_some() || delta == 0 {
        return Ok(memory.grow(delta));
    }
    let (ty, current) = (memory.ty(), memory.length());
    let bytes = ty.bytes(delta).and_then(|more| current.checked_add(usize::try_from(more).ok()?));
    let refused = |why: &str| Error::msg(format!("a memory of {current} bytes cannot grow by {delta} pages: {why}"));
    let Some(desired) = bytes else {
        limiter.memory_grow_failed(refused("that is more than can be addressed"))?;
        return Ok(None);
    };
    if !limiter.memory_growing(current, desired, most_bytes(ty, memory.plan().limit))? {
        return Ok(None);
    }
    let grown = memory.grow(delta);
    if grown.is_none() {
        limiter.memory_grow_failed(refused("that is more than its maximum, or the system has no more"))?;
    }
    Ok(grown)
}

fn grow_table(limiter: &mut Asked<'_>, table: &TableData, delta: u64, value: u64) -> Result<Option<u64>> {
    if delta == 0 {
        return Ok(table.grow(delta, value));
    }
    let current = table.length() as usize;
    let desired = usize::try_from(delta).ok().and_then(|delta| current.checked_add(delta));
    let refused = |why: &str| Error::msg(format!("a table of {current} elements cannot grow by {delta}: {why}"));
    let Some(desired) = desired else {
        limiter.table_grow_failed(refused("that is more than can be addressed"))?;
        return Ok(None);
    };
    if !limiter.table_growing(current, desired, most_elements(table.ty(), table.capacity()))? {
        return Ok(None);
    }
    let grown = table.grow(delta, value);
    if grown.is_none() {
        limiter.table_grow_failed(refused("that is more than its maximum, or there is no more memory"))?;
    }
    Ok(grown)
}
