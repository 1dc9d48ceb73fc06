//! Values of the host's live as long as something refers to them, and are
//! dropped once, by the next collection at the latest.

use super::{LEVELS, instance, linker, module, stressed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wasmc::OptLevel;
use wasmc_loader::{Engine, ExternRef, Instance, RootScope, Rooted, Store, Trap};

/// Counts how often one of its kind is dropped.
struct Noted(Arc<AtomicUsize>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// `keep_*` put a value somewhere, `drop_*` take it away; the others have it
/// only while they run.
const KEEPERS: &str = r#"(module
    (import "host" "gc" (func $gc))
    (type $box (struct (field i64) (field (mut externref)) (field i32)))
    (type $array (array (mut externref)))
    (type $ring (sub (struct (field (mut (ref null $ring))) (field anyref))))
    (global $global (mut externref) (ref.null extern))
    (global $any (mut anyref) (ref.null any))
    (table $table 2 externref)
    (tag $thrown (param externref))

    (func (export "keep_global") (param externref) (global.set $global (local.get 0)))
    (func (export "drop_global") (global.set $global (ref.null extern)))
    (func (export "keep_table") (param externref)
        (drop (table.grow $table (local.get 0) (i32.const 3))))
    (func (export "drop_table") (table.fill $table (i32.const 0) (ref.null extern) (table.size $table)))
    (func (export "keep_struct") (param externref)
        (global.set $any (struct.new $box (i64.const -1) (local.get 0) (i32.const -1))))
    (func (export "drop_struct") (struct.set $box 1 (ref.cast (ref $box) (global.get $any)) (ref.null extern)))
    (func (export "keep_array") (param externref)
        (global.set $any (array.new_fixed $array 3 (ref.null extern) (local.get 0) (local.get 0))))
    (func (export "drop_array") (global.set $any (ref.i31 (i32.const 5))))
    (func (export "keep_any") (param externref) (global.set $any (any.convert_extern (local.get 0))))
    (func (export "drop_any") (global.set $any (ref.null any)))
    (func (export "keep_ring") (param externref) (local $a (ref null $ring))
        (local.set $a (struct.new $ring (ref.null $ring) (any.convert_extern (local.get 0))))
        (struct.set $ring 0 (local.get $a) (struct.new $ring (local.get $a) (ref.null any)))
        (global.set $any (local.get $a)))
    (func (export "drop_ring") (global.set $any (ref.null any)))

    (func (export "frame") (param externref)
        (call $gc)
        (global.set $global (local.get 0))
        (call $gc)
        (global.set $global (ref.null extern)))
    (func (export "box") (param externref) (local (ref $box))
        (local.set 1 (struct.new $box (i64.const 0) (local.get 0) (i32.const 0)))
        (call $gc))
    (func (export "trap") (param externref)
        (global.set $any (struct.new $box (i64.const 0) (local.get 0) (i32.const 0)))
        (call $gc)
        (global.set $any (ref.null any))
        unreachable)
    (func (export "catch") (param externref)
        (block $caught (result externref)
            (try_table (catch $thrown $caught) (throw $thrown (local.get 0)))
            unreachable)
        (call $gc)
        drop)
)"#;

const PLACES: [&str; 6] = ["global", "table", "struct", "array", "any", "ring"];

/// Calls a function with a new value, to which the host then has no reference.
fn give(store: &mut Store<()>, instance: Instance, name: &str, drops: &Arc<AtomicUsize>) -> wasmc_loader::Result<()> {
    let mut scope = RootScope::new(store);
    let value = ExternRef::new(&mut scope, Noted(drops.clone()))?;
    let function = instance.get_typed_func::<Option<Rooted<ExternRef>>, ()>(&mut scope, name)?;
    function.call(&mut scope, Some(value))
}

fn call(store: &mut Store<()>, instance: Instance, name: &str) {
    instance.get_typed_func::<(), ()>(&mut *store, name).unwrap().call(store, ()).unwrap();
}

#[test]
fn a_value_lives_as_long_as_wasm_refers_to_it() {
    for level in LEVELS {
        for engine in [stressed(), Engine::default()] {
            let (mut store, instance) = instance(&engine, KEEPERS, level);
            for place in PLACES {
                let drops = Arc::new(AtomicUsize::new(0));
                give(&mut store, instance, &format!("keep_{place}"), &drops).unwrap();
                for _ in 0..3 {
                    store.gc();
                    assert_eq!(drops.load(Relaxed), 0, "{place} at {level:?}");
                }
                call(&mut store, instance, &format!("drop_{place}"));
                store.gc();
                store.gc();
                assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (1, 1), "{place} at {level:?}");
            }
        }
    }
}

