//! What can be made of types alone, and what types, modules and linkers tell.

use super::{alone, module};
use wasmc_loader::{
    Caller, Engine, Error, Extern, ExternType, Func, FuncType, Global, GlobalType, HeapType, Linker, MemoryType,
    Module, ModuleFunction, Mutability, Precompiled, Ref, RefType, Store, TableType, TagType, Val, ValType,
};

const TYPES: &str = r#"(module
    (import "" "func" (func (param i32 i64) (result f32 externref)))
    (import "" "global" (global (mut i64)))
    (import "" "table" (table 3 7 funcref))
    (import "" "memory" (memory 2))
    (import "" "shared" (memory 1 2 shared))
    (import "" "tag" (tag (param i32))))"#;

#[test]
fn something_of_every_type_can_be_made() {
    let engine = Engine::default();
    let module = module(&engine, TYPES);
    let mut store = Store::new(&engine, ());
    let made: Vec<Extern> = module.imports().map(|import| import.ty().default_value(&mut store).unwrap()).collect();
    let types: Vec<ExternType> = module.imports().map(|import| import.ty()).collect();
    assert_eq!(made.iter().map(|made| made.ty(&store)).collect::<Vec<_>>(), types);
    let mut results = [Val::I32(1), Val::I32(1)];
    let func = made[0].clone().into_func().unwrap();
    func.call(&mut store, &[Val::I32(1), Val::I64(2)], &mut results).unwrap();
    assert!(matches!(results, [Val::F32(0), Val::ExternRef(None)]), "{results:?}");
    assert_eq!(made[1].clone().into_global().unwrap().get(&mut store).i64(), Some(0));
    assert!(made[2].clone().into_table().unwrap().get(&mut store, 2).unwrap().is_null());
    assert_eq!(made[3].clone().into_memory().unwrap().data_size(&store), 2 << 16);
    assert_eq!(made[4].clone().into_shared_memory().unwrap().size(), 1);
    assert!(made[5].clone().into_tag().is_some());
    wasmc_loader::Instance::new(&mut store, &module, &made).unwrap();
    let unshared = MemoryType::new(1, None).default_value(&mut store).unwrap();
    assert!(unshared.into_memory().is_some());
    TagType::new(FuncType::new([ValType::I32], [])).default_value(&mut store).unwrap();
}

#[test]
fn a_reference_that_cannot_be_null_has_no_default() {
    let mut store = Store::new(&Engine::default(), ());
    let never_null = RefType::new(false, HeapType::Func);
    let refused =
        |error: Error| assert!(format!("{error:#}").contains("no default value of type (ref func)"), "{error:#}");
    refused(FuncType::new([], [never_null.into()]).default_value(&mut store).unwrap_err());
    refused(GlobalType::new(never_null.into(), Mutability::Var).default_value(&mut store).unwrap_err());
    refused(TableType::new(never_null, 1, None).default_value(&mut store).unwrap_err());
    refused(ExternType::from(TableType::new64(never_null, 1, None)).default_value(&mut store).unwrap_err());
}

#[test]
fn types_are_taken_apart() {
    let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::FUNCREF]);
    assert_eq!(
        (ty.param(1), ty.param(2), ty.result(0), ty.result(1)),
        (Some(ValType::F64), None, Some(ValType::FUNCREF), None)
    );
    let func = ExternType::from(ty.clone());
    assert_eq!(func.unwrap_func(), &ty);
    let table = TableType::new(RefType::FUNCREF, 1, None);
    assert_eq!(table, TableType::new(ValType::FUNCREF, 1, None));
    assert_eq!(ExternType::from(table.clone()).unwrap_table(), &table);
    let memory = MemoryType::new(1, None);
    assert_eq!(ExternType::from(memory.clone()).unwrap_memory(), &memory);
    let global = GlobalType::new(ValType::I32, Mutability::Const);
    assert_eq!(ExternType::from(global.clone()).unwrap_global(), &global);
    let tag = TagType::new(FuncType::new([], []));
    assert_eq!(ExternType::Tag(tag.clone()).unwrap_tag(), &tag);
    let unwraps: [fn(&ExternType); 4] = [
        |ty| drop(ty.unwrap_table().clone()),
        |ty| drop(ty.unwrap_memory().clone()),
        |ty| drop(ty.unwrap_global().clone()),
        |ty| drop(ty.unwrap_tag().clone()),
    ];
    for unwrap in unwraps {
        let panic = std::panic::catch_unwind(|| unwrap(&func)).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().starts_with("expected the type of a"), "{panic:?}");
    }
    let panic = std::panic::catch_unwind(|| ExternType::Memory(memory).unwrap_func().clone()).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().starts_with("expected the type of a function"));
}

