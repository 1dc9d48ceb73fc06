;; Growth, with values that are in use meanwhile.
(module
  (import "host" "look" (func $look (param i32)))
  (memory 2 20)
  (table 10 200 funcref)
  (func $grow (param $by i32) (result i32) (memory.grow (local.get $by)))
  (func $memory (export "memory") (param $by i32) (result i32) (local $f f64)
    (local.set $f (f64.convert_i32_s (i32.mul (local.get $by) (i32.const 1000))))
    (i32.add (call $grow (local.get $by)) (i32.trunc_f64_s (local.get $f))))
  (func $table (export "table") (param $by i32) (result i32)
    (i32.add (table.grow (ref.func $grow) (local.get $by)) (i32.mul (local.get $by) (i32.const 1000))))
  (elem declare func $grow)
  (func $until (export "until") (param $n i32) (result i32)
    (loop $again
      (call $look (local.get $n))
      (if (i32.eq (call $grow (i32.const 1)) (i32.const -1)) (then (return (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again))
    (i32.const -2)))
