//! Calls in both directions, with every type of value.

use super::{alone, with_data};
use wasmc_loader::{Caller, ExternRef, Func, FuncType, Linker, Result, Rooted, V128, Val, ValType};

/// A function that returns its parameter, for every type, and one that gets
/// it from the host.
fn echoes(ty: &str) -> String {
    format!(
        r#"(module
            (import "host" "echo" (func $echo (param {ty}) (result {ty})))
            (func (export "same") (param {ty}) (result {ty}) local.get 0)
            (func (export "host") (param {ty}) (result {ty}) local.get 0 call $echo))"#
    )
}

macro_rules! typed_echo {
    ($rust:ty, $wasm:literal, $($value:expr),+) => {{
        let define = |linker: &mut Linker<()>| {
            linker.func_wrap("host", "echo", |value: $rust| value).unwrap();
        };
        let (mut store, instance) = with_data((), &echoes($wasm), define);
        for name in ["same", "host"] {
            let echo = instance.get_typed_func::<$rust, $rust>(&mut store, name).unwrap();
            $(assert_eq!(echo.call(&mut store, $value).unwrap(), $value, "{name} {}", $wasm);)+
        }
    }};
}

#[test]
fn numbers_and_vectors_pass_unchanged_in_both_directions() {
    typed_echo!(i32, "i32", 0, 1, -1, i32::MIN, i32::MAX);
    typed_echo!(u32, "i32", 0, u32::MAX, 1 << 31);
    typed_echo!(i64, "i64", 0, -1, i64::MIN, i64::MAX);
    typed_echo!(u64, "i64", u64::MAX, 1 << 63);
    typed_echo!(f32, "f32", 0.0, -1.5, f32::INFINITY, f32::MIN_POSITIVE);
    typed_echo!(f64, "f64", 0.0, 1e300, f64::NEG_INFINITY);
    typed_echo!(V128, "v128", V128::from(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
}

#[test]
fn values_pass_unchanged_through_untyped_calls() {
    let values = [
        Val::I32(-5),
        Val::I64(i64::MIN + 3),
        Val::F32(0x7fc0_1234),
        Val::F64(0xfff8_0000_0000_1234),
        Val::V128(V128::from(u128::MAX - 7)),
        Val::FuncRef(None),
        Val::ExternRef(None),
    ];
    for value in values {
        let ty = match value {
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::FuncRef(_) => ValType::FUNCREF,
            number => number.ty(wasmc_loader::Store::new(&wasmc_loader::Engine::default(), ())).unwrap(),
        };
        let define = |linker: &mut Linker<()>| {
            let ty = FuncType::new([ty], [ty]);
            linker
                .func_new("host", "echo", ty, |_, params, results| {
                    results[0] = params[0];
                    Ok(())
                })
                .unwrap();
        };
        let (mut store, instance) = with_data((), &echoes(&ty.to_string()), define);
        for name in ["same", "host"] {
            let func = instance.get_func(&mut store, name).unwrap();
            let mut results = [Val::I32(0)];
            func.call(&mut store, &[value], &mut results).unwrap();
            assert_eq!(format!("{:?}", results[0]), format!("{value:?}"), "{name}");
        }
    }
}

#[test]
fn references_keep_their_identity() {
    let define = |linker: &mut Linker<()>| {
        linker.func_wrap("host", "echo", |value: Option<Rooted<ExternRef>>| value).unwrap();
    };
    let (mut store, instance) = with_data((), &echoes("externref"), define);
    let value = ExternRef::new(&mut store, String::from("host")).unwrap();
    for name in ["same", "host"] {
        type Reference = Option<Rooted<ExternRef>>;
        let echo = instance.get_typed_func::<Reference, Reference>(&mut store, name).unwrap();
        let back = echo.call(&mut store, Some(value)).unwrap().unwrap();
        assert!(Rooted::ref_eq(&store, &back, &value).unwrap());
        assert!(echo.call(&mut store, None).unwrap().is_none());
    }
    assert_eq!(value.data(&store).unwrap().unwrap().downcast_ref::<String>().unwrap(), "host");
}

#[test]
fn functions_can_be_passed_and_called() {
    let text = r#"(module
        (type $unary (func (param i32) (result i32)))
        (table $t 1 funcref)
        (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
        (elem declare func $double)
        (func (export "get") (result funcref) ref.func $double)
        (func (export "call") (param funcref i32) (result i32)
            (table.set $t (i32.const 0) (local.get 0))
            (call_indirect $t (type $unary) (local.get 1) (i32.const 0))))"#;
    let (mut store, instance) = alone(text);
    let get = instance.get_typed_func::<(), Option<Func>>(&mut store, "get").unwrap();
    let call = instance.get_typed_func::<(Option<Func>, i32), i32>(&mut store, "call").unwrap();
    let double = get.call(&mut store, ()).unwrap().unwrap();
    assert_eq!(double.typed::<i32, i32>(&store).unwrap().call(&mut store, 21).unwrap(), 42);
    assert_eq!(call.call(&mut store, (Some(double), 4)).unwrap(), 8);
    let host = Func::wrap(&mut store, |x: i32| x + 100);
    assert_eq!(call.call(&mut store, (Some(host), 4)).unwrap(), 104);
    assert_eq!(host.typed::<i32, i32>(&store).unwrap().call(&mut store, 1).unwrap(), 101);
    let error = call.call(&mut store, (None, 4)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&wasmc_loader::Trap::IndirectCallToNull));
}

#[test]
fn a_host_function_becomes_callable_when_a_module_brings_its_adapter() {
    let engine = wasmc_loader::Engine::default();
    let mut store = wasmc_loader::Store::new(&engine, ());
    // Nothing in the store has an adapter for this type yet, which needs one: some
    // arguments are not in registers.
    type Number = i64;
    let sum = |a: Number, b: Number, c: Number, d: Number, e: Number, f: Number, g: Number, h: f32| {
        (a + b + c + d + e + f + g) as f64 + f64::from(h)
    };
    let host = Func::wrap(&mut store, sum);
    let text = r#"(module
        (type $t (func (param i64 i64 i64 i64 i64 i64 i64 f32) (result f64)))
        (table $t 1 funcref)
        (func (export "call") (param funcref) (result f64)
            (table.set $t (i32.const 0) (local.get 0))
            (call_indirect $t (type $t) (i64.const 1) (i64.const 10) (i64.const 100) (i64.const 1000)
                (i64.const 10000) (i64.const 100000) (i64.const 1000000) (f32.const 0.5) (i32.const 0))))"#;
    let module = super::module(&engine, text);
    let instance = wasmc_loader::Instance::new(&mut store, &module, &[]).unwrap();
    let call = instance.get_typed_func::<Option<Func>, f64>(&mut store, "call").unwrap();
    assert_eq!(call.call(&mut store, Some(host)).unwrap(), 1_111_111.5);
}

