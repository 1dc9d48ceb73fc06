//! Rooted references: whose they are, and how long they are good.

use super::{engines, instance, linker, module};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use wasmc_loader::{
    AnyRef, Caller, Engine, ExternRef, Global, GlobalType, I31, Mutability, OwnedRooted, Ref, RootError, RootScope,
    Rooted, Store, Table, TableType, Val, ValType,
};

type Reference = Option<Rooted<ExternRef>>;

const ECHO: &str = r#"(module
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "any") (param anyref) (result anyref) (local.get 0)))"#;

fn reason<T: std::fmt::Debug>(result: wasmc_loader::Result<T>) -> RootError {
    *result.unwrap_err().downcast_ref().unwrap()
}

/// Everything that can be done with a reference, each with its outcome.
fn uses(store: &mut Store<()>, reference: Rooted<ExternRef>) -> Vec<(&'static str, wasmc_loader::Result<()>)> {
    let engine = store.engine().clone();
    let instance = linker(&engine).instantiate(&mut *store, &module(&engine, ECHO)).unwrap();
    let typed = instance.get_typed_func::<Reference, Reference>(&mut *store, "extern").unwrap();
    let func = instance.get_func(&mut *store, "extern").unwrap();
    let global = GlobalType::new(ValType::EXTERNREF, Mutability::Var);
    let table = TableType::new(ValType::EXTERNREF, 1, None);
    let other = ExternRef::new(&mut *store, ()).unwrap();
    let own = Table::new(&mut *store, table.clone(), Ref::Extern(None)).unwrap();
    let mut results = [Val::I32(0)];
    vec![
        ("data", reference.data(&*store).map(|_| ())),
        ("data_mut", reference.data_mut(&mut *store).map(|_| ())),
        ("to_vm", reference.to_vm(&*store).map(|_| ())),
        ("to_owned_rooted", reference.to_owned_rooted(&mut *store).map(|_| ())),
        ("ref_eq", Rooted::ref_eq(&*store, &reference, &other).map(|_| ())),
        ("ref_hash", reference.ref_hash(&*store, &mut DefaultHasher::new())),
        ("convert_extern", AnyRef::convert_extern(&mut *store, reference).map(|_| ())),
        ("Val::ty", Val::from(reference).ty(&*store).map(|_| ())),
        ("Val::matches_ty", Val::from(reference).matches_ty(&*store, &ValType::EXTERNREF).map(|_| ())),
        ("Ref::ty", Ref::from(reference).ty(&*store).map(|_| ())),
        ("typed call", typed.call(&mut *store, Some(reference)).map(|_| ())),
        ("untyped call", func.call(&mut *store, &[reference.into()], &mut results)),
        ("Global::new", Global::new(&mut *store, global, reference.into()).map(|_| ())),
        ("Table::new", Table::new(&mut *store, table, reference.into()).map(|_| ())),
        ("Table::set", own.set(&mut *store, 0, reference.into())),
        ("Table::grow", own.grow(&mut *store, 1, reference.into()).map(|_| ())),
    ]
}

