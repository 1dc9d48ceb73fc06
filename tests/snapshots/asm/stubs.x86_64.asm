;; mixed
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq -0x10090(%rdi), %r8
  movq -0x10088(%rdi), %rdi
  call    *%r8
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32, f64) -> (i64)
  pushq %rbp
  movq %rsp, %rbp
  subq $0x30, %rsp
  movq %rbx, (%rsp)
  movq %r12, 8(%rsp)
  movq %r13, 0x10(%rsp)
  movq %r14, 0x18(%rsp)
  movq %r15, 0x20(%rsp)
block0:
  movq (%rdi), %rax
  movq 8(%rdi), %rdi
  movq -0x10028(%rdi), %rcx
  jmp     label1
block1:
  movq    %rbp, %rdx
  movq %rdx, (%rcx)
  movq    %rsp, %rdx
  movq %rdx, 8(%rcx)
  label_address %rdx, MachLabel(3)
  movq %rdx, 0x10(%rcx)
  call    *%rax; jmp MachLabel(2); catch [default: MachLabel(3)]
block2:
  movq (%rsp), %rbx
  movq 8(%rsp), %r12
  movq 0x10(%rsp), %r13
  movq 0x18(%rsp), %r14
  movq 0x20(%rsp), %r15
  addq $0x30, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block3:
  uninit  %rax
  xorq %rax, %rax
  movq (%rsp), %rbx
  movq 8(%rsp), %r12
  movq 0x10(%rsp), %r13
  movq 0x18(%rsp), %r14
  movq 0x20(%rsp), %r15
  addq $0x30, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.array_entry (i32, f64) -> (i64)
  pushq %rbp
  movq %rsp, %rbp
  subq $0x40, %rsp
  movq %rbx, 0x10(%rsp)
  movq %r12, 0x18(%rsp)
  movq %r13, 0x20(%rsp)
  movq %r14, 0x28(%rsp)
  movq %r15, 0x30(%rsp)
block0:
  movl (%rsi), %edx
  movsd 0x10(%rsi), %xmm0
  movq %rsi, <offset:1>+(%rsp)
  movq (%rdi), %rax
  movq 8(%rdi), %rdi
  movq -0x10028(%rdi), %rcx
  jmp     label1
block1:
  movq    %rbp, %rsi
  movq %rsi, (%rcx)
  movq    %rsp, %rsi
  movq %rsi, 8(%rcx)
  label_address %rsi, MachLabel(3)
  movq %rsi, 0x10(%rcx)
  movq %rdx, %rsi
  call    *%rax; jmp MachLabel(2); catch [default: MachLabel(3)]
block2:
  movq <offset:1>+(%rsp), %rsi
  movq %rax, (%rsi)
  movq 0x10(%rsp), %rbx
  movq 0x18(%rsp), %r12
  movq 0x20(%rsp), %r13
  movq 0x28(%rsp), %r14
  movq 0x30(%rsp), %r15
  addq $0x40, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block3:
  movq 0x10(%rsp), %rbx
  movq 0x18(%rsp), %r12
  movq 0x20(%rsp), %r13
  movq 0x28(%rsp), %r14
  movq 0x30(%rsp), %r15
  addq $0x40, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_host (i32, f64) -> (i64)
  pushq %rbp
  movq %rsp, %rbp
  subq $0x10, %rsp
  movq %r13, (%rsp)
block0:
  movq 0x10(%rdi), %rax
  movq    %rbp, %rcx
  movq (%rcx), %rdx
  movq %rdx, 0x18(%rax)
  movq 8(%rcx), %rcx
  movq %rcx, 0x20(%rax)
  movq %rax, %r13
  movq (%rdi), %rax
  call    *%rax
  movq %r13, %rdi
  movq 0x28(%rdi), %rcx
  testq %rcx, %rcx
  jnz     label2; j label1
block1:
  movq (%rsp), %r13
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq 0x30(%rdi), %rax
  movq 0x90(%rax), %rax
  call    *%rax
  ud2

;; wasmc.array_host (i32, f64) -> (i64)
  pushq %rbp
  movq %rsp, %rbp
  subq $0x30, %rsp
  movq %r14, 0x20(%rsp)
block0:
  leaq <offset:1>+(%rsp), %rdx
  movl %esi, <offset:1>+(%rsp)
  movsd %xmm0, <offset:1>+0x10(%rsp)
  movq 0x10(%rdi), %rax
  movq    %rbp, %rcx
  movq (%rcx), %rsi
  movq %rsi, 0x18(%rax)
  movq 8(%rcx), %rcx
  movq %rcx, 0x20(%rax)
  movq %rax, %r14
  movq (%rdi), %rax
  movq %rdx, %rsi
  call    *%rax
  movq %r14, %rdi
  movq 0x28(%rdi), %rax
  testq %rax, %rax
  jnz     label2; j label1
block1:
  movq <offset:1>+(%rsp), %rax
  movq 0x20(%rsp), %r14
  addq $0x30, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq 0x30(%rdi), %rax
  movq 0x90(%rax), %rax
  call    *%rax
  ud2

