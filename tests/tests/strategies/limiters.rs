//! What a store's limiter is asked, and what becomes of its answers.

use super::settings::{Guest, Setting};
use super::{call, module, pre};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_loader::{
    Error, Extern, Instance, Linker, Memory, MemoryType, PoolExhaustion, Ref, ResourceLimiter, Result, Store,
    StoreLimits, StoreLimitsBuilder, Table, TableType, ValType, WasmBacktrace,
};

const GUEST: &str = r#"(module $guest
    (memory (export "memory") 2 6)
    (memory $other (export "other") 1)
    (table $table (export "table") 10 40 funcref)
    (table $refs (export "refs") 3 externref)
    (func (export "size") (result i32) memory.size)
    (func $inner (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow") (param i32) (result i32)
        (i32.add (i32.const 100) (call $inner (local.get 0))))
    (func (export "grow other") (param i32) (result i32) (memory.grow $other (local.get 0)))
    (func (export "grow table") (param i32) (result i32) (table.grow $table (ref.null func) (local.get 0)))
    (func (export "grow refs") (param i32) (result i32) (table.grow $refs (ref.null extern) (local.get 0))))"#;

const PAGE: usize = 1 << 16;

fn limited(store: &mut Store<StoreLimits>, instance: Instance, name: &str, delta: i32) -> Result<i32> {
    call(store, instance, name, delta)
}

/// Does something with fresh instances, in stores with limits.
fn with_limits(
    guest: &mut Guest<StoreLimits>,
    limits: StoreLimitsBuilder,
    work: impl FnOnce(&mut Store<StoreLimits>, Instance),
) {
    guest.with(limits.build(), |store, instance| {
        store.limiter(|limits| limits);
        work(store, instance);
    });
}

/// What a memory or table was asked to become: its name, then as the trait has it.
type Asked = (&'static str, usize, usize, Option<usize>);

/// Notes what it is asked, and answers as told.
#[derive(Default)]
struct Witness {
    asked: Vec<Asked>,
    failed: Vec<String>,
    answers: Vec<Result<bool>>,
    panics: bool,
}

impl Witness {
    fn answer(&mut self, asked: Asked) -> Result<bool> {
        self.asked.push(asked);
        assert!(!self.panics, "the limiter panics");
        self.answers.pop().unwrap_or(Ok(true))
    }

    fn take(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }
}

impl ResourceLimiter for Witness {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.answer(("memory", current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(format!("{error:#}"));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.answer(("table", current, desired, maximum))
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(format!("{error:#}"));
        Ok(())
    }
}

pub fn a_limiter_is_asked_for_everything_that_an_instance_takes(setting: &Setting) {
    let engine = setting.engine();
    let pre = Linker::new(&engine).instantiate_pre(&module(&engine, GUEST)).unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, Witness::default());
        store.limiter(|witness| witness);
        let instance = pre.instantiate(&mut store).unwrap();
        let at_first = store.data_mut().take();
        let expected = [
            ("memory", 0, 2 * PAGE, Some(6 * PAGE)),
            ("memory", 0, PAGE, None),
            ("table", 0, 10, Some(40)),
            ("table", 0, 3, None),
        ];
        assert_eq!(at_first, expected);
        // By code, to the maximum and beyond it.
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "grow", 4).unwrap(), 102);
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "grow", 0).unwrap(), 106);
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "grow", 1).unwrap(), 99);
        let table = call::<i32, i32, _>(&mut store, instance, "grow table", 30).unwrap();
        assert_eq!((table, call::<i32, i32, _>(&mut store, instance, "grow table", -1).unwrap()), (10, -1));
        let most = Some(6 * PAGE);
        let expected = [
            ("memory", 2 * PAGE, 6 * PAGE, most),
            ("memory", 6 * PAGE, 7 * PAGE, most),
            ("table", 10, 40, Some(40)),
            ("table", 40, 40 + u32::MAX as usize, Some(40)),
        ];
        assert_eq!(store.data_mut().take(), expected);
        let failed = std::mem::take(&mut store.data_mut().failed);
        assert_eq!(failed.len(), 2, "{failed:?}");
        assert!(failed[0].contains("a memory of 393216 bytes cannot grow by 1 pages"), "{failed:?}");
        assert!(failed[1].contains("a table of 40 elements cannot grow by 4294967295"), "{failed:?}");
        // By the host.
        let other = instance.get_memory(&mut store, "other").unwrap();
        assert_eq!(other.grow(&mut store, 2).unwrap(), 1);
        let refs = instance.get_table(&mut store, "refs").unwrap();
        assert_eq!(refs.grow(&mut store, 2, Ref::Extern(None)).unwrap(), 3);
        Memory::new(&mut store, MemoryType::new(1, Some(5))).unwrap();
        Table::new(&mut store, TableType::new(ValType::EXTERNREF, 7, None), Ref::Extern(None)).unwrap();
        let asked = store.data_mut().take();
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert_eq!(asked[0], ("memory", PAGE, 3 * PAGE, None));
        assert_eq!((asked[1].0, asked[1].1, asked[1].2), ("table", 3, 5));
        assert_eq!(asked[2..], [("memory", 0, PAGE, Some(5 * PAGE)), ("table", 0, 7, None)]);
        // Resets take nothing more.
        instance.reset(&mut store).unwrap();
        store.reset().unwrap();
        assert_eq!(store.data_mut().take(), []);
    }
}

