//! Values of the host's are dropped exactly once, however the last reference
//! dies, and not before.

use super::{Drops, engines, instance, linker, module};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    AsContextMut, Engine, ExternRef, Instance, OwnedRooted, RootScope, Rooted, Store, StoreContextMut, Trap,
    VMExternRef, Val,
};

type Reference = Option<Rooted<ExternRef>>;

const KEEPERS: &str = r#"(module
  (type $s (struct (field (mut externref)) (field (mut (ref null $s)))))
  (type $v (array (mut externref)))
  (import "host" "gc" (func $gc))
  (import "host" "fail" (func $fail (param externref)))
  (import "host" "panic" (func $panic (param externref)))
  (global $g (export "global") (mut externref) (ref.null extern))
  (global $s (mut (ref null $s)) (ref.null $s))
  (global $v (mut (ref null $v)) (ref.null $v))
  (table $t (export "table") 3 externref)
  (tag $tag (param externref))
  (func (export "global.keep") (param externref) (global.set $g (local.get 0)))
  (func (export "global.drop") (global.set $g (ref.null extern)))
  (func (export "table.keep") (param externref) (table.set $t (i32.const 1) (local.get 0)))
  (func (export "table.drop") (table.set $t (i32.const 1) (ref.null extern)))
  (func (export "fill.keep") (param externref) (table.fill $t (i32.const 0) (local.get 0) (i32.const 3)))
  (func (export "fill.drop") (table.fill $t (i32.const 0) (ref.null extern) (i32.const 3)))
  (func (export "copy.keep") (param externref) (table.set $t (i32.const 2) (local.get 0)))
  (func (export "copy.drop") (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 2)))
  (func (export "field.keep") (param externref)
    (global.set $s (struct.new $s (local.get 0) (ref.null $s)))
    (struct.set $s 1 (global.get $s) (global.get $s)))
  (func (export "field.drop") (struct.set $s 0 (global.get $s) (ref.null extern)))
  (func (export "cycle.keep") (param externref)
    (global.set $s (struct.new $s (local.get 0) (struct.new $s (local.get 0) (ref.null $s))))
    (struct.set $s 1 (struct.get $s 1 (global.get $s)) (global.get $s)))
  (func (export "cycle.drop") (global.set $s (ref.null $s)))
  (func (export "array.keep") (param externref) (global.set $v (array.new $v (local.get 0) (i32.const 1000))))
  (func (export "array.drop")
    (array.fill $v (global.get $v) (i32.const 0) (ref.null extern) (i32.const 1000)))
  (func (export "return") (param externref) (call $gc))
  (func (export "trap") (param externref) (call $gc) (unreachable))
  (func (export "exception") (param externref)
    (block $caught (try_table (catch_all $caught) (throw $tag (local.get 0))) (unreachable)) (call $gc))
  (func (export "uncaught") (param externref) (throw $tag (local.get 0)))
  (func (export "fail") (param externref) (call $gc) (call $fail (local.get 0)))
  (func (export "panic") (param externref) (call $gc) (call $panic (local.get 0)))
  (func (export "loop") (param externref) (local i32)
    (loop $l (global.set $g (local.get 0)) (call $gc)
      (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 5))))
    (global.set $g (ref.null extern))))"#;

/// Calls an export with a new value, to which nothing outside refers after it.
fn give(store: &mut Store<()>, instance: Instance, name: &str, drops: &Drops) -> wasmc_loader::Result<()> {
    let mut scope = RootScope::new(store);
    let value = ExternRef::new(&mut scope, drops.value())?;
    let func = instance.get_typed_func::<Reference, ()>(&mut scope, name)?;
    let result = func.call(&mut scope, Some(value));
    assert_eq!(drops.count(), 0, "{name}: the value is rooted");
    result
}

fn call(store: &mut Store<()>, instance: Instance, name: &str) {
    instance.get_typed_func::<(), ()>(&mut *store, name).unwrap().call(store, ()).unwrap();
}

#[test]
fn what_replaces_a_reference_drops_its_value_at_the_next_collection() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, KEEPERS);
        for kind in ["global", "table", "fill", "copy", "field", "cycle", "array"] {
            let drops = Drops::default();
            give(&mut store, instance, &format!("{kind}.keep"), &drops).unwrap();
            store.gc();
            store.gc();
            assert_eq!(drops.count(), 0, "{kind}");
            call(&mut store, instance, &format!("{kind}.drop"));
            store.gc();
            assert_eq!(drops.count(), 1, "{kind}");
        }
    }
}

