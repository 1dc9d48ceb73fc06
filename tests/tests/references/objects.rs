//! Structs, arrays and exceptions that the host makes, reads and changes, and
//! that wasm takes for its own.

use super::{Drops, engines, instance};
use wasmc_loader::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, Config, Engine, ExnRef, ExnRefPre, ExnType, ExternRef, FieldType, Func,
    FuncType, I31, Instance, Mutability, RootScope, Rooted, StorageType, Store, StructRef, StructRefPre, StructType,
    Tag, TagType, Trap, Val, ValType,
};

fn field(mutability: Mutability, ty: impl Into<StorageType>) -> FieldType {
    FieldType::new(mutability, ty.into())
}

fn var(ty: impl Into<StorageType>) -> FieldType {
    field(Mutability::Var, ty)
}

/// One field of every kind.
fn everything(engine: &Engine) -> StructType {
    let fields = [
        var(StorageType::I8),
        var(ValType::I64),
        var(StorageType::I16),
        var(ValType::F32),
        var(ValType::V128),
        var(ValType::FUNCREF),
        var(ValType::EXTERNREF),
        var(ValType::ANYREF),
        field(Mutability::Const, ValType::F64),
        var(ValType::EXNREF),
        field(Mutability::Const, ValType::I32),
    ];
    StructType::new(engine, fields).unwrap()
}