pub fn memories_and_tables_grow_to_the_limits_of_the_store(setting: &Setting) {
    let mut guest = setting.guest_in(&setting.engine(), GUEST, |_| {});
    for round in 0..4 {
        let limits = StoreLimitsBuilder::new().memory_size(3 * PAGE).table_elements(11);
        with_limits(&mut guest, limits, |store, instance| {
            let mut grow = |name, delta| limited(store, instance, name, delta).unwrap();
            assert_eq!([2, 1, 1, 0].map(|delta| grow("grow", delta)), [99, 102, 99, 103], "round {round}");
            assert_eq!([3, 2, 1].map(|delta| grow("grow other", delta)), [-1, 1, -1]);
            assert_eq!([2, 1, 1, 0].map(|delta| grow("grow table", delta)), [-1, 10, -1, 11]);
            assert_eq!([9, 8].map(|delta| grow("grow refs", delta)), [-1, 3]);
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let error = memory.grow(&mut *store, 1).unwrap_err();
            assert!(error.to_string().contains("cannot grow"), "{error}");
            let table = instance.get_table(&mut *store, "table").unwrap();
            let error = table.grow(&mut *store, 1, Ref::Func(None)).unwrap_err();
            assert!(error.to_string().contains("cannot grow"), "{error}");
        });
    }
}

pub fn growth_in_vain_can_end_the_code(setting: &Setting) {
    let mut guest = setting.guest_in(&setting.engine(), GUEST, |_| {});
    for round in 0..4 {
        let limits = || StoreLimitsBuilder::new().memory_size(4 * PAGE).table_elements(12);
        with_limits(&mut guest, limits().trap_on_grow_failure(true), |store, instance| {
            assert_eq!(limited(store, instance, "grow", 2).unwrap(), 102, "round {round}");
            let error = limited(store, instance, "grow", 1).unwrap_err();
            let message = "a memory was to grow to 327680, and the store's limit is 262144";
            assert!(error.to_string().contains(message), "{error:?}");
            let frames = error.downcast_ref::<WasmBacktrace>().expect("the error says where").frames();
            let names: Vec<_> = frames.iter().map(|frame| frame.func_name()).collect();
            assert_eq!((names[0], frames.len()), (Some("inner"), 2), "{error:?}");
            let error = limited(store, instance, "grow table", 3).unwrap_err();
            assert!(error.to_string().contains("the store's limit is 12"), "{error:?}");
            // The memory's own maximum, and nothing that can be addressed.
            *store.data_mut() = StoreLimitsBuilder::new().trap_on_grow_failure(true).build();
            let error = limited(store, instance, "grow", 3).unwrap_err();
            assert!(error.to_string().contains("its maximum is 393216"), "{error:?}");
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let error = memory.grow(&mut *store, u64::MAX).unwrap_err();
            assert!(format!("{error:#}").contains("more than can be addressed"), "{error:?}");
            assert_eq!(limited(store, instance, "grow", 2).unwrap(), 104, "the next call works");
            assert_eq!(call::<(), i32, _>(store, instance, "size", ()).unwrap(), 6);
        });
    }
}

pub fn a_limiter_can_fail_and_panic(setting: &Setting) {
    #[derive(Debug, PartialEq)]
    struct NoCredit(u32);

    impl std::fmt::Display for NoCredit {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "tenant {} has no credit", self.0)
        }
    }

    impl std::error::Error for NoCredit {}

    let mut guest: Guest<Witness> = setting.guest_in(&setting.engine(), GUEST, |_| {});
    for round in 0..4 {
        let answers = vec![Ok(false), Err(NoCredit(round).into())];
        guest.with(Witness { answers, ..Witness::default() }, |store, instance| {
            store.limiter(|witness| witness);
            let error = call::<i32, i32, _>(store, instance, "grow", 1).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&NoCredit(round)), "{error:?}");
            assert!(error.is::<WasmBacktrace>());
            assert_eq!(call::<i32, i32, _>(store, instance, "grow table", 1).unwrap(), -1);
            store.data_mut().panics = true;
            let panic = catch_unwind(AssertUnwindSafe(|| call::<i32, i32, _>(store, instance, "grow refs", 1)));
            assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the limiter panics"));
            store.data_mut().panics = false;
            assert_eq!(call::<i32, i32, _>(store, instance, "grow refs", 1).unwrap(), 3);
        });
    }
}

