//! Where results go.

use crate::input::is_dash;
use anyhow::{Context, bail};
use std::fs::{File, Permissions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// A place for a result, checked before the work begins.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A device or pipe, which is written to as it is.
    Stream(PathBuf),
    /// A regular file, which appears whole or not at all.
    File(PathBuf),
}

impl Destination {
    /// The place called `path`, for a result that is text or binary.
    pub(crate) fn new(path: &Path, is_text: bool) -> anyhow::Result<Destination> {
        if is_dash(path) {
            if !is_text && std::io::stdout().is_terminal() {
                bail!("will not write a binary file to the terminal; name a file with `-o FILE`, or use a pipe");
            }
            return Ok(Destination::Stdout);
        }
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => bail!("cannot write `{}`: it is a folder", path.display()),
            Ok(there) if is_descriptor(path) || !there.is_file() => Ok(Destination::Stream(path.to_owned())),
            // A link stays one: the file that it leads to is replaced.
            Ok(_) => {
                let target = std::fs::canonicalize(path).with_context(|| cannot_write(path))?;
                Ok(Destination::File(target))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = folder_of(path);
                if !folder.is_dir() {
                    bail!("cannot write `{}`: there is no folder `{}`", path.display(), folder.display());
                }
                Ok(Destination::File(path.to_owned()))
            }
            Err(error) => Err(error).with_context(|| cannot_write(path)),
        }
    }

    /// Whether this place is the file `other`.
    pub(crate) fn is(&self, other: &Path) -> bool {
        match self {
            Destination::File(path) => match (std::fs::canonicalize(path), std::fs::canonicalize(other)) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            },
            _ => false,
        }
    }

    /// Writes the result.
    pub(crate) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Destination::Stdout => print(bytes),
            Destination::Stream(path) => File::options()
                .write(true)
                .open(path)
                .and_then(|mut stream| stream.write_all(bytes))
                .with_context(|| cannot_write(path)),
            Destination::File(path) => replace(path, bytes).with_context(|| cannot_write(path)),
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Stdout => f.write_str("standard output"),
            Destination::Stream(path) | Destination::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// Whether the name is one of an open descriptor that others may share: even if
/// that is a regular file, it is written to, not replaced.
fn is_descriptor(path: &Path) -> bool {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let named = ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name));
    named || path.starts_with("/dev/fd") || path.starts_with("/proc")
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write `{}`", path.display())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a temporary file beside `path` and renames it, so that a full disk
/// or a kill leaves no half of a file under that name.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wasmc-").permissions(mode(path));
    let mut file = builder.tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    if let Ok(there) = std::fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    file.persist(path)?;
    Ok(())
}

/// The permissions of a new file, from which the process's mask is taken away.
#[cfg(unix)]
fn mode(_: &Path) -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

/// Prints to stdout. A reader that has seen enough is no failure.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Destination::new(&folder.path().join("missing/out"), false).unwrap_err();
        assert!(missing.to_string().contains("there is no folder"), "{missing}");
        assert!(Destination::new(folder.path(), false).unwrap_err().to_string().contains("it is a folder"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Others may have mapped what is there, and it may be longer.
    #[test]
    fn a_file_is_replaced_wherever_it_is_and_a_descriptor_is_written_to() {
        for folder in [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
            let path = folder.path().join("file");
            std::fs::write(&path, "what was there before").unwrap();
            let mut there = File::open(&path).unwrap();
            Destination::new(&path, false).unwrap().write(b"new").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"new", "{}", path.display());
            let mut old = String::new();
            std::io::Read::read_to_string(&mut there, &mut old).unwrap();
            assert_eq!(old, "what was there before", "{}", path.display());
        }
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(is_descriptor(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_link_is_kept_and_permissions_too() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Destination::new(&link, false).unwrap().write(b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
