//! The examples that are crates of their own are built and run, as somebody
//! would outside of this workspace: with their own `Cargo.toml`, offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// What an example prints that was copied out of the project, with the
/// versions of dependencies that the project has.
fn run(name: &str) -> String {
    let folder = tempfile::Builder::new().prefix("an example ").tempdir().unwrap();
    copy(&project().join("examples").join(name), folder.path());
    let manifest = folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("../..", project().to_str().unwrap())).unwrap();
    fs::copy(project().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--offline", "--quiet"]).current_dir(folder.path());
    // Where other tests build programs with the same dependencies, and as they do.
    cargo.args(["--config", "profile.dev.build-override.debug=false"]);
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream/target"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn build_script_calls_its_guest_through_bindings() {
    let expected = "the guest says: a large order\n\
        regular customer: false; 2 orders: [750, 47500]\n\
        the guest says: a large order\n\
        regular customer: true; 2 orders: [727, 46000]\n";
    assert_eq!(run("build-script"), expected);
}

#[test]
fn linked_object_executes_the_guest_in_place() {
    assert_eq!(run("linked-object"), "of the numbers below 1000, 871 takes the most steps to 1: 178\n");
}

#[test]
fn async_bindings_wait_for_the_host_in_many_tasks() {
    let expected = "50 orders: 221000\n\
        audited: 153\n\
        articles up to 100: article 100 has no price\n\
        an article without end: no order\n\
        then: 60\n";
    assert_eq!(run("async-bindings"), expected);
}
