//! Exceptions and the host: what leaves wasm, what goes back in, and what is
//! none of either.

use super::{assert_thrown, module};
use crate::with_data;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    AsContextMut, Caller, Engine, Error, ExnRef, ExnRefPre, ExnType, Func, FuncType, Instance, Result, Rooted, Store,
    Tag, TagType, ThrownException, Val, ValType, WasmBacktrace,
};

/// `outer` calls `host`, which may call `inner`, which throws its argument.
const NESTED: &str = r#"(module $nest
    (import "" "host" (func $host (param i32)))
    (tag $e (export "e") (param i32))
    (tag $other (export "other"))
    (func $thrower (param i32) (throw $e (local.get 0)))
    (func (export "inner") (param i32) (call $thrower (local.get 0)))
    (func (export "inner other") (throw $other))
    (func $between (param i32) (call $host (local.get 0)))
    (func (export "outer") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $e $caught) (call $between (local.get 0)))
            (i32.const -1)))
    (func (export "outer, all") (param i32) (result i32)
        (block $caught
            (try_table (catch_all $caught) (call $between (local.get 0)))
            (return (i32.const -1)))
        (i32.const -2))
    (func (export "not caught") (param i32) (call $between (local.get 0))))"#;

/// What the host function does with the error of `inner`.
type Then = fn(Result<()>) -> Result<()>;

fn nested(then: Then) -> (Store<Then>, Instance) {
    with_data(then, NESTED, |linker| {
        linker
            .func_wrap("", "host", |mut caller: Caller<'_, Then>, value: i32| {
                let inner = caller.get_export("inner").and_then(|e| e.into_func()).unwrap();
                let result = inner.typed::<i32, ()>(&caller).unwrap().call(&mut caller, value);
                caller.data()(result)
            })
            .unwrap();
    })
}

#[track_caller]
fn call(store: &mut Store<Then>, instance: &Instance, name: &str, value: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, value)
}

#[test]
fn an_exception_that_a_host_function_returns_goes_on_in_the_wasm_that_called_it() {
    let (mut store, instance) = nested(|result| result);
    for value in [1, -7] {
        assert_eq!(call(&mut store, &instance, "outer", value).unwrap(), value);
        assert_eq!(call(&mut store, &instance, "outer, all", value).unwrap(), -2);
        assert!(!store.has_pending_exception());
    }
    let not_caught = instance.get_typed_func::<i32, ()>(&mut store, "not caught").unwrap();
    let error = not_caught.call(&mut store, 3).unwrap_err();
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
    let names: Vec<_> = backtrace.frames().iter().map(|frame| frame.func_name().unwrap_or("?")).collect();
    assert_eq!(names[0], "thrower");
    assert!(names.contains(&"between"), "{names:?}");
    let thrown = assert_thrown(not_caught.call(&mut store, 3));
    let tag = instance.get_tag(&mut store, "e").unwrap();
    assert!(Tag::eq(&thrown.tag(), &tag, &store));
    assert!(store.has_pending_exception());
    assert_eq!(call(&mut store, &instance, "outer", 4).unwrap(), 4);
}

#[test]
fn context_that_the_host_adds_does_not_hide_the_exception() {
    let (mut store, instance) = nested(|result| result.map_err(|error| error.context("on the way")));
    assert_eq!(call(&mut store, &instance, "outer", 8).unwrap(), 8);
    let not_caught = instance.get_typed_func::<i32, ()>(&mut store, "not caught").unwrap();
    let error = not_caught.call(&mut store, 3).unwrap_err();
    assert_eq!(format!("{error:#}"), "on the way: uncaught exception `e` (i32)");
}

#[test]
fn a_host_function_may_catch_an_exception() {
    let (mut store, instance) = nested(|result| {
        let thrown = assert_thrown(result);
        assert_eq!(thrown.tag_name(), Some("e"));
        Ok(())
    });
    for value in 0..3 {
        assert_eq!(call(&mut store, &instance, "outer", value).unwrap(), -1);
        assert_eq!(call(&mut store, &instance, "outer, all", value).unwrap(), -1);
    }
}

