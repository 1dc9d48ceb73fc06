//! Exceptions and what is limited: the stack, the count of values on it, and
//! the heap; and stores that are reset.

use super::{assert_thrown, module};
use std::num::NonZeroU32;
use wasmc_loader::{Config, Engine, Instance, InstantiationStrategy, Linker, Module, Store, Trap};

/// Recursion to a depth, and a throw there; caught at the bottom, or on every
/// level and thrown again.
const DEEP: &str = r#"(module
    (tag $e (export "e") (param i32))
    (func $down (param i32)
        (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 5))))
        (call $down (i32.sub (local.get 0) (i32.const 1)))
        (if (i32.eq (local.get 0) (i32.const -2)) (then (throw $e (i32.const 6)))))
    (func (export "caught at the bottom") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $e $caught) (call $down (local.get 0)))
            (i32.const 0)))
    (func $again (param i32)
        (block $caught (result i32 exnref)
            (try_table (catch_ref $e $caught)
                (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 5))))
                (call $again (i32.sub (local.get 0) (i32.const 1))))
            (return))
        (throw_ref) (drop))
    (func (export "caught on every level") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $e $caught) (call $again (local.get 0)))
            (i32.const 0)))
    (func (export "uncaught") (param i32) (call $down (local.get 0)))
    (func (export "many") (param $n i32) (result i32) (local $sum i32)
        (loop $next
            (local.set $sum (i32.add (local.get $sum)
                (block $caught (result i32)
                    (try_table (catch $e $caught) (call $down (i32.const 3)))
                    (i32.const 0))))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

fn instance(engine: &Engine) -> (Store<()>, Instance) {
    let module = module(engine, DEEP);
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    (store, instance)
}

#[test]
fn exceptions_come_from_any_depth_that_the_stack_allows() {
    let engine = Engine::new(Config::new().max_wasm_stack(256 << 10)).unwrap();
    let (mut store, instance) = instance(&engine);
    for name in ["caught at the bottom", "caught on every level"] {
        let f = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        // The largest depth that works, found by halving; one more is a trap.
        let (mut good, mut bad) = (0, 1 << 20);
        while bad - good > 1 {
            let depth = (good + bad) / 2;
            match f.call(&mut store, depth) {
                Ok(value) => {
                    assert_eq!(value, 5);
                    good = depth;
                }
                Err(error) => {
                    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
                    bad = depth;
                }
            }
        }
        assert!(good > 1000, "{name} {good}");
        assert_eq!(f.call(&mut store, good).unwrap(), 5);
    }
    let uncaught = instance.get_typed_func::<i32, ()>(&mut store, "uncaught").unwrap();
    for depth in [0, 1, 1000] {
        let thrown = assert_thrown(uncaught.call(&mut store, depth));
        assert_eq!(thrown.tag_name(), Some("e"));
        assert_eq!(thrown.to_string(), "uncaught exception `e` (i32)");
    }
}

#[test]
fn the_count_of_values_on_the_stack_is_right_where_an_exception_is_caught() {
    let wasm = wat::parse_str(DEEP).unwrap();
    let mut options = wasmc::Options::new();
    options.deterministic_stack = NonZeroU32::new(100);
    let artifact = wasmc::compile(&wasm, &options).unwrap();
    let engine = Engine::new(Config::new().max_wasm_stack(1 << 20)).unwrap();
    // SAFETY: the bytes come straight from the compiler.
    let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    // Frames that were skipped would soon use up a hundred values.
    let many = instance.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
    assert_eq!(many.call(&mut store, 1000).unwrap(), 5000);
    let depth = |store: &mut Store<()>, name: &str| {
        let f = instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap();
        (0..200).take_while(|depth| f.call(&mut *store, *depth).is_ok()).count()
    };
    for name in ["caught at the bottom", "caught on every level"] {
        let first = depth(&mut store, name);
        assert!((10..100).contains(&first), "{name} {first}");
        assert_eq!(depth(&mut store, name), first);
        let uncaught = instance.get_typed_func::<i32, ()>(&mut store, "uncaught").unwrap();
        for depth in 0..20 {
            assert_thrown(uncaught.call(&mut store, depth));
        }
        assert_eq!(depth(&mut store, name), first);
    }
}

#[test]
fn every_strategy_and_reset_leaves_exceptions_working() {
    for strategy in InstantiationStrategy::ALL {
        let engine = Engine::new(Config::new().instantiation_strategy(*strategy)).unwrap();
        let module = module(&engine, DEEP);
        let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let many = instance.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
            let uncaught = instance.get_typed_func::<i32, ()>(&mut store, "uncaught").unwrap();
            for _ in 0..3 {
                assert_eq!(many.call(&mut store, 10).unwrap(), 50, "{strategy:?}");
                assert_thrown(uncaught.call(&mut store, 2));
                store.reset().unwrap();
                assert!(!store.has_pending_exception(), "{strategy:?}");
            }
        }
    }
}

#[test]
fn an_exception_in_a_start_function_is_an_error_of_the_instantiation() {
    let engine = Engine::default();
    let start = module(&engine, "(module (tag $e) (func $s (throw $e)) (start $s))");
    let mut store = Store::new(&engine, ());
    assert_thrown(Instance::new(&mut store, &start, &[]));
    let deep = module(&engine, DEEP);
    let instance = Instance::new(&mut store, &deep, &[]).unwrap();
    let many = instance.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
    assert_eq!(many.call(&mut store, 10).unwrap(), 50);
}

#[test]
fn thrown_exceptions_do_not_pile_up() {
    let (mut store, instance) = instance(&Engine::default());
    let many = instance.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
    // Several times what a heap would hold, if none of them were freed.
    for _ in 0..10 {
        assert_eq!(many.call(&mut store, 100_000).unwrap(), 500_000);
    }
}
