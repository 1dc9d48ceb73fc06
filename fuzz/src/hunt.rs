//! A hunt: a worker tries seeds, and is replaced when it crashes or hangs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use wasmc_fuzz::case::Case;
use wasmc_fuzz::compare::{Finding, Tally};

use crate::What;

/// Longer than any case takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many reproducers are kept of what looks like the same.
const ALIKE: usize = 3;

/// How often there is a line about progress.
const REPORT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Hunt {
    /// How long.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// The first seed; each module has the next one.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    what: What,
    /// Where reproducers go.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/findings"))]
    findings: PathBuf,
}

/// What has come out so far.
struct Bag<'a> {
    hunt: &'a Hunt,
    tally: Tally,
    found: BTreeMap<String, usize>,
}

/// Hunts; false if anything was found.
pub fn run(hunt: &Hunt) -> Result<bool> {
    hunt.what.features()?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(hunt.minutes * 60.0);
    let mut bag = Bag { hunt, tally: Tally::default(), found: BTreeMap::new() };
    let mut seed = hunt.seed;
    while Instant::now() < end {
        seed = bag.follow(seed, end)?;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{minutes:.1} minutes, seeds {} to {}: {}", hunt.seed, seed - 1, bag.tally);
    for (key, times) in &bag.found {
        println!("{times} times: {key}");
    }
    Ok(bag.found.is_empty())
}

impl Bag<'_> {
    /// Reads what a worker says from a seed on; returns the next seed.
    fn follow(&mut self, from: u64, end: Instant) -> Result<u64> {
        let mut worker = start(&["worker".to_owned(), format!("--from={from}")], &self.hunt.what)?;
        let lines = lines(&mut worker)?;
        let mut current = from;
        let mut reported = Instant::now();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
                    match word {
                        "begin" if Instant::now() >= end => {
                            stop(&mut worker);
                            return Ok(current);
                        }
                        "begin" => current = rest.parse().context("a worker does not count")?,
                        "done" => self.tally += tally(rest),
                        _ => self.keep(current, rest)?,
                    }
                    if word != "begin" {
                        current += 1;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    stop(&mut worker);
                    self.keep(current, "hang: it does not come to an end")?;
                    return Ok(current + 1);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = worker.wait()?;
                    self.keep(current, &format!("crash: {status}"))?;
                    return Ok(current + 1);
                }
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                println!("seed {current}: {}, {} findings", self.tally, self.found.values().sum::<usize>());
            }
        }
    }

    /// Writes a finding down, unless there are enough of its kind.
    fn keep(&mut self, seed: u64, text: &str) -> Result<()> {
        let times = self.found.entry(Finding::key(text)).or_default();
        *times += 1;
        if *times > ALIKE {
            return Ok(());
        }
        let Hunt { findings, what, .. } = self.hunt;
        std::fs::create_dir_all(findings).with_context(|| format!("cannot make {}", findings.display()))?;
        let bytes = Case::bytes(seed);
        let path = findings.join(format!("{seed}.bin"));
        std::fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        // Making the module may be what went wrong.
        let case = std::panic::catch_unwind(|| Case::from_bytes(&bytes, what.features().ok()?, what.kind()));
        if let Ok(Some(case)) = case {
            std::fs::write(path.with_extension("wasm"), case.wasm)?;
        }
        println!("{}: {text}", path.display());
        Ok(())
    }
}

/// A file tried in another process: what is wrong with it, if anything.
pub fn outcome(file: &Path, what: &What) -> Result<Option<String>> {
    let mut worker = start(&["replay".to_owned(), file.display().to_string()], what)?;
    let lines = lines(&mut worker)?;
    let first = lines.recv_timeout(PATIENCE);
    if first == Err(RecvTimeoutError::Timeout) {
        stop(&mut worker);
        return Ok(Some("hang: it does not come to an end".to_owned()));
    }
    let status = worker.wait()?;
    Ok(match (status.code(), first) {
        (Some(0), _) => None,
        (Some(_), Ok(line)) => Some(line),
        // No module.
        (Some(_), Err(_)) => None,
        (None, _) => Some(format!("crash: {status}")),
    })
}

fn start(arguments: &[String], what: &What) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).args(what.arguments()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().context("cannot start a worker")
}

fn lines(worker: &mut Child) -> Result<Receiver<String>> {
    let out = worker.stdout.take().context("a worker has no output")?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receive)
}

/// Ends a worker. That it may be gone already is no error.
fn stop(worker: &mut Child) {
    let _ = worker.kill();
    let _ = worker.wait();
}

fn tally(line: &str) -> Tally {
    let mut numbers = line.split(' ').map(|number| number.parse().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    Tally {
        modules: next(),
        calls: next(),
        traps: next(),
        exceptions: next(),
        limits: next(),
        stillborn: next(),
        skipped: next(),
        unshaped: next(),
    }
}
