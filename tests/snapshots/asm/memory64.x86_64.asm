;; load
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10048(%rdi), %r8
  cmpq %rsi, %r8
  cmovbq %r8, %rsi
  movq 8(%rdi, %rsi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; fields
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10048(%rdi), %r8
  cmpq %rsi, %r8
  cmovbq %r8, %rsi
  movq 8(%rdi, %rsi), %r8
  movq 0x10(%rdi, %rsi), %r9
  jmp     label1
block1:
  leaq (%r8, %r9), %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; extended
  pushq %rbp
  movq %rsp, %rbp
block0:
  movl %esi, %esi
  movq 8(%rdi, %rsi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; masked
  pushq %rbp
  movq %rsp, %rbp
block0:
  andq $0xffff, %rsi
  movzbq (%rdi, %rsi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; element
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  mulq (%rip) ;; implicit: %rax, %rdx
  movq %rsi, %r9
  subq %rdx, %r9
  shrq $1, %r9
  leaq (%rdx, %r9), %r9
  shrq $0x9, %r9
  imulq $0x3e8, %r9, %r10
  subq %r10, %rsi
  movq 0x1000(%rdi, %rsi, 8), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; known
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10040(%rdi), %rdi
  movl $0x100000, %r8d
  cmpq %rsi, %r8
  cmovbq %r8, %rsi
  movq 8(%rdi, %rsi), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; far
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10048(%rdi), %r11
  cmpq (%rip), %r11
  setb %r10b
  subq (%rip), %r11
  cmpq %r11, %rsi
  seta %al
  orl %eax, %r10d
  testb %r10b, %r10b
  jnz #trap=user2
  movabsq $0x100000000, %rax
  leaq (%rsi, %rax), %rax
  leaq (%rdi, %rax), %rax
  testb %r10b, %r10b
  cmovneq %rdi, %rax
  movq (%rax), %rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; store
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10048(%rdi), %r8
  cmpq %rsi, %r8
  cmovbq %r8, %rsi
  movq %rdx, (%rdi, %rsi)
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
  xorq %rax, %rax
  jmp     label1
block1:
  movq -0x10048(%rdi), %rcx
  cmpq %rsi, %rcx
  movq %rsi, %r8
  cmovbq %rcx, %r8
  movq (%rdi, %r8), %rcx
  leaq 8(%rsi), %rsi
  leaq (%rax, %rcx), %rax
  cmpq %rdx, %rsi
  jb      label2; j label3
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

;; copy
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq -0x10048(%rdi), %rax
  cmpq %rax, %rcx
  seta %r11b
  subq %rcx, %rax
  cmpq %rax, %rsi
  seta %r8b
  movq %r11, %r9
  orl %r8d, %r9d
  testb %r9b, %r9b
  jnz #trap=user2
  cmpq %rax, %rdx
  seta %al
  orl %eax, %r11d
  testb %r11b, %r11b
  jnz #trap=user2
  movq -0x10020(%rdi), %rax
  movq 8(%rax), %rax
  movq %rdi, %r8
  leaq (%r8, %rsi), %rdi
  movq %r8, %rsi
  leaq (%rsi, %rdx), %rsi
  movq %rcx, %rdx
  call    *%rax
  jmp     label1
block1:
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
  movq %rsi, %rdx
  movq -0x10020(%rdi), %r8
  movq (%r8), %r8
  leaq -0x10030(%rdi), %rdi
  uninit  %rsi
  xorl %esi, %esi
  call    *%r8
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i64) -> (i64)
;; wasmc.array_entry (i64) -> (i64)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i64) -> (i32)
;; wasmc.array_entry (i64) -> (i32)
;; wasmc.native_entry (i64, i64) -> ()
;; wasmc.array_entry (i64, i64) -> ()
;; wasmc.native_entry (i64, i64) -> (i64)
;; wasmc.array_entry (i64, i64) -> (i64)
;; wasmc.native_entry (i64, i64, i64) -> ()
;; wasmc.array_entry (i64, i64, i64) -> ()
