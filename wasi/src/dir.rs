//! A folder beneath a preopened one: wasi-common's folder, which keeps the
//! guest inside of it, held to its [`DirPerms`] and [`FilePerms`].

use crate::file::{File, clamp_times};
use crate::permissions::{DirPerms, FilePerms};
use async_trait::async_trait;
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use wasi_common::dir::{OpenResult, ReaddirCursor, ReaddirEntity};
use wasi_common::file::{FdFlags, Filestat, OFlags};
use wasi_common::snapshots::preview_1::error::Errno;
use wasi_common::sync::dir as host;
use wasi_common::{Error, SystemTimeSpec, WasiDir, WasiFile};

/// The entries of a folder, in the order of their cursors.
type Entries = Box<dyn Iterator<Item = Result<ReaddirEntity, Error>> + Send>;

/// A folder, and what the guest may do in it and beneath it.
pub(crate) struct Dir {
    inner: host::Dir,
    dirs: DirPerms,
    files: FilePerms,
    /// For a preopened one; that it is there is known by this.
    _there: Option<Arc<()>>,
}

impl Dir {
    pub(crate) fn new(inner: wasi_common::sync::Dir, dirs: DirPerms, files: FilePerms, there: Arc<()>) -> Dir {
        Dir { inner: host::Dir::from_cap_std(inner), dirs, files, _there: Some(there) }
    }

    fn require(&self, permission: DirPerms) -> Result<(), Error> {
        if self.dirs.contains(permission) { Ok(()) } else { Err(Errno::Perm.into()) }
    }

    /// The folder that a rename or link leads to, if the guest may change both
    /// and what arrives there does not gain permissions by it.
    fn destination<'a>(&self, other: &'a dyn WasiDir) -> Result<&'a Dir, Error> {
        self.require(DirPerms::MUTATE)?;
        let other = other.as_any().downcast_ref::<Dir>().ok_or(Error::from(Errno::Xdev))?;
        other.require(DirPerms::MUTATE)?;
        let widens = !self.files.contains(other.files) || !self.dirs.contains(other.dirs);
        if widens { Err(Errno::Perm.into()) } else { Ok(other) }
    }

    /// Refuses what the permissions exclude before the file system is touched:
    /// opening may create and truncate.
    fn check_open(&self, flags: OFlags, write: bool) -> Result<(), Error> {
        if flags.contains(OFlags::CREATE) {
            self.require(DirPerms::MUTATE)?;
        }
        let changes = write || flags.intersects(OFlags::CREATE | OFlags::TRUNCATE);
        if changes && !self.files.contains(FilePerms::WRITE) { Err(Errno::Perm.into()) } else { Ok(()) }
    }
}

#[async_trait]
impl WasiDir for Dir {
    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn open_file(
        &self,
        follow: bool,
        path: &str,
        flags: OFlags,
        read: bool,
        write: bool,
        status: FdFlags,
    ) -> Result<OpenResult, Error> {
        self.check_open(flags, write)?;
        // The standard library refuses to open for appending and to truncate
        // in one step, which POSIX allows: truncate in a second one.
        let truncate_after = flags.contains(OFlags::TRUNCATE) && status.contains(FdFlags::APPEND);
        let flags = if truncate_after { flags.difference(OFlags::TRUNCATE) } else { flags };
        match self.inner.open_file_(follow, path, flags, read, write, status)? {
            host::OpenResult::Dir(inner) => {
                Ok(OpenResult::Dir(Box::new(Dir { inner, dirs: self.dirs, files: self.files, _there: None })))
            }
            host::OpenResult::File(_) if read && !self.files.contains(FilePerms::READ) => Err(Errno::Perm.into()),
            host::OpenResult::File(inner) => {
                if truncate_after {
                    inner.set_filestat_size(0).await?;
                }
                Ok(OpenResult::File(Box::new(File::new(inner, self.files))))
            }
        }
    }

    async fn create_dir(&self, path: &str) -> Result<(), Error> {
        self.require(DirPerms::MUTATE)?;
        self.inner.create_dir(path).await
    }

    async fn readdir(&self, cursor: ReaddirCursor) -> Result<Entries, Error> {
        self.require(DirPerms::READ)?;
        self.inner.readdir(cursor).await
    }

    async fn symlink(&self, target: &str, path: &str) -> Result<(), Error> {
        self.require(DirPerms::MUTATE)?;
        self.inner.symlink(target, path).await
    }

    async fn remove_dir(&self, path: &str) -> Result<(), Error> {
        self.require(DirPerms::MUTATE)?;
        self.inner.remove_dir(path).await
    }

    async fn unlink_file(&self, path: &str) -> Result<(), Error> {
        self.require(DirPerms::MUTATE)?;
        self.inner.unlink_file(path).await
    }

    async fn read_link(&self, path: &str) -> Result<PathBuf, Error> {
        self.require(DirPerms::READ)?;
        self.inner.read_link(path).await
    }

    async fn get_filestat(&self) -> Result<Filestat, Error> {
        self.require(DirPerms::READ)?;
        Ok(clamp_times(self.inner.get_filestat().await?))
    }

    async fn get_path_filestat(&self, path: &str, follow: bool) -> Result<Filestat, Error> {
        self.require(DirPerms::READ)?;
        Ok(clamp_times(self.inner.get_path_filestat(path, follow).await?))
    }

    async fn rename(&self, path: &str, to_dir: &dyn WasiDir, to_path: &str) -> Result<(), Error> {
        let to_dir = self.destination(to_dir)?;
        self.inner.rename_(path, &to_dir.inner, to_path)
    }

    async fn hard_link(&self, path: &str, to_dir: &dyn WasiDir, to_path: &str) -> Result<(), Error> {
        let to_dir = self.destination(to_dir)?;
        self.inner.hard_link_(path, &to_dir.inner, to_path)
    }

    async fn set_times(
        &self,
        path: &str,
        atime: Option<SystemTimeSpec>,
        mtime: Option<SystemTimeSpec>,
        follow: bool,
    ) -> Result<(), Error> {
        self.require(DirPerms::MUTATE)?;
        self.inner.set_times(path, atime, mtime, follow).await
    }
}
