//! Copies of the program, and cargo in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder")
}

/// Where all copies and what is built of them are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream")
}

/// A copy of the program. There is one at a time: all are built in one folder,
/// where cargo takes them for the same program and tells by the time of their
/// files what has changed.
pub struct Program {
    path: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Program {
    /// A fresh copy with this name.
    pub fn new(name: &str) -> Program {
        Program::of("tests/downstream", name)
    }

    /// A fresh copy with this name of what is in a folder of the workspace.
    pub fn of(source: &str, name: &str) -> Program {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = folder().join(format!("a program (größer, 名前) {name}"));
        // What is left of an earlier test.
        let _ = fs::remove_dir_all(&path);
        copy(&root().join(source), &path);
        // So that cargo chooses the versions that are there.
        fs::copy(root().join("Cargo.lock"), path.join("Cargo.lock")).expect("the workspace's lock file");
        Program { path, _alone: alone }
    }

    /// A file of the program.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).expect("the file can be written");
    }

    /// Replaces a part of a file.
    pub fn replace(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.file(name)).expect("a file of the program");
        assert!(text.contains(old), "{name} does not contain {old}");
        self.write(name, &text.replace(old, new));
    }

    /// Runs cargo with `arguments`; `carrier` is how guests are carried.
    pub fn cargo(&self, carrier: &str, arguments: &[&str]) -> Output {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.run(Command::new(cargo).env("CARRIER", carrier).args(arguments))
    }

    /// Runs a cargo in the program's folder.
    pub fn run(&self, command: &mut Command) -> Output {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let of_this_run = text.starts_with("CARGO") && !["CARGO_HOME", "CARGO_INCREMENTAL"].contains(&&*text);
            if of_this_run || text.starts_with("WASMC_") || text.ends_with("RUSTFLAGS") {
                command.env_remove(&name);
            }
        }
        command.env("CARGO_TARGET_DIR", folder().join("target")).env("CARGO_TERM_COLOR", "never");
        // As `--offline`, wherever in the line that would have to stand.
        command.env("CARGO_NET_OFFLINE", "true").current_dir(&self.path).output().expect("cargo can be started")
    }

    /// Runs cargo, which must succeed; what it wrote to the terminal.
    pub fn succeed(&self, carrier: &str, arguments: &[&str]) -> String {
        let output = self.cargo(carrier, arguments);
        let text = terminal(&output);
        assert!(output.status.success(), "cargo {arguments:?} with the carrier {carrier} failed:\n{text}");
        text
    }

    /// Runs cargo, which must fail; what it wrote to the terminal.
    pub fn fail(&self, arguments: &[&str]) -> String {
        let output = self.cargo("embedded", arguments);
        let text = terminal(&output);
        assert!(!output.status.success(), "cargo {arguments:?} did not fail:\n{text}");
        text
    }
}

/// The program that was built last in a profile (or `TARGET/PROFILE`).
pub fn built(profile: &str) -> PathBuf {
    folder().join("target").join(profile).join("host")
}

/// What a program wrote to the terminal.
pub fn terminal(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(from).expect("the program's folder") {
        let entry = entry.expect("an entry of the folder");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("a text");
        // A path in TOML.
        let workspace = root().display().to_string().escape_default().to_string();
        let text = if entry.file_name() == "Cargo.toml" { text.replace("WASMC", &workspace) } else { text };
        fs::write(target, text).expect("the copy can be written");
    }
}
