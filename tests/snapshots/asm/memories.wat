;; Several memories: the first one is at the context, the others are not.
(module
  (memory $first 1 10)
  (memory $second 1 10)
  (func $load_first (export "load_first") (param i32) (result i32) (i32.load $first (local.get 0)))
  (func $load_second (export "load_second") (param i32) (result i32) (i32.load $second (local.get 0)))
  (func $across (export "across") (param i32 i32 i32)
    (memory.copy $second $first (local.get 0) (local.get 1) (local.get 2)))
)
