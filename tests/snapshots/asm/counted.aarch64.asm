;; leaf
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x7, #39
  movk x7, x7, #65534, LSL #16
  ldr x10, [x2, x7]
  ldr x8, [x10, #64]
  subs xzr, x8, #996
  b.hi #trap=stk_ovf
  b label1
block1:
  add w2, w3, w4
  ldp fp, lr, [sp], #16
  ret

;; fib
  stp fp, lr, [sp, #-16]!
  mov fp, sp
  movn x16, #23 ; movk x16, x16, #65534, LSL #16 ; ldr x16, [x2, x16, SXTX]
  add x16, x16, #48
  subs xzr, sp, x16, UXTX
  b.lo #trap=stk_ovf
  str x25, [sp, #-16]!
  stp x19, x22, [sp, #-16]!
block0:
  movn x0, #39
  movk x0, x0, #65534, LSL #16
  ldr x0, [x2, x0]
  ldr x1, [x0, #64]
  subs xzr, x1, #996
  b.hi #trap=stk_ovf
  add x1, x1, #4
  str x1, [x0, #64]
  subs wzr, w3, #2
  mov x22, x3
  b.lo label2 ; b label1
block1:
  mov x0, x22
  sub w3, w0, #1
  mov x19, x2
  bl 0
  mov x3, x22
  mov x25, x2
  sub w3, w3, #2
  mov x2, x19
  bl 0
  mov x3, x25
  mov x4, x2
  mov x2, x19
  bl 0
  mov x3, x2
  b label3
block2:
  mov x3, x22
  mov x19, x2
  b label3
block3:
  b label4
block4:
  mov x2, x3
  movn x0, #39
  movk x0, x0, #65534, LSL #16
  ldr x0, [x19, x0]
  ldr x1, [x0, #64]
  sub x1, x1, #4
  str x1, [x0, #64]
  ldp x19, x22, [sp], #16
  ldr x25, [sp], #16
  ldp fp, lr, [sp], #16
  ret

;; loop
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x6, #39
  movk x6, x6, #65534, LSL #16
  ldr x9, [x2, x6]
  ldr x7, [x9, #64]
  subs xzr, x7, #997
  b.hi #trap=stk_ovf
  cbnz w3, label4 ; b label1
block1:
  b label2
block2:
  b label3
block3:
  ldp fp, lr, [sp], #16
  ret
block4:
  sub w3, w3, #1
  return_call User(userextname0) new_stack_arg_size:0 x2=x2 x3=x3

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> ()
;; wasmc.array_entry (i32) -> ()
