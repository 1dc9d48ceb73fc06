;; Code that waits for the host in several places.
(module
  (import "host" "wait" (func $wait (param i32) (result i32)))
  (memory 1)
  (func $sum (export "sum") (param $n i32) (result i64) (local $f f64) (local $v v128)
    (local.set $f (f64.convert_i32_s (call $wait (local.get $n))))
    (local.set $v (f64x2.splat (f64.sqrt (local.get $f))))
    (i64.add
      (i64.extend_i32_s (call $wait (i32.const 1)))
      (i64.trunc_f64_s (f64.mul (f64x2.extract_lane 1 (local.get $v)) (f64.const 1000)))))
  (func $deep (export "deep") (param $n i32) (result i64)
    (if (result i64) (local.get $n)
      (then (i64.add
        (call $deep (i32.sub (local.get $n) (i32.const 1)))
        (i64.extend_i32_s (call $wait (local.get $n)))))
      (else (i64.const 7))))
  (func $trap (export "trap") (param $n i32) (result i64)
    (i64.load (i32.sub (call $wait (local.get $n)) (i32.const 24))))
  (func $again (param i64) (result i64) (i64.add (call $again (local.get 0)) (local.get 0)))
  (func $overflow (export "overflow") (param $n i32) (result i64)
    (call $again (i64.extend_i32_s (call $wait (local.get $n))))))
