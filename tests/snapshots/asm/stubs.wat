;; with stubs: what connects host and wasm.
(module
  (import "host" "mix" (func $mix (param i32 f64) (result i64)))
  (func (export "mixed") (param i32 f64) (result i64) (call $mix (local.get 0) (local.get 1)))
)
