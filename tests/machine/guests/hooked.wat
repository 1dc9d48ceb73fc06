;; Calls of the host, of each kind.
(module
  (import "host" "now" (func $now (param i32) (result i32)))
  (import "host" "later" (func $later (param i32) (result i32)))
  (func $now_ (export "now") (param i32) (result i32) (call $now (local.get 0)))
  (func $later_ (export "later") (param i32) (result i32)
    (i32.add (call $later (local.get 0)) (i32.const 100)))
  (func $trap (export "trap") (param i32) (result i32) (drop (call $now (local.get 0))) unreachable)
  (func $often (export "often") (param i32) (result i32)
    (call $now (call $now (call $now (call $now (local.get 0)))))))
