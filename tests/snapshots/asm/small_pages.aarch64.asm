;; load
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x10, #87
  movk x10, x10, #65534, LSL #16
  ldr x13, [x2, x10]
  mov w12, w3
  add x11, x12, #12
  subs xzr, x11, x13
  b.hi #trap=user2
  add x14, x12, #8
  add x14, x2, x14
  subs xzr, x11, x13
  csel x14, x2, x14, hi
  ldr w2, [x14]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load fixed
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  mov w12, w3
  add x11, x12, #12
  subs xzr, x11, #4096
  b.hi #trap=user2
  movn x13, #79
  movk x13, x13, #65534, LSL #16
  ldr x15, [x2, x13]
  add x13, x12, #8
  add x13, x15, x13
  subs xzr, x11, #4096
  csel x14, x15, x13, hi
  ldr w2, [x14]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load wide
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x12, #55
  movk x12, x12, #65534, LSL #16
  ldr x15, [x2, x12]
  sub x13, x15, #12
  subs xzr, x3, x13
  b.hi #trap=user2
  movn x14, #63
  movk x14, x14, #65534, LSL #16
  ldr x0, [x2, x14]
  add x15, x3, #8
  add x15, x0, x15
  subs xzr, x3, x13
  csel x0, x0, x15, hi
  ldr w2, [x0]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load far
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x15, #55
  movk x15, x15, #65534, LSL #16
  ldr x1, [x2, x15]
  subs xzr, x1, #1004
  cset x0, lo
  sub x1, x1, #1004
  subs xzr, x3, x1
  cset x1, hi
  orr w0, w0, w1
  ands wzr, w0, #255
  b.ne #trap=user2
  movn x1, #63
  movk x1, x1, #65534, LSL #16
  ldr x1, [x2, x1]
  add x2, x3, #1000
  add x2, x1, x2
  ands wzr, w0, #255
  csel x0, x1, x2, ne
  ldr w2, [x0]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; size
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x3, #87
  movk x3, x3, #65534, LSL #16
  ldr x2, [x2, x3]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i64) -> (i32)
;; wasmc.array_entry (i64) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
