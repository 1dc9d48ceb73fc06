//! The host process's own standard streams.
//!
//! They are read and written through their descriptors, past the buffers of
//! the standard library: one system call per guest call, and a poll sees what
//! a read would find. wasi-common's own go through those buffers, so that a
//! poll can sleep on input that has already been read ahead.

use async_trait::async_trait;
use std::any::Any;
use std::io::{IoSlice, IoSliceMut, IsTerminal, SeekFrom};
use std::os::fd::AsFd;
use wasi_common::file::{FdFlags, FileType};
use wasi_common::snapshots::preview_1::error::Errno;
use wasi_common::{Error, WasiFile};

/// One of [`std::io::Stdin`], [`std::io::Stdout`] and [`std::io::Stderr`].
pub(crate) struct HostStream<S>(pub(crate) S);

/// Turns a system call's answer into a count, trying again when a signal came
/// in between.
fn transfer(mut call: impl FnMut() -> rustix::io::Result<usize>) -> Result<u64, Error> {
    loop {
        match call() {
            Ok(bytes) => return Ok(bytes as u64),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
}

#[async_trait]
impl<S: AsFd + IsTerminal + Send + Sync + 'static> WasiFile for HostStream<S> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn pollable(&self) -> Option<rustix::fd::BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn isatty(&self) -> bool {
        self.0.is_terminal()
    }

    fn num_ready_bytes(&self) -> Result<u64, Error> {
        // Files and closed pipes cannot say, but a read on them does not wait.
        Ok(rustix::io::ioctl_fionread(self.0.as_fd()).unwrap_or(0))
    }

    async fn get_filetype(&self) -> Result<FileType, Error> {
        Ok(if self.isatty() { FileType::CharacterDevice } else { FileType::Unknown })
    }

    async fn get_fdflags(&self) -> Result<FdFlags, Error> {
        Ok(FdFlags::APPEND)
    }

    async fn read_vectored<'a>(&self, buffers: &mut [IoSliceMut<'a>]) -> Result<u64, Error> {
        transfer(|| rustix::io::readv(self.0.as_fd(), buffers))
    }

    async fn read_vectored_at<'a>(&self, _: &mut [IoSliceMut<'a>], _: u64) -> Result<u64, Error> {
        Err(Errno::Spipe.into())
    }

    async fn write_vectored<'a>(&self, buffers: &[IoSlice<'a>]) -> Result<u64, Error> {
        transfer(|| rustix::io::writev(self.0.as_fd(), buffers))
    }

    async fn write_vectored_at<'a>(&self, _: &[IoSlice<'a>], _: u64) -> Result<u64, Error> {
        Err(Errno::Spipe.into())
    }

    async fn seek(&self, _: SeekFrom) -> Result<u64, Error> {
        Err(Errno::Spipe.into())
    }
}
