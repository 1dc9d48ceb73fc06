//! From a file of wasm to a module, for this machine, with the artifact
//! checked on the way.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use wasmc::{Options, Target};
use wasmc_artifacts::format::Artifact;
use wasmc_loader::{Engine, Module};

/// Compiles wasm for this machine's own processor, with the proposals that are
/// off by default where the module needs them.
pub(crate) fn compile(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let target = Target::default().cpu("native").map_err(|e| e.to_string())?;
    let mut options = Options { target, ..Options::new() };
    let mut artifact = wasmc::compile(wasm, &options);
    if let Err(wasmc::Error::Unsupported { proposal, .. }) = &artifact
        && proposal.supported
    {
        options.features.set(proposal.name, true).map_err(|e| e.to_string())?;
        artifact = wasmc::compile(wasm, &options);
    }
    artifact.map_err(|error| format!("does not compile: {error}"))
}

/// Reads an artifact back, in both ways there are.
pub(crate) fn check(artifact: &[u8]) -> Result<(), String> {
    let read = Artifact::parse(artifact).map_err(|e| e.to_string())?;
    read.verify().map_err(|e| e.to_string())?;
    wasmc::inspect::verify(artifact).map_err(|e| e.to_string())
}

/// Compiles, checks and loads the module in a file, from the carrier that this
/// thread has chosen. What the thread has compiled last is not compiled again.
pub(crate) fn load(engine: &Engine, path: &Path) -> Result<Module, String> {
    thread_local! {
        static LAST: RefCell<(PathBuf, Vec<u8>)> = RefCell::default();
    }
    LAST.with_borrow_mut(|(last, artifact)| {
        if last != path {
            let wasm = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            *artifact = compile(&wasm)?;
            check(artifact)?;
            *last = path.to_owned();
        }
        wasmc_tests::carriers::load(engine, artifact).map_err(|e| format!("cannot load the artifact: {e:#}"))
    })
}

/// Calls `work` with each item, on as many threads as there are cores, and
/// returns the results in the order of the items.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        while let (number, Some(item)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            (n, items.get(n))
        } {
            let result = work(item);
            results.lock().unwrap().push((number, result));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            // Guests may use more of the stack than threads usually have.
            let thread = std::thread::Builder::new().stack_size(32 << 20);
            thread.spawn_scoped(scope, worker).expect("a thread can be started");
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
