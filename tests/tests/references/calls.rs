//! References in typed calls, in both directions, and what types they fit.

use super::{engines, instance, linker, module};
use wasmc_loader::{
    AnyRef, ArrayRef, Caller, EqRef, Func, I31, OwnedRooted, RefType, Rooted, Store, StructRef, Val, ValType,
};

const TYPES: &str = r#"(module
  (type $p (sub (struct (field i32))))
  (type $q (sub $p (struct (field i32 i64))))
  (type $v (array i8))
  (type $f (sub (func (result i32))))
  (type $g (sub $f (func (result i32))))
  (func $seven (type $g) (i32.const 7))
  (elem declare func $seven)
  (func (export "p") (result (ref $p)) (struct.new $p (i32.const 1)))
  (func (export "q") (result (ref $q)) (struct.new $q (i32.const 2) (i64.const 3)))
  (func (export "v") (result (ref $v)) (array.new $v (i32.const 9) (i32.const 4)))
  (func (export "i") (result (ref i31)) (ref.i31 (i32.const -5)))
  (func (export "g") (result (ref $g)) (ref.func $seven))
  (func (export "take p") (param (ref $p)) (result i32) (struct.get $p 0 (local.get 0)))
  (func (export "take q") (param (ref null $q)) (result i32)
    (if (result i32) (ref.is_null (local.get 0)) (then (i32.const -1)) (else (struct.get $q 0 (local.get 0)))))
  (func (export "take g") (param (ref $g)) (result i32) (call_ref $g (local.get 0)))
  (func (export "take f") (param (ref null $f)) (result i32) (call_ref $f (local.get 0)))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "eq") (param eqref) (result eqref) (local.get 0))
  (func (export "struct") (param structref) (result structref) (local.get 0))
  (func (export "array") (param arrayref) (result arrayref) (local.get 0))
  (func (export "i31") (param i31ref) (result i31ref) (local.get 0))
  (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func (export "both") (param (ref any) externref) (result externref (ref any)) (local.get 1) (local.get 0)))"#;

fn make<R: wasmc_loader::WasmResults>(store: &mut Store<()>, instance: wasmc_loader::Instance, name: &str) -> R {
    instance.get_typed_func::<(), R>(&mut *store, name).unwrap().call(store, ()).unwrap()
}

#[test]
fn results_can_be_taken_as_anything_above_their_type() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, TYPES);
        let p: Rooted<StructRef> = make(&mut store, instance, "p");
        let q: Rooted<EqRef> = make(&mut store, instance, "q");
        let any: Option<Rooted<AnyRef>> = make(&mut store, instance, "v");
        let number: I31 = make(&mut store, instance, "i");
        let maybe: Option<I31> = make(&mut store, instance, "i");
        let owned: OwnedRooted<StructRef> = make(&mut store, instance, "q");
        let function: Func = make(&mut store, instance, "g");
        store.gc();
        assert_eq!(p.field(&mut store, 0).unwrap().unwrap_i32(), 1);
        assert_eq!(q.unwrap_struct(&store).unwrap().field(&mut store, 1).unwrap().unwrap_i64(), 3);
        assert_eq!(any.unwrap().unwrap_array(&store).unwrap().len(&store).unwrap(), 4);
        assert_eq!((number.get_i32(), maybe), (-5, Some(number)));
        assert_eq!(owned.field(&mut store, 0).unwrap().unwrap_i32(), 2);
        assert_eq!(function.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 7);
        assert!(instance.get_typed_func::<(), Rooted<ArrayRef>>(&mut store, "p").is_err());
        assert!(instance.get_typed_func::<(), I31>(&mut store, "v").is_err());
        assert!(instance.get_typed_func::<(), Rooted<wasmc_loader::ExternRef>>(&mut store, "p").is_err());
    }
}