const GUEST: &str = r#"(module
  (type $e (struct (field (mut i8)) (field (mut i64)) (field (mut i16)) (field (mut f32)) (field (mut v128))
    (field (mut funcref)) (field (mut externref)) (field (mut anyref)) (field f64) (field (mut exnref)) (field i32)))
  (type $bytes (array (mut i8)))
  (type $any (array (mut anyref)))
  (type $const (array i64))
  (tag $tag (export "tag") (param i32 externref f64))
  (func (export "sum") (param anyref) (result i64) (local $e (ref $e))
    (local.set $e (ref.cast (ref $e) (local.get 0)))
    (i64.add (struct.get $e 1 (local.get $e))
      (i64.extend_i32_s (i32.add (i32.add (struct.get_s $e 0 (local.get $e)) (struct.get_u $e 2 (local.get $e)))
        (struct.get $e 10 (local.get $e))))))
  (func (export "exact") (param anyref) (result i32) (ref.test (ref $e) (local.get 0)))
  (func (export "make") (param externref) (result (ref $e))
    (struct.new $e (i32.const 0x1ff) (i64.const -1) (i32.const 0x1ffff) (f32.const 1.5)
      (v128.const i64x2 1 2) (ref.null func) (local.get 0) (ref.i31 (i32.const 3)) (f64.const -2.5)
      (ref.null exn) (i32.const 42)))
  (func (export "bytes") (param i32) (result (ref $bytes)) (array.new $bytes (i32.const 0x181) (local.get 0)))
  (func (export "byte sum") (param (ref $bytes)) (result i32) (local $i i32) (local $sum i32)
    (block $done (loop $l
      (br_if $done (i32.ge_u (local.get $i) (array.len (local.get 0))))
      (local.set $sum (i32.add (local.get $sum) (array.get_u $bytes (local.get 0) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))
    (local.get $sum))
  (func (export "const") (result (ref $const)) (array.new_fixed $const 2 (i64.const 5) (i64.const 6)))
  (func (export "catch") (param exnref) (result i32 externref f64)
    (block $caught (result i32 externref f64)
      (try_table (catch $tag $caught) (throw_ref (local.get 0))) (unreachable))))"#;

fn call<P: wasmc_loader::WasmParams, R: wasmc_loader::WasmResults>(
    store: &mut Store<()>,
    instance: Instance,
    name: &str,
    params: P,
) -> R {
    instance.get_typed_func::<P, R>(&mut *store, name).unwrap().call(store, params).unwrap()
}

#[test]
fn the_host_reads_and_changes_every_kind_of_field() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, GUEST);
        let drops = Drops::default();
        let value = ExternRef::new(&mut store, drops.value()).unwrap();
        let object: Rooted<StructRef> = call(&mut store, instance, "make", Some(value));
        store.gc();
        let get = |store: &mut Store<()>, index| object.field(store, index).unwrap();
        assert_eq!((get(&mut store, 0).unwrap_i32(), get(&mut store, 2).unwrap_i32()), (0xff, 0xffff));
        assert_eq!((get(&mut store, 1).unwrap_i64(), get(&mut store, 10).unwrap_i32()), (-1, 42));
        assert_eq!((get(&mut store, 3).unwrap_f32(), get(&mut store, 8).unwrap_f64()), (1.5, -2.5));
        assert_eq!(get(&mut store, 4).unwrap_v128().as_u128(), (2 << 64) | 1);
        assert!(get(&mut store, 5).unwrap_funcref().is_none() && get(&mut store, 9).unwrap_exnref().is_none());
        let same = *get(&mut store, 6).unwrap_externref().unwrap();
        assert!(Rooted::ref_eq(&store, &same, &value).unwrap());
        let number = *get(&mut store, 7).unwrap_anyref().unwrap();
        assert_eq!(number.unwrap_i31(&store).unwrap(), I31::wrapping_u32(3));
        let function = Func::wrap(&mut store, || 5i32);
        let changes: [(usize, Val); 8] = [
            (0, Val::I32(-2)),
            (1, Val::I64(1000)),
            (2, Val::I32(70_000)),
            (3, Val::from(2.5f32)),
            (4, Val::V128(77u128.into())),
            (5, function.into()),
            (6, Val::ExternRef(None)),
            (7, object.to_anyref().into()),
        ];
        for (index, value) in changes {
            object.set_field(&mut store, index, value).unwrap();
        }
        store.gc();
        assert_eq!(get(&mut store, 4).unwrap_v128().as_u128(), 77);
        assert_eq!(
            get(&mut store, 5)
                .unwrap_funcref()
                .unwrap()
                .typed::<(), i32>(&store)
                .unwrap()
                .call(&mut store, ())
                .unwrap(),
            5
        );
        let itself = *get(&mut store, 7).unwrap_anyref().unwrap();
        assert!(Rooted::ref_eq(&store, &itself, &object.to_anyref()).unwrap());
        assert_eq!(
            call::<_, i64>(&mut store, instance, "sum", Some(object.to_anyref())),
            1000 - 2 + (70_000 - 65_536) + 42
        );
        let all: Vec<Val> = object.fields(&mut store).unwrap().collect();
        assert_eq!((all.len(), all[1].unwrap_i64(), all[3].unwrap_f32()), (11, 1000, 2.5));
        assert!(object.matches_ty(&store, &everything(&engine)).unwrap());
        assert_eq!(object.ty(&store).unwrap(), everything(&engine));
        assert_eq!(drops.count(), 0, "the host has a root of the value");
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let (mut store, instance) = instance(&engines()[1], GUEST);
    let object: Rooted<StructRef> = call(&mut store, instance, "make", None::<Rooted<ExternRef>>);
    let mut other = Store::new(&engines()[0], ());
    let foreign = ExternRef::new(&mut other, ()).unwrap();
    for (index, value, message) in [
        (8, Val::F64(0), "immutable"),
        (11, Val::I32(0), "no field or element 11"),
        (1, Val::I32(0), "of type i64, and cannot have a value of type i32"),
        (5, Val::ExternRef(None), "funcref"),
        (6, foreign.into(), "belong to the store they were made in"),
    ] {
        let error = format!("{:#}", object.set_field(&mut store, index, value).unwrap_err());
        assert!(error.contains(message), "{index}: {error}");
    }
    assert!(object.field(&mut store, 11).is_err());
    assert_eq!(object.field(&mut store, 1).unwrap().unwrap_i64(), -1);
    let array: Rooted<ArrayRef> = call(&mut store, instance, "const", ());
    for error in [
        array.set(&mut store, 0, Val::I64(1)).unwrap_err(),
        array.fill(&mut store, 0, Val::I64(1), 1).unwrap_err(),
        array.get(&mut store, 2).unwrap_err(),
        array.copy_to_i8_slice(&mut store, &mut [0; 2]).unwrap_err(),
    ] {
        assert!(
            ["immutable", "no field or element 2", "array of i8"].iter().any(|m| error.to_string().contains(m)),
            "{error}"
        );
    }
    assert_eq!(array.elems(&mut store).unwrap().map(|v| v.unwrap_i64()).collect::<Vec<_>>(), [5, 6]);
    assert!(object.to_anyref().as_array(&store).unwrap().is_none());
    assert!(array.to_anyref().as_struct(&store).unwrap().is_none() && array.to_eqref().is_array(&store).unwrap());
}

