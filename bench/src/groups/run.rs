//! Run time of every sightglass benchmark and of every `bench` entry of the
//! programs. Each sample is a fresh instance, and each one's output must be
//! exactly what is expected, or the figure fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::bench::Bench;
use crate::corpus::{self, Expected, Program};
use crate::runtime::{Job, Outcome, Runtime};
use crate::sample::{Pair, interleave};

const GROUP: &str = "run";

/// A timed region shorter than this (milliseconds, on the peer) measures the
/// clock rather than the code, and has no say in the mean.
const WEIGHED_FROM: f64 = 0.01;

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let root = bench.corpus.clone().context("needs the corpus")?;
    for program in corpus::programs(&root)? {
        if !bench.wants(&program.name) {
            continue;
        }
        let Some((ours, peer)) = bench.both(GROUP, &program.wasm) else {
            continue;
        };
        bench.figure(GROUP, &program.name, "ms", |bench| sample(bench, &program, &ours, &peer));
    }
    bench.report.geometric_mean(GROUP, |figure| figure.peer >= WEIGHED_FROM);
    bench.report.remark(&format!("regions under {WEIGHED_FROM} ms are not in the mean"));
    Ok(())
}

fn sample<O: Runtime, P: Runtime>(bench: &Bench<O, P>, program: &Program, ours: &Path, peer: &Path) -> Result<Pair> {
    let folder = inputs(program)?;
    let job = Job { args: &program.args, dir: folder.path() };
    let ours = (&bench.ours.runtime, bench.ours.runtime.load(ours)?);
    let peer = (&bench.peer.runtime, bench.peer.runtime.load(peer)?);
    let our_run = || once(ours.0, &ours.1, &job, &program.expected);
    let peer_run = || once(peer.0, &peer.1, &job, &program.expected);
    // One round that does not count, to touch every file and page.
    let (our_exit, peer_exit) = (our_run()?.exit, peer_run()?.exit);
    ensure!(our_exit == peer_exit, "it exits with {our_exit} under {}, with {peer_exit} under {}", O::NAME, P::NAME);
    interleave(
        bench.plan(5, 100, Duration::from_secs(3)),
        || Ok(our_run()?.time.as_secs_f64() * 1e3),
        || Ok(peer_run()?.time.as_secs_f64() * 1e3),
    )
}

/// A folder with a copy of what the program reads.
pub(super) fn inputs(program: &Program) -> Result<TempDir> {
    let folder = TempDir::with_prefix("wasmc-bench-run-")?;
    for input in &program.inputs {
        copy(input, folder.path())?;
    }
    Ok(folder)
}

/// Runs the program in a fresh instance and checks what it did.
pub(super) fn once<R: Runtime>(runtime: &R, module: &R::Module, job: &Job<'_>, expected: &Expected) -> Result<Outcome> {
    let outcome = runtime.run(module, job).with_context(|| format!("{} cannot run it", R::NAME))?;
    check(&outcome, expected).with_context(|| format!("under {}", R::NAME))?;
    Ok(outcome)
}

fn check(outcome: &Outcome, expected: &Expected) -> Result<()> {
    if let Some(exit) = expected.exit {
        ensure!(outcome.exit == exit, "it exits with {}: {}", outcome.exit, String::from_utf8_lossy(&outcome.stderr));
    }
    if let Some(stdout) = &expected.stdout {
        same("stdout", &outcome.stdout, stdout)?;
    }
    if let Some(stderr) = &expected.stderr {
        same("stderr", &outcome.stderr, stderr)?;
    }
    if let Some(sha) = &expected.stdout_sha256 {
        let got = hexadecimal(&Sha256::digest(&outcome.stdout));
        ensure!(got == *sha, "the SHA-256 of stdout is {got}, not {sha}");
    }
    Ok(())
}

/// Compares all but white space at the end, which some of the corpus' files
/// have lost; the error shows where the two part.
fn same(stream: &str, got: &[u8], expected: &[u8]) -> Result<()> {
    let (got, expected) = (got.trim_ascii_end(), expected.trim_ascii_end());
    if got == expected {
        return Ok(());
    }
    let agreeing = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let tail = |bytes: &[u8]| {
        let rest = bytes.get(agreeing..).unwrap_or_default();
        String::from_utf8_lossy(&rest[..rest.len().min(60)]).into_owned()
    };
    bail!("{stream} is wrong from byte {agreeing}: {:?} instead of {:?}", tail(got), tail(expected))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Copies a file or a whole folder into `folder`.
fn copy(from: &Path, folder: &Path) -> Result<()> {
    let name = from.file_name().context("an input without a name")?;
    let to = folder.join(name);
    if from.is_dir() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(from)? {
            copy(&entry?.path(), &to)?;
        }
    } else {
        // Contents only: the corpus may be read-only, a scratch copy is not.
        fs::write(&to, fs::read(from)?)?;
    }
    Ok(())
}
