;; Atomics on a memory that threads share. Every export does its work as often
;; as its argument says and returns a checksum.
(module
  (import "host" "memory" (memory 1 1 shared))

  (func (export "add") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.atomic.rmw.add (i32.const 64) (i64.const 0))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "exchange") (param $n i32) (result i64)
    (i64.atomic.store (i32.const 128) (i64.const 0))
    (loop $again
      (drop (i64.atomic.rmw.xchg (i32.const 128) (i64.extend_i32_u (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.atomic.load (i32.const 128)))

  ;; An operation that hardware has not: compare and exchange in a loop.
  (func (export "compare-exchange") (param $n i32) (result i64)
    (local $old i32) (local $seen i32) (local $sum i64)
    (i32.atomic.store (i32.const 192) (i32.const 1))
    (loop $again
      (local.set $old (i32.atomic.load (i32.const 192)))
      (loop $retry
        (local.set $seen (i32.atomic.rmw.cmpxchg (i32.const 192) (local.get $old)
          (i32.add (i32.mul (local.get $old) (i32.const 5)) (i32.const 3))))
        (if (i32.ne (local.get $seen) (local.get $old))
          (then (local.set $old (local.get $seen)) (br $retry))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (i32.atomic.load (i32.const 192))))

  (func (export "load-store") (param $n i32) (result i64)
    (i64.atomic.store (i32.const 256) (i64.const 1))
    (loop $again
      (i64.atomic.store (i32.const 256) (i64.add (i64.atomic.load (i32.const 256)) (i64.const 3)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.atomic.load (i32.const 256)))

  (func (export "notify-nobody") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u (memory.atomic.notify (i32.const 320) (i32.const 1)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Two threads hand a number to each other: it is even when it is the turn of
  ;; `ping-pong`, odd when it is that of `partner`, which the bench calls on
  ;; another thread.
  (func $turn (param $mine i32) (param $n i32) (result i64)
    (local $now i32)
    (loop $again
      (block $ready
        (loop $wait
          (local.set $now (i32.atomic.load (i32.const 384)))
          (br_if $ready (i32.eq (i32.and (local.get $now) (i32.const 1)) (local.get $mine)))
          (drop (memory.atomic.wait32 (i32.const 384) (local.get $now) (i64.const -1)))
          (br $wait)))
      (i32.atomic.store (i32.const 384) (i32.add (local.get $now) (i32.const 1)))
      (drop (memory.atomic.notify (i32.const 384) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.const 0))
  (func (export "ping-pong") (param $n i32) (result i64) (call $turn (i32.const 0) (local.get $n)))
  (func (export "partner") (param $n i32) (result i64) (call $turn (i32.const 1) (local.get $n))))
