;; A few vector operations, some of which need lowering.
(module
  (func $add (export "add") (param v128 v128) (result v128) (i32x4.add (local.get 0) (local.get 1)))
  (func $swizzle (export "swizzle") (param v128 v128) (result v128) (i8x16.swizzle (local.get 0) (local.get 1)))
  (func $relaxed (export "relaxed") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func $lanes (export "lanes") (param v128) (result f64) (f64x2.extract_lane 1 (local.get 0)))
  (func $truncate (export "truncate") (param v128) (result v128) (i32x4.trunc_sat_f32x4_u (local.get 0)))
)
