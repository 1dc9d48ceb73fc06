//! Stopping code: deadlines, interrupts and fuel, as the host uses them.

use crate::caller::Caller;
use crate::epochs::{Deadline, InterruptHandle};
use crate::error::{Error, Result};
use crate::store::{Store, StoreContext, StoreContextMut, StoreOpaque};

/// What happens to code whose deadline is over; from a callback that was set
/// with [`Store::epoch_deadline_callback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// It goes on, until so many epochs from now.
    Continue(u64),
    /// It traps with [`Trap::Interrupt`](crate::Trap::Interrupt).
    Interrupt,
    /// The future of the async call is pending once, and wakes its task; then
    /// the code goes on, until so many epochs from then. In a call that cannot
    /// be suspended this is an error ([`SuspendError`](crate::SuspendError)).
    #[cfg(feature = "async")]
    Yield(u64),
}

/// A callback for deadlines.
pub(crate) type OnDeadline<T> =
    Box<dyn FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static>;

impl StoreOpaque {
    /// The deadline; an error if the engine has no epochs.
    fn try_deadline(&self) -> Result<&Deadline> {
        self.state.deadline().ok_or_else(|| {
            Error::msg("the engine has no epochs; switch them on with `Config::epoch_interruption(true)`")
        })
    }

    /// # Panics
    /// If the engine has no epochs.
    #[track_caller]
    fn deadline(&self) -> &Deadline {
        match self.try_deadline() {
            Ok(deadline) => deadline,
            Err(error) => panic!("{error}"),
        }
    }

    /// An error if the engine's code has no fuel.
    fn fueled(&self) -> Result<()> {
        if self.engine.config().consume_fuel {
            return Ok(());
        }
        Err(Error::msg("the engine's code does not count fuel; let it do so with `Config::consume_fuel(true)`"))
    }

    fn fuel(&self) -> Result<u64> {
        self.fueled().map(|()| self.state.fuel())
    }

    fn set_fuel(&self, fuel: u64) -> Result<()> {
        self.fueled().map(|()| self.state.set_fuel(fuel))
    }
}

