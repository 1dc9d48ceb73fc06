//! Tail calls take no stack, whoever calls whom, and pass every argument: each
//! chain here is a million calls of functions with few and many parameters, in
//! turn, so that a callee needs more and less room on the stack than its caller.

use super::module;
use std::fmt::Write as _;
use wasmc::{OptLevel, Options};
use wasmc_loader::{Engine, Func, FuncType, Instance, Linker, Store, Val, ValType};

const CALLS: i32 = 1_000_000;

/// Types of parameters after the counter, for each function of a chain.
const SHAPES: &[&[&str]] = &[
    &[],
    &["i64", "f64", "i32", "i64", "i64", "f32", "i64", "i64", "i64", "i64", "i64", "i32", "i64", "i64", "i64"],
    &["f64"],
    &[
        "v128", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "v128", "f64", "f64", "f64", "f64", "f64", "f64",
        "f64", "f64", "f64", "f32", "v128", "i32",
    ],
    &["i64", "i64", "i64", "i64", "i64", "i64"],
    &[
        "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32",
        "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32",
    ],
    &["f32", "f32"],
];

/// How one function of a chain calls the next one.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Indirect,
    Reference,
}

fn next(shape: usize) -> usize {
    (shape + 1) % SHAPES.len()
}

fn params(shape: usize) -> String {
    format!("(param i32 {}) (result i32)", SHAPES[shape].join(" "))
}

/// The value that parameter `place` has when the counter is `count`.
fn value(ty: &str, place: usize, count: &str) -> String {
    let sum = format!("(i32.add {count} (i32.const {}))", place * 7919);
    match ty {
        "i32" => sum,
        "i64" => format!("(i64.extend_i32_u {sum})"),
        "f32" => format!("(f32.reinterpret_i32 (i32.and {sum} (i32.const 0x3fffffff)))"),
        "f64" => format!("(f64.convert_i32_s {sum})"),
        _ => format!("(i32x4.splat {sum})"),
    }
}

/// Traps unless the parameter is what it should be.
fn check(ty: &str, place: usize) -> String {
    let wanted = value(ty, place, "(local.get 0)");
    let got = format!("(local.get {})", place + 1);
    let differs = match ty {
        "v128" => format!("(v128.any_true (v128.xor {got} {wanted}))"),
        ty => format!("({ty}.ne {got} {wanted})"),
    };
    format!("(if {differs} (then unreachable))")
}

/// A function that checks its parameters and calls the one of the next shape.
fn function(shape: usize, call: &str) -> String {
    let checks: String = SHAPES[shape].iter().enumerate().map(|(place, ty)| check(ty, place)).collect();
    let count = "(i32.sub (local.get 0) (i32.const 1))";
    let types = SHAPES[next(shape)].iter().enumerate();
    let args: String = types.map(|(place, ty)| value(ty, place, count)).collect();
    format!(
        "(func $f{shape} (export \"f{shape}\") (type $t{shape}) {checks}
           (if (i32.eqz (local.get 0)) (then (return (i32.const {shape}))))
           ({call} {count} {args} CALLEE))"
    )
}

fn types() -> String {
    (0..SHAPES.len()).map(|shape| format!("(type $t{shape} (func {}))\n", params(shape))).collect()
}

/// All functions of a chain, as fields of one module.
fn functions(way: Way) -> String {
    let mut fields = types();
    for shape in 0..SHAPES.len() {
        let to = next(shape);
        let (call, callee) = match way {
            Way::Direct => (format!("return_call $f{to}"), String::new()),
            Way::Indirect => (format!("return_call_indirect (type $t{to})"), format!("(i32.const {to})")),
            Way::Reference => (format!("return_call_ref $t{to}"), format!("(ref.func $f{to})")),
        };
        fields += &function(shape, &call).replace("CALLEE", &callee);
    }
    fields
}

fn names() -> String {
    (0..SHAPES.len()).map(|shape| format!(" $f{shape}")).collect()
}

/// The code generator's levels: each lays out frames in its own way.
fn levels() -> impl Iterator<Item = Options> {
    [OptLevel::None, OptLevel::Speed].into_iter().map(|opt_level| Options { opt_level, ..Options::new() })
}

#[track_caller]
fn run(store: &mut Store<()>, instance: Instance) {
    let first = instance.get_typed_func::<i32, i32>(&mut *store, "f0").unwrap();
    let last = CALLS as usize % SHAPES.len();
    assert_eq!(first.call(store, CALLS).unwrap(), last as i32);
}

#[track_caller]
fn runs_alone(text: &str) {
    for options in levels() {
        let engine = Engine::default();
        let module = module(&engine, text, &options);
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        run(&mut store, instance);
    }
}

#[test]
fn direct_tail_calls_take_no_stack() {
    runs_alone(&format!("(module {})", functions(Way::Direct)));
}

#[test]
fn tail_calls_through_a_read_only_table_take_no_stack() {
    runs_alone(&format!("(module {} (table funcref (elem {})))", functions(Way::Indirect), names()));
}

#[test]
fn tail_calls_through_a_table_that_others_see_take_no_stack() {
    runs_alone(&format!("(module {} (table (export \"t\") funcref (elem {})))", functions(Way::Indirect), names()));
}

