//! Waiting and notifying: nobody who is woken is lost, nobody is counted twice,
//! and nobody waits for longer than asked.

use super::Guest;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use wasmc_loader::{SharedMemory, Trap, WaitResult};

const OPS: &str = r#"
    (func (export "wait32") (param i32 i32 i64) (result i32)
        (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "wait64") (param i32 i64 i64) (result i32)
        (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "notify") (param i32 i32) (result i32)
        (memory.atomic.notify (local.get 0) (local.get 1)))
    (func (export "notify at an offset") (param i32 i32) (result i32)
        (memory.atomic.notify offset=8 (local.get 0) (local.get 1)))"#;

/// A word of the memory, for the host's own atomics.
fn word(memory: &SharedMemory, at: usize) -> &AtomicU32 {
    // SAFETY: aligned, in the memory, which the result borrows; the guests of
    // these tests use atomics there too.
    unsafe { AtomicU32::from_ptr(memory.data()[at].get().cast()) }
}

/// Calls `notify` until somebody was there to be woken.
fn wake_one(memory: &SharedMemory, at: u64) {
    while memory.atomic_notify(at, 1).unwrap() == 0 {
        thread::yield_now();
    }
}

#[test]
fn host_and_guest_wait_in_one_queue() {
    let guest = Guest::new(1, OPS);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (mut store, instance) = guest.instance();
            let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
            wait.call(&mut store, (16, 0, -1)).unwrap()
        });
        wake_one(&guest.memory, 16);
        assert_eq!(waiter.join().unwrap(), 0);

        let waiter = scope.spawn(|| {
            let (mut store, instance) = guest.instance();
            let wait = instance.get_typed_func::<(i32, i64, i64), i32>(&mut store, "wait64").unwrap();
            wait.call(&mut store, (24, 0, i64::MAX)).unwrap()
        });
        wake_one(&guest.memory, 24);
        assert_eq!(waiter.join().unwrap(), 0);

        let host = scope.spawn(|| guest.memory.atomic_wait64(24, 0, None));
        let (mut store, instance) = guest.instance();
        let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify at an offset").unwrap();
        while notify.call(&mut store, (16, 7)).unwrap() == 0 {
            thread::yield_now();
        }
        assert_eq!(host.join().unwrap(), Ok(WaitResult::Ok));
    });
}

#[test]
fn results_tell_what_happened() {
    let guest = Guest::new(1, OPS);
    let (mut store, instance) = guest.instance();
    let wait32 = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
    let wait64 = instance.get_typed_func::<(i32, i64, i64), i32>(&mut store, "wait64").unwrap();
    let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify").unwrap();
    assert_eq!(wait32.call(&mut store, (0, 1, -1)).unwrap(), 1);
    assert_eq!(wait64.call(&mut store, (0, i64::MIN, -1)).unwrap(), 1);
    for timeout in [0, 1, 1_000_000] {
        assert_eq!(wait32.call(&mut store, (0, 0, timeout)).unwrap(), 2);
        assert_eq!(wait64.call(&mut store, (8, 0, timeout)).unwrap(), 2);
    }
    assert_eq!(notify.call(&mut store, (0, -1)).unwrap(), 0);
    let memory = &guest.memory;
    assert_eq!(memory.atomic_wait32(4, 1, None), Ok(WaitResult::Mismatch));
    assert_eq!(memory.atomic_wait64(8, 0, Some(Duration::from_nanos(1))), Ok(WaitResult::TimedOut));
    // All 64 bits count.
    word(memory, 12).store(1, Ordering::SeqCst);
    assert_eq!(memory.atomic_wait64(8, 0, None), Ok(WaitResult::Mismatch));
    assert_eq!(memory.atomic_wait64(8, 1 << 32, Some(Duration::ZERO)), Ok(WaitResult::TimedOut));
}

#[test]
fn a_wait_lasts_as_long_as_asked() {
    let guest = Guest::new(1, OPS);
    let (mut store, instance) = guest.instance();
    let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
    let (asked, start) = (Duration::from_millis(30), Instant::now());
    assert_eq!(wait.call(&mut store, (0, 0, asked.as_nanos() as i64)).unwrap(), 2);
    assert!(start.elapsed() >= asked);
}

