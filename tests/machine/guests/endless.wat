;; Code that ends only if it is stopped, and says when it has begun.
(module
  (import "host" "started" (func $started))
  (memory 1 1 shared)
  (func $wait (export "wait")
    (call $started)
    (drop (memory.atomic.wait32 (i32.const 8) (i32.const 1) (i64.const -1)))
    (drop (memory.atomic.wait64 (i32.const 8) (i64.const 0) (i64.const 1)))
    (drop (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))))
  (func $loop (export "loop") (call $started) (loop $again (br $again)))
  (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))
  (func $recursion (export "recursion")
    (call $started)
    (loop $again (call $deep (i32.const 10)) (br $again)))
  (func $both (export "both") (local i32)
    (call $started)
    (loop $outer
      (local.set 0 (i32.const 100))
      (loop $inner
        (br_if $inner (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (br $outer))))
