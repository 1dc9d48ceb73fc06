//! The instructions that came before `try_table`.

use super::assert_thrown;
use wasmc_loader::{Engine, Instance, Module, Store, Trap};

fn compile(text: &str, features: &str) -> Result<Vec<u8>, wasmc::Error> {
    let wasm = wat::parse_str(text).expect("the test's module is text in the format");
    let mut options = wasmc::Options::new();
    options.features.apply(features).unwrap();
    options.verify = true;
    wasmc::compile(&wasm, &options)
}

fn alone(text: &str) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let artifact = compile(text, "legacy-exceptions").unwrap_or_else(|e| panic!("{e:?}"));
    // SAFETY: the bytes come straight from the compiler.
    let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    (store, instance)
}

const CATCHES: &str = r#"(module
    (tag $a (param i32)) (tag $b (param i32 i32)) (tag $c)
    (func $throw (param $which i32)
        (if (i32.eq (local.get $which) (i32.const 0)) (then (throw $a (i32.const 1))))
        (if (i32.eq (local.get $which) (i32.const 1)) (then (throw $b (i32.const 20) (i32.const 3))))
        (if (i32.eq (local.get $which) (i32.const 2)) (then (throw $c))))
    (func (export "f") (param $which i32) (result i32)
        try (result i32)
            local.get $which call $throw i32.const 100
        catch $a
        catch $b
            i32.add
        catch_all
            i32.const 50
        end)
    (func (export "only a") (param $which i32) (result i32)
        try (result i32)
            local.get $which call $throw i32.const 100
        catch $a
        end)
    (func (export "no handler") (param $which i32) (result i32)
        try (result i32)
            local.get $which call $throw i32.const 100
        end)
    (func (export "rethrow") (param $which i32) (result i32)
        try (result i32)
            try (result i32)
                local.get $which call $throw i32.const 100
            catch $a
                drop
                try (result i32)
                    rethrow 1
                catch $b
                    i32.add drop i32.const 77
                end
            catch_all
                rethrow 0
            end
        catch $a
            i32.const 1 i32.add
        catch $b
            i32.mul
        end)
    (func (export "delegate") (param $which i32) (result i32)
        try $outer (result i32)
            try (result i32)
                try (result i32)
                    local.get $which call $throw i32.const 100
                delegate $outer
            catch_all
                i32.const -1
            end
        catch $a
            i32.const 1 i32.add
        catch_all
            i32.const 8
        end)
    (func (export "delegate to the caller") (param $which i32) (result i32)
        try (result i32)
            try (result i32)
                local.get $which call $throw i32.const 100
            delegate 1
        catch_all
            i32.const -1
        end)
    (func (export "delegate to a block") (param $which i32) (result i32)
        try (result i32)
            block $b (result i32)
                try (result i32)
                    try (result i32)
                        local.get $which call $throw i32.const 100
                    delegate $b
                catch_all
                    i32.const -1
                end
            end
        catch_all
            i32.const 6
        end)
    (func (export "direct") (param i32) (result i32)
        try (result i32)
            local.get 0 i32.const 2 throw $b
        catch $a
        catch $b
            i32.mul
        end)
    (func (export "throw in a handler") (result i32)
        try (result i32)
            try (result i32)
                throw $c
            catch $c
                i32.const 4 throw $a
            catch_all
                i32.const -1
            end
        catch $a
        end)
    (func (export "nothing throws") (result i32)
        try (result i32)
            i32.const 3
        catch $a
            drop i32.const 4
        catch_all
            rethrow 0
        end)
    (func (export "branch out") (param i32) (result i32)
        block $out (result i32)
            try (result i32)
                local.get 0 br $out
            catch $a
                br $out
            catch_all
                i32.const 9 br $out
            end
        end)
    (func (export "with parameters") (param $which i32) (result i32)
        i32.const 1000
        local.get $which
        try (param i32) (result i32)
            call $throw i32.const 100
        catch $a
        end
        i32.add)
    (func (export "mixed") (param $which i32) (result i32)
        block $caught (result i32)
            try_table (result i32) (catch $a $caught)
                try (result i32)
                    local.get $which call $throw i32.const 100
                catch $b
                    i32.add throw $a
                end
            end
        end)
    (func (export "dead") (result i32)
        i32.const 2
        return
        try
            throw $c
        catch $a
            drop
        catch_all
            rethrow 0
        end
        try
            i32.const 0 call $throw
        delegate 0
        unreachable)
    (func (export "trap")
        try
            unreachable
        catch_all
        end))"#;

#[test]
fn handlers_catch_rethrow_and_delegate() {
    let (mut store, instance) = alone(CATCHES);
    let mut call = |name: &str, arg: i32| {
        let f = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        f.call(&mut store, arg)
    };
    for (name, arg, expected) in [
        ("f", 0, 1),
        ("f", 1, 23),
        ("f", 2, 50),
        ("f", 3, 100),
        ("only a", 0, 1),
        ("only a", 3, 100),
        ("no handler", 3, 100),
        ("rethrow", 0, 2),
        ("rethrow", 1, 60),
        ("rethrow", 3, 100),
        ("delegate", 0, 2),
        ("delegate", 1, 8),
        ("delegate", 3, 100),
        ("delegate to the caller", 3, 100),
        ("delegate to a block", 0, 6),
        ("delegate to a block", 3, 100),
        ("direct", 21, 42),
        ("branch out", 5, 5),
        ("with parameters", 0, 1001),
        ("with parameters", 3, 1100),
        ("mixed", 0, 1),
        ("mixed", 1, 23),
        ("mixed", 3, 100),
    ] {
        assert_eq!(call(name, arg).unwrap_or_else(|e| panic!("{name} {arg}: {e:?}")), expected, "{name} {arg}");
    }
    for (name, arg) in [("only a", 1), ("only a", 2), ("no handler", 0), ("rethrow", 2), ("delegate to the caller", 0)]
    {
        assert_thrown(call(name, arg));
    }
    for (name, expected) in [("throw in a handler", 4), ("nothing throws", 3), ("dead", 2)] {
        let f = instance.get_typed_func::<(), i32>(&mut store, name).unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap(), expected, "{name}");
    }
    let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
    assert_eq!(trap.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::UnreachableCodeReached));
}

#[test]
fn without_the_switch_the_error_names_it() {
    let error = format!("{:#}", compile(CATCHES, "").unwrap_err());
    assert!(error.contains("legacy-exceptions"), "{error}");
    let error = format!("{:#}", compile("(module (func try catch_all end))", "").unwrap_err());
    assert!(error.contains("`Features::apply(\"legacy-exceptions\")`"), "{error}");
    compile("(module (func (block $b (try_table (catch_all $b)))))", "").unwrap();
}
