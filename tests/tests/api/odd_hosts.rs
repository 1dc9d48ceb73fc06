//! Hosts that do what few do: whose destructors panic, that have no address
//! space left, or run on stacks of their own.

use super::{module, with_data};
use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use wasmc_loader::{
    AnyRef, Caller, Config, Engine, Error, ExnRef, ExnRefPre, ExnType, FieldType, FuncType, Global, GlobalType,
    HeapType, I31, Instance, InstanceAllocationStrategy, InstanceLimits, Linker, Memory, MemoryType, Mutability,
    PoolingAllocationStrategy, Ref, RefType, StorageType, Store, StructRef, StructRefPre, StructType, Table, TableType,
    Tag, TagType, Trap, Val, ValType,
};
use wasmc_tests::is_alone;

/// Panics when it is dropped, unless the thread panics already.
struct Angry;

impl Drop for Angry {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "an angry destructor");
    }
}

#[test]
fn a_host_function_whose_destructor_panics_takes_no_slot_with_it() {
    let mut config = Config::new();
    let instance_limits = InstanceLimits { count: 1, ..InstanceLimits::default() };
    let strategy = PoolingAllocationStrategy::ReuseAffinity;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits });
    for config in [config, Config::new()] {
        let engine = Engine::new(&config).unwrap();
        let module = module(&engine, r#"(module (import "host" "f" (func $f)) (memory 1) (export "f" (func $f)))"#);
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            let mut linker = Linker::new(&engine);
            let angry = Angry;
            let call = move || {
                let _captured = &angry;
            };
            linker.func_wrap("host", "f", call).unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            drop(linker);
            instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
            catch_unwind(AssertUnwindSafe(|| drop(store))).unwrap_err();
        }
        if let Some(metrics) = engine.pool_metrics() {
            assert_eq!(metrics.live, 0);
        }
    }
}

#[test]
fn an_error_whose_destructor_panics_when_its_exception_is_caught_panics_in_the_host() {
    struct Note(#[allow(dead_code, reason = "is there to be dropped")] Angry);
    impl std::fmt::Display for Note {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a note")
        }
    }
    let text = r#"(module
        (import "host" "throw" (func $throw))
        (import "host" "tag" (tag $tag))
        (func (export "f") (result i32)
            (block $caught (try_table (catch $tag $caught) call $throw) (return (i32.const 1)))
            (i32.const 2)))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, true);
    let tag = Tag::new(&mut store, &TagType::new(FuncType::new([], []))).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "tag", tag).unwrap();
    let throw = move |mut caller: Caller<'_, bool>| -> Result<(), Error> {
        let ty = ExnType::from_tag_type(caller.engine(), &tag.ty(&caller))?;
        let pre = ExnRefPre::new(&mut caller, ty);
        let exception = ExnRef::new(&mut caller, &pre, &tag, &[])?;
        let thrown = Error::new(caller.throw::<()>(exception).unwrap_err());
        Err(if *caller.data() { thrown.context(Note(Angry)) } else { thrown })
    };
    linker.func_wrap("host", "throw", throw).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    for _ in 0..2 {
        *store.data_mut() = true;
        let panic = catch_unwind(AssertUnwindSafe(|| f.call(&mut store, ()))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"an angry destructor"));
        assert!(!store.has_pending_exception());
        *store.data_mut() = false;
        assert_eq!(f.call(&mut store, ()).unwrap(), 2);
    }
}

/// Limits what the process may have of something, until the result is dropped.
struct Limited(libc::__rlimit_resource_t, libc::rlimit);

impl Limited {
    fn to(what: libc::__rlimit_resource_t, most: u64) -> Limited {
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads a limit, and sets the soft one.
        unsafe {
            assert_eq!(libc::getrlimit(what, &raw mut before), 0);
            let limit = libc::rlimit { rlim_cur: most, ..before };
            assert_eq!(libc::setrlimit(what, &raw const limit), 0);
        }
        Limited(what, before)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // SAFETY: sets the limit again that there was.
        assert_eq!(unsafe { libc::setrlimit(self.0, &raw const self.1) }, 0);
    }
}

/// Bytes that this process has of something, which the system says in a line of
/// its status.
fn used(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|known| known.strip_prefix(line)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn an_instance_for_which_there_is_no_heap_is_not_in_the_store() {
    const NAME: &str = "odd_hosts::an_instance_for_which_there_is_no_heap_is_not_in_the_store";
    if !is_alone(NAME) {
        return;
    }
    let text = r#"(module
        (type $s (struct))
        (import "host" "f" (func $f))
        (func $start call $f (drop (struct.new $s)))
        (start $start))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
    let mut store = Store::new(&engine, 0);
    {
        let _limited = Limited::to(libc::RLIMIT_AS, used("VmSize:") + (1 << 30));
        let error = linker.instantiate(&mut store, &module).unwrap_err();
        assert!(format!("{error:#}").contains("heap"), "{error:#}");
    }
    store.reset().unwrap();
    assert_eq!(*store.data(), 0);
    linker.instantiate(&mut store, &module).unwrap();
    store.reset().unwrap();
    assert_eq!(*store.data(), 2);
}