#[test]
fn errors_and_panics_of_the_host_are_not_caught() {
    let (mut store, instance) = nested(|result| {
        assert_thrown(result);
        Err(Error::msg("something else"))
    });
    for name in ["outer", "outer, all"] {
        let error = call(&mut store, &instance, name, 1).unwrap_err();
        assert_eq!(error.to_string(), "something else");
    }
    *store.data_mut() = |result| {
        assert_thrown(result);
        panic!("on purpose")
    };
    for name in ["outer", "outer, all"] {
        catch_unwind(AssertUnwindSafe(|| call(&mut store, &instance, name, 1))).unwrap_err();
    }
    *store.data_mut() = |result| result;
    assert_eq!(call(&mut store, &instance, "outer", 9).unwrap(), 9);
}

#[test]
fn an_exception_is_shown_with_its_tag_and_where_it_came_from() {
    let (mut store, instance) = nested(|result| result);
    let inner = instance.get_typed_func::<i32, ()>(&mut store, "inner").unwrap();
    let error = inner.call(&mut store, 5).unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.starts_with("uncaught exception `e` (i32)"), "{shown}");
    assert!(shown.contains("0: ") && shown.contains("nest!thrower"), "{shown}");
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 2);
    let inner = instance.get_typed_func::<(), ()>(&mut store, "inner other").unwrap();
    let thrown = assert_thrown(inner.call(&mut store, ()));
    assert_eq!(thrown.to_string(), "uncaught exception `other` ()");
    assert_eq!(thrown.ty().ty().params(), []);
}

#[test]
fn a_host_function_that_wasm_has_not_called_returns_the_exception_to_the_host() {
    let (mut store, instance) = nested(|result| result);
    let inner = instance.get_typed_func::<i32, ()>(&mut store, "inner").unwrap();
    let direct = Func::wrap(&mut store, move |mut caller: Caller<'_, Then>| inner.call(&mut caller, 3));
    let direct = direct.typed::<(), ()>(&store).unwrap();
    assert_thrown(direct.call(&mut store, ()));
    assert_eq!(call(&mut store, &instance, "outer", 9).unwrap(), 9);
}

#[test]
fn exceptions_of_one_store_are_errors_in_another() {
    let engine = Engine::default();
    let thrower = module(&engine, r#"(module (tag (param i64)) (func (export "f") (throw 0 (i64.const 1))))"#);
    let catcher = module(
        &engine,
        r#"(module (import "" "f" (func $f))
            (func (export "g") (block $b (try_table (catch_all $b) (call $f)))))"#,
    );
    let mut inner_store = Store::new(&engine, ());
    let inner = Instance::new(&mut inner_store, &thrower, &[]).unwrap();
    let f = inner.get_typed_func::<(), ()>(&mut inner_store, "f").unwrap();
    let mut store = Store::new(&engine, inner_store);
    let f = Func::wrap(&mut store, move |mut caller: Caller<'_, Store<()>>| f.call(caller.data_mut(), ()));
    let outer = Instance::new(&mut store, &catcher, &[f.into()]).unwrap();
    let g = outer.get_typed_func::<(), ()>(&mut store, "g").unwrap();
    // The exception is in the inner store, so nobody can catch it here.
    let error = g.call(&mut store, ()).unwrap_err();
    assert!(error.is::<ThrownException>());
    assert!(!store.has_pending_exception() && store.data().has_pending_exception());
}

/// A new exception.
fn exception(mut store: impl AsContextMut, tag: &Tag, values: &[Val]) -> Rooted<ExnRef> {
    let ty = tag.ty(&store);
    let ty = ExnType::from_tag_type(store.as_context().engine(), &ty).unwrap();
    let pre = ExnRefPre::new(&mut store, ty);
    ExnRef::new(&mut store, &pre, tag, values).unwrap()
}

#[test]
fn host_functions_throw() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let ty = TagType::new(FuncType::new([ValType::I32, ValType::EXTERNREF, ValType::I64], []));
    let tag = Tag::new(&mut store, &ty).unwrap();
    assert!(Tag::new(&mut store, &TagType::new(FuncType::new([], [ValType::I32]))).is_err());
    let throw = Func::wrap(&mut store, move |mut caller: Caller<'_, i32>, value: i32| -> Result<()> {
        *caller.data_mut() += 1;
        let thrown = exception(&mut caller, &tag, &[Val::I32(value), Val::ExternRef(None), Val::I64(7)]);
        Ok(caller.throw(thrown)?)
    });
    let text = r#"(module
        (import "" "tag" (tag $e (param i32 externref i64)))
        (import "" "throw" (func $throw (param i32)))
        (func $indirect (param i32) (call $throw (local.get 0)))
        (func (export "f") (param i32) (result i64) (local $last i64)
            (block $caught (result i32 externref i64)
                (try_table (catch $e $caught) (call $indirect (local.get 0)))
                unreachable)
            (local.set $last) (drop) (i64.add (i64.extend_i32_s) (local.get $last)))
        (func (export "uncaught") (param i32) (call $indirect (local.get 0))))"#;
    let module = module(&engine, text);
    let instance = Instance::new(&mut store, &module, &[tag.into(), throw.into()]).unwrap();
    let f = instance.get_typed_func::<i32, i64>(&mut store, "f").unwrap();
    for value in [5, -100] {
        assert_eq!(f.call(&mut store, value).unwrap(), i64::from(value) + 7);
    }
    let uncaught = instance.get_typed_func::<i32, ()>(&mut store, "uncaught").unwrap();
    let error = uncaught.call(&mut store, 11).unwrap_err();
    assert_eq!(error.to_string(), "uncaught exception (i32, externref, i64)");
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 2);
    let pending = store.take_pending_exception().unwrap();
    assert_eq!(pending.field(&mut store, 0).unwrap().unwrap_i32(), 11);
    assert!(Tag::eq(&pending.tag(&mut store).unwrap(), &tag, &store));
    assert_eq!(*store.data(), 3);
}

