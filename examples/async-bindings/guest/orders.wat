;; Adds up an order. Prices come from the host, which may have to wait for them;
;; to this code they are ordinary functions.
(module $orders
  (import "shop" "price" (func $price (param $article i32) (result i64)))
  (import "shop" "note" (func $note (param $article i32) (param $price i64)))
  (import "shop" "ship" (func $ship))
  ;; Of 17 parameters: more than functions with native arguments have.
  (import "shop" "audit" (func $audit
    (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)))

  (memory (export "memory") 1)
  (global $orders (export "orders") (mut i32) (i32.const 0))
  (start $begin)

  ;; Even the start function may wait.
  (func $begin (drop (call $price (i32.const 0))))

  ;; The total of articles `$first` to `$last`.
  (func (export "order") (param $first i32) (param $last i32) (result i64)
    (local $price i64)
    (local $total i64)
    (global.set $orders (i32.add (global.get $orders) (i32.const 1)))
    (loop $next
      (local.set $price (call $price (local.get $first)))
      (call $note (local.get $first) (local.get $price))
      (local.set $total (i64.add (local.get $total) (local.get $price)))
      (local.set $first (i32.add (local.get $first) (i32.const 1)))
      (br_if $next (i32.le_u (local.get $first) (local.get $last))))
    (call $ship)
    (local.get $total))

  (func (export "audit") (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (call $audit
      (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6)
      (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11) (local.get 12) (local.get 13)
      (local.get 14) (local.get 15) (local.get 16))))
