;; A `try` takes no instruction where nothing is thrown: `guarded` has the calls
;; of `plain`, and the rest is out of their way. But no register survives those
;; calls, so the function saves them all. `branch` throws and catches in one
;; place: nothing is thrown at all.
(module
  (tag $e (param i32 i64))
  (import "" "f" (func $f (param i32) (result i32)))
  (func $plain (param i32) (result i32)
    (call $f (call $f (local.get 0))))
  (func $guarded (param i32) (result i32)
    (block $caught (result i32 i64)
      (return
        (try_table (result i32) (catch $e $caught)
          (call $f (call $f (local.get 0))))))
    drop)
  (func $throw (param i32)
    (throw $e (local.get 0) (i64.const 7)))
  (func $branch (param i32) (result i64) (local i64)
    (block $caught (result i32 i64)
      (try_table (catch $e $caught)
        (throw $e (local.get 0) (i64.const 7)))
      unreachable)
    local.set 1
    i64.extend_i32_u
    local.get 1
    i64.add))
