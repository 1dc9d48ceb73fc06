;; load
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x7, #71
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  subs xzr, x3, x10
  csel x9, x3, x10, lo
  add x9, x2, x9
  ldr x2, [x9, #8]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; fields
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x9, #71
  movk x9, x9, #65534, LSL #16
  ldr x12, [x2, x9]
  subs xzr, x3, x12
  csel x11, x3, x12, lo
  add x12, x2, x11
  ldr x11, [x12, #8]
  ldr x12, [x12, #16]
  b label1
block1:
  add x2, x11, x12
  ldp fp, lr, [sp], #16
  ret

;; extended
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  add x4, x2, x3, UXTW
  ldr x2, [x4, #8]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; masked
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  and x4, x3, #65535
  ldrb w2, [x2, x4]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; element
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movz x15, #48759
  movk x15, x15, #6815, LSL #16
  movk x15, x15, #56623, LSL #32
  movk x15, x15, #1572, LSL #48
  umulh x15, x3, x15
  sub x0, x3, x15
  lsr x0, x0, #1
  add x15, x15, x0
  lsr x15, x15, #9
  movz x0, #1000
  msub x15, x15, x0, x3
  add x15, x2, x15, LSL 3
  ldr x2, [x15, #4096]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; known
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x8, #63
  movk x8, x8, #65534, LSL #16
  ldr x11, [x2, x8]
  movz x9, #16, LSL #16
  subs xzr, x3, x9
  csel x10, x3, x9, lo
  add x10, x11, x10
  ldr x2, [x10, #8]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; far
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x15, #71
  movk x15, x15, #65534, LSL #16
  ldr x0, [x2, x15]
  movz x1, #8
  movk x1, x1, #1, LSL #32
  subs xzr, x0, x1
  cset x4, lo
  sub x0, x0, x1
  subs xzr, x3, x0
  cset x0, hi
  orr w0, w4, w0
  ands wzr, w0, #255
  b.ne #trap=user2
  movz x1, #1, LSL #32
  add x1, x3, x1
  add x1, x2, x1
  ands wzr, w0, #255
  csel x0, x2, x1, ne
  ldr x2, [x0]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; store
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x6, #71
  movk x6, x6, #65534, LSL #16
  ldr x9, [x2, x6]
  subs xzr, x3, x9
  csel x8, x3, x9, lo
  str x4, [x2, x8]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; sum
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  mov x14, x2
  movz x2, #0
  b label1
block1:
  movn x13, #71
  movk x13, x13, #65534, LSL #16
  mov x0, x14
  ldr x1, [x0, x13]
  subs xzr, x3, x1
  csel x15, x3, x1, lo
  ldr x15, [x0, x15]
  add x3, x3, #8
  add x2, x2, x15
  subs xzr, x3, x4
  b.lo label2 ; b label3
block2:
  mov x14, x0
  b label1
block3:
  b label4
block4:
  b label5
block5:
  ldp fp, lr, [sp], #16
  ret

;; copy
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x0, #71
  movk x0, x0, #65534, LSL #16
  ldr x1, [x2, x0]
  subs xzr, x5, x1
  cset x0, hi
  sub x1, x1, x5
  subs xzr, x3, x1
  cset x6, hi
  orr w6, w0, w6
  ands wzr, w6, #255
  b.ne #trap=user2
  subs xzr, x4, x1
  cset x1, hi
  orr w0, w0, w1
  ands wzr, w0, #255
  b.ne #trap=user2
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x6, [x0, #8]
  add x0, x2, x3
  add x1, x2, x4
  mov x2, x5
  blr x6
  b label1
block1:
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
  movn x10, #31
  movk x10, x10, #65534, LSL #16
  ldr x13, [x2, x10]
  ldr x11, [x13]
  movn x12, #47
  movk x12, x12, #65534, LSL #16
  add x0, x2, x12
  movz w1, #0
  mov x2, x3
  blr x11
  b label1
block1:
  mov x2, x0
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i64) -> (i64)
;; wasmc.array_entry (i64) -> (i64)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i64) -> (i32)
;; wasmc.array_entry (i64) -> (i32)
;; wasmc.native_entry (i64, i64) -> ()
;; wasmc.array_entry (i64, i64) -> ()
;; wasmc.native_entry (i64, i64) -> (i64)
;; wasmc.array_entry (i64, i64) -> (i64)
;; wasmc.native_entry (i64, i64, i64) -> ()
;; wasmc.array_entry (i64, i64, i64) -> ()