#[test]
fn structs_made_by_the_host_are_wasms_own() {
    for engine in engines() {
        // Once with a module that knows the type, and once with none that does
        // when the structs are made.
        for late in [false, true] {
            let mut store = Store::new(&engine, ());
            let module = super::module(&engine, GUEST);
            let mut instance = None;
            if !late {
                instance = Some(Instance::new(&mut store, &module, &[]).unwrap());
            }
            let pre = StructRefPre::new(&mut store, everything(&engine));
            let drops = Drops::default();
            let mut objects = Vec::new();
            for i in 0..50 {
                let mut scope = RootScope::new(&mut store);
                let value = ExternRef::new(&mut scope, drops.value()).unwrap();
                let fields = [
                    Val::I32(i),
                    Val::I64(i64::from(i) << 20),
                    Val::I32(-1),
                    Val::F32(0),
                    Val::V128(u128::MAX.into()),
                    Val::FuncRef(None),
                    value.into(),
                    AnyRef::convert_extern(&mut scope, value).unwrap().into(),
                    Val::F64(0),
                    Val::ExnRef(None),
                    Val::I32(1),
                ];
                let object = StructRef::new(&mut scope, &pre, &fields).unwrap();
                objects.push(object.to_owned_rooted(&mut scope).unwrap());
                assert!(StructRef::new(&mut scope, &pre, &fields[1..]).is_err());
            }
            store.gc();
            assert_eq!(drops.count(), 0);
            let instance = instance.unwrap_or_else(|| Instance::new(&mut store, &module, &[]).unwrap());
            for (object, i) in objects.iter().zip(0..) {
                let object = object.to_rooted(&mut store).to_anyref();
                assert_eq!(call::<_, i32>(&mut store, instance, "exact", Some(object)), 1);
                assert_eq!(call::<_, i64>(&mut store, instance, "sum", Some(object)), (i << 20) + i + 0xffff + 1);
            }
            drop((objects, store));
            assert_eq!(drops.count(), 50);
        }
    }
}

#[test]
fn arrays_are_made_filled_and_copied() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, GUEST);
        let ty = ArrayType::new(&engine, var(StorageType::I8));
        let pre = ArrayRefPre::new(&mut store, ty.clone());
        let made = ArrayRef::new(&mut store, &pre, &Val::I32(0x102), 1000).unwrap();
        assert_eq!((made.len(&store).unwrap(), made.get(&mut store, 999).unwrap().unwrap_i32()), (1000, 2));
        made.fill(&mut store, 10, Val::I32(3), 20).unwrap();
        made.set(&mut store, 0, Val::I32(255)).unwrap();
        assert!(
            made.fill(&mut store, 990, Val::I32(9), 11).is_err() && made.fill(&mut store, 1, Val::I64(1), 1).is_err()
        );
        assert_eq!(call::<_, i32>(&mut store, instance, "byte sum", made), 2000 + 20 + 253);
        let bytes: Vec<u8> = (0..=255).collect();
        let copied = ArrayRef::new_from_i8_slice(&mut store, &pre, &bytes).unwrap();
        store.gc();
        assert_eq!(call::<_, i32>(&mut store, instance, "byte sum", copied), 255 * 128);
        let mut back = vec![0; 256];
        copied.copy_to_i8_slice(&mut store, &mut back).unwrap();
        assert_eq!(back, bytes);
        assert!(copied.copy_to_i8_slice(&mut store, &mut [0; 255]).is_err());
        let empty = ArrayRef::new_fixed(&mut store, &pre, &[]).unwrap();
        assert!(empty.len(&store).unwrap() == 0 && empty.get(&mut store, 0).is_err());
        let of_guest: Rooted<ArrayRef> = call(&mut store, instance, "bytes", 3i32);
        assert_eq!(of_guest.ty(&store).unwrap(), ty);
        assert!(of_guest.matches_ty(&store, &ty).unwrap());
        assert_eq!(of_guest.elems(&mut store).unwrap().map(|v| v.unwrap_i32()).collect::<Vec<_>>(), [0x81; 3]);
        let any = ArrayRefPre::new(&mut store, ArrayType::new(&engine, var(ValType::ANYREF)));
        assert!(ArrayRef::new_from_i8_slice(&mut store, &any, &bytes).is_err());
        let list = ArrayRef::new_fixed(&mut store, &any, &[copied.to_anyref().into(), Val::AnyRef(None)]).unwrap();
        store.gc();
        let first = *list.get(&mut store, 0).unwrap().unwrap_anyref().unwrap();
        assert_eq!(first.unwrap_array(&store).unwrap().len(&store).unwrap(), 256);
        assert!(list.get(&mut store, 1).unwrap().unwrap_anyref().is_none());
        let error = ArrayRef::new_fixed(&mut store, &any, &[Val::ExternRef(None)]).unwrap_err().to_string();
        assert!(error.contains("anyref") && error.contains("nullexternref"), "{error}");
        let wide = ArrayRefPre::new(&mut store, ArrayType::new(&engine, var(ValType::V128)));
        let wide = ArrayRef::new(&mut store, &wide, &Val::V128((5u128 << 100).into()), 7).unwrap();
        store.gc();
        assert!(wide.elems(&mut store).unwrap().all(|v| v.unwrap_v128().as_u128() == 5 << 100));
    }
}

