;; Loops over a 64-bit memory, with addresses in 64-bit locals as compilers of C
;; make them. Every export does its work as often as its argument says.
(module
  (memory i64 16)

  ;; c += a * b, matrices of 48 by 48 doubles at 0, 32 KiB and 64 KiB.
  (func (export "matrices") (param $n i32) (result i64)
    (local $i i64) (local $j i64) (local $k i64) (local $sum f64)
    (local.set $i (i64.const 0))
    (loop $fill
      (f64.store (i64.shl (local.get $i) (i64.const 3)) (f64.convert_i64_s (i64.rem_u (local.get $i) (i64.const 7))))
      (f64.store offset=32768 (i64.shl (local.get $i) (i64.const 3))
        (f64.convert_i64_s (i64.rem_u (local.get $i) (i64.const 5))))
      (f64.store offset=65536 (i64.shl (local.get $i) (i64.const 3)) (f64.const 0))
      (br_if $fill (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const 2304))))
    (loop $again
      (local.set $i (i64.const 0))
      (loop $rows
        (local.set $j (i64.const 0))
        (loop $columns
          (local.set $sum (f64.const 0))
          (local.set $k (i64.const 0))
          (loop $products
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul
                (f64.load (i64.shl (i64.add (i64.mul (local.get $i) (i64.const 48)) (local.get $k)) (i64.const 3)))
                (f64.load offset=32768
                  (i64.shl (i64.add (i64.mul (local.get $k) (i64.const 48)) (local.get $j)) (i64.const 3))))))
            (br_if $products (i64.lt_u (local.tee $k (i64.add (local.get $k) (i64.const 1))) (i64.const 48))))
          (f64.store offset=65536
            (i64.shl (i64.add (i64.mul (local.get $i) (i64.const 48)) (local.get $j)) (i64.const 3))
            (f64.add (local.get $sum) (f64.load offset=65536
              (i64.shl (i64.add (i64.mul (local.get $i) (i64.const 48)) (local.get $j)) (i64.const 3)))))
          (br_if $columns (i64.lt_u (local.tee $j (i64.add (local.get $j) (i64.const 1))) (i64.const 48))))
        (br_if $rows (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const 48))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.reinterpret_f64 (f64.load offset=65536 (i64.const 8888))))

  ;; Each of 16,384 doubles becomes the mean of itself and its neighbours.
  (func (export "stencil") (param $n i32) (result i64)
    (local $at i64)
    (loop $fill
      (f64.store (local.get $at) (f64.convert_i64_s (i64.and (local.get $at) (i64.const 1023))))
      (br_if $fill (i64.lt_u (local.tee $at (i64.add (local.get $at) (i64.const 8))) (i64.const 131072))))
    (loop $again
      (local.set $at (i64.const 8))
      (loop $next
        (f64.store (local.get $at)
          (f64.div
            (f64.add (f64.add (f64.load (i64.sub (local.get $at) (i64.const 8))) (f64.load (local.get $at)))
              (f64.load offset=8 (local.get $at)))
            (f64.const 3)))
        (br_if $next (i64.lt_u (local.tee $at (i64.add (local.get $at) (i64.const 8))) (i64.const 131064))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.reinterpret_f64 (f64.load (i64.const 65536))))

  ;; A histogram of 64 KiB of bytes: loads and stores whose addresses depend on
  ;; what was loaded.
  (func (export "histogram") (param $n i32) (result i64)
    (local $at i64) (local $slot i64)
    (loop $fill
      (i64.store (local.get $at) (i64.mul (i64.add (local.get $at) (i64.const 1)) (i64.const 0x9e3779b97f4a7c15)))
      (br_if $fill (i64.lt_u (local.tee $at (i64.add (local.get $at) (i64.const 8))) (i64.const 65536))))
    (memory.fill (i64.const 131072) (i32.const 0) (i64.const 2048))
    (loop $again
      (local.set $at (i64.const 0))
      (loop $next
        (local.set $slot (i64.shl (i64.load8_u (local.get $at)) (i64.const 3)))
        (i64.store offset=131072 (local.get $slot)
          (i64.add (i64.load offset=131072 (local.get $slot)) (i64.const 1)))
        (br_if $next (i64.lt_u (local.tee $at (i64.add (local.get $at) (i64.const 1))) (i64.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.mul (i64.load (i64.const 131080)) (i64.load (i64.const 132000))))

  ;; Follows 4096 links in an order that no prefetcher guesses.
  (func (export "chase") (param $n i32) (result i64)
    (local $at i64) (local $i i64) (local $left i32)
    (loop $fill
      (i64.store (i64.shl (local.get $i) (i64.const 4))
        (i64.shl (i64.and (i64.add (i64.mul (local.get $i) (i64.const 1229)) (i64.const 733)) (i64.const 4095))
          (i64.const 4)))
      (br_if $fill (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const 4096))))
    (loop $again
      (local.set $left (i32.const 4096))
      (loop $next
        (local.set $at (i64.load (local.get $at)))
        (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $at)))
