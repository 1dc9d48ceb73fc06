//! Stores: what instances live in, and the data of the host that goes with
//! them.

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::Result;
use crate::instance;
use crate::interruption::OnDeadline;
use crate::limits::{Limiter, Question};
use crate::vm::handle::{StoreId, Stored};
use crate::vm::host::HostFunc;
use crate::vm::lifecycle;
use crate::vm::memory::MemoryData;
use crate::vm::shared::Lease;
use crate::vm::state::VmStore;
use crate::vm::table::TableData;

/// Owns instances and everything made for them, and a value of the host's.
///
/// Instances are freed when the store is dropped, not before; a store is
/// meant to live as long as a request or a session. All handles ([`Func`],
/// [`Memory`], …) belong to the store they were made in; using one with
/// another store panics.
///
/// ```
/// use wasmc_loader::{Engine, Memory, MemoryType, Result, Store};
///
/// # fn main() -> Result<()> {
/// let engine = Engine::default();
/// let mut store = Store::new(&engine, String::from("of this request"));
/// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
/// memory.write(&mut store, 0, b"of the store")?;
/// store.data_mut().push_str(", changed");
/// assert_eq!(store.into_data(), "of this request, changed");
/// // The memory is gone with its store.
/// # Ok(())
/// # }
/// ```
///
/// [`Func`]: crate::Func
/// [`Memory`]: crate::Memory
pub struct Store<T: 'static> {
    pub(crate) inner: Box<StoreInner<T>>,
}

/// The store behind `Store<T>` and its contexts.
pub struct StoreInner<T: 'static> {
    pub(crate) opaque: StoreOpaque,
    /// Who decides what instances may take, if anybody does.
    pub(crate) limiter: Option<Limiter<T>>,
    /// Whom code asks that is beyond its deadline.
    pub(crate) on_deadline: Option<OnDeadline<T>>,
    pub(crate) data: T,
    #[cfg(feature = "call-hook")]
    pub(crate) hook: Option<crate::hook::Hook<T>>,
}

impl<T: 'static> StoreInner<T> {
    /// The limiter, to be asked, if there is one.
    fn question(&mut self) -> Option<Question<'_, T>> {
        let limiter = self.limiter.as_mut()?;
        Some(Question { limiter, data: &mut self.data, state: &self.opaque.state })
    }

    /// Makes something for the host if the limiter, where there is one, allows
    /// it, who also gets to know if it was not made after all.
    ///
    /// # Errors
    /// If the limiter is against it, or it cannot be made.
    #[inline]
    pub(crate) fn limited<R>(
        &mut self,
        ask: impl FnOnce(Question<'_, T>) -> Result<()>,
        make: impl FnOnce(&mut StoreOpaque) -> Result<R>,
    ) -> Result<R> {
        {
            #[cfg(feature = "async")]
            let _outside = self.opaque.state.wait_outside_calls();
            self.question().map_or(Ok(()), ask)?;
        }
        let made = make(&mut self.opaque);
        if made.is_err()
            && let Some(limiter) = &mut self.limiter
        {
            limiter.take_back();
        }
        made
    }

    /// Whether the limiter has to be waited for.
    #[cfg(feature = "async")]
    pub(crate) fn waits_for_limiter(&self) -> bool {
        self.limiter.as_ref().is_some_and(|limiter| limiter.find.is_async())
    }

    /// Grows a memory of this store by `delta` pages; the old size in pages, or
    /// `None` if it does not become that large.
    ///
    /// # Errors
    /// If the limiter wants that.
    pub(crate) fn grow_memory(&mut self, memory: &MemoryData, delta: u64) -> Result<Option<u64>> {
        match self.question() {
            Some(question) => question.grow_memory(memory, delta),
            None => Ok(memory.grow(delta)),
        }
    }

    /// Grows a table of this store by `delta` elements; likewise.
    ///
    /// # Errors
    /// If the limiter wants that.
    pub(crate) fn grow_table(&mut self, table: &TableData, delta: u64, value: u64) -> Result<Option<u64>> {
        match self.question() {
            Some(question) => question.grow_table(table, delta, value),
            None => Ok(table.grow(delta, value)),
        }
    }
}

/// The part of a store that does not depend on the type of its data.
pub struct StoreOpaque {
    id: StoreId,
    pub(crate) state: VmStore,
    /// Host functions for whose type no module so far has an adapter.
    pub(crate) unadapted: Vec<Stored<HostFunc>>,
    /// Released after everything that lives in the store.
    pub(crate) engine: Lease<Engine>,
}

impl StoreOpaque {
    /// The store's identity.
    #[inline(always)]
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }
}

