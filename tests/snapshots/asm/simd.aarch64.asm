;; add
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  add v0.4s, v0.4s, v1.4s
  ldp fp, lr, [sp], #16
  ret

;; swizzle
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  tbl v0.16b, { v0.16b }, v1.16b
  ldp fp, lr, [sp], #16
  ret

;; relaxed
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  mov v6.16b, v0.16b
  mov v0.16b, v2.16b
  fmla v0.4s, v0.4s, v6.4s, v1.4s
  ldp fp, lr, [sp], #16
  ret

;; lanes
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  mov d0, v0.d[1]
  ldp fp, lr, [sp], #16
  ret

;; truncate
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  fcvtzu v0.4s, v0.4s
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128) -> (v128)
;; wasmc.native_entry (v128, v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128, v128) -> (v128)
;; wasmc.native_entry (v128) -> (f64)
;; wasmc.array_entry (v128) -> (f64)
;; wasmc.native_entry (v128) -> (v128)
;; wasmc.array_entry (v128) -> (v128)
