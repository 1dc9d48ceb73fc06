//! Objects and exceptions while calls wait.

use crate::{count, hop, instance, pause, poll, wait};
use wasmc_loader::{
    AnyRef, Caller, Config, ExnRef, ExnRefPre, ExnType, Extern, ExternRef, Func, Instance, Linker, Result, Rooted,
    Store, ThrownException, Val,
};

/// Every allocation collects and moves everything; on demand, and as usual.
fn configs() -> [Config; 2] {
    [Config::new(), Config::new().gc_stress(true).clone()]
}

fn func<T: 'static>(caller: &mut Caller<'_, T>, name: &str) -> Func {
    caller.get_export(name).and_then(Extern::into_func).expect("the caller exports the function")
}

/// `run` has a list of objects, numbered from its argument down, which only a
/// local variable refers to while the host is called.
const LISTS: &str = r#"(module
    (type $list (struct (field $number i32) (field $next (ref null $list))))
    (import "host" "wait" (func $wait (param anyref externref) (result anyref)))
    (func $make (export "make") (param i32) (result (ref null $list))
        (if (i32.eqz (local.get 0)) (then (return (ref.null $list))))
        (struct.new $list (local.get 0) (call $make (i32.sub (local.get 0) (i32.const 1)))))
    (func $sum (export "sum") (param $list anyref) (result i32)
        (local $at (ref null $list)) (local $sum i32)
        (local.set $at (ref.cast (ref null $list) (local.get $list)))
        (loop $next
            (if (ref.is_null (local.get $at)) (then (return (local.get $sum))))
            (local.set $sum (i32.add (local.get $sum) (struct.get $list $number (local.get $at))))
            (local.set $at (struct.get $list $next (local.get $at)))
            (br $next))
        (unreachable))
    (func $run (export "run") (param $length i32) (param $value externref) (param $depth i32) (result i32)
        (local $kept (ref null $list)) (local $back anyref)
        (local.set $kept (call $make (local.get $length)))
        (local.set $back (call $wait (call $make (i32.const 3)) (local.get $value)))
        (if (local.get $depth) (then
            (return (i32.add (call $sum (local.get $kept))
                (call $run (local.get $length) (local.get $value) (i32.sub (local.get $depth) (i32.const 1)))))))
        (i32.add (call $sum (local.get $kept)) (call $sum (local.get $back)))))"#;

fn lists(config: &Config) -> (Store<()>, Instance) {
    instance(config, (), LISTS, |linker: &mut Linker<()>| {
        type Given = (Option<Rooted<AnyRef>>, Option<Rooted<ExternRef>>);
        let waiting = linker.func_wrap_async("host", "wait", |mut caller: Caller<'_, ()>, given: Given| {
            Box::new(async move {
                let (list, value) = given;
                caller.gc();
                pause(1).await;
                caller.gc();
                let make = func(&mut caller, "make").typed::<i32, Option<Rooted<AnyRef>>>(&caller)?;
                for length in 0..4 {
                    make.call_async(&mut caller, length).await?;
                    pause(1).await;
                }
                let text = value.unwrap().data(&caller)?.and_then(|data| data.downcast_ref::<String>());
                assert_eq!(text.map(String::as_str), Some("the host's"));
                let sum = func(&mut caller, "sum").typed::<Option<Rooted<AnyRef>>, i32>(&caller)?;
                assert_eq!(sum.call_async(&mut caller, list).await?, 6);
                caller.gc();
                Ok(list)
            })
        });
        waiting.unwrap();
    })
}

#[test]
fn objects_survive_and_move_while_a_call_waits() {
    for config in configs() {
        let (mut store, instance) = lists(&config);
        let run = instance.get_func(&mut store, "run").unwrap();
        for depth in 0..3 {
            let value = ExternRef::new(&mut store, "the host's".to_owned()).unwrap();
            let params = [Val::I32(10), Val::ExternRef(Some(value)), Val::I32(depth)];
            let mut results = [Val::I32(0)];
            let (pending, outcome) = count(run.call_async(&mut store, &params, &mut results));
            outcome.unwrap();
            assert_eq!((pending as i32, results[0].i32()), (5 * (depth + 1), Some(55 * (depth + 1) + 6)));
            let (_, outcome) = hop(run.call_async(&mut store, &params, &mut results));
            outcome.unwrap();
            assert_eq!(results[0].i32(), Some(55 * (depth + 1) + 6));
        }
    }
}