impl<T: 'static> StoreInner<T> {
    pub(crate) fn reset(&mut self) -> Result<()> {
        lifecycle::restore_all(self)?;
        for index in 0..self.opaque.state.instance_count() {
            instance::start(self, index)?;
        }
        Ok(())
    }
}

impl<T: 'static> Store<T> {
    /// An empty store.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        let mut state = VmStore::new(engine.stack_size(), engine.backtrace_frames());
        state.limit_work(engine.epochs(), engine.config().consume_fuel);
        state.configure_heap(engine.config().gc);
        let id = state.id();
        let opaque = StoreOpaque { id, state, unadapted: Vec::new(), engine: engine.lease() };
        Store {
            inner: Box::new(StoreInner {
                opaque,
                limiter: None,
                on_deadline: None,
                data,
                #[cfg(feature = "call-hook")]
                hook: None,
            }),
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The host's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Makes everything in the store as it was at first: every instance, as
    /// [`Instance::reset`] does, with the start functions in the order in which
    /// the instances were made; memories, tables and globals that the host has
    /// made; and [`ExternRef`]s, which are dropped. Handles of all others stay
    /// valid.
    ///
    /// To serve the next request, put its data into the store first, as start
    /// functions may use it:
    ///
    /// ```
    /// # use wasmc_loader::{Engine, Result, Store};
    /// # fn main() -> Result<()> {
    /// # let engine = Engine::default();
    /// let mut store = Store::new(&engine, "first request");
    /// // ... instantiate, call ...
    /// let first = std::mem::replace(store.data_mut(), "second request");
    /// store.reset()?;
    /// // ... call ...
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A table or global of the host's whose first value is an [`ExternRef`]
    /// or refers to an object is null after a reset, as that is dropped.
    ///
    /// # Errors
    /// As for [`Instance::reset`]; if such a table or global is of a type that
    /// cannot be null.
    ///
    /// [`Instance::reset`]: crate::Instance::reset
    /// [`ExternRef`]: crate::ExternRef
    pub fn reset(&mut self) -> Result<()> {
        self.inner.reset()
    }

    /// Drops the store and returns the host's data.
    pub fn into_data(self) -> T {
        self.inner.data
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.opaque.engine
    }
}

impl<T: std::fmt::Debug + 'static> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", &self.inner.data).finish_non_exhaustive()
    }
}

/// A borrowed store.
#[derive(Clone, Copy)]
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreInner<T>);

/// An exclusively borrowed store.
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreInner<T>);

impl<'a, T: 'static> StoreContext<'a, T> {
    /// The host's data.
    pub fn data(&self) -> &'a T {
        &self.0.data
    }

    /// The engine.
    pub fn engine(&self) -> &'a Engine {
        &self.0.opaque.engine
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// The host's data.
    pub fn data(&self) -> &T {
        &self.0.data
    }

    /// The host's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.opaque.engine
    }
}

/// What gives access to a store: the store, its contexts, a
/// [`Caller`](crate::Caller), and references to them.
pub trait AsContext {
    /// The type of the host's data.
    type Data: 'static;

    /// The store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// What gives exclusive access to a store.
pub trait AsContextMut: AsContext {
    /// The store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&self.inner)
    }
}
impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(&mut self.inner)
    }
}

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}
impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}
impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;
    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}
impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}

macro_rules! contexts {
    ($($context:ident of $reference:ty, |$store:ident| $convert:expr;)*) => {$(
        impl<'a, T: 'static> From<$reference> for $context<'a, T> {
            #[inline]
            fn from($store: $reference) -> Self {
                $convert
            }
        }
    )*};
}

contexts! {
    StoreContext of &'a Store<T>, |store| AsContext::as_context(store);
    StoreContext of &'a mut Store<T>, |store| AsContext::as_context(&*store);
    StoreContext of &'a StoreContextMut<'_, T>, |store| AsContext::as_context(store);
    StoreContext of &'a mut StoreContextMut<'_, T>, |store| AsContext::as_context(&*store);
    StoreContext of &'a Caller<'_, T>, |store| AsContext::as_context(store);
    StoreContext of &'a mut Caller<'_, T>, |store| AsContext::as_context(&*store);
    StoreContextMut of &'a mut Store<T>, |store| AsContextMut::as_context_mut(&mut *store);
    StoreContextMut of &'a mut StoreContextMut<'_, T>, |store| AsContextMut::as_context_mut(&mut *store);
    StoreContextMut of &'a mut Caller<'_, T>, |store| AsContextMut::as_context_mut(&mut *store);
}
