//! The documentation of every crate builds without a warning: no public item
//! is without any, and no link in it is broken.

use std::path::Path;
use std::process::Command;

#[test]
fn documentation_builds_without_warnings() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["doc", "--workspace", "--no-deps", "--locked", "--offline", "--quiet"]).current_dir(project);
    let output = cargo.env("RUSTDOCFLAGS", "-D warnings").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
