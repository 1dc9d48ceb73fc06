;; bump
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x7, #79
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  add x8, x10, #77
  movn x9, #79
  movk x9, x9, #65534, LSL #16
  str x8, [x2, x9]
  b label1
block1:
  add x2, x10, #77
  ldp fp, lr, [sp], #16
  ret

;; imported
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x7, #111
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  ldr w8, [x10]
  movn x7, #127
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  str w8, [x10]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; rotate
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x6, #63
  movk x6, x6, #65534, LSL #16
  ldr q16, [x2, x6]
  add v7.4s, v16.4s, v16.4s
  movn x7, #63
  movk x7, x7, #65534, LSL #16
  str q7, [x2, x7]
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry () -> (i64)
;; wasmc.array_entry () -> (i64)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
