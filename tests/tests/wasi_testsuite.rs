//! The official test programs of WASI preview 1, written in Rust, C and
//! AssemblyScript: compiled, loaded and run, each in a scratch copy of the
//! folder it wants; and those of wasi-threads, each in a process of its own.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wasmc_loader::{Engine, Linker, Module, Store};
use wasmc_tests::corpus::corpus;
use wasmc_wasi::pipe::MemoryOutputPipe;
use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

/// How many programs the suite has: a corpus that lost some must not pass.
const PROGRAMS: usize = 72;

/// The same for wasi-threads.
const PROGRAMS_WITH_THREADS: usize = 15;

/// Far more than any of the programs prints.
const OUTPUT_CAPACITY: usize = 1 << 20;

#[test]
fn every_official_wasi_program_passes() {
    let Some(corpus) = corpus() else { return };
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |ctx: &mut WasiCtx| ctx).expect("an empty linker takes WASI");

    let programs = programs(&corpus.join("wasi-testsuite/tests"));
    let mut failures = Vec::new();
    for program in &programs {
        if let Err(reason) = run(&engine, &linker, program) {
            failures.push(format!("{}: {reason}", program.display()));
        }
    }
    println!("wasi-testsuite: {} of {} programs passed", programs.len() - failures.len(), programs.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(programs.len(), PROGRAMS, "programs in the corpus");
}

/// These end by ending their process, whatever their other threads do: some
/// wait for ever, some never stop, and some read what nobody writes.
#[test]
fn every_official_program_with_threads_passes() {
    let Some(corpus) = corpus() else { return };
    let mut programs = Vec::new();
    add_programs(&corpus.join("wasi-testsuite/tests/proposals/wasi-threads"), &mut programs);
    let mut failures = Vec::new();
    for program in &programs {
        if let Err(reason) = run_with_threads(program) {
            failures.push(format!("{}: {reason}", program.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(programs.len(), PROGRAMS_WITH_THREADS, "programs in the corpus");
}

fn run_with_threads(program: &Path) -> Result<(), String> {
    let expected = description(program)?["exit_code"].as_i64().unwrap_or(0);
    let mut child = Command::new(env!("CARGO_BIN_EXE_guest"))
        .arg(program)
        // Kept open, and never written to.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    drop(stdin);
    if done.status.code().map(i64::from) != Some(expected) {
        let stderr = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{}, expected exit code {expected}\n{stderr}", done.status));
    }
    Ok(())
}

/// The suite's modules for preview 1, in a fixed order.
fn programs(tests: &Path) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for language in ["assemblyscript", "c", "rust"] {
        add_programs(&tests.join(language).join("testsuite/wasm32-wasip1"), &mut programs);
    }
    programs.sort();
    programs
}

fn add_programs(folder: &Path, programs: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("folder can be listed").path());
    programs.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")));
}

/// Runs one program as its description asks, and compares what it asks for.
fn run(engine: &Engine, linker: &Linker<WasiCtx>, program: &Path) -> Result<(), String> {
    let description = description(program)?;
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (MemoryOutputPipe::new(OUTPUT_CAPACITY), MemoryOutputPipe::new(OUTPUT_CAPACITY));
    let mut ctx = context(program, &description, scratch.path()).map_err(|error| error.to_string())?;
    let ctx = ctx.stdout(stdout.clone()).stderr(stderr.clone()).build();

    let wasm = fs::read(program).map_err(|error| error.to_string())?;
    let artifact = wasmc::compile(&wasm, &wasmc::Options::default()).map_err(|error| error.to_string())?;
    // SAFETY: compiled above, and not changed since.
    let module = unsafe { Module::from_bytes(engine, &artifact) }.map_err(|error| error.to_string())?;
    let exit_code = match call_start(linker, &module, Store::new(engine, ctx)) {
        Ok(()) => 0,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => exit.0,
            None => return Err(format!("{error:?}\n{}", String::from_utf8_lossy(&stderr.contents()))),
        },
    };

    let expected = description["exit_code"].as_i64().unwrap_or(0);
    if i64::from(exit_code) != expected {
        let stderr = stderr.contents();
        return Err(format!("exit code {exit_code}, expected {expected}\n{}", String::from_utf8_lossy(&stderr)));
    }
    let printed = String::from_utf8_lossy(&stdout.contents()).into_owned();
    match description["stdout"].as_str() {
        Some(expected) if expected != printed => Err(format!("printed {printed:?}, expected {expected:?}")),
        _ => Ok(()),
    }
}

fn call_start(linker: &Linker<WasiCtx>, module: &Module, mut store: Store<WasiCtx>) -> Result<(), wasmc_loader::Error> {
    let instance = linker.instantiate(&mut store, module)?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
}

/// What `NAME.json` beside the program says; everything in it has a default.
fn description(program: &Path) -> Result<Value, String> {
    match fs::read(program.with_extension("json")) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        Err(_) => Ok(Value::Null),
    }
}

/// The arguments, variables and folders that the description asks for.
fn context(program: &Path, description: &Value, scratch: &Path) -> Result<WasiCtxBuilder, wasmc_wasi::Error> {
    let texts = |key: &str| description[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut ctx = WasiCtxBuilder::new();
    ctx.arg(program.file_name().and_then(|name| name.to_str()).unwrap_or_default())?.args(texts("args"))?;
    for (name, value) in description["env"].as_object().into_iter().flatten() {
        ctx.env(name, value.as_str().unwrap_or_default())?;
    }
    let root = description["root"].as_str().map(|folder| (folder, "/"));
    for (folder, guest) in root.into_iter().chain(texts("dirs").map(|folder| (folder, folder))) {
        let copy = scratch.join(folder);
        copy_folder(&program.with_file_name(folder), &copy);
        // A program creates a file in it; the corpus, like git, has no empty folders.
        fs::create_dir_all(copy.join("writeable")).expect("scratch folder takes a folder");
        ctx.preopened_dir(&copy, guest, DirPerms::all(), FilePerms::all())?;
    }
    Ok(ctx)
}

/// Copies a folder's contents but not their permissions, for the corpus may be
/// read-only.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("scratch folder takes a folder");
    for entry in fs::read_dir(from).expect("corpus folder can be listed") {
        let from = entry.expect("corpus folder can be listed").path();
        let to = to.join(from.file_name().expect("an entry has a name"));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).expect("corpus file can be read")).expect("scratch folder takes a file");
        }
    }
}
