//! Compile time of every corpus module: wasm bytes to artifact bytes, in
//! memory, with every thread of the machine on both sides.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::bench::{Artifact, Bench};
use crate::corpus;
use crate::runtime::{CompileError, Runtime};
use crate::sample::interleave;

const GROUP: &str = "compile";

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let root = bench.corpus.clone().context("needs the corpus")?;
    for wasm in corpus::modules(&root)? {
        if !bench.wants(&wasm.name) {
            continue;
        }
        // Also the warm-up of both: threads started, allocators grown.
        match bench.ours.artifact(&wasm) {
            Ok(Artifact::Unsupported(reason)) => {
                bench.not_yet(&wasm.name, &reason);
                continue;
            }
            Ok(Artifact::File(_)) => {}
            Err(error) => {
                bench.fail(GROUP, &wasm.name, &error);
                continue;
            }
        }
        bench.figure(GROUP, &wasm.name, "ms", |bench| {
            bench.peer.artifact(&wasm)?;
            let bytes = wasm.bytes()?;
            interleave(
                bench.plan(4, 40, Duration::from_secs(4)),
                || milliseconds(&bench.ours.runtime, &bytes),
                || milliseconds(&bench.peer.runtime, &bytes),
            )
        });
    }
    bench.report.geometric_mean(GROUP, |_| true);
    Ok(())
}

fn milliseconds<R: Runtime>(runtime: &R, bytes: &[u8]) -> Result<f64> {
    let begin = Instant::now();
    let artifact = runtime.compile(bytes);
    let time = begin.elapsed();
    match artifact {
        Ok(_) => Ok(time.as_secs_f64() * 1e3),
        Err(CompileError::Unsupported(reason)) => bail!("{} lacks {reason}", R::NAME),
        Err(CompileError::Failed(error)) => Err(error),
    }
}
