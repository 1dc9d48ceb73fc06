//! `wasmc FILE --init`: what runs when a module is compiled.

use crate::args::{duration as time, usage};
use crate::log::{self, duration};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmc::init::{InitDir, InitOptions, RandomSource, TimeSource};
use wasmc::{Options, Snapshot};

#[derive(Debug, Args)]
#[command(next_help_heading = "Initialisation")]
pub(crate) struct InitArgs {
    /// Run the start function, `_initialize` (or `wizer-initialize`) and EXPORT now, so that instances begin where
    /// they end: memories, globals and tables go into the artifact. WASI is there, with nothing in it; what cannot
    /// be kept, such as an open file, is an error
    #[arg(long, value_name = "EXPORT", num_args = 0..=1, require_equals = true)]
    pub(crate) init: Option<Option<String>>,
    /// Let exported initialisers do their work again when they are called; otherwise they do nothing any more
    #[arg(long, requires = "init")]
    pub(crate) init_keep: bool,
    /// Export the function OTHER as NAME too, in the place of what NAME was: `_start=wizer.resume`, for example
    #[arg(long = "init-rename", value_name = "NAME=OTHER", requires = "init", value_parser = pair)]
    pub(crate) init_renames: Vec<(String, String)>,
    /// Let the initialiser reach the folder HOST, named GUEST, to read; with `::rw`, also to write
    #[arg(long = "init-dir", value_name = "HOST[::GUEST[::rw]]", requires = "init")]
    pub(crate) init_dirs: Vec<String>,
    /// Set a variable of the initialiser's environment, or pass on the one of this process
    #[arg(long = "init-env", value_name = "NAME[=VALUE]", requires = "init")]
    pub(crate) init_variables: Vec<String>,
    /// An argument of the program, the first one being its own name
    #[arg(long = "init-arg", value_name = "ARG", requires = "init", allow_hyphen_values = true)]
    pub(crate) init_arguments: Vec<String>,
    /// How long the initialiser may take, in seconds or with a unit (`500ms`, `2m`)
    #[arg(long, value_name = "DURATION", requires = "init", default_value = "60s", value_parser = time)]
    pub(crate) init_timeout: Duration,
    /// How many bytes all memories may have together
    #[arg(long, value_name = "BYTES", requires = "init", default_value_t = 2 << 30)]
    pub(crate) init_memory: u64,
    /// Let the initialiser see the system's clocks, not ones that begin in 1970 and stand nearly still: the result
    /// then differs from run to run
    #[arg(long, requires = "init")]
    pub(crate) init_clock: bool,
    /// Give the initialiser random numbers of the system, not those that everybody knows: the result then differs
    /// from run to run. All instances have the same ones either way
    #[arg(long, requires = "init")]
    pub(crate) init_random: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, other) = text.split_once('=').ok_or("it is not NAME=OTHER")?;
    Ok((name.to_owned(), other.to_owned()))
}

impl InitArgs {
    fn options(&self, export: Option<String>) -> anyhow::Result<InitOptions> {
        let variable = |variable: &String| match variable.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => match std::env::var(variable) {
                Ok(value) => Ok((variable.clone(), value)),
                Err(error) => Err(usage(format_args!(
                    "'--init-env {variable}' passes on a variable of this process, but: {error}"
                ))),
            },
        };
        Ok(InitOptions {
            export,
            keep_exports: self.init_keep,
            renames: self.init_renames.clone(),
            args: self.init_arguments.clone(),
            variables: self.init_variables.iter().map(variable).collect::<Result<_, _>>()?,
            dirs: self.init_dirs.iter().map(|dir| folder(dir)).collect::<Result<_, _>>()?,
            timeout: self.init_timeout,
            max_memory: self.init_memory,
            time: if self.init_clock { TimeSource::System } else { TimeSource::Virtual },
            random: if self.init_random { RandomSource::System } else { RandomSource::Fixed },
            ..InitOptions::default()
        })
    }

    /// Initialises the module if that is asked for.
    pub(crate) fn apply(&self, path: &Path, wasm: &[u8], options: &mut Options, verbose: bool) -> anyhow::Result<()> {
        let Some(export) = &self.init else { return Ok(()) };
        let init = self.options(export.clone())?;
        let started = Instant::now();
        let snapshot = wasmc::init::run(wasm, options, &init);
        let snapshot = snapshot.with_context(|| format!("cannot initialise {}", crate::input::name(path)))?;
        if verbose {
            tell(&snapshot, started.elapsed());
        }
        options.snapshot = Some(Arc::new(snapshot));
        Ok(())
    }
}

fn tell(snapshot: &Snapshot, took: Duration) {
    anstream::eprintln!(
        "initialised by {}: {} to keep, in {}",
        snapshot.initialized_by(),
        log::count(snapshot.bytes(), "byte"),
        duration(took)
    );
}

/// Takes `HOST[::GUEST[::rw]]` apart.
fn folder(dir: &str) -> anyhow::Result<InitDir> {
    let parts: Vec<&str> = dir.split("::").collect();
    let (host, guest, writable) = match parts[..] {
        [host] => (host, host, false),
        [host, guest] => (host, guest, false),
        [host, guest, "rw"] => (host, guest, true),
        _ => {
            return Err(usage(format_args!("invalid value '{dir}' for '--init-dir': it is not HOST[::GUEST[::rw]]")));
        }
    };
    Ok(InitDir { host: PathBuf::from(host), guest: guest.to_owned(), writable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_to_read_unless_they_say_otherwise() {
        let dir = |text: &str| folder(text).map(|dir| (dir.host, dir.guest, dir.writable)).ok();
        assert_eq!(dir("a"), Some(("a".into(), "a".into(), false)));
        assert_eq!(dir("a:b::/c"), Some(("a:b".into(), "/c".into(), false)));
        assert_eq!(dir("a::b::rw"), Some(("a".into(), "b".into(), true)));
        assert_eq!(dir("a::b::ro"), None);
    }
}
