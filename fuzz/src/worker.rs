//! Tries cases, in a process of which nothing is expected to survive.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use wasmc_fuzz::case::Case;
use wasmc_fuzz::choices::Rng;
use wasmc_fuzz::compare::{self, Finding, Tally};
use wasmc_fuzz::oracle::Oracle;
use wasmc_fuzz::robust;

use crate::What;

/// The stack of the thread that wasm runs on: more than either side may use.
const STACK: usize = 64 << 20;

/// One of so many modules is also tried with some of its bytes changed.
const DAMAGED: u64 = 4;

/// What it takes to try a case.
pub struct Trial {
    oracle: Oracle,
}

impl Trial {
    pub fn new() -> Result<Trial> {
        Ok(Trial { oracle: Oracle::new()? })
    }

    /// Tries a case on a thread of its own.
    pub fn case(&mut self, case: Case) -> Result<Tally, Finding> {
        on_large_stack(|| guarded(|| compare::compare(&self.oracle, &case)))
    }

    fn seed(&self, seed: u64, what: &What) -> Result<Tally, Finding> {
        let bytes = Case::bytes(seed);
        let features = what.features().map_err(|error| Finding { kind: "usage", text: format!("{error:#}") })?;
        let Some(case) = guarded(|| Ok(Case::from_bytes(&bytes, features, what.kind())))? else {
            return Ok(Tally { unshaped: 1, ..Tally::default() });
        };
        if seed.is_multiple_of(DAMAGED) {
            guarded(|| {
                damage(seed, &case.wasm);
                Ok(())
            })?;
        }
        guarded(|| compare::compare(&self.oracle, &case))
    }
}

/// Changes a few bytes of a module and of its artifact; nobody may panic.
fn damage(seed: u64, wasm: &[u8]) {
    let mut rng = Rng::new(!seed);
    let mut change = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.next_u64() as u8;
        }
        bytes
    };
    robust::compile(&change(wasm));
    if let Ok(artifact) = wasmc::compile(wasm, &wasmc::Options::new()) {
        for _ in 0..4 {
            robust::artifact(&change(&artifact));
        }
    }
}

fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let result = thread.expect("a thread can be started").join();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A panic is a finding.
fn guarded<T>(work: impl FnOnce() -> Result<T, Finding>) -> Result<T, Finding> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Finding { kind: "panic", text: text.unwrap_or_default() })
    })
}

/// Tries seeds until nobody reads what is printed.
pub fn run(from: u64, what: &What) -> Result<()> {
    let trial = Trial::new()?;
    on_large_stack(|| {
        let mut out = std::io::stdout().lock();
        for seed in from.. {
            writeln!(out, "begin {seed}")?;
            out.flush()?;
            match trial.seed(seed, what) {
                Ok(t) => writeln!(
                    out,
                    "done {} {} {} {} {} {} {} {}",
                    t.modules, t.calls, t.traps, t.exceptions, t.limits, t.stillborn, t.skipped, t.unshaped
                )?,
                Err(finding) => writeln!(out, "found {}", finding.to_string().replace('\n', " "))?,
            }
            out.flush()?;
        }
        Ok(())
    })
}
