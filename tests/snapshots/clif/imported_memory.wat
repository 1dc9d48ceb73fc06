;; Accesses to a memory of another module's.
(module
  (import "host" "memory" (memory 1 10))
  (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $far (export "far") (param i32) (result i32) (i32.load8_u offset=0x80000000 (local.get 0)))
  (func $size (export "size") (result i32) (memory.size))
)