pub fn numbers_of_things_in_a_store_are_limited(setting: &Setting) {
    // Some pools have room for one instance only.
    let engine = setting.engine_with(|config| {
        config.pool_exhaustion(PoolExhaustion::OnDemand);
    });
    let pre = pre(&module(&engine, GUEST));
    let limits = StoreLimitsBuilder::new();
    let cases = [
        (limits.clone().instances(2), "would have 3 instances, and its limiter allows 2"),
        (limits.clone().memories(5), "would have 6 memories, and its limiter allows 5"),
        (limits.clone().tables(4), "would have 6 tables, and its limiter allows 4"),
    ];
    let reuses = engine.instantiation_strategy() == Setting::named("legacy_instance_reuse").strategy;
    for (limits, message) in cases {
        let mut store = Store::new(&engine, limits.build());
        let linker = Linker::<StoreLimits>::new(&engine);
        let limited = linker.instantiate_pre(pre.module()).unwrap();
        // What was there before counts.
        let first = limited.instantiate(&mut store).unwrap();
        store.limiter(|limits| limits);
        limited.instantiate(&mut store).unwrap();
        if reuses {
            // It is the first one, again and again.
            limited.instantiate(&mut store).unwrap();
            continue;
        }
        let error = limited.instantiate(&mut store).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        let error = Instance::new(&mut store, pre.module(), &[]).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(call::<(), i32, _>(&mut store, first, "size", ()).unwrap(), 2);
        // Limits are those of the moment.
        *store.data_mut() = StoreLimits::default();
        limited.instantiate(&mut store).unwrap();
    }
    // An instance that is too large at first.
    for (limits, what) in [
        (StoreLimitsBuilder::new().memory_size(2 * PAGE - 1), "a memory of 131072 bytes"),
        (StoreLimitsBuilder::new().table_elements(9), "a table of 10 elements"),
    ] {
        let mut store = Store::new(&engine, limits.build());
        store.limiter(|limits| limits);
        let error = Linker::new(&engine).instantiate(&mut store, pre.module()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

pub fn what_is_made_for_a_module_is_limited(setting: &Setting) {
    let engine = setting.engine();
    let importer = module(
        &engine,
        r#"(module (import "a" "memory" (memory 3)) (import "a" "shared" (memory 1 4 shared))
            (import "a" "table" (table 9 funcref)) (import "a" "function" (func)) (import "a" "global" (global i64)))"#,
    );
    let attempt = |limits: StoreLimitsBuilder| {
        let mut store = Store::new(&engine, limits.build());
        store.limiter(|limits| limits);
        let mut linker = Linker::new(&engine);
        let made = linker.define_unknown_imports_as_default_values(&mut store, &importer).map(|_| ());
        made.and_then(|()| linker.instantiate(&mut store, &importer).map(|_| ())).map_err(|e| e.to_string())
    };
    let exact = || StoreLimitsBuilder::new().memory_size(3 * PAGE).table_elements(9).memories(2).tables(1).instances(1);
    attempt(exact()).unwrap();
    for (limits, message) in [
        (exact().memory_size(3 * PAGE - 1), "a memory of 196608 bytes"),
        (exact().table_elements(8), "a table of 9 elements"),
        (exact().memories(1), "2 memories"),
        (exact().tables(0), "1 tables"),
        (exact().instances(0), "1 instances"),
    ] {
        let error = attempt(limits).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    // A memory of another store's limits, if it is this one's at all.
    let mut store = Store::new(&engine, exact().build());
    let memory = Memory::new(&mut store, MemoryType::new(2, None)).unwrap();
    store.limiter(|limits| limits);
    let text = r#"(module (import "" "" (memory 1)) (func (export "grow") (param i32) (result i32)
        (memory.grow (local.get 0))))"#;
    let instance = Instance::new(&mut store, &module(&engine, text), &[Extern::Memory(memory)]).unwrap();
    assert_eq!([2, 1, 1].map(|delta| limited(&mut store, instance, "grow", delta).unwrap()), [-1, 2, -1]);
}
