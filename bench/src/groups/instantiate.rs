//! Time to create a store, instantiate into it and drop both, allocated on
//! demand with copy-on-write memory; then the same with some pages of the
//! memory written first, as a request would.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::{Artifact, Bench, Side};
use crate::corpus;
use crate::runtime::Runtime;
use crate::sample::{Pair, interleave, per_operation};

const GROUP: &str = "instantiate";

/// Pages written before the drop in the second figure of a module.
const DIRTY: usize = 16;

/// Modules that need no corpus.
const SYNTHETIC: [(&str, &str); 3] = [
    ("empty", "(module)"),
    ("1 page of memory", r#"(module (memory (export "memory") 1))"#),
    (
        "17 pages, one data segment",
        r#"(module
             (memory (export "memory") 17)
             (global (export "answer") i32 (i32.const 42))
             (data (i32.const 1048576) "a segment in the last of seventeen pages"))"#,
    ),
];

/// From small to large; all of them export a memory and import only functions.
const MODULES: [&str; 3] = ["sightglass/noop/benchmark", "sightglass/bz2/benchmark", "sightglass/regex/benchmark"];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for (name, text) in SYNTHETIC {
        bench.figure(GROUP, &format!("on demand: {name}"), "us", |bench| {
            let ours = from_text(&bench.ours, name, text)?;
            let peer = from_text(&bench.peer, name, text)?;
            sample(bench, &ours, &peer, 0)
        });
    }
    let Some(root) = bench.corpus.clone() else {
        return Ok(());
    };
    for name in MODULES {
        let Some(wasm) = corpus::module(&root, name) else {
            bench.report.remark(&format!("not in the corpus: {name}"));
            continue;
        };
        let clean = format!("on demand: {name}");
        let dirty = format!("on demand: {name}, {DIRTY} pages written");
        if !bench.wants(&clean) && !bench.wants(&dirty) {
            continue;
        }
        let Some((ours, peer)) = bench.both(GROUP, &wasm) else {
            continue;
        };
        for (figure, pages) in [(clean, 0), (dirty, DIRTY)] {
            bench.figure(GROUP, &figure, "us", |bench| {
                let ours = from_file(&bench.ours, &ours)?;
                let peer = from_file(&bench.peer, &peer)?;
                sample(bench, &ours, &peer, pages)
            });
        }
    }
    Ok(())
}

fn from_text<R: Runtime>(side: &Side<R>, name: &str, text: &str) -> Result<R::Starter> {
    match side.artifact_of(name, || Ok(wat::parse_str(text)?))? {
        Artifact::File(path) => from_file(side, &path),
        Artifact::Unsupported(reason) => bail!("{} cannot compile {name}: {reason}", R::NAME),
    }
}

fn from_file<R: Runtime>(side: &Side<R>, path: &std::path::Path) -> Result<R::Starter> {
    side.runtime.starter(&side.runtime.load(path)?)
}

fn sample<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    ours: &O::Starter,
    peer: &P::Starter,
    dirty: usize,
) -> Result<Pair> {
    let target = Duration::from_millis(10);
    let mut ours =
        per_operation(target, |count| (0..count).try_for_each(|_| bench.ours.runtime.instantiate(ours, dirty)))?;
    let mut peer =
        per_operation(target, |count| (0..count).try_for_each(|_| bench.peer.runtime.instantiate(peer, dirty)))?;
    let plan = bench.plan(20, 60, Duration::from_secs(2));
    interleave(plan, || Ok(ours()? / 1e3), || Ok(peer()? / 1e3))
}
