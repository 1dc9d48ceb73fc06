;; add
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  leal (%rsi, %rdx), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; sub
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  movq %rsi, %rax
  subl %edx, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; direct
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movl $0x7, %edx
  call    User(userextname0)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; import
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq -0x100b0(%rdi), %r8
  movq -0x100a8(%rdi), %rdi
  movl $0x1, %esi
  call    *%r8
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; through_fixed
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  cmpl $0x4, %esi
  jnb #trap=user5
  load_ext_name userextname0+0, %rax
  movl %esi, %ecx
  andq $0x3, %rcx
  movl (%rax, %rcx, 8), %edx
  testl %edx, %edx
  jz      label3; j label1
block1:
  jmp     label2
block3:
  movslq 4(%rax, %rcx, 8), %rcx
  leaq (%rax, %rcx), %rax
  movl $0x1, %esi
  movl $0x2, %edx
  call    *%rax
  jmp     label4
block4:
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  cmpl $0xffffffff, %edx
  jz #trap=user6
  ud2

;; through_open
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq -0x10038(%rdi), %rax
  movl %esi, %edx
  cmpq %rax, %rdx
  jnb #trap=user5
  movq -0x10040(%rdi), %rcx
  leaq (%rcx, %rdx, 8), %rsi
  cmpq %rax, %rdx
  cmovaeq %rcx, %rsi
  movq (%rsi), %rcx
  movq %rcx, %rax
  andq $0xfffffffffffffffe, %rax
  testq %rcx, %rcx
  jnz     label1; j label2
block1:
  jmp     label3
block3:
  movq 0x10(%rax), %rcx
  cmpq (%rip), %rcx
  jnz #trap=user7
  movq (%rax), %rcx
  movq 8(%rax), %rdi
  movl $0x1, %esi
  movl $0x2, %edx
  call    *%rcx
  jmp     label4
block4:
  movq %rbp, %rsp
  popq %rbp
  retq
block2:
  movq -0x10020(%rdi), %rax
  movq 0x68(%rax), %rax
  leaq -0x10030(%rdi), %rdi
  movl $0x1, %esi
  call    *%rax
  jmp     label3

;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_host (i32, i32) -> (i32)
;; wasmc.array_host (i32, i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