#[test]
fn a_value_dies_with_its_frame_however_that_ends() {
    for level in LEVELS {
        for engine in [stressed(), Engine::default()] {
            let (mut store, instance) = instance(&engine, KEEPERS, level);
            for way in ["frame", "box", "trap", "catch"] {
                let drops = Arc::new(AtomicUsize::new(0));
                match give(&mut store, instance, way, &drops) {
                    Ok(()) => assert_ne!(way, "trap"),
                    Err(error) => {
                        assert_eq!((way, error.downcast_ref()), ("trap", Some(&Trap::UnreachableCodeReached)));
                    }
                }
                store.gc();
                assert_eq!(drops.load(Relaxed), 1, "{way} at {level:?}");
            }
        }
    }
}

/// Panics when it is dropped.
struct Angry(Arc<AtomicUsize>);

impl Drop for Angry {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
        panic!("on purpose");
    }
}

#[test]
fn a_destructor_that_panics_in_a_collection_ends_the_call_and_nothing_else() {
    let (mut store, instance) = instance(&stressed(), KEEPERS, OptLevel::Speed);
    for host in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        {
            let mut scope = RootScope::new(&mut store);
            let value = ExternRef::new(&mut scope, Angry(drops.clone())).unwrap();
            let function = instance.get_typed_func::<Option<Rooted<ExternRef>>, ()>(&mut scope, "keep_global");
            function.unwrap().call(&mut scope, Some(value)).unwrap();
        }
        call(&mut store, instance, "drop_global");
        let others = Arc::new(AtomicUsize::new(0));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            if host { store.gc() } else { give(&mut store, instance, "box", &others).unwrap() }
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
        assert_eq!(drops.load(Relaxed), 1);
        // The store goes on.
        let drops = Arc::new(AtomicUsize::new(0));
        give(&mut store, instance, "keep_struct", &drops).unwrap();
        store.gc();
        assert_eq!(drops.load(Relaxed), 0);
        call(&mut store, instance, "drop_struct");
        store.gc();
        assert_eq!(drops.load(Relaxed), 1);
    }
}

#[test]
fn values_die_with_what_they_are_in_when_stores_end_or_are_reset() {
    let engine = Engine::default();
    let module = module(&engine, KEEPERS, OptLevel::Speed);
    for reset in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let mut store = Store::new(&engine, ());
        let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
        for place in ["global", "table", "struct"] {
            give(&mut store, instance, &format!("keep_{place}"), &drops).unwrap();
        }
        assert_eq!(drops.load(Relaxed), 0);
        if reset {
            store.reset().unwrap();
        } else {
            drop(store);
        }
        assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (3, 1));
    }
}

#[test]
fn millions_of_values_pass_through_a_store() {
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, KEEPERS, OptLevel::Speed);
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..300_000 {
        give(&mut store, instance, "keep_global", &drops).unwrap();
    }
    // Collections have happened on the way.
    assert!(Arc::strong_count(&drops) < 20_000, "{} values are kept", Arc::strong_count(&drops));
    store.gc();
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (300_000 - 1, 2));
}
