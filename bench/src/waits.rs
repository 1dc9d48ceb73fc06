//! Awaited calls, compiled once for each side like `embed`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Result, ensure};

use super::api::{Engine, Linker, Module, Store, TypedFunc};
use crate::runtime::{self, Call};

/// An instance of the module of awaited calls.
pub struct Waits {
    store: Store<()>,
    nothing: TypedFunc<(), ()>,
    one_now: TypedFunc<i32, i32>,
    one_later: TypedFunc<i32, i32>,
    many_now: TypedFunc<i32, i32>,
    many_later: TypedFunc<i32, i32>,
}

/// Polls a future until it is done, at once whenever it is pending.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Is pending once.
async fn pause() {
    let mut was_pending = false;
    poll_fn(|_| if std::mem::replace(&mut was_pending, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Instantiates the module of awaited calls with its two host functions.
pub fn waits(engine: &Engine, module: &Module) -> Result<Waits> {
    let mut linker = Linker::<()>::new(engine);
    linker.func_wrap_async("host", "now", |_, (value,): (i32,)| Box::new(async move { value }))?;
    linker.func_wrap_async("host", "later", |_, (value,): (i32,)| {
        Box::new(async move {
            pause().await;
            value
        })
    })?;
    let mut store = Store::new(engine, ());
    let instance = finish(linker.instantiate_async(&mut store, module))?;
    let (i, s) = (&instance, &mut store);
    Ok(Waits {
        nothing: i.get_typed_func(&mut *s, "nothing")?,
        one_now: i.get_typed_func(&mut *s, "one-now")?,
        one_later: i.get_typed_func(&mut *s, "one-later")?,
        many_now: i.get_typed_func(&mut *s, "many-now")?,
        many_later: i.get_typed_func(&mut *s, "many-later")?,
        store,
    })
}

impl runtime::Calls for Waits {
    fn repeat(&mut self, call: Call, count: u32) -> Result<()> {
        let store = &mut self.store;
        let each = match call {
            Call::AwaitNothing => {
                for _ in 0..count {
                    finish(self.nothing.call_async(&mut *store, ()))?;
                }
                return Ok(());
            }
            Call::AwaitNow => &self.one_now,
            Call::AwaitLater => &self.one_later,
            Call::NowInside | Call::LaterInside => {
                let many = if call == Call::NowInside { &self.many_now } else { &self.many_later };
                let sum = finish(many.call_async(store, count.cast_signed()))?;
                let expected = (u64::from(count) * (u64::from(count) + 1) / 2) as i32;
                ensure!(sum == expected, "the calls add up to {sum}, not {expected}");
                return Ok(());
            }
            _ => anyhow::bail!("{call:?} is not awaited"),
        };
        for value in 0..count.cast_signed() {
            let result = finish(each.call_async(&mut *store, value))?;
            ensure!(result == value, "{value} has become {result}");
        }
        Ok(())
    }
}
