//! Exceptions: what catches them, what they carry, and what is left behind.

mod host;
mod legacy;
mod limits;

use super::module;
use wasmc_loader::{
    Config, Engine, Extern, ExternRef, Instance, Result, Rooted, Store, ThrownException, Trap, V128, Val, WasmBacktrace,
};

/// An instance in a store of its own, whose heap is collected, and everything
/// on it moved, whenever an exception is made.
fn alone(text: &str) -> (Store<()>, Instance) {
    let engine = Engine::new(Config::new().gc_stress(true)).unwrap();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}

/// Whether a call ended with an exception that nobody caught.
#[track_caller]
fn assert_thrown<T>(result: Result<T>) -> ThrownException {
    let Err(error) = result else { panic!("the call returned") };
    error.downcast_ref::<ThrownException>().unwrap_or_else(|| panic!("{error:?}")).clone()
}

#[test]
fn values_of_every_type_arrive_as_they_were_thrown() {
    let text = r#"(module
        (tag $all (param i32 i64 f32 f64 v128 funcref externref i32))
        (func $f (result i32) i32.const 77)
        (elem declare func $f)
        (type $get (func (result i32)))
        (table $t 1 funcref)
        (func $throw (param i32 i64 f32 f64 v128 externref)
            (throw $all (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                (ref.func $f) (local.get 5) (i32.const -1)))
        (func (export "through") (param i32 i64 f32 f64 v128 externref)
                (result i32 i64 f32 f64 v128 externref i32 i32)
            (local $a i32) (local $b i64) (local $c f32) (local $d f64) (local $e v128) (local $f funcref)
            (local $g externref) (local $h i32)
            (block $caught (result i32 i64 f32 f64 v128 funcref externref i32)
                (try_table (catch $all $caught)
                    (call $throw (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
                unreachable)
            (local.set $h) (local.set $g) (local.set $f) (local.set $e) (local.set $d) (local.set $c) (local.set $b)
            (local.set $a)
            (table.set $t (i32.const 0) (local.get $f))
            (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e) (local.get $g) (local.get $h)
            (call_indirect $t (type $get) (i32.const 0))))"#;
    let (mut store, instance) = alone(text);
    let through = instance.get_func(&mut store, "through").unwrap();
    let value = ExternRef::new(&mut store, "carried").unwrap();
    let vector = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210u128;
    let params = [
        Val::I32(-5),
        Val::I64(i64::MIN + 3),
        Val::F32(1.5f32.to_bits()),
        Val::F64((-2.5f64).to_bits()),
        Val::V128(V128::from(vector)),
        Val::ExternRef(Some(value)),
    ];
    let mut results = vec![Val::I32(0); 8];
    for _ in 0..3 {
        through.call(&mut store, &params, &mut results).unwrap();
        assert_eq!(results[0].i32(), Some(-5));
        assert_eq!(results[1].i64(), Some(i64::MIN + 3));
        assert_eq!(results[2].f32(), Some(1.5));
        assert_eq!(results[3].f64(), Some(-2.5));
        assert_eq!(results[4].v128().map(u128::from), Some(vector));
        let Val::ExternRef(Some(carried)) = results[5] else { panic!("{:?}", results[5]) };
        assert!(Rooted::ref_eq(&store, &carried, &value).unwrap());
        assert_eq!((results[6].i32(), results[7].i32()), (Some(-1), Some(77)));
    }
}

#[test]
fn the_innermost_clause_that_fits_catches() {
    // `which` chooses the tag, and the result says which clause was reached.
    let text = r#"(module
        (tag $a (param i32)) (tag $b (param i32)) (tag $c) (tag $d)
        (func $throw (param $which i32)
            (if (i32.eq (local.get $which) (i32.const 0)) (then (throw $a (i32.const 10))))
            (if (i32.eq (local.get $which) (i32.const 1)) (then (throw $b (i32.const 20))))
            (if (i32.eq (local.get $which) (i32.const 2)) (then (throw $c)))
            (if (i32.eq (local.get $which) (i32.const 3)) (then (throw $d))))
        (func (export "f") (param $which i32) (result i32)
            (block $all
                (block $outer_a (result i32)
                    (try_table (catch $a $outer_a) (catch_all $all)
                        (block $inner_c
                            (block $inner_b (result i32)
                                (try_table (result i32) (catch $b $inner_b) (catch $c $inner_c)
                                    (call $throw (local.get $which)) (i32.const 5))
                                (return))
                            (return (i32.add (i32.const 1)))
                        )
                        (return (i32.const 33)))
                    unreachable)
                (return (i32.add (i32.const 2))))
            i32.const 44))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    for (which, expected) in [(0, 12), (1, 21), (2, 33), (3, 44), (4, 5)] {
        assert_eq!(f.call(&mut store, which).unwrap(), expected, "{which}");
    }
}

#[test]
fn throws_within_one_function_reach_the_same_clauses() {
    let text = r#"(module
        (tag $a (param i32 v128)) (tag $b)
        (func (export "direct") (param i32) (result i32)
            (block $caught (result i32 v128)
                (try_table (catch $a $caught)
                    (throw $a (local.get 0) (v128.const i32x4 1 2 3 4)))
                unreachable)
            (i32x4.extract_lane 2) (i32.add))
        (func (export "by reference") (param i32) (result i32)
            (local $e exnref)
            (block $again (result i32 v128)
                (block $caught (result i32 v128 exnref)
                    (try_table (catch_ref $a $caught)
                        (throw $a (local.get 0) (v128.const i32x4 1 2 3 4)))
                    unreachable)
                (local.set $e) (drop) (drop)
                (try_table (catch $a $again) (throw_ref (local.get $e)))
                unreachable)
            (i32x4.extract_lane 3) (i32.add))
        (func (export "past another tag") (result i32)
            (block $caught
                (try_table (catch $b $caught)
                    (block $other (result i32 v128)
                        (try_table (catch $a $other) (throw $b))
                        unreachable)
                    (return (i32x4.extract_lane 0) (i32.add)))
                unreachable)
            (i32.const 9))
        (func (export "to a loop") (param $n i32) (result i32) (local $count i32)
            (loop $again
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (if (i32.lt_u (local.get $count) (local.get $n))
                    (then (try_table (catch_all $again) (throw $b)))))
            (local.get $count))
        (func (export "null") (throw_ref (ref.null exn))))"#;
    let (mut store, instance) = alone(text);
    let mut call = |name: &str, arg: i32| {
        let f = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        f.call(&mut store, arg).unwrap()
    };
    assert_eq!(call("direct", 10), 13);
    assert_eq!(call("by reference", 10), 14);
    assert_eq!(call("to a loop", 1000), 1000);
    let f = instance.get_typed_func::<(), i32>(&mut store, "past another tag").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 9);
    let null = instance.get_typed_func::<(), ()>(&mut store, "null").unwrap();
    assert_eq!(null.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::NullReference));
}