#[test]
fn host_functions_get_their_arguments_and_fail_with_or_without_an_adapter() {
    // With more of either kind than these, or more than one result, some are not
    // in registers.
    let kinds = [(0, 0, 1), (5, 0, 1), (6, 0, 1), (0, 8, 1), (0, 9, 1), (5, 8, 0), (5, 8, 1), (2, 2, 2)];
    for (whole, fractions, results) in kinds {
        let params = format!("{}{}", "i64 ".repeat(whole), "f64 ".repeat(fractions));
        let kept = ["", "(result i64)", "(result i64 i64)"][results];
        let give: String = (0..whole).map(|i| format!("(i64.const {})", 1_i64 << i)).collect();
        let give = give + &(0..fractions).map(|i| format!("(f64.const {}.5)", 1000 << i)).collect::<String>();
        let text = format!(
            r#"(module
                (type $t (func (param {params}) {kept}))
                (import "host" "f" (func $f (type $t)))
                (table 1 funcref) (elem (i32.const 0) $f)
                (func (export "plain") {kept} (call $f {give}))
                (func (export "indirect") {kept} (call_indirect (type $t) {give} (i32.const 0)))
                (func (export "tail") {kept} (return_call $f {give})))"#
        );
        let mut expected = (0..whole).map(|i| 1_i64 << i).sum::<i64>();
        expected += (0..fractions).map(|i| 2000_i64 << i).sum::<i64>() + fractions as i64;
        let (mut store, instance) = with_data(None, &text, |linker| define_sum(linker, (whole, fractions, results)));
        for name in ["plain", "indirect", "tail"] {
            let func = instance.get_func(&mut store, name).unwrap();
            let mut made = vec![Val::I64(0); results];
            *store.data_mut() = None;
            func.call(&mut store, &[], &mut made).unwrap();
            assert_eq!(*store.data(), Some(expected), "{name} {params}");
            assert!(made.iter().all(|made| made.unwrap_i64() == expected), "{name} {params}: {made:?}");
            // The next call finds data, and fails.
            let error = func.call(&mut store, &[], &mut made).unwrap_err();
            assert_eq!(error.root_cause(), format!("{expected} again"), "{name} {params}");
            assert_eq!(*store.data(), Some(expected));
        }
    }
}

