//! What other tests have no need of: every method does what it says.

use super::{alone, module, with_data};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    Caller, Config, Context, Engine, Error, Extern, ExternRef, ExternType, FuncType, I31, Linker, MemoryType,
    MemoryTypeBuilder, ModuleExport, Ref, RefType, Result, Store, TableType, Val, bail, ensure, format_err,
};

#[test]
fn exports_can_be_looked_up_once_for_all_instances() {
    let text = r#"(module (import "" "look" (func $look (result i32)))
        (global (export "global") (mut i32) (i32.const 7)) (memory (export "memory") 2)
        (func (export "run") (result i32) (call $look)))"#;
    let engine = Engine::default();
    let guest = module(&engine, text);
    assert!(guest.get_export_index("other").is_none());
    let [global, memory, run] = ["global", "memory", "run"].map(|name| guest.get_export_index(name).unwrap());
    let mut linker = Linker::<Option<ModuleExport>>::new(&engine);
    let look = |mut caller: Caller<'_, Option<ModuleExport>>| {
        let place = caller.data_mut().take().unwrap();
        let global = caller.get_module_export(&place).and_then(Extern::into_global).unwrap();
        global.get(&mut caller).unwrap_i32()
    };
    linker.func_wrap("", "look", look).unwrap();
    let pre = linker.instantiate_pre(&guest).unwrap();
    for value in [3, 4] {
        let mut store = Store::new(&engine, Some(global.clone()));
        let instance = pre.instantiate(&mut store).unwrap();
        let found = instance.get_module_export(&mut store, &memory).and_then(Extern::into_memory).unwrap();
        assert_eq!(found.size(&store), 2);
        let found = instance.get_module_export(&mut store, &global).and_then(Extern::into_global).unwrap();
        found.set(&mut store, Val::I32(value)).unwrap();
        let run = instance.get_module_export(&mut store, &run).and_then(Extern::into_func).unwrap();
        assert_eq!(run.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), value);
        // A place in another module is none here, even if it looks the same.
        let other = module(&engine, text).get_export_index("memory").unwrap();
        assert!(instance.get_module_export(&mut store, &other).is_none());
    }
}

