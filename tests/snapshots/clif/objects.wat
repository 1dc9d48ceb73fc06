(module
  (rec
    (type $shape (sub (struct (field $x (mut i32)) (field $next (mut (ref null $shape))))))
    (type $circle (sub final $shape (struct (field $x (mut i32)) (field $next (mut (ref null $shape))) (field $r f64)))))
  (type $bytes (array (mut i8)))

  ;; One check for both objects; the reference is in the frame only where the
  ;; heap is full.
  (func (export "pair") (param $x i32) (param $tail i32) (result i32)
    (local $p (ref null $shape))
    (local.set $p (struct.new_default $shape))
    (struct.get $shape $x
      (struct.new $shape (local.get $x)
        (struct.new $shape (local.get $tail) (local.get $p)))))

  ;; The first access finds out whether the reference is null.
  (func $length (param $p (ref null $shape)) (result i32)
    (local $n i32)
    (block $done
      (loop $next
        (br_if $done (ref.is_null (local.get $p)))
        (local.set $n (i32.add (local.get $n) (struct.get $shape $x (local.get $p))))
        (local.set $p (struct.get $shape $next (local.get $p)))
        (br $next)))
    (local.get $n))

  ;; A type without subtypes is known by the address of its descriptor.
  (func $radius (param $p (ref null $shape)) (result f64)
    (struct.get $circle $r (ref.cast (ref $circle) (local.get $p))))

  ;; Stored once, read again after the call.
  (func $kept (param $p (ref $shape)) (result i32)
    (i32.add (call $length (local.get $p)) (struct.get $shape $x (local.get $p))))

  (func $sum (param $a (ref $bytes)) (result i32)
    (local $i i32) (local $s i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (array.len (local.get $a))))
        (local.set $s (i32.add (local.get $s) (array.get_u $bytes (local.get $a) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $s)))
