;; What costs fuel in each way.
(module
  (memory 1)
  (type $step (func (param i64) (result i64)))
  (table funcref (elem $one $two))
  (func $one (type $step) (i64.add (local.get 0) (i64.const 1)))
  (func $two (type $step) (return_call $one (i64.mul (local.get 0) (i64.const 2))))
  (func $loop (export "loop") (param $n i32) (result i64) (local $sum i64)
    (block $out
      (loop $again
        (br_if $out (i32.eqz (local.get $n)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $n))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))
    (local.get $sum))
  (func $calls (export "calls") (param $n i32) (result i64) (local $sum i64)
    (block $out
      (loop $again
        (br_if $out (i32.eqz (local.get $n)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (local.set $sum
          (call_indirect (type $step) (local.get $sum) (i32.and (local.get $n) (i32.const 1))))
        (br $again)))
    (local.get $sum))
  (func $bulk (export "bulk") (param $n i32) (result i64)
    (memory.fill (i32.const 8) (i32.const 1) (local.get $n))
    (memory.copy (i32.const 2000) (i32.const 8) (local.get $n))
    (i64.load (i32.const 2000)))
  (func $branches (export "branches") (param $n i32) (result i64)
    (block $a (block $b (block $c
      (br_table $c $b $a (i32.rem_u (local.get $n) (i32.const 5))))
      (drop (i32.const 1)) (drop (i32.const 2)))
      (return (i64.const 11)))
    (if (result i64) (i32.gt_u (local.get $n) (i32.const 100))
      (then (i64.const 12))
      (else (i64.add (i64.const 6) (i64.const 7))))))
