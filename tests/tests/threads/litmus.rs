//! Which orders of loads and stores other threads can see: the classic small
//! programs, run very often by two threads at a time.
//!
//! A round is a number of cells, which both threads go through at once; then
//! they meet, one of them looks at what both have read, and they meet again.

use super::Guest;

const ROUNDS: i32 = 8000;

/// Cells of a round; each has two words, in cache lines of their own, and a
/// word for what each thread has read.
const CELLS: i32 = 64;

/// The harness: `$meet` returns when both threads have called it as often,
/// `$abreast` keeps them close together until then, `$cell` makes the address of a word of a cell, `$step` is what a thread does
/// with one, and `run` counts where `forbidden` holds of what both have read.
fn harness(step: &str, forbidden: &str) -> String {
    format!(
        r#"
        (func $meet (param $times i32)
            (local $seen i32) (local $turns i32)
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
            (loop $again
                (local.set $seen (i32.atomic.load (i32.const 0)))
                (if (i32.ge_u (local.get $seen) (i32.mul (local.get $times) (i32.const 2))) (then return))
                ;; The other thread may not even have a core: do not spin for long.
                (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
                (if (i32.gt_u (local.get $turns) (i32.const 500)) (then
                    (drop (memory.atomic.wait32 (i32.const 0) (local.get $seen) (i64.const -1)))))
                (br $again)))
        ;; Waits a little for the other thread to be at the same cell.
        (func $abreast (param $me i32) (param $done i32)
            (local $turns i32) (local $other i32)
            (i32.atomic.store (i32.add (i32.const 256) (i32.mul (local.get $me) (i32.const 256))) (local.get $done))
            (local.set $other (i32.sub (i32.const 512) (i32.mul (local.get $me) (i32.const 256))))
            (loop $again
                (if (i32.ge_u (i32.atomic.load (local.get $other)) (local.get $done)) (then return))
                (br_if $again (i32.lt_u
                    (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 300)))))
        (func $cell (param $cell i32) (param $word i32) (result i32)
            (i32.add (i32.const 4096)
                (i32.add (i32.mul (local.get $cell) (i32.const 256)) (i32.mul (local.get $word) (i32.const 64)))))
        ;; What a thread has read.
        (func $read (param $cell i32) (param $me i32) (result i32)
            (i32.load (call $cell (local.get $cell) (i32.add (i32.const 2) (local.get $me)))))
        (func $halves_differ (param i64) (result i32)
            (i64.ne (i64.shr_u (local.get 0) (i64.const 32)) (i64.and (local.get 0) (i64.const 0xffffffff))))
        (func $step (param $cell i32) (param $me i32) (param $new i32)
            (local $x i32) (local $y i32) (local $seen i32)
            (local.set $x (call $cell (local.get $cell) (i32.const 0)))
            (local.set $y (call $cell (local.get $cell) (i32.const 1)))
            {step}
            (i32.store (call $cell (local.get $cell) (i32.add (i32.const 2) (local.get $me))) (local.get $seen)))
        (func (export "run") (param $me i32) (param $rounds i32) (result i32)
            (local $round i32) (local $k i32) (local $bad i32) (local $a i32) (local $b i32)
            (loop $rounds
                (local.set $round (i32.add (local.get $round) (i32.const 1)))
                (local.set $k (i32.const 0))
                (loop $cells
                    (call $abreast (local.get $me) (i32.add (local.get $k) (i32.mul (local.get $round) (i32.const {CELLS}))))
                    (call $step (local.get $k) (local.get $me) (local.get $round))
                    (br_if $cells (i32.lt_u
                        (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const {CELLS}))))
                (call $meet (i32.sub (i32.mul (local.get $round) (i32.const 2)) (i32.const 1)))
                (if (i32.eqz (local.get $me)) (then
                    (local.set $k (i32.const 0))
                    (loop $check
                        (local.set $a (call $read (local.get $k) (i32.const 0)))
                        (local.set $b (call $read (local.get $k) (i32.const 1)))
                        (local.set $bad (i32.add (local.get $bad) {forbidden}))
                        (br_if $check (i32.lt_u
                            (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const {CELLS}))))))
                (call $meet (i32.mul (local.get $round) (i32.const 2)))
                (br_if $rounds (i32.lt_u (local.get $round) (local.get $rounds))))
            (local.get $bad))"#
    )
}

fn never(step: &str, forbidden: &str) {
    let guest = Guest::new(1, &harness(step, forbidden));
    let found = guest.race(&[("run", 0, ROUNDS), ("run", 1, ROUNDS)]);
    assert_eq!(found, [0, 0], "the order that is forbidden was seen");
    assert_eq!(i32::from_le_bytes(guest.read(0)), 4 * ROUNDS, "both threads met after all rounds");
}

/// One of two threads that first write and then read sees what the other one
/// wrote: stores are not delayed beyond loads. (Without atomics they are, on
/// every processor with a store buffer.)
#[test]
fn store_buffering_is_not_seen() {
    never(
        r"(if (local.get $me)
            (then (i32.atomic.store (local.get $y) (local.get $new))
                  (local.set $seen (i32.atomic.load (local.get $x))))
            (else (i32.atomic.store (local.get $x) (local.get $new))
                  (local.set $seen (i32.atomic.load (local.get $y)))))",
        "(i32.and (i32.lt_u (local.get $a) (local.get $round)) (i32.lt_u (local.get $b) (local.get $round)))",
    );
}

