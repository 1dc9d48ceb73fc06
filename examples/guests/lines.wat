;; Measures a file that it only knows by a reference: an `externref` can be
;; kept and passed on, but not looked into and not made up.
(module $lines
  (import "host" "next_line" (func $next_line (param externref) (result i32)))

  ;; The number of lines of a file and the length of the longest one.
  (func (export "measure") (param $file externref) (result i32 i32)
    (local $lines i32) (local $longest i32) (local $length i32)
    (block $end
      (loop $again
        ;; The length of the next line, or -1.
        (local.set $length (call $next_line (local.get $file)))
        (br_if $end (i32.lt_s (local.get $length) (i32.const 0)))
        (local.set $lines (i32.add (local.get $lines) (i32.const 1)))
        (local.set $longest
          (select (local.get $length) (local.get $longest)
            (i32.gt_s (local.get $length) (local.get $longest))))
        (br $again)))
    (local.get $lines)
    (local.get $longest)))