/// Defines a function that stores twice the sum of its arguments' halves, and
/// returns it as often as is asked for; it fails where there is something already.
fn define_sum(linker: &mut Linker<Option<i64>>, kind: (usize, usize, usize)) {
    fn keep(mut caller: Caller<'_, Option<i64>>, whole: &[i64], fractions: &[f64]) -> Result<i64> {
        let sum = whole.iter().sum::<i64>() + (2.0 * fractions.iter().sum::<f64>()) as i64;
        match caller.data_mut() {
            Some(old) => Err(wasmc_loader::Error::msg(format!("{old} again"))),
            none => Ok(*none.insert(sum)),
        }
    }
    type C<'a> = Caller<'a, Option<i64>>;
    type I = i64;
    type F = f64;
    match kind {
        (0, 0, 1) => linker.func_wrap("host", "f", |c: C<'_>| keep(c, &[], &[])),
        (5, 0, 1) => {
            linker.func_wrap("host", "f", |c: C<'_>, a: I, b: I, d: I, e: I, f: I| keep(c, &[a, b, d, e, f], &[]))
        }
        (6, 0, 1) => linker
            .func_wrap("host", "f", |c: C<'_>, a: I, b: I, d: I, e: I, f: I, g: I| keep(c, &[a, b, d, e, f, g], &[])),
        (0, 8, 1) => linker.func_wrap("host", "f", |c: C<'_>, a: F, b: F, d: F, e: F, f: F, g: F, h: F, i: F| {
            keep(c, &[], &[a, b, d, e, f, g, h, i])
        }),
        (0, 9, 1) => linker.func_wrap("host", "f", |c: C<'_>, a: F, b: F, d: F, e: F, f: F, g: F, h: F, i: F, j: F| {
            keep(c, &[], &[a, b, d, e, f, g, h, i, j])
        }),
        (5, 8, 0) => linker.func_wrap(
            "host",
            "f",
            |c: C<'_>, a: I, b: I, d: I, e: I, f: I, g: F, h: F, i: F, j: F, k: F, l: F, m: F, n: F| {
                keep(c, &[a, b, d, e, f], &[g, h, i, j, k, l, m, n]).map(drop)
            },
        ),
        (5, 8, _) => linker.func_wrap(
            "host",
            "f",
            |c: C<'_>, a: I, b: I, d: I, e: I, f: I, g: F, h: F, i: F, j: F, k: F, l: F, m: F, n: F| {
                keep(c, &[a, b, d, e, f], &[g, h, i, j, k, l, m, n])
            },
        ),
        _ => linker
            .func_wrap("host", "f", |c: C<'_>, a: I, b: I, d: F, e: F| keep(c, &[a, b], &[d, e]).map(|sum| (sum, sum))),
    }
    .unwrap();
}

#[test]
fn many_parameters_and_results_arrive_in_order() {
    let text = r#"(module
        (import "host" "mix" (func $mix (param i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 i32 i64)
            (result f64 i64 i32)))
        (func (export "mix") (param i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 i32 i64) (result f64 i64 i32)
            local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5
            local.get 6 local.get 7 local.get 8 local.get 9 local.get 10 local.get 11
            call $mix)
        (func (export "pair") (param i32 v128) (result v128 i32) local.get 1 local.get 0))"#;
    type Params = (i32, i64, f32, f64, i32, i64, f32, f64, i32, i64, i32, i64);
    #[allow(clippy::too_many_arguments)]
    fn mix(
        a: i32,
        b: i64,
        c: f32,
        d: f64,
        e: i32,
        f: i64,
        g: f32,
        h: f64,
        i: i32,
        j: i64,
        k: i32,
        l: i64,
    ) -> (f64, i64, i32) {
        (
            f64::from(c) + 10.0 * d + 100.0 * f64::from(g) + 1000.0 * h,
            b + 10 * f + 100 * j + 1000 * l,
            a + 10 * e + 100 * i + 1000 * k,
        )
    }
    let (mut store, instance) = with_data((), text, |linker| {
        linker.func_wrap("host", "mix", mix).unwrap();
    });
    let typed = instance.get_typed_func::<Params, (f64, i64, i32)>(&mut store, "mix").unwrap();
    let params = (1, 2, 3.0, 4.0, 5, 6, 7.0, 8.0, 9, 1, 2, 3);
    assert_eq!(typed.call(&mut store, params).unwrap(), (8743.0, 3162, 2951));
    let pair = instance.get_typed_func::<(i32, V128), (V128, i32)>(&mut store, "pair").unwrap();
    assert_eq!(pair.call(&mut store, (7, V128::from(1 << 100))).unwrap(), (V128::from(1 << 100), 7));
}

