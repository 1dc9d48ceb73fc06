//! Sleeping, yielding and waiting for several things at once.
//!
//! wasi-common's own scheduler refuses to poll streams that are not
//! descriptors, and reports every stream as ready as soon as one is; this one
//! answers for each stream alone.

use async_trait::async_trait;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::time::Duration;
use wasi_common::Error;
use wasi_common::sched::{Poll, RwEventFlags, RwSubscription, Subscription, WasiSched};
use wasi_common::snapshots::preview_1::error::Errno;

/// Waits by blocking the calling thread.
pub(crate) struct Scheduler;

#[async_trait]
impl WasiSched for Scheduler {
    async fn poll_oneoff<'a>(&self, poll: &mut Poll<'a>) -> Result<(), Error> {
        let mut descriptors = Vec::new();
        let mut any_ready = false;
        for subscription in poll.rw_subscriptions() {
            let (stream, interest) = stream_of(subscription);
            match stream.file.pollable() {
                Some(fd) => descriptors.push(PollFd::from_borrowed_fd(fd, interest)),
                None => {
                    let bytes = stream.file.num_ready_bytes().unwrap_or(0);
                    stream.complete(bytes, RwEventFlags::empty());
                    any_ready = true;
                }
            }
        }
        if wait(poll, &mut descriptors, any_ready)? {
            report(poll, &descriptors);
        }
        Ok(())
    }

    async fn sched_yield(&self) -> Result<(), Error> {
        std::thread::yield_now();
        Ok(())
    }

    async fn sleep(&self, duration: Duration) -> Result<(), Error> {
        std::thread::sleep(duration);
        Ok(())
    }
}

/// The stream of a subscription, and the event it waits for.
fn stream_of<'s, 'a>(subscription: &'s mut Subscription<'a>) -> (&'s mut RwSubscription<'a>, PollFlags) {
    match subscription {
        Subscription::Read(stream) => (stream, PollFlags::IN),
        Subscription::Write(stream) => (stream, PollFlags::OUT),
        Subscription::MonotonicClock(_) => unreachable!("`rw_subscriptions` leaves clocks out"),
    }
}

/// Blocks until a descriptor is ready or the earliest clock has run out, not
/// at all if something is ready already. Says whether a descriptor is ready.
fn wait(poll: &Poll<'_>, descriptors: &mut [PollFd<'_>], any_ready: bool) -> Result<bool, Error> {
    loop {
        let left = match poll.earliest_clock_deadline() {
            _ if any_ready => Some(Duration::ZERO),
            Some(clock) => Some(clock.duration_until().unwrap_or(Duration::ZERO)),
            None => None,
        };
        let timeout = left.map(Timespec::try_from).transpose().map_err(|_| Error::from(Errno::Overflow))?;
        match rustix::event::poll(descriptors, timeout.as_ref()) {
            Ok(0) if left.is_none_or(|left| left.is_zero()) => return Ok(false),
            // The time may have run out a moment early: ask the clock again.
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => return Ok(true),
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
}

/// Hands each descriptor's answer to its subscription.
fn report(poll: &mut Poll<'_>, descriptors: &[PollFd<'_>]) {
    let mut answers = descriptors.iter().map(PollFd::revents);
    for subscription in poll.rw_subscriptions() {
        let (stream, interest) = stream_of(subscription);
        if stream.file.pollable().is_none() {
            continue;
        }
        let Some(answer) = answers.next() else { return };
        // A stream at its end has no bytes to count, but reading it does not wait.
        let bytes = if interest == PollFlags::IN { stream.file.num_ready_bytes().unwrap_or(0).max(1) } else { 0 };
        if answer.contains(PollFlags::NVAL) {
            stream.error(Errno::Badf.into());
        } else if answer.contains(PollFlags::ERR) {
            stream.error(Errno::Io.into());
        } else if answer.contains(PollFlags::HUP) {
            stream.complete(bytes, RwEventFlags::HANGUP);
        } else if !answer.is_empty() {
            stream.complete(bytes, RwEventFlags::empty());
        }
    }
}