#[test]
fn whatever_ends_a_call_drops_what_only_its_frames_referred_to() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, KEEPERS);
        for (name, outcome) in [
            ("return", None),
            ("exception", None),
            ("loop", None),
            ("trap", Some("unreachable")),
            ("fail", Some("on purpose")),
            ("uncaught", Some("exception")),
        ] {
            let drops = Drops::default();
            let result = give(&mut store, instance, name, &drops);
            match outcome {
                Some(message) => assert!(format!("{:#}", result.unwrap_err()).contains(message), "{name}"),
                None => result.unwrap(),
            }
            if name == "uncaught" {
                store.gc();
                assert_eq!(drops.count(), 0, "the exception waits to be taken");
                let mut scope = RootScope::new(&mut store);
                assert!(scope.as_context_mut().take_pending_exception().is_some());
                assert!(scope.as_context_mut().take_pending_exception().is_none());
            }
            store.gc();
            assert_eq!(drops.count(), 1, "{name}");
        }
        let drops = Drops::default();
        catch_unwind(AssertUnwindSafe(|| give(&mut store, instance, "panic", &drops))).unwrap_err();
        store.gc();
        assert_eq!(drops.count(), 1, "panic");
    }
}

#[test]
fn resets_and_the_end_of_a_store_drop_all_values_at_once() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, KEEPERS);
        for kind in ["global", "table", "cycle"] {
            let drops = Drops::default();
            give(&mut store, instance, &format!("{kind}.keep"), &drops).unwrap();
            let rooted = ExternRef::new(&mut store, drops.value()).unwrap();
            let owned = rooted.to_owned_rooted(&mut store).unwrap();
            store.reset().unwrap();
            assert_eq!(drops.count(), 2, "{kind}");
            assert!(rooted.data(&store).is_err() && owned.data(&store).is_err());
        }
        let drops = Drops::default();
        give(&mut store, instance, "array.keep", &drops).unwrap();
        let outside = VMExternRef::new(drops.value());
        ExternRef::from_vm(&mut store, outside.clone()).unwrap();
        drop(store);
        assert_eq!((drops.count(), outside.strong_count()), (1, 1));
        drop(outside);
        assert_eq!(drops.count(), 2);
    }
}

#[test]
fn resetting_an_instance_drops_what_it_referred_to() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, KEEPERS);
        for kind in ["global", "table", "field", "array"] {
            let drops = Drops::default();
            give(&mut store, instance, &format!("{kind}.keep"), &drops).unwrap();
            instance.reset(&mut store).unwrap();
            store.gc();
            assert_eq!(drops.count(), 1, "{kind}");
        }
    }
}

#[test]
fn what_the_host_keeps_lives_and_what_it_lets_go_dies() {
    for engine in engines() {
        let mut store = Store::new(&engine, ());
        let drops = Drops::default();
        let rooted = ExternRef::new(&mut store, drops.value()).unwrap();
        let owned: OwnedRooted<ExternRef> = {
            let mut scope = RootScope::new(&mut store);
            let value = ExternRef::new(&mut scope, drops.value()).unwrap();
            ExternRef::new(&mut scope, drops.value()).unwrap();
            value.to_owned_rooted(&mut scope).unwrap()
        };
        store.gc();
        assert_eq!(drops.count(), 1);
        let again = owned.clone();
        drop(owned);
        store.gc();
        assert!(again.data(&store).unwrap().is_some() && rooted.data(&store).unwrap().is_some());
        assert_eq!(drops.count(), 1);
        drop(again);
        store.gc();
        assert_eq!(drops.count(), 2);
    }
}

#[test]
fn a_host_functions_references_end_with_it() {
    for engine in engines() {
        let mut linker = linker(&engine);
        let drops = Drops::default();
        let make = drops.clone();
        let make = move |mut caller: wasmc_loader::Caller<'_, ()>, keep: i32| {
            let first = ExternRef::new(&mut caller, make.value())?;
            let second = ExternRef::new(&mut caller, make.value())?;
            wasmc_loader::Result::Ok(if keep == 0 { None } else { Some(if keep == 1 { first } else { second }) })
        };
        linker.func_wrap("host", "make", make).unwrap();
        let text = r#"(module (import "host" "make" (func $make (param i32) (result externref)))
            (import "host" "gc" (func $gc))
            (func (export "run") (param i32) (result externref) (local externref)
              (local.set 1 (call $make (local.get 0))) (call $gc) (local.get 1)))"#;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, Reference>(&mut store, "run").unwrap();
        for (keep, dead) in [(0, 2), (1, 3), (2, 4)] {
            let back = run.call(&mut store, keep).unwrap();
            assert_eq!((back.is_some(), drops.count()), (keep != 0, dead), "{keep}");
        }
        drop(store);
        assert_eq!(drops.count(), 6);
    }
}

/// A destructor that uses other stores, or panics.
struct Act(Box<dyn FnMut() + Send + Sync>);

impl Drop for Act {
    fn drop(&mut self) {
        (self.0)();
    }
}

