//! The benchmark programs of Sightglass, as tests.

use crate::build;
use crate::wasi::{Command, same_text};
use std::fs;
use std::path::{Path, PathBuf};
use wasmc_loader::Engine;

/// The programs below `folder`.
pub(crate) fn programs(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut programs: Vec<PathBuf> =
        entries(folder).iter().filter(|path| path.is_dir()).flat_map(|path| entries(path)).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    programs.sort();
    assert!(!programs.is_empty(), "no programs in {}", folder.display());
    programs
}

/// Runs a program in a copy of its folder and compares what it wrote.
pub(crate) fn run(engine: &Engine, program: &Path) -> Result<(), String> {
    let module = build::load(engine, program)?;
    let folder = program.parent().expect("a program is in a folder");
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "wasm" && extension != "expected") {
            fs::copy(&path, scratch.path().join(path.file_name().unwrap_or_default())).map_err(|e| e.to_string())?;
        }
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command =
        Command { arguments: vec![name], folders: vec![(".".to_owned(), ".".to_owned())], ..Command::default() };
    let ended = command.run(engine, &module, scratch.path())?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    if ended.exit != Ok(0) {
        return Err(format!("ends with {:?}: {stderr}", ended.exit));
    }
    let timed = module.imports().any(|import| (import.module(), import.name()) == ("bench", "start"));
    if timed && ended.timed == 0 {
        return Err("does not come to the part that is timed".to_owned());
    }
    for (stream, found) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        if let Some(expected) = expected(program, stream) {
            same_text(stream, found, &expected)?;
        }
    }
    Ok(())
}

/// What a stream should be: from a file named after the program, or from one
/// for all programs of the folder.
fn expected(program: &Path, stream: &str) -> Option<Vec<u8>> {
    let own = program.with_extension(format!("{stream}.expected"));
    let common = program.with_file_name(format!("default.{stream}.expected"));
    fs::read(own).or_else(|_| fs::read(common)).ok()
}
