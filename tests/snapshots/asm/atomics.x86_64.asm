;; load
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x3, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %rdi
  movl %esi, %r8d
  movl 8(%rdi, %r8), %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; load8
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq %rsi, %r8
  movq -0x10038(%rdi), %rsi
  movl %r8d, %edi
  movzbq (%rsi, %rdi), %rsi
  jmp     label1
block1:
  movzbq %sil, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; store
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x7, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %r8
  movl %esi, %r9d
  xchgq %rdx, (%r8, %r9)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; add
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x3, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %r8
  movl %esi, %r9d
  movq %rdx, %rax
  lock xaddl %eax, (%r8, %r9)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; count
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x7, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %rdi
  movl %esi, %r8d
  movl $0x1, %r9d
  lock addq %r9, (%rdi, %r8)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; and
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x1, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %r10
  movl %esi, %r11d
  atomically { 16_bits_at_[%r9] And= %r10; %rax = old_value_at_[%r9]; %r11, %rflags = trash }
  jmp     label1
block1:
  movzwl %ax, %eax
  movq %rbp, %rsp
  popq %rbp
  retq

;; exchange
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x7, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %r8
  movl %esi, %r9d
  movq %rdx, %rax
  xchgq %rax, (%r8, %r9)
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; compare
  pushq %rbp
  movq %rsp, %rbp
block0:
  testl $0x3, %esi
  jnz #trap=user3
  movq -0x10038(%rdi), %r9
  movl %esi, %r10d
  movq %rdx, %rax
  lock cmpxchgl %ecx, (%r9, %r10) ;; implicit: %eax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; fence
  pushq %rbp
  movq %rsp, %rbp
block0:
  mfence
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; size
  pushq %rbp
  movq %rsp, %rbp
block0:
  movq -0x10040(%rdi), %rsi
  movq 8(%rsi), %rax
  jmp     label1
block1:
  shrq $0x10, %rax
  movq %rbp, %rsp
  popq %rbp
  retq

;; wait
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq %rdx, %r8
  testl $0x3, %esi
  jnz #trap=user3
  movq -0x10040(%rdi), %rax
  movl %esi, %edx
  leaq 4(%rdx), %rsi
  cmpq 8(%rax), %rsi
  jnbe #trap=user2
  movq -0x10020(%rdi), %rax
  movq 0x30(%rax), %rax
  leaq -0x10030(%rdi), %rdi
  uninit  %rsi
  xorl %esi, %esi
  movq %rcx, %r9
  movq %r8, %rcx
  movq %r9, %r8
  call    *%rax
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; notify
  pushq %rbp
  movq %rsp, %rbp
  movq -0x10018(%rdi), %r10
  addq $0x10, %r10
  cmpq %rsp, %r10
  jnbe #trap=stk_ovf
block0:
  movq %rdx, %r9
  testl $0x3, %esi
  jnz #trap=user3
  movq -0x10040(%rdi), %rcx
  movl %esi, %eax
  leaq 8(%rax), %rsi
  cmpq 8(%rcx), %rsi
  jnbe #trap=user2
  movq -0x10020(%rdi), %rcx
  movq 0x28(%rcx), %r8
  leaq -0x10030(%rdi), %rdi
  uninit  %rsi
  xorl %esi, %esi
  leaq 4(%rax), %rdx
  movq %r9, %rcx
  call    *%r8
  jmp     label1
block1:
  movq %rbp, %rsp
  popq %rbp
  retq

;; wasmc.native_entry (i32) -> (i32)
;; wasmc.array_entry (i32) -> (i32)
;; wasmc.native_entry (i32) -> (i64)
;; wasmc.array_entry (i32) -> (i64)
;; wasmc.native_entry (i32, i64) -> ()
;; wasmc.array_entry (i32, i64) -> ()
;; wasmc.native_entry (i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32) -> (i32)
;; wasmc.native_entry (i32) -> ()
;; wasmc.array_entry (i32) -> ()
;; wasmc.native_entry (i32, i64) -> (i64)
;; wasmc.array_entry (i32, i64) -> (i64)
;; wasmc.native_entry (i32, i32, i32) -> (i32)
;; wasmc.array_entry (i32, i32, i32) -> (i32)
;; wasmc.native_entry () -> ()
;; wasmc.array_entry () -> ()
;; wasmc.native_entry () -> (i32)
;; wasmc.array_entry () -> (i32)
;; wasmc.native_entry (i32, i32, i64) -> (i32)
;; wasmc.array_entry (i32, i32, i64) -> (i32)
