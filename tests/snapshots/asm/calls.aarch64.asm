;; add
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  add w2, w3, w4
  ldp fp, lr, [sp], #16
  ret

;; sub
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  sub w2, w3, w4
  ldp fp, lr, [sp], #16
  ret

;; direct
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movz w4, #7
  bl 0
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; import
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x7, #175
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  movn x7, #167
  movk x7, x7, #65534, LSL #16
  ldr x2, [x2, x7]
  movz w3, #1
  blr x10
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; through_fixed
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  subs wzr, w3, #4
  b.hs #trap=user5
  load_ext_name_near x0, User(userextname0)+0
  mov w1, w3
  and x1, x1, #3
  lsl x4, x1, #3
  add x3, x0, x1, LSL 3
  ldr w1, [x0, x4]
  cbz w1, label3 ; b label1
block1:
  b label2
block3:
  ldrsw x1, [x3, #4]
  add x0, x0, x1
  movz w3, #1
  movz w4, #2
  blr x0
  b label4
block4:
  ldp fp, lr, [sp], #16
  ret
block2:
  movn w0, #0
  subs wzr, w1, w0
  b.eq #trap=user6
  udf #0xc11f

;; through_open
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x0, #55
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  mov x1, x2
  mov w2, w3
  subs xzr, x2, x0
  b.hs #trap=user5
  movn x3, #63
  movk x3, x3, #65534, LSL #16
  ldr x3, [x1, x3]
  add x4, x3, x2, LSL 3
  subs xzr, x2, x0
  csel x0, x3, x4, hs
  ldr x3, [x0]
  and x0, x3, #18446744073709551614
  cbnz x3, label1 ; b label2
block1:
  b label3
block3:
  ldr x1, [x0, #16]
  movz x2, #65291
  movk x2, x2, #331, LSL #16
  movk x2, x2, #35630, LSL #32
  movk x2, x2, #43693, LSL #48
  subs xzr, x1, x2
  b.ne #trap=user7
  ldr x1, [x0]
  ldr x2, [x0, #8]
  movz w3, #1
  movz w4, #2
  blr x1
  b label4
block4:
  ldp fp, lr, [sp], #16
  ret
block2:
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x1, x0]
  ldr x4, [x0, #104]
  movn x3, #47
  movk x3, x3, #65534, LSL #16
  add x0, x1, x3
  movz w1, #1
  blr x4
  b label3

;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_host (i32, i32) -> (i32)
;; wasmc.array_host (i32, i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
