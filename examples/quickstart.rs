//! Compiles a C program that was built to WebAssembly, maps the artifact and
//! runs it, saying what happens at each step.
//!
//! ```sh
//! cargo run --bin quickstart [FILE...]
//! ```
//!
//! The files are those that the program, which counts words, is to read; by
//! default this project's README.

use anyhow::{Context, Result};
use std::path::Path;
use std::time::Instant;
use wasmc_loader::{Engine, Linker, Module, Store};
use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

fn main() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the examples are inside the project")?;
    let wasm = project.join("examples/guests/wordfreq.wasm");
    let artifact = project.join("target/wordfreq.cwasm");
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        files.push("README.md".to_owned());
    }

    compile(&wasm, &artifact)?;

    // From here on there is no compiler involved.
    let engine = Engine::default();
    let started = Instant::now();
    // SAFETY: the artifact was written by wasmc a moment ago.
    let module = unsafe { Module::open(&engine, &artifact)? };
    println!("mapped    {} in {:?}", artifact.display(), started.elapsed());

    let mut linker = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi)?;
    let program = linker.instantiate_pre(&module)?;

    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().arg("wordfreq")?.args(&files)?;
    wasi.preopened_dir(".", ".", DirPerms::READ, FilePerms::READ).context("cannot open the current folder")?;
    let mut store = Store::new(&engine, wasi.build());

    let started = Instant::now();
    let instance = program.instantiate(&mut store)?;
    println!("made      an instance in {:?}", started.elapsed());
    println!("running   wordfreq {}\n", files.join(" "));

    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(()),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => std::process::exit(exit.0),
            None => Err(error.into()),
        },
    }
}

/// Compiles `wasm` to the file `artifact`.
fn compile(wasm: &Path, artifact: &Path) -> Result<()> {
    let bytes = std::fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let started = Instant::now();
    let compiled = wasmc::compile(&bytes, &wasmc::Options::new())?;
    println!("compiled  {} ({} bytes) in {:?}", wasm.display(), bytes.len(), started.elapsed());
    if let Some(folder) = artifact.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(artifact, &compiled).with_context(|| format!("cannot write {}", artifact.display()))?;
    println!("wrote     {} ({} bytes)", artifact.display(), compiled.len());
    Ok(())
}
