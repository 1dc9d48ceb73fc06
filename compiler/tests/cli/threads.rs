//! `wasmc run` of programs that start threads.

use super::Folder;

/// A program whose thread does something while `_start` waits for ever, or
/// goes on once the thread has done it.
fn program(in_thread: &str, in_start: &str) -> String {
    format!(
        r#"(module
            (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "env" "memory" (memory 1 1 shared))
            (export "memory" (memory 0))
            (data $text "\10\00\00\00\06\00\00\00........thread")
            (func $say
                (memory.init $text (i32.const 0) (i32.const 0) (i32.const 22))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func $await (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1))))
            (func $done
                (i32.atomic.store (i32.const 64) (i32.const 1))
                (drop (memory.atomic.notify (i32.const 64) (i32.const -1))))
            (func $thread (export "wasi_thread_start") (param $id i32) (param $argument i32)
                {in_thread})
            (func (export "_start") (local $id i32)
                (local.set $id (call $spawn (i32.const 1234)))
                {in_start}))"#
    )
}

#[test]
fn threads_share_memory_and_streams_and_end_with_the_program() {
    let folder = Folder::new();
    let started = program(
        "(if (i32.ne (local.get $argument) (i32.const 1234)) (then unreachable)) (call $say) (call $done)
            (loop (br 0))",
        "(if (i32.le_s (local.get $id) (i32.const 0)) (then unreachable)) (call $await)",
    );
    folder.write("a.wat", started);
    for strategy in ["recreate-instance-copy-on-write", "pooling-copy-on-write", "recreate-instance"] {
        let done = folder.wasmc(["run", "--strategy", strategy, "a.wat"]);
        assert_eq!((done.code, done.text(), done.stderr.as_str()), (0, "thread", ""), "{strategy}");
    }
}

#[test]
fn an_exit_in_a_thread_ends_the_program() {
    let folder = Folder::new();
    folder.write("a.wat", program("(call $exit (i32.const 7))", "(loop (call $await) (br 0))"));
    assert_eq!(folder.wasmc(["run", "a.wat"]).code, 7);
    folder.write("b.wat", program("(loop (br 0))", "(call $exit (i32.const 8))"));
    assert_eq!(folder.wasmc(["run", "b.wat"]).code, 8);
}

#[test]
fn a_trap_in_a_thread_ends_the_program_and_is_named_with_a_backtrace() {
    let folder = Folder::new();
    folder.write("a.wat", program("unreachable", "(loop (call $await) (br 0))"));
    folder.wasmc(["run", "a.wat"]).failed(134, &["in thread 1 of the guest", "unreachable", "0: thread\n"]);
    folder.write("b.wat", program("(loop (br 0))", "unreachable"));
    folder.wasmc(["run", "b.wat"]).failed(134, &["unreachable"]);
}

#[test]
fn a_program_without_an_entry_for_its_threads_is_refused() {
    let folder = Folder::new();
    folder.write("a.wat", program("", "").replace("wasi_thread_start", "something_else"));
    folder.wasmc(["run", "a.wat"]).failed(1, &["exports no function `wasi_thread_start`"]);
    folder.write("b.wat", program("", "").replace("(param $id i32) (param $argument i32)", "(param i32)"));
    folder.wasmc(["run", "b.wat"]).failed(1, &["`wasi_thread_start` is a function", "two i32"]);
}

/// A guest that starts threads without end gets no more than the limit, and
/// is told so.
#[test]
fn threads_are_limited() {
    let folder = Folder::new();
    let text = program(
        "(call $await)",
        "(local.set $id (i32.const 1))
            (block $full (loop $more
                (br_if $full (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)))
                (local.set $id (i32.add (local.get $id) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $id) (i32.const 5000)))))
            ;; More than a few, and not without end.
            (call $exit (i32.and (i32.gt_u (local.get $id) (i32.const 100)) (i32.lt_u (local.get $id) (i32.const 1025))))",
    );
    folder.write("a.wat", text);
    assert_eq!(folder.wasmc(["run", "a.wat"]).code, 1);
}
