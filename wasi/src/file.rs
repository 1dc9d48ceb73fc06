//! An open file beneath a preopened folder: wasi-common's file, held to its
//! [`FilePerms`].

use crate::permissions::FilePerms;
use async_trait::async_trait;
use std::any::Any;
use std::future::Future;
use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};
use wasi_common::file::{Advice, FdFlags, FileType, Filestat};
use wasi_common::snapshots::preview_1::error::Errno;
use wasi_common::{Error, SystemTimeSpec, WasiFile};

/// What `async fn` in an `async_trait` returns once written out.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A file, and what the guest may do with it.
pub(crate) struct File {
    inner: wasi_common::sync::file::File,
    permissions: FilePerms,
}

impl File {
    pub(crate) fn new(inner: wasi_common::sync::file::File, permissions: FilePerms) -> File {
        File { inner, permissions }
    }

    fn require_write(&self) -> Result<(), Error> {
        if self.permissions.contains(FilePerms::WRITE) { Ok(()) } else { Err(Errno::Perm.into()) }
    }
}

/// WASI counts time from 1970 without a sign, and wasi-common panics on a file
/// older than that; such a file appears to be from 1970 instead.
pub(crate) fn clamp_times(mut stat: Filestat) -> Filestat {
    let clamp = |time: Option<SystemTime>| time.map(|time| time.max(UNIX_EPOCH));
    stat.atim = clamp(stat.atim);
    stat.mtim = clamp(stat.mtim);
    stat.ctim = clamp(stat.ctim);
    stat
}

#[async_trait]
impl WasiFile for File {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn pollable(&self) -> Option<rustix::fd::BorrowedFd<'_>> {
        self.inner.pollable()
    }

    fn isatty(&self) -> bool {
        self.inner.isatty()
    }

    fn num_ready_bytes(&self) -> Result<u64, Error> {
        self.inner.num_ready_bytes()
    }

    // The four transfers hand on the inner future instead of awaiting it in a
    // future of their own: one allocation per call instead of two.

    fn read_vectored<'a, 'life0, 'life1, 'async_trait>(
        &'life0 self,
        buffers: &'life1 mut [IoSliceMut<'a>],
    ) -> Answer<'async_trait, u64>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.read_vectored(buffers)
    }

    fn read_vectored_at<'a, 'life0, 'life1, 'async_trait>(
        &'life0 self,
        buffers: &'life1 mut [IoSliceMut<'a>],
        offset: u64,
    ) -> Answer<'async_trait, u64>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.read_vectored_at(buffers, offset)
    }

    fn write_vectored<'a, 'life0, 'life1, 'async_trait>(
        &'life0 self,
        buffers: &'life1 [IoSlice<'a>],
    ) -> Answer<'async_trait, u64>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.write_vectored(buffers)
    }

    fn write_vectored_at<'a, 'life0, 'life1, 'async_trait>(
        &'life0 self,
        buffers: &'life1 [IoSlice<'a>],
        offset: u64,
    ) -> Answer<'async_trait, u64>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.write_vectored_at(buffers, offset)
    }

    async fn get_filetype(&self) -> Result<FileType, Error> {
        self.inner.get_filetype().await
    }

    async fn datasync(&self) -> Result<(), Error> {
        self.inner.datasync().await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.inner.sync().await
    }

    async fn get_fdflags(&self) -> Result<FdFlags, Error> {
        self.inner.get_fdflags().await
    }

    async fn set_fdflags(&mut self, flags: FdFlags) -> Result<(), Error> {
        self.inner.set_fdflags(flags).await
    }

    async fn get_filestat(&self) -> Result<Filestat, Error> {
        Ok(clamp_times(self.inner.get_filestat().await?))
    }

    async fn set_filestat_size(&self, size: u64) -> Result<(), Error> {
        self.require_write()?;
        self.inner.set_filestat_size(size).await
    }

    async fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<(), Error> {
        self.inner.advise(offset, length, advice).await
    }

    async fn set_times(&self, atime: Option<SystemTimeSpec>, mtime: Option<SystemTimeSpec>) -> Result<(), Error> {
        self.require_write()?;
        self.inner.set_times(atime, mtime).await
    }

    async fn seek(&self, position: SeekFrom) -> Result<u64, Error> {
        self.inner.seek(position).await
    }

    async fn peek(&self, buffer: &mut [u8]) -> Result<u64, Error> {
        self.inner.peek(buffer).await
    }
}
