;; One pattern of NaN: --canonicalize-nans. Operators that are defined bit by bit stay as they are.
(module
  (func $scalar (export "scalar") (param f64 f64) (result f64) (f64.mul (local.get 0) (local.get 1)))
  (func $vector (export "vector") (param v128 v128) (result v128) (f32x4.add (local.get 0) (local.get 1)))
  (func $bits (export "bits") (param f64 f64) (result f64) (f64.copysign (f64.neg (local.get 0)) (local.get 1)))
)
