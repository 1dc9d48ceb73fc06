//! Lets `perf` name the functions of loaded modules whose code is in no file
//! that it could read.
//!
//! For code in anonymous memory perf looks into `/tmp/perf-PID.map`, which has a
//! line for each function: where it begins and how long it is, in hexadecimal
//! digits, and its name.

use crate::backtrace::demangled;
use crate::error::{Error, Result};
use crate::vm::code::Code;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How a profiler learns the names of functions; see
/// [`Config::profiler`](crate::Config::profiler).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// From the files that code is mapped from, where these have symbols:
    /// artifacts that were opened by their path, and programs that artifacts
    /// were linked into.
    #[default]
    None,
    /// For all other code also from `/tmp/perf-PID.map`, which `perf` reads on
    /// Linux.
    PerfMap,
}

/// The file, and the process that it is of: after a `fork` it is another one's.
static MAP: Mutex<Option<(u32, File)>> = Mutex::new(None);

/// Writes down the functions of `code`, which is executable.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn announce(code: &Code) -> Result<()> {
    let process = std::process::id();
    let path = PathBuf::from(format!("/tmp/perf-{process}.map"));
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    let written = open(&mut map, process, &path).and_then(|mut file| file.write_all(lines(code).as_bytes()));
    written.map_err(|e| {
        let file = path.display();
        Error::new(e).context(format!("cannot write {file}, where `Config::profiler` has names of functions put"))
    })
}

/// The process's file. What is there already is of an earlier one with its
/// number, or of somebody else who has no business there.
fn open<'a>(map: &'a mut Option<(u32, File)>, process: u32, path: &Path) -> io::Result<&'a File> {
    if map.as_ref().is_none_or(|(owner, _)| *owner != process) {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // Follows no link that another user may have put there meanwhile.
        let file = File::options().append(true).create_new(true).open(path)?;
        *map = Some((process, file));
    }
    map.as_ref().map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A line for each function, and for what is between them.
fn lines(code: &Code) -> String {
    let (artifact, text) = (code.artifact(), code.text());
    let module = artifact.str(artifact.header().name).filter(|name| !name.is_empty()).map(plain);
    let module = module.map_or(String::new(), |name| format!(" [{name}]"));
    let imported = artifact.header().context.func_imports;
    let mut lines = String::new();
    let mut line = |from: usize, to: usize, name: &str| {
        if from < to && to <= text.len() {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{:x} {:x} {name}{module}", text.start + from, to - from);
        }
    };
    let mut end = 0;
    for (number, row) in (imported..).zip(artifact.tables().functions.iter()) {
        let start = row.code as usize;
        line(end, start, "wasmc stubs");
        end = start.saturating_add(row.length as usize);
        let name = artifact.function_name(&row).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("wasm-function[{number}]"), |name| plain(&demangled(name)));
        line(start, end, &name);
    }
    line(end, text.len(), "wasmc stubs");
    lines
}

/// A name in one line.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_somebody_has_put_there_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("perf.map"), folder.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let mut map = None;
        for part in ["first\n", "second\n"] {
            open(&mut map, 1, &path).unwrap().write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");
        // In a process that was forked off.
        let forked = folder.path().join("forked.map");
        open(&mut map, 2, &forked).unwrap().write_all(b"third\n").unwrap();
        assert_eq!(fs::read_to_string(&forked).unwrap(), "third\n");
        let nowhere = folder.path().join("none/perf.map");
        assert!(open(&mut map, 3, &nowhere).is_err());
    }

    #[test]
    fn a_name_is_in_one_line() {
        assert_eq!(plain("two\nlines\0"), "two\u{fffd}lines\u{fffd}");
    }
}
