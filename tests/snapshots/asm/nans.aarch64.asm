;; scalar
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  fmul d16, d0, d1
  fmov d16, d16
  fcmeq v17.2d, v16.2d, v16.2d
  fcmeq v18.2d, v16.2d, v16.2d
  and v17.16b, v17.16b, v18.16b
  mvn v0.16b, v17.16b
  movz x11, #32760, LSL #48
  fmov d17, x11
  bsl v0.16b, v0.16b, v17.16b, v16.16b
  ldp fp, lr, [sp], #16
  ret

;; vector
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  fadd v16.4s, v0.4s, v1.4s
  fcmeq v17.4s, v16.4s, v16.4s
  fcmeq v18.4s, v16.4s, v16.4s
  and v17.16b, v17.16b, v18.16b
  mvn v0.16b, v17.16b
  movz x10, #32704, LSL #16
  dup v17.4s, w10
  bsl v0.16b, v0.16b, v17.16b, v16.16b
  ldp fp, lr, [sp], #16
  ret

;; bits
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  fneg d0, d0
  ushr d6, d1, #63
  sli d0, d0, d6, #63
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (f64, f64) -> (f64)
;; wasmc.array_entry (f64, f64) -> (f64)
;; wasmc.native_entry (v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128) -> (v128)
