//! The same input makes the same bytes, whatever the number of threads, the
//! folder and the process.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasmc::{Options, Target};
use wasmc_tests::corpus::corpus;
use wasmc_tests::samples::{BORROWER, EVERYTHING};

/// Tells [`compiles_for_another_process`] what to compile and where to.
const INPUT: &str = "WASMC_TEST_COMPILE";
const OUTPUT: &str = "WASMC_TEST_COMPILE_TO";

const FROM_CORPUS: [&str; 4] = [
    "sightglass/blake3-simd/benchmark.wasm",
    "sightglass/pulldown-cmark/benchmark.wasm",
    "programs/icepll/icepll.wasm",
    "programs/zlibrt/zlibrt.wasm",
];

fn inputs() -> Vec<(String, Vec<u8>)> {
    let samples = [("everything", EVERYTHING), ("borrower", BORROWER)];
    let mut inputs: Vec<_> = samples.map(|(name, wat)| (name.to_owned(), wat.as_bytes().to_vec())).into();
    if let Some(corpus) = corpus() {
        inputs.extend(FROM_CORPUS.map(|name| (name.to_owned(), std::fs::read(corpus.join(name)).unwrap())));
    }
    inputs
}

fn options(jobs: Option<usize>) -> Options {
    Options { debug: true, jobs: jobs.and_then(NonZeroUsize::new), ..Options::new() }
}

#[test]
fn the_number_of_threads_does_not_change_the_bytes() {
    for (name, wasm) in inputs() {
        let expected = wasmc::compile(&wasm, &options(Some(1))).unwrap();
        for jobs in [Some(2), Some(7), None, Some(2)] {
            let bytes = wasmc::compile(&wasm, &options(jobs)).unwrap();
            assert!(bytes == expected, "{name}: {jobs:?} threads make other bytes than one");
        }
    }
}

#[test]
fn every_target_gives_the_same_bytes_twice() {
    for triple in
        ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"]
    {
        let make = |jobs| {
            let options = Options { target: Target::new(triple).unwrap(), ..options(Some(jobs)) };
            wasmc::compile(EVERYTHING.as_bytes(), &options).unwrap()
        };
        assert!(make(1) == make(3), "{triple}: the bytes differ");
    }
}

#[test]
fn another_process_in_another_folder_makes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, wasm)) in inputs().iter().enumerate() {
        let output = in_another_process(folder.path(), &format!("{number}.wasm"), wasm);
        assert!(wasmc::compile(wasm, &options(None)).unwrap() == output, "{name}: the bytes differ");
    }
}

/// Runs this test program again, only to compile.
fn in_another_process(folder: &Path, input: &str, wasm: &[u8]) -> Vec<u8> {
    let output = PathBuf::from(input).with_extension("cwasm");
    std::fs::write(folder.join(input), wasm).unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::compiles_for_another_process"])
        .current_dir(folder)
        .env(INPUT, input)
        .env(OUTPUT, &output)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    std::fs::read(folder.join(output)).unwrap()
}

/// The other end of [`in_another_process`]; nothing when run as a test.
#[test]
fn compiles_for_another_process() {
    if let (Some(input), Some(output)) = (std::env::var_os(INPUT), std::env::var_os(OUTPUT)) {
        let wasm = std::fs::read(input).unwrap();
        std::fs::write(output, wasmc::compile(&wasm, &options(Some(3))).unwrap()).unwrap();
    }
}
