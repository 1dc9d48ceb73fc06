//! Fuzzes wasmc; `--help` has the tasks, `README.md` the rest.

mod hunt;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use wasmc_fuzz::case::{Case, Kind};
use wasmc_fuzz::compare::Finding;
use wasmc_fuzz::features::Features;
use wasmc_fuzz::reduce;

/// Fuzz wasmc, with Wasmtime as the oracle.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    hunt: hunt::Hunt,
}

#[derive(Subcommand)]
enum Task {
    /// Try one file again: the bytes of a finding, or any module (.wasm).
    Replay {
        file: PathBuf,
        #[command(flatten)]
        what: What,
        /// For a module: what chooses options and arguments.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Write the module that the bytes stand for to this file.
        #[arg(long, value_name = "FILE")]
        wasm: Option<PathBuf>,
    },
    /// Make the bytes of a finding fewer, as long as the same goes wrong.
    Reduce {
        file: PathBuf,
        #[command(flatten)]
        what: What,
        /// Where they go.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Try one seed after the other, in a process that may crash; hunts start
    /// this.
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        from: u64,
        #[command(flatten)]
        what: What,
    },
}

/// What is tried.
#[derive(Args, Clone)]
struct What {
    /// Proposals to use besides WebAssembly 2.0; by default all that are
    /// supported.
    #[arg(long = "feature", value_name = "NAME", value_delimiter = ',')]
    features: Vec<String>,
    /// Only modules of this generator.
    #[arg(long, value_enum)]
    only: Option<Generator>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Generator {
    /// Any valid module.
    Smith,
    /// Programs with objects, exceptions and calls that mean something.
    Programs,
}

impl What {
    fn features(&self) -> Result<Features> {
        if self.features.is_empty() { Ok(Features::supported()) } else { Features::only(&self.features) }
    }

    fn kind(&self) -> Option<Kind> {
        self.only.map(|generator| match generator {
            Generator::Smith => Kind::Smith,
            Generator::Programs => Kind::Program,
        })
    }

    /// As arguments of a worker.
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self.features.iter().map(|name| format!("--feature={name}")).collect();
        if let Some(name) = self.only.and_then(|generator| generator.to_possible_value()) {
            arguments.push(format!("--only={}", name.get_name()));
        }
        arguments
    }
}

fn main() -> ExitCode {
    let command = Command::parse();
    let result = match command.task {
        None => hunt::run(&command.hunt),
        Some(Task::Replay { file, what, seed, wasm }) => replay(&file, &what, seed, wasm.as_deref()),
        Some(Task::Reduce { file, what, output }) => reduce_file(&file, &what, &output),
        Some(Task::Worker { from, what }) => worker::run(from, &what).map(|()| true),
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

/// Tries a file; false if something is wrong.
fn replay(file: &std::path::Path, what: &What, seed: u64, wasm: Option<&std::path::Path>) -> Result<bool> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let case = if file.extension().is_some_and(|extension| extension == "wasm") {
        Some(Case::from_wasm(bytes, seed))
    } else {
        Case::from_bytes(&bytes, what.features()?, what.kind())
    };
    let case = case.context("no module can be made of these bytes")?;
    if let Some(path) = wasm {
        std::fs::write(path, &case.wasm).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut trial = worker::Trial::new()?;
    match trial.case(case) {
        Ok(tally) => {
            println!("nothing is wrong: {tally}");
            Ok(true)
        }
        Err(finding) => {
            println!("{finding}");
            Ok(false)
        }
    }
}

/// Reduces in this process, or in workers if it crashes.
fn reduce_file(file: &std::path::Path, what: &What, output: &std::path::Path) -> Result<bool> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let scratch = tempfile::tempdir()?;
    let candidate = scratch.path().join("candidate.bin");
    let outcome = |bytes: &[u8]| -> Result<Option<String>> {
        std::fs::write(&candidate, bytes)?;
        hunt::outcome(&candidate, what)
    };
    let first = outcome(&bytes)?.context("nothing is wrong with these bytes")?;
    println!("{first}");
    let key = Finding::key(&first);
    let same = |text: String| Finding::key(&text) == key;
    let reduced = reduce::reduce(bytes, |bytes| outcome(bytes).is_ok_and(|outcome| outcome.is_some_and(same)));
    std::fs::write(output, &reduced).with_context(|| format!("cannot write {}", output.display()))?;
    println!("{} bytes: {}", reduced.len(), output.display());
    Ok(true)
}
