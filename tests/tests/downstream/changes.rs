//! What is built again, and when.

use crate::package::{Program, built};
use std::process::Command;

fn output() -> String {
    let output = Command::new(built("debug")).output().expect("the program can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_changed_guest_is_compiled_again_and_an_unchanged_one_is_not() {
    let program = Program::new("changed");
    program.succeed("embedded", &["build"]);
    assert!(output().contains("1 + 2 = 3\n"));

    let text = program.succeed("embedded", &["build", "--verbose"]);
    assert!(text.contains("Fresh plugins") && text.contains("Fresh host"), "{text}");
    assert!(!text.contains("Running"), "something was built again:\n{text}");

    program.replace("plugins/guest/plugin.wat", "(i32.add (local.get $a)", "(i32.sub (local.get $a)");
    let text = program.succeed("embedded", &["build", "--verbose"]);
    assert!(text.contains("Dirty plugins") && text.contains("plugin.wat"), "{text}");
    assert!(text.contains("Fresh wasmc "), "{text}");
    assert!(output().contains("1 + 2 = -1\n"));
}

#[test]
fn a_changed_signature_fails_the_hosts_build() {
    let program = Program::new("signature");
    program.replace(
        "plugins/guest/plugin.wat",
        "(func (export \"add\") (param $a i32) (param $b i32) (result i32)\n    (i32.add",
        "(func (export \"add\") (param $a i64) (param $b i64) (result i64)\n    (i64.add",
    );
    let text = program.fail(&["check", "-p", "host"]);
    assert!(text.contains("host/src/main.rs") && text.contains("expected `i32`, found `i64`"), "{text}");
    drop(program);

    // An import that the host does not have yet.
    let program = Program::new("signature");
    program.replace("plugins/guest/plugin.wat", "(module $plugin", "(module $plugin (import \"env\" \"more\" (func))");
    let text = program.fail(&["check", "-p", "host"]);
    assert!(text.contains("not all trait items implemented, missing: `more`"), "{text}");
    drop(program);

    // An export that the guest does not have any more.
    let program = Program::new("signature");
    program.replace("plugins/guest/plugin.wat", "(export \"divide\")", "");
    let text = program.fail(&["check", "-p", "host"]);
    assert!(text.contains("no method named `divide`"), "{text}");
}

#[test]
fn generated_code_is_without_warnings_and_documented() {
    let program = Program::new("lints");
    let strict = ["--", "-D", "warnings", "-W", "clippy::pedantic"];
    let text = program.succeed("embedded", &[&["clippy", "-p", "plugins"], &strict[..]].concat());
    assert!(text.contains("Finished"), "{text}");
    let text = program.succeed("linked", &["doc", "--no-deps", "-p", "plugins"]);
    assert!(!text.contains("warning"), "{text}");
}
