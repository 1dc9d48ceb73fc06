//! Who may depend on whom: compiler -> artifacts <- loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is inside the workspace").to_owned()
}

/// The crates that `package` consists of when somebody depends on it.
fn tree(package: &str, extra: &[&str]) -> String {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "depth"])
        .args(extra)
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cannot list the dependencies of {package}: {problem}");
    String::from_utf8(output.stdout).expect("names of crates are text")
}

/// Fails, and shows the tree, if a crate whose name begins with one of
/// `banned` is in it.
fn refuse(package: &str, extra: &[&str], banned: &[&str]) {
    let tree = tree(package, extra);
    let crates = tree.lines().map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit()));
    let found: Vec<&str> = crates.filter(|name| banned.iter().any(|banned| name.starts_with(banned))).collect();
    assert!(found.is_empty(), "{package} must not depend on {found:?}:\n{tree}");
}

#[test]
fn the_loader_contains_no_compiler_and_no_deserialiser() {
    let banned = [
        "cranelift",
        "wasmparser",
        "wasm-encoder",
        "wat ",
        "wast ",
        "serde",
        "regalloc",
        "postcard",
        "bincode",
        "wasmc ",
    ];
    refuse("wasmc-loader", &[], &banned);
    refuse("wasmc-loader", &["--all-features"], &banned);
}

#[test]
fn the_artifact_format_depends_on_neither_side() {
    let banned = ["cranelift", "wasmparser", "regalloc", "serde", "libc", "wasmc ", "wasmc-loader"];
    refuse("wasmc-artifacts", &["--all-features"], &banned);
}

/// They go into the loader, and so does all that they would bring along.
#[test]
fn the_allocators_depend_on_nothing_but_the_derive_of_their_error() {
    let tree = tree("wasmc-allocators", &["--all-features"]);
    let direct: Vec<&str> = tree.lines().filter_map(|line| line.strip_prefix('1')).collect();
    assert!(matches!(direct[..], [only] if only.starts_with("thiserror ")), "{tree}");
}

#[test]
fn the_compiler_library_contains_no_loader() {
    refuse("wasmc", &["--no-default-features"], &["wasmc-loader", "wasmc-wasi"]);
}

/// Macros of the WASI implementation bring in a description of wasm, but no
/// way to make code from it.
#[test]
fn wasi_adds_no_compiler_to_the_loader() {
    refuse("wasmc-wasi", &[], &["cranelift-codegen", "cranelift-frontend", "regalloc", "wasmtime ", "wasmc "]);
}

#[test]
fn crates_without_unsafe_code_forbid_it() {
    for package in ["artifacts", "wasi"] {
        let root = workspace().join(package).join("src/lib.rs");
        let source = fs::read_to_string(&root).unwrap();
        assert!(source.contains("#![forbid(unsafe_code)]"), "{} does not forbid unsafe code", root.display());
    }
}

/// To run what it has just compiled, the compiler has to load it, and in a build
/// script it inherits cargo's pipe. Nothing else in it is unsafe; without the
/// features for these, nothing is.
#[test]
fn unsafe_code_of_the_compiler_is_where_it_loads_what_it_has_compiled_or_inherits() {
    let source = workspace().join("compiler/src");
    let root = fs::read_to_string(source.join("lib.rs")).unwrap();
    let features = r#"any(feature = "build", feature = "init")"#;
    assert!(root.contains(&format!("#![cfg_attr(not({features}), forbid(unsafe_code))]\n#![deny(unsafe_code)]")));
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let allowed = ["init/load.rs", "build/jobs.rs", "bin/wasmc/load.rs"].map(|file| source.join(file));
    let found: Vec<String> =
        files.iter().filter(|file| !allowed.contains(file)).flat_map(|file| unsafe_lines(file)).collect();
    assert!(files.len() > 50 && found.is_empty(), "unsafe code elsewhere in the compiler:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_of_the_loader_is_in_vm_and_sys_only() {
    let source = workspace().join("loader/src");
    let root = fs::read_to_string(source.join("lib.rs")).unwrap();
    assert!(root.contains("#![deny(unsafe_code)]"), "the loader no longer denies unsafe code");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 10, "the loader's sources are not where they were: {files:?}");
    let outside = files.iter().filter(|file| !["vm", "sys"].iter().any(|folder| file.starts_with(source.join(folder))));
    let found: Vec<String> = outside.flat_map(|file| unsafe_lines(file)).collect();
    assert!(found.is_empty(), "unsafe code outside loader/src/vm and loader/src/sys:\n{}", found.join("\n"));
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The lines that contain the keyword, comments left aside.
fn unsafe_lines(file: &Path) -> Vec<String> {
    let source = fs::read_to_string(file).unwrap();
    let lines = source.lines().enumerate().filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    });
    lines.map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim())).collect()
}