impl<T: 'static> Store<T> {
    /// Sets the deadline of the store's code so many epochs from now
    /// ([`Engine::increment_epoch`]); `u64::MAX` is as good as never. What
    /// happens then is up to [`epoch_deadline_trap`], which is the default, or
    /// [`epoch_deadline_callback`].
    ///
    /// A new store has a deadline that is over already: code that is entered
    /// before one was set stops at its first loop. The deadline is the store's,
    /// and applies to all calls into it, to start functions, and to resets, which
    /// do not change it.
    ///
    /// ```
    /// # use wasmc_loader::{Config, Engine, Result, Store};
    /// # fn main() -> Result<()> {
    /// let engine = Engine::new(Config::new().epoch_interruption(true))?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_epoch_deadline(2);
    /// // Another thread, or a timer's signal, calls `engine.increment_epoch()`
    /// // every 10 ms: calls from here on take less than 20 ms.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the engine has no epochs
    /// ([`Config::epoch_interruption`](crate::Config::epoch_interruption)).
    ///
    /// [`Engine::increment_epoch`]: crate::Engine::increment_epoch
    /// [`epoch_deadline_trap`]: Self::epoch_deadline_trap
    /// [`epoch_deadline_callback`]: Self::epoch_deadline_callback
    #[track_caller]
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        self.inner.opaque.deadline().set(ticks);
    }

    /// Lets code that is beyond its deadline trap with
    /// [`Trap::Interrupt`](crate::Trap::Interrupt). Until a later one is set,
    /// the next call does so, too.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner.on_deadline = None;
        self.inner.opaque.state.trap_at_deadline();
    }

    /// Asks `callback` what to do with code that is beyond its deadline. It may
    /// use the store as a host function may, call code of it as well; but that
    /// code traps if it gets beyond a deadline itself, which is over until the
    /// callback sets another one. If it fails, so does the call.
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.inner.on_deadline = Some(Box::new(callback));
        self.inner.ask_at_deadline();
    }

    /// Lets code that is beyond its deadline yield to other tasks, and then go
    /// on until `ticks` epochs later: the future of the async call is pending
    /// once, and wakes its task. Code of a call that cannot be suspended ends
    /// with a [`SuspendError`](crate::SuspendError) there.
    #[cfg(feature = "async")]
    pub fn epoch_deadline_async_yield_and_update(&mut self, ticks: u64) {
        self.epoch_deadline_callback(move |_| Ok(UpdateDeadline::Yield(ticks)));
    }

    /// Lets code yield to other tasks whenever it has used up so much fuel,
    /// counted from here: the future of the async call is pending once, and
    /// wakes its task. Code of a call that cannot be suspended ends with a
    /// [`SuspendError`](crate::SuspendError) there. What there is of fuel does
    /// not change. A short loop that calls nothing may go on for up to 256 more
    /// rounds. Without an interval, which is the default, code runs until it has
    /// none.
    ///
    /// # Errors
    /// As for [`get_fuel`](Self::get_fuel); if the interval is 0.
    #[cfg(feature = "async")]
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.inner.opaque.fueled()?;
        if interval == Some(0) {
            return Err(Error::msg(
                "code cannot yield each time it has used up no fuel: give an interval of 1 or more",
            ));
        }
        self.inner.opaque.state.set_fuel_interval(interval);
        Ok(())
    }

    /// What stops code of this store from another thread.
    ///
    /// ```
    /// # use wasmc_loader::{Config, Engine, Result, Store};
    /// # fn main() -> Result<()> {
    /// let engine = Engine::new(Config::new().epoch_interruption(true))?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_epoch_deadline(u64::MAX);
    /// let handle = store.interrupt_handle()?;
    /// let watchdog = std::thread::spawn(move || handle.interrupt());
    /// // A call into `store` ends with `Trap::Interrupt`.
    /// # watchdog.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the engine has no epochs
    /// ([`Config::epoch_interruption`](crate::Config::epoch_interruption)).
    pub fn interrupt_handle(&self) -> Result<InterruptHandle> {
        self.inner.opaque.try_deadline().map(Deadline::handle)
    }

    /// How much fuel is left; 0 after code has run out of it.
    ///
    /// After a call that has returned, and in host functions and after they have
    /// failed, that is exact. After a trap it is at least what is left: what the
    /// code has done since it last looked at its fuel is not taken off, which is
    /// up to 255 rounds of a short loop that calls nothing, and straight code
    /// otherwise. How much that is, is fixed by the module and its input, too: it
    /// is the same in every run, on every machine, and for every optimisation level.
    ///
    /// # Errors
    /// If the engine's code has no fuel
    /// ([`Config::consume_fuel`](crate::Config::consume_fuel)).
    pub fn get_fuel(&self) -> Result<u64> {
        self.inner.opaque.fuel()
    }

    /// Sets how much work code of this store may still do, in all calls
    /// together, start functions and resets included; what it costs is said at
    /// the compiler's option. A new store has none. Resets do not change it.
    ///
    /// # Errors
    /// As for [`get_fuel`](Self::get_fuel).
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.inner.opaque.set_fuel(fuel)
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// As there.
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.opaque.fuel()
    }
}

macro_rules! contexts {
    ($($context:ident: |$this:ident| $store:expr;)*) => {$(
        impl<T: 'static> $context<'_, T> {
            /// As [`Store::set_epoch_deadline`].
            ///
            /// # Panics
            /// As there.
            #[track_caller]
            pub fn set_epoch_deadline(&mut self, ticks: u64) {
                let $this = self;
                $store.opaque.deadline().set(ticks);
            }

            /// As [`Store::get_fuel`].
            ///
            /// # Errors
            /// As there.
            pub fn get_fuel(&self) -> Result<u64> {
                let $this = self;
                $store.opaque.fuel()
            }

            /// As [`Store::set_fuel`].
            ///
            /// # Errors
            /// As there.
            pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
                let $this = self;
                $store.opaque.set_fuel(fuel)
            }
        }
    )*};
}

contexts! {
    StoreContextMut: |this| this.0;
    Caller: |this| this.inner();
}
