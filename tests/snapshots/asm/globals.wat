;; Globals: constant, own, imported.
(module
  (import "host" "shared" (global $shared (mut i32)))
  (import "host" "given" (global $given i32))
  (global $constant i64 (i64.const 77))
  (global $own (mut i64) (i64.const 1))
  (global $vector (mut v128) (v128.const i64x2 1 2))
  (func $bump (export "bump") (result i64)
    (global.set $own (i64.add (global.get $own) (global.get $constant)))
    (global.get $own))
  (func $imported (export "imported") (global.set $shared (global.get $given)))
  (func $rotate (export "rotate")
    (global.set $vector (i32x4.add (global.get $vector) (global.get $vector))))
)
