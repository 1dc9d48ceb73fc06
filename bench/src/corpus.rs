//! Finds the corpus and describes what in it can be compiled and run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A wasm file and the name its figures carry.
#[derive(Clone)]
pub struct Wasm {
    /// Path within the corpus without its extension.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
}

impl Wasm {
    /// Reads the module.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))
    }
}

/// One execution of a program whose output is known.
pub struct Program {
    /// The name of the figure: the module's, with the arguments.
    pub name: String,
    /// What to compile.
    pub wasm: Wasm,
    /// Arguments, the program's own name first.
    pub args: Vec<String>,
    /// Files the program expects to find in `.`.
    pub inputs: Vec<PathBuf>,
    /// What it must print.
    pub expected: Expected,
}

/// What a program must do to count as having computed the right thing.
#[derive(Default)]
pub struct Expected {
    /// The exit code, where the corpus states one; both sides must agree on
    /// it in any case.
    pub exit: Option<i32>,
    /// Standard output, up to white space at its end.
    pub stdout: Option<Vec<u8>>,
    /// Standard error, up to white space at its end.
    pub stderr: Option<Vec<u8>>,
    /// SHA-256 of the standard output, in lower-case hexadecimal.
    pub stdout_sha256: Option<String>,
}

/// The corpus folder: `WASMC_CORPUS`, or `../shared/corpus` beside the
/// repository. `None` when there is none.
pub fn find() -> Option<PathBuf> {
    let root = env::var_os("WASMC_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
    root.is_dir().then_some(root)
}

/// Every module worth compiling: the benchmarks, the programs and the large
/// production modules, in a stable order.
pub fn modules(root: &Path) -> Result<Vec<Wasm>> {
    let mut found = Vec::new();
    for kind in ["sightglass", "programs", "modules"] {
        for folder in entries(&root.join(kind))? {
            for path in entries(&folder)? {
                if is_wasm(&path) {
                    found.push(wasm(root, path)?);
                }
            }
        }
    }
    Ok(found)
}

/// The one module called `name`, if the corpus has it.
pub fn module(root: &Path, name: &str) -> Option<Wasm> {
    let path = root.join(format!("{name}.wasm"));
    path.is_file().then(|| Wasm { name: name.to_owned(), path })
}

/// Every execution to time: the sightglass benchmarks and the `bench` entries
/// of the programs.
pub fn programs(root: &Path) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for folder in entries(&root.join("sightglass"))? {
        sightglass(root, &folder, &mut found)?;
    }
    for folder in entries(&root.join("programs"))? {
        let cases = folder.join("cases.json");
        if cases.is_file() {
            bench_entries(root, &folder, &cases, &mut found)
                .with_context(|| format!("cannot use {}", cases.display()))?;
        }
    }
    Ok(found)
}

/// The benchmarks of one sightglass folder. A file of expectations carries the
/// stem of its module, or `default` when the modules of a folder share it.
fn sightglass(root: &Path, folder: &Path, found: &mut Vec<Program>) -> Result<()> {
    let files = entries(folder)?;
    let (modules, inputs): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_wasm(path));
    for path in modules {
        let wasm = wasm(root, path)?;
        let stem = stem(&wasm.path)?;
        let expected = |stream: &str| -> Result<Option<Vec<u8>>> {
            for owner in [stem.as_str(), "default"] {
                let file = folder.join(format!("{owner}.{stream}.expected"));
                if file.is_file() {
                    return Ok(Some(fs::read(file)?));
                }
            }
            Ok(None)
        };
        found.push(Program {
            name: wasm.name.clone(),
            args: vec![format!("{stem}.wasm")],
            inputs: inputs.clone(),
            expected: Expected {
                exit: Some(0),
                stdout: expected("stdout")?,
                stderr: expected("stderr")?,
                stdout_sha256: None,
            },
            wasm,
        });
    }
    Ok(())
}

fn bench_entries(root: &Path, folder: &Path, cases: &Path, found: &mut Vec<Program>) -> Result<()> {
    let cases: Value = serde_json::from_slice(&fs::read(cases)?)?;
    let file = cases["module"].as_str().context("no `module`")?;
    let input = folder.join("input");
    let inputs = if input.is_dir() { entries(&input)? } else { Vec::new() };
    for entry in cases["bench"].as_array().into_iter().flatten() {
        let mut args = vec![file.to_owned()];
        for arg in entry["args"].as_array().context("no `args`")? {
            args.push(arg.as_str().context("an argument is not text")?.to_owned());
        }
        let sha = entry["stdout_sha"].as_str().context("no `stdout_sha`")?;
        ensure!(sha.len() == 64, "`stdout_sha` is not a SHA-256");
        let wasm = wasm(root, folder.join(file))?;
        let folder_name = wasm.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        found.push(Program {
            name: [&[folder_name.to_owned()], &args[1..]].concat().join(" "),
            wasm,
            args,
            inputs: inputs.clone(),
            expected: Expected { stdout_sha256: Some(sha.to_owned()), ..Expected::default() },
        });
    }
    Ok(())
}

fn wasm(root: &Path, path: PathBuf) -> Result<Wasm> {
    let name = path.strip_prefix(root)?.with_extension("").to_string_lossy().into_owned();
    Ok(Wasm { name, path })
}

fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().context("a module without a name")?;
    Ok(stem.to_string_lossy().into_owned())
}

fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

/// The entries of a folder, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    read().with_context(|| format!("cannot list {}", folder.display()))
}