#[test]
fn an_exception_that_the_host_takes_is_kept_and_can_be_thrown_again() {
    let (mut store, instance) = nested(|result| result);
    let inner = instance.get_typed_func::<i32, ()>(&mut store, "inner").unwrap();
    let error = inner.call(&mut store, 77).unwrap_err();
    let taken = store.take_pending_exception().unwrap().to_owned_rooted(&mut store).unwrap();
    assert!(store.take_pending_exception().is_none() && !store.has_pending_exception());
    // Without the exception the error is one like any other.
    let kept = std::sync::Mutex::new(Some(error));
    let again = Func::wrap(&mut store, move |_: Caller<'_, Then>, _: i32| -> Result<()> {
        Err(kept.lock().unwrap().take().unwrap())
    });
    let module = instance.module(&store).clone();
    let second = Instance::new(&mut store, &module, &[again.into()]).unwrap();
    let error = call(&mut store, &second, "outer, all", 1).unwrap_err();
    assert!(error.is::<ThrownException>());
    // The exception outlives collections, and goes back where its tag is known.
    for _ in 0..3 {
        store.gc();
        assert_eq!(taken.field(&mut store, 0).unwrap().unwrap_i32(), 77);
    }
    let again = Func::wrap(&mut store, move |mut caller: Caller<'_, Then>, _: i32| -> Result<()> {
        let exception = taken.to_rooted(&mut caller);
        Ok(caller.throw(exception)?)
    });
    let tags = r#"(module (import "" "e" (tag $e (param i32))) (import "" "again" (func $again (param i32)))
        (func (export "outer") (param i32) (result i32)
            (block $caught (result i32)
                (try_table (catch $e $caught) (call $again (i32.const 0)))
                (i32.const -1))))"#;
    let third = super::module(store.engine(), tags);
    let tag = instance.get_tag(&mut store, "e").unwrap();
    let third = Instance::new(&mut store, &third, &[tag.into(), again.into()]).unwrap();
    for _ in 0..2 {
        assert_eq!(call(&mut store, &third, "outer", 1).unwrap(), 77);
    }
}

#[test]
fn collections_do_not_harm_an_exception_on_its_way_through_the_host() {
    let (mut store, instance) = with_data((), NESTED, |linker| {
        linker
            .func_wrap("", "host", |mut caller: Caller<'_, ()>, value: i32| {
                let inner = caller.get_export("inner").and_then(|e| e.into_func()).unwrap();
                let result = inner.typed::<i32, ()>(&caller).unwrap().call(&mut caller, value);
                for _ in 0..3 {
                    caller.gc();
                }
                result
            })
            .unwrap();
    });
    let outer = instance.get_typed_func::<i32, i32>(&mut store, "outer").unwrap();
    for value in 0..10 {
        assert_eq!(outer.call(&mut store, value).unwrap(), value);
    }
}
