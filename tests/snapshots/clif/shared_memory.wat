;; A shared memory that the module defines is reached through its context.
(module
  (memory 1 16 shared)
  (memory $own 1)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "own") (param i32) (result i32) (i32.atomic.load $own (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "never") (param i32) (result i32)
    (memory.atomic.wait32 $own (local.get 0) (i32.const 0) (i64.const -1))))
