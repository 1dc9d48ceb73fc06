;; loop
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl %esi, %esi
  jz      label2; j label1
block1:
  subl $0x1, %esi
  leal 3(%rdx), %edx
  return_call_known User(userextname0) (0) tmp=%r11 %rdi=%rdi %rsi=%rsi %rdx=%rdx
block2:
  movq %rdx, %rax
  jmp     label3
block3:
  jmp     label4
block4:
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
  movq -0x100a0(%rdi), %r10
  movq -0x10098(%rdi), %rdi
  movl $0x1, %esi
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi

;; through
  pushq %rbp
  movq %rsp, %rbp
block0:
  cmpl $0x2, %esi
  jnb #trap=user5
  load_ext_name userextname0+0, %rax
  movl %esi, %ecx
  andq $0x1, %rcx
  movl (%rax, %rcx, 8), %edx
  testl %edx, %edx
  jz      label3; j label1
block1:
  jmp     label2
block3:
  movslq 4(%rax, %rcx, 8), %rcx
  leaq (%rax, %rcx), %r10
  movl $0x1, %esi
  movl $0x2, %edx
  return_call_unknown %r10 (0) tmp=%r11 %rdi=%rdi %rsi=%rsi %rdx=%rdx
block2:
  cmpl $0xffffffff, %edx
  jz #trap=user6
  ud2

;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_host (i32) -> ()
;; wasmc.array_host (i32) -> ()