/// The same with fences between plain accesses.
#[test]
fn fences_end_store_buffering() {
    never(
        r"(if (local.get $me)
            (then (i32.store (local.get $y) (local.get $new)) (atomic.fence)
                  (local.set $seen (i32.load (local.get $x))))
            (else (i32.store (local.get $x) (local.get $new)) (atomic.fence)
                  (local.set $seen (i32.load (local.get $y)))))",
        "(i32.and (i32.lt_u (local.get $a) (local.get $round)) (i32.lt_u (local.get $b) (local.get $round)))",
    );
}

/// Updates are fences as well, whatever they update.
#[test]
fn updates_end_store_buffering() {
    never(
        r"(if (local.get $me)
            (then (drop (i32.atomic.rmw.xchg (local.get $y) (local.get $new)))
                  (local.set $seen (i32.atomic.rmw.add (local.get $x) (i32.const 0))))
            (else (drop (i32.atomic.rmw.xchg (local.get $x) (local.get $new)))
                  (local.set $seen (i32.atomic.rmw.or (local.get $y) (i32.const 0)))))",
        "(i32.and (i32.lt_u (local.get $a) (local.get $round)) (i32.lt_u (local.get $b) (local.get $round)))",
    );
}

/// Who sees a flag sees the plain data that was written before it: thread 1
/// notes the data if it saw the flag of this round, and the round otherwise.
#[test]
fn messages_arrive_before_their_flag() {
    never(
        r"(local.set $seen (local.get $new))
          (if (local.get $me)
            (then (if (i32.eq (i32.atomic.load (local.get $y)) (local.get $new))
                      (then (local.set $seen (i32.load (local.get $x))))))
            (else (i32.store (local.get $x) (local.get $new))
                  (i32.atomic.store (local.get $y) (local.get $new))))",
        "(i32.ne (local.get $b) (local.get $round))",
    );
}

/// Two threads that read before they write do not both see what the other one
/// will have written: stores are not made early.
#[test]
fn load_buffering_is_not_seen() {
    never(
        r"(if (local.get $me)
            (then (local.set $seen (i32.atomic.load (local.get $x)))
                  (i32.atomic.store (local.get $y) (local.get $new)))
            (else (local.set $seen (i32.atomic.load (local.get $y)))
                  (i32.atomic.store (local.get $x) (local.get $new))))",
        "(i32.and (i32.eq (local.get $a) (local.get $round)) (i32.eq (local.get $b) (local.get $round)))",
    );
}