#[test]
fn locals_have_the_values_of_the_call_that_threw() {
    let text = r#"(module
        (tag $e)
        (func $maybe (param i32) (if (local.get 0) (then (throw $e))))
        (func (export "f") (param $at i32) (result i32) (local $x i32) (local $y f64)
            (block $caught
                (try_table (catch_all $caught)
                    (local.set $x (i32.const 1))
                    (call $maybe (i32.eq (local.get $at) (i32.const 1)))
                    (local.set $x (i32.const 2)) (local.set $y (f64.const 10))
                    (call $maybe (i32.eq (local.get $at) (i32.const 2)))
                    (local.set $x (i32.const 3)) (local.set $y (f64.const 20))
                    (call $maybe (i32.eq (local.get $at) (i32.const 3)))
                    (return (i32.const -1))))
            (i32.add (local.get $x) (i32.trunc_f64_s (local.get $y)))))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    for (at, expected) in [(1, 1), (2, 12), (3, 23), (4, -1)] {
        assert_eq!(f.call(&mut store, at).unwrap(), expected);
    }
}

#[test]
fn references_in_locals_are_those_of_the_call_that_threw() {
    let text = r#"(module
        (type $box (struct (field i32)))
        (tag $e)
        ;; Makes objects, so that everything moves.
        (func $maybe (param $throw i32) (param $n i32) (result i32)
            (drop (struct.new $box (local.get $n)))
            (if (local.get $throw) (then (throw $e)))
            (struct.get $box 0 (struct.new $box (local.get $n))))
        (func (export "f") (param $at i32) (result i32)
            (local $x (ref null $box)) (local $y (ref null $box)) (local $n i32)
            (block $caught
                (try_table (catch_all $caught)
                    (local.set $x (struct.new $box (i32.const 1)))
                    (local.set $y (struct.new $box (i32.const 100)))
                    (local.set $n (call $maybe (i32.eq (local.get $at) (i32.const 1)) (i32.const 1000)))
                    (local.set $x (struct.new $box (i32.const 2)))
                    (local.set $n (call $maybe (i32.eq (local.get $at) (i32.const 2)) (i32.const 2000)))
                    (local.set $y (struct.new $box (i32.const 200)))
                    (local.set $n (call $maybe (i32.eq (local.get $at) (i32.const 3)) (i32.const 3000)))
                    (return (i32.const -1))))
            (i32.add (local.get $n)
                (i32.add (struct.get $box 0 (local.get $x)) (struct.get $box 0 (local.get $y))))))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    for _ in 0..3 {
        for (at, expected) in [(1, 101), (2, 1102), (3, 2202), (4, -1)] {
            assert_eq!(f.call(&mut store, at).unwrap(), expected, "{at}");
        }
    }
}

