;; checked
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  testl %esi, %esi
  jl      label2; j label1
block1:
  imull $0x3, %esi, %eax
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq -0x10090(%rdi), %r9
  movq -0x10088(%rdi), %rdi
  call    *%r9
  jmp     label3
block3:
  movl $0xffffffff, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; unlikely if
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x20, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
  subq $0x10, %rsp
  movq %r12, (%rsp)
block0:
  testl %esi, %esi
  movq %rsi, %r12
  jz      label2; j label1
block1:
  jmp     label3
block3:
  jmp     label4
block4:
  movq %r12, %rsi
  leal 1(%rsi), %eax
  movq (%rsp), %r12
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq -0x10090(%rdi), %r9
  movq -0x10088(%rdi), %rdi
  movl $0x1, %esi
  call    *%r9
  jmp     label3

;; likely if
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  testl %esi, %esi
  jnz     label2; j label1
block2:
  leal 1(%rsi), %eax
  jmp     label3
block3:
  jmp     label4
block4:
  movq %rbp, %rsp
  popq %rbp
  retq
block1:
  movq -0x10090(%rdi), %r11
  movq -0x10088(%rdi), %rdi
  movl $0x1, %esi
  call    *%r11
  movl $0x5, %eax
  jmp     label3

;; loop
  pushq %rbp
  movq %rsp, %rbp
block0:
  uninit  %rax
  xorl %eax, %eax
  jmp     label1
block1:
  movq %rsi, %r8
  subl $0x1, %r8d
  leal (%rax, %rsi), %eax
  testl %r8d, %r8d
  jnz     label2; j label3
block2:
  movq %r8, %rsi
  jmp     label1
block3:
  jmp     label4
block4:
  jmp     label5
block5:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
