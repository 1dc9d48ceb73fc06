//! Files without a name, so that bytes can be mapped like an artifact's file.

use std::fs::File;
use std::io::{self, Write};

/// A file with this content that nobody else can open. On Linux it is sealed:
/// nobody can change it any more, this process included.
pub(crate) fn anonymous_file(content: &[u8]) -> io::Result<File> {
    let mut file = create()?;
    file.write_all(content)?;
    seal(&file)?;
    Ok(file)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn create() -> io::Result<File> {
    use std::os::fd::FromRawFd;
    /// Since Linux 6.3: the file may be mapped as executable, even if the
    /// system's default is that such files may not.
    const MFD_EXEC: libc::c_uint = 0x10;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in [flags | MFD_EXEC, flags] {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"wasmc-artifact".as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else's.
            return Ok(unsafe { File::from_raw_fd(fd) });
        }
        last = io::Error::last_os_error();
        if last.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(last)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn seal(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open, and adding seals takes an int.
    let failed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn create() -> io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    for _ in 0..1 << 16 {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(".wasmc-artifact-{}-{number}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[allow(clippy::unnecessary_wraps, reason = "has the signature of the function on Linux")]
fn seal(_: &File) -> io::Result<()> {
    // The name is gone, so nobody else can open the file.
    Ok(())
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_file_cannot_be_changed() {
        let mut file = anonymous_file(b"content").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 7);
        assert!(file.write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
    }
}
