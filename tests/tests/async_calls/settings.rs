//! Settings of the stacks that async calls have.

use super::{instance, module, wait};
use std::hint::black_box;
use std::task::{Context, Waker};
use wasmc_loader::{Config, Engine, Store};

/// Bytes at the end of the stack that a call leaves behind, and what they are.
const DEPTH: usize = 100 << 10;
const MARK: u8 = 0xab;

#[inline(never)]
fn leave_marks() {
    black_box(&mut [MARK; DEPTH]);
}

#[inline(never)]
fn count_marks() -> i32 {
    let below = black_box(std::mem::MaybeUninit::<[u8; DEPTH]>::uninit());
    let start = below.as_ptr().cast::<u8>();
    // SAFETY: within a variable. What its bytes are is any value, which is why
    // they are read one by one and as volatile: that is what is asked here.
    (0..DEPTH).filter(|at| unsafe { start.add(*at).read_volatile() } == MARK).count() as i32
}

#[test]
fn stacks_are_cleared_between_calls_if_that_is_wanted() {
    let text = r#"(module (import "" "leave" (func $leave)) (import "" "count" (func $count (result i32)))
        (func (export "leave") (call $leave)) (func (export "count") (result i32) (call $count)))"#;
    let marks = |zeroed: bool| {
        let mut config = Config::new();
        config.async_stack_zeroing(zeroed);
        let (mut store, instance) = instance(&config, (), text, |linker| {
            linker.func_wrap("", "leave", leave_marks).unwrap();
            linker.func_wrap("", "count", count_marks).unwrap();
        });
        let leave = instance.get_typed_func::<(), ()>(&mut store, "leave").unwrap();
        let count = instance.get_typed_func::<(), i32>(&mut store, "count").unwrap();
        wait(leave.call_async(&mut store, ())).unwrap();
        wait(count.call_async(&mut store, ())).unwrap()
    };
    assert_eq!(marks(true), 0);
    assert!(marks(false) > DEPTH as i32 / 2, "a stack is used again as it is");
}

/// How many mappings of memory the process has.
#[cfg(target_os = "linux")]
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// How many more mappings there are after 40 calls that waited at the same time.
#[cfg(target_os = "linux")]
fn kept(spare: usize) -> usize {
    let engine = Engine::new(Config::new().spare_async_stacks(spare)).unwrap();
    let text = r#"(module (import "host" "pause" (func $pause (param i32) (result i32)))
        (func (export "run") (drop (call $pause (i32.const 1)))))"#;
    let module = module(&engine, text);
    let linker = super::linker::<()>(&engine);
    let call = async || {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate_async(&mut store, &module).await.unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call_async(&mut store, ()).await.unwrap();
    };
    wait(call());
    let before = mappings();
    let mut calls: Vec<_> = (0..40).map(|_| Box::pin(call())).collect();
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(mappings() > before + 40, "each call has a stack");
    calls.into_iter().for_each(wait);
    mappings().saturating_sub(before)
}

#[test]
#[cfg(target_os = "linux")]
fn an_engine_keeps_as_many_stacks_as_it_may() {
    // Others would map something as well.
    if wasmc_tests::is_alone("settings::an_engine_keeps_as_many_stacks_as_it_may") {
        let (none, many) = (kept(0), kept(1000));
        assert!(many > none + 20, "{none} mappings are left without spare stacks, and {many} with them");
    }
}
