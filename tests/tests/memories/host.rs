//! Memories and tables with 64-bit indices as the host makes and uses them.

use super::module;
use wasmc::Tunables;
use wasmc_loader::{Engine, Instance, Memory, MemoryType, MemoryTypeBuilder, Ref, Store, Table, TableType, ValType};

#[test]
fn a_host_memory_is_what_code_imports() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let wide = Memory::new(&mut store, MemoryType::new64(2, Some(70_000))).unwrap();
    let bytes =
        Memory::new(&mut store, MemoryTypeBuilder::new().page_size_log2(0).min(6).max(Some(12)).build().unwrap());
    let bytes = bytes.unwrap();
    assert_eq!((wide.page_size(&store), wide.page_size_log2(&store), wide.size(&store)), (65_536, 16, 2));
    assert_eq!((bytes.page_size(&store), bytes.page_size_log2(&store), bytes.size(&store)), (1, 0, 6));
    assert!(wide.ty(&store).is_64() && !bytes.ty(&store).is_64());
    let text = r#"(module
        (memory $wide (import "host" "wide") i64 2) (memory $bytes (import "host" "bytes") 6 (pagesize 1))
        (func (export "wide") (param i64) (result i32) (i32.load8_u $wide (local.get 0)))
        (func (export "bytes") (param i64) (result i32) (i32.load8_u $bytes (i32.wrap_i64 (local.get 0)))))"#;
    let module = module(&engine, text, Tunables::default());
    let instance = Instance::new(&mut store, &module, &[wide.into(), bytes.into()]).unwrap();
    let load = |store: &mut Store<()>, name: &str, at: i64| {
        instance.get_typed_func::<i64, i32>(&mut *store, name).unwrap().call(store, at)
    };
    wide.write(&mut store, 131_071, &[7]).unwrap();
    bytes.write(&mut store, 5, &[8]).unwrap();
    assert_eq!(load(&mut store, "wide", 131_071).unwrap(), 7);
    assert_eq!(load(&mut store, "bytes", 5).unwrap(), 8);
    assert!(load(&mut store, "wide", 131_072).is_err() && load(&mut store, "bytes", 6).is_err());
    assert!(load(&mut store, "wide", -1).is_err() && load(&mut store, "bytes", -1).is_err());
    assert!(bytes.write(&mut store, 6, &[1]).is_err());
    // Beyond 4 GiB.
    assert_eq!(wide.grow(&mut store, 69_998).unwrap(), 2);
    assert_eq!(bytes.grow(&mut store, 6).unwrap(), 6);
    let last = 70_000 * 65_536 - 1;
    wide.write(&mut store, last, &[9]).unwrap();
    assert_eq!(load(&mut store, "wide", last as i64).unwrap(), 9);
    assert_eq!(load(&mut store, "bytes", 11).unwrap(), 0);
    assert!(load(&mut store, "wide", last as i64 + 1).is_err() && load(&mut store, "bytes", 12).is_err());
    assert!(wide.grow(&mut store, 1).unwrap_err().to_string().contains("70000"));
    assert!(bytes.grow(&mut store, u64::MAX).is_err());
}

#[test]
fn a_host_memory_that_cannot_be_is_refused() {
    let mut store = Store::new(&Engine::default(), ());
    for pages in [1 << 48, 1 << 30] {
        let error = Memory::new(&mut store, MemoryType::new64(pages, None)).unwrap_err();
        assert!(error.to_string().contains("address space") && error.to_string().contains("i64"), "{error}");
    }
}

#[test]
fn a_host_table_is_what_code_imports() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let null = || Ref::Func(None);
    let table = Table::new(&mut store, TableType::new64(ValType::FUNCREF, 2, Some(1 << 40)), null()).unwrap();
    assert!(table.ty(&store).is_64());
    assert_eq!(table.ty(&store).maximum(), Some(1 << 40));
    let text = r#"(module (table (import "host" "table") i64 2 funcref)
        (func (export "is null") (param i64) (result i32) (ref.is_null (table.get (local.get 0))))
        (func (export "size") (result i64) (table.size)))"#;
    let module = module(&engine, text, Tunables::default());
    let instance = Instance::new(&mut store, &module, &[table.into()]).unwrap();
    assert_eq!(table.grow(&mut store, 5, null()).unwrap(), 2);
    let size = instance.get_typed_func::<(), i64>(&mut store, "size").unwrap();
    assert_eq!(size.call(&mut store, ()).unwrap(), 7);
    let is_null = instance.get_typed_func::<i64, i32>(&mut store, "is null").unwrap();
    assert_eq!(is_null.call(&mut store, 6).unwrap(), 1);
    assert!(is_null.call(&mut store, 7).is_err());
    assert!(table.grow(&mut store, 1 << 40, null()).is_err());
    assert!(table.get(&mut store, 1 << 35).is_none());
    let error = Table::new(&mut store, TableType::new64(ValType::FUNCREF, 1 << 60, None), null()).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn types_that_differ_in_indices_or_pages_do_not_fit() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let narrow = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    for (wanted, words) in [("i64 1", "i64"), ("1 (pagesize 1)", "pages of 1 bytes")] {
        let text = format!("(module (import \"host\" \"memory\" (memory {wanted})))");
        let module = module(&engine, &text, Tunables::default());
        let error = Instance::new(&mut store, &module, &[narrow.into()]).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("incompatible import type"), "{error}");
    }
}
