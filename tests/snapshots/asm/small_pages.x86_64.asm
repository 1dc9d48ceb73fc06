;; load
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10058(%rdi), %r8
  movl %esi, %r9d
  leaq 0xc(%r9), %r10
  cmpq %r8, %r10
  jnbe #trap=user2
  leaq 8(%rdi, %r9), %r9
  cmpq %r8, %r10
  cmovaq %rdi, %r9
  movl (%r9), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; load fixed
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %r8
  movq -0x10050(%rdi), %rsi
  movq %r8, %rdi
  movl %edi, %edi
  movl 8(%rsi, %rdi), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; load wide
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10038(%rdi), %r8
  subq $0xc, %r8
  cmpq %r8, %rsi
  jnbe #trap=user2
  movq -0x10040(%rdi), %r10
  leaq 8(%r10, %rsi), %r9
  cmpq %r8, %rsi
  cmovaq %r10, %r9
  movl (%r9), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; load far
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10038(%rdi), %r10
  cmpq $0x3ec, %r10
  setb %r9b
  subq $0x3ec, %r10
  cmpq %r10, %rsi
  seta %al
  orl %eax, %r9d
  testb %r9b, %r9b
  jnz #trap=user2
  movq -0x10040(%rdi), %rax
  leaq 0x3e8(%rax, %rsi), %rcx
  testb %r9b, %r9b
  cmovneq %rax, %rcx
  movl (%rcx), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; size
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10058(%rdi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i64) -> (i32)
;; wasmc.array_entry (i64) -> (i32)
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