#[test]
fn a_memory_that_cannot_be_reset_has_no_content() {
    const NAME: &str = "odd_hosts::a_memory_that_cannot_be_reset_has_no_content";
    if !is_alone(NAME) {
        return;
    }
    let mut store = Store::new(&Engine::default(), ());
    // More than what can be allocated without asking the system.
    let memory = Memory::new(&mut store, MemoryType::new(4096, None)).unwrap();
    memory.data_mut(&mut store)[0] = 1;
    {
        let _limited = Limited::to(libc::RLIMIT_DATA, used("VmData:") - (128 << 20));
        store.reset().unwrap_err();
    }
    assert_eq!(memory.data(&store).iter().map(|byte| u32::from(*byte)).sum::<u32>(), 0);
    store.reset().unwrap();
    assert_eq!((memory.data_size(&store), memory.data(&store)[0]), (4096 << 16, 0));
}

/// A stack in memory of its own.
struct OwnStack(*mut u8);

impl OwnStack {
    const LENGTH: usize = 1 << 20;
    const GUARD: usize = 64 << 10;

    fn new() -> OwnStack {
        // SAFETY: a new mapping, of which the lower end becomes inaccessible.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(std::ptr::null_mut(), Self::LENGTH, access, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(at, Self::GUARD, libc::PROT_NONE), 0);
            OwnStack(at.cast())
        }
    }
}

// SAFETY: memory that belongs to the value.
unsafe impl Send for OwnStack {}

impl Drop for OwnStack {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and given up.
        unsafe { libc::munmap(self.0.cast(), Self::LENGTH) };
    }
}

// SAFETY: the lower end is a guard.
unsafe impl Stack for OwnStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0 as usize + Self::LENGTH).unwrap()
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0 as usize).unwrap()
    }
}

/// Runs something on a stack.
fn on<R>(stack: &mut OwnStack, body: impl FnOnce() -> R) -> R {
    let mut result = None;
    {
        let run = |_: &corosensei::Yielder<(), ()>, ()| result = Some(body());
        // SAFETY: the coroutine ends below, before what it uses does.
        let mut coroutine = unsafe { Coroutine::with_stack_unchecked(&mut *stack, run) };
        assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
    }
    result.unwrap()
}

/// Uses about so many bytes of stack in wasm code, or without an end.
const DEEP: &str = r#"(module
    (import "host" "switch" (func $switch))
    (func $deep (export "deep") (param i32) (result i32)
        (local v128 v128 v128 v128)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
    (func (export "outer") (param i32) (result i32)
        (call $switch)
        (call $deep (local.get 0))))"#;

/// Calls code on a stack of the host's, from a host function.
fn switched(stack: OwnStack) {
    let overflows = |result: Result<i32, Error>| result.unwrap_err().downcast_ref() == Some(&Trap::StackOverflow);
    let stack = Mutex::new(stack);
    let (mut store, instance) = with_data(None::<Instance>, DEEP, |linker| {
        let switch = move |mut caller: Caller<'_, Option<Instance>>| {
            let Some(instance) = *caller.data() else { return };
            let deep = instance.get_typed_func::<i32, i32>(&mut caller, "deep").unwrap();
            on(&mut stack.lock().unwrap(), || {
                assert_eq!(deep.call(&mut caller, 1000).unwrap(), 1000);
                assert!(overflows(deep.call(&mut caller, i32::MAX)));
                assert_eq!(deep.call(&mut caller, 1000).unwrap(), 1000);
            });
        };
        linker.func_wrap("host", "switch", switch).unwrap();
    });
    *store.data_mut() = Some(instance);
    let outer = instance.get_typed_func::<i32, i32>(&mut store, "outer").unwrap();
    for _ in 0..2 {
        assert_eq!(outer.call(&mut store, 1000).unwrap(), 1000);
        assert!(overflows(outer.call(&mut store, i32::MAX)));
        // And from a stack of the loader's; nothing waits there.
        for depth in [1000, i32::MAX] {
            let call = pin!(outer.call_async(&mut store, depth));
            match call.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(reached)) => assert_eq!((reached, depth), (1000, 1000)),
                Poll::Ready(error) => assert!(overflows(error) && depth == i32::MAX),
                Poll::Pending => panic!("nothing waits"),
            }
        }
    }
}

