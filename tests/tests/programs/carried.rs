//! Programs of the corpus inside other programs: as data and as code they do
//! what they do from a file. Each is compiled once for both.

use crate::build::in_parallel;
use crate::corpus_programs::{Runner, programs};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wasmc_loader::Engine;
use wasmc_tests::carriers::{Carrier, using};
use wasmc_tests::corpus::corpus;

/// Larger programs take long to compile; with `WASMC_CARRIED=all` they are run too.
const LARGEST: u64 = 400 << 10;

/// Bytes of the modules of a program: the file, or all those in the folder.
fn size(path: &Path) -> u64 {
    let files = if path.is_dir() {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![path.to_owned()]
    };
    let modules = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    modules.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn programs_of_the_corpus_do_the_same_inside_other_programs() {
    let Some(corpus) = corpus() else { return };
    let mut programs: Vec<(PathBuf, Runner)> = programs(&corpus);
    let all = programs.len();
    if std::env::var_os("WASMC_CARRIED").is_none_or(|which| which != "all") {
        programs.retain(|(path, _)| size(path) <= LARGEST);
    }
    assert!(programs.len() > all / 3, "{} of {all} programs are small", programs.len());
    let engine = Engine::default();
    let outcomes = in_parallel(&programs, |(path, run)| {
        [Carrier::Embedded, Carrier::Linked].map(|carrier| using(carrier, || run(&engine, path)))
    });
    let mut failed = Vec::new();
    for ((path, _), outcomes) in programs.iter().zip(outcomes) {
        let name = path.strip_prefix(&corpus).unwrap_or(path).display();
        for (how, outcome) in ["embedded", "linked"].into_iter().zip(outcomes) {
            failed.extend(outcome.err().map(|problem| format!("{name}, {how}: {problem}")));
        }
    }
    let summary = format!("corpus: {} of {all} programs run embedded and linked\n", programs.len());
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
