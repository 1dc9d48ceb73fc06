;; load
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  and w9, w3, #3
  cbnz w9, #trap=user3
  movn x9, #55
  movk x9, x9, #65534, LSL #16
  ldr x12, [x2, x9]
  add x10, x12, x3, UXTW
  add x10, x10, #8
  ldar w2, [x10]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; load8
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x7, #55
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  add x8, x10, x3, UXTW
  ldarb w8, [x8]
  b label1
block1:
  uxtb w2, w8
  ldp fp, lr, [sp], #16
  ret

;; store
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  and w8, w3, #7
  cbnz w8, #trap=user3
  movn x8, #55
  movk x8, x8, #65534, LSL #16
  ldr x11, [x2, x8]
  add x9, x11, x3, UXTW
  stlr x4, [x9]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; add
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x28, [sp, #-16]!
  stp x26, x27, [sp, #-16]!
  stp x24, x25, [sp, #-16]!
block0:
  and w11, w3, #3
  cbnz w11, #trap=user3
  movn x11, #55
  movk x11, x11, #65534, LSL #16
  ldr x14, [x2, x11]
  add x25, x14, x3, UXTW
  mov x26, x4
  atomic_rmw_loop_add_32 addr=x25 operand=x26 oldval=x27 scratch1=x24 scratch2=x28
  b label1
block1:
  mov x2, x27
  ldp x24, x25, [sp], #16
  ldp x26, x27, [sp], #16
  ldr x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; count
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x28, [sp, #-16]!
  stp x26, x27, [sp, #-16]!
  stp x24, x25, [sp, #-16]!
block0:
  and w11, w3, #7
  cbnz w11, #trap=user3
  movn x11, #55
  movk x11, x11, #65534, LSL #16
  ldr x14, [x2, x11]
  add x25, x14, x3, UXTW
  movz x26, #1
  atomic_rmw_loop_add_64 addr=x25 operand=x26 oldval=x27 scratch1=x24 scratch2=x28
  b label1
block1:
  ldp x24, x25, [sp], #16
  ldp x26, x27, [sp], #16
  ldr x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; and
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x28, [sp, #-16]!
  stp x26, x27, [sp, #-16]!
  stp x24, x25, [sp, #-16]!
block0:
  and w12, w3, #1
  cbnz w12, #trap=user3
  movn x12, #55
  movk x12, x12, #65534, LSL #16
  ldr x15, [x2, x12]
  add x25, x15, x3, UXTW
  mov x26, x4
  atomic_rmw_loop_and_16 addr=x25 operand=x26 oldval=x27 scratch1=x24 scratch2=x28
  b label1
block1:
  uxth w2, w27
  ldp x24, x25, [sp], #16
  ldp x26, x27, [sp], #16
  ldr x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; exchange
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  stp x26, x27, [sp, #-16]!
  stp x24, x25, [sp, #-16]!
block0:
  and w10, w3, #7
  cbnz w10, #trap=user3
  movn x10, #55
  movk x10, x10, #65534, LSL #16
  ldr x13, [x2, x10]
  add x25, x13, x3, UXTW
  mov x26, x4
  atomic_rmw_loop_xchg_64 addr=x25 operand=x26 oldval=x27 scratch1=x24 scratch2=%v203
  b label1
block1:
  mov x2, x27
  ldp x24, x25, [sp], #16
  ldp x26, x27, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; compare
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x28, [sp, #-16]!
  stp x26, x27, [sp, #-16]!
  stp x24, x25, [sp, #-16]!
block0:
  and w11, w3, #3
  cbnz w11, #trap=user3
  movn x11, #55
  movk x11, x11, #65534, LSL #16
  ldr x14, [x2, x11]
  add x25, x14, x3, UXTW
  mov x26, x4
  mov x28, x5
  atomic_cas_loop_32 addr=x25, expect=x26, replacement=x28, oldval=x27, scratch=x24
  b label1
block1:
  mov x2, x27
  ldp x24, x25, [sp], #16
  ldp x26, x27, [sp], #16
  ldr x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; fence
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  dmb ish
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; size
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x6, #63
  movk x6, x6, #65534, LSL #16
  ldr x9, [x2, x6]
  add x7, x9, #8
  ldar x7, [x7]
  b label1
block1:
  lsr x2, x7, #16
  ldp fp, lr, [sp], #16
  ret

;; wait
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  and w0, w3, #3
  cbnz w0, #trap=user3
  movn x0, #63
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  mov x6, x2
  ldr x0, [x0, #8]
  mov w2, w3
  add x1, x2, #4
  subs xzr, x1, x0
  b.hi #trap=user2
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  mov x1, x6
  ldr x0, [x1, x0]
  ldr x6, [x0, #48]
  movn x3, #47
  movk x3, x3, #65534, LSL #16
  add x0, x1, x3
  movz w1, #0
  mov x3, x4
  mov x4, x5
  blr x6
  b label1
block1:
  mov x2, x0
  ldp fp, lr, [sp], #16
  ret

;; notify
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  and w0, w3, #3
  cbnz w0, #trap=user3
  movn x0, #63
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x1, [x0, #8]
  mov w3, w3
  add x0, x3, #8
  subs xzr, x0, x1
  b.hi #trap=user2
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x5, [x0, #40]
  movn x0, #47
  movk x0, x0, #65534, LSL #16
  add x0, x2, x0
  movz w1, #0
  add x2, x3, #4
  mov x3, x4
  blr x5
  b label1
block1:
  mov x2, x0
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i32, i64) -> ()
;; wasmc.array_entry (i32, i64) -> ()
;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry (i32) -> ()
;; wasmc.array_entry (i32) -> ()
;; wasmc.native_entry (i32, i64) -> (i64)
;; wasmc.array_entry (i32, i64) -> (i64)
;; wasmc.native_entry (i32, i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32, i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
;; wasmc.native_entry (i32, i32, i64) -> (i32)
;; wasmc.array_entry (i32, i32, i64) -> (i32)
