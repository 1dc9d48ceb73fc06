//! The functions over a plain memory, without a loader: what the official
//! programs do not reach.

mod faults;
mod folders;
mod streams;

use crate::abi::preview1;
use crate::{DirPerms, FilePerms, WasiCtx, WasiCtxBuilder};
use std::cell::UnsafeCell;
use std::path::Path;
use wiggle::GuestMemory;

/// Error numbers of preview 1, as the tests expect them.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const BADF: i32 = 8;
    pub(super) const ILSEQ: i32 = 25;
    pub(super) const INVAL: i32 = 28;
    pub(super) const IO: i32 = 29;
    pub(super) const NOSPC: i32 = 51;
    pub(super) const NOTSOCK: i32 = 57;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const XDEV: i32 = 75;
}

/// Where the guests below keep things in their memory.
const IOVS: i32 = 0x100;
const RESULT: i32 = 0x200;
const TEXT: i32 = 0x1000;
const OTHER_TEXT: i32 = 0x2000;

/// A guest without code: a context and a memory.
struct Guest {
    ctx: WasiCtx,
    memory: Vec<u8>,
    /// What functions get instead, where that is to be shared.
    shared: Option<Vec<UnsafeCell<u8>>>,
}

impl Guest {
    fn new(ctx: WasiCtx) -> Guest {
        Guest { ctx, memory: vec![0; 1 << 16], shared: None }
    }

    /// A guest with one folder, as descriptor 3.
    fn in_folder(folder: &Path, dirs: DirPerms, files: FilePerms) -> Guest {
        Guest::new(WasiCtxBuilder::new().preopened_dir(folder, "/", dirs, files).expect("folder exists").build())
    }

    /// Puts text into the memory; gives its length.
    fn put(&mut self, at: i32, text: &str) -> i32 {
        self.memory[at as usize..][..text.len()].copy_from_slice(text.as_bytes());
        text.len() as i32
    }

    fn put_u32(&mut self, at: i32, value: u32) {
        self.memory[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, at: i32, value: u64) {
        self.memory[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    fn u32_at(&self, at: i32) -> u32 {
        u32::from_le_bytes(self.memory[at as usize..][..4].try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: i32) -> u64 {
        u64::from_le_bytes(self.memory[at as usize..][..8].try_into().expect("eight bytes"))
    }

    /// Writes text to a descriptor: the error number, or how much was written.
    fn write(&mut self, fd: i32, text: &str) -> Result<u32, i32> {
        let length = self.put(TEXT, text);
        self.put_u32(IOVS, TEXT as u32);
        self.put_u32(IOVS + 4, length as u32);
        match preview1::fd_write(&mut self.ctx, GuestMemory::Unshared(&mut self.memory), fd, IOVS, 1, RESULT)
            .expect("no fault")
        {
            errno::SUCCESS => Ok(self.u32_at(RESULT)),
            errno => Err(errno),
        }
    }

    /// Reads at most `length` bytes: the error number, or the text.
    fn read(&mut self, fd: i32, length: u32) -> Result<String, i32> {
        self.put_u32(IOVS, TEXT as u32);
        self.put_u32(IOVS + 4, length);
        match preview1::fd_read(&mut self.ctx, GuestMemory::Unshared(&mut self.memory), fd, IOVS, 1, RESULT)
            .expect("no fault")
        {
            errno::SUCCESS => {
                let bytes = &self.memory[TEXT as usize..][..self.u32_at(RESULT) as usize];
                Ok(String::from_utf8(bytes.to_vec()).expect("text"))
            }
            errno => Err(errno),
        }
    }

    /// Opens a path beneath descriptor 3: the error number, or the descriptor.
    fn open(&mut self, path: &str, oflags: i32, rights: i64, fdflags: i32) -> Result<i32, i32> {
        let length = self.put(TEXT, path);
        let (ctx, memory) = (&mut self.ctx, GuestMemory::Unshared(&mut self.memory));
        match preview1::path_open(ctx, memory, 3, 0, TEXT, length, oflags, rights, 0, fdflags, RESULT)
            .expect("no fault")
        {
            errno::SUCCESS => Ok(self.u32_at(RESULT) as i32),
            errno => Err(errno),
        }
    }
}
