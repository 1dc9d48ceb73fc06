//! Who waits at which position of a shared memory.
//!
//! ```text
//! shard of a position ──▶ | waiter, position | waiter, position | ...   oldest first
//! ```
//!
//! Positions are spread over shards, each with a lock of its own. A waiter
//! looks at the memory and enters the queue in one hold of the lock, and who
//! notifies takes it too: so either the waiter sees what was written before,
//! or it is found in the queue. Whether a waiter was notified is decided under
//! the lock as well, so that nobody is counted who has timed out, and nobody
//! times out who was counted. A waiter whose code can be told to stop looks for
//! that at intervals, since who tells it takes no lock. The queues are as long as there are threads that
//! wait, each of which has one record.

use std::array;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Queues of a memory.
const SHARDS: usize = 16;

/// How often a waiter looks whether its code is to stop.
const INTERVAL: Duration = Duration::from_millis(10);

/// How a wait ended; the number is what `memory.atomic.wait` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum WaitResult {
    /// Somebody notified the waiter.
    Ok = 0,
    /// The memory did not contain what was expected, so there was no wait.
    Mismatch = 1,
    /// Nobody notified the waiter in time.
    TimedOut = 2,
}

/// A thread that waits, or could.
#[derive(Default)]
struct Waiter {
    /// Set while the queue's lock is held.
    notified: Mutex<bool>,
    changed: Condvar,
}

