//! Values of the host's: the same reference wherever wasm keeps it.

use super::{Drops, engines, instance};
use wasmc_loader::{AnyRef, ExternRef, Ref, RootScope, Rooted, Store, VMExternRef, Val};

type Reference = Option<Rooted<ExternRef>>;

/// Every function returns its argument, by another way, with collections on
/// the way.
const WAYS: &str = r#"(module
  (type $s (struct (field i64) (field $e (mut externref)) (field $a (mut anyref))))
  (type $v (array (mut externref)))
  (type $w (array (mut anyref)))
  (import "host" "gc" (func $gc))
  (import "host" "echo" (func $echo (param externref) (result externref)))
  (import "host" "echo" (func $host (param externref) (result externref)))
  (global $g (mut externref) (ref.null extern))
  (global $any (mut anyref) (ref.null any))
  (table $t 2 30 externref)
  (table $u 2 anyref)
  (tag $tag (param i32 externref))
  (func $swap (param externref i64 externref) (result externref externref)
    (call $gc) (local.get 2) (local.get 0))
  (func (export "parameter") (param externref) (result externref)
    (drop (call $swap (local.get 0) (i64.const 1) (ref.null extern))) (drop)
    (call $swap (local.get 0) (i64.const 1) (ref.null extern)) (return (call $second)))
  (func $second (param externref externref) (result externref) (local.get 1))
  (func (export "local") (param externref) (result externref) (local $l externref)
    (local.set $l (local.get 0)) (local.set 0 (ref.null extern)) (call $gc) (local.get $l))
  (func (export "operand") (param externref) (result externref)
    (local.get 0) (local.set 0 (ref.null extern)) (call $gc) (call $gc))
  (func (export "host") (param externref) (result externref)
    (call $gc) (call $echo (call $host (local.get 0))))
  (func (export "global") (param externref) (result externref)
    (global.set $g (local.get 0)) (local.set 0 (ref.null extern)) (call $gc)
    (global.get $g) (global.set $g (ref.null extern)))
  (func (export "table") (param externref) (result externref)
    (drop (table.grow $t (local.get 0) (i32.const 1)))
    (local.set 0 (ref.null extern)) (call $gc)
    (table.copy $t $t (i32.const 0) (i32.sub (table.size $t) (i32.const 1)) (i32.const 1)) (call $gc)
    (table.get $t (i32.const 0)) (table.fill $t (i32.const 0) (ref.null extern) (table.size $t)))
  (func (export "any") (param externref) (result externref) (local $a anyref)
    (local.set $a (any.convert_extern (local.get 0))) (local.set 0 (ref.null extern)) (call $gc)
    (global.set $any (local.get $a)) (local.set $a (ref.null none)) (call $gc)
    (table.set $u (i32.const 1) (global.get $any)) (global.set $any (ref.null none)) (call $gc)
    (extern.convert_any (table.get $u (i32.const 1))) (table.set $u (i32.const 1) (ref.null none)))
  (func (export "field") (param externref) (result externref) (local $s (ref null $s))
    (local.set $s (struct.new $s (i64.const -1) (local.get 0) (ref.null any))) (local.set 0 (ref.null extern))
    (call $gc)
    (struct.set $s $a (local.get $s) (any.convert_extern (struct.get $s $e (local.get $s))))
    (struct.set $s $e (local.get $s) (ref.null extern)) (call $gc)
    (extern.convert_any (struct.get $s $a (local.get $s))))
  (func (export "array") (param externref) (result externref) (local $v (ref null $v)) (local $w (ref null $w))
    (local.set $v (array.new $v (local.get 0) (i32.const 100))) (local.set 0 (ref.null extern)) (call $gc)
    (local.set $w (array.new_fixed $w 2 (any.convert_extern (array.get $v (local.get $v) (i32.const 99)))
      (any.convert_extern (array.get $v (local.get $v) (i32.const 0)))))
    (local.set $v (ref.null $v)) (call $gc)
    (extern.convert_any (array.get $w (local.get $w) (i32.const 1))))
  (func (export "exception") (param externref) (result externref)
    (block $caught (result i32 externref)
      (try_table (catch $tag $caught) (call $throw (local.get 0))) (unreachable))
    (call $gc) (return (call $drop_first)))
  (func $drop_first (param i32 externref) (result externref) (local.get 1))
  (func $throw (param externref) (call $gc) (throw $tag (i32.const 7) (local.get 0))))"#;

