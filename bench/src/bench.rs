//! The state that the groups share: both sides, their artifacts, the report.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::corpus::Wasm;
use crate::guests::Guest;
use crate::handlers::Handlers;
use crate::report::{Better, Figure, Report};
use crate::runtime::{Allocation, CompileError, Runtime};
use crate::sample::{Pair, Plan};

/// One side with the artifacts it has made so far.
pub struct Side<R> {
    /// The compiler and runtime.
    pub runtime: R,
    /// The signal handlers that were installed once this side was set up.
    pub handlers: Handlers,
    folder: TempDir,
    /// By flavour and name.
    made: RefCell<BTreeMap<(&'static str, String), Artifact>>,
}

/// The result of compiling one module.
#[derive(Clone)]
pub enum Artifact {
    /// It is in this file.
    File(PathBuf),
    /// The compiler does not know a proposal that the module needs.
    Unsupported(String),
}

impl<R: Runtime> Side<R> {
    /// Sets one side up, with a folder for its artifacts.
    pub fn new() -> Result<Self> {
        let runtime = runtime(Allocation::default())?;
        let handlers = Handlers::current()?;
        Ok(Self { runtime, handlers, folder: TempDir::with_prefix("wasmc-bench-")?, made: RefCell::default() })
    }

    /// The artifact of a corpus module, compiled when first asked for.
    pub fn artifact(&self, wasm: &Wasm) -> Result<Artifact> {
        self.artifact_of(&wasm.name, || wasm.bytes())
    }