#[test]
fn arguments_are_looked_at_where_the_function_takes_less_than_their_type() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, TYPES);
        let p: Rooted<StructRef> = make(&mut store, instance, "p");
        let q: Rooted<StructRef> = make(&mut store, instance, "q");
        let v: Rooted<AnyRef> = make(&mut store, instance, "v");
        let take_p = instance.get_typed_func::<Rooted<StructRef>, i32>(&mut store, "take p").unwrap();
        assert_eq!((take_p.call(&mut store, p).unwrap(), take_p.call(&mut store, q).unwrap()), (1, 2));
        let take_q = instance.get_typed_func::<Option<Rooted<AnyRef>>, i32>(&mut store, "take q").unwrap();
        let q_any = q.to_anyref();
        assert_eq!(take_q.call(&mut store, Some(q_any)).unwrap(), 2);
        assert_eq!(take_q.call(&mut store, None).unwrap(), -1);
        for wrong in [p.to_anyref(), v] {
            let error = take_q.call(&mut store, Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("argument 0") && error.contains("(ref null struct:"), "{error}");
        }
        let nullable = instance.get_typed_func::<Option<Rooted<StructRef>>, i32>(&mut store, "take p").unwrap();
        assert!(nullable.call(&mut store, None).is_err());
        assert_eq!(nullable.call(&mut store, Some(q)).unwrap(), 2);
        let owned = q.to_owned_rooted(&mut store).unwrap();
        let take = instance.get_typed_func::<OwnedRooted<StructRef>, i32>(&mut store, "take q").unwrap();
        assert_eq!(take.call(&mut store, owned).unwrap(), 2);
        let seven: Func = make(&mut store, instance, "g");
        let take_g = instance.get_typed_func::<Func, i32>(&mut store, "take g").unwrap();
        assert_eq!(take_g.call(&mut store, seven).unwrap(), 7);
        let other = Func::wrap(&mut store, || 8i32);
        assert!(take_g.call(&mut store, other).is_err(), "another type of functions");
        let take_f = instance.get_typed_func::<Option<Func>, i32>(&mut store, "take f").unwrap();
        assert_eq!(take_f.call(&mut store, Some(seven)).unwrap(), 7);
        // Arguments that can never fit are refused before any call.
        assert!(instance.get_typed_func::<Rooted<ArrayRef>, i32>(&mut store, "take p").is_err());
        assert!(instance.get_typed_func::<I31, i32>(&mut store, "take p").is_err());
        assert!(instance.get_typed_func::<i32, i32>(&mut store, "take p").is_err());
    }
}

#[test]
fn each_type_of_references_goes_through_wasm_and_back() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, TYPES);
        let q: Rooted<StructRef> = make(&mut store, instance, "q");
        let v: Rooted<ArrayRef> = make(&mut store, instance, "v");
        macro_rules! through {
            ($name:literal, $t:ty, $value:expr) => {{
                let func = instance.get_typed_func::<Option<$t>, Option<$t>>(&mut store, $name).unwrap();
                assert!(func.call(&mut store, None).unwrap().is_none());
                let value = $value;
                func.call(&mut store, Some(value)).unwrap().unwrap()
            }};
        }
        let any = through!("any", Rooted<AnyRef>, q.to_anyref());
        assert!(Rooted::ref_eq(&store, &any, &q.to_anyref()).unwrap());
        let eq = through!("eq", Rooted<EqRef>, v.to_eqref());
        assert!(Rooted::ref_eq(&store, &eq, &v.to_eqref()).unwrap());
        let owned = q.to_owned_rooted(&mut store).unwrap();
        let back = through!("struct", OwnedRooted<StructRef>, owned.clone());
        assert!(OwnedRooted::ref_eq(&store, &back, &owned).unwrap());
        assert!(OwnedRooted::ref_eq(&store, &back.to_anyref(), &owned.to_eqref().to_anyref()).unwrap());
        let array = through!("array", Rooted<ArrayRef>, v);
        assert!(Rooted::ref_eq(&store, &array, &v).unwrap());
        assert_eq!(through!("i31", I31, I31::wrapping_i32(-77)).get_i32(), -77);
        let seven: Func = make(&mut store, instance, "g");
        assert!(through!("func", Func, seven).typed::<(), i32>(&store).is_ok());
        type In = (Rooted<AnyRef>, Option<Rooted<wasmc_loader::ExternRef>>);
        type Out = (Option<Rooted<wasmc_loader::ExternRef>>, Rooted<EqRef>);
        assert!(instance.get_typed_func::<In, Out>(&mut store, "both").is_err());
        type Swapped = (Option<Rooted<wasmc_loader::ExternRef>>, Rooted<AnyRef>);
        let both = instance.get_typed_func::<In, Swapped>(&mut store, "both").unwrap();
        let value = wasmc_loader::ExternRef::new(&mut store, 1u8).unwrap();
        let (first, second) = both.call(&mut store, (q.to_anyref(), Some(value))).unwrap();
        assert!(Rooted::ref_eq(&store, &first.unwrap(), &value).unwrap());
        assert!(Rooted::ref_eq(&store, &second, &any).unwrap());
    }
}

