//! Runs WebAssembly test scripts (`.wast`), the format of the official test
//! suite, on this compiler and the loader.
//!
//! ```text
//! script -> directives -> [session: one store, named instances] -> Outcome
//!                             |- refuse     modules that must not compile or link
//!                             |- values     arguments, and patterns of results
//!                             `- spectest   what scripts import
//! ```
//!
//! Nothing is skipped: a directive that this version cannot do counts as
//! failed.

mod refuse;
mod session;
mod spectest;
mod values;

use crate::options::Options;
use session::Session;
use std::collections::BTreeSet;
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

    /// Runs a script from beginning to end, whatever fails on the way.
    pub fn run(&self, script: &str) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.parse_and_run(script, &mut outcome) {
            let (line, _) = error.span().linecol_in(script);
            outcome.failures.push(Failure { line: line + 1, directive: "script", message: error.message() });
        }
        outcome
    }

    fn parse_and_run(&self, script: &str, outcome: &mut Outcome) -> Result<(), wast::Error> {
        let mut lexer = Lexer::new(script);
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer)?;
        let directives = parser::parse::<Wast<'_>>(&buffer)?.directives;
        let mut session = Session::new(self, script);
        session.run(directives, outcome);
        Ok(())
    }

    fn compile(&self, wasm: &[u8]) -> Result<Compiled, crate::Error> {
        Ok(Compiled { bytes: crate::compile(wasm, &self.options)? })
    }
}
