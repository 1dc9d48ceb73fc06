;; Functions that are called and awaited.
(module
  (import "host" "now" (func $now (param i32) (result i32)))
  (import "host" "later" (func $later (param i32) (result i32)))
  (func (export "nothing"))
  (func (export "one-now") (param i32) (result i32) (call $now (local.get 0)))
  (func (export "one-later") (param i32) (result i32) (call $later (local.get 0)))
  (func (export "many-now") (param $times i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $now (local.get $times))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $again (local.get $times)))
    (local.get $sum))
  (func (export "many-later") (param $times i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $later (local.get $times))))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $again (local.get $times)))
    (local.get $sum)))