const NAMES: [&str; 10] =
    ["parameter", "local", "operand", "host", "global", "table", "any", "field", "array", "exception"];

fn text<'a>(store: &'a Store<()>, reference: &Rooted<ExternRef>) -> Option<&'a str> {
    reference.data(store).unwrap()?.downcast_ref::<String>().map(String::as_str)
}

#[test]
fn a_reference_is_the_same_wherever_it_comes_from() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, WAYS);
        let kept = ExternRef::new(&mut store, String::from("kept")).unwrap();
        for name in NAMES {
            let way = instance.get_typed_func::<Reference, Reference>(&mut store, name).unwrap();
            let value = ExternRef::new(&mut store, name.to_owned()).unwrap();
            for _ in 0..3 {
                let back = way.call(&mut store, Some(value)).unwrap().unwrap();
                assert!(Rooted::ref_eq(&store, &back, &value).unwrap(), "{name}");
                assert_eq!(text(&store, &back), Some(name));
                assert!(!Rooted::ref_eq(&store, &back, &kept).unwrap(), "{name}");
                assert!(way.call(&mut store, None).unwrap().is_none(), "{name}");
            }
        }
        assert_eq!(text(&store, &kept), Some("kept"));
    }
}

#[test]
fn untyped_calls_pass_the_same_references() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, WAYS);
        for name in NAMES {
            let way = instance.get_func(&mut store, name).unwrap();
            let value = ExternRef::new(&mut store, name.to_owned()).unwrap();
            let mut results = [Val::I32(0)];
            way.call(&mut store, &[value.into()], &mut results).unwrap();
            let back = results[0].unwrap_externref().unwrap();
            assert!(Rooted::ref_eq(&store, back, &value).unwrap(), "{name}");
            way.call(&mut store, &[Val::ExternRef(None)], &mut results).unwrap();
            assert!(results[0].unwrap_externref().is_none(), "{name}");
            let error = way.call(&mut store, &[Val::AnyRef(None)], &mut results).unwrap_err().to_string();
            assert!(error.contains("(externref) -> (externref)") && error.contains("(nullref)"), "{error}");
        }
    }
}

#[test]
fn a_counted_reference_comes_back_as_itself() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, WAYS);
        let value = VMExternRef::new([1u64, 2, 3]);
        let first = ExternRef::from_vm(&mut store, value.clone()).unwrap();
        let way = instance.get_typed_func::<Reference, Reference>(&mut store, "field").unwrap();
        let back = way.call(&mut store, Some(first)).unwrap().unwrap();
        let same = back.to_vm(&store).unwrap().unwrap();
        assert!(VMExternRef::eq(&value, &same));
        assert_eq!(value.strong_count(), 3);
        let again = ExternRef::from_vm(&mut store, same).unwrap();
        assert!(Rooted::ref_eq(&store, &again, &first).unwrap());
        assert_eq!(value.strong_count(), 2);
        // The same value in another store has a reference of that store's.
        let mut other = Store::new(&engine, ());
        let elsewhere = ExternRef::from_vm(&mut other, value.clone()).unwrap();
        assert!(VMExternRef::eq(&elsewhere.to_vm(&other).unwrap().unwrap(), &value));
        assert!(elsewhere.to_vm(&store).is_err());
        drop((store, other));
        assert_eq!(value.strong_count(), 1);
    }
}

#[test]
fn a_value_can_be_changed_in_place_unless_others_look_at_it() {
    let (mut store, _) = instance(&engines()[0], "(module)");
    let value = VMExternRef::new(5u32);
    let reference = ExternRef::from_vm(&mut store, value.clone()).unwrap();
    let error = reference.data_mut(&mut store).unwrap_err().to_string();
    assert!(error.contains("1 references to it outside the store"), "{error}");
    drop(value);
    *reference.data_mut(&mut store).unwrap().unwrap().downcast_mut::<u32>().unwrap() += 1;
    assert_eq!(reference.data(&store).unwrap().unwrap().downcast_ref(), Some(&6u32));
}

