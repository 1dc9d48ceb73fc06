//! Command-line programs: for each case what they are given and what has to
//! come out.

use crate::build;
use crate::wasi::{Command, Ended, same_text};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use wasmc_loader::{Engine, Module};

/// An exit code that stands for a trap, whatever the code.
const TRAPPED: i64 = 134;

/// Runs all cases of the program in `folder`.
pub(crate) fn run(engine: &Engine, folder: &Path) -> Result<(), String> {
    let text = fs::read_to_string(folder.join("cases.json")).map_err(|e| e.to_string())?;
    let program: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let file = string(&program["module"]);
    let module = build::load(engine, &folder.join(&file))?;
    let cases = program["cases"].as_array().ok_or("it has no cases".to_owned())?;
    // One folder for all of them: what a case writes may be another's input.
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    for case in cases {
        let stubs = program["stub_unknown_imports"].as_bool().unwrap_or_default();
        let problem = |problem: String| format!("case {}: {problem}", case["id"]);
        run_case(engine, &module, folder, scratch.path(), &command(case, &file, stubs), case).map_err(problem)?;
    }
    Ok(())
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn command(case: &Value, file: &str, stubs: bool) -> Command {
    let name = case["argv0"].as_str().unwrap_or(file).to_owned();
    Command {
        arguments: std::iter::once(name).chain(list(&case["args"]).iter().map(string)).collect(),
        folders: list(&case["dirs"]).iter().map(|pair| (string(&pair[0]), string(&pair[1]))).collect(),
        stdin: string(&case["stdin"]),
        stubs,
    }
}

fn run_case(
    engine: &Engine,
    module: &Module,
    folder: &Path,
    scratch: &Path,
    command: &Command,
    case: &Value,
) -> Result<(), String> {
    let input = folder.join("input");
    if input.is_dir() {
        copy(&input, scratch).map_err(|e| format!("cannot copy the input: {e}"))?;
    }
    let ended = command.run(engine, module, scratch)?;
    check_exit(case, &ended)?;
    let trapped = case["exit_code"].as_i64() == Some(TRAPPED);
    for (stream, found) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        let Some(name) = case[stream].as_str() else { continue };
        let expected = fs::read(folder.join(name)).map_err(|e| format!("cannot read {name}: {e}"))?;
        if trapped && stream == "stderr" && found.starts_with(expected.trim_ascii_end()) {
            continue;
        }
        same_text(stream, found, &expected)?;
    }
    for (name, hash) in case["out_files"].as_object().into_iter().flatten() {
        let content = fs::read(scratch.join(name)).map_err(|e| format!("{name} was not written: {e}"))?;
        let found: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        if hash != &found {
            return Err(format!("{name} has SHA-256 {found} instead of {hash}"));
        }
    }
    Ok(())
}

fn check_exit(case: &Value, ended: &Ended) -> Result<(), String> {
    let expected = case["exit_code"].as_i64().unwrap_or_default();
    let trap = case["trap"].as_bool().unwrap_or_default();
    let fits = match &ended.exit {
        Ok(code) => !trap && (i64::from(*code) == expected || expected == TRAPPED && *code != 0),
        Err(_) => trap || expected == TRAPPED,
    };
    if fits {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&ended.stderr);
    Err(format!("ends with {:?} instead of exit code {expected}\n{stderr}", ended.exit))
}

/// Copies a folder's contents.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copy_to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir_all(&copy_to)?;
            copy(&path, &copy_to)?;
        } else {
            fs::copy(&path, copy_to)?;
        }
    }
    Ok(())
}
