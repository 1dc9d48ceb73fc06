//! Streams that end in the host program instead of in the operating system.
//!
//! [`MemoryInputPipe`] and [`MemoryOutputPipe`] are buffers; for any other
//! [`Read`](std::io::Read) or [`Write`](std::io::Write) there are
//! [`ReadPipe`] and [`WritePipe`]. None of them ever makes a poll wait.

use async_trait::async_trait;
use std::any::Any;
use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasi_common::file::{FdFlags, FileType};
use wasi_common::snapshots::preview_1::error::Errno;
use wasi_common::{Error, WasiFile};

pub use wasi_common::pipe::{ReadPipe, WritePipe};

/// Bytes that a guest reads, and then the end of the stream.
///
/// Clones share one position, so several contexts can take turns on one input.
#[derive(Clone, Debug)]
pub struct MemoryInputPipe {
    unread: Arc<Mutex<Unread>>,
}

#[derive(Debug)]
struct Unread {
    bytes: Box<[u8]>,
    position: usize,
}

impl MemoryInputPipe {
    /// A stream of the bytes given.
    pub fn new(bytes: impl Into<Vec<u8>>) -> MemoryInputPipe {
        let unread = Unread { bytes: bytes.into().into_boxed_slice(), position: 0 };
        MemoryInputPipe { unread: Arc::new(Mutex::new(unread)) }
    }

    /// How many bytes nobody has read yet.
    pub fn remaining(&self) -> usize {
        let unread = lock(&self.unread);
        unread.bytes.len() - unread.position
    }
}

/// What a guest has written, up to a capacity.
///
/// Clones share one buffer: give one to the context, keep the other, and read
/// it with [`contents`](MemoryOutputPipe::contents) whenever it suits. A guest
/// that writes past the capacity is told that there is no space left, so it
/// cannot use up the host's memory.
///
/// ```
/// use wasmc_wasi::{WasiCtxBuilder, pipe::MemoryOutputPipe};
///
/// let stdout = MemoryOutputPipe::new(1 << 20);
/// let ctx = WasiCtxBuilder::new().stdout(stdout.clone()).build();
/// // ... run a guest with `ctx` ...
/// # drop(ctx);
/// assert_eq!(stdout.contents(), b"");
/// ```
#[derive(Clone, Debug)]
pub struct MemoryOutputPipe {
    written: Arc<Mutex<Vec<u8>>>,
    capacity: usize,
}

impl MemoryOutputPipe {
    /// An empty buffer for at most `capacity` bytes; it grows as it is used.
    pub fn new(capacity: usize) -> MemoryOutputPipe {
        MemoryOutputPipe { written: Arc::default(), capacity }
    }

    /// A copy of everything written so far.
    pub fn contents(&self) -> Vec<u8> {
        lock(&self.written).clone()
    }

    /// Everything written since the last call, which leaves the buffer empty.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.written))
    }
}

/// The buffers stay consistent even if a thread panicked while it held one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl WasiFile for MemoryInputPipe {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn num_ready_bytes(&self) -> Result<u64, Error> {
        Ok(self.remaining() as u64)
    }

    async fn get_filetype(&self) -> Result<FileType, Error> {
        Ok(FileType::Pipe)
    }

    async fn read_vectored<'a>(&self, buffers: &mut [IoSliceMut<'a>]) -> Result<u64, Error> {
        let mut unread = lock(&self.unread);
        let start = unread.position;
        for buffer in buffers {
            let rest = &unread.bytes[unread.position..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            unread.position += count;
        }
        Ok((unread.position - start) as u64)
    }

    async fn seek(&self, _: SeekFrom) -> Result<u64, Error> {
        Err(Errno::Spipe.into())
    }
}

#[async_trait]
impl WasiFile for MemoryOutputPipe {
    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn get_filetype(&self) -> Result<FileType, Error> {
        Ok(FileType::Pipe)
    }

    async fn get_fdflags(&self) -> Result<FdFlags, Error> {
        Ok(FdFlags::APPEND)
    }

    async fn write_vectored<'a>(&self, buffers: &[IoSlice<'a>]) -> Result<u64, Error> {
        let mut written = lock(&self.written);
        let start = written.len();
        for buffer in buffers {
            let space = self.capacity.saturating_sub(written.len());
            written.extend_from_slice(&buffer[..buffer.len().min(space)]);
        }
        let count = written.len() - start;
        if count == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            return Err(Errno::Nospc.into());
        }
        Ok(count as u64)
    }

    async fn seek(&self, _: SeekFrom) -> Result<u64, Error> {
        Err(Errno::Spipe.into())
    }
}