#[test]
fn what_only_a_dropped_or_leaked_call_referred_to_is_collected() {
    for leak in [false, true] {
        let (mut store, instance) = lists(&Config::new());
        let run = instance.get_func(&mut store, "run").unwrap();
        store.gc();
        let before = store.gc_heap_size();
        let value = ExternRef::new(&mut store, "the host's".to_owned()).unwrap();
        let params = [Val::I32(10), Val::ExternRef(Some(value)), Val::I32(0)];
        let mut results = [Val::I32(0)];
        let mut call = Box::pin(run.call_async(&mut store, &params, &mut results));
        for _ in 0..3 {
            assert!(poll(call.as_mut()).is_pending());
        }
        if leak {
            std::mem::forget(call)
        } else {
            drop(call)
        }
        store.gc();
        // What the host function has rooted stays so if nobody ends its scope.
        let left = store.gc_heap_size() - before;
        assert!(left <= if leak { 1000 } else { 0 }, "{left} bytes are left");
        let outcome = wait(run.call_async(&mut store, &params, &mut results));
        outcome.unwrap();
        assert_eq!(results[0].i32(), Some(61));
    }
}

/// `outer` catches what `host.back` throws, from inside or from `inner`.
const THROW: &str = r#"(module
    (import "host" "back" (func $back (param i32)))
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (tag $e (export "e") (param i32))
    (func (export "inner") (param i32)
        (throw $e (i32.add (call $pause (local.get 0)) (i32.const 1))))
    (func $between (param i32) (drop (call $pause (i32.const 1))) (call $back (local.get 0)))
    (func (export "outer") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $e $caught) (call $between (local.get 0)))
            (i32.const -1)))
    (func (export "uncaught") (param i32) (call $between (local.get 0))))"#;

async fn back(caller: &mut Caller<'_, bool>, pauses: i32) -> Result<()> {
    if *caller.data() {
        let inner = func(caller, "inner").typed::<i32, ()>(&*caller)?;
        return inner.call_async(caller, pauses).await;
    }
    let tag = caller.get_export("e").and_then(Extern::into_tag).unwrap();
    let ty = ExnType::from_tag_type(caller.engine(), &tag.ty(&*caller))?;
    let pre = ExnRefPre::new(&mut *caller, ty);
    let exception = ExnRef::new(&mut *caller, &pre, &tag, &[Val::I32(2 * pauses + 1)])?;
    pause(pauses as u32).await;
    caller.gc();
    Ok(caller.throw(exception)?)
}

#[test]
fn exceptions_pass_through_async_host_functions() {
    for config in configs() {
        for through in [false, true] {
            let (mut store, instance) = instance(&config, through, THROW, |linker: &mut Linker<bool>| {
                let defined =
                    linker.func_wrap_async("host", "back", |mut caller: Caller<'_, bool>, (pauses,): (i32,)| {
                        Box::new(async move { back(&mut caller, pauses).await })
                    });
                defined.unwrap();
            });
            let outer = instance.get_typed_func::<i32, i32>(&mut store, "outer").unwrap();
            let uncaught = instance.get_typed_func::<i32, ()>(&mut store, "uncaught").unwrap();
            for pauses in [0, 2] {
                let (polls, result) = hop(outer.call_async(&mut store, pauses));
                assert_eq!((polls as i32, result.unwrap()), (pauses + 2, 2 * pauses + 1), "{through}");
                assert!(!store.has_pending_exception());
                let error = hop(uncaught.call_async(&mut store, pauses)).1.unwrap_err();
                assert_eq!(error.downcast_ref::<ThrownException>().and_then(ThrownException::tag_name), Some("e"));
                let exception = store.take_pending_exception().expect("it waits in the store");
                assert_eq!(exception.field(&mut store, 0).unwrap().i32(), Some(2 * pauses + 1));
                assert_eq!(count(outer.call_async(&mut store, pauses)).1.unwrap(), 2 * pauses + 1);
            }
        }
    }
}
