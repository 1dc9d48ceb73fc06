//! Standard streams, pipes, and waiting for them.

use super::*;
use crate::abi::preview0;
use crate::pipe::{MemoryInputPipe, MemoryOutputPipe, ReadPipe};
use crate::stdio::HostStream;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const SUBSCRIPTIONS: i32 = 0x400;
const EVENTS: i32 = 0x800;
const CLOCK: u32 = 0;
const FD_READ: u32 = 1;
const FD_WRITE: u32 = 2;

impl Guest {
    /// Polls for the events given as (type, descriptor or nanoseconds); gives
    /// the indices of those that occurred.
    fn poll(&mut self, waiting: &[(u32, u64)]) -> Vec<u64> {
        for (index, &(event, subject)) in waiting.iter().enumerate() {
            let at = SUBSCRIPTIONS + 48 * index as i32;
            self.put_u64(at, index as u64);
            self.put_u32(at + 8, event);
            if event == CLOCK {
                self.put_u32(at + 16, 1);
                self.put_u64(at + 24, subject);
                self.put_u64(at + 32, 0);
                self.put_u32(at + 40, 0);
            } else {
                self.put_u32(at + 16, subject as u32);
            }
        }
        let (ctx, memory) = (&mut self.ctx, GuestMemory::Unshared(&mut self.memory));
        let errno = preview1::poll_oneoff(ctx, memory, SUBSCRIPTIONS, EVENTS, waiting.len() as i32, RESULT);
        assert_eq!(errno.ok(), Some(errno::SUCCESS));
        (0..self.u32_at(RESULT) as i32).map(|event| self.u64_at(EVENTS + 32 * event)).collect()
    }
}

/// A guest whose standard input is a socket, and the socket's other end.
fn guest_with_socket() -> (Guest, std::os::unix::net::UnixStream) {
    let (host, guest) = std::os::unix::net::UnixStream::pair().expect("socket pair");
    let stdin = HostStream(OwnedFd::from(guest));
    (Guest::new(WasiCtxBuilder::new().stdin(stdin).build()), host)
}

#[test]
fn input_pipes_give_their_bytes_and_then_end() {
    let stdin = MemoryInputPipe::new("input");
    let mut guest = Guest::new(WasiCtxBuilder::new().stdin(stdin.clone()).build());
    assert_eq!(guest.read(0, 3).as_deref(), Ok("inp"));
    assert_eq!(stdin.remaining(), 2);
    assert_eq!(guest.read(0, 30).as_deref(), Ok("ut"));
    assert_eq!(guest.read(0, 30).as_deref(), Ok(""));
    assert_eq!(guest.write(0, "x"), Err(errno::BADF));
}

#[test]
fn output_pipes_fill_up_to_their_capacity() {
    let stdout = MemoryOutputPipe::new(5);
    let mut guest = Guest::new(WasiCtxBuilder::new().stdout(stdout.clone()).build());
    assert_eq!(guest.write(1, "abc"), Ok(3));
    assert_eq!(guest.write(1, "def"), Ok(2));
    assert_eq!(guest.write(1, "g"), Err(errno::NOSPC));
    assert_eq!(guest.write(1, ""), Ok(0));
    assert_eq!(stdout.contents(), b"abcde");
    assert_eq!(stdout.take(), b"abcde");
    assert_eq!(guest.write(1, "g"), Ok(1));
}

#[test]
fn a_context_without_streams_reads_nothing_and_discards() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    assert_eq!(guest.read(0, 30).as_deref(), Ok(""));
    assert_eq!(guest.write(2, "lost"), Ok(4));
}

#[test]
fn preview_0_writes_to_the_same_streams() {
    let stdout = MemoryOutputPipe::new(100);
    let mut guest = Guest::new(WasiCtxBuilder::new().stdout(stdout.clone()).build());
    let length = guest.put(TEXT, "hello");
    guest.put_u32(IOVS, TEXT as u32);
    guest.put_u32(IOVS + 4, length as u32);
    let written = preview0::fd_write(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 1, IOVS, 1, RESULT);
    assert_eq!(written.ok(), Some(errno::SUCCESS));
    assert_eq!(stdout.contents(), b"hello");
}

#[test]
fn host_streams_are_read_past_any_buffer() {
    let (mut guest, mut host) = guest_with_socket();
    host.write_all(b"two lines\nof text\n").expect("socket is open");
    assert_eq!(guest.read(0, 3).as_deref(), Ok("two"));
    assert_eq!(guest.poll(&[(FD_READ, 0)]), [0], "the rest is still seen");
    assert_eq!(guest.read(0, 100).as_deref(), Ok(" lines\nof text\n"));
    drop(host);
    assert_eq!(guest.poll(&[(FD_READ, 0)]), [0], "the end does not wait");
    assert_eq!(guest.read(0, 100).as_deref(), Ok(""));
}

#[test]
fn a_poll_reports_only_what_is_ready() {
    let (mut guest, mut host) = guest_with_socket();
    assert_eq!(guest.poll(&[(FD_READ, 0), (FD_WRITE, 0)]), [1]);
    assert_eq!(guest.poll(&[(FD_READ, 0), (FD_WRITE, 1)]), [1], "a stream in memory is always ready");
    host.write_all(b"x").expect("socket is open");
    assert_eq!(guest.poll(&[(FD_READ, 0), (CLOCK, u64::MAX / 2)]), [0]);
}

#[test]
fn a_poll_ends_when_the_earliest_clock_does() {
    let (mut guest, _host) = guest_with_socket();
    let start = Instant::now();
    assert_eq!(guest.poll(&[(CLOCK, 3_600_000_000_000), (FD_READ, 0), (CLOCK, 20_000_000)]), [2]);
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(guest.poll(&[(CLOCK, 1_000_000)]), [0], "a sleep");
}

#[test]
fn readers_of_the_host_serve_as_streams() {
    let reader = ReadPipe::new(std::io::Cursor::new(b"from a reader".to_vec()));
    let mut guest = Guest::new(WasiCtxBuilder::new().stdin(reader).build());
    assert_eq!(guest.poll(&[(FD_READ, 0)]), [0]);
    assert_eq!(guest.read(0, 6).as_deref(), Ok("from a"));
}
