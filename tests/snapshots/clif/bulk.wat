;; Bulk operations on a memory of the module's own.
(module
  (memory 1 10)
  (data $segment "bytes")
  (func $fill (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func $copy (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func $init (export "init") (memory.init $segment (i32.const 0) (i32.const 0) (i32.const 5)) (data.drop $segment))
)