#[test]
fn exceptions_cross_modules_by_the_identity_of_their_tags() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let thrower = module(
        &engine,
        r#"(module (tag $e (export "e") (param i32)) (tag $same_type (export "other") (param i32))
            (func (export "throw") (param i32) (throw $e (local.get 0)))
            (func (export "throw other") (param i32) (throw $same_type (local.get 0))))"#,
    );
    let thrower = Instance::new(&mut store, &thrower, &[]).unwrap();
    let mut of = |name: &str| thrower.get_export(&mut store, name).unwrap();
    let imports: [Extern; 3] = [of("e"), of("throw"), of("throw other")];
    let middle = module(
        &engine,
        r#"(module (import "" "e" (tag $e (param i32))) (import "" "throw" (func $throw (param i32)))
            (import "" "throw other" (func $other (param i32)))
            (tag $own (param i32))
            (table funcref (elem $throw $other))
            (func (export "f") (param $which i32) (param $value i32) (result i32)
                (block $own_caught (result i32)
                    (try_table (catch $own $own_caught)
                        (call_indirect (param i32) (local.get $value) (local.get $which)))
                    unreachable)
                drop i32.const 1000))"#,
    );
    let middle = Instance::new(&mut store, &middle, &imports).unwrap();
    let f = middle.get_export(&mut store, "f").unwrap();
    let catcher = module(
        &engine,
        r#"(module (import "" "e" (tag $e (param i32))) (import "" "e" (tag $again (param i32)))
            (import "" "f" (func $f (param i32 i32) (result i32)))
            (func (export "catch") (param $which i32) (param $value i32) (result i32)
                (block $caught (result i32)
                    (return (try_table (result i32) (catch $e $caught)
                        (call $f (local.get $which) (local.get $value)))))
                (i32.add (i32.const 1)))
            (func (export "alias") (param i32) (result i32)
                (block $caught (result i32)
                    (try_table (catch $again $caught) (throw $e (local.get 0)))
                    unreachable)))"#,
    );
    let catcher = Instance::new(&mut store, &catcher, &[imports[0].clone(), imports[0].clone(), f]).unwrap();
    let catch = catcher.get_typed_func::<(i32, i32), i32>(&mut store, "catch").unwrap();
    assert_eq!(catch.call(&mut store, (0, 41)).unwrap(), 42);
    let thrown = assert_thrown(catch.call(&mut store, (1, 41)));
    assert_eq!(thrown.tag_name(), Some("other"));
    let alias = catcher.get_typed_func::<i32, i32>(&mut store, "alias").unwrap();
    assert_eq!(alias.call(&mut store, 7).unwrap(), 7);
}

