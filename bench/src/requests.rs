//! Samples of requests, each served by an instance in its first state.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bench::{Bench, Side};
use crate::guests::Guest;
use crate::runtime::{Allocation, MARK, Runtime, Starter, Tuning, Work};
use crate::sample::{Pair, Sampler, interleave_tuned, per_operation};

/// How a request comes by its instance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Each has its own, dropped at its end with its store.
    Drop,
    /// All have the same, made as good as new in between. The peer cannot do
    /// that and does as under `Drop`.
    Reset,
}

/// Microseconds of a request that does `work` on an instance of `guest`, in
/// the same rounds for both sides and, where there is a pool, for the peer's
/// tuned one.
pub fn requests<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    guest: &Guest,
    allocation: Allocation,
    way: Way,
    work: Work,
) -> Result<Pair> {
    let ours = sampler(&bench.ours, guest, allocation, way, work)?;
    let peer = sampler(&bench.peer, guest, allocation, way, work)?;
    let tuned = match tuned(allocation) {
        Some(tuned) => Some(sampler(&bench.peer, guest, tuned, way, work)?),
        None => None,
    };
    interleave_tuned(bench.plan(20, 60, Duration::from_secs(2)), ours, peer, tuned)
}

/// The allocation of the tuned peer; there is nothing to tune on demand.
pub fn tuned(allocation: Allocation) -> Option<Allocation> {
    allocation.strategy.is_pooling().then_some(Allocation { tuning: Tuning::Tuned, ..allocation })
}

/// Takes samples of one side, each of as many requests as take 10 ms.
pub fn sampler<R: Runtime>(
    side: &Side<R>,
    guest: &Guest,
    allocation: Allocation,
    way: Way,
    work: Work,
) -> Result<Sampler<'static>> {
    let target = Duration::from_millis(10);
    let starter = side.starter(allocation, guest)?;
    check(&starter, way, work).with_context(|| format!("{} with {allocation:?}", R::NAME))?;
    let mut nanoseconds: Sampler<'static> = match way {
        Way::Drop => Box::new(per_operation(target, move |count| (0..count).try_for_each(|_| starter.life(work)))?),
        Way::Reset => {
            let mut kept = starter.keep()?;
            let mut renew = move |_| {
                starter.renew(&mut kept)?;
                starter.serve(&mut kept, work)
            };
            Box::new(per_operation(target, move |count| (0..count).try_for_each(&mut renew))?)
        }
    };
    Ok(Box::new(move || Ok(nanoseconds()? / 1e3)))
}

/// A request must find the first state of the module, not what the request
/// before it wrote; else the figures would be of something else.
fn check<S: Starter>(starter: &S, way: Way, work: Work) -> Result<()> {
    let mut kept = starter.keep()?;
    let first = starter.marks(&mut kept, work)?;
    for round in 0..3 {
        starter.serve(&mut kept, work)?;
        let written = starter.marks(&mut kept, work)?;
        ensure!(written.iter().all(|&byte| byte == MARK), "request {round} did not write");
        match way {
            Way::Reset => starter.renew(&mut kept)?,
            Way::Drop => {
                drop(kept);
                kept = starter.keep()?;
            }
        }
        ensure!(starter.marks(&mut kept, work)? == first, "request {round} left something behind");
    }
    Ok(())
}
