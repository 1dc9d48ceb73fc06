;; checked
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  subs wzr, w3, #0
  b.lt label2 ; b label1
block1:
  movz w13, #3
  madd w2, w3, w13, wzr
  ldp fp, lr, [sp], #16
  ret
block2:
  movn x13, #143
  movk x13, x13, #65534, LSL #16
  ldr x0, [x2, x13]
  movn x13, #135
  movk x13, x13, #65534, LSL #16
  ldr x2, [x2, x13]
  blr x0
  b label3
block3:
  movn w2, #0
  ldp fp, lr, [sp], #16
  ret

;; unlikely if
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #32
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
  str x19, [sp, #-16]!
block0:
  cbz w3, label2 ; b label1
block1:
  mov x19, x3
  b label3
block3:
  b label4
block4:
  mov x3, x19
  add w2, w3, #1
  ldr x19, [sp], #16
  ldp fp, lr, [sp], #16
  ret
block2:
  mov x19, x3
  movn x11, #143
  movk x11, x11, #65534, LSL #16
  ldr x14, [x2, x11]
  movn x11, #135
  movk x11, x11, #65534, LSL #16
  ldr x2, [x2, x11]
  movz w3, #1
  blr x14
  b label3

;; likely if
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  cbnz w3, label2 ; b label1
block2:
  add w2, w3, #1
  b label3
block3:
  b label4
block4:
  ldp fp, lr, [sp], #16
  ret
block1:
  movn x13, #143
  movk x13, x13, #65534, LSL #16
  ldr x0, [x2, x13]
  movn x13, #135
  movk x13, x13, #65534, LSL #16
  ldr x2, [x2, x13]
  movz w3, #1
  blr x0
  movz w2, #5
  b label3

;; loop
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movz w2, #0
  b label1
block1:
  sub w7, w3, #1
  add w2, w2, w3
  cbnz w7, label2 ; b label3
block2:
  mov x3, x7
  b label1
block3:
  b label4
block4:
  b label5
block5:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
