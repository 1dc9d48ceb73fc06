//! Test scripts with threads: each runs on a thread with a store of its own.

use std::num::NonZeroUsize;
use wasmc::wast::{Outcome, Runner, Setup};
use wasmc_loader::Module;

fn run(script: &str, reset: bool) -> Outcome {
    let mut options = wasmc::Options::new();
    options.jobs = NonZeroUsize::new(1);
    let runner = Runner::new(options, |engine, compiled| {
        // SAFETY: a `Compiled` comes straight from the compiler.
        unsafe { Module::from_bytes(engine, compiled.bytes()) }
    });
    runner.run(script, &Setup { reset, ..Setup::default() })
}

/// Runs a script, in which so many assertions have to hold.
#[track_caller]
fn passes(script: &str, assertions: usize) {
    for reset in [false, true] {
        let outcome = run(script, reset);
        assert_eq!((outcome.failures, outcome.passed), (Vec::new(), assertions));
    }
}

const MEMORY: &str = r#"(module $memory (memory (export "shared") 1 1 shared))"#;

/// If threads did not run at the same time as the script, this would not end:
/// each waits for the other.
#[test]
fn a_thread_and_the_script_wait_for_each_other() {
    passes(
        &format!(
            r#"{MEMORY}
            (register "m" $memory)
            (thread $waiter (shared (module $memory))
                (register "m" $memory)
                (module
                    (memory (import "m" "shared") 1 1 shared)
                    (func (export "run") (result i32)
                        (i32.atomic.store (i32.const 8) (i32.const 1))
                        (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
                (assert_return (invoke "run") (i32.const 0)))
            (module
                (memory (import "m" "shared") 1 1 shared)
                (func (export "started") (loop $again (br_if $again (i32.eqz (i32.atomic.load (i32.const 8))))))
                (func (export "wake") (result i32) (local $woken i32)
                    (loop $again
                        (local.set $woken (memory.atomic.notify (i32.const 0) (i32.const 9)))
                        (br_if $again (i32.eqz (local.get $woken))))
                    (local.get $woken)))
            (invoke "started")
            (assert_return (invoke "wake") (i32.const 1))
            (wait $waiter)"#
        ),
        2,
    );
}

/// Message passing, with every thread's observation checked by the script.
#[test]
fn threads_see_in_order_what_others_write() {
    passes(
        &format!(
            r#"{MEMORY}
            (thread $writer (shared (module $memory))
                (register "mem" $memory)
                (module (memory (import "mem" "shared") 1 1 shared)
                    (func (export "run") (i32.atomic.store (i32.const 0) (i32.const 42))
                        (i32.atomic.store (i32.const 4) (i32.const 1))))
                (invoke "run"))
            (thread $reader (shared (module $memory))
                (register "mem" $memory)
                (module (memory (import "mem" "shared") 1 1 shared)
                    (func (export "run") (local i32)
                        (local.set 0 (i32.atomic.load (i32.const 4)))
                        (i32.store (i32.const 28) (i32.atomic.load (i32.const 0)))
                        (i32.store (i32.const 24) (local.get 0))))
                (invoke "run"))
            (wait $writer)
            (wait $reader)
            (register "mem" $memory)
            (module (memory (import "mem" "shared") 1 1 shared)
                (func (export "check") (result i32)
                    (i32.or (i32.eqz (i32.load (i32.const 24))) (i32.eq (i32.load (i32.const 28)) (i32.const 42)))))
            (assert_return (invoke "check") (i32.const 1))"#
        ),
        1,
    );
}

#[test]
fn failures_in_threads_count_and_are_named() {
    let script = format!(
        r#"{MEMORY}
        (thread $t (shared (module $memory))
            (module (func (export "one") (result i32) (i32.const 1)))
            (assert_return (invoke "one") (i32.const 2))
            (assert_return (invoke "one") (i32.const 1)))
        (thread $never_waited_for (assert_return (invoke "nothing")))
        (thread $bad (shared (module $nobody)))
        (wait $t)
        (wait $t)"#
    );
    let outcome = run(&script, false);
    let mut lines: Vec<_> = outcome.failures.iter().map(|failure| (failure.line, failure.directive)).collect();
    lines.sort_unstable();
    assert_eq!(lines, [(4, "assert_return"), (6, "assert_return"), (7, "thread"), (9, "wait")], "{outcome:?}");
    assert_eq!(outcome.passed, 1);
}
