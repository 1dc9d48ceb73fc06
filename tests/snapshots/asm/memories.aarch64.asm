;; load_first
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  ldr w2, [x2, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load_second
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x5, #63
  movk x5, x5, #65534, LSL #16
  ldr x8, [x2, x5]
  ldr w2, [x8, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; across
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x0, #55
  movk x0, x0, #65534, LSL #16
  ldr x1, [x2, x0]
  mov w6, w5
  add x0, x6, x3, UXTW
  subs xzr, x0, x1
  b.hi #trap=user2
  movn x1, #71
  movk x1, x1, #65534, LSL #16
  ldr x1, [x2, x1]
  add x0, x6, x4, UXTW
  subs xzr, x0, x1
  b.hi #trap=user2
  movn x1, #31
  movk x1, x1, #65534, LSL #16
  ldr x0, [x2, x1]
  ldr x7, [x0, #8]
  movn x5, #63
  movk x5, x5, #65534, LSL #16
  ldr x0, [x2, x5]
  add x0, x0, x3, UXTW
  add x1, x2, x4, UXTW
  mov x2, x6
  blr x7
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32, i32, i32) -> ()
;; wasmc.array_entry (i32, i32, i32) -> ()
