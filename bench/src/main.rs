//! Measures wasmc against Wasmtime, both in this process and in one run.
//!
//! The `README.md` of this folder has the commands and what to know of the
//! figures; `--help` has the groups.

mod bench;
mod carried;
mod child;
mod corpus;
mod groups;
mod guests;
mod handlers;
mod ours;
mod peer;
mod plot;
mod report;
mod requests;
mod runtime;
mod sample;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum as _};

use crate::bench::{Bench, Options};
use crate::groups::Group;
use crate::groups::{carriers, pages, resident};
use crate::ours::Ours;
use crate::peer::Peer;
use crate::runtime::Runtime;

/// Measure wasmc against Wasmtime in the same run.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    /// Only these groups.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "GROUP,...")]
    only: Vec<Group>,
    /// Only figures whose name contains this.
    #[arg(long, value_name = "SUBSTRING")]
    filter: Option<String>,
    /// Take fewer samples.
    #[arg(long, global = true)]
    quick: bool,
    /// Also write the figures to this file, as an array of objects.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the peer against itself: both columns should be alike, and how
    /// much they are tells what the figures of this machine are worth.
    #[arg(long, global = true)]
    self_check: bool,
}

/// What to do instead of measuring groups.
#[derive(Subcommand)]
enum Task {
    /// Measure what a request costs by the pages it writes, and draw it.
    Plot {
        /// Where the SVG file goes.
        #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reset.svg"))]
        output: PathBuf,
    },
    /// Measure one side in a process of its own; the groups start this.
    #[command(hide = true)]
    ResidentChild(resident::Child),
    /// Load one artifact in a process of its own; the groups start this.
    #[command(hide = true)]
    CarrierChild(carriers::Child),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.task {
        Some(Task::ResidentChild(child)) => resident::child(child).map(|()| true),
        Some(Task::CarrierChild(child)) => carriers::child(child).map(|()| true),
        _ if args.self_check => measure::<Peer, Peer>(args),
        _ => measure::<Ours, Peer>(args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the chosen groups, or draws; false when any figure failed.
fn measure<O: Runtime, P: Runtime>(args: Args) -> Result<bool> {
    let corpus = corpus::find();
    if corpus.is_none() {
        eprintln!(
            "no corpus: set WASMC_CORPUS, or put one at ../shared/corpus beside the repository; figures that need it are left out"
        );
    }
    let groups = if args.only.is_empty() { Group::value_variants().to_vec() } else { args.only };
    let options = Options { filter: args.filter, quick: args.quick };
    let mut bench = Bench::<O, P>::new(corpus, options)?;
    println!(
        "{} (ours) and {} (peer), native CPU features, {} threads; medians; the ratio is to the better of the peer's settings, below 1 we are ahead",
        O::NAME,
        P::NAME,
        thread::available_parallelism()?
    );
    if let Some(Task::Plot { output }) = &args.task {
        let curves = pages::measure(&mut bench)?;
        plot::write(&curves, O::NAME, P::NAME, output)?;
        println!("\n{}", output.canonicalize()?.display());
    } else {
        for group in groups {
            if !group.needs_corpus() || bench.corpus.is_some() {
                group.measure(&mut bench)?;
            }
        }
    }
    if let Some(path) = &args.json {
        bench.report.write_json(path)?;
    }
    let failures = bench.failures();
    if !failures.is_empty() {
        eprintln!("\n{} figures failed:", failures.len());
        for failure in failures {
            eprintln!("  {failure}");
        }
    }
    Ok(failures.is_empty())
}
