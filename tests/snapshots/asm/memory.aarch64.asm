;; load
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  ldr w2, [x2, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load_offset
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  add x4, x2, #100
  ldr x2, [x4, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; far
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x12, #55
  movk x12, x12, #65534, LSL #16
  ldr x15, [x2, x12]
  movz w13, #1
  movk w13, w13, #32768, LSL #16
  add x13, x13, x3, UXTW
  subs xzr, x13, x15
  b.hi #trap=user2
  movz x0, #32768, LSL #16
  add x0, x0, x3, UXTW
  add x0, x2, x0
  subs xzr, x13, x15
  csel x0, x2, x0, hi
  ldrb w2, [x0]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; store
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  str d0, [x2, w3, UXTW]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; sum
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  mov x12, x2
  movz w2, #0
  mov x14, x12
  b label1
block1:
  ldr w12, [x14, w3, UXTW]
  sub w4, w4, #1
  add w2, w2, w12
  add w3, w3, #4
  cbnz w4, label2 ; b label3
block2:
  b label1
block3:
  b label4
block4:
  b label5
block5:
  ldp fp, lr, [sp], #16
  ret

;; size
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x4, #55
  movk x4, x4, #65534, LSL #16
  ldr x7, [x2, x4]
  b label1
block1:
  lsr x2, x7, #16
  ldp fp, lr, [sp], #16
  ret

;; grow
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x11, #31
  movk x11, x11, #65534, LSL #16
  ldr x14, [x2, x11]
  ldr x12, [x14]
  movn x13, #47
  movk x13, x13, #65534, LSL #16
  add x0, x2, x13
  movz w1, #0
  mov w2, w3
  blr x12
  b label1
block1:
  mov x2, x0
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i32, f64) -> ()
;; wasmc.array_entry (i32, f64) -> ()
;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
