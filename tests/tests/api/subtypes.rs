//! Defined function types: their identity in all modules, subtyping where
//! things are linked and called, and tables of typed references.

use super::{alone, module};
use wasmc_loader::{
    Engine, ExternType, Func, FuncType, Global, GlobalType, Instance, LinkError, Linker, Module, Mutability, Ref,
    Store, Table, TableType, Trap, Val, ValType,
};

/// Two open types, one below the other, and the same twice in another group.
const TYPES: &str = "(type $super (sub (func (result i32)))) (type $sub (sub $super (func (result i32))))
    (rec (type $first (sub (func (result i32)))) (type $second (sub $first (func (result i32)))))";

/// An instance that exports a function of every one of the types.
fn exporter(store: &mut Store<()>, linker: &mut Linker<()>) {
    let functions = ["super", "sub", "first", "second"]
        .map(|name| format!("(func (export \"{name}\") (type ${name}) (i32.const {}))", name.len()));
    let text = format!("(module {TYPES} {})", functions.concat());
    let module = module(linker.engine(), &text);
    linker.module(store, "types", &module).unwrap();
}

fn importer(engine: &Engine, name: &str, ty: &str) -> Module {
    let text = format!(
        "(module {TYPES} (import \"types\" \"{name}\" (func $f (type ${ty})))
           (func (export \"run\") (result i32) (call $f)))"
    );
    module(engine, &text)
}

#[test]
fn an_imported_function_may_be_of_a_subtype_and_of_no_other_type() {
    let engine = Engine::default();
    let (mut store, mut linker) = (Store::new(&engine, ()), Linker::new(&engine));
    exporter(&mut store, &mut linker);
    let names = ["super", "sub", "first", "second"];
    for (i, name) in names.iter().enumerate() {
        for (j, ty) in names.iter().enumerate() {
            let module = importer(&engine, name, ty);
            let fits = i == j || (i, j) == (1, 0) || (i, j) == (3, 2);
            let found = linker.instantiate(&mut store, &module);
            assert_eq!(found.is_ok(), fits, "{name} as {ty}: {found:?}");
            match found {
                Ok(instance) => {
                    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
                    assert_eq!(run.call(&mut store, ()).unwrap(), name.len() as i32);
                }
                Err(error) => {
                    let problem = &error.downcast_ref::<LinkError>().unwrap().problems()[0];
                    assert_ne!(problem.expected(), problem.found().unwrap());
                    let text = error.to_string();
                    assert_eq!(text.matches("() -> (i32) (type ").count(), 2, "both types are named: {text}");
                }
            }
        }
    }
}

#[test]
fn a_type_says_what_it_matches() {
    let engine = Engine::default();
    let (mut store, mut linker) = (Store::new(&engine, ()), Linker::new(&engine));
    exporter(&mut store, &mut linker);
    let mut func = |name| linker.get(&mut store, "types", name).unwrap().into_func().unwrap();
    let (above, below, first) = (func("super"), func("sub"), func("first"));
    let (above_type, below_type) = (above.ty(&store), below.ty(&store));
    let plain = FuncType::new([], [ValType::I32]);
    assert_eq!((above_type.params(), above_type.results()), (plain.params(), plain.results()));
    assert!(below_type.matches(&engine, &above_type) && !above_type.matches(&engine, &below_type));
    assert!(below.matches_ty(&store, &above_type) && below.matches_ty(&store, &below_type));
    assert!(!first.matches_ty(&store, &above_type) && !above.matches_ty(&store, &first.ty(&store)));
    assert!(!above_type.matches(&engine, &plain) && !plain.matches(&engine, &above_type));
    assert!(ExternType::from(below_type).matches(&engine, &above_type.clone().into()));
    // In another module the type is the same.
    let module = importer(&engine, "super", "super");
    let import = module.imports().next().unwrap().ty();
    assert_eq!(import.func(), Some(&above_type));
}

#[test]
fn a_host_function_can_have_a_defined_type_but_a_plain_one_is_none() {
    let engine = Engine::default();
    let module = importer(&engine, "second", "second");
    let ty = module.imports().next().unwrap().ty().func().unwrap().clone();
    let answer = |ty: FuncType| {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.func_new("types", "second", ty, |_, _, results| {
            results[0] = Val::I32(7);
            Ok(())
        })?;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module)?;
        instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())
    };
    assert_eq!(answer(ty.clone()).unwrap(), 7);
    let error = answer(FuncType::new([], [ValType::I32])).unwrap_err();
    assert!(error.is::<LinkError>(), "{error}");
    // An unknown import gets the type that the module wants.
    let (mut store, mut linker) = (Store::new(&engine, ()), Linker::new(&engine));
    linker.define_unknown_imports_as_traps(&module).unwrap();
    linker.instantiate(&mut store, &module).unwrap();
    // Where the type is not known, it means nothing.
    let mut elsewhere: Linker<()> = Linker::new(&Engine::default());
    let error = elsewhere.func_new("types", "second", ty, |_, _, _| Ok(())).err().unwrap().to_string();
    assert!(error.contains("not known to this engine"), "{error}");
}

