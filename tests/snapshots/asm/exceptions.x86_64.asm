;; plain
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x20, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
  subq $0x10, %rsp
  movq %r12, (%rsp)
  movq %r13, 8(%rsp)
block0:
  movq -0x10090(%rdi), %r13
  movq -0x10088(%rdi), %r12
  movq %r12, %rdi
  call    *%r13
  movq %rax, %rsi
  movq %r12, %rdi
  call    *%r13
  jmp     label1
block1:
  movq (%rsp), %r12
  movq 8(%rsp), %r13
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

;; guarded
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x60, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
  subq $0x50, %rsp
  movq %rbx, 0x20(%rsp)
  movq %r12, 0x28(%rsp)
  movq %r13, 0x30(%rsp)
  movq %r14, 0x38(%rsp)
  movq %r15, 0x40(%rsp)
block0:
  movq -0x10090(%rdi), %r8
  movq %r8, <offset:1>+0x10(%rsp)
  movq -0x10088(%rdi), %rcx
  movq %rdi, <offset:1>+(%rsp)
  movq %rcx, <offset:1>+8(%rsp)
  movq <offset:1>+8(%rsp), %rdi
  call    *%r8; jmp MachLabel(1); catch [default: MachLabel(5)]
block1:
  movq %rax, %rsi
  movq <offset:1>+8(%rsp), %rdi
  movq <offset:1>+0x10(%rsp), %r8
  call    *%r8; jmp MachLabel(2); catch [default: MachLabel(4)]
block2:
  jmp     label3
block3:
  movq 0x20(%rsp), %rbx
  movq 0x28(%rsp), %r12
  movq 0x30(%rsp), %r13
  movq 0x38(%rsp), %r14
  movq 0x40(%rsp), %r15
  addq $0x50, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block9:
  movl 0x10(%rax, %rcx), %edx
  movq 0x18(%rax, %rcx), %rax
  jmp     label10
block10:
  jmp     label11
block11:
  movq %rdx, %rax
  movq 0x20(%rsp), %rbx
  movq 0x28(%rsp), %r12
  movq 0x30(%rsp), %r13
  movq 0x38(%rsp), %r14
  movq 0x40(%rsp), %r15
  addq $0x50, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block4:
  movq %rax, %rsi
  jmp     label6
block5:
  movq %rax, %rsi
  jmp     label6
block6:
  jmp     label7
block7:
  movq <offset:1>+(%rsp), %rdi
  movq -0x10010(%rdi), %rax
  movl %esi, %ecx
  movq 8(%rax, %rcx), %rdx
  leaq -0x100a0(%rdi), %r8
  cmpq %r8, %rdx
  jz      label9; j label8
block8:
  movq -0x10020(%rdi), %rax
  movq 0xa0(%rax), %rax
  leaq -0x10030(%rdi), %rdi
  call    *%rax
  ud2

;; throw
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x20, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
  subq $0x10, %rsp
  movq %rbx, (%rsp)
  movq %r12, 8(%rsp)
block0:
  movq %rsi, %r12
  movq -0x10028(%rdi), %rax
  movq 0x48(%rax), %rsi
  movq 0x50(%rax), %rcx
  leaq 0x20(%rsi), %rdx
  cmpq %rcx, %rdx
  jnbe    label2; j label1
block1:
  leaq 0x20(%rsi), %rcx
  movq %rcx, 0x48(%rax)
  movq %rdi, %rbx
  jmp     label3
block2:
  movq -0x10020(%rdi), %rax
  movq %rdi, %rbx
  movq 0x78(%rax), %rax
  movq %rbx, %rcx
  leaq -0x10030(%rcx), %rdi
  load_ext_name userextname0+0, %rsi
  movl $0x20, %edx
  call    *%rax
  testl %eax, %eax
  jz #trap=user19
  movl %eax, %esi
  jmp     label3
block3:
  load_ext_name userextname0+0, %rdx
  movq %rbx, %rdi
  movq -0x10010(%rdi), %rax
  movl %esi, %ecx
  movq %rdx, (%rax, %rcx)
  leaq -0x100a0(%rdi), %rdx
  movq %rdx, 8(%rax, %rcx)
  movq %r12, %rdx
  movl %edx, 0x10(%rax, %rcx)
  movq $0x7, 0x18(%rax, %rcx)
  movq -0x10020(%rdi), %rax
  movq 0xa0(%rax), %rax
  leaq -0x10030(%rdi), %rdi
  call    *%rax
  ud2

;; branch
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  jmp     label2
block2:
  movl %esi, %esi
  leaq 7(%rsi), %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_host (i32) -> (i32)
;; wasmc.array_host (i32) -> (i32)
