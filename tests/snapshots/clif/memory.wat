;; Accesses to a memory of the module's own.
(module
  (memory 1 10)
  (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $load_offset (export "load_offset") (param i32) (result i64) (i64.load offset=100 (local.get 0)))
  (func $far (export "far") (param i32) (result i32) (i32.load8_u offset=0x80000000 (local.get 0)))
  (func $store (export "store") (param i32 f64) (f64.store (local.get 0) (local.get 1)))
  (func $sum (export "sum") (param $at i32) (param $count i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum))
  (func $size (export "size") (result i32) (memory.size))
  (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
)