#[test]
fn a_linker_finds_what_an_import_asks_for() {
    let engine = Engine::default();
    let guest = module(&engine, r#"(module (import "a" "x" (func)) (import "b" "x" (func)))"#);
    let mut linker = Linker::<u32>::new(&engine);
    linker.func_wrap("b", "x", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
    let mut store = Store::new(&engine, 0);
    let found: Vec<Option<Extern>> = guest.imports().map(|import| linker.get_by_import(&mut store, &import)).collect();
    assert!(found[0].is_none());
    found[1].clone().and_then(Extern::into_func).unwrap().call(&mut store, &[], &mut []).unwrap();
    assert_eq!(*store.data(), 1);
}

#[test]
fn errors_are_made_in_every_way() {
    fn even(number: u32) -> Result<u32> {
        ensure!(number != 0, "nothing is given");
        if number % 2 == 1 {
            bail!("{number} is odd");
        }
        Ok(number)
    }
    assert_eq!(even(2).unwrap(), 2);
    assert_eq!(even(0).unwrap_err().to_string(), "nothing is given");
    assert_eq!(even(3).unwrap_err().to_string(), "3 is odd");
    assert_eq!(format_err!("{}{}", 1, 2).to_string(), "12");
    let mut made = false;
    let mut context = || {
        made = true;
        "in vain"
    };
    assert_eq!(even(4).with_context(&mut context).unwrap(), 4);
    assert_eq!(Some(5).with_context(&mut context).unwrap(), 5);
    assert!(!made, "a message is made only where it is needed");
    let error = even(5).with_context(|| "the input").unwrap_err();
    assert_eq!((error.to_string().as_str(), error.root_cause().as_str()), ("the input", "5 is odd"));
    assert_eq!(None::<u32>.with_context(|| "nothing").unwrap_err().to_string(), "nothing");
    let numbers = error.context("above");
    assert_eq!(numbers.chain().collect::<Vec<_>>(), ["above", "the input", "5 is odd"]);
}

#[test]
fn an_engine_tells_its_settings() {
    let mut config = Config::new();
    config.max_wasm_stack(123 << 10);
    let engine = Engine::new(&config).unwrap();
    let again = Engine::new(engine.config()).unwrap();
    assert_eq!(format!("{:?}", again.config()), format!("{config:?}"));
    assert_ne!(format!("{:?}", again.config()), format!("{:?}", Config::new()));
    assert!(!Engine::same(&engine, &again));
}

#[test]
fn types_of_memories_are_built() {
    let ty = MemoryType::builder().memory64(true).min(2).max(Some(9)).build().unwrap();
    assert_eq!(ty, MemoryType::new64(2, Some(9)));
    let ty = MemoryTypeBuilder::new().shared(true).min(1).max(Some(4)).build().unwrap();
    assert_eq!(ty, MemoryType::shared(1, 4));
    assert!(MemoryType::builder().shared(true).build().is_err(), "a shared memory has a maximum");
    let table = ExternType::Table(TableType::new(RefType::FUNCREF, 1, None));
    assert_eq!(table.table().map(TableType::minimum), Some(1));
    assert!(table.memory().is_none() && ExternType::from(FuncType::new([], [])).table().is_none());
}

#[test]
fn numbers_in_references_keep_31_bits() {
    const TOO_LARGE: u32 = 1 << 31;
    assert_eq!(I31::new_u32(TOO_LARGE - 1).map(|i| (i.get_u32(), i.get_i32())), Some((TOO_LARGE - 1, -1)));
    assert!(I31::new_u32(TOO_LARGE).is_none());
    assert_eq!(I31::wrapping_i32(-1).get_u32(), TOO_LARGE - 1);
}

#[test]
fn values_tell_what_they_are() {
    let (mut store, instance) = alone(r#"(module (func (export "f")))"#);
    let func = instance.get_func(&mut store, "f").unwrap();
    let external = ExternRef::new(&mut store, 5u8).unwrap();
    let nulls = [Val::null_func_ref(), Val::null_extern_ref(), Val::null_any_ref(), Val::ExnRef(None)];
    let found = |value: &Val| {
        [
            value.funcref().map(|inner| inner.is_some()),
            value.externref().map(|inner| inner.is_some()),
            value.anyref().map(|inner| inner.is_some()),
            value.exnref().map(|inner| inner.is_some()),
        ]
    };
    for (at, null) in nulls.iter().enumerate() {
        let mut expected = [None; 4];
        expected[at] = Some(false);
        assert_eq!(found(null), expected, "{null:?}");
    }
    assert_eq!(found(&Val::from(func)), [Some(true), None, None, None]);
    assert_eq!(found(&Val::from(external)), [None, Some(true), None, None]);
    assert_eq!(found(&Val::I32(1)), [None; 4]);
    let [func_null, extern_null, any_null, exn_null] = nulls.map(|null| null.ref_().unwrap());
    let is = |value: &Ref| [value.is_func(), value.is_extern(), value.is_any(), value.is_exn()];
    assert_eq!(is(&func_null), [true, false, false, false]);
    assert_eq!(is(&extern_null), [false, true, false, false]);
    assert_eq!(is(&any_null), [false, false, true, false]);
    assert_eq!(is(&exn_null), [false, false, false, true]);
    let of_func = Ref::from(func);
    assert!(of_func.as_func().flatten().is_some() && of_func.as_any().is_none() && of_func.as_exn().is_none());
    assert!(any_null.as_any().is_some_and(|inner| inner.is_none()));
    assert!(exn_null.as_exn().is_some_and(|inner| inner.is_none()) && exn_null.unwrap_exn().is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| of_func.unwrap_exn().is_some())).is_err());
}

#[test]
fn a_heap_is_collected_first_when_its_initial_size_is_used_up() {
    let text = r#"(module (type $cell (struct (field i64)))
        (func (export "waste") (param $n i32)
            (loop $next
                (drop (struct.new $cell (i64.const 1)))
                (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let used = |initial: usize| {
        let engine = Engine::new(Config::new().gc_heap_initial_size(initial)).unwrap();
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        instance.get_typed_func::<i32, ()>(&mut store, "waste").unwrap().call(&mut store, 100_000).unwrap();
        store.gc_heap_size()
    };
    let (small, large) = (used(64 << 10), used(16 << 20));
    assert!(small < 1 << 20, "{small} bytes of garbage are left");
    assert!(large >= 100_000 * 16, "{large} bytes are left, although there was room for all");
}

#[test]
fn sixteen_parameters_and_results_of_every_kind_pass() {
    type Numbers = (i32, i64, f32, f64, u32, u64, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32);
    let list = "i32 i64 f32 f64 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32";
    let gets: String = (0..16).map(|i| format!("(local.get {i})")).collect();
    let text = format!(
        r#"(module (import "" "host" (func $host (param {list}) (result {list})))
            (func (export "run") (param {list}) (result {list}) (call $host {gets})))"#
    );
    let given: Numbers = (1, 2, 3.0, 4.0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    let expected: Numbers = (16, 2, 3.0, 4.0, 5, 6, 15, 8, 9, 10, 11, 12, 13, 14, 7, 1);
    #[rustfmt::skip]
    #[allow(clippy::many_single_char_names, clippy::too_many_arguments, reason = "sixteen of them")]
    fn swap(
        a: i32, b: i64, c: f32, d: f64, e: u32, f: u64, g: i32, h: i32, i: i32, j: i32, k: i32, l: i32, m: i32,
        n: i32, o: i32, p: i32,
    ) -> Numbers {
        (p, b, c, d, e, f, o, h, i, j, k, l, m, n, g, a)
    }
    let (mut store, instance) = with_data(0, &text, |linker| {
        linker.func_wrap("", "host", swap).unwrap();
    });
    let run = instance.get_typed_func::<Numbers, Numbers>(&mut store, "run").unwrap();
    let halves = |(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p): Numbers| {
        ((a, b, c, d, e, f, g, h), (i, j, k, l, m, n, o, p))
    };
    assert_eq!(halves(run.call(&mut store, given).unwrap()), halves(expected));
    // The same with the caller, failing.
    let (mut store, instance) = with_data(0, &text, |linker| {
        #[rustfmt::skip]
        let wrapped = |mut caller: Caller<'_, i32>, a: i32, b: i64, c: f32, d: f64, _: u32, _: u64, _: i32, _: i32,
            _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| -> Result<Numbers> {
            *caller.data_mut() = a;
            Err(Error::msg(format!("{b} {c} {d}")))
        };
        linker.func_wrap("", "host", wrapped).unwrap();
    });
    let run = instance.get_typed_func::<Numbers, Numbers>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, given).err().unwrap().to_string(), "2 3 4");
    assert_eq!(*store.data(), 1);
}

#[test]
fn a_module_tells_what_it_was_compiled_from() {
    use sha2::Digest;
    let text = r#"(module (func (export "f")))"#;
    let expected: [u8; 32] = sha2::Sha256::digest(wat::parse_str(text).unwrap()).into();
    let engine = Engine::default();
    assert_eq!(module(&engine, text).source_hash(), expected);
    assert_ne!(module(&engine, "(module)").source_hash(), expected);
}
