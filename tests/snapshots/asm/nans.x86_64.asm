;; scalar
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  mulsd %xmm1, %xmm0
  uninit  %xmm1
  xorpd %xmm1, %xmm1
  movsd %xmm0, %xmm1
  movdqa %xmm1, %xmm0
  cmpunordpd %xmm1, %xmm0
  movupd (%rip), %xmm2
  andpd %xmm0, %xmm2
  andnpd %xmm1, %xmm0
  orpd %xmm2, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; vector
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  addps %xmm1, %xmm0
  movdqa %xmm0, %xmm7
  cmpunordps %xmm0, %xmm7
  movdqa %xmm0, %xmm1
  movups (%rip), %xmm6
  movdqa %xmm7, %xmm0
  andps %xmm0, %xmm6
  andnps %xmm1, %xmm0
  orps %xmm6, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; bits
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  movabsq $0x8000000000000000, %r9
  movq %r9, %xmm2
  xorpd %xmm2, %xmm0
  movdqa %xmm0, %xmm3
  movabsq $0x8000000000000000, %rdi
  movq %rdi, %xmm2
  movdqa %xmm2, %xmm0
  andnpd %xmm3, %xmm0
  andpd %xmm1, %xmm2
  orpd %xmm2, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (f64, f64) -> (f64)
;; wasmc.array_entry (f64, f64) -> (f64)
;; wasmc.native_entry (v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128) -> (v128)