#[test]
fn a_host_function_can_go_on_on_a_stack_of_its_own() {
    const NAME: &str = "odd_hosts::a_host_function_can_go_on_on_a_stack_of_its_own";
    if !is_alone(NAME) {
        return;
    }
    // Most systems map one thing below the other: so some of these are above the
    // thread's stack, and some below.
    let above: Vec<OwnStack> = (0..3).map(|_| OwnStack::new()).collect();
    let all = move || above.into_iter().chain((0..3).map(|_| OwnStack::new())).for_each(switched);
    std::thread::spawn(all).join().unwrap();
}

#[test]
fn what_cannot_be_null_does_not_become_null_with_a_reset() {
    let text = r#"(module
        (type $s (struct (field i32)))
        (import "host" "g" (global $g (ref $s)))
        (func (export "f") (result i32) (struct.get $s 0 (global.get $g))))"#;
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ());
    let field = FieldType::new(Mutability::Const, StorageType::ValType(ValType::I32));
    let ty = StructType::new(&engine, [field]).unwrap();
    let pre = StructRefPre::new(&mut store, ty.clone());
    let made = |store: &mut Store<()>, nullable| {
        let value = StructRef::new(&mut *store, &pre, &[Val::I32(7)]).unwrap();
        let ty = GlobalType::new(ty.ref_type(nullable).into(), Mutability::Const);
        Global::new(store, ty, Val::AnyRef(Some(value.to_anyref()))).unwrap()
    };
    let nullable = made(&mut store, true);
    let five = AnyRef::from_i31(&mut store, I31::wrapping_u32(5));
    let number = GlobalType::new(RefType::new(false, HeapType::I31).into(), Mutability::Const);
    let number = Global::new(&mut store, number, Val::AnyRef(Some(five))).unwrap();
    store.reset().unwrap();
    assert!(matches!(nullable.get(&mut store), Val::AnyRef(None)));
    let Val::AnyRef(Some(five)) = number.get(&mut store) else { panic!("a number is not null") };
    assert_eq!(five.unwrap_i31(&store).unwrap().get_u32(), 5);

    let global = made(&mut store, false);
    let instance = Instance::new(&mut store, &module, &[global.into()]).unwrap();
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    let error = store.reset().unwrap_err();
    assert!(error.to_string().contains("cannot be null"), "{error}");
    assert_eq!(f.call(&mut store, ()).unwrap(), 7);
}

#[test]
fn code_of_an_instance_whose_reset_failed_traps_where_something_is_null_that_cannot_be() {
    // Its segment does not fit any more when the table is as small again as at first.
    let first =
        r#"(module (import "host" "t" (table $t 1 funcref)) (func $f) (elem (table $t) (i32.const 5) func $f))"#;
    let second = r#"(module
        (type $s (struct (field i32)))
        (type $f (func (result i32)))
        (global $g (ref $s) (struct.new $s (i32.const 7)))
        (table $t 2 2 (ref $f) (ref.func $seven))
        (func $seven (result i32) (i32.const 7))
        (func (export "struct") (result i32) (struct.get $s 0 (global.get $g)))
        (func (export "function") (param i32) (result i32) (call_ref $f (table.get $t (local.get 0)))))"#;
    let engine = Engine::default();
    let [first, second] = [first, second].map(|text| module(&engine, text));
    let mut store = Store::new(&engine, ());
    let table = Table::new(&mut store, TableType::new(ValType::FUNCREF, 1, None), Ref::Func(None)).unwrap();
    table.grow(&mut store, 9, Ref::Func(None)).unwrap();
    Instance::new(&mut store, &first, &[table.into()]).unwrap();
    let instance = Instance::new(&mut store, &second, &[]).unwrap();
    let object = instance.get_typed_func::<(), i32>(&mut store, "struct").unwrap();
    let function = instance.get_typed_func::<i32, i32>(&mut store, "function").unwrap();
    assert_eq!([object.call(&mut store, ()).unwrap(), function.call(&mut store, 1).unwrap()], [7, 7]);

    let error = store.reset().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::TableOutOfBounds), "{error:?}");
    // Either there is what was there before, or nothing.
    for result in [object.call(&mut store, ()), function.call(&mut store, 0), function.call(&mut store, 1)] {
        match result {
            Ok(seven) => assert_eq!(seven, 7),
            Err(error) => assert_eq!(error.downcast_ref(), Some(&Trap::NullReference), "{error:?}"),
        }
    }
    assert!(object.call(&mut store, ()).is_err(), "objects are gone after a reset");
}

#[test]
fn a_host_can_throw_where_no_code_uses_the_heap() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let tag = Tag::new(&mut store, &TagType::new(FuncType::new([], []))).unwrap();
    let ty = ExnType::from_tag_type(&engine, &tag.ty(&store)).unwrap();
    let pre = ExnRefPre::new(&mut store, ty);
    let exception = ExnRef::new(&mut store, &pre, &tag, &[]).unwrap();
    let thrown = store.throw::<()>(exception).unwrap_err();
    assert!(Tag::eq(&thrown.tag(), &tag, &store));
    assert!(store.take_pending_exception().is_some());
}
