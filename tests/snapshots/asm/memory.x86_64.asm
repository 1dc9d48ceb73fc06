;; load
  pushq %rbp
  movq %rsp, %rbp
block0:
  movl %esi, %esi
  movl (%rdi, %rsi), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; load_offset
  pushq %rbp
  movq %rsp, %rbp
block0:
  movl %esi, %esi
  movq 0x64(%rdi, %rsi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; far
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10038(%rdi), %r11
  movl %esi, %eax
  movl $0x80000001, %ecx
  leaq (%rax, %rcx), %rcx
  cmpq %r11, %rcx
  jnbe #trap=user2
  movl $0x80000000, %edx
  leaq (%rax, %rdx), %rax
  leaq (%rdi, %rax), %rax
  cmpq %r11, %rcx
  cmovaq %rdi, %rax
  movzbq (%rax), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; store
  pushq %rbp
  movq %rsp, %rbp
block0:
  movl %esi, %esi
  movsd %xmm0, (%rdi, %rsi)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; sum
  pushq %rbp
  movq %rsp, %rbp
block0:
  uninit  %rax
  xorl %eax, %eax
  jmp     label1
block1:
  movl %esi, %ecx
  movl (%rdi, %rcx), %ecx
  subl $0x1, %edx
  leal (%rax, %rcx), %eax
  leal 4(%rsi), %esi
  testl %edx, %edx
  jnz     label2; j label3
block2:
  jmp     label1
block3:
  jmp     label4
block4:
  jmp     label5
block5:
  movq %rbp, %rsp
  popq %rbp
  retq

;; size
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10038(%rdi), %rax
  jmp     label1
block1:
  shrq $0x10, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; grow
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq %rsi, %rax
  movq -0x10020(%rdi), %r9
  movq (%r9), %r9
  leaq -0x10030(%rdi), %rdi
  uninit  %rsi
  xorl %esi, %esi
  movl %eax, %edx
  call    *%r9
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i32, f64) -> ()
;; wasmc.array_entry (i32, f64) -> ()
;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
