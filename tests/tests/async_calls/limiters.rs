//! Limiters that are awaited.

use crate::{count, hop, instance, module, pause, poll, wait};
use std::task::Poll;
use wasmc_loader::{
    Caller, Config, Engine, Error, Extern, FuncType, Instance, Linker, Memory, MemoryType, Ref, ResourceLimiterAsync,
    Result, Store, SuspendError, Table, TableType, Trap, ValType, WasmBacktrace,
};

const GUEST: &str = r#"(module
    (import "host" "pause" (func $pause (param i32) (result i32)))
    (import "host" "grow" (func $host (result i32)))
    (import "host" "patient" (func $patient (result i32)))
    (memory (export "memory") 1 10)
    (table $table (export "table") 2 20 funcref)
    (func $inner (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "memory.grow") (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 100)))
    (func (export "table.grow") (param i32) (result i32)
        (i32.add (table.grow $table (ref.null func) (local.get 0)) (i32.const 100)))
    (func (export "by the host") (param i32) (result i32) (call $host))
    (func (export "by a patient host") (param i32) (result i32) (call $patient))
    (func (export "size") (param i32) (result i32) memory.size))"#;

const PAGE: usize = 1 << 16;

/// Waits for so many polls before it answers, and notes what it was asked.
#[derive(Default)]
struct Patient {
    polls: u32,
    most: Option<usize>,
    fails: bool,
    asked: Vec<(&'static str, usize, usize)>,
    failed: usize,
    memories: Option<usize>,
}

impl Patient {
    async fn answer(&mut self, what: &'static str, current: usize, desired: usize) -> Result<bool> {
        pause(self.polls).await;
        self.asked.push((what, current, desired));
        if self.fails { Err(Error::msg("the limiter fails")) } else { Ok(self.most.is_none_or(|most| desired <= most)) }
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for Patient {
    async fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.answer("memory", current, desired).await
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.failed += 1;
        Ok(())
    }

    async fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.answer("table", current, desired).await
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.failed += 1;
        Ok(())
    }

    fn memories(&self) -> usize {
        self.memories.unwrap_or(10)
    }
}

fn memory_of(caller: &mut Caller<'_, Patient>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).unwrap()
}

/// A guest in a store with a limiter that waits for two polls.
fn guest() -> (Store<Patient>, Instance) {
    let (mut store, instance) = instance(&Config::new(), Patient::default(), GUEST, |linker| {
        linker
            .func_wrap("host", "grow", |mut caller: Caller<'_, Patient>| -> Result<i32> {
                let memory = memory_of(&mut caller);
                Ok(memory.grow(&mut caller, 1)? as i32)
            })
            .unwrap();
        let ty = FuncType::new([], [ValType::I32]);
        linker
            .func_new_async("host", "patient", ty, |mut caller, _, results| {
                Box::new(async move {
                    let memory = memory_of(&mut caller);
                    results[0] = (memory.grow_async(&mut caller, 1).await? as i32).into();
                    Ok(())
                })
            })
            .unwrap();
    });
    store.limiter_async(|patient| patient);
    store.data_mut().polls = 2;
    (store, instance)
}

async fn call(store: &mut Store<Patient>, instance: Instance, name: &str, argument: i32) -> Result<i32> {
    let func = instance.get_typed_func::<i32, i32>(&mut *store, name)?;
    func.call_async(store, argument).await
}

fn assert_refused(error: &Error) {
    assert_eq!(error.downcast_ref(), Some(&SuspendError::Limiter), "{error:?}");
    assert!(error.to_string().contains("`grow_async`"), "{error}");
}

#[test]
fn code_waits_for_the_limiter_on_whatever_thread() {
    let (mut store, instance) = guest();
    assert_eq!(hop(call(&mut store, instance, "memory.grow", 2)).1.unwrap(), 101);
    assert_eq!(hop(call(&mut store, instance, "table.grow", 3)).1.unwrap(), 102);
    assert_eq!(store.data().asked, [("memory", PAGE, 3 * PAGE), ("table", 2, 5)]);
    let (pending, result) = count(call(&mut store, instance, "memory.grow", 1));
    assert_eq!((pending, result.unwrap()), (2, 103));
    // More than the type allows: it did not grow, whatever the limiter says.
    assert_eq!(wait(call(&mut store, instance, "memory.grow", 100)).unwrap(), 99);
    assert_eq!(wait(call(&mut store, instance, "table.grow", 100)).unwrap(), 99);
    assert_eq!(store.data().failed, 2);
    store.data_mut().most = Some(0);
    assert_eq!(wait(call(&mut store, instance, "memory.grow", 1)).unwrap(), 99);
    assert_eq!(wait(call(&mut store, instance, "size", 0)).unwrap(), 4);
}

