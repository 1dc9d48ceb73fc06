;; add
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  adds x2, x3, x5
  adc x3, x4, x6
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; sub
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  subs x2, x3, x5
  sbc x3, x4, x6
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; mul_u
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  madd x2, x3, x4, xzr
  umulh x3, x3, x4
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; mul_s
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  madd x2, x3, x4, xzr
  smulh x3, x3, x4
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i64, i64, i64, i64) -> (i64, i64)
;; wasmc.array_entry (i64, i64, i64, i64) -> (i64, i64)
;; wasmc.native_entry (i64, i64) -> (i64, i64)
;; wasmc.array_entry (i64, i64) -> (i64, i64)
