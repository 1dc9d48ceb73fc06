//! What it costs that code can be stopped: the run time of the benchmark
//! programs with epoch deadlines or with fuel, as a multiple of that without,
//! each side against itself.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::run::{inputs, once};
use crate::bench::{Artifact, Bench, Side, runtime};
use crate::corpus::{self, Program};
use crate::runtime::{Allocation, Job, Runtime, Tuning};
use crate::sample::{Pair, Sampler, rounds};

/// The geometric mean is of programs that run for so long at least, in
/// milliseconds: of shorter ones other things than their code are measured.
const LEAST: f64 = 1.0;

pub(super) fn measure<O: Runtime, P: Runtime>(
    bench: &mut Bench<O, P>,
    group: &'static str,
    tuning: Tuning,
) -> Result<()> {
    let root = bench.corpus.clone().context("needs the corpus")?;
    let allocation = Allocation { tuning, ..Allocation::default() };
    let (ours, peer): (O, P) = (runtime(allocation)?, runtime(allocation)?);
    let mut short = Vec::new();
    for program in corpus::programs(&root)? {
        bench.figure(group, &program.name, "x", |bench| {
            let (pair, time) = sample(bench, &program, &ours, &peer)?;
            if time < LEAST {
                short.push(program.name.clone());
            }
            Ok(pair)
        });
    }
    bench.report.geometric_mean(group, |figure| !short.contains(&figure.name));
    if !short.is_empty() {
        let names = short.join(", ");
        bench.report.remark(&format!("the mean leaves out what runs for less than {LEAST} ms: {names}"));
    }
    Ok(())
}

/// What being stoppable costs a program, and how many milliseconds it runs for.
fn sample<O: Runtime, P: Runtime>(bench: &Bench<O, P>, program: &Program, ours: &O, peer: &P) -> Result<(Pair, f64)> {
    let folder = inputs(program)?;
    let job = Job { args: &program.args, dir: folder.path() };
    let mut samplers: Vec<Sampler<'_>> = vec![
        sampler(&bench.ours, &bench.ours.runtime, program, job)?,
        sampler(&bench.ours, ours, program, job)?,
        sampler(&bench.peer, &bench.peer.runtime, program, job)?,
        sampler(&bench.peer, peer, program, job)?,
    ];
    // One round that does not count, to touch every file and page.
    for sampler in &mut samplers {
        sampler()?;
    }
    let medians = rounds(bench.plan(5, 100, Duration::from_secs(4)), &mut samplers)?;
    let pair = Pair { ours: medians[1] / medians[0], peer: medians[3] / medians[2], tuned: None };
    Ok((pair, medians[0].min(medians[2])))
}

/// Runs the program with one of the runtimes of a side.
fn sampler<'a, R: Runtime>(side: &Side<R>, runtime: &'a R, program: &'a Program, job: Job<'a>) -> Result<Sampler<'a>> {
    let wasm = &program.wasm;
    let Artifact::File(path) = side.artifact_for(runtime, &wasm.name, || wasm.bytes())? else {
        bail!("{} does not support it", R::NAME);
    };
    let module = runtime.load(&path)?;
    Ok(Box::new(move || Ok(once(runtime, &module, &job, &program.expected)?.time.as_secs_f64() * 1e3)))
}
