;; switch
  pushq %rbp
  movq %rsp, %rbp
block0:
  movl $0x2, %edi
  movl %esi, %r8d
  cmpl %edi, %r8d
  cmovbl %r8d, %edi
  br_table %rdi, %rcx, %rax
block1:
  movl $0x14, %eax
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movl $0xa, %eax
  movq %rbp, %rsp
  popq %rbp
  retq
block3:
  jmp     label4
block4:
  movl $0x1e, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; swap
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  movq %rdx, %rax
  movq %rsi, %rcx
  movq %rbp, %rsp
  popq %rbp
  retq

;; divide
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  movq %rdx, %r11
  cltd  ;; implicit: %edx, %eax
  testl %r11d, %r11d
  jz #trap=int_divz
  idivl %r11d ;; implicit: %eax, %edx, trap=252
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; truncate
  pushq %rbp
  movq %rsp, %rbp
block0:
  cvt_float32_to_sint32_seq %xmm0, %eax, %rsi, %xmm3
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; never
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10020(%rdi), %rsi
  movq 0x98(%rsi), %r8
  leaq -0x10030(%rdi), %rdi
  movl $0xb, %esi
  call    *%r8
  ud2

;; select
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  testl %ecx, %ecx
  movq %rdx, %rax
  cmovneq %rsi, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

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
