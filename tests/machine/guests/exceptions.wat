;; Exceptions that are caught here or there, or not at all.
(module
  (import "host" "call" (func $call (param i32) (result i32)))
  (tag $small (param i32))
  (tag $wide (param i64 f64 v128))
  (func $throw (export "throw") (param $n i32) (result i32)
    (if (i32.eq (local.get $n) (i32.const 1)) (then (throw $small (i32.const 70))))
    (if (i32.eq (local.get $n) (i32.const 2)) (then
      (throw $wide (i64.const 5) (f64.const 2.5) (v128.const i32x4 1 2 3 4))))
    (i32.add (local.get $n) (i32.const 1000)))
  (func $inside (export "inside") (param $n i32) (result i32)
    (block $caught (result i32)
      (try_table (result i32) (catch $small $caught)
        (if (local.get $n) (then (throw $small (i32.add (local.get $n) (i32.const 20)))))
        (i32.const 7))))
  (func $catch (param $n i32) (param $host i32) (result i32) (local $f f64)
    (local.set $f (f64.convert_i32_s (i32.add (local.get $n) (i32.const 3))))
    (block $small (result i32)
      (block $wide (result i64 f64 v128)
        (try_table (catch $small $small) (catch $wide $wide)
          (return
            (if (result i32) (local.get $host)
              (then (call $call (local.get $n)))
              (else (call $throw (local.get $n))))))
        unreachable)
      i32x4.extract_lane 2
      f64.convert_i32_s
      f64.mul
      local.get $f
      f64.mul
      i64.trunc_f64_s
      i64.add
      i32.wrap_i64
      return)
    (i32.add (i32.trunc_f64_s (local.get $f))))
  (func $between (export "between") (param $n i32) (result i32) (call $catch (local.get $n) (i32.const 0)))
  (func $through (export "through") (param $n i32) (result i32) (call $catch (local.get $n) (i32.const 1))))
