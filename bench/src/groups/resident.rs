//! Memory of pooled instances that do nothing: of 1000 live ones, stores
//! included, and of slots whose instances are gone. Each measurement has a
//! process of its own, which reads its resident set before and after; the
//! page tables that the kernel needs besides are figures of their own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::bench::{self, Bench};
use crate::child;
use crate::guests::{self, Guest};
use crate::ours::Ours;
use crate::peer::Peer;
use crate::report::Better;
use crate::requests::tuned;
use crate::runtime::{Allocation, Runtime, Starter as _, Strategy, Stride, Tuning, Work};
use crate::sample::Pair;

const GROUP: &str = "resident";

/// Instances alive at once: both pools' default size.
const LIVE: usize = 1000;

/// Both pools' default limit of unused slots that stay warm.
const UNUSED: usize = 100;

/// How often each slot is used before it is left alone, so that what is learnt
/// from use is known.
const ROUNDS: usize = 8;

const POOLED: Allocation = Allocation { strategy: Strategy::PoolingCopyOnWrite, tuning: Tuning::Defaults };

/// What a child process is to measure.
#[derive(Args, Clone, Debug)]
pub struct Child {
    /// The runtime's name.
    #[arg(long)]
    side: String,
    #[arg(long)]
    tuned: bool,
    #[arg(long)]
    artifact: PathBuf,
    /// Drop the instances before measuring.
    #[arg(long)]
    unused: bool,
    /// Pages that each instance writes.
    #[arg(long)]
    pages: usize,
}

/// KiB that a process has grown by.
#[derive(Clone, Copy)]
struct Memory {
    resident: f64,
    tables: f64,
}

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for name in ["WASI program", "regex"] {
        let Some(guest) = guests::find(bench.corpus.as_deref(), name) else {
            continue;
        };
        let pages = guest.pages.min(16);
        for (what, unused, pages) in [
            ("idle instance".to_owned(), false, 0),
            ("unused warm slot, nothing written".to_owned(), true, 0),
            (format!("unused warm slot, {} written", super::count_of_pages(pages)), true, pages),
        ] {
            let resident = format!("per {what} ({name})");
            let tables = format!("page tables per {what} ({name})");
            if !bench.wants(&resident) && !bench.wants(&tables) {
                continue;
            }
            match all_sides(bench, &guest, unused, pages) {
                Ok(sides) => {
                    for (name, part) in [(resident, pair(&sides, |m| m.resident)), (tables, pair(&sides, |m| m.tables))]
                    {
                        if bench.wants(&name) {
                            bench.add(GROUP, &name, "KiB", Better::Smaller, part);
                        }
                    }
                }
                Err(error) => bench.fail(GROUP, &resident, &error),
            }
        }
    }
    Ok(())
}

fn pair(sides: &[Memory; 3], part: impl Fn(&Memory) -> f64) -> Pair {
    Pair { ours: part(&sides[0]), peer: part(&sides[1]), tuned: Some(part(&sides[2])) }
}

/// Ours, the peer's and the tuned peer's memory per instance or slot.
fn all_sides<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    guest: &Guest,
    unused: bool,
    pages: usize,
) -> Result<[Memory; 3]> {
    let ours = bench.ours.file(POOLED, guest)?;
    let peer = bench.peer.file(POOLED, guest)?;
    let child = |side: &str, artifact: &Path, tuned| {
        spawn(&Child { side: side.to_owned(), tuned, artifact: artifact.to_owned(), unused, pages })
    };
    Ok([child(O::NAME, &ours, false)?, child(P::NAME, &peer, false)?, child(P::NAME, &peer, true)?])
}

/// Measures in a process of its own.
fn spawn(child: &Child) -> Result<Memory> {
    let [resident, tables] = child::measure("resident-child", |command| {
        command.args(["--side", &child.side]).arg("--artifact").arg(&child.artifact);
        command.args(["--pages", &child.pages.to_string()]);
        command.args(child.tuned.then_some("--tuned")).args(child.unused.then_some("--unused"));
    })?;
    Ok(Memory { resident, tables })
}

/// The whole work of a child process.
pub fn child(child: &Child) -> Result<()> {
    let Memory { resident, tables } = match child.side.as_str() {
        Ours::NAME => in_child::<Ours>(child)?,
        Peer::NAME => in_child::<Peer>(child)?,
        other => bail!("there is no runtime {other}"),
    };
    println!("{resident} {tables}");
    Ok(())
}

fn in_child<R: Runtime>(child: &Child) -> Result<Memory> {
    let allocation = if child.tuned { tuned(POOLED).context("a pool can be tuned")? } else { POOLED };
    let runtime: R = bench::runtime(allocation)?;
    let starter = runtime.starter(&runtime.load(&child.artifact)?)?;
    let work = match child.pages {
        0 => Work::Nothing,
        pages => Work::Write { pages, stride: Stride::WasmPage },
    };
    // What the first instance of a process brings with it is not counted.
    starter.life(work)?;
    let (count, rounds) = if child.unused { (UNUSED, ROUNDS) } else { (LIVE, 1) };
    let mut kept = Vec::with_capacity(count);
    let before = now()?;
    for _ in 0..rounds {
        for _ in 0..count {
            let mut instance = starter.keep()?;
            starter.serve(&mut instance, work)?;
            kept.push(instance);
        }
        if child.unused {
            kept.clear();
        }
    }
    let after = now()?;
    let each = |before: f64, after: f64| (after - before) / count as f64;
    Ok(Memory { resident: each(before.resident, after.resident), tables: each(before.tables, after.tables) })
}

/// What the kernel says of this process.
fn now() -> Result<Memory> {
    // Unlike the counters in `statm`, these are exact.
    let resident = kibibytes("/proc/self/smaps_rollup", "Rss:")?;
    let tables = kibibytes("/proc/self/status", "VmPTE:")?;
    Ok(Memory { resident, tables })
}

fn kibibytes(file: &str, field: &str) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    number.with_context(|| format!("{file} has no {field}"))?.parse().with_context(|| format!("{field} in {file}"))
}