/// Types of functions, each below the one before it.
fn chain(length: usize) -> String {
    let below = |i| format!("(type $t{i} (sub $t{} (func (result i32))))", i - 1);
    "(type $t0 (sub (func (result i32))))".to_owned() + &(1..length).map(below).collect::<String>()
}

/// Calls through tables of every kind accept subtypes, however deep.
#[test]
fn indirect_calls_accept_functions_of_subtypes_only() {
    const DEPTH: usize = 12;
    let functions: String = (0..DEPTH).map(|i| format!("(func $f{i} (type $t{i}) (i32.const {i}))")).collect();
    let names: String = (0..DEPTH).map(|i| format!(" $f{i}")).collect();
    let few: String = [0, 3, 7, 8, 11].map(|i| format!(" $f{i}")).concat();
    for (table, elements) in [
        (format!("(table funcref (elem {few}))"), vec![0, 3, 7, 8, 11]),
        (format!("(table funcref (elem {names}))"), (0..DEPTH).collect()),
        (format!("(table (export \"t\") funcref (elem {names}))"), (0..DEPTH).collect()),
    ] {
        for call in ["call_indirect", "return_call_indirect"] {
            let calls: String = (0..DEPTH)
                .map(|i| {
                    format!(
                        "(func (export \"{i}\") (param i32) (result i32) ({call} (type $t{i}) (local.get 0)))
                         (func (export \"plain {i}\") (param i32) (result i32)
                           ({call} (type $plain) (local.get 0)))"
                    )
                })
                .collect();
            let (mut store, instance) = alone(&format!(
                "(module {} (type $plain (func (result i32))) {functions} {table} {calls})",
                chain(DEPTH)
            ));
            for wanted in 0..DEPTH {
                for (at, found) in elements.iter().enumerate() {
                    let run = instance.get_typed_func::<i32, i32>(&mut store, &wanted.to_string()).unwrap();
                    let result = run.call(&mut store, at as i32);
                    if *found >= wanted {
                        assert_eq!(result.unwrap(), *found as i32, "{found} as {wanted}");
                    } else {
                        let trap = *result.unwrap_err().downcast_ref::<Trap>().unwrap();
                        assert_eq!(trap, Trap::BadSignature, "{found} as {wanted}");
                    }
                    let plain = format!("plain {wanted}");
                    let plain = instance.get_typed_func::<i32, i32>(&mut store, &plain).unwrap();
                    let trap = *plain.call(&mut store, at as i32).unwrap_err().downcast_ref::<Trap>().unwrap();
                    assert_eq!(trap, Trap::BadSignature, "{found} as a plain type");
                }
            }
        }
    }
}

/// The importing module knows the function as one of a supertype; what it is
/// shows when it is called.
#[test]
fn a_function_stays_what_it_is_when_it_is_imported_as_a_supertype() {
    let engine = Engine::default();
    let text = format!(
        "(module {TYPES} (import \"types\" \"sub\" (func $f (type $super))) (table funcref (elem $f))
           (func (export \"sub\") (result i32) (call_indirect (type $sub) (i32.const 0)))
           (func (export \"first\") (result i32) (call_indirect (type $first) (i32.const 0))))"
    );
    let module = module(&engine, &text);
    let provide = |host: bool| {
        let (mut store, mut linker) = (Store::new(&engine, ()), Linker::new(&engine));
        exporter(&mut store, &mut linker);
        if host {
            let ty = linker.get(&mut store, "types", "sub").unwrap().into_func().unwrap().ty(&store);
            linker.allow_shadowing(true);
            let host = |_: wasmc_loader::Caller<'_, ()>, _: &[Val], results: &mut [Val]| {
                results[0] = Val::I32(3);
                Ok(())
            };
            linker.func_new("types", "sub", ty, host).unwrap();
        }
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let sub = instance.get_typed_func::<(), i32>(&mut store, "sub").unwrap();
        assert_eq!(sub.call(&mut store, ()).unwrap(), 3, "host: {host}");
        let first = instance.get_typed_func::<(), i32>(&mut store, "first").unwrap();
        let trap = first.call(&mut store, ()).unwrap_err();
        assert_eq!(trap.downcast_ref::<Trap>(), Some(&Trap::BadSignature), "host: {host}");
    };
    provide(false);
    provide(true);
}

/// The module that calls the function does not know its type, only the one
/// above it.
#[test]
fn a_host_function_can_be_called_as_one_of_a_supertype() {
    let engine = Engine::default();
    let known = importer(&engine, "sub", "sub");
    let ty = known.imports().next().unwrap().ty().func().unwrap().clone();
    let caller = module(
        &engine,
        r#"(module (type $super (sub (func (result i32))))
            (func (export "call") (param (ref $super)) (result i32) (call_ref $super (local.get 0)))
            (table (export "table") 1 (ref null $super))
            (func (export "indirect") (result i32) (call_indirect (type $super) (i32.const 0))))"#,
    );
    for first in [true, false] {
        let mut store = Store::new(&engine, ());
        let instance = first.then(|| Instance::new(&mut store, &caller, &[]).unwrap());
        let host = Func::new(&mut store, ty.clone(), |_, _, results| {
            results[0] = Val::I32(11);
            Ok(())
        });
        let instance = instance.unwrap_or_else(|| Instance::new(&mut store, &caller, &[]).unwrap());
        let mut results = [Val::I32(0)];
        let call = instance.get_func(&mut store, "call").unwrap();
        call.call(&mut store, &[host.into()], &mut results).unwrap();
        assert_eq!(results[0].unwrap_i32(), 11);
        instance.get_table(&mut store, "table").unwrap().set(&mut store, 0, host.into()).unwrap();
        let indirect = instance.get_typed_func::<(), i32>(&mut store, "indirect").unwrap();
        assert_eq!(indirect.call(&mut store, ()).unwrap(), 11);
    }
}

#[test]
fn only_what_cannot_change_may_be_of_a_subtype() {
    let engine = Engine::default();
    let owner = module(
        &engine,
        r#"(module (type $t (func)) (func $f (export "f") (type $t))
            (global (export "const") (ref $t) (ref.func $f))
            (global (export "var") (mut (ref $t)) (ref.func $f))
            (table (export "table") 1 (ref null $t)))"#,
    );
    let (mut store, mut linker) = (Store::new(&engine, ()), Linker::new(&engine));
    linker.module(&mut store, "m", &owner).unwrap();
    for (import, fits) in [
        ("\"const\" (global (ref $t))", true),
        ("\"const\" (global (ref null $t))", true),
        ("\"const\" (global funcref)", true),
        ("\"const\" (global (ref func))", true),
        ("\"const\" (global (mut (ref $t)))", false),
        ("\"const\" (global (ref $u))", false),
        ("\"const\" (global externref)", false),
        ("\"var\" (global (mut (ref $t)))", true),
        ("\"var\" (global (mut (ref null $t)))", false),
        ("\"var\" (global (mut funcref))", false),
        ("\"var\" (global (ref $t))", false),
        ("\"table\" (table 1 (ref null $t))", true),
        ("\"table\" (table 1 funcref)", false),
        ("\"table\" (table 1 (ref null $u))", false),
    ] {
        let text = format!("(module (type $t (func)) (type $u (func (param i32))) (import \"m\" {import}))");
        let found = linker.instantiate(&mut store, &module(&engine, &text));
        assert_eq!(found.is_ok(), fits, "{import}: {found:?}");
    }
}

#[test]
fn the_host_makes_tables_and_globals_of_typed_references() {
    let engine = Engine::default();
    let owner = module(
        &engine,
        r#"(module (type $t (func (result i32))) (func (export "f") (type $t) (i32.const 5))
            (func (export "g") (param i32)) (table (export "table") 1 (ref null $t)))"#,
    );
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &owner, &[]).unwrap();
    let element = instance.get_table(&mut store, "table").unwrap().ty(&store).element();
    assert!(!matches!(element, ValType::FUNCREF));
    let f = instance.get_func(&mut store, "f").unwrap();
    let g = instance.get_func(&mut store, "g").unwrap();
    let table = Table::new(&mut store, TableType::new(element, 2, None), Ref::Func(Some(f))).unwrap();
    assert!(table.set(&mut store, 0, Ref::Func(Some(g))).is_err(), "a function of another type");
    assert!(Table::new(&mut store, TableType::new(element, 2, None), Ref::Func(Some(g))).is_err());
    let global = GlobalType::new(element, Mutability::Var);
    assert!(Global::new(&mut store, global.clone(), Val::FuncRef(Some(g))).is_err());
    let global = Global::new(&mut store, global, Val::FuncRef(Some(f))).unwrap();
    assert!(global.set(&mut store, Val::FuncRef(Some(g))).is_err());
    global.set(&mut store, Val::FuncRef(None)).unwrap();
    let user = module(
        &engine,
        r#"(module (type $t (func (result i32))) (import "" "table" (table 2 (ref null $t)))
            (import "" "global" (global (mut (ref null $t))))
            (func (export "call") (result i32) (call_ref $t (table.get (i32.const 1))))
            (func (export "null") (result i32) (call_ref $t (global.get 0))))"#,
    );
    let instance = Instance::new(&mut store, &user, &[table.into(), global.into()]).unwrap();
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "call").unwrap().call(&mut store, ()).unwrap(), 5);
    let null = instance.get_typed_func::<(), i32>(&mut store, "null").unwrap();
    let error = null.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::NullReference));
    // The store goes on.
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "call").unwrap().call(&mut store, ()).unwrap(), 5);
}

