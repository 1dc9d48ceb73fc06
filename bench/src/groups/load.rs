//! Time to load an artifact from its file, which is in the page cache. The
//! drop of the loaded module is not counted.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::bench::{Artifact, Bench, Side};
use crate::corpus;
use crate::runtime::Runtime;
use crate::sample::interleave;

const GROUP: &str = "load";

/// From small to large.
const MODULES: [&str; 6] = [
    "sightglass/noop/benchmark",
    "sightglass/bz2/benchmark",
    "sightglass/regex/benchmark",
    "programs/rs_a/rs_a",
    "programs/go_a/go_a",
    "modules/esbuild-wasm/esbuild",
];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    bench.figure(GROUP, "empty module", "us", |bench| {
        let name = "the empty module";
        let ours = file(&bench.ours, name)?;
        let peer = file(&bench.peer, name)?;
        sample(bench, &ours, &peer)
    });
    let Some(root) = bench.corpus.clone() else {
        return Ok(());
    };
    for name in MODULES {
        let Some(wasm) = corpus::module(&root, name) else {
            bench.report.remark(&format!("not in the corpus: {name}"));
            continue;
        };
        if !bench.wants(name) {
            continue;
        }
        if let Some((ours, peer)) = bench.both(GROUP, &wasm) {
            bench.figure(GROUP, name, "us", |bench| sample(bench, &ours, &peer));
        }
    }
    Ok(())
}

fn file<R: Runtime>(side: &Side<R>, name: &str) -> Result<std::path::PathBuf> {
    match side.artifact_of(name, || Ok(wat::parse_str("(module)")?))? {
        Artifact::File(path) => Ok(path),
        Artifact::Unsupported(reason) => bail!("{} cannot compile {name}: {reason}", R::NAME),
    }
}

fn sample<O: Runtime, P: Runtime>(bench: &Bench<O, P>, ours: &Path, peer: &Path) -> Result<crate::sample::Pair> {
    interleave(
        bench.plan(50, 2000, Duration::from_secs(2)),
        || microseconds(&bench.ours.runtime, ours),
        || microseconds(&bench.peer.runtime, peer),
    )
}

fn microseconds<R: Runtime>(runtime: &R, artifact: &Path) -> Result<f64> {
    let begin = Instant::now();
    let module = runtime.load(artifact)?;
    let time = begin.elapsed();
    drop(module);
    Ok(time.as_secs_f64() * 1e6)
}