#[test]
fn what_is_converted_keeps_its_identity_and_its_kind() {
    use wasmc_loader::I31;
    let (mut store, _) = instance(&engines()[0], "(module)");
    let value = ExternRef::new(&mut store, 7u8).unwrap();
    let any = AnyRef::convert_extern(&mut store, value).unwrap();
    assert_eq!(any.host_data(&store).unwrap().unwrap().downcast_ref(), Some(&7u8));
    assert!(!any.is_i31(&store).unwrap() && !any.is_eqref(&store).unwrap() && any.as_eqref(&store).unwrap().is_none());
    let back = ExternRef::convert_any(&mut store, any).unwrap();
    assert!(Rooted::ref_eq(&store, &back, &value).unwrap());
    let number = AnyRef::from_i31(&mut store, I31::wrapping_u32(9));
    let wrapped = ExternRef::convert_any(&mut store, number).unwrap();
    assert!(wrapped.data(&store).unwrap().is_none() && wrapped.to_vm(&store).unwrap().is_none());
    assert!(wrapped.data_mut(&mut store).unwrap().is_none());
    assert!(number.host_data(&store).unwrap().is_none());
}

#[test]
fn many_values_are_dropped_without_anybody_asking_for_it() {
    let (mut store, instance) = instance(&engines()[0], WAYS);
    let drops = Drops::default();
    let kept = ExternRef::new(&mut store, drops.value()).unwrap();
    let table = instance.get_typed_func::<Reference, Reference>(&mut store, "table").unwrap();
    const COUNT: usize = 50_000;
    for _ in 0..COUNT {
        let mut scope = RootScope::new(&mut store);
        let value = ExternRef::new(&mut scope, drops.value()).unwrap();
        if drops.count() % 512 == 0 {
            // It needs room in the table only as long as there is some.
            let _ = table.call(&mut scope, Some(value));
        }
    }
    assert!(drops.count() > COUNT - 10_000, "{} of {COUNT} values were dropped", drops.count());
    assert!(kept.data(&store).unwrap().is_some());
    drop(store);
    assert_eq!(drops.count(), COUNT + 1);
}

#[test]
fn tables_and_globals_of_the_hosts_hold_references() {
    use wasmc_loader::{Global, GlobalType, HeapType, Mutability, RefType, Table, TableType, ValType};
    for engine in engines() {
        let mut store = Store::new(&engine, ());
        let drops = Drops::default();
        let (table, global) = {
            let mut scope = RootScope::new(&mut store);
            let value = ExternRef::new(&mut scope, drops.value()).unwrap();
            let ty = TableType::new(ValType::Ref(RefType::new(false, HeapType::Extern)), 3, None);
            assert!(Table::new(&mut scope, ty.clone(), Ref::null(&HeapType::Extern)).is_err());
            let table = Table::new(&mut scope, ty, value.into()).unwrap();
            let error = table.set(&mut scope, 0, Ref::Any(None)).unwrap_err().to_string();
            assert!(error.contains("nullref") && error.contains("(ref extern)"), "{error}");
            let other = ExternRef::new(&mut scope, drops.value()).unwrap();
            let global = Global::new(&mut scope, GlobalType::new(ValType::ANYREF, Mutability::Var), Val::AnyRef(None));
            let global = global.unwrap();
            let any = AnyRef::convert_extern(&mut scope, other).unwrap();
            global.set(&mut scope, any.into()).unwrap();
            assert!(global.set(&mut scope, other.into()).is_err());
            (table, global)
        };
        store.gc();
        assert_eq!(drops.count(), 0);
        assert!(global.get(&mut store).unwrap_anyref().is_some());
        global.set(&mut store, Val::AnyRef(None)).unwrap();
        let fresh = ExternRef::new(&mut store, ()).unwrap();
        table.fill(&mut store, 0, fresh.into(), 2).unwrap();
        {
            let mut scope = RootScope::new(&mut store);
            assert!(table.get(&mut scope, 2).unwrap().unwrap_extern().is_some());
        }
        store.gc();
        assert_eq!(drops.count(), 0, "the global's is rooted, as the host has read it");
        table.set(&mut store, 2, fresh.into()).unwrap();
        store.gc();
        assert_eq!(drops.count(), 1);
    }
}
