;; Lists in several frames while the collector runs.
(module
  (import "host" "collect" (func $collect))
  (type $list (struct (field i32) (field (ref null $list))))
  (type $row (array (mut (ref null $list))))
  (func $list (param $n i32) (result (ref null $list)) (local $list (ref null $list))
    (loop $again
      (if (local.get $n) (then
        (local.set $list (struct.new $list (local.get $n) (local.get $list)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again))))
    (local.get $list))
  (func $sum (param $list (ref null $list)) (result i32) (local $sum i32)
    (loop $again
      (if (i32.eqz (ref.is_null (local.get $list))) (then
        (local.set $sum (i32.add (local.get $sum) (struct.get $list 0 (local.get $list))))
        (local.set $list (struct.get $list 1 (local.get $list)))
        (br $again))))
    (local.get $sum))
  (func $deep (param $n i32) (result i32) (local $mine (ref null $list))
    (if (i32.eqz (local.get $n)) (then (call $collect) (return (i32.const 0))))
    (local.set $mine (call $list (i32.const 3)))
    (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1))) (call $sum (local.get $mine))))
  (func $lists (export "lists") (param $n i32) (result i32) (local $row (ref $row))
    (local.set $row (array.new $row (call $list (local.get $n)) (i32.const 4)))
    (array.set $row (local.get $row) (i32.const 2) (call $list (i32.const 2)))
    (drop (call $list (i32.const 1000)))
    (i32.add (call $deep (local.get $n))
      (i32.add
        (call $sum (array.get $row (local.get $row) (i32.const 1)))
        (call $sum (array.get $row (local.get $row) (i32.const 2)))))))
