//! Tokens of cargo's jobserver, with a jobserver of the test's own.

use crate::Package;
use jobserver::Client;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How many threads the script is to wait for.
const WANTED: &str = "WASMC_TEST_THREADS";
/// Where it puts what it has made.
const RESULT: &str = "WASMC_TEST_RESULT";

/// As a build script: compiles a guest of many functions on up to four threads,
/// of which the first few wait until as many as are wanted have begun.
fn script(wanted: usize, result: &str) {
    let package = Package::new();
    let mut text = String::from("(module");
    for i in 0..200 {
        write!(text, "(func (export \"f{i}\") (result i32) (i32.const {i}))").unwrap();
    }
    let threads = Arc::new((Mutex::new(BTreeSet::new()), Condvar::new()));
    let seen = threads.clone();
    let mut module = package.guest("many.wat", text + ")");
    module.env("NUM_JOBS", "4").options(move |options| {
        let threads = threads.clone();
        options.progress = Some(Arc::new(move |_, _| {
            let (threads, more) = &*threads;
            let mut threads = threads.lock().unwrap();
            threads.insert(format!("{:?}", thread::current().id()));
            more.notify_all();
            // A machine may be very busy.
            let late = Duration::from_secs(1000);
            let (threads, waited) = more.wait_timeout_while(threads, late, |t| t.len() < wanted).unwrap();
            assert!(!waited.timed_out(), "{} threads began, not {wanted}", threads.len());
        }));
    });
    module.compile().unwrap();
    assert_eq!(seen.0.lock().unwrap().len(), wanted);
    std::fs::write(result, package.read("many.cwasm")).unwrap();
}

#[test]
fn each_thread_but_the_first_has_a_token_of_cargos_and_gives_it_back() {
    if let (Ok(wanted), Ok(result)) = (std::env::var(WANTED), std::env::var(RESULT)) {
        return script(wanted.parse().unwrap(), &result);
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "jobs::each_thread_but_the_first_has_a_token_of_cargos_and_gives_it_back";
    let results = [(0, 1), (1, 2), (2, 3), (8, 4)].map(|(tokens, threads)| {
        let result = folder.path().join(format!("{tokens}.cwasm"));
        let server = Client::new(tokens).unwrap();
        let mut script = Command::new(std::env::current_exe().unwrap());
        script.args(["--exact", name]).env(WANTED, threads.to_string()).env(RESULT, &result);
        server.configure(&mut script);
        let output = script.output().unwrap();
        assert!(output.status.success(), "with {tokens} tokens: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(server.available().unwrap(), tokens, "all tokens are there again");
        std::fs::read(result).unwrap()
    });
    assert!(results.iter().all(|result| *result == results[0]), "the artifact depends on the tokens");
}
