//! Time to load an artifact from inside the program, as data and as code. The
//! peer has no such thing and maps its artifact from the file as ever. The drop
//! of the loaded module is not counted.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::Bench;
use crate::corpus;
use crate::runtime::{Carrier, Runtime};
use crate::sample::{Pair, interleave};

const GROUP: &str = "carriers";

/// From small to large.
const MODULES: [&str; 4] =
    ["sightglass/noop/benchmark", "sightglass/regex/benchmark", "programs/rs_a/rs_a", "programs/go_a/go_a"];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let Some(root) = bench.corpus.clone() else {
        return Ok(());
    };
    for name in MODULES {
        let Some(wasm) = corpus::module(&root, name) else {
            bench.report.remark(&format!("not in the corpus: {name}"));
            continue;
        };
        for (carrier, how) in [(Carrier::Embedded, "embedded"), (Carrier::Linked, "linked")] {
            let figure = format!("{name}, {how}");
            if !bench.wants(&figure) {
                continue;
            }
            if let Some((ours, peer)) = bench.both(GROUP, &wasm) {
                bench.figure(GROUP, &figure, "us", |bench| sample(bench, carrier, &ours, &peer));
            }
        }
    }
    Ok(())
}

fn sample<O: Runtime, P: Runtime>(bench: &Bench<O, P>, carrier: Carrier, ours: &Path, peer: &Path) -> Result<Pair> {
    let ours = bench.ours.runtime.carry(ours, carrier)?;
    let peer = bench.peer.runtime.carry(peer, carrier)?;
    interleave(
        bench.plan(50, 2000, Duration::from_secs(2)),
        || microseconds(&bench.ours.runtime, &ours),
        || microseconds(&bench.peer.runtime, &peer),
    )
}

fn microseconds<R: Runtime>(runtime: &R, carried: &R::Carried) -> Result<f64> {
    let begin = Instant::now();
    let module = runtime.load_carried(carried)?;
    let time = begin.elapsed();
    drop(module);
    Ok(time.as_secs_f64() * 1e6)
}
