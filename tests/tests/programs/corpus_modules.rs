//! Large modules of production use: each compiles, its artifact is intact, and
//! an instance can be made of it.

use crate::build;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wasmc_loader::{Engine, Linker, Store};
use wasmc_tests::corpus::corpus;

fn modules(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut modules: Vec<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    modules.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    modules.sort();
    modules
}

#[test]
fn every_module_of_the_corpus_compiles_and_can_be_instantiated() {
    let Some(corpus) = corpus() else { return };
    let modules = modules(&corpus.join("modules"));
    assert!(!modules.is_empty(), "no modules in the corpus");
    let (mut compiled, mut failed) = (0, Vec::new());
    // One after the other: the compiler itself uses all cores.
    for path in &modules {
        let name = path.strip_prefix(&corpus).unwrap_or(path).display();
        match instantiate(path) {
            Ok(()) => compiled += 1,
            Err(problem) => failed.push(format!("{name}: {problem}")),
        }
    }
    let summary = format!("corpus: {compiled} modules compiled\n");
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} modules failed:\n{}", failed.len(), failed.join("\n"));
}

/// With functions that trap, and zeros, nulls and zeroed memory for the rest.
fn instantiate(path: &Path) -> Result<(), String> {
    let engine = Engine::default();
    let module = build::load(&engine, path)?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let stubs = linker
        .define_unknown_imports_as_traps(&module)
        .and_then(|linker| linker.define_unknown_imports_as_default_values(&mut store, &module));
    stubs.map_err(|e| format!("cannot define the imports: {e:#}"))?;
    linker.instantiate(&mut store, &module).map_err(|e| format!("cannot instantiate: {e:#}"))?;
    Ok(())
}
