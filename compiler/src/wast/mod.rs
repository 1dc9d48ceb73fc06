//! Runs WebAssembly test scripts (`.wast`), the format of the official test
//! suite, on this compiler and the loader.
//!
//! ```text
//! script -> directives -> [session: one store, named instances] -> Outcome
//!                             |- refuse     modules that must not compile or link
//!                             |- values     arguments, and patterns of results
//!                             |- scribble   changes that a reset undoes
//!                             `- spectest   what scripts import
//! ```
//!
//! Nothing is skipped: a directive that this version cannot do counts as
//! failed.

mod refuse;
mod scribble;
mod session;
mod spectest;
mod values;

use crate::options::Options;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use wasmc_artifacts::format::Digest;
use wasmc_loader::{Engine, Module};
use wast::Wast;
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};

/// An artifact that a [`Runner`] has just compiled, and that has been nowhere
/// else since: what the loader may trust.
#[derive(Debug)]
pub struct Compiled {
    bytes: Vec<u8>,
}

impl Compiled {
    /// The artifact.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes a loaded module of an artifact. To load native code is unsafe, and
/// this crate forbids that; so the caller brings the function, which is sound
/// because only the compiler makes a [`Compiled`].
pub type Load = dyn Fn(&Engine, &Compiled) -> Result<Module, wasmc_loader::Error> + Send + Sync;

/// How a script's modules are instantiated.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The engine; several scripts may share one. Its pool, if it has one,
    /// must have room for all that a script instantiates, since it drops no
    /// instance before it ends.
    pub engine: Engine,
    /// Whether every instance is changed, as far as the host can, and then
    /// reset ([`Instance::reset`](wasmc_loader::Instance::reset)), before it
    /// is used for the first time.
    pub reset: bool,
    /// Whether code that looks at its epoch is always told to stop there, upon
    /// which garbage is collected and it goes on. The engine must have
    /// [`epoch_interruption`](wasmc_loader::Config::epoch_interruption).
    pub interrupt: bool,
}

/// Runs test scripts.
pub struct Runner {
    options: Options,
    load: Box<Load>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What became of a script.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Number of assertions that held.
    pub passed: usize,
    /// What failed: assertions, and other directives that did not work.
    pub failures: Vec<Failure>,
    /// Proposals that modules of the script need and that are switched off or
    /// not supported. Each use is among the failures, too.
    pub unsupported: BTreeSet<&'static str>,
}

/// A directive that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Line, counted from 1.
    pub line: usize,
    /// The directive's keyword.
    pub directive: &'static str,
    /// What was expected and what happened.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.directive, self.message)
    }
}

impl Outcome {
    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Runner {
    /// A runner that compiles with `options` and loads with `load`.
    pub fn new(
        options: Options,
        load: impl Fn(&Engine, &Compiled) -> Result<Module, wasmc_loader::Error> + Send + Sync + 'static,
    ) -> Runner {
        Runner { options, load: Box::new(load) }
    }

    /// Runs a script.
    pub fn run(&self, script: &str, setup: &Setup) -> Outcome {
        Context::new(self, script).run(setup)
    }

    /// Runs a script once with each of the settings, in their order. Each of
    /// its modules is compiled once.
    pub fn run_each(&self, script: &str, setups: &[Setup]) -> Vec<Outcome> {
        let context = Context::new(self, script);
        setups.iter().map(|setup| context.run(setup)).collect()
    }
}

/// What the runs of a script have in common.
struct Context<'a> {
    runner: &'a Runner,
    script: &'a str,
    compiled: Mutex<HashMap<Digest, Arc<Result<Compiled, crate::Error>>>>,
}

impl<'a> Context<'a> {
    fn new(runner: &'a Runner, script: &'a str) -> Context<'a> {
        Context { runner, script, compiled: Mutex::default() }
    }

    /// Runs the script from beginning to end, whatever fails on the way.
    fn run(&self, setup: &Setup) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.parse_and_run(setup, &mut outcome) {
            let (line, _) = error.span().linecol_in(self.script);
            outcome.failures.push(Failure { line: line + 1, directive: "script", message: error.message() });
        }
        outcome
    }

    fn parse_and_run(&self, setup: &Setup, outcome: &mut Outcome) -> Result<(), wast::Error> {
        let mut lexer = Lexer::new(self.script);
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer)?;
        let directives = parser::parse::<Wast<'_>>(&buffer)?.directives;
        session::run(self, setup, directives, outcome);
        Ok(())
    }

    /// Compiles a module, or remembers what came of it.
    fn compile(&self, wasm: &[u8]) -> Arc<Result<Compiled, crate::Error>> {
        let hash = Sha256::digest(wasm).into();
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled().get(&hash) {
            return known.clone();
        }
        // Not under the lock: another thread of the script may compile too.
        let new = crate::compile(wasm, &self.runner.options).map(|bytes| Compiled { bytes });
        let new = Arc::new(new);
        compiled().insert(hash, new.clone());
        new
    }
}