#[test]
fn positions_that_cannot_be_accessed_at_once_are_refused() {
    let guest = Guest::new(1, OPS);
    let memory = &guest.memory;
    for at in [1, 2, 3, 65537, u64::MAX] {
        assert_eq!(memory.atomic_notify(at, 1), Err(Trap::HeapMisaligned));
        assert_eq!(memory.atomic_wait32(at, 0, None), Err(Trap::HeapMisaligned));
    }
    assert_eq!(memory.atomic_wait64(4, 0, None), Err(Trap::HeapMisaligned));
    for at in [65536, 1 << 32, u64::MAX - 7] {
        assert_eq!(memory.atomic_notify(at, 1), Err(Trap::MemoryOutOfBounds));
        assert_eq!(memory.atomic_wait64(at, 0, None), Err(Trap::MemoryOutOfBounds));
    }
    let (mut store, instance) = guest.instance();
    let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify").unwrap();
    let trap = |result: wasmc_loader::Result<i32>| *result.unwrap_err().downcast_ref::<Trap>().unwrap();
    assert_eq!(trap(notify.call(&mut store, (2, 1))), Trap::HeapMisaligned);
    assert_eq!(trap(notify.call(&mut store, (65536, 1))), Trap::MemoryOutOfBounds);
    let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify at an offset").unwrap();
    assert_eq!(trap(notify.call(&mut store, (-8, 1))), Trap::MemoryOutOfBounds);
    assert_eq!(trap(notify.call(&mut store, (65528, 1))), Trap::MemoryOutOfBounds);
    assert_eq!(notify.call(&mut store, (65520, 1)).unwrap(), 0);
}

