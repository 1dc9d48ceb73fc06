;; The module behind the call, indirect-call and trap figures.
(module
  (import "host" "nothing" (func $nothing))
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (import "host" "count" (func $count))

  (memory 1)
  (type $step (func (param i32) (result i32)))
  (table $private funcref (elem $plus $minus $xor $times))
  (table $exported (export "table") funcref (elem $plus $minus $xor $times))

  (func $plus (type $step) (i32.add (local.get 0) (i32.const 1)))
  (func $minus (type $step) (i32.sub (local.get 0) (i32.const 3)))
  (func $xor (type $step) (i32.xor (local.get 0) (i32.const 5)))
  (func $times (type $step) (i32.mul (local.get 0) (i32.const 7)))

  (func (export "nothing"))
  (func (export "four") (param i32 i64 i32 i64) (result i64)
    (i64.add
      (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1))
      (i64.add (i64.extend_i32_s (local.get 2)) (local.get 3))))

  ;; Each loop runs its argument's number of times, at least once.
  (func (export "to-host-0") (param $n i32)
    (loop $again
      (call $nothing)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  (func (export "to-host-2") (param $n i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (call $add (local.get $sum) (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "to-host-data") (param $n i32)
    (loop $again
      (call $count)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Each step feeds the next, and the entry depends on the step.
  (func (export "indirect-private") (param $n i32) (result i32)
    (local $sum i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (local.set $sum
        (call_indirect $private (type $step)
          (local.get $sum)
          (i32.and (local.get $i) (i32.const 3))))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum))

  (func (export "indirect-exported") (param $n i32) (result i32)
    (local $sum i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (local.set $sum
        (call_indirect $exported (type $step)
          (local.get $sum)
          (i32.and (local.get $i) (i32.const 3))))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum))

  ;; Each loop throws and catches its argument's number of times.
  (tag $thrown (param i32))
  (func $throw (param i32) (throw $thrown (local.get 0)))
  (func $descend (param $left i32) (param $value i32)
    (if (i32.eqz (local.get $left)) (then (throw $thrown (local.get $value))))
    (call $descend (i32.sub (local.get $left) (i32.const 1)) (local.get $value))
    (if (i32.eq (local.get $value) (i32.const -1)) (then unreachable)))
  (func $catch (param $n i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $thrown $caught) (call $throw (local.get $n)))
      (i32.const 0)))
  (func (export "throw-1") (param $n i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $catch (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "throw-10") (param $n i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum)
        (block $caught (result i32)
          (try_table (catch $thrown $caught) (call $descend (i32.const 9) (local.get $n)))
          (i32.const 0))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "throw-to-host") (throw $thrown (i32.const 1)))

  (func (export "trap-unreachable") unreachable)
  (func (export "trap-memory") (param i32) (result i32)
    (i32.load (local.get 0)))
  (func $deep (export "trap-deep") (param $left i32) (result i32)
    (if (i32.eqz (local.get $left)) (then unreachable))
    (i32.add (local.get $left)
      (call $deep (i32.sub (local.get $left) (i32.const 1))))))
