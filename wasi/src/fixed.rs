//! Time and random numbers that are the same in every run.

use async_trait::async_trait;
use cap_std::time::{Duration, Instant, SystemTime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasi_common::clocks::{WasiClocks, WasiMonotonicClock, WasiSystemClock};
use wasi_common::random::Deterministic;
use wasi_common::sched::{Poll, RwEventFlags, Subscription, WasiSched};
use wasi_common::sync::{clocks_ctx, random_ctx};
use wasi_common::{Error, Table, WasiCtx};

/// Where a guest's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeSource {
    /// The system's clocks.
    #[default]
    System,
    /// A clock that begins at the beginning of 1970, is a microsecond later
    /// each time somebody looks at it, and is set forward instead of waiting.
    /// Streams are ready at all times.
    Virtual,
}

/// Where a guest's random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RandomSource {
    /// A generator seeded by the system.
    #[default]
    System,
    /// The same 4096 bytes again and again, which everybody knows.
    Fixed,
}

/// Nanoseconds from one look at a virtual clock to the next.
const STEP: u64 = 1000;

/// Number of fixed random bytes.
const RANDOM_BYTES: usize = 4096;

/// A virtual clock; clones are the same one.
#[derive(Clone)]
struct VirtualClock {
    origin: Instant,
    nanoseconds: Arc<AtomicU64>,
}

impl VirtualClock {
    fn new() -> VirtualClock {
        // Only what has passed since is ever seen.
        let origin = Instant::from_std(std::time::Instant::now());
        VirtualClock { origin, nanoseconds: Arc::default() }
    }

    fn read(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.fetch_add(STEP, Ordering::Relaxed))
    }

    fn advance(&self, by: Duration) {
        self.nanoseconds.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
    }
}

impl WasiSystemClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self, _: Duration) -> SystemTime {
        SystemTime::from_std(std::time::SystemTime::UNIX_EPOCH + self.read())
    }
}

impl WasiMonotonicClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self, _: Duration) -> Instant {
        self.origin.checked_add(self.read()).unwrap_or(self.origin)
    }
}

#[async_trait]
impl WasiSched for VirtualClock {
    async fn poll_oneoff<'a>(&self, poll: &mut Poll<'a>) -> Result<(), Error> {
        let mut any_ready = false;
        for subscription in poll.rw_subscriptions() {
            if let Subscription::Read(stream) | Subscription::Write(stream) = subscription {
                let bytes = stream.file.num_ready_bytes().unwrap_or(0);
                stream.complete(bytes, RwEventFlags::empty());
                any_ready = true;
            }
        }
        let left = poll.earliest_clock_deadline().and_then(|clock| clock.duration_until());
        if let Some(left) = left.filter(|_| !any_ready) {
            self.advance(left);
        }
        Ok(())
    }

    async fn sched_yield(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn sleep(&self, duration: Duration) -> Result<(), Error> {
        self.advance(duration);
        Ok(())
    }
}

/// Clocks, and who waits by them.
fn time(source: TimeSource) -> (WasiClocks, Box<dyn WasiSched>) {
    match source {
        TimeSource::System => (clocks_ctx(), Box::new(crate::sched::Scheduler)),
        TimeSource::Virtual => {
            let clock = VirtualClock::new();
            let creation = clock.origin;
            let mut clocks = WasiClocks::new().with_system(clock.clone()).with_monotonic(clock.clone());
            // What has passed is counted from the beginning, not from a look at the clock.
            if let Some(monotonic) = &mut clocks.monotonic {
                monotonic.creation_time = creation;
            }
            (clocks, Box::new(clock))
        }
    }
}

/// A context with nothing in it.
pub(crate) fn context(time: TimeSource, random: RandomSource) -> WasiCtx {
    let (clocks, scheduler) = self::time(time);
    match random {
        RandomSource::System => WasiCtx::new(random_ctx(), clocks, scheduler, Table::new()),
        RandomSource::Fixed => {
            WasiCtx::new(Box::new(Deterministic::new(fixed_bytes())), clocks, scheduler, Table::new())
        }
    }
}

/// The bytes of a multiplicative generator (SplitMix64 from 0).
fn fixed_bytes() -> Vec<u8> {
    let mut state = 0_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).to_le_bytes()
    };
    (0..RANDOM_BYTES / 8).flat_map(|_| next()).collect()
}
