//! Size of every corpus module's artifact, with each side's default contents.

use std::fs;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::corpus;
use crate::runtime::Runtime;
use crate::sample::Pair;

const GROUP: &str = "size";

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let root = bench.corpus.clone().context("needs the corpus")?;
    for wasm in corpus::modules(&root)? {
        if !bench.wants(&wasm.name) {
            continue;
        }
        let Some((ours, peer)) = bench.both(GROUP, &wasm) else {
            continue;
        };
        bench.figure(GROUP, &wasm.name, "bytes", |_| {
            Ok(Pair { ours: fs::metadata(&ours)?.len() as f64, peer: fs::metadata(&peer)?.len() as f64 })
        });
    }
    bench.report.geometric_mean(GROUP, |_| true);
    Ok(())
}
