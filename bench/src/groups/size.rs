//! Size of every corpus module's artifact, with each side's default contents.

use std::path::Path;
use std::{fs, io};

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
            let bytes = |path: &Path| Ok::<_, io::Error>(fs::metadata(path)?.len() as f64);
            Ok(Pair { ours: bytes(&ours)?, peer: bytes(&peer)?, tuned: None })
        });
    }
    bench.report.geometric_mean(GROUP, |_| true);
    Ok(())
}
