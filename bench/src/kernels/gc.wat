;; Objects: made, linked, cast and dropped. Every export does its work as often
;; as its argument says and returns a checksum.
(module
  (type $pair (struct (field $a i32) (field $b i32)))
  (type $tree (struct (field $left (ref null $tree)) (field $right (ref null $tree))))
  (type $cell (struct (field $value (mut i32)) (field $next (mut (ref null $cell)))))
  (type $numbers (array (mut i32)))

  ;; A hierarchy of five levels, with two leaves.
  (rec
    (type $shape (sub (struct (field $id i32))))
    (type $round (sub $shape (struct (field $id i32) (field $radius i32))))
    (type $square (sub $shape (struct (field $id i32) (field $side i32))))
    (type $ball (sub $round (struct (field $id i32) (field $radius i32) (field $mass i32))))
    (type $planet (sub final $ball (struct (field $id i32) (field $radius i32) (field $mass i32) (field $moons i32)))))
  (type $shapes (array (mut (ref null $shape))))

  ;; Short-lived: each is dropped for the next one.
  (func (export "short-lived") (param $n i32) (result i64)
    (local $pair (ref null $pair)) (local $sum i64)
    (local.set $pair (struct.new $pair (i32.const 1) (i32.const 2)))
    (loop $again
      (local.set $pair (struct.new $pair
        (i32.add (struct.get $pair $b (local.get $pair)) (local.get $n))
        (struct.get $pair $a (local.get $pair))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (i32.add (struct.get $pair $a (local.get $pair)) (struct.get $pair $b (local.get $pair)))))

  ;; Trees of 255 nodes, built and counted.
  (func $build (param $depth i32) (result (ref $tree))
    (if (i32.eqz (local.get $depth)) (then (return (struct.new_default $tree))))
    (struct.new $tree
      (call $build (i32.sub (local.get $depth) (i32.const 1)))
      (call $build (i32.sub (local.get $depth) (i32.const 1)))))
  (func $count (param $tree (ref null $tree)) (result i32)
    (if (ref.is_null (local.get $tree)) (then (return (i32.const 0))))
    (i32.add (i32.const 1)
      (i32.add
        (call $count (struct.get $tree $left (local.get $tree)))
        (call $count (struct.get $tree $right (local.get $tree))))))
  (func (export "trees") (param $n i32) (result i64)
    (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $count (call $build (i32.const 7))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; The same beside a tree of 65,535 nodes that lives on.
  (global $kept (mut (ref null $tree)) (ref.null $tree))
  (func (export "trees-beside") (param $n i32) (result i64)
    (local $sum i64)
    (if (ref.is_null (global.get $kept)) (then (global.set $kept (call $build (i32.const 15)))))
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $count (call $build (i32.const 7))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add (local.get $sum) (i64.extend_i32_u (call $count (struct.get $tree $left (global.get $kept))))))

  ;; A list of 1000 cells made once, then walked and changed: no allocation.
  (global $list (mut (ref null $cell)) (ref.null $cell))
  (func $fill
    (local $left i32)
    (local.set $left (i32.const 1000))
    (loop $again
      (global.set $list (struct.new $cell (local.get $left) (global.get $list)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func (export "walk") (param $n i32) (result i64)
    (local $sum i64) (local $at (ref null $cell))
    (global.set $list (ref.null $cell))
    (call $fill)
    (loop $again
      (local.set $at (global.get $list))
      (loop $next
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (struct.get $cell $value (local.get $at)))))
        (struct.set $cell $value (local.get $at)
          (i32.xor (struct.get $cell $value (local.get $at)) (local.get $n)))
        (br_if $next
          (i32.eqz (ref.is_null (local.tee $at (struct.get $cell $next (local.get $at)))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; 256 shapes of all kinds, told apart by casts, 256 in each round.
  (func $gallery (result (ref $shapes))
    (local $shapes (ref null $shapes)) (local $i i32)
    (local.set $shapes (array.new_default $shapes (i32.const 256)))
    (loop $again
      (array.set $shapes (local.get $shapes) (local.get $i)
        (block $made (result (ref $shape))
          (block $four (block $three (block $two (block $one (block $zero
            (br_table $zero $one $two $three $four
              (i32.rem_u (i32.mul (local.get $i) (i32.const 2654435)) (i32.const 5))))
            (br $made (struct.new $shape (local.get $i))))
            (br $made (struct.new $round (local.get $i) (i32.const 3))))
            (br $made (struct.new $square (local.get $i) (i32.const 4))))
            (br $made (struct.new $ball (local.get $i) (i32.const 5) (i32.const 6))))
          (struct.new $planet (local.get $i) (i32.const 7) (i32.const 8) (i32.const 9))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 256))))
    (ref.as_non_null (local.get $shapes)))
  (func $measure (param $shape (ref null $shape)) (result i32)
    (block $planet (result (ref $planet))
      (block $ball (result (ref $ball))
        (block $square (result (ref $square))
          (block $round (result (ref $round))
            (br_on_cast $planet (ref null $shape) (ref $planet) (local.get $shape))
            (br_on_cast $ball (ref null $shape) (ref $ball))
            (br_on_cast $square (ref null $shape) (ref $square))
            (br_on_cast $round (ref null $shape) (ref $round))
            (return (struct.get $shape $id)))
          (return (struct.get $round $radius)))
        (return (struct.get $square $side)))
      (return (struct.get $ball $mass)))
    (struct.get $planet $moons))
  (func (export "casts") (param $n i32) (result i64)
    (local $sum i64) (local $shapes (ref null $shapes)) (local $i i32)
    (local.set $shapes (call $gallery))
    (loop $again
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $sum (i64.add (local.get $sum)
          (i64.extend_i32_u (call $measure (array.get $shapes (local.get $shapes) (local.get $i))))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 256))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Casts that are known to succeed, as languages with erased types make them.
  (func (export "checked-casts") (param $n i32) (result i64)
    (local $sum i64) (local $any anyref)
    (local.set $any (struct.new $planet (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4)))
    (loop $again
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u
          (i32.add
            (struct.get $shape $id (ref.cast (ref $shape) (local.get $any)))
            (i32.add
              (struct.get $round $radius (ref.cast (ref $round) (local.get $any)))
              (struct.get $planet $moons (ref.cast (ref $planet) (local.get $any))))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Small integers in references, boxed and unboxed.
  (func (export "i31") (param $n i32) (result i64)
    (local $any anyref)
    (local.set $any (ref.i31 (i32.const 1)))
    (loop $again
      (local.set $any (ref.i31 (i32.add (i31.get_s (ref.cast (ref i31) (local.get $any))) (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_s (i31.get_s (ref.cast (ref i31) (local.get $any)))))

  ;; A sieve in an array of 10,000 numbers: made, filled, and read by index.
  (func (export "arrays") (param $n i32) (result i64)
    (local $sum i64) (local $sieve (ref null $numbers)) (local $i i32) (local $j i32)
    (loop $again
      (local.set $sieve (array.new $numbers (i32.const 1) (i32.const 10000)))
      (local.set $i (i32.const 2))
      (loop $outer
        (if (array.get $numbers (local.get $sieve) (local.get $i))
          (then
            (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $i))))
            (local.set $j (i32.add (local.get $i) (local.get $i)))
            (block $done
              (loop $inner
                (br_if $done (i32.ge_u (local.get $j) (array.len (local.get $sieve))))
                (array.set $numbers (local.get $sieve) (local.get $j) (i32.const 0))
                (local.set $j (i32.add (local.get $j) (local.get $i)))
                (br $inner)))))
        (br_if $outer
          (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $sieve)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
