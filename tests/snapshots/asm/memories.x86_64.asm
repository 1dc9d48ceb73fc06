;; load_first
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

;; load_second
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %r8
  movq -0x10040(%rdi), %rsi
  movq %r8, %rdi
  movl %edi, %edi
  movl (%rsi, %rdi), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; across
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movl %esi, %esi
  movq %rsi, %r9
  movl %ecx, %ecx
  movq %r9, %rax
  leaq (%rax, %rcx), %rsi
  cmpq -0x10038(%rdi), %rsi
  jnbe #trap=user2
  movl %edx, %eax
  leaq (%rax, %rcx), %rdx
  cmpq -0x10048(%rdi), %rdx
  jnbe #trap=user2
  movq -0x10020(%rdi), %rdx
  movq %rdi, %rsi
  movq 8(%rdx), %r8
  movq %r9, %rdi
  addq -0x10040(%rsi), %rdi
  leaq (%rsi, %rax), %rsi
  movq %rcx, %rdx
  call    *%r8
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32, i32, i32) -> ()
;; wasmc.array_entry (i32, i32, i32) -> ()