/// A thread that reads a word twice does not see it go back.
#[test]
fn a_word_does_not_go_back() {
    never(
        r"(if (local.get $me)
            (then (local.set $seen (i32.atomic.load (local.get $x)))
                  (local.set $seen (i32.gt_u (local.get $seen) (i32.atomic.load (local.get $x)))))
            (else (i32.atomic.store (local.get $x) (local.get $new))))",
        "(local.get $b)",
    );
}

/// Wide atomic loads and stores are never half of one and half of another.
#[test]
fn wide_words_are_not_torn() {
    never(
        r"(if (local.get $me)
            (then (local.set $seen (call $halves_differ (i64.atomic.load (local.get $x)))))
            (else (i64.atomic.store (local.get $x) (i64.mul (i64.const 0x1_0000_0001)
                      (i64.extend_i32_u (local.get $new))))))",
        "(local.get $b)",
    );
}

const LOCKED: &str = r#"
    ;; Word 0 is changed without atomics, by whom the lock lets in.
    (func $enter_and_change (param $me i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func (export "peterson") (param $me i32) (param $rounds i32) (result i32)
        (local $other i32) (local $mine i32) (local $turns i32)
        (local.set $mine (i32.add (i32.const 64) (i32.mul (local.get $me) (i32.const 64))))
        (local.set $other (i32.sub (i32.const 192) (local.get $mine)))
        (loop $rounds
            (i32.atomic.store (local.get $mine) (i32.const 1))
            (i32.atomic.store (i32.const 256) (i32.sub (i32.const 1) (local.get $me)))
            (block $in (loop $wait
                (br_if $in (i32.eqz (i32.atomic.load (local.get $other))))
                (br_if $in (i32.eq (i32.atomic.load (i32.const 256)) (local.get $me)))
                (call $pause (local.tee $turns (i32.add (local.get $turns) (i32.const 1))))
                (br $wait)))
            (call $enter_and_change (local.get $me))
            (i32.atomic.store (local.get $mine) (i32.const 0))
            (br_if $rounds (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
        (i32.const 0))
    (func (export "dekker") (param $me i32) (param $rounds i32) (result i32)
        (local $other i32) (local $mine i32) (local $turns i32)
        (local.set $mine (i32.add (i32.const 64) (i32.mul (local.get $me) (i32.const 64))))
        (local.set $other (i32.sub (i32.const 192) (local.get $mine)))
        (loop $rounds
            (i32.atomic.store (local.get $mine) (i32.const 1))
            (block $in (loop $wait
                (br_if $in (i32.eqz (i32.atomic.load (local.get $other))))
                (if (i32.ne (i32.atomic.load (i32.const 256)) (local.get $me)) (then
                    (i32.atomic.store (local.get $mine) (i32.const 0))
                    (loop $turn
                        (call $pause (local.tee $turns (i32.add (local.get $turns) (i32.const 1))))
                        (br_if $turn (i32.ne (i32.atomic.load (i32.const 256)) (local.get $me))))
                    (i32.atomic.store (local.get $mine) (i32.const 1))))
                (call $pause (local.tee $turns (i32.add (local.get $turns) (i32.const 1))))
                (br $wait)))
            (call $enter_and_change (local.get $me))
            (i32.atomic.store (i32.const 256) (i32.sub (i32.const 1) (local.get $me)))
            (i32.atomic.store (local.get $mine) (i32.const 0))
            (br_if $rounds (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
        (i32.const 0))
    ;; Lets another thread have the core from time to time.
    (func $pause (param $turns i32)
        (if (i32.eqz (i32.and (local.get $turns) (i32.const 1023))) (then
            (drop (memory.atomic.wait32 (i32.const 512) (i32.const 0) (i64.const 1000))))))"#;

/// Locks that are made of loads and stores only, and need sequential
/// consistency to exclude anybody.
#[test]
fn locks_of_loads_and_stores_exclude() {
    const ROUNDS: i32 = 100_000;
    for lock in ["peterson", "dekker"] {
        let guest = Guest::new(1, LOCKED);
        guest.race(&[(lock, 0, ROUNDS), (lock, 1, ROUNDS)]);
        assert_eq!(i32::from_le_bytes(guest.read(0)), 2 * ROUNDS, "{lock}: a change was lost");
    }
}
