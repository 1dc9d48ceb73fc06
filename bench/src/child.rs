//! Measurements that have a process of their own: this program, started again.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};

/// Runs a hidden task of this program in a new process, with the arguments that
/// `args` adds, and returns the numbers that it prints.
pub fn measure<const N: usize>(task: &str, args: impl FnOnce(&mut Command)) -> Result<[f64; N]> {
    let mut command = Command::new(env::current_exe()?);
    args(command.arg(task));
    let output = command.output().context("cannot start a process to measure")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    let printed = || format!("{command:?} printed {text:?}");
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().with_context(printed)?;
    numbers.try_into().map_err(|_| anyhow!(printed()))
}
