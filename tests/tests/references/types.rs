//! Types that the host defines, and how they relate.

use wasmc_loader::{ArrayType, Engine, FieldType, Finality, HeapType, Mutability, StorageType, StructType, ValType};

fn of(ty: ValType) -> FieldType {
    FieldType::new(Mutability::Const, StorageType::ValType(ty))
}

fn open(engine: &Engine, above: Option<&StructType>, fields: &[FieldType]) -> wasmc_loader::Result<StructType> {
    StructType::with_finality_and_supertype(engine, Finality::NonFinal, above, fields.iter().copied())
}

#[test]
fn a_struct_type_is_what_it_was_defined_as() {
    let engine = Engine::default();
    let packed = FieldType::new(Mutability::Var, StorageType::I8);
    let base = open(&engine, None, &[packed]).unwrap();
    assert_eq!((base.finality(), base.supertype(), base.fields().len()), (Finality::NonFinal, None, 1));
    let field = base.field(0).unwrap();
    assert_eq!((field, field.mutability(), *field.element_type()), (packed, Mutability::Var, StorageType::I8));
    assert_eq!((field.element_type().unpack(), base.field(1)), (ValType::I32, None));
    let derived = open(&engine, Some(&base), &[packed, of(ValType::F64)]).unwrap();
    assert_eq!(derived.supertype(), Some(base.clone()));
    assert!(derived.matches(&base) && derived.matches(&derived) && !base.matches(&derived));
    assert_eq!(derived.to_string(), "struct {(mut i8), f64}");
    assert!(Engine::same(derived.engine(), &engine));
    // Equal definitions are one type; a final one is another.
    assert_eq!(open(&engine, None, &[packed]).unwrap(), base);
    assert_ne!(StructType::new(&engine, [packed]).unwrap(), base);
    assert!(matches!(HeapType::from(&base), HeapType::Concrete(_)));
    assert_eq!(HeapType::from(base.clone()), base.ref_type(true).heap);
}

#[test]
fn a_supertype_must_be_open_and_begin_alike() {
    let engine = Engine::default();
    let base = open(&engine, None, &[of(ValType::ANYREF)]).unwrap();
    assert!(open(&engine, Some(&base), &[of(ValType::EQREF), of(ValType::I32)]).is_ok());
    assert!(open(&engine, Some(&base), &[of(ValType::Ref(base.ref_type(false)))]).is_ok());
    for fields in [vec![], vec![of(ValType::EXTERNREF)], vec![of(ValType::I32)]] {
        let error = open(&engine, Some(&base), &fields).unwrap_err().to_string();
        assert!(error.contains("does not begin like its supertype"), "{error}");
    }
    let mutable = FieldType::new(Mutability::Var, StorageType::ValType(ValType::ANYREF));
    assert!(open(&engine, Some(&base), &[mutable]).is_err());
    let above = open(&engine, None, &[mutable]).unwrap();
    let narrower = FieldType::new(Mutability::Var, StorageType::ValType(ValType::EQREF));
    assert!(open(&engine, Some(&above), &[narrower]).is_err(), "what can change cannot be narrower");
    let last = StructType::new(&engine, [of(ValType::I32)]).unwrap();
    let error = open(&engine, Some(&last), &[of(ValType::I32)]).unwrap_err().to_string();
    assert!(error.contains("its supertype is final"), "{error}");
}

#[test]
fn array_types_relate_by_their_elements() {
    let engine = Engine::default();
    let array = |above, ty| ArrayType::with_finality_and_supertype(&engine, Finality::NonFinal, above, of(ty));
    let base = array(None, ValType::ANYREF).unwrap();
    let derived = array(Some(&base), ValType::I31REF).unwrap();
    assert!(derived.matches(&base) && !base.matches(&derived));
    assert_eq!((derived.supertype(), derived.finality()), (Some(base.clone()), Finality::NonFinal));
    assert!(array(Some(&base), ValType::EXTERNREF).is_err());
    let plain = ArrayType::new(&engine, of(ValType::I64));
    assert_eq!((plain.mutability(), plain.element_type()), (Mutability::Const, StorageType::ValType(ValType::I64)));
    assert_eq!((plain.field_type(), plain.to_string()), (of(ValType::I64), String::from("array of i64")));
    assert!(Engine::same(plain.engine(), &engine));
    assert_eq!(HeapType::from(&plain), plain.ref_type(false).heap);
    assert_eq!(format!("{:?}", HeapType::from(plain).to_string().starts_with("array:")), "true");
}