thread_local! {
    /// The thread's record; only while it waits, others have it too.
    static OWN: Arc<Waiter> = Arc::default();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiter {
    /// This thread's, which waits for nothing.
    fn own() -> Arc<Waiter> {
        // A destructor of another thread-local value may wait as well.
        let own = OWN.try_with(Arc::clone).unwrap_or_default();
        *lock(&own.notified) = false;
        own
    }

    /// Blocks until the waiter is notified or the time has come; whether it
    /// was notified. A call of its own each time: between two, the code may have
    /// changed threads.
    #[inline(never)]
    fn sleep(&self, deadline: Option<Instant>) -> bool {
        let mut notified = lock(&self.notified);
        while !*notified {
            notified = match deadline {
                None => self.changed.wait(notified).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.changed.wait_timeout(notified, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    fn wake(&self) {
        *lock(&self.notified) = true;
        self.changed.notify_one();
    }
}

/// Waiters and where they wait, the oldest first.
type Queue = VecDeque<(u64, Arc<Waiter>)>;

/// The waiters of one memory.
pub(super) struct Waiters {
    shards: [Mutex<Queue>; SHARDS],
}

impl Default for Waiters {
    fn default() -> Self {
        Waiters { shards: array::from_fn(|_| Mutex::default()) }
    }
}

impl Waiters {
    fn queue(&self, position: u64) -> MutexGuard<'_, Queue> {
        // Neighbours are often the words of one lock.
        lock(&self.shards[(position / 4) as usize % SHARDS])
    }

    /// Waits at a position for so long, or for ever, if the memory is as
    /// expected there.
    ///
    /// Code that can be told to stop gives `stops`, which says so: then there is
    /// no result. It may leave the memory to others meanwhile, and the wait goes on
    /// on another thread.
    pub(super) fn wait(
        &self,
        position: u64,
        timeout: Option<Duration>,
        is_expected: impl FnOnce() -> bool,
        mut stops: Option<&mut dyn FnMut() -> bool>,
    ) -> Option<WaitResult> {
        // What lies beyond the clock's end is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // While one looks whether to stop, the thread may wait for something else.
        let own = if stops.is_some() { Arc::default() } else { Waiter::own() };
        {
            let mut queue = self.queue(position);
            if !is_expected() {
                return Some(WaitResult::Mismatch);
            }
            queue.push_back((position, own.clone()));
        }
        loop {
            let mut until = deadline;
            if let Some(stops) = &mut stops {
                if stops() {
                    self.leave(position, &own);
                    return None;
                }
                let next = Instant::now() + INTERVAL;
                until = Some(deadline.map_or(next, |deadline| deadline.min(next)));
            }
            if own.sleep(until) {
                return Some(WaitResult::Ok);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let timed_out = self.leave(position, &own);
                return Some(if timed_out { WaitResult::TimedOut } else { WaitResult::Ok });
            }
        }
    }

    /// Takes a waiter out of the queue; whether it was still there.
    fn leave(&self, position: u64, waiter: &Arc<Waiter>) -> bool {
        let mut queue = self.queue(position);
        match queue.iter().position(|(_, other)| Arc::ptr_eq(other, waiter)) {
            Some(at) => queue.remove(at).is_some(),
            None => false,
        }
    }

    /// Wakes up to `count` of those who wait at a position, the oldest first;
    /// how many that were.
    pub(super) fn notify(&self, position: u64, count: u32) -> u32 {
        let mut woken = 0;
        let mut queue = self.queue(position);
        let mut at = 0;
        while woken < count && at < queue.len() {
            if queue[at].0 != position {
                at += 1;
                continue;
            }
            if let Some((_, waiter)) = queue.remove(at) {
                waiter.wake();
                woken += 1;
            }
        }
        woken
    }

    /// How many wait at a position.
    #[cfg(test)]
    fn count(&self, position: u64) -> usize {
        self.queue(position).iter().filter(|(at, _)| *at == position).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    fn until(what: impl Fn() -> bool) {
        while !what() {
            thread::yield_now();
        }
    }

    #[test]
    fn who_finds_something_else_does_not_wait() {
        let waiters = Waiters::default();
        assert_eq!(waiters.wait(4, None, || false, None), Some(WaitResult::Mismatch));
        assert_eq!(waiters.count(4), 0);
    }

    #[test]
    fn who_times_out_is_not_counted() {
        let waiters = Waiters::default();
        for nanoseconds in [0, 1, 1_000_000] {
            let timeout = Some(Duration::from_nanos(nanoseconds));
            assert_eq!(waiters.wait(8, timeout, || true, None), Some(WaitResult::TimedOut));
            assert_eq!(waiters.notify(8, u32::MAX), 0);
        }
    }

    #[test]
    fn who_is_to_stop_is_no_waiter_any_more() {
        let waiters = Waiters::default();
        let mut looks = 0;
        let mut stops = || {
            looks += 1;
            looks == 3
        };
        assert_eq!(waiters.wait(8, None, || true, Some(&mut stops)), None);
        assert_eq!((looks, waiters.notify(8, u32::MAX)), (3, 0));
        assert_eq!(waiters.wait(8, None, || false, Some(&mut || true)), Some(WaitResult::Mismatch));
        let timeout = Some(INTERVAL * 2);
        assert_eq!(waiters.wait(8, timeout, || true, Some(&mut || false)), Some(WaitResult::TimedOut));
        assert_eq!(waiters.count(8), 0);
    }

    #[test]
    fn who_could_be_stopped_is_woken_like_others() {
        let waiters = Waiters::default();
        thread::scope(|scope| {
            let waiters = &waiters;
            let waiter = scope.spawn(move || waiters.wait(4, None, || true, Some(&mut || false)));
            until(|| waiters.count(4) == 1);
            assert_eq!(waiters.notify(4, 1), 1);
            assert_eq!(waiter.join().unwrap(), Some(WaitResult::Ok));
        });
    }

    #[test]
    fn waiters_are_woken_in_the_order_of_their_coming_and_at_their_position_only() {
        let (waiters, order) = (Waiters::default(), Mutex::new(Vec::new()));
        // In the same shard, as are 0 and 64.
        let other = 4 * SHARDS as u64;
        thread::scope(|scope| {
            let (waiters, order) = (&waiters, &order);
            for number in 0..6 {
                let position = if number % 3 == 2 { other } else { 0 };
                scope.spawn(move || {
                    assert_eq!(waiters.wait(position, None, || true, None), Some(WaitResult::Ok));
                    lock(order).push(number);
                });
                until(|| waiters.count(0) + waiters.count(other) == number + 1);
            }
            let mut expected = Vec::new();
            for number in [0, 1, 3] {
                assert_eq!(waiters.notify(0, 1), 1);
                expected.push(number);
                until(|| lock(order).len() == expected.len());
                assert_eq!(*lock(order), expected);
            }
            assert_eq!((waiters.notify(0, 0), waiters.notify(0, 7), waiters.notify(0, 7)), (0, 1, 0));
            assert_eq!(waiters.count(other), 2);
            assert_eq!(waiters.notify(other, u32::MAX), 2);
        });
    }

    /// Whoever is counted returns `Ok`, and nobody else does.
    #[test]
    fn as_many_are_woken_as_are_counted_while_others_time_out() {
        const THREADS: u32 = 6;
        const ROUNDS: u32 = 400;
        let (waiters, running) = (Waiters::default(), AtomicU32::new(THREADS));
        let (ok, counted) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (waiters, ok, running) = (&waiters, &ok, &running);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let timeout = Duration::from_nanos(u64::from(round * 37 % 50 * thread) * 1000);
                        if waiters.wait(0, Some(timeout), || true, None) == Some(WaitResult::Ok) {
                            ok.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    running.fetch_sub(1, Ordering::Relaxed);
                });
            }
            while running.load(Ordering::Relaxed) > 0 {
                counted.fetch_add(waiters.notify(0, 2), Ordering::Relaxed);
            }
        });
        assert_eq!(waiters.notify(0, u32::MAX), 0);
        assert_eq!(ok.into_inner(), counted.into_inner());
    }
}
