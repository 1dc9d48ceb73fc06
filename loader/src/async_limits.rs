//! Limiters that can be awaited.

use crate::error::{Error, Result};
use crate::limits::{Asked, DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, Find};
use crate::store::Store;
use crate::vm::state::StoreState;

/// A [`ResourceLimiter`](crate::ResourceLimiter) that may take its time to
/// decide; given to a store by [`Store::limiter_async`]. The growing code waits
/// meanwhile, and the future of its call is pending.
///
/// What it is asked, and when, is said at `ResourceLimiter`. The trait is made
/// with the macro of the crate `async-trait`, and so is what implements it:
///
/// ```
/// use wasmc_loader::{Engine, Memory, MemoryType, ResourceLimiterAsync, Result, Store};
///
/// # async fn a_neighbour_gives_memory_back() {}
/// struct Patient;
///
/// #[async_trait::async_trait]
/// impl ResourceLimiterAsync for Patient {
///     async fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
///         a_neighbour_gives_memory_back().await;
///         Ok(desired <= 64 << 20)
///     }
///
///     async fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> Result<bool> {
///         Ok(true)
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// let mut store = Store::new(&Engine::default(), Patient);
/// store.limiter_async(|patient| patient);
/// let memory = Memory::new_async(&mut store, MemoryType::new(1, None)).await?;
/// assert_eq!(memory.grow_async(&mut store, 1).await?, 1);
/// # Ok(())
/// # }
/// ```
#[async_trait::async_trait]
pub trait ResourceLimiterAsync: Send {
    /// As [`ResourceLimiter::memory_growing`](crate::ResourceLimiter::memory_growing).
    ///
    /// # Errors
    /// As there.
    async fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// As [`ResourceLimiter::memory_grow_failed`](crate::ResourceLimiter::memory_grow_failed).
    ///
    /// # Errors
    /// As there.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        log::debug!("a memory did not grow: {error:#}");
        Ok(())
    }

    /// As [`ResourceLimiter::table_growing`](crate::ResourceLimiter::table_growing).
    ///
    /// # Errors
    /// As there.
    async fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// As [`ResourceLimiter::table_grow_failed`](crate::ResourceLimiter::table_grow_failed).
    ///
    /// # Errors
    /// As there.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        log::debug!("a table did not grow: {error:#}");
        Ok(())
    }

    /// How many instances there may be in the store.
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

/// A limiter that has to be waited for.
struct Later<F>(F);

impl<T: 'static, F> Find<T> for Later<F>
where
    F: (FnMut(&mut T) -> &mut dyn ResourceLimiterAsync) + Send + Sync,
{
    fn find<'a>(&'a mut self, data: &'a mut T, state: &'a StoreState) -> Asked<'a> {
        Asked::Later((self.0)(data), state)
    }

    fn is_async(&self) -> bool {
        true
    }
}

impl<T: 'static> Store<T> {
    /// As [`limiter`](Self::limiter), for somebody who may take time to decide.
    ///
    /// From now on whatever asks the limiter has to be awaited: instances are
    /// made with `instantiate_async`, memories and tables with `new_async`, they
    /// grow with `grow_async`, and functions that may let them grow are called
    /// with `call_async`. What is not fails with
    /// [`SuspendError::Limiter`](crate::SuspendError::Limiter) when it would have
    /// to ask, even if there is an answer at once; the code that was to grow
    /// something is ended by that.
    pub fn limiter_async(
        &mut self,
        limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiterAsync) + Send + Sync + 'static,
    ) {
        self.set_limiter(Box::new(Later(limiter)));
    }
}