/// A table whose elements are all one function at first: written down in the
/// artifact, filled by the loader, or read-only.
#[test]
fn tables_begin_with_their_initial_value() {
    let engine = Engine::default();
    let text = r#"(module (type $t (func (result i32)))
        (import "" "host" (global $host funcref)) (import "" "value" (global $value externref))
        (func $one (type $t) (i32.const 1)) (func $two (type $t) (i32.const 2))
        (table $small (export "small table") 5 (ref $t) (ref.func $one))
        (table $large 100000 (ref $t) (ref.func $one))
        (table $fixed 3 (ref null $t) (ref.func $two))
        (table $imported 4 funcref (global.get $host))
        (table $values (export "values") 4 externref (global.get $value))
        (elem (table $small) (i32.const 1) (ref $t) (item ref.func $two))
        (elem (table $large) (i32.const 99999) (ref $t) (item ref.func $two))
        (elem (table $imported) (i32.const 2) func $two)
        (func (export "small") (param i32) (result i32) (call_ref $t (table.get $small (local.get 0))))
        (func (export "large") (param i32) (result i32) (call_ref $t (table.get $large (local.get 0))))
        (func (export "fixed") (param i32) (result i32) (call_indirect $fixed (type $t) (local.get 0)))
        (func (export "imported") (param i32) (result i32) (call_indirect $imported (type $t) (local.get 0)))
        (func (export "change") (table.fill $small (i32.const 0) (ref.func $two) (i32.const 5))
          (table.fill $large (i32.const 0) (ref.func $two) (i32.const 5)))
        (func (export "some") (param i32) (result i32) (ref.is_null (table.get $values (local.get 0)))))"#;
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, || 3i32);
    let host = Global::new(&mut store, GlobalType::new(ValType::FUNCREF, Mutability::Const), Val::FuncRef(Some(host)));
    let value = wasmc_loader::ExternRef::new(&mut store, 9u32).unwrap();
    let ty = GlobalType::new(ValType::EXTERNREF, Mutability::Const);
    let value = Global::new(&mut store, ty, Val::ExternRef(Some(value)));
    let imports = [host.unwrap().into(), value.unwrap().into()];
    let instance = Instance::new(&mut store, &module, &imports).unwrap();
    let expected = [
        ("small", 0, 1),
        ("small", 1, 2),
        ("small", 4, 1),
        ("large", 0, 1),
        ("large", 99_998, 1),
        ("large", 99_999, 2),
        ("fixed", 0, 2),
        ("fixed", 2, 2),
        ("imported", 0, 3),
        ("imported", 2, 2),
        ("imported", 3, 3),
        ("some", 3, 0),
    ];
    for round in 0..3 {
        for (name, index, result) in expected {
            let run = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            assert_eq!(run.call(&mut store, index).unwrap(), result, "{name} {index} in round {round}");
        }
        let change = instance.get_typed_func::<(), ()>(&mut store, "change").unwrap();
        change.call(&mut store, ()).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "large").unwrap();
        assert_eq!(run.call(&mut store, 0).unwrap(), 2);
        instance.reset(&mut store).unwrap();
    }
}
