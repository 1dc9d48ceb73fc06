;; add
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  addq %rcx, %rax
  movq %rdx, %rcx
  adcq %r8, %rcx
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; sub
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  subq %rcx, %rax
  movq %rdx, %rcx
  sbbq %r8, %rcx
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; mul_u
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  mulq %rdx ;; implicit: %rax, %rdx
  jmp     label1
block1:
  movq %rdx, %rcx
  movq %rbp, %rsp
  popq %rbp
  retq

;; mul_s
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %rax
  imulq %rdx ;; implicit: %rax, %rdx
  jmp     label1
block1:
  movq %rdx, %rcx
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i64, i64, i64, i64) -> (i64, i64)
;; wasmc.array_entry (i64, i64, i64, i64) -> (i64, i64)
;; wasmc.native_entry (i64, i64) -> (i64, i64)
;; wasmc.array_entry (i64, i64) -> (i64, i64)
