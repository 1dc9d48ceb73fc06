;; load
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x5, #55
  movk x5, x5, #65534, LSL #16
  ldr x8, [x2, x5]
  ldr w2, [x8, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; far
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x0, #63
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x0, [x0, #8]
  movz w1, #1
  movk w1, w1, #32768, LSL #16
  add x1, x1, x3, UXTW
  subs xzr, x1, x0
  b.hi #trap=user2
  movn x4, #55
  movk x4, x4, #65534, LSL #16
  ldr x2, [x2, x4]
  movz x4, #32768, LSL #16
  add x3, x4, x3, UXTW
  add x3, x2, x3
  subs xzr, x1, x0
  csel x0, x2, x3, hi
  ldrb w2, [x0]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; size
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x5, #63
  movk x5, x5, #65534, LSL #16
  ldr x8, [x2, x5]
  ldr x6, [x8, #8]
  b label1
block1:
  lsr x2, x6, #16
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