#[test]
fn every_use_of_a_reference_of_another_store_is_an_error() {
    let engine = Engine::default();
    let (mut store, mut other) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let reference = ExternRef::new(&mut store, 1u8).unwrap();
    for (name, outcome) in uses(&mut store, reference) {
        outcome.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
    for (name, outcome) in uses(&mut other, reference) {
        assert_eq!(reason(outcome), RootError::WrongStore, "{name}");
    }
    let owned = reference.to_owned_rooted(&mut store).unwrap();
    assert_eq!(reason(owned.data(&other)), RootError::WrongStore);
    let panic = catch_unwind(AssertUnwindSafe(|| owned.to_rooted(&mut other))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("belong to the store they were made in"));
}

#[test]
fn every_use_of_a_reference_after_its_scope_is_an_error() {
    let mut store = Store::new(&Engine::default(), ());
    let (stale, owned) = {
        let mut scope = RootScope::new(&mut store);
        scope.reserve(10);
        let reference = ExternRef::new(&mut scope, 1u8).unwrap();
        (reference, reference.to_owned_rooted(&mut scope).unwrap())
    };
    for (name, outcome) in uses(&mut store, stale) {
        assert_eq!(reason(outcome), RootError::Unrooted, "{name}");
    }
    let good = owned.to_rooted(&mut store);
    for (name, outcome) in uses(&mut store, good) {
        outcome.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
}

#[test]
fn scopes_nest_and_end_in_order() {
    let mut store = Store::new(&Engine::default(), ());
    let mut outer = RootScope::new(&mut store);
    let first = ExternRef::new(&mut outer, 1u8).unwrap();
    let second = {
        let mut inner = RootScope::new(&mut outer);
        let second = ExternRef::new(&mut inner, 2u8).unwrap();
        assert!(first.data(&inner).is_ok() && second.data(&inner).is_ok());
        second
    };
    assert!(first.data(&outer).is_ok() && second.data(&outer).is_err());
    drop(outer);
    assert_eq!(reason(first.data(&store)), RootError::Unrooted);
}

#[test]
fn a_host_function_ends_the_scope_of_what_it_was_given_and_what_it_made() {
    for engine in engines() {
        let mut linker = linker(&engine);
        let leaked: Arc<Mutex<Vec<Rooted<ExternRef>>>> = Arc::default();
        let leak = leaked.clone();
        let leak = move |mut caller: Caller<'_, ()>, given: Rooted<ExternRef>| {
            let made = ExternRef::new(&mut caller, ())?;
            caller.gc();
            assert!(given.data(&caller).is_ok() && made.data(&caller).is_ok());
            leak.lock().unwrap().extend([given, made]);
            wasmc_loader::Result::Ok(made)
        };
        linker.func_wrap("host", "leak", leak).unwrap();
        let text = r#"(module (import "host" "leak" (func $leak (param (ref extern)) (result (ref extern))))
            (func (export "run") (param (ref extern)) (result (ref extern)) (call $leak (local.get 0))))"#;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<Rooted<ExternRef>, Rooted<ExternRef>>(&mut store, "run").unwrap();
        let given = ExternRef::new(&mut store, 5u8).unwrap();
        let back = run.call(&mut store, given).unwrap();
        assert!(given.data(&store).is_ok() && back.data(&store).is_ok());
        for stale in leaked.lock().unwrap().drain(..) {
            assert_eq!(reason(stale.data(&store)), RootError::Unrooted);
        }
        // Also if the host function is called without wasm in between.
        let direct = linker.get(&mut store, "host", "leak").unwrap().into_func().unwrap();
        let mut results = [Val::I32(0)];
        direct.call(&mut store, &[given.into()], &mut results).unwrap();
        let typed = direct.typed::<Rooted<ExternRef>, Rooted<ExternRef>>(&store).unwrap();
        assert!(typed.call(&mut store, given).unwrap().data(&store).is_ok());
        for stale in leaked.lock().unwrap().drain(..) {
            assert_eq!(reason(stale.data(&store)), RootError::Unrooted);
        }
    }
}

#[test]
fn garbage_is_collected_in_host_functions_called_by_host_functions() {
    for engine in engines() {
        let mut linker = linker(&engine);
        let outer = |mut caller: Caller<'_, ()>| {
            let inner = wasmc_loader::Func::wrap(&mut caller, |mut caller: Caller<'_, ()>| {
                for _ in 0..10 {
                    ExternRef::new(&mut caller, ()).unwrap();
                }
                caller.gc();
            });
            inner.call(&mut caller, &[], &mut []).unwrap();
            inner.typed::<(), ()>(&caller).unwrap().call(&mut caller, ()).unwrap();
        };
        linker.func_wrap("host", "outer", outer).unwrap();
        let text = r#"(module (import "host" "outer" (func $outer))
            (func (export "run") (param externref) (result externref) (call $outer) (local.get 0)))"#;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<Reference, Reference>(&mut store, "run").unwrap();
        let value = ExternRef::new(&mut store, 5u8).unwrap();
        let back = run.call(&mut store, Some(value)).unwrap().unwrap();
        assert!(Rooted::ref_eq(&store, &back, &value).unwrap());
    }
}

#[test]
fn a_host_function_that_panics_or_fails_ends_its_scope_too() {
    let engine = Engine::default();
    let leaked: Arc<Mutex<Option<Rooted<ExternRef>>>> = Arc::default();
    let (leak, mut store) = (leaked.clone(), Store::new(&engine, ()));
    let func = wasmc_loader::Func::wrap(&mut store, move |mut caller: Caller<'_, ()>, panic: i32| {
        *leak.lock().unwrap() = Some(ExternRef::new(&mut caller, ()).unwrap());
        assert!(panic == 0, "on purpose");
        wasmc_loader::Result::<()>::Err(wasmc_loader::Error::msg("on purpose"))
    });
    for panic in [0, 1] {
        let outcome = catch_unwind(AssertUnwindSafe(|| func.call(&mut store, &[Val::I32(panic)], &mut [])));
        assert_eq!(outcome.is_err(), panic != 0);
        let stale = leaked.lock().unwrap().take().unwrap();
        assert_eq!(reason(stale.data(&store)), RootError::Unrooted);
    }
}

