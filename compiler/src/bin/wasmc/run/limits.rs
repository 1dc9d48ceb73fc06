//! How long the program may run, and how much it may do.

use crate::args::RunArgs;
use crate::log::{count, duration};
use anyhow::Context;
use std::time::Duration;
use wasmc_loader::{Engine, Error, Store, Trap};

/// What the user has said about that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    timeout: Option<Duration>,
    fuel: Option<u64>,
}

impl Limits {
    /// Begins to count the time, if it is limited.
    pub(super) fn new(args: &RunArgs, engine: &Engine) -> anyhow::Result<Limits> {
        if let Some(timeout) = args.timeout {
            let engine = engine.clone();
            let wait = move || {
                std::thread::sleep(timeout);
                // And then again and again, for threads that were just begun.
                loop {
                    engine.increment_epoch();
                    std::thread::sleep(Duration::from_millis(10));
                }
            };
            let clock = std::thread::Builder::new().name("timeout".to_owned()).spawn(wait);
            clock.context("cannot start the thread that counts the time")?;
        }
        Ok(Limits { timeout: args.timeout, fuel: args.fuel })
    }

    /// Gives a store, that of the program or of one of its threads, its share.
    pub(super) fn apply<T>(&self, store: &mut Store<T>) {
        if self.timeout.is_some() {
            store.set_epoch_deadline(1);
        }
        if let Some(fuel) = self.fuel {
            // The engine was made for it.
            store.set_fuel(fuel).unwrap_or_else(|error| unreachable!("{error}"));
        }
    }

    /// Says of an error which limit it was.
    pub(super) fn explain(&self, error: Error) -> Error {
        match (error.downcast_ref::<Trap>(), self.timeout, self.fuel) {
            (Some(Trap::Interrupt), Some(timeout), _) => {
                error.context(format!("it was stopped after {}, as `--timeout` says", duration(timeout)))
            }
            (Some(Trap::OutOfFuel), _, Some(fuel)) => {
                let units = count(fuel, "unit");
                error.context(format!("it was stopped after {units} of work, as `--fuel` says"))
            }
            _ => error,
        }
    }
}
