//! Time to load an artifact from inside the program, as data and as code. The
//! peer has no such thing and maps its artifact from the file as ever. The drop
//! of the loaded module is not counted.
//!
//! A program that loads a module once, at its start, pays what `first` says:
//! that is measured in processes of their own, each of which has made an engine
//! and then loads one module; its code and the pages of the artifact are in the
//! page cache, and nothing of either was touched. A program that loads the same
//! module again and again pays `again`, where nothing happens in between, or
//! `again, cold`, where each side finds the caches as the other one left them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::bench::{self, Bench};
use crate::child;
use crate::corpus;
use crate::ours::Ours;
use crate::peer::Peer;
use crate::runtime::{Allocation, Carrier, Runtime};
use crate::sample::{Pair, interleave};

const GROUP: &str = "carriers";

/// From small to large.
const MODULES: [&str; 4] =
    ["sightglass/noop/benchmark", "sightglass/regex/benchmark", "programs/rs_a/rs_a", "programs/go_a/go_a"];

/// How often, and after what, a module is loaded.
const TIMES: [(&str, Times); 3] = [("first", Times::First), ("again", Times::Warm), ("again, cold", Times::Cold)];

#[derive(Clone, Copy)]
enum Times {
    First,
    Warm,
    Cold,
}

/// What a child process is to measure.
#[derive(Args, Clone, Debug)]
pub struct Child {
    /// The runtime's name.
    #[arg(long)]
    side: String,
    #[arg(long, value_enum)]
    carrier: Carrier,
    #[arg(long)]
    carried: PathBuf,
}

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let Some(root) = bench.corpus.clone() else {
        return Ok(());
    };
    for name in MODULES {
        let Some(wasm) = corpus::module(&root, name) else {
            bench.report.remark(&format!("not in the corpus: {name}"));
            continue;
        };
        for carrier in [Carrier::Embedded, Carrier::Linked] {
            for (when, times) in TIMES {
                let figure = format!("{name}, {}, {when}", carrier.name());
                if !bench.wants(&figure) {
                    continue;
                }
                if let Some((ours, peer)) = bench.both(GROUP, &wasm) {
                    bench.figure(GROUP, &figure, "us", |bench| sample(bench, (carrier, times), &ours, &peer));
                }
            }
        }
    }
    Ok(())
}

fn sample<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    (carrier, times): (Carrier, Times),
    ours: &Path,
    peer: &Path,
) -> Result<Pair> {
    let ours = bench.ours.runtime.carry(ours, carrier)?;
    let peer = bench.peer.runtime.carry(peer, carrier)?;
    if let Times::First = times {
        let child = |side: &str, carried: &Path| spawn(&Child { side: side.into(), carrier, carried: carried.into() });
        let plan = bench.plan(20, 200, Duration::from_secs(8));
        return interleave(plan, || child(O::NAME, &ours), || child(P::NAME, &peer));
    }
    let (ours, peer) = (bench.ours.runtime.carried(&ours, carrier)?, bench.peer.runtime.carried(&peer, carrier)?);
    let plan = bench.plan(50, 2000, Duration::from_secs(2));
    match times {
        Times::Warm => interleave(plan, || again(&bench.ours.runtime, &ours), || again(&bench.peer.runtime, &peer)),
        _ => interleave(plan, || microseconds(&bench.ours.runtime, &ours), || microseconds(&bench.peer.runtime, &peer)),
    }
}

fn microseconds<R: Runtime>(runtime: &R, carried: &R::Carried) -> Result<f64> {
    let begin = Instant::now();
    let module = runtime.load_carried(carried)?;
    let time = begin.elapsed();
    drop(module);
    Ok(time.as_secs_f64() * 1e6)
}

/// The mean of loads that follow each other, after some that are not counted.
fn again<R: Runtime>(runtime: &R, carried: &R::Carried) -> Result<f64> {
    const UNCOUNTED: u32 = 4;
    const COUNTED: u32 = 16;
    for _ in 0..UNCOUNTED {
        microseconds(runtime, carried)?;
    }
    let times = (0..COUNTED).map(|_| microseconds(runtime, carried));
    Ok(times.sum::<Result<f64>>()? / f64::from(COUNTED))
}

/// Measures in a process of its own.
fn spawn(child: &Child) -> Result<f64> {
    let [time] = child::measure("carrier-child", |command| {
        command.args(["--side", &child.side, "--carrier", child.carrier.name()]).arg("--carried").arg(&child.carried);
    })?;
    Ok(time)
}

/// The whole work of a child process.
pub fn child(child: &Child) -> Result<()> {
    let time = match child.side.as_str() {
        Ours::NAME => in_child::<Ours>(child)?,
        Peer::NAME => in_child::<Peer>(child)?,
        other => bail!("there is no runtime {other}"),
    };
    println!("{time}");
    Ok(())
}

fn in_child<R: Runtime>(child: &Child) -> Result<f64> {
    let runtime: R = bench::runtime(Allocation::default())?;
    let carried = runtime.carried(&child.carried, child.carrier)?;
    // The clock's own first use is not counted.
    let _ = Instant::now().elapsed();
    microseconds(&runtime, &carried)
}
