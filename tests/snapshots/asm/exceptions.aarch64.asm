;; plain
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #32
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
  stp x19, x20, [sp, #-16]!
block0:
  movn x9, #143
  movk x9, x9, #65534, LSL #16
  ldr x19, [x2, x9]
  movn x9, #135
  movk x9, x9, #65534, LSL #16
  ldr x20, [x2, x9]
  mov x2, x20
  blr x19
  mov x3, x2
  mov x2, x20
  blr x19
  b label1
block1:
  ldp x19, x20, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; guarded
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #192
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
  stp x27, x28, [sp, #-16]!
  stp x25, x26, [sp, #-16]!
  stp x23, x24, [sp, #-16]!
  stp x21, x22, [sp, #-16]!
  stp x19, x20, [sp, #-16]!
  stp d14, d15, [sp, #-16]!
  stp d12, d13, [sp, #-16]!
  stp d10, d11, [sp, #-16]!
  stp d8, d9, [sp, #-16]!
  sub sp, sp, #32
block0:
  movn x0, #143
  movk x0, x0, #65534, LSL #16
  ldr x4, [x2, x0]
  str x4, [sp, #16]
  movn x1, #135
  movk x1, x1, #65534, LSL #16
  ldr x4, [x2, x1]
  str x4, [sp, #8]
  str x2, [sp]
  ldr x4, [sp, #16]
  ldr x2, [sp, #8]
  blr x4; b MachLabel(1); catch [default: MachLabel(5)]
block1:
  ldr x4, [sp, #16]
  mov x3, x2
  ldr x2, [sp, #8]
  blr x4; b MachLabel(2); catch [default: MachLabel(4)]
block2:
  b label3
block3:
  add sp, sp, #32
  ldp d8, d9, [sp], #16
  ldp d10, d11, [sp], #16
  ldp d12, d13, [sp], #16
  ldp d14, d15, [sp], #16
  ldp x19, x20, [sp], #16
  ldp x21, x22, [sp], #16
  ldp x23, x24, [sp], #16
  ldp x25, x26, [sp], #16
  ldp x27, x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret
block9:
  ldr w2, [x0, #16]
  ldr x0, [x0, #24]
  b label10
block10:
  b label11
block11:
  add sp, sp, #32
  ldp d8, d9, [sp], #16
  ldp d10, d11, [sp], #16
  ldp d12, d13, [sp], #16
  ldp d14, d15, [sp], #16
  ldp x19, x20, [sp], #16
  ldp x21, x22, [sp], #16
  ldp x23, x24, [sp], #16
  ldp x25, x26, [sp], #16
  ldp x27, x28, [sp], #16
  ldp fp, lr, [sp], #16
  ret
block4:
  mov x1, x0
  b label6
block5:
  mov x1, x0
  b label6
block6:
  b label7
block7:
  movn x0, #15
  movk x0, x0, #65534, LSL #16
  ldr x2, [sp]
  ldr x0, [x2, x0]
  add x0, x0, x1, UXTW
  ldr x3, [x0, #8]
  movn x4, #159
  movk x4, x4, #65534, LSL #16
  add x4, x2, x4
  subs xzr, x3, x4
  b.eq label9 ; b label8
block8:
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x4, [x0, #160]
  movn x3, #47
  movk x3, x3, #65534, LSL #16
  add x0, x2, x3
  blr x4
  udf #0xc11f

;; throw
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #32
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
  stp x19, x20, [sp, #-16]!
block0:
  mov x20, x3
  movn x0, #39
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x1, [x0, #72]
  ldr x3, [x0, #80]
  add x4, x1, #32
  subs xzr, x4, x3
  b.hi label2 ; b label1
block1:
  add x3, x1, #32
  str x3, [x0, #72]
  mov x19, x2
  b label3
block2:
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x3, [x0, #120]
  movn x0, #47
  movk x0, x0, #65534, LSL #16
  add x0, x2, x0
  mov x19, x2
  load_ext_name_near x1, User(userextname0)+0
  movz x2, #32
  blr x3
  cbz w0, #trap=user19
  mov w1, w0
  b label3
block3:
  load_ext_name_near x3, User(userextname0)+0
  movn x0, #15
  movk x0, x0, #65534, LSL #16
  mov x2, x19
  ldr x4, [x2, x0]
  add x0, x4, x1, UXTW
  str x3, [x4, w1, UXTW]
  movn x3, #159
  movk x3, x3, #65534, LSL #16
  add x3, x2, x3
  str x3, [x0, #8]
  mov x3, x20
  str w3, [x0, #16]
  movz x3, #7
  str x3, [x0, #24]
  movn x0, #31
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x4, [x0, #160]
  movn x3, #47
  movk x3, x3, #65534, LSL #16
  add x0, x2, x3
  blr x4
  udf #0xc11f

;; branch
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  b label2
block2:
  mov w5, w3
  add x2, x5, #7
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_host (i32) -> (i32)
;; wasmc.array_host (i32) -> (i32)