#[test]
fn a_tag_of_another_type_is_not_linked() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let exporter = module(&engine, r#"(module (tag (export "e") (param i32 f64)))"#);
    let exporter = Instance::new(&mut store, &exporter, &[]).unwrap();
    let tag = exporter.get_export(&mut store, "e").unwrap();
    let importer = module(&engine, r#"(module (import "env" "error" (tag (param i32))))"#);
    let error = Instance::new(&mut store, &importer, &[tag]).unwrap_err().to_string();
    assert!(error.contains("`error` from `env`"), "{error}");
    assert!(error.contains("tag (i32)") && error.contains("tag (i32, f64)"), "{error}");
    let memory = module(&engine, r#"(module (memory (export "e") 1))"#);
    let memory = Instance::new(&mut store, &memory, &[]).unwrap().get_export(&mut store, "e").unwrap();
    let error = Instance::new(&mut store, &importer, &[memory]).unwrap_err().to_string();
    assert!(error.contains("tag (i32)") && error.contains("memory"), "{error}");
}

#[test]
fn traps_are_not_caught() {
    let text = r#"(module
        (tag $e)
        (memory 1)
        (func $trap (param i32)
            (if (i32.eq (local.get 0) (i32.const 0)) (then unreachable))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (drop (i32.load (i32.const -1)))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (drop (i32.div_u (i32.const 1) (i32.const 0))))))
        (func $deep (call $deep))
        (func (export "call") (param i32) (block $all (try_table (catch_all $all) (call $trap (local.get 0)))))
        (func (export "here") (block $all (try_table (catch_all $all) unreachable)))
        (func (export "deep") (block $all (try_table (catch_all $all) (call $deep))))
        (func (export "in a handler") (result i32)
            (block $all (try_table (catch_all $all) (throw $e)))
            (i32.load (i32.const -4)))
        (func (export "works") (result i32)
            (block $all (try_table (catch_all $all) (call $throw)) (return (i32.const 0)))
            (i32.const 1))
        (func $throw (throw $e)))"#;
    let (mut store, instance) = alone(text);
    let works = instance.get_typed_func::<(), i32>(&mut store, "works").unwrap();
    for (arg, trap) in
        [(0, Trap::UnreachableCodeReached), (1, Trap::MemoryOutOfBounds), (2, Trap::IntegerDivisionByZero)]
    {
        let call = instance.get_typed_func::<i32, ()>(&mut store, "call").unwrap();
        assert_eq!(call.call(&mut store, arg).unwrap_err().downcast_ref(), Some(&trap));
        assert_eq!(works.call(&mut store, ()).unwrap(), 1);
    }
    let here = instance.get_typed_func::<(), ()>(&mut store, "here").unwrap();
    assert_eq!(here.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::UnreachableCodeReached));
    let deep = instance.get_typed_func::<(), ()>(&mut store, "deep").unwrap();
    assert_eq!(deep.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
    let handler = instance.get_typed_func::<(), i32>(&mut store, "in a handler").unwrap();
    assert_eq!(handler.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    assert_eq!(works.call(&mut store, ()).unwrap(), 1);
}

#[test]
fn the_handlers_of_a_frame_that_was_given_up_do_not_apply() {
    let text = r#"(module
        (tag $e)
        (type $none (func))
        (table funcref (elem $throw))
        (func $throw (throw $e))
        (func $gives_up (block $all (try_table (catch_all $all) (return_call $throw))))
        (func $gives_up_too
            (block $all (try_table (catch_all $all) (return_call_indirect (type $none) (i32.const 0)))))
        (func (export "f") (param i32) (result i32)
            (block $caught
                (try_table (catch $e $caught)
                    (if (local.get 0) (then (call $gives_up)) (else (call $gives_up_too)))
                    (return (i32.const 0))))
            (i32.const 1))
        (func (export "top") (call $gives_up)))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    assert_eq!(f.call(&mut store, 0).unwrap(), 1);
    assert_eq!(f.call(&mut store, 1).unwrap(), 1);
    let top = instance.get_typed_func::<(), ()>(&mut store, "top").unwrap();
    assert_thrown(top.call(&mut store, ()));
}

#[test]
fn registers_that_callees_save_survive_frames_that_are_skipped() {
    // Many values live across the call, in a caller of the function that
    // catches, which itself is called with registers full of other values.
    let sum = (0..12).map(|i| format!("(local.get {i})")).collect::<Vec<_>>();
    let adds = "(i64.add)".repeat(11);
    let all = sum.join("");
    let params = "i64 ".repeat(12);
    let text = format!(
        r#"(module
        (tag $e (param i64))
        (func $throw (param {params}) (throw $e {all} {adds}))
        (func $catch (param {params}) (result i64)
            (block $caught (result i64)
                (try_table (catch $e $caught) (call $throw {all}))
                (i64.const 0))
            {all} {adds} (i64.add))
        (func (export "f") (param i64) (result i64)
            {locals}
            (i64.add (call $catch {all}) (i64.add {all} {adds} (i64.const 0)))))"#,
        locals = {
            let declared = "(local ".to_owned() + &"i64 ".repeat(11) + ")";
            let set: Vec<_> =
                (1..12).map(|i| format!("(local.set {i} (i64.mul (local.get 0) (i64.const {})))", i + 1)).collect();
            declared + &set.join("")
        },
    );
    let (mut store, instance) = alone(&text);
    let f = instance.get_typed_func::<i64, i64>(&mut store, "f").unwrap();
    let total: i64 = (1..=12).sum();
    assert_eq!(f.call(&mut store, 3).unwrap(), 3 * total * 3);
}

