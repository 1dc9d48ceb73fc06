//! The `wasmc` command.
//!
//! Artifacts, reports and results go to stdout or to files; progress, logs and
//! errors go to stderr. Exit codes: 0 for success, 1 for a failure, 2 for a
//! wrong command line; `wasmc run` ends with the guest's own code, or 134 if
//! the guest trapped.

#![deny(unsafe_code)]

mod args;
#[cfg(feature = "init")]
mod backtrace;
mod compile;
#[cfg(feature = "init")]
mod init;
mod input;
mod inspect;
#[cfg(any(feature = "run", feature = "wast"))]
mod load;
mod log;
mod output;
mod progress;
#[cfg(feature = "run")]
mod run;
#[cfg(feature = "wast")]
mod script;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        None => compile::compile(&cli.compile),
        Some(Command::Inspect(args)) => inspect::inspect(args),
        Some(Command::Verify(args)) => inspect::verify(args),
        #[cfg(feature = "run")]
        Some(Command::Run(args)) => run::run(args),
        #[cfg(feature = "wast")]
        Some(Command::Wast(args)) => script::run(args),
    };
    done.unwrap_or_else(|error| log::failure(&error))
}
