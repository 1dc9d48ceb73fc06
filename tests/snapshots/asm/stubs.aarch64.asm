;; mixed
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #16
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
block0:
  movn x9, #143
  movk x9, x9, #65534, LSL #16
  ldr x12, [x2, x9]
  movn x9, #135
  movk x9, x9, #65534, LSL #16
  ldr x2, [x2, x9]
  blr x12
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32, f64) -> (i64)
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  stp x27, x28, [sp, #-16]!
  stp x25, x26, [sp, #-16]!
  stp x23, x24, [sp, #-16]!
  stp x21, x22, [sp, #-16]!
  stp x19, x20, [sp, #-16]!
  stp d14, d15, [sp, #-16]!
  stp d12, d13, [sp, #-16]!
  stp d10, d11, [sp, #-16]!
  stp d8, d9, [sp, #-16]!
block0:
  ldr x4, [x0]
  ldr x2, [x0, #8]
  movn x15, #39
  movk x15, x15, #65534, LSL #16
  ldr x3, [x2, x15]
  b label1
block1:
  mov x0, fp
  str x0, [x3]
  mov x0, sp
  str x0, [x3, #8]
  label_address x0, MachLabel(3)
  str x0, [x3, #16]
  mov x3, x1
  blr x4; b MachLabel(2); catch [default: MachLabel(3)]
block2:
  mov x0, x2
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
block3:
  movz x0, #0
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

;; wasmc.array_entry (i32, f64) -> (i64)
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  stp x27, x28, [sp, #-16]!
  stp x25, x26, [sp, #-16]!
  stp x23, x24, [sp, #-16]!
  stp x21, x22, [sp, #-16]!
  stp x19, x20, [sp, #-16]!
  stp d14, d15, [sp, #-16]!
  stp d12, d13, [sp, #-16]!
  stp d10, d11, [sp, #-16]!
  stp d8, d9, [sp, #-16]!
  sub sp, sp, #16
block0:
  ldr w3, [x1]
  ldr d0, [x1, #16]
  str x1, [sp]
  ldr x5, [x0]
  ldr x2, [x0, #8]
  movn x15, #39
  movk x15, x15, #65534, LSL #16
  ldr x4, [x2, x15]
  b label1
block1:
  mov x0, fp
  str x0, [x4]
  mov x0, sp
  str x0, [x4, #8]
  label_address x0, MachLabel(3)
  str x0, [x4, #16]
  blr x5; b MachLabel(2); catch [default: MachLabel(3)]
block2:
  ldr x1, [sp]
  str x2, [x1]
  add sp, sp, #16
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
block3:
  add sp, sp, #16
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

;; wasmc.native_host (i32, f64) -> (i64)
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x19, [sp, #-16]!
block0:
  ldr x0, [x2, #16]
  mov x12, fp
  ldr x13, [x12]
  str x13, [x0, #24]
  ldr x13, [x12, #8]
  str x13, [x0, #32]
  mov x19, x0
  ldr x14, [x2]
  mov x0, x2
  mov x1, x3
  blr x14
  mov x2, x0
  mov x0, x19
  ldr x14, [x0, #40]
  cbnz x14, label2 ; b label1
block1:
  ldr x19, [sp], #16
  ldp fp, lr, [sp], #16
  ret
block2:
  ldr x1, [x0, #48]
  ldr x1, [x1, #144]
  blr x1
  udf #0xc11f

;; wasmc.array_host (i32, f64) -> (i64)
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  str x19, [sp, #-16]!
  sub sp, sp, #32
block0:
  mov x1, sp
  str w3, [sp]
  str d0, [sp, #16]
  ldr x0, [x2, #16]
  mov x15, fp
  ldr x3, [x15]
  str x3, [x0, #24]
  ldr x3, [x15, #8]
  str x3, [x0, #32]
  mov x19, x0
  ldr x3, [x2]
  mov x0, x2
  blr x3
  mov x0, x19
  ldr x1, [x0, #40]
  cbnz x1, label2 ; b label1
block1:
  ldr x2, [sp]
  add sp, sp, #32
  ldr x19, [sp], #16
  ldp fp, lr, [sp], #16
  ret
block2:
  ldr x1, [x0, #48]
  ldr x1, [x1, #144]
  blr x1
  udf #0xc11f

