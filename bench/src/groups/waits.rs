//! Calls that are awaited, on stacks of their own. Nothing else happens between
//! two polls, so what is measured is the way there and back.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::{Artifact, Bench, Side, runtime};
use crate::runtime::{Allocation, Call, Calls as _, Runtime, Strategy, Tuning};
use crate::sample::{interleave, per_operation};

const FIGURES: [(&str, Call); 5] = [
    ("call_async of an empty function", Call::AwaitNothing),
    ("call_async, with an async host call that is ready", Call::AwaitNow),
    ("call_async, with one that is pending once", Call::AwaitLater),
    ("an async host call that is ready, from wasm", Call::NowInside),
    ("one that is pending once, from wasm", Call::LaterInside),
];

/// The peer has stacks in a pool only where instances are in one.
const WAYS: [(&str, Allocation); 2] = [
    ("pooled", Allocation { strategy: Strategy::PoolingCopyOnWrite, tuning: Tuning::Defaults }),
    ("on demand", Allocation { strategy: Strategy::RecreateInstanceCopyOnWrite, tuning: Tuning::Defaults }),
];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for (way, allocation) in WAYS {
        for (name, call) in FIGURES {
            bench.figure("async", &format!("{name}, {way}"), "ns", |bench| {
                let target = Duration::from_millis(5);
                let mut ours = instance(&bench.ours, allocation)?;
                let mut ours = per_operation(target, |count| ours.repeat(call, count))?;
                let mut peer = instance(&bench.peer, allocation)?;
                let mut peer = per_operation(target, |count| peer.repeat(call, count))?;
                let plan = bench.plan(40, 100, Duration::from_secs(2));
                interleave(plan, &mut ours, &mut peer)
            });
        }
    }
    Ok(())
}

fn instance<R: Runtime>(side: &Side<R>, allocation: Allocation) -> Result<R::Waits> {
    let name = "the module of awaited calls";
    let runtime: R = runtime(allocation)?;
    match side.artifact_for(&runtime, name, || Ok(wat::parse_str(include_str!("waits.wat"))?))? {
        Artifact::File(path) => runtime.waits(&runtime.load(&path)?),
        Artifact::Unsupported(reason) => bail!("{} cannot compile {name}: {reason}", R::NAME),
    }
}