const ALLOCATING: &str = r#"(module (type $s (struct (field i64)))
  (func (export "run") (param i32)
    (loop $l (drop (struct.new $s (i64.const 1)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

fn run(store: StoreContextMut<'_, ()>, instance: Instance) -> wasmc_loader::Result<()> {
    let mut store = store;
    instance.get_typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, 100_000)
}

#[test]
fn a_destructor_can_use_other_stores_while_code_allocates() {
    use std::sync::{Arc, Mutex};
    for engine in engines() {
        let (mut outer, instance) = instance(&engine, ALLOCATING);
        let inner_instance = super::instance(&engine, ALLOCATING);
        let inner = Arc::new(Mutex::new(inner_instance));
        let drops = Drops::default();
        let (used, value) = (inner.clone(), drops.value());
        {
            let mut scope = RootScope::new(&mut outer);
            let act = move || {
                let (inner, instance) = &mut *used.lock().unwrap();
                let _ = &value;
                run(inner.into(), *instance).unwrap();
                inner.gc();
                let _ = Store::new(inner.engine(), ());
            };
            ExternRef::new(&mut scope, Act(Box::new(act))).unwrap();
        }
        run((&mut outer).into(), instance).unwrap();
        outer.gc();
        assert_eq!(drops.count(), 1);
    }
}

#[test]
fn a_destructor_that_panics_ends_the_call_and_leaves_the_store_usable() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, ALLOCATING);
        let drops = Drops::default();
        let doomed = |store: &mut Store<()>| {
            let mut scope = RootScope::new(store);
            for _ in 0..3 {
                let value = drops.value();
                let act = move || {
                    let _ = &value;
                    panic!("on purpose")
                };
                ExternRef::new(&mut scope, Act(Box::new(act))).unwrap();
            }
        };
        doomed(&mut store);
        let payload = catch_unwind(AssertUnwindSafe(|| store.gc())).unwrap_err();
        assert_eq!((payload.downcast_ref::<&str>(), drops.count()), (Some(&"on purpose"), 3));
        doomed(&mut store);
        // Under stress the first allocation collects everything; otherwise
        // that happens only when a lot survives.
        let outcome = catch_unwind(AssertUnwindSafe(|| run((&mut store).into(), instance)));
        if outcome.is_err() {
            assert_eq!(drops.count(), 6);
        } else {
            catch_unwind(AssertUnwindSafe(|| store.gc())).unwrap_err();
        }
        assert_eq!(drops.count(), 6);
        run((&mut store).into(), instance).unwrap();
        doomed(&mut store);
        catch_unwind(AssertUnwindSafe(|| store.reset())).unwrap_err();
        assert_eq!(drops.count(), 9);
        run((&mut store).into(), instance).unwrap();
        doomed(&mut store);
        catch_unwind(AssertUnwindSafe(|| drop(store))).unwrap_err();
        assert_eq!(drops.count(), 12);
    }
}

/// A table of the model: what is in it, and what is alive.
#[test]
fn values_live_as_in_a_model_of_tables_globals_and_roots() {
    const STEPS: usize = 3000;
    for (number, engine) in engines().into_iter().enumerate() {
        let text =
            r#"(module (table (export "t") 8 externref) (global (export "g") (mut externref) (ref.null extern)))"#;
        let (mut store, instance) = instance(&engine, text);
        let table = instance.get_table(&mut store, "t").unwrap();
        let global = instance.get_global(&mut store, "g").unwrap();
        let mut cells: Vec<Option<usize>> = vec![None; 9];
        let mut owned: Vec<(usize, OwnedRooted<ExternRef>)> = Vec::new();
        let mut all: Vec<Drops> = Vec::new();
        let mut seed = 88_172_645_463_325_252u64 + number as u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as usize % below
        };
        for _ in 0..STEPS {
            let mut scope = RootScope::new(&mut store);
            let cell = random(cells.len());
            let (value, id) = match random(4) {
                0 => (None, None),
                1 if !owned.is_empty() => {
                    let (id, reference) = &owned[random(owned.len())];
                    (Some(reference.to_rooted(&mut scope)), Some(*id))
                }
                2 if !owned.is_empty() => {
                    owned.swap_remove(random(owned.len()));
                    (None, None)
                }
                _ => {
                    let drops = Drops::default();
                    let value = ExternRef::new(&mut scope, drops.value()).unwrap();
                    all.push(drops);
                    if random(2) == 0 {
                        owned.push((all.len() - 1, value.to_owned_rooted(&mut scope).unwrap()));
                    }
                    (Some(value), Some(all.len() - 1))
                }
            };
            match cell {
                8 => global.set(&mut scope, Val::ExternRef(value)).unwrap(),
                index => table.set(&mut scope, index as u64, value.into()).unwrap(),
            }
            cells[cell] = id;
            drop(scope);
            if random(50) == 0 {
                store.gc();
                for (id, drops) in all.iter().enumerate() {
                    let alive = cells.contains(&Some(id)) || owned.iter().any(|(own, _)| *own == id);
                    assert_eq!(drops.count(), usize::from(!alive), "value {id}");
                }
            }
        }
        drop(store);
        assert!(all.iter().all(|drops| drops.count() == 1));
    }
}

#[test]
fn a_trap_in_code_that_holds_references_is_the_trap() {
    let engine: Engine = engines().into_iter().nth(1).unwrap();
    let (mut store, instance) = instance(&engine, KEEPERS);
    let error = give(&mut store, instance, "trap", &Drops::default()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
}