#[test]
fn tail_calls_of_references_take_no_stack() {
    runs_alone(&format!("(module {} (elem declare func {}))", functions(Way::Reference), names()));
}

/// Two modules that define every other function each, and share a table.
#[test]
fn tail_calls_between_modules_take_no_stack() {
    for options in levels() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let table = module(&engine, &format!("(module (table (export \"t\") {} funcref))", SHAPES.len()), &options);
        linker.module(&mut store, "table", &table).unwrap();
        let mut instances = Vec::new();
        for part in 0..2 {
            let mut fields = types();
            for shape in 0..SHAPES.len() {
                if shape % 2 == part {
                    let call = format!("return_call_indirect (type $t{})", next(shape));
                    fields += &function(shape, &call).replace("CALLEE", &format!("(i32.const {})", next(shape)));
                    writeln!(fields, "(elem (i32.const {shape}) $f{shape})").unwrap();
                }
            }
            let text = format!("(module (import \"table\" \"t\" (table {} funcref)) {fields})", SHAPES.len());
            instances.push(linker.instantiate(&mut store, &module(&engine, &text, &options)).unwrap());
        }
        run(&mut store, instances[0]);
    }
}

/// One module calls an imported function of another's, which calls back.
#[test]
fn tail_calls_of_imported_functions_take_no_stack() {
    let many = "i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64";
    let args: String = (0..12).map(|i| format!("(i64.add (local.get 0) (i64.const {i}))")).collect();
    let first = format!(
        "(module (table (export \"t\") 1 funcref)
           (type $few (func (param i64) (result i64))) (type $many (func (param {many}) (result i64)))
           (func (export \"many\") (type $many)
             (if (i64.eqz (local.get 0)) (then (return (local.get 11))))
             (return_call_indirect (type $few) (i64.sub (local.get 0) (i64.const 1)) (i32.const 0))))"
    );
    let second = format!(
        "(module (import \"a\" \"many\" (func $many (param {many}) (result i64)))
           (import \"a\" \"t\" (table 1 funcref)) (elem (i32.const 0) $few)
           (func $few (export \"few\") (param i64) (result i64) (return_call $many {args})))"
    );
    for options in levels() {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.module(&mut store, "a", &module(&engine, &first, &options)).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, &second, &options)).unwrap();
        let few = instance.get_typed_func::<i64, i64>(&mut store, "few").unwrap();
        assert_eq!(few.call(&mut store, i64::from(CALLS)).unwrap(), 11);
    }
}

/// A host function that is called in tail position gets every argument, has
/// room, and its results go to the caller's caller.
#[test]
fn host_functions_are_called_in_tail_position() {
    let many = ["i32", "i64", "f32", "f64", "i32", "i64", "i64", "i64", "i64", "i64", "f64", "i64", "i64", "i64"];
    let args: String = many.iter().enumerate().map(|(place, ty)| value(ty, place, "(local.get 0)")).collect();
    let ty = format!("(param {}) (result i64 i32)", many.join(" "));
    let callers = |call: &str, callee: &str| {
        format!(
            "(func (param i32) (result i64 i32) ({call} {args} {callee}))
             (func (export \"run\") (param i32) (result i64) (local i64)
               (loop $again
                 (local.set 1 (i64.add (local.get 1) (i64.extend_i32_s (call 1 (local.get 0)))))
                 (local.set 1 (i64.add (local.get 1)))
                 (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
               (local.get 1))"
        )
    };
    let texts = [
        callers("return_call $host", ""),
        callers("return_call_indirect (type $t)", "(i32.const 0)") + "(table funcref (elem $host))",
        callers("return_call_indirect (type $t)", "(i32.const 0)") + "(table (export \"t\") funcref (elem $host))",
        callers("return_call_ref $t", "(ref.func $host)") + "(elem declare func $host)",
    ];
    let types = many.map(|ty| match ty {
        "i32" => ValType::I32,
        "i64" => ValType::I64,
        "f32" => ValType::F32,
        _ => ValType::F64,
    });
    for (text, options) in texts.iter().flat_map(|text| levels().map(move |options| (text, options))) {
        let engine = Engine::default();
        let module = module(
            &engine,
            &format!("(module (type $t (func {ty})) (import \"\" \"host\" (func $host (type $t))) {text})"),
            &options,
        );
        let mut store = Store::new(&engine, ());
        let host = Func::new(&mut store, FuncType::new(types, [ValType::I64, ValType::I32]), |_, args, results| {
            let count = args[0].unwrap_i32();
            let integers = args.iter().enumerate().filter_map(|(place, arg)| match arg {
                Val::I32(x) => Some((place, i64::from(*x))),
                Val::I64(x) => Some((place, *x)),
                Val::F64(bits) => Some((place, f64::from_bits(*bits) as i64)),
                _ => None,
            });
            for (place, got) in integers {
                assert_eq!(got, i64::from(count) + place as i64 * 7919, "argument {place} of {count}");
            }
            results[0] = Val::I64(1);
            results[1] = Val::I32(2);
            Ok(())
        });
        let instance = Instance::new(&mut store, &module, &[host.into()]).unwrap();
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
        let calls = 100_000;
        assert_eq!(run.call(&mut store, calls).unwrap(), 3 * i64::from(calls));
    }
}
