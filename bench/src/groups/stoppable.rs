//! What it costs that code can be stopped: the run time of the benchmark
//! programs with epoch deadlines or with fuel, as a multiple of that without,
//! each side against itself.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::run::{inputs, once};
use crate::bench::{Artifact, Bench, Side, runtime};
use crate::corpus::{self, Program};
use crate::runtime::{Allocation, Job, Runtime, Tuning};
use crate::sample::{Pair, Plan, Sampler, back_and_forth};

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
    // Each side by itself, and every other round backwards: memory that another
    // has given back, or not, must not be in the way of the same one each time.
    let plan = bench.plan(5, 100, Duration::from_secs(2));
    let mine = compare(
        plan,
        sampler(&bench.ours, &bench.ours.runtime, program, job)?,
        sampler(&bench.ours, ours, program, job)?,
    )?;
    let theirs = compare(
        plan,
        sampler(&bench.peer, &bench.peer.runtime, program, job)?,
        sampler(&bench.peer, peer, program, job)?,
    )?;
    let pair = Pair { ours: mine.1 / mine.0, peer: theirs.1 / theirs.0, tuned: None };
    Ok((pair, mine.0.min(theirs.0)))
}

/// The median times of code that cannot be stopped and of code that can.
fn compare<'a>(plan: Plan, mut plain: Sampler<'a>, mut stoppable: Sampler<'a>) -> Result<(f64, f64)> {
    // One round that does not count, to touch every file and page.
    plain()?;
    stoppable()?;
    let medians = back_and_forth(plan, &mut [plain, stoppable])?;
    Ok((medians[0], medians[1]))
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