    /// The artifact of the module `name`, compiled when first asked for.
    pub fn artifact_of(&self, name: &str, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Artifact> {
        self.artifact_for(&self.runtime, name, bytes)
    }

    /// The artifact of the guest `guest` for an engine with this allocation.
    pub fn file(&self, allocation: Allocation, guest: &Guest) -> Result<PathBuf> {
        self.file_for(&runtime(allocation)?, guest)
    }

    /// The guest `guest`, linked under an engine of its own.
    pub fn starter(&self, allocation: Allocation, guest: &Guest) -> Result<R::Starter> {
        let runtime: R = runtime(allocation)?;
        let path = self.file_for(&runtime, guest)?;
        runtime.starter(&runtime.load(&path)?)
    }

    fn file_for(&self, runtime: &R, guest: &Guest) -> Result<PathBuf> {
        let made = match guest.initialised {
            None => self.artifact_for(runtime, &guest.name, || guest.bytes())?,
            Some(export) => self.made(runtime, &guest.name, || runtime.initialise(&guest.bytes()?, export))?,
        };
        match made {
            Artifact::File(path) => Ok(path),
            Artifact::Unsupported(reason) => bail!("{} cannot compile {}: {reason}", R::NAME, guest.name),
        }
    }

    /// The artifact of the module `name` for a runtime of this side.
    pub fn artifact_for(&self, runtime: &R, name: &str, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Artifact> {
        self.made(runtime, name, || runtime.compile(&bytes()?))
    }

    fn made(&self, runtime: &R, name: &str, make: impl FnOnce() -> Result<Vec<u8>, CompileError>) -> Result<Artifact> {
        let key = (runtime.flavour(), name.to_owned());
        if let Some(artifact) = self.made.borrow().get(&key) {
            return Ok(artifact.clone());
        }
        let artifact = match make() {
            Ok(compiled) => {
                let file = format!("{}.cwasm", self.made.borrow().len());
                let path = self.folder.path().join(file);
                fs::write(&path, compiled)?;
                Artifact::File(path)
            }
            Err(CompileError::Unsupported(reason)) => Artifact::Unsupported(reason),
            Err(CompileError::Failed(error)) => {
                let doing = format!("{} cannot compile {name}", R::NAME);
                return Err(error.context(doing));
            }
        };
        self.made.borrow_mut().insert(key, artifact.clone());
        Ok(artifact)
    }
}

/// Sets a runtime up.
pub fn runtime<R: Runtime>(allocation: Allocation) -> Result<R> {
    R::new(allocation).with_context(|| format!("cannot set up {} for {allocation:?}", R::NAME))
}

/// What to measure and how thoroughly.
pub struct Options {
    /// Only figures whose name contains this.
    pub filter: Option<String>,
    /// Fewer samples.
    pub quick: bool,
}

/// Both sides, and what has been found out about them.
pub struct Bench<O, P> {
    /// wasmc.
    pub ours: Side<O>,
    /// What it is measured against.
    pub peer: Side<P>,
    /// The corpus folder, if there is one.
    pub corpus: Option<PathBuf>,
    /// The figures so far.
    pub report: Report,
    options: Options,
    failures: Vec<String>,
}

impl<O: Runtime, P: Runtime> Bench<O, P> {
    /// Sets both sides up.
    pub fn new(corpus: Option<PathBuf>, options: Options) -> Result<Self> {
        Ok(Self {
            ours: Side::new()?,
            peer: Side::new()?,
            corpus,
            report: Report::new(P::NAME),
            options,
            failures: Vec::new(),
        })
    }

    /// Whether `--filter` lets a figure of this name through.
    pub fn wants(&self, name: &str) -> bool {
        let filter = self.options.filter.as_deref();
        filter.is_none_or(|part| name.contains(part))
    }

    /// How often to sample something whose samples take about `budget / 2` or
    /// less; `--quick` divides both the samples and the time by four.
    pub fn plan(&self, min: usize, max: usize, budget: Duration) -> Plan {
        let part = if self.options.quick { 4 } else { 1 };
        Plan { min: min.div_ceil(part), max: max.div_ceil(part), budget: budget / part as u32 }
    }

    /// Measures one figure and reports it; a failure is kept for the end, so
    /// that the other figures are still had.
    pub fn figure(
        &mut self,
        group: &'static str,
        name: &str,
        unit: &'static str,
        measure: impl FnOnce(&Self) -> Result<Pair>,
    ) {
        if !self.wants(name) {
            return;
        }
        match measure(self) {
            Ok(pair) => self.add(group, name, unit, Better::Smaller, pair),
            Err(error) => self.fail(group, name, &error),
        }
    }

    /// Reports one figure.
    pub fn add(&mut self, group: &'static str, name: &str, unit: &'static str, better: Better, pair: Pair) {
        let Pair { ours, peer, tuned } = pair;
        self.report.add(Figure { group, name: name.to_owned(), ours, peer, tuned, unit, better });
    }

    /// Records that a figure could not be had.
    pub fn fail(&mut self, group: &str, name: &str, error: &anyhow::Error) {
        eprintln!("FAILED {group} {name}: {error:#}");
        self.failures.push(format!("{group} {name}: {error:#}"));
    }

    /// What has failed.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Both artifacts of a corpus module, or `None` with a remark when ours
    /// is not yet to be had, or with a failure when either is broken.
    pub fn both(&mut self, group: &'static str, wasm: &Wasm) -> Option<(PathBuf, PathBuf)> {
        let artifacts = (self.ours.artifact(wasm), self.peer.artifact(wasm));
        match artifacts {
            (Ok(Artifact::File(ours)), Ok(Artifact::File(peer))) => Some((ours, peer)),
            (Ok(Artifact::Unsupported(reason)), Ok(_)) => {
                self.not_yet(&wasm.name, &reason);
                None
            }
            (Ok(_), Ok(Artifact::Unsupported(reason))) => {
                let error = anyhow::anyhow!("{} does not support it: {reason}", P::NAME);
                self.fail(group, &wasm.name, &error);
                None
            }
            (Err(error), _) | (_, Err(error)) => {
                self.fail(group, &wasm.name, &error);
                None
            }
        }
    }

    /// Lists something that is left out on both sides.
    pub fn not_yet(&self, name: &str, reason: &str) {
        self.report.remark(&format!("not yet supported: {name}: {reason}"));
    }
}