#[test]
fn objects_arrive_as_they_were_thrown_however_often_they_move() {
    let text = r#"(module
        (type $pair (struct (field i32) (field (mut anyref))))
        (tag $e (param (ref $pair) anyref i32 (ref null $pair)))
        (func $throw (param $n i32) (param $p (ref $pair))
            (if (i32.eqz (local.get $n))
                (then (throw $e
                    (local.get $p)
                    (ref.i31 (i32.const 40))
                    (i32.const 3)
                    (struct.new $pair (i32.const 5) (local.get $p)))))
            ;; Every frame has a reference of its own to keep.
            (call $throw (i32.sub (local.get $n) (i32.const 1))
                (struct.new $pair (local.get $n) (local.get $p)))
            (drop (struct.get $pair 0 (local.get $p))))
        (func (export "f") (param $depth i32) (result i32)
            (local $first (ref null $pair)) (local $outer (ref null $pair)) (local $inner (ref null $pair)) (local $any anyref) (local $sum i32)
            (local.set $outer (struct.new $pair (i32.const 1000) (ref.null any)))
            (block $caught (result (ref $pair) anyref i32 (ref null $pair))
                (try_table (catch $e $caught)
                    (call $throw (local.get $depth) (struct.new $pair (i32.const 7) (ref.null any))))
                unreachable)
            (local.set $first)
            (local.set $sum)
            (local.set $any)
            (local.set $sum (i32.add (local.get $sum) (i31.get_u (ref.cast (ref i31) (local.get $any)))))
            ;; The last value refers to the first one.
            (local.set $sum (i32.add (local.get $sum) (struct.get $pair 0 (local.get $first))))
            (local.set $inner)
            (if (ref.eq (local.get $inner) (ref.cast (ref null $pair) (struct.get $pair 1 (local.get $first))))
                (then (local.set $sum (i32.add (local.get $sum) (i32.const 100)))))
            (i32.add (local.get $sum) (struct.get $pair 0 (local.get $outer)))))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    for depth in [0, 1, 5, 50] {
        assert_eq!(f.call(&mut store, depth).unwrap(), 1000 + 100 + 5 + 40 + 3);
    }
}

#[test]
fn backtraces_from_handlers_name_the_frames_that_are_left() {
    let text = r#"(module
        (tag $e)
        (func $thrower (throw $e))
        (func $between (call $thrower))
        (func $handler (param i32)
            (block $caught (try_table (catch_all $caught) (call $between)))
            (if (local.get 0) (then (call $thrower)))
            unreachable)
        (func $caller (export "f") (param i32) (call $handler (local.get 0))))"#;
    let (mut store, instance) = alone(text);
    let f = instance.get_typed_func::<i32, ()>(&mut store, "f").unwrap();
    for (throw, expected) in [(0, &["handler", "caller"][..]), (1, &["thrower", "handler", "caller"])] {
        let error = f.call(&mut store, throw).unwrap_err();
        assert_eq!(error.is::<Trap>(), throw == 0);
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let names: Vec<_> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn many_exceptions_are_kept_and_thrown_again() {
    let text = r#"(module
        (tag $e (param i32 externref))
        (table $kept 300 exnref)
        (global $last (mut exnref) (ref.null exn))
        (func $throw (param i32 externref) (throw $e (local.get 0) (local.get 1)))
        (func (export "keep") (param $i i32) (param $x externref)
            (local $exn exnref)
            (block $caught (result i32 externref exnref)
                (try_table (catch_ref $e $caught) (call $throw (local.get $i) (local.get $x)))
                unreachable)
            (local.set $exn) (drop) (drop)
            (table.set $kept (local.get $i) (local.get $exn))
            (global.set $last (local.get $exn)))
        (func (export "again") (param $i i32) (result i32 externref)
            (block $caught (result i32 externref)
                (try_table (catch $e $caught) (throw_ref (table.get $kept (local.get $i))))
                unreachable))
        (func (export "last") (result i32 externref)
            (block $caught (result i32 externref)
                (try_table (catch $e $caught) (throw_ref (global.get $last)))
                unreachable)))"#;
    let (mut store, instance) = alone(text);
    let keep = instance.get_func(&mut store, "keep").unwrap();
    for i in 0..300 {
        let value = ExternRef::new(&mut store, i).unwrap();
        keep.call(&mut store, &[Val::I32(i), Val::ExternRef(Some(value))], &mut []).unwrap();
    }
    store.gc();
    let mut results = [Val::I32(0), Val::ExternRef(None)];
    let again = instance.get_func(&mut store, "again").unwrap();
    for round in 0..2 {
        for i in (0..300).rev() {
            again.call(&mut store, &[Val::I32(i)], &mut results).unwrap();
            assert_eq!(results[0].unwrap_i32(), i, "round {round}");
            let Val::ExternRef(Some(value)) = results[1] else { panic!("{:?}", results[1]) };
            assert_eq!(value.data(&store).unwrap().unwrap().downcast_ref(), Some(&i));
        }
    }
    let last = instance.get_func(&mut store, "last").unwrap();
    last.call(&mut store, &[], &mut results).unwrap();
    assert_eq!(results[0].unwrap_i32(), 299);
}