#[test]
fn host_functions_take_and_return_every_type() {
    for engine in engines() {
        let mut linker = linker(&engine);
        linker.func_wrap("host", "any", |r: Rooted<AnyRef>| r).unwrap();
        linker.func_wrap("host", "eq", |r: Option<Rooted<EqRef>>| r).unwrap();
        let first = |mut caller: Caller<'_, ()>, r: Rooted<StructRef>, v: OwnedRooted<ArrayRef>| {
            caller.gc();
            let (a, b) = (r.field(&mut caller, 0)?.unwrap_i32(), v.get(&mut caller, 1)?.unwrap_i32());
            wasmc_loader::Result::Ok((a + b, I31::wrapping_i32(a), v))
        };
        linker.func_wrap("host", "sum", first).unwrap();
        let untyped =
            wasmc_loader::FuncType::new([ValType::ANYREF], [RefType::new(false, wasmc_loader::HeapType::Eq).into()]);
        linker
            .func_new("host", "eq of", untyped, |mut caller, args, results| {
                caller.gc();
                if let Some(any) = args[0].unwrap_anyref() {
                    results[0] = any.unwrap_eqref(&caller)?.to_anyref().into();
                }
                Ok(())
            })
            .unwrap();
        let text = r#"(module
          (type $s (struct (field i32))) (type $v (array i16))
          (import "host" "any" (func $any (param (ref any)) (result (ref any))))
          (import "host" "eq" (func $eq (param eqref) (result eqref)))
          (import "host" "sum" (func $sum (param (ref struct) (ref array)) (result i32 (ref i31) (ref array))))
          (import "host" "eq of" (func $eq_of (param anyref) (result (ref eq))))
          (func (export "run") (result i32) (local $s (ref $s)) (local $n i32) (local $i i31ref) (local $v arrayref)
            (local.set $s (struct.new $s (i32.const 30)))
            (call $sum (ref.cast (ref struct) (call $any (local.get $s)))
              (array.new_fixed $v 3 (i32.const 1) (i32.const 4) (i32.const 7)))
            (local.set $v) (local.set $i) (local.set $n)
            (if (i32.eqz (ref.eq (call $eq (local.get $i)) (ref.i31 (i32.const 30)))) (then (unreachable)))
            (if (i32.eqz (ref.eq (call $eq_of (local.get $v)) (local.get $v))) (then (unreachable)))
            (i32.add (local.get $n) (array.len (local.get $v))))
          (func (export "null") (drop (call $eq_of (ref.null any)))))"#;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 37);
        let null = instance.get_typed_func::<(), ()>(&mut store, "null").unwrap();
        let error = null.call(&mut store, ()).unwrap_err().to_string();
        assert!(error.contains("returned nullref as result 0"), "{error}");
    }
}

#[test]
fn values_know_their_types() {
    let (mut store, instance) = instance(&engines()[0], TYPES);
    let p: Rooted<StructRef> = make(&mut store, instance, "p");
    let q: Rooted<StructRef> = make(&mut store, instance, "q");
    let number = AnyRef::from_i31(&mut store, I31::wrapping_u32(1));
    let (p_ty, q_ty) = (p.ty(&store).unwrap().ref_type(false), q.ty(&store).unwrap().ref_type(true));
    let (p, q) = (Val::from(p.to_anyref()), Val::from(q.to_anyref()));
    assert_eq!(p.ty(&store).unwrap(), ValType::Ref(p_ty));
    assert!(q.matches_ty(&store, &ValType::Ref(p_ty)).unwrap() && !p.matches_ty(&store, &ValType::Ref(q_ty)).unwrap());
    assert!(Val::AnyRef(None).matches_ty(&store, &ValType::Ref(q_ty)).unwrap());
    assert!(!Val::AnyRef(None).matches_ty(&store, &ValType::Ref(p_ty)).unwrap());
    assert!(!Val::FuncRef(None).matches_ty(&store, &ValType::Ref(q_ty)).unwrap());
    assert_eq!(Val::from(number).ty(&store).unwrap().to_string(), "(ref i31)");
    assert_eq!(Val::null_ref(&wasmc_loader::HeapType::NoExn).ty(&store).unwrap(), ValType::NULLEXNREF);
    assert!(Val::default_for_ty(&ValType::Ref(p_ty)).is_none());
    assert!(Val::default_for_ty(&ValType::Ref(q_ty)).unwrap().unwrap_anyref().is_none());
    let function: Func = make(&mut store, instance, "g");
    let ty = Val::from(function).ty(&store).unwrap();
    assert!(
        ty.to_string().starts_with("(ref func:") && Val::from(function).matches_ty(&store, &ValType::FUNCREF).unwrap()
    );
    let reference = p.ref_().unwrap();
    assert!(reference.is_any() && !reference.is_null() && reference.is_non_null() && !reference.is_func());
    assert!(reference.as_extern().is_none() && reference.unwrap_any().is_some());
    assert!(reference.matches_ty(&store, &p_ty).unwrap());
    assert_eq!(reference.ty(&store).unwrap(), p_ty);
    assert!(Val::I32(1).ref_().is_none() && Val::I32(1).anyref().is_none());
    let message = std::panic::catch_unwind(|| Val::I32(1).unwrap_externref().is_none()).unwrap_err();
    assert_eq!(message.downcast_ref::<String>().unwrap(), "expected an externref, found an i32");
}
