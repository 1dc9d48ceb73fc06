;; bump
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10050(%rdi), %rsi
  leaq 0x4d(%rsi), %r8
  movq %r8, -0x10050(%rdi)
  jmp     label1
block1:
  leaq 0x4d(%rsi), %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; imported
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10070(%rdi), %rsi
  movl (%rsi), %esi
  movq -0x10080(%rdi), %rdi
  movl %esi, (%rdi)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; rotate
  pushq %rbp
  movq %rsp, %rbp
block0:
  movdqu -0x10040(%rdi), %xmm2
  paddd %xmm2, %xmm2
  movdqu %xmm2, -0x10040(%rdi)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry () -> (i64)
;; wasmc.array_entry () -> (i64)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