#[test]
fn sixteen_parameters_are_possible_and_more_without_types() {
    let text = r#"(module
        (func (export "last") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i64)
            local.get 15)
        (func (export "more") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64)
            (result i64) local.get 19))"#;
    let (mut store, instance) = alone(text);
    type Sixteen = (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i64);
    let last = instance.get_typed_func::<Sixteen, i64>(&mut store, "last").unwrap();
    assert_eq!(last.call(&mut store, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).unwrap(), 15);
    let more = instance.get_func(&mut store, "more").unwrap();
    let params: Vec<Val> = (0..19).map(Val::I32).chain([Val::I64(99)]).collect();
    let mut results = [Val::I32(0)];
    more.call(&mut store, &params, &mut results).unwrap();
    assert_eq!(results[0].unwrap_i64(), 99);
}

#[test]
fn calls_with_the_wrong_types_are_refused() {
    let (mut store, instance) = alone(r#"(module (func (export "f") (param i32) (result i64) i64.const 0))"#);
    let error = instance.get_typed_func::<i64, i64>(&mut store, "f").unwrap_err();
    assert!(format!("{error:#}").contains("(i32) -> (i64)"), "{error:#}");
    let func = instance.get_func(&mut store, "f").unwrap();
    assert_eq!(func.ty(&store), FuncType::new([ValType::I32], [ValType::I64]));
    assert!(func.call(&mut store, &[Val::I64(0)], &mut [Val::I32(0)]).is_err());
    assert!(func.call(&mut store, &[], &mut [Val::I32(0)]).is_err());
    assert!(func.call(&mut store, &[Val::I32(0)], &mut []).is_err());
    assert!(instance.get_typed_func::<(), ()>(&mut store, "g").unwrap_err().to_string().contains("`g`"));
}

#[test]
fn a_host_function_reaches_data_and_exports_of_its_caller() {
    let text = r#"(module
        (import "host" "log" (func $log (param i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "hello")
        (func (export "run") i32.const 16 i32.const 5 call $log))"#;
    let (mut store, instance) = with_data(Vec::<String>::new(), text, |linker| {
        let log = |mut caller: Caller<'_, Vec<String>>, at: i32, length: i32| -> Result<()> {
            let memory = caller.get_export("memory").unwrap().into_memory().unwrap();
            let (bytes, lines) = memory.data_and_store_mut(&mut caller);
            lines.push(String::from_utf8(bytes[at as usize..(at + length) as usize].to_vec())?);
            Ok(())
        };
        linker.func_wrap("host", "log", log).unwrap();
    });
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    run.call(&mut store, ()).unwrap();
    assert_eq!(store.into_data(), ["hello", "hello"]);
}

#[test]
fn calls_nest_between_wasm_and_host() {
    let text = r#"(module
        (import "host" "down" (func $down (param i32) (result i32)))
        (func (export "up") (param i32) (result i32)
            local.get 0 call $down i32.const 1 i32.add))"#;
    let (mut store, instance) = with_data((), text, |linker| {
        let down = |mut caller: Caller<'_, ()>, depth: i32| -> Result<i32> {
            if depth == 0 {
                return Ok(0);
            }
            let up = caller.get_export("up").unwrap().into_func().unwrap().typed::<i32, i32>(&caller)?;
            up.call(&mut caller, depth - 1)
        };
        linker.func_wrap("host", "down", down).unwrap();
    });
    let up = instance.get_typed_func::<i32, i32>(&mut store, "up").unwrap();
    assert_eq!(up.call(&mut store, 50).unwrap(), 51);
}