#[test]
fn an_error_of_the_limiter_ends_the_code() {
    let (mut store, instance) = guest();
    store.data_mut().fails = true;
    for name in ["memory.grow", "table.grow"] {
        let error = hop(call(&mut store, instance, name, 1)).1.unwrap_err();
        assert!(format!("{error:#}").contains("the limiter fails"), "{error:#}");
        assert!(error.downcast_ref::<WasmBacktrace>().is_some_and(|trace| !trace.frames().is_empty()));
    }
    store.data_mut().fails = false;
    assert_eq!(wait(call(&mut store, instance, "memory.grow", 1)).unwrap(), 101);
}

#[test]
fn what_is_not_awaited_and_would_ask_is_an_error_that_says_so() {
    let (mut store, instance) = guest();
    store.data_mut().polls = 0;
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let table = instance.get_table(&mut store, "table").unwrap();
    assert_refused(&memory.grow(&mut store, 1).unwrap_err());
    assert_refused(&table.grow(&mut store, 1, Ref::Func(None)).unwrap_err());
    assert_refused(&Memory::new(&mut store, MemoryType::new(1, None)).unwrap_err());
    assert_refused(&Table::new(&mut store, TableType::new(ValType::FUNCREF, 1, None), Ref::Func(None)).unwrap_err());
    for name in ["memory.grow", "table.grow"] {
        let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        assert_refused(&func.call(&mut store, 1).unwrap_err());
    }
    let plain = module(store.engine(), r#"(module (memory (export "memory") 1))"#);
    assert_refused(&Instance::new(&mut store, &plain, &[]).unwrap_err());
    assert!(store.data().asked.is_empty());
    // What has nothing to ask works.
    let size = instance.get_typed_func::<i32, i32>(&mut store, "size").unwrap();
    assert_eq!(size.call(&mut store, 0).unwrap(), 1);
    // In an async call, too, where a host function stands in between.
    assert_refused(&wait(call(&mut store, instance, "by the host", 0)).unwrap_err());
    assert_eq!(memory.size(&store), 1);
}

#[test]
fn the_host_awaits_what_it_makes_and_grows() {
    let (mut store, instance) = guest();
    assert_eq!(hop(call(&mut store, instance, "by a patient host", 0)).1.unwrap(), 1);
    let (polls, memory) = hop(Memory::new_async(&mut store, MemoryType::new(1, Some(3))));
    let memory = memory.unwrap();
    assert_eq!(polls, 3);
    assert_eq!(hop(memory.grow_async(&mut store, 2)).1.unwrap(), 1);
    assert!(hop(memory.grow_async(&mut store, 1)).1.is_err());
    let ty = TableType::new(ValType::FUNCREF, 5, None);
    let table = hop(Table::new_async(&mut store, ty, Ref::Func(None))).1.unwrap();
    assert_eq!(hop(table.grow_async(&mut store, 2, Ref::Func(None))).1.unwrap(), 5);
    let plain = module(store.engine(), r#"(module (memory (export "memory") 1) (table 4 funcref))"#);
    store.data_mut().asked.clear();
    let (polls, made) = hop(Instance::new_async(&mut store, &plain, &[]));
    made.unwrap();
    assert_eq!((polls, store.data().asked.as_slice()), (5, &[("memory", 0, PAGE), ("table", 0, 4)][..]));
    let linker = Linker::new(store.engine());
    wait(linker.instantiate_async(&mut store, &plain)).unwrap();
    store.data_mut().memories = Some(4);
    let error = wait(linker.instantiate_async(&mut store, &plain)).unwrap_err();
    assert!(error.to_string().contains("the store would have 5 memories"), "{error}");
    // Without an async limiter these methods are the others.
    let mut store = Store::new(&Engine::default(), ());
    let memory = wait(Memory::new_async(&mut store, MemoryType::new(1, None))).unwrap();
    let (pending, grown) = count(memory.grow_async(&mut store, 1));
    assert_eq!((pending, grown.unwrap()), (0, 1));
}

#[test]
fn a_call_that_is_dropped_or_leaked_while_the_limiter_is_asked_leaves_its_store_and_limiter() {
    let (mut store, instance) = guest();
    for leak in [false, true] {
        let size = store.data().asked.len();
        let mut growing = Box::pin(call(&mut store, instance, "memory.grow", 1));
        assert!(poll(growing.as_mut()).is_pending());
        if leak {
            std::mem::forget(growing);
        } else {
            drop(growing);
        }
        assert_eq!(store.data().asked.len(), size, "it had not answered");
        let (pending, result) = count(call(&mut store, instance, "memory.grow", 1));
        assert_eq!(pending, 2, "the limiter is asked as before");
        assert!(result.unwrap() > 100);
    }
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    {
        let mut growing = Box::pin(memory.grow_async(&mut store, 1));
        assert!(matches!(poll(growing.as_mut()), Poll::Pending));
    }
    assert_eq!(memory.size(&store), 3);
    let trap = module(store.engine(), r#"(module (memory 1) (func $f unreachable) (start $f))"#);
    let error = hop(Instance::new_async(&mut store, &trap, &[])).1.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
}
