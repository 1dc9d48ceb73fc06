//! The command line as its users see it: files, streams, exit codes and
//! messages of the built `wasmc`.

mod bad_input;
mod compile;
#[cfg(feature = "run")]
mod guide;
#[cfg(feature = "run")]
mod init;
mod inspect;
#[cfg(feature = "run")]
mod limits;
#[cfg(feature = "run")]
mod run;
#[cfg(feature = "wast")]
mod script;
mod threads;
mod working_set;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A module that adds.
const ADD: &str = r#"(module $adder
    (memory (export "memory") 1 2)
    (data (i32.const 8) "hello")
    (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;

/// A folder that `wasmc` is run in.
struct Folder(TempDir);

/// What became of a command.
struct Done {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmc"));
        command.current_dir(self.0.path()).env_remove("CLICOLOR_FORCE");
        command
    }

    fn wasmc<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Done {
        self.wasmc_with_input(args, b"")
    }

    fn wasmc_with_input<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Done {
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without having read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code().expect("wasmc ends by itself"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// The same, which must have succeeded.
    #[track_caller]
    fn ok(self) -> Done {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// The same, which must have failed with this code and these words.
    #[track_caller]
    fn failed(self, code: i32, words: &[&str]) -> Done {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains('\x1b'), "colours where there is no terminal");
        self
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

fn is_artifact(path: &Path) -> bool {
    std::fs::read(path).unwrap().starts_with(b"\x7fELF")
}
