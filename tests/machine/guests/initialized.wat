;; Counts on from where its initialiser, which runs when it is compiled, ended.
(module
  (memory 1 10)
  (global $count (mut i64) (i64.const 1))
  (table $steps 4 funcref)
  (type $step (func (result i64)))
  (func $far (type $step) (i64.const 1000))
  (elem declare func $far)
  (func $start
    (if (i64.ne (global.get $count) (i64.const 1)) (then unreachable))
    (drop (memory.grow (i32.const 2)))
    (global.set $count (i64.const 40)))
  (start $start)
  (func $initialize (export "_initialize")
    (table.set $steps (i32.const 3) (ref.func $far))
    (i64.store (i32.const 1) (i64.const 7))
    (i64.store (i32.const 70000) (i64.const 9)))
  (func $next (export "next") (param $at i32) (result i64)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (global.get $count)))
    (i64.add
      (i64.mul (i64.extend_i32_u (memory.size)) (i64.const 1000000))
      (i64.add (i64.load (local.get $at)) (call_indirect $steps (type $step) (i32.const 3))))))
