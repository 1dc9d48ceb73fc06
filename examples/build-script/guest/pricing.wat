;; What an order costs, which a shop can change without changing its program.
(module $pricing
  (import "shop" "discount" (func $discount (param i32) (result i32)))
  (import "shop" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "a large order")
  (global $orders (export "orders") (mut i32) (i32.const 0))

  ;; The price in cents of some pieces at some cents each, less the discount in percent.
  (func (export "price") (param $pieces i32) (param $cents i64) (result i64)
    (global.set $orders (i32.add (global.get $orders) (i32.const 1)))
    (if (i32.gt_u (local.get $pieces) (i32.const 100))
      (then (call $log (i32.const 16) (i32.const 13))))
    (i64.div_u
      (i64.mul
        (i64.mul (i64.extend_i32_u (local.get $pieces)) (local.get $cents))
        (i64.extend_i32_u (i32.sub (i32.const 100) (call $discount (local.get $pieces)))))
      (i64.const 100))))