#[test]
fn a_linker_tells_what_is_defined() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 5);
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(9)).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("b", "second", |caller: Caller<'_, i32>| *caller.data()).unwrap();
    linker.define(&store, "a", "first", global).unwrap();
    linker.alias("b", "second", "c", "third").unwrap();
    let all: Vec<_> = linker.iter(&mut store).map(|(module, name, item)| (module.to_owned(), name, item)).collect();
    assert_eq!(all.len(), 3);
    let found: Vec<_> = all.iter().map(|(module, name, _)| (module.as_str(), *name)).collect();
    assert_eq!(found, [("b", "second"), ("a", "first"), ("c", "third")]);
    for (at, (.., item)) in all.into_iter().enumerate() {
        match item {
            Extern::Func(func) => assert_eq!(func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 5),
            Extern::Global(global) => assert_eq!((at, global.get(&mut store).i32()), (1, Some(9))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn exports_have_types_and_modules_functions() {
    let text = r#"(module (import "" "f" (func $imported)) (memory (export "memory") 1 3)
        (func $own (export "own") (result i32) i32.const 1) (func (drop (memory.grow (i32.const 1)))))"#;
    let (mut store, instance) = super::with_data((), text, |linker| {
        linker.func_wrap("", "f", || {}).unwrap();
    });
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    memory.grow(&mut store, 1).unwrap();
    let types: Vec<_> = {
        let exports: Vec<_> = instance.exports(&mut store).map(|export| (export.name().to_owned(), export)).collect();
        exports.into_iter().map(|(name, export)| (name, export.into_extern())).collect()
    };
    assert_eq!(types[0].1.ty(&store), MemoryType::new(2, Some(3)).into());
    let module: Module = instance.module(&store).clone();
    let functions: Vec<ModuleFunction<'_>> = module.functions().collect();
    assert_eq!(
        functions.iter().map(|f| (f.index, f.name)).collect::<Vec<_>>(),
        [(1, Some("own")), (2, Some("wasm-function[2]"))]
    );
    let text = module.text();
    assert!(functions.iter().all(|f| f.len > 0 && f.offset + f.len <= text.len()), "{functions:?} in {text:?}");
    assert!(functions[0].offset + functions[0].len <= functions[1].offset);
    assert!(Module::same(&module, &module.clone()));
    assert!(!Module::same(&module, &super::module(store.engine(), r#"(module)"#)));
}

#[test]
fn artifacts_are_told_from_other_files() {
    let artifact = wasmc::compile(b"(module)", &wasmc::Options::new()).unwrap();
    assert_eq!(Engine::detect_precompiled(&artifact), Some(Precompiled::Module));
    let host = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for other in [&[][..], b"\0asm\x01\0\0\0", &host, &artifact[..10]] {
        assert_eq!(Engine::detect_precompiled(other), None);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.cwasm");
    let error = Engine::detect_precompiled_file(&file).unwrap_err();
    assert!(format!("{error:#}").contains("module.cwasm"), "{error:#}");
    std::fs::write(&file, &artifact).unwrap();
    assert_eq!(Engine::detect_precompiled_file(&file).unwrap(), Some(Precompiled::Module));
    std::fs::write(&file, "text").unwrap();
    assert_eq!(Engine::detect_precompiled_file(&file).unwrap(), None);
}

#[test]
fn functions_can_be_kept_as_addresses() {
    let (mut store, instance) = alone(r#"(module (func (export "six") (result i32) i32.const 6))"#);
    let six = instance.get_func(&mut store, "six").unwrap();
    let raw = six.to_raw(&store);
    // SAFETY: the address comes from this store.
    let again = unsafe { Func::from_raw(&store, raw) }.unwrap();
    assert_eq!(again.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 6);
    assert_eq!(again.to_raw(&store), raw);
    // SAFETY: null is allowed.
    assert!(unsafe { Func::from_raw(&store, std::ptr::null_mut()) }.is_none());
    let table = TableType::new(RefType::FUNCREF, 1, None).default_value(&mut store).unwrap();
    table.set(&mut store, 0, again.into()).unwrap();
    let Some(Ref::Func(Some(found))) = table.get(&mut store, 0) else { panic!("the element is null") };
    assert_eq!(found.to_raw(&store), raw);
}

#[test]
fn boxed_errors_pass_through() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    let (mut store, instance) =
        super::with_data((), r#"(module (import "" "f" (func $f)) (func (export "run") (call $f)))"#, |linker| {
            let fail = || Err::<(), _>(Error::from_boxed(Boxed::from("no paper")).context("cannot print"));
            linker.func_wrap("", "f", fail).unwrap();
        });
    let error = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap_err();
    assert_eq!(format!("{error:#}"), "cannot print: no paper");
    assert_eq!(error.downcast::<Boxed>().unwrap().to_string(), "no paper");
}
