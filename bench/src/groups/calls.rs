//! Crossings: host to wasm, wasm to host, through a table, by an exception, and
//! out by a trap.
//!
//! Calls made in a wasm loop include the loop itself, on both sides. A trap that
//! comes as a signal comes to the handler of the side that is measured, as if
//! the other were not in the process.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::{Artifact, Bench, Side};
use crate::runtime::{Call, Calls as _, Runtime};
use crate::sample::{interleave, per_operation};

/// The figures of one group.
pub(super) struct Table {
    group: &'static str,
    figures: &'static [(&'static str, Call)],
}

pub(super) const HOST_TO_WASM: Table = Table {
    group: "host-to-wasm",
    figures: &[("no arguments", Call::ToWasm0), ("4 arguments, 1 result", Call::ToWasm4)],
};

pub(super) const WASM_TO_HOST: Table = Table {
    group: "wasm-to-host",
    figures: &[
        ("no arguments", Call::ToHost0),
        ("2 arguments, 1 result", Call::ToHost2),
        ("no arguments, reaching the store's data", Call::ToHostData),
    ],
};

pub(super) const CALL_INDIRECT: Table = Table {
    group: "call-indirect",
    figures: &[("a table that nothing writes", Call::IndirectPrivate), ("an exported table", Call::IndirectExported)],
};

pub(super) const EXCEPTION: Table = Table {
    group: "exception",
    figures: &[
        ("thrown and caught by the caller", Call::Throw1),
        ("thrown through 10 frames", Call::Throw10),
        ("thrown to the host", Call::ThrowToHost),
    ],
};

pub(super) const TRAP: Table = Table {
    group: "trap",
    figures: &[
        ("unreachable", Call::TrapUnreachable),
        ("out-of-bounds load", Call::TrapMemory),
        ("unreachable under 100 frames", Call::TrapDeep),
    ],
};

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>, table: &Table) -> Result<()> {
    for &(name, call) in table.figures {
        bench.figure(table.group, name, "ns", |bench| {
            let target = Duration::from_millis(5);
            let mut ours = instance(&bench.ours)?;
            let mut ours = per_operation(target, |count| ours.repeat(call, count))?;
            let mut peer = instance(&bench.peer)?;
            let mut peer = per_operation(target, |count| peer.repeat(call, count))?;
            let plan = bench.plan(40, 100, Duration::from_secs(2));
            let ours = || bench.ours.handlers.install().and_then(|()| ours());
            let peer = || bench.peer.handlers.install().and_then(|()| peer());
            let pair = interleave(plan, ours, peer);
            // These pass on what is not theirs.
            bench.peer.handlers.install()?;
            pair
        });
    }
    Ok(())
}

fn instance<R: Runtime>(side: &Side<R>) -> Result<R::Calls> {
    let name = "the module of calls";
    match side.artifact_of(name, || Ok(wat::parse_str(include_str!("calls.wat"))?))? {
        Artifact::File(path) => side.runtime.calls(&side.runtime.load(&path)?),
        Artifact::Unsupported(reason) => bail!("{} cannot compile {name}: {reason}", R::NAME),
    }
}
