//! Kernels: loops of wasm that do one thing, and return a checksum that must
//! be the same on both sides.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::bench::{self, Artifact, Bench, Side};
use crate::runtime::{Allocation, Kernel, Runtime, Tuning};
use crate::sample::{Sampler, interleave_tuned, per_operation};

/// The figures of one group.
pub(super) struct Kernels {
    group: &'static str,
    module: &'static str,
    text: &'static str,
    /// Whether the peer has another collector that may be better at it.
    collects: bool,
    /// Exports, and what they are called in figures.
    figures: &'static [(&'static str, &'static str)],
}

const CALLS: (&str, &str) = ("the module of calls that stay inside", include_str!("../kernels/calls.wat"));

pub(super) const TAIL_CALL: Kernels = Kernels {
    group: "tail-call",
    module: CALLS.0,
    text: CALLS.1,
    collects: false,
    figures: &[
        ("tail", "to a function"),
        ("tail-wide", "with ten arguments"),
        ("tail-indirect", "through a table"),
        ("tail-ref", "through a reference"),
    ],
};

pub(super) const CALL_REF: Kernels = Kernels {
    group: "call-ref",
    module: CALLS.0,
    text: CALLS.1,
    collects: false,
    figures: &[
        ("ref-same", "always the same"),
        ("ref-table", "four out of a typed table"),
        ("indirect-typed", "call_indirect, typed table"),
        ("indirect", "call_indirect, exported table"),
    ],
};

pub(super) const TRY: Kernels = Kernels {
    group: "try",
    module: CALLS.0,
    text: CALLS.1,
    collects: false,
    figures: &[("throw-here", "thrown and caught in one function"), ("no-throw", "a call that does not throw")],
};

pub(super) const GC: Kernels = Kernels {
    group: "gc",
    module: "the module of objects",
    text: include_str!("../kernels/gc.wat"),
    collects: true,
    figures: &[
        ("short-lived", "a struct that dies at once"),
        ("trees", "a tree of 255 nodes"),
        ("trees-beside", "the same beside 65535 nodes"),
        ("walk", "a list of 1000 cells, walked"),
        ("arrays", "a sieve of 10000 numbers"),
        ("casts", "256 objects told apart by casts"),
        ("checked-casts", "three casts that succeed"),
        ("i31", "a small integer"),
    ],
};

pub(super) const MEMORY64: Kernels = Kernels {
    group: "memory64",
    module: "the module of 64-bit memory",
    text: include_str!("../kernels/memory64.wat"),
    collects: false,
    figures: &[
        ("matrices", "product of 48 x 48 doubles"),
        ("stencil", "stencil over 16384 doubles"),
        ("histogram", "histogram of 64 KiB"),
        ("chase", "4096 links"),
    ],
};

pub(super) const ATOMICS: Kernels = Kernels {
    group: "atomics",
    module: "the module of atomics",
    text: include_str!("../kernels/atomics.wat"),
    collects: false,
    figures: &[
        ("add", "add"),
        ("exchange", "exchange"),
        ("compare-exchange", "compare and exchange"),
        ("load-store", "load and store"),
        ("notify-nobody", "notify nobody"),
        ("ping-pong", "wait and notify, to another thread and back"),
    ],
};

/// Rounds after which the two sides' checksums are compared.
const CHECKED: [u32; 3] = [1, 2, 100];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>, kernels: &Kernels) -> Result<()> {
    for &(export, name) in kernels.figures {
        bench.figure(kernels.group, name, "ns", |bench| {
            let mut ours = kernel(&bench.ours, Allocation::default(), kernels, export)?;
            let mut peer = kernel(&bench.peer, Allocation::default(), kernels, export)?;
            for rounds in CHECKED {
                let (found, expected) = (ours.run(rounds)?, peer.run(rounds)?);
                ensure!(found == expected, "{rounds} rounds give {found} and {expected}");
            }
            let tuned = if kernels.collects {
                let other = Allocation { tuning: Tuning::OtherCollector, ..Allocation::default() };
                Some(sampler(kernel(&bench.peer, other, kernels, export)?)?)
            } else {
                None
            };
            let plan = bench.plan(20, 60, Duration::from_secs(3));
            interleave_tuned(plan, sampler(ours)?, sampler(peer)?, tuned)
        });
    }
    Ok(())
}

fn sampler<K: Kernel + 'static>(mut kernel: K) -> Result<Sampler<'static>> {
    Ok(Box::new(per_operation(Duration::from_millis(10), move |count| kernel.run(count).map(drop))?))
}

fn kernel<R: Runtime>(side: &Side<R>, allocation: Allocation, kernels: &Kernels, export: &str) -> Result<R::Kernel> {
    let runtime: R = bench::runtime(allocation)?;
    match side.artifact_for(&runtime, kernels.module, || Ok(wat::parse_str(kernels.text)?))? {
        Artifact::File(path) => runtime.kernel(&runtime.load(&path)?, export),
        Artifact::Unsupported(reason) => bail!("{} cannot compile {}: {reason}", R::NAME, kernels.module),
    }
}