/// Two threads hand a ball to and fro, each waiting for it without a timeout:
/// one lost wake-up, and the test never ends.
#[test]
fn a_ball_goes_to_and_fro_ten_thousand_times() {
    let text = r#"(func (export "play") (param $me i32) (param $rounds i32) (result i32)
        (loop $round
            (block $mine (loop $wait
                (br_if $mine (i32.eq (i32.atomic.load (i32.const 64)) (local.get $me)))
                (drop (memory.atomic.wait32
                    (i32.const 64) (i32.sub (i32.const 1) (local.get $me)) (i64.const -1)))
                (br $wait)))
            (i32.atomic.store (i32.const 64) (i32.sub (i32.const 1) (local.get $me)))
            (drop (memory.atomic.notify (i32.const 64) (i32.const 1)))
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (br_if $round (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
        (i32.const 0))"#;
    const ROUNDS: i32 = 10_000;
    let guest = Guest::new(1, text);
    guest.race(&[("play", 0, ROUNDS), ("play", 1, ROUNDS)]);
    assert_eq!(i32::from_le_bytes(guest.read(0)), 2 * ROUNDS);
}

/// A lock that threads sleep on (0 free, 1 taken, 2 taken and waited for).
const MUTEX: &str = r#"
    (func $lock (local $seen i32)
        (if (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 64) (i32.const 0) (i32.const 1))) (then return))
        (loop $again
            (if (i32.eqz (i32.atomic.rmw.xchg (i32.const 64) (i32.const 2))) (then return))
            (drop (memory.atomic.wait32 (i32.const 64) (i32.const 2) (i64.const -1)))
            (br $again)))
    (func $unlock
        (if (i32.eq (i32.atomic.rmw.xchg (i32.const 64) (i32.const 0)) (i32.const 2)) (then
            (drop (memory.atomic.notify (i32.const 64) (i32.const 1))))))
    (func (export "count") (param $me i32) (param $rounds i32) (result i32)
        (loop $again
            (call $lock)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (call $unlock)
            (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
        (i32.const 0))"#;

#[test]
fn a_lock_made_of_waits_excludes_and_wakes() {
    const ROUNDS: i32 = 5_000;
    let guest = Guest::new(1, MUTEX);
    guest.race(&[("count", 0, ROUNDS); 5]);
    assert_eq!(i32::from_le_bytes(guest.read(0)), 5 * ROUNDS);
}

/// One less when this is dropped, whatever the reason.
struct Ended<'a>(&'a AtomicU32);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits with and without timeouts, at several positions, under several who
/// notify: each waiter that returns 0 was counted by somebody, and the other
/// way round.
#[test]
fn as_many_return_as_were_counted() {
    let guest = Guest::new(1, OPS);
    let (returned, counted, running) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
    const WAITERS: u32 = 6;
    const ROUNDS: i64 = 1500;
    thread::scope(|scope| {
        running.store(WAITERS, Ordering::SeqCst);
        for waiter in 0..WAITERS {
            let (guest, returned, running) = (&guest, &returned, &running);
            scope.spawn(move || {
                // Those who notify go on until then.
                let _ended = Ended(running);
                let (mut store, instance) = guest.instance();
                let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
                for round in 0..ROUNDS {
                    let at = 64 * (waiter % 3) as i32;
                    // One in four waits until it is woken.
                    let timeout = if waiter % 4 == 0 { -1 } else { round * 7919 % 20_000 };
                    match wait.call(&mut store, (at, 0, timeout)).unwrap() {
                        0 => returned.fetch_add(1, Ordering::SeqCst),
                        2 if timeout >= 0 => 0,
                        other => panic!("a wait returned {other}"),
                    };
                }
            });
        }
        for notifier in 0..2 {
            let (guest, counted, running) = (&guest, &counted, &running);
            scope.spawn(move || {
                let (mut store, instance) = guest.instance();
                let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify").unwrap();
                while running.load(Ordering::SeqCst) > 0 {
                    for at in [0, 64, 128] {
                        let woken = notify.call(&mut store, (at, 1 + notifier)).unwrap();
                        assert!(woken <= 1 + notifier);
                        counted.fetch_add(woken as u64, Ordering::SeqCst);
                    }
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!(returned.into_inner(), counted.into_inner());
}

/// Waiters change their minds: the value changes while they go to sleep. None
/// of them may sleep through it.
#[test]
fn a_change_before_the_notification_is_never_slept_through() {
    const ROUNDS: u32 = 3_000;
    let guest = Guest::new(1, OPS);
    let memory = &guest.memory;
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut store, instance) = guest.instance();
                    let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
                    let mut seen = 0;
                    while seen < ROUNDS {
                        let outcome = wait.call(&mut store, (0, seen as i32, -1)).unwrap();
                        let now = word(memory, 0).load(Ordering::SeqCst);
                        // The notification of a change may come when the changed
                        // value has been seen, and is waited on, already: then
                        // there is nothing new.
                        match outcome {
                            0 => assert!(now >= seen, "woken, with {now} after {seen}"),
                            1 => assert!(now > seen, "{seen} was not there, and then it was"),
                            other => panic!("a wait without a timeout returned {other}"),
                        }
                        seen = now;
                    }
                })
            })
            .collect();
        for _ in 0..ROUNDS {
            word(memory, 0).fetch_add(1, Ordering::SeqCst);
            memory.atomic_notify(0, u32::MAX).unwrap();
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// A thread that waits holds nothing that other stores need, not even to end.
#[test]
fn stores_are_made_and_dropped_while_a_thread_waits() {
    let guest = Guest::new(1, OPS);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| guest.memory.atomic_wait32(0, 0, None));
        let sleeper = scope.spawn(|| {
            let (mut store, instance) = guest.instance();
            let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&mut store, "wait32").unwrap();
            wait.call(&mut store, (4, 0, -1)).unwrap()
        });
        for _ in 0..200 {
            let (mut store, instance) = guest.instance();
            let notify = instance.get_typed_func::<(i32, i32), i32>(&mut store, "notify").unwrap();
            assert_eq!(notify.call(&mut store, (8, 1)).unwrap(), 0);
            instance.reset(&mut store).unwrap();
        }
        wake_one(&guest.memory, 0);
        wake_one(&guest.memory, 4);
        assert_eq!((waiter.join().unwrap(), sleeper.join().unwrap()), (Ok(WaitResult::Ok), 0));
    });
}
