//! Calls: how they end, what they leave behind, and what goes between guest
//! and host.

use super::settings::{SLOTS, Setting, Way};
use super::{call, module};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use wasmc_loader::{Caller, Context, Error, LinkError, Linker, MemoryAccessError, Store, Trap, UnknownImportError};

const STATEFUL: &str = r#"(module
    (import "host" "act" (func $act (param i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\01")
    (table $t 2 4 funcref) (elem (i32.const 0) func $zero)
    (func $zero (result i32) i32.const 0)
    (global $g (mut i32) (i32.const 1))
    (func $check (export "check") (result i32)
        (i32.add (i32.add (i32.load (i32.const 0)) (global.get $g))
            (i32.add (memory.size) (i32.add (table.size $t) (call_indirect $t (result i32) (i32.const 0))))))
    (func $spoil
        (i32.store (i32.const 0) (i32.const 50)) (global.set $g (i32.const 60))
        (drop (memory.grow (i32.const 1)))
        (table.set $t (i32.const 0) (ref.null func)) (drop (table.grow $t (ref.null func) (i32.const 1))))
    (func (export "trap") call $spoil unreachable)
    (func (export "act") (param i32) (result i32) call $spoil (call $act (local.get 0)))
    (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"#;
/// What `check` returns at first.
const CLEAN: i32 = 1 + 1 + 1 + 2;

/// The host's part: does what the argument says.
fn act<T: 'static>(linker: &mut Linker<T>) {
    let act = |mut caller: Caller<'_, T>, what: i32| match what {
        1 => Err(Error::msg("as agreed")),
        2 => panic!("on purpose"),
        3 => {
            let memory = caller.get_export("memory").and_then(|e| e.into_memory()).context("no memory")?;
            memory.data_mut(&mut caller)[100] = 9;
            Ok(7)
        }
        other => Ok(other),
    };
    linker.func_wrap("host", "act", act).unwrap();
}

/// Runs something that spoils an instance between calls that must not notice.
fn between_clean_calls(setting: &Setting, spoil: impl Fn(&mut Store<()>, wasmc_loader::Instance)) {
    let mut guest = setting.guest_in(&setting.engine(), STATEFUL, act::<()>);
    for _ in 0..5 {
        assert_eq!(guest.number("check").unwrap(), CLEAN);
        guest.with((), &spoil);
        guest.with((), |store, instance| {
            assert_eq!(call::<(), i32, ()>(store, instance, "check", ()).unwrap(), CLEAN);
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            assert!(memory.data(&*store)[1..].iter().all(|byte| *byte == 0));
            assert_eq!(call::<i32, i32, ()>(store, instance, "act", 5).unwrap(), 5);
        });
    }
}

pub fn a_trap_leaves_the_next_call_clean(setting: &Setting) {
    between_clean_calls(setting, |store, instance| {
        let error = call::<(), (), ()>(store, instance, "trap", ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    });
}

pub fn a_panic_of_the_host_leaves_the_next_call_clean(setting: &Setting) {
    between_clean_calls(setting, |store, instance| {
        let panic = catch_unwind(AssertUnwindSafe(|| call::<i32, i32, ()>(store, instance, "act", 2))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    });
}

pub fn an_error_of_the_host_leaves_the_next_call_clean(setting: &Setting) {
    between_clean_calls(setting, |store, instance| {
        let error = call::<i32, i32, ()>(store, instance, "act", 1).unwrap_err();
        assert_eq!(error.to_string(), "as agreed");
        assert_eq!(call::<i32, i32, ()>(store, instance, "act", 3).unwrap(), 7);
    });
}

pub fn recursion_works_just_under_the_limit_and_traps_just_over_it(setting: &Setting) {
    // A stack that is the same in all calls: the limit counts from where code
    // is entered.
    let mut guest = setting.guest_in(&setting.engine(), STATEFUL, act::<()>);
    let mut deep = |depth: i32| guest.with((), |store, instance| call::<i32, i32, ()>(store, instance, "deep", depth));
    let (mut possible, mut impossible) = (1, 1 << 24);
    while impossible - possible > 1 {
        let middle = possible + (impossible - possible) / 2;
        match deep(middle) {
            Ok(depth) => possible = depth,
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
                impossible = middle;
            }
        }
    }
    // 512 KiB of stack, and frames of at least 16 bytes; not much more.
    assert!((1000..1 << 15).contains(&possible), "{possible}");
    for _ in 0..3 {
        assert_eq!(deep(possible).unwrap(), possible);
        assert_eq!(deep(possible + 1).unwrap_err().downcast_ref(), Some(&Trap::StackOverflow));
    }
    assert_eq!(guest.number("check").unwrap(), CLEAN);
}

pub fn ten_thousand_and_one_calls_leave_no_instance_behind(setting: &Setting) {
    // More than any pool or limit here has room for. Memories without a
    // reservation of 4 GiB each would be forgotten more easily.
    let mut guest = setting.guest_in(&setting.engine(), STATEFUL, act::<()>);
    for number in 0..10_001 {
        assert_eq!(guest.number("check").unwrap_or_else(|e| panic!("call {number}: {e:?}")), CLEAN);
    }
    let kept = u64::from(setting.way != Way::Anew);
    if let Some(metrics) = guest.pre.module().engine().pool_metrics() {
        assert_eq!((metrics.live, metrics.peak), (kept, 1), "{metrics:?}");
        assert!(metrics.unused_warm <= SLOTS.into(), "{metrics:?}");
    }
}

pub fn two_missing_imports_are_both_named(setting: &Setting) {
    let engine = setting.engine();
    let text = r#"(module (import "first" "one" (func (param i32))) (import "second" "two" (func (result i64))))"#;
    let error = Linker::<()>::new(&engine).instantiate_pre(&module(&engine, text)).err().unwrap();
    let names: Vec<_> = error.downcast_ref::<LinkError>().unwrap().problems().iter().map(|p| p.name()).collect();
    assert_eq!(names, ["one", "two"]);
    let message = error.to_string();
    assert!(message.contains("`one` from `first`") && message.contains("`two` from `second`"), "{message}");
}

pub fn a_missing_import_may_be_allowed_and_names_itself_when_called(setting: &Setting) {
    let engine = setting.engine();
    let text = r#"(module
        (import "env" "missing" (func $missing (param i32) (result i64))) (import "env" "also" (func $also))
        (func (export "without") (result i32) i32.const 3)
        (func (export "with") (result i32) (i32.wrap_i64 (call $missing (i32.const 1)))))"#;
    let module = module(&engine, text);
    let mut guest = setting.guest_of::<()>(&module, |linker| {
        linker.define_unknown_imports_as_traps(&module).unwrap();
    });
    for _ in 0..3 {
        assert_eq!(guest.number("without").unwrap(), 3);
        let error = guest.number("with").unwrap_err();
        let unknown = error.downcast_ref::<UnknownImportError>().unwrap();
        assert_eq!((unknown.module(), unknown.name()), ("env", "missing"));
        assert!(error.to_string().contains("`missing` from `env`"), "{error}");
    }
}

pub fn eight_threads_do_not_disturb_each_other(setting: &Setting) {
    const THREADS: i32 = 8;
    let text = r#"(module (import "host" "mine" (func $mine (result i32)))
        (memory 1) (global $g (mut i32) (i32.const 0))
        (func (export "run") (result i32)
            (local $i i32)
            (global.set $g (i32.add (global.get $g) (call $mine)))
            (loop $next
                (i32.store (local.get $i) (i32.add (i32.load (local.get $i)) (call $mine)))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1000))) (i32.const 65000))))
            (i32.add (global.get $g) (i32.load (i32.const 64000)))))"#;
    let module = module(&setting.engine(), text);
    let finished = AtomicI32::new(0);
    std::thread::scope(|scope| {
        for number in 1..=THREADS {
            let (module, finished) = (&module, &finished);
            scope.spawn(move || {
                let mut guest = setting.guest_of::<i32>(module, |linker| {
                    linker.func_wrap("host", "mine", |caller: Caller<'_, i32>| *caller.data()).unwrap();
                });
                // Where a store is kept its slot is too, and there are fewer
                // slots than threads under some of the settings.
                for round in 0..if setting.way == Way::Anew { 300 } else { 100 } {
                    let result =
                        guest.with(number, |store, instance| call::<(), i32, i32>(store, instance, "run", ()).unwrap());
                    assert_eq!(result, 2 * number, "thread {number}, round {round}");
                }
                finished.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(finished.into_inner(), THREADS);
    if let Some(metrics) = module.engine().pool_metrics() {
        assert_eq!(metrics.live, 0, "{metrics:?}");
        assert!(metrics.peak <= 8 && metrics.unused_warm <= SLOTS.into(), "{metrics:?}");
    }
}

pub fn host_functions_get_and_give_values(setting: &Setting) {
    let text = r#"(module
        (import "host" "all" (func $all (param i32 i64 f32 f64) (result f64 f32 i64 i32)))
        (import "host" "count" (func $count))
        (memory (export "memory") 1)
        (func (export "run") (result i32)
            (local i32 i64 f32 f64)
            (call $count) (call $count)
            (call $all (i32.const -1) (i64.const 1099511627776) (f32.const 0.5) (f64.const -2.25))
            local.set 0 local.set 1 local.set 2 local.set 3
            (i32.store (i32.const 0) (local.get 0)) (i64.store (i32.const 8) (local.get 1))
            (f32.store (i32.const 16) (local.get 2)) (f64.store (i32.const 24) (local.get 3))
            (local.get 0)))"#;
    let dropped = Arc::new(());
    let held = dropped.clone();
    let mut guest = setting.guest_in::<u32>(&setting.engine(), text, |linker| {
        let all = move |a: i32, b: i64, c: f32, d: f64| {
            assert_eq!(Arc::strong_count(&held), 2);
            (d * 2.0, c * 2.0, b * 2, a * 2)
        };
        linker.func_wrap("host", "all", all).unwrap();
        linker.func_wrap("host", "count", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
    });
    for first in [0, 10, 20] {
        guest.with(first, |store, instance| {
            assert_eq!(call::<(), i32, u32>(store, instance, "run", ()).unwrap(), -2);
            assert_eq!(*store.data(), first + 2);
            let bytes = instance.get_memory(&mut *store, "memory").unwrap().data(&*store);
            assert_eq!(bytes[8..16], (2i64 << 40).to_le_bytes());
            assert_eq!(bytes[16..20], 1.0f32.to_le_bytes());
            assert_eq!(bytes[24..32], (-4.5f64).to_le_bytes());
        });
    }
    drop(guest);
    assert_eq!(Arc::strong_count(&dropped), 1, "the closure lives on");
}

pub fn pointers_from_a_guest_are_checked(setting: &Setting) {
    // As Substrate's executor has it: the result is a pointer in the lower
    // half and a length in the upper one.
    let mut guest = setting.guest(
        r#"(module (memory (export "memory") 1 3) (data (i32.const 16) "result")
            (func (export "fine") (result i64) i64.const 0x00000006_00000010)
            (func (export "end") (result i64) i64.const 0x00000002_0000fffe)
            (func (export "empty") (result i64) i64.const 0x00000000_00010000)
            (func (export "over") (result i64) i64.const 0x00000003_0000fffe)
            (func (export "beyond") (result i64) i64.const 0x00000001_00010000)
            (func (export "far") (result i64) i64.const 0x00000001_ffffffff)
            (func (export "long") (result i64) i64.const 0xffffffff_00000000)
            (func (export "wrap") (result i64) i64.const 0xffffffff_ffffffff)
            (func (export "grown") (result i64)
                (drop (memory.grow (i32.const 1))) i64.const 0x00000003_0000fffe))"#,
    );
    let mut result = |name: &str| {
        guest.with((), |store, instance| {
            let packed = call::<(), i64, ()>(store, instance, name, ()).unwrap() as u64;
            let (pointer, length) = (packed as u32 as usize, (packed >> 32) as usize);
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            // What a careful host does: no buffer for more than there is.
            let mut buffer = vec![0xaa; length.min(1 << 20)];
            let read = memory.read(&*store, pointer, &mut buffer);
            let written = memory.write(&mut *store, pointer, &buffer);
            assert_eq!(read, written);
            assert!(memory.read(&*store, usize::MAX, &mut [0]).is_err());
            read.map(|()| buffer)
        })
    };
    for round in 0..2 {
        assert_eq!(result("fine").unwrap(), b"result", "round {round}");
        assert_eq!(result("end").unwrap(), [0, 0]);
        assert_eq!(result("empty").unwrap(), []);
        assert_eq!(result("grown").unwrap(), [0, 0, 0]);
        for name in ["over", "beyond", "far", "long", "wrap"] {
            let error: MemoryAccessError = result(name).unwrap_err();
            assert!(error.to_string().contains("not within a memory of 0x10000 bytes"), "{name}: {error}");
        }
    }
}