#[test]
fn exceptions_carry_what_they_were_made_with() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, GUEST);
        let tag = instance.get_export(&mut store, "tag").unwrap().into_tag().unwrap();
        let ty = ExnType::from_tag_type(&engine, &tag.ty(&store)).unwrap();
        assert_eq!(ty, ExnType::new(&engine, [ValType::I32, ValType::EXTERNREF, ValType::F64]).unwrap());
        assert_eq!((ty.fields().len(), ty.tag_type()), (3, tag.ty(&store)));
        assert_eq!(*ty.field(2).unwrap().element_type(), StorageType::ValType(ValType::F64));
        let pre = ExnRefPre::new(&mut store, ty.clone());
        let value = ExternRef::new(&mut store, 8u8).unwrap();
        let fields = [Val::I32(7), value.into(), Val::from(0.5f64)];
        let exception = ExnRef::new(&mut store, &pre, &tag, &fields).unwrap();
        store.gc();
        assert!(exception.ty(&store).unwrap() == ty && Tag::eq(&exception.tag(&mut store).unwrap(), &tag, &store));
        assert_eq!(exception.field(&mut store, 0).unwrap().unwrap_i32(), 7);
        assert!(exception.field(&mut store, 3).is_err());
        assert_eq!(exception.fields(&mut store).unwrap().len(), 3);
        type Caught = (i32, Option<Rooted<ExternRef>>, f64);
        let (number, reference, float) = call::<_, Caught>(&mut store, instance, "catch", Some(exception));
        assert_eq!((number, float), (7, 0.5));
        assert!(Rooted::ref_eq(&store, &reference.unwrap(), &value).unwrap());
        let other = Tag::new(&mut store, &TagType::new(FuncType::new([ValType::I32], []))).unwrap();
        let error = ExnRef::new(&mut store, &pre, &other, &fields).unwrap_err().to_string();
        assert!(error.contains("tag (i32) -> ()"), "{error}");
        assert!(ExnType::from_tag_type(&engine, &TagType::new(FuncType::new([], [ValType::I32]))).is_err());
        assert!(ExnRef::new(&mut store, &pre, &tag, &fields[..2]).is_err());
    }
}

#[test]
fn a_heap_that_is_full_is_an_error_and_not_for_ever() {
    let engine = Engine::new(Config::new().gc_heap_limit(1 << 20)).unwrap();
    let mut store = Store::new(&engine, ());
    let pre = ArrayRefPre::new(&mut store, ArrayType::new(&engine, var(ValType::I64)));
    let error = ArrayRef::new(&mut store, &pre, &Val::I64(0), 1 << 20).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::HeapExhausted));
    {
        let mut scope = RootScope::new(&mut store);
        let full = (0..2000).find_map(|_| ArrayRef::new(&mut scope, &pre, &Val::I64(1), 1000).err());
        assert_eq!(full.unwrap().downcast_ref(), Some(&Trap::HeapExhausted));
    }
    for _ in 0..1000 {
        let mut scope = RootScope::new(&mut store);
        ArrayRef::new(&mut scope, &pre, &Val::I64(1), 1000).unwrap();
    }
}

#[test]
#[should_panic(expected = "belongs to the store it was made in")]
fn what_makes_structs_for_one_store_makes_none_for_another() {
    let engine = Engine::default();
    let pre = StructRefPre::new(Store::new(&engine, ()), everything(&engine));
    let _ = StructRef::new(Store::new(&engine, ()), &pre, &[]);
}

#[test]
#[should_panic(expected = "another engine than its own")]
fn a_type_of_one_engine_is_none_of_anothers() {
    StructRefPre::new(Store::new(&Engine::default(), ()), everything(&Engine::default()));
}
