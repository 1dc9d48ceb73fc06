;; Values are counted: --deterministic-stack 1000. A leaf only looks; tail calls take the caller's place.
(module
  (func $leaf (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else
        (call $leaf
          (call $fib (i32.sub (local.get 0) (i32.const 1)))
          (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func $loop (export "loop") (param i32)
    (if (local.get 0) (then (return_call $loop (i32.sub (local.get 0) (i32.const 1))))))
)
