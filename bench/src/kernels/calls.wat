;; Calls that leave no frame, through references and through tables. Every
;; export makes as many calls as its argument says and returns a checksum.
(module
  (type $step (func (param i64) (result i64)))
  (type $walk (func (param i32 i64) (result i64)))

  (table $steps funcref (elem $double $add $flip $rotate))
  (table $typed 4 4 (ref null $step))
  (table $walks funcref (elem $even-indirect $odd-indirect))
  (elem (table $typed) (i32.const 0) (ref null $step)
    (ref.func $double) (ref.func $add) (ref.func $flip) (ref.func $rotate))
  (global $chosen (mut (ref null $step)) (ref.func $add))
  (elem declare func $even-ref $odd-ref)

  (func $double (type $step) (i64.add (i64.shl (local.get 0) (i64.const 1)) (i64.const 1)))
  (func $add (type $step) (i64.add (local.get 0) (i64.const 7)))
  (func $flip (type $step) (i64.xor (local.get 0) (i64.const -1)))
  (func $rotate (type $step) (i64.rotl (local.get 0) (i64.const 13)))

  ;; Two functions that end by calling each other.
  (func $even (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3))))
  (func $odd (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $even (i32.sub (local.get 0) (i32.const 1)) (i64.rotl (local.get 1) (i64.const 1))))
  (func (export "tail") (param $n i32) (result i64)
    (return_call $even (local.get $n) (i64.const 1)))

  (func $even-indirect (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect $walks (type $walk)
      (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3)) (i32.const 1)))
  (func $odd-indirect (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect $walks (type $walk)
      (i32.sub (local.get 0) (i32.const 1)) (i64.rotl (local.get 1) (i64.const 1))
      (i32.and (local.get 0) (i32.const 0))))
  (func (export "tail-indirect") (param $n i32) (result i64)
    (return_call $even-indirect (local.get $n) (i64.const 1)))

  (global $next-even (mut (ref null $walk)) (ref.func $even-ref))
  (global $next-odd (mut (ref null $walk)) (ref.func $odd-ref))
  (func $even-ref (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_ref $walk
      (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3)) (global.get $next-odd)))
  (func $odd-ref (type $walk)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_ref $walk
      (i32.sub (local.get 0) (i32.const 1)) (i64.rotl (local.get 1) (i64.const 1)) (global.get $next-even)))
  (func (export "tail-ref") (param $n i32) (result i64)
    (return_call_ref $walk (local.get $n) (i64.const 1) (global.get $next-even)))

  ;; As many arguments as do not fit into registers.
  (func $wide (param i32 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (if (i32.eqz (local.get 0)) (then (return (i64.add (local.get 1) (local.get 9)))))
    (return_call $wide (i32.sub (local.get 0) (i32.const 1))
      (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7) (local.get 8)
      (i64.add (local.get 9) (local.get 1)) (local.get 1)))
  (func (export "tail-wide") (param $n i32) (result i64)
    (return_call $wide (local.get $n) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
      (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9)))

  ;; One reference, always the same.
  (func (export "ref-same") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (call_ref $step (local.get $sum) (global.get $chosen)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; References out of a table of their type: no type is left to check.
  (func (export "ref-table") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum
        (call_ref $step (local.get $sum) (table.get $typed (i32.and (local.get $n) (i32.const 3)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "indirect-typed") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum
        (call_indirect $typed (type $step) (local.get $sum) (i32.and (local.get $n) (i32.const 3))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; A table that the host could write to.
  (export "steps" (table $steps))
  (func (export "indirect") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum
        (call_indirect $steps (type $step) (local.get $sum) (i32.and (local.get $n) (i32.const 3))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Thrown and caught in one function, where both are seen at once.
  (tag $thrown (param i64))
  (func (export "throw-here") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (block $caught (result i64)
          (try_table (catch $thrown $caught) (throw $thrown (i64.extend_i32_u (local.get $n))))
          (i64.const 0))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Nothing is thrown: what a block with handlers costs around a call.
  (func $maybe (param i32) (result i64)
    (if (i32.eq (local.get 0) (i32.const -1)) (then (throw $thrown (i64.const 1))))
    (i64.extend_i32_u (local.get 0)))
  (func (export "no-throw") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (block $caught (result i64)
          (try_table (result i64) (catch $thrown $caught) (call $maybe (local.get $n))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