#[test]
fn equality_and_hashes_are_of_roots_or_of_what_they_stand_for() {
    let (mut store, instance) = instance(&Engine::default(), ECHO);
    let value = ExternRef::new(&mut store, ()).unwrap();
    let copy = value;
    let echo = instance.get_typed_func::<Reference, Reference>(&mut store, "extern").unwrap();
    let again = echo.call(&mut store, Some(value)).unwrap().unwrap();
    let other = ExternRef::new(&mut store, ()).unwrap();
    let owned = value.to_owned_rooted(&mut store).unwrap();
    assert!(Rooted::rooted_eq(value, copy) && !Rooted::rooted_eq(value, again));
    assert!(Rooted::ref_eq(&store, &value, &again).unwrap() && !Rooted::ref_eq(&store, &value, &other).unwrap());
    assert!(OwnedRooted::ref_eq(&store, &owned, &value).unwrap());
    let hash = |hash: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        hash(&mut hasher);
        hasher.finish()
    };
    let roots = [value, again, other].map(|r| hash(&|h| r.rooted_hash(h)));
    assert_eq!(roots.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(hash(&|h| copy.rooted_hash(h)), roots[0]);
    assert_eq!(hash(&|h| owned.rooted_hash(h)), hash(&|h| owned.clone().rooted_hash(h)));
    let values = [value, again, other].map(|r| hash(&|h| r.ref_hash(&store, h).unwrap()));
    assert!(values[0] == values[1] && values[0] != values[2]);
    assert_eq!(hash(&|h| owned.ref_hash(&store, h).unwrap()), values[0]);
    assert_eq!(
        format!("{value:?} {owned:?} {:?}", *value),
        "Rooted<ExternRef> OwnedRooted<ExternRef> ExternRef { .. }"
    );
}

#[test]
fn numbers_need_no_place_and_survive_all_the_same() {
    let (mut store, instance) = instance(&engines()[1], ECHO);
    let echo = instance.get_typed_func::<Rooted<AnyRef>, Rooted<AnyRef>>(&mut store, "any");
    assert!(echo.is_err(), "the result may be null");
    let echo = instance.get_typed_func::<Option<Rooted<AnyRef>>, Option<Rooted<AnyRef>>>(&mut store, "any").unwrap();
    for value in [0, 1, -1, (1 << 30) - 1, -(1 << 30)] {
        let number = AnyRef::from_i31(&mut store, I31::new_i32(value).unwrap());
        store.gc();
        let back = echo.call(&mut store, Some(number)).unwrap().unwrap();
        assert!(back.is_i31(&store).unwrap() && back.is_eqref(&store).unwrap());
        assert_eq!(back.unwrap_i31(&store).unwrap().get_i32(), value);
        assert_eq!(back.unwrap_eqref(&store).unwrap().as_i31(&store).unwrap().unwrap().get_i32(), value);
        assert!(!back.is_struct(&store).unwrap() && back.as_array(&store).unwrap().is_none());
    }
}

#[test]
fn threads_can_look_into_a_store_at_the_same_time() {
    let (mut store, instance) = instance(&engines()[0], ECHO);
    let _ = instance;
    let ty = wasmc_loader::ArrayType::new(
        store.engine(),
        wasmc_loader::FieldType::new(Mutability::Const, wasmc_loader::StorageType::I8),
    );
    let pre = wasmc_loader::ArrayRefPre::new(&mut store, ty);
    let array = wasmc_loader::ArrayRef::new_from_i8_slice(&mut store, &pre, b"bytes").unwrap();
    let value = ExternRef::new(&mut store, 77u32).unwrap();
    let owned = value.to_owned_rooted(&mut store).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert_eq!(array.len(&store).unwrap(), 5);
                    assert_eq!(owned.data(&store).unwrap().unwrap().downcast_ref(), Some(&77u32));
                    assert!(Rooted::ref_eq(&store, &value, &owned).unwrap());
                }
            });
        }
    });
    // Whoever counted those who look would count wrong, and refuse this.
    store.gc();
    assert_eq!(array.get(&mut store, 4).unwrap().unwrap_i32(), i32::from(b's'));
}

#[test]
fn references_stay_good_however_many_there_are() {
    let mut store = Store::new(&engines()[0], ());
    let all: Vec<_> = (0..20_000u32).map(|i| ExternRef::new(&mut store, i).unwrap()).collect();
    let owned: Vec<_> = all.iter().step_by(7).map(|r| r.to_owned_rooted(&mut store).unwrap()).collect();
    store.gc();
    let number = |reference: &ExternRef| *reference.data(&store).unwrap().unwrap().downcast_ref::<u32>().unwrap();
    assert!(all.iter().zip(0..).all(|(reference, i)| number(reference) == i));
    assert!(owned.iter().zip((0..).step_by(7)).all(|(reference, i)| number(reference) == i));
}
