(module $borrower
  (import "host" "memory" (memory 1 10))
  (global $seen (export "seen") (mut i32) (i32.const 0))
  (data (i32.const 8) "copied at instantiation")
  (func $start (global.set $seen (i32.load8_u (i32.const 8))))
  (start $start)
)
