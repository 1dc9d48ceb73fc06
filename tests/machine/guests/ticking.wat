;; A loop in which time passes, with values that are in use meanwhile.
(module
  (import "host" "tick" (func $tick))
  (type $box (struct (field i32)))
  (func $run (export "run") (param $n i32) (result i64)
    (local $f f64) (local $l i64) (local $v v128) (local $o (ref null $box))
    (local.set $v (i32x4.splat (i32.const 3)))
    (local.set $o (struct.new $box (local.get $n)))
    (loop $again
      (call $tick)
      (local.set $f (f64.add (local.get $f) (f64.const 0.5)))
      (local.set $l (i64.add (local.get $l) (i64.const 0x1_0000_0001)))
      (local.set $v (i32x4.add (local.get $v) (local.get $v)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add
      (i64.add (i64.trunc_f64_s (f64.mul (local.get $f) (f64.const 1000))) (local.get $l))
      (i64.extend_i32_s (i32.add (i32x4.extract_lane 3 (local.get $v)) (struct.get $box 0 (local.get $o)))))))
