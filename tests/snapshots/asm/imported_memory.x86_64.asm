;; load
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %r8
  movq -0x10038(%rdi), %rsi
  movq %r8, %rdi
  movl %edi, %edi
  movl (%rsi, %rdi), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; far
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10040(%rdi), %rax
  movq 8(%rax), %rax
  movl %esi, %ecx
  movl $0x80000001, %edx
  leaq (%rcx, %rdx), %rdx
  cmpq %rax, %rdx
  jnbe #trap=user2
  movq -0x10038(%rdi), %rsi
  movl $0x80000000, %edi
  leaq (%rcx, %rdi), %rcx
  leaq (%rsi, %rcx), %rcx
  cmpq %rax, %rdx
  cmovaq %rsi, %rcx
  movzbq (%rcx), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; size
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10040(%rdi), %rsi
  movq 8(%rsi), %rax
  jmp     label1
block1:
  shrq $0x10, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
