;; leaf
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10028(%rdi), %rdi
  movq 0x40(%rdi), %rdi
  cmpq $0x3e4, %rdi
  jnbe #trap=stk_ovf
  jmp     label1
block1:
  leal (%rsi, %rdx), %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; fib
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
  movq -0x10028(%rdi), %rax
  movq 0x40(%rax), %rcx
  cmpq $0x3e4, %rcx
  jnbe #trap=stk_ovf
  leaq 4(%rcx), %rcx
  movq %rcx, 0x40(%rax)
  cmpl $0x2, %esi
  movq %rsi, %r12
  jb      label2; j label1
block1:
  movq %r12, %rax
  movq %rax, %rsi
  subl $0x1, %esi
  movq %rdi, %rbx
  call    User(userextname0)
  movq %r12, %rsi
  movq %rax, %r12
  subl $0x2, %esi
  movq %rbx, %rdi
  call    User(userextname0)
  movq %rax, %rdx
  movq %r12, %rsi
  movq %rbx, %rdi
  call    User(userextname1)
  movq %rax, %rsi
  jmp     label3
block2:
  movq %rdi, %rbx
  movq %r12, %rsi
  jmp     label3
block3:
  jmp     label4
block4:
  movq %rsi, %rax
  movq -0x10028(%rbx), %rcx
  addq $0xfffffffffffffffc, 0x40(%rcx)
  movq (%rsp), %rbx
  movq 8(%rsp), %r12
  addq $0x10, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

;; loop
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10028(%rdi), %r8
  movq 0x40(%r8), %r8
  cmpq $0x3e5, %r8
  jnbe #trap=stk_ovf
  testl %esi, %esi
  jnz     label4; j label1
block1:
  jmp     label2
block2:
  jmp     label3
block3:
  movq %rbp, %rsp
  popq %rbp
  retq
block4:
  subl $0x1, %esi
  return_call_known User(userextname0) (0) tmp=%r11 %rdi=%rdi %rsi=%rsi

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> ()
;; wasmc.array_entry (i32) -> ()
