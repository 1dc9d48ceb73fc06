;; loop
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  cbz w3, label2 ; b label1
block1:
  sub w3, w3, #1
  add w4, w4, #3
  return_call User(userextname0) new_stack_arg_size:0 x2=x2 x3=x3 x4=x4
block2:
  mov x2, x4
  b label3
block3:
  b label4
block4:
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
  movn x7, #159
  movk x7, x7, #65534, LSL #16
  ldr x1, [x2, x7]
  movn x7, #151
  movk x7, x7, #65534, LSL #16
  ldr x2, [x2, x7]
  movz w3, #1
  return_call_ind x1 new_stack_arg_size:0 x2=x2 x3=x3

;; through
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  subs wzr, w3, #2
  b.hs #trap=user5
  load_ext_name_near x15, User(userextname0)+0
  mov w0, w3
  and x0, x0, #1
  lsl x3, x0, #3
  add x1, x15, x0, LSL 3
  ldr w0, [x15, x3]
  cbz w0, label3 ; b label1
block1:
  b label2
block3:
  ldrsw x0, [x1, #4]
  add x1, x15, x0
  movz w3, #1
  movz w4, #2
  return_call_ind x1 new_stack_arg_size:0 x2=x2 x3=x3 x4=x4
block2:
  movn w1, #0
  subs wzr, w0, w1
  b.eq #trap=user6
  udf #0xc11f

;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
