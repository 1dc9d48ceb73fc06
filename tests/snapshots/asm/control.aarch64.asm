;; switch
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  emit_island 44
  subs wzr, w3, #2
  mov x8, #2 ; csel x8, x3, x8, lo ; csdb ; adr x7, pc+16 ; ldrsw x8, [x7, x8, uxtw #2] ; add x7, x7, x8 ; br x7 ; jt_entries [MachLabel(2), MachLabel(1)] ; default label3
block1:
  movz w2, #20
  ldp fp, lr, [sp], #16
  ret
block2:
  movz w2, #10
  ldp fp, lr, [sp], #16
  ret
block3:
  b label4
block4:
  movz w2, #30
  ldp fp, lr, [sp], #16
  ret

;; swap
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  mov x2, x4
  ldp fp, lr, [sp], #16
  ret

;; divide
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  cbz w4, #trap=int_divz
  adds wzr, w4, #1
  ccmp w3, #1, #nzcv, eq
  b.vs #trap=int_ovf
  sdiv w2, w3, w4
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; truncate
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  fcmp s0, s0
  b.vs #trap=bad_toint
  movz w4, #52992, LSL #16
  fmov s6, w4
  fcmp s0, s6
  b.lt #trap=int_ovf
  movz w10, #20224, LSL #16
  fmov s16, w10
  fcmp s0, s16
  b.ge #trap=int_ovf
  fcvtzs w2, s0
  b label1
block1:
  ldp fp, lr, [sp], #16
  ret

;; never
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  movn x8, #31
  movk x8, x8, #65534, LSL #16
  ldr x11, [x2, x8]
  ldr x9, [x11, #152]
  movn x10, #47
  movk x10, x10, #65534, LSL #16
  add x0, x2, x10
  movz w1, #11
  blr x9
  udf #0xc11f

;; select
  stp fp, lr, [sp, #-16]!
  mov fp, sp
block0:
  b label1
block1:
  subs wzr, w5, wzr
  csel x2, x3, x4, ne
  ldp fp, lr, [sp], #16
  ret

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32, i64) -> (i64, i32)
;; wasmc.array_entry (i32, i64) -> (i64, i32)
;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry (f32) -> (i32)
;; wasmc.array_entry (f32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_entry (i64, i64, i32) -> (i64)
;; wasmc.array_entry (i64, i64, i32) -> (i64)
