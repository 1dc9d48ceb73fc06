;; add
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  paddd %xmm1, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; swizzle
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  paddusb (%rip), %xmm1
  call    LibCall(X86Pshufb)
  movq %rbp, %rsp
  popq %rbp
  retq

;; relaxed
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  mulps %xmm1, %xmm0
  addps %xmm2, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; lanes
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  pshufd $0xee, %xmm0, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; truncate
  pushq %rbp
  movq %rsp, %rbp
block0:
  jmp     label1
block1:
  uninit  %xmm7
  xorps %xmm7, %xmm7
  maxps %xmm7, %xmm0
  pcmpeqd %xmm7, %xmm7
  psrld $0x1, %xmm7
  cvtdq2ps %xmm7, %xmm2
  cvttps2dq %xmm0, %xmm1
  subps %xmm2, %xmm0
  cmpleps %xmm0, %xmm2
  cvttps2dq %xmm0, %xmm3
  pxor %xmm2, %xmm3
  uninit  %xmm2
  pxor %xmm2, %xmm2
  movdqa %xmm3, %xmm4
  pcmpgtd %xmm2, %xmm4
  movdqa %xmm4, %xmm0
  pand %xmm3, %xmm0
  pandn %xmm2, %xmm4
  por %xmm4, %xmm0
  paddd %xmm1, %xmm0
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128) -> (v128)
;; wasmc.native_entry (v128, v128, v128) -> (v128)
;; wasmc.array_entry (v128, v128, v128) -> (v128)
;; wasmc.native_entry (v128) -> (f64)
;; wasmc.array_entry (v128) -> (f64)
;; wasmc.native_entry (v128) -> (v128)
;; wasmc.array_entry (v128) -> (v128)
;; support.shuffle_bytes
  pushq %rbp
  movq %rsp, %rbp
  subq $0x70, %rsp
  movq %rbx, 0x40(%rsp)
  movq %r12, 0x48(%rsp)
  movq %r13, 0x50(%rsp)
  movq %r14, 0x58(%rsp)
  movq %r15, 0x60(%rsp)
block0:
  leaq <offset:1>+(%rsp), %r9
  movdqu %xmm0, <offset:1>+(%rsp)
  movdqu (%rip), %xmm0
  movdqa %xmm1, %xmm2
  pand %xmm0, %xmm2
  movdqu %xmm2, <offset:1>+0x10(%rsp)
  movzbq <offset:1>+0x10(%rsp), %r11
  movzbq (%r9, %r11), %rax
  movzbq <offset:1>+0x11(%rsp), %r11
  movzbq (%r9, %r11), %rsi
  movq %rsi, <offset:1>+0x30(%rsp)
  movzbq <offset:1>+0x12(%rsp), %r11
  movzbq (%r9, %r11), %rdi
  movq %rdi, <offset:1>+0x28(%rsp)
  movzbq <offset:1>+0x13(%rsp), %r11
  movzbq (%r9, %r11), %r8
  movq %r8, <offset:1>+0x20(%rsp)
  movzbq <offset:1>+0x14(%rsp), %r11
  movzbq (%r9, %r11), %r8
  movzbq <offset:1>+0x15(%rsp), %r11
  movzbq (%r9, %r11), %r10
  movzbq <offset:1>+0x16(%rsp), %r11
  movzbq (%r9, %r11), %r11
  movzbq <offset:1>+0x17(%rsp), %rcx
  movzbq (%r9, %rcx), %rbx
  movzbq <offset:1>+0x18(%rsp), %rcx
  movzbq (%r9, %rcx), %rcx
  movzbq <offset:1>+0x19(%rsp), %rdx
  movzbq (%r9, %rdx), %r12
  movzbq <offset:1>+0x1a(%rsp), %rdx
  movzbq (%r9, %rdx), %r13
  movzbq <offset:1>+0x1b(%rsp), %rdx
  movzbq (%r9, %rdx), %r14
  movzbq <offset:1>+0x1c(%rsp), %rdx
  movzbq (%r9, %rdx), %r15
  movzbq <offset:1>+0x1d(%rsp), %rdx
  movzbq (%r9, %rdx), %rdx
  movzbq <offset:1>+0x1e(%rsp), %rsi
  movzbq (%r9, %rsi), %rsi
  movzbq <offset:1>+0x1f(%rsp), %rdi
  movzbq (%r9, %rdi), %r9
  movq <offset:1>+0x30(%rsp), %rdi
  shlq $0x8, %rdi
  orq %rdi, %rax
  movq <offset:1>+0x28(%rsp), %rdi
  shlq $0x10, %rdi
  orq %rdi, %rax
  movq <offset:1>+0x20(%rsp), %rdi
  shlq $0x18, %rdi
  orq %rdi, %rax
  shlq $0x20, %r8
  orq %r8, %rax
  shlq $0x28, %r10
  orq %r10, %rax
  shlq $0x30, %r11
  orq %r11, %rax
  shlq $0x38, %rbx
  orq %rbx, %rax
  movq %rax, %xmm2
  shlq $0x8, %r12
  orq %r12, %rcx
  shlq $0x10, %r13
  orq %r13, %rcx
  shlq $0x18, %r14
  orq %r14, %rcx
  shlq $0x20, %r15
  orq %r15, %rcx
  shlq $0x28, %rdx
  orq %rdx, %rcx
  shlq $0x30, %rsi
  orq %rsi, %rcx
  shlq $0x38, %r9
  orq %r9, %rcx
  movq %rcx, %xmm0
  punpcklqdq %xmm0, %xmm2
  uninit  %xmm0
  pxor %xmm0, %xmm0
  pcmpgtb %xmm1, %xmm0
  pandn %xmm2, %xmm0
  movq 0x40(%rsp), %rbx
  movq 0x48(%rsp), %r12
  movq 0x50(%rsp), %r13
  movq 0x58(%rsp), %r14
  movq 0x60(%rsp), %r15
  addq $0x70, %rsp
  movq %rbp, %rsp
  popq %rbp
  retq

