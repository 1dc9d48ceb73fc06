;; The guest of the strategies' figures: about what a small service compiled
;; from Rust or C looks like to an allocator of instances. The bench replaces
;; SEGMENT by 48 KiB of initialised data, which text cannot say briefly.
(module
  (memory (export "memory") 18)
  (data (i32.const 1024) "SEGMENT")
  (global $stack (mut i32) (i32.const 65536))
  (global $served (mut i64) (i64.const 0))
  (global $seed (mut f64) (f64.const 0.5))
  (table $handlers 32 funcref)
  (elem $handlers (i32.const 1) $call_empty_function $dirty_1mb_of_memory)

  (func $call_empty_function (export "call_empty_function"))

  ;; Writes a byte into each of the 256 pages (of 4 KiB) of the second to the
  ;; seventeenth page of WebAssembly.
  (func $dirty_1mb_of_memory (export "dirty_1mb_of_memory")
    (local $address i32)
    (local.set $address (i32.const 0x10000))
    (loop $again
      (i32.store8 (local.get $address) (i32.const 1))
      (local.set $address (i32.add (local.get $address) (i32.const 4096)))
      (br_if $again (i32.lt_u (local.get $address) (i32.const 0x110000))))
    (global.set $served (i64.add (global.get $served) (i64.const 1)))))
