;; Tail calls: direct, of an import, through a table.
(module
  (type $binary (func (param i32 i32) (result i32)))
  (import "host" "log" (func $log (param i32)))
  (table $fixed 2 2 funcref)
  (elem (table $fixed) (i32.const 0) func $loop)
  (func $loop (export "loop") (type $binary)
    (if (result i32) (i32.eqz (local.get 0))
      (then (local.get 1))
      (else (return_call $loop (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 3))))))
  (func $import (export "import") (return_call $log (i32.const 1)))
  (func $through (export "through") (param i32) (result i32)
    (return_call_indirect $fixed (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))
)
