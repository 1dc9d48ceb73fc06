//! Every program of the corpus does what it is known to do.

use crate::build::in_parallel;
use crate::{cases, libraries, sightglass};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wasmc_loader::Engine;
use wasmc_tests::corpus::corpus;

pub(crate) type Runner = fn(&Engine, &Path) -> Result<(), String>;

/// Everything that can be run, and how. With `WASMC_PROGRAM`, only what has
/// that in its path.
pub(crate) fn programs(corpus: &Path) -> Vec<(PathBuf, Runner)> {
    let mut programs: Vec<(PathBuf, Runner)> = Vec::new();
    programs.extend(
        sightglass::programs(&corpus.join("sightglass")).into_iter().map(|path| (path, sightglass::run as Runner)),
    );
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(corpus.join("programs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let kinds: [(&str, Runner); 2] = [("cases.json", cases::run), ("calls.json", libraries::run)];
        let known = kinds.into_iter().filter(|(file, _)| folder.join(file).exists());
        let before = programs.len();
        programs.extend(known.map(|(_, run)| (folder.clone(), run)));
        assert!(programs.len() > before, "{} says not how it is to be run", folder.display());
    }
    if let Ok(only) = std::env::var("WASMC_PROGRAM") {
        programs.retain(|(path, _)| path.to_string_lossy().contains(&only));
    }
    programs
}

#[test]
fn every_program_of_the_corpus_does_what_it_should() {
    let Some(corpus) = corpus() else { return };
    let programs = programs(&corpus);
    let engine = Engine::default();
    let outcomes = in_parallel(&programs, |(path, run)| {
        let begun = Instant::now();
        let outcome = run(&engine, path);
        (outcome, begun.elapsed())
    });
    let (mut passed, mut failed) = (0, Vec::new());
    for ((path, _), (outcome, time)) in programs.iter().zip(outcomes) {
        let name = path.strip_prefix(&corpus).unwrap_or(path).display();
        println!("{:6.2} s  {name}", time.as_secs_f64());
        match outcome {
            Ok(()) => passed += 1,
            Err(problem) => failed.push(format!("{name}: {problem}")),
        }
    }
    // Not `println!`, which the test harness would keep to itself.
    let summary = format!("corpus: {passed} programs passed\n");
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} programs failed:\n{}", failed.len(), failed.join("\n"));
}
