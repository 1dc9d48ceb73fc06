//! The same program with each carrier, in both profiles.

use crate::package::{Program, built, terminal};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use wasmc_tests::copy_program;

const CARRIERS: [&str; 3] = ["file", "embedded", "linked"];

fn run(program: &Path) -> Output {
    Command::new(program).output().unwrap_or_else(|e| panic!("{} cannot be started: {e}", program.display()))
}

/// Builds the program with each carrier, and runs it where it was built and
/// elsewhere.
fn every_carrier(program: &Program, profile: &str, arguments: &[&str]) {
    let expected = fs::read_to_string(program.file("output.txt")).expect("the expected output");
    for carrier in CARRIERS {
        program.succeed(carrier, &[&["build"], arguments].concat());
        let output = run(&built(profile));
        assert_eq!(terminal(&output), expected, "with the carrier {carrier} in the profile {profile}");

        // Delivered to another folder, where nothing else is.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let delivered = folder.path().join("renamed program");
        copy_program(&built(profile), &delivered);
        let output = run(&delivered);
        if carrier != "file" {
            assert_eq!(terminal(&output), expected, "a copy, with the carrier {carrier}");
            continue;
        }
        let text = terminal(&output);
        assert!(!output.status.success() && text.contains("`own.cwasm` is not beside the program"), "{text}");
        for entry in artifacts(profile) {
            fs::copy(&entry, folder.path().join(entry.file_name().expect("a file"))).expect("a copied artifact");
        }
        assert_eq!(terminal(&run(&delivered)), expected, "a copy with the artifacts beside it");
    }
}

/// All artifacts that build scripts have left; the newest of a name last.
fn artifacts(profile: &str) -> Vec<std::path::PathBuf> {
    let folder = built(profile).with_file_name("build");
    let outs = fs::read_dir(folder).expect("cargo's folder").flatten().map(|entry| entry.path().join("out"));
    let files = outs.filter_map(|out| fs::read_dir(out).ok()).flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|name| name == "cwasm")).collect();
    files.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).expect("a time"));
    files
}

#[test]
fn every_carrier_does_the_same_in_a_debug_build() {
    every_carrier(&Program::new("debug"), "debug", &[]);
}

#[test]
fn every_carrier_does_the_same_in_a_release_build_optimised_as_a_whole() {
    // `tests/downstream/Cargo.toml`: LTO, aborting panics, no symbols.
    every_carrier(&Program::new("release"), "release", &["--release"]);
}

#[test]
fn build_scripts_need_neither_the_command_line_nor_the_loader() {
    let program = Program::new("tree");
    let tree = program.succeed("embedded", &["tree", "-p", "plugins", "--prefix", "none", "-e", "build"]);
    let names =
        |tree: &str| tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect::<Vec<_>>();
    let build = names(&tree);
    assert!(build.iter().any(|name| name == "wasmc"), "{tree}");
    for absent in ["clap", "wasmc-loader", "wasmc-wasi", "anyhow", "indicatif", "wasi-common"] {
        assert!(!build.iter().any(|name| name == absent), "{absent} is a dependency:\n{tree}");
    }
    let tree = program.succeed("embedded", &["tree", "-p", "host", "--prefix", "none", "-e", "normal"]);
    let normal = names(&tree);
    assert!(normal.iter().any(|name| name == "wasmc-loader"), "{tree}");
    for absent in ["wasmc", "cranelift-codegen", "wasmparser"] {
        assert!(!normal.iter().any(|name| name == absent), "{absent} is a dependency:\n{tree}");
    }
}
