//! How wasm code stops early: traps, errors and panics of the host.

use super::{alone, with_data};
use wasmc::{OptLevel, Options};
use wasmc_loader::{Caller, Config, Engine, Error, Instance, Linker, Module, Result, Store, Trap, WasmBacktrace};

#[test]
fn every_trap_of_the_language_is_told_apart() {
    let text = r#"(module
        (type $none (func))
        (memory 1)
        (table $t 3 funcref)
        (table $dynamic (export "table") 3 funcref)
        (func $other (param i32))
        (elem (table $t) (i32.const 0) func $other)
        (elem (table $dynamic) (i32.const 0) func $other)
        (elem $passive func $other)
        (data $bytes "12")
        (func (export "unreachable") unreachable)
        (func (export "load") (drop (i32.load (i32.const -4))))
        (func (export "load offset") (drop (i64.load offset=0xffffffff (i32.const -1))))
        (func (export "store") (i32.store8 (i32.const 65536) (i32.const 1)))
        (func (export "fill") (memory.fill (i32.const 65530) (i32.const 1) (i32.const 7)))
        (func (export "copy") (memory.copy (i32.const 0) (i32.const 65530) (i32.const 7)))
        (func (export "init") (memory.init $bytes (i32.const 0) (i32.const 1) (i32.const 2)))
        (func (export "table.get") (drop (table.get $dynamic (i32.const 3))))
        (func (export "table.set") (table.set $dynamic (i32.const 3) (ref.null func)))
        (func (export "table.fill") (table.fill $dynamic (i32.const 2) (ref.null func) (i32.const 2)))
        (func (export "table.copy") (table.copy $dynamic $dynamic (i32.const 2) (i32.const 0) (i32.const 2)))
        (func (export "table.init") (table.init $dynamic $passive (i32.const 0) (i32.const 0) (i32.const 2)))
        (func (export "undefined") (call_indirect $t (type $none) (i32.const 3)))
        (func (export "null") (call_indirect $t (type $none) (i32.const 1)))
        (func (export "signature") (call_indirect $t (type $none) (i32.const 0)))
        (func (export "undefined 2") (call_indirect $dynamic (type $none) (i32.const 3)))
        (func (export "null 2") (call_indirect $dynamic (type $none) (i32.const 1)))
        (func (export "signature 2") (call_indirect $dynamic (type $none) (i32.const 0)))
        (func (export "div") (drop (i32.div_u (i32.const 1) (i32.const 0))))
        (func (export "rem") (drop (i64.rem_s (i64.const 1) (i64.const 0))))
        (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
        (func (export "trunc") (drop (i32.trunc_f32_s (f32.const 1e20))))
        (func (export "nan") (drop (i64.trunc_f64_u (f64.const nan))))
        (func $forever (export "recursion") call $forever))"#;
    let (mut store, instance) = alone(text);
    let expected = [
        ("unreachable", Trap::UnreachableCodeReached),
        ("load", Trap::MemoryOutOfBounds),
        ("load offset", Trap::MemoryOutOfBounds),
        ("store", Trap::MemoryOutOfBounds),
        ("fill", Trap::MemoryOutOfBounds),
        ("copy", Trap::MemoryOutOfBounds),
        ("init", Trap::MemoryOutOfBounds),
        ("table.get", Trap::TableOutOfBounds),
        ("table.set", Trap::TableOutOfBounds),
        ("table.fill", Trap::TableOutOfBounds),
        ("table.copy", Trap::TableOutOfBounds),
        ("table.init", Trap::TableOutOfBounds),
        ("undefined", Trap::UndefinedElement),
        ("null", Trap::IndirectCallToNull),
        ("signature", Trap::BadSignature),
        ("undefined 2", Trap::UndefinedElement),
        ("null 2", Trap::IndirectCallToNull),
        ("signature 2", Trap::BadSignature),
        ("div", Trap::IntegerDivisionByZero),
        ("rem", Trap::IntegerDivisionByZero),
        ("overflow", Trap::IntegerOverflow),
        ("trunc", Trap::IntegerOverflow),
        ("nan", Trap::BadConversionToInteger),
        ("recursion", Trap::StackOverflow),
    ];
    for round in 0..3 {
        for (name, trap) in expected {
            let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            let error = func.call(&mut store, ()).expect_err(name);
            assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{name}, round {round}: {error:?}");
            assert!(error.is::<WasmBacktrace>(), "{name}");
        }
    }
}

#[test]
fn a_backtrace_names_the_functions_innermost_first() {
    let text = r#"(module $shop
        (func $inner (param i32) (if (i32.eqz (local.get 0)) (then unreachable)) (call $inner (i32.sub (local.get 0) (i32.const 1))))
        (func $middle (param i32) local.get 0 call $inner)
        (func (export "outer") (param i32) local.get 0 call $middle))"#;
    let (mut store, instance) = alone(text);
    let outer = instance.get_typed_func::<i32, ()>(&mut store, "outer").unwrap();
    let error = outer.call(&mut store, 2).unwrap_err();
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
    let names: Vec<_> = backtrace.frames().iter().map(|f| (f.func_index(), f.func_name())).collect();
    let inner = (0, Some("inner"));
    assert_eq!(names, [inner, inner, inner, (1, Some("middle")), (2, backtrace.frames()[4].func_name())]);
    assert_eq!(backtrace.frames()[0].module_name(), Some("shop"));
    let printed = format!("{error:?}");
    assert!(printed.starts_with("unreachable") && printed.contains("shop!middle"), "{printed}");
    // A deep recursion has no more frames than configured, the innermost ones.
    let error = outer.call(&mut store, 1000).unwrap_err();
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 20);
}

#[test]
fn traps_are_caught_on_every_thread() {
    let text = r#"(module (memory 1)
        (func (export "load") (param i32) (result i32) local.get 0 i32.load)
        (func $deep (export "deep") call $deep))"#;
    let (mut store, instance) = alone(text);
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
    let deep = instance.get_typed_func::<(), ()>(&mut store, "deep").unwrap();
    // The same store wanders over threads with stacks of different sizes.
    for size in [256 << 10, 1 << 20, 8 << 20, 192 << 10] {
        store = std::thread::Builder::new()
            .stack_size(size)
            .spawn(move || {
                for _ in 0..3 {
                    let error = load.call(&mut store, 65536).unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
                    let error = deep.call(&mut store, ()).unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
                    assert_eq!(load.call(&mut store, 0).unwrap(), 0);
                }
                store
            })
            .unwrap()
            .join()
            .unwrap();
    }
    assert_eq!(load.call(&mut store, 0).unwrap(), 0);
}

#[derive(Debug, PartialEq)]
struct No(i32);

impl std::fmt::Display for No {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the host says no to {}", self.0)
    }
}

impl std::error::Error for No {}

const THROUGH: &str = r#"(module
    (import "host" "act" (func $act (param i32)))
    (memory 1)
    (func $inner (param i32) local.get 0 call $act)
    (func (export "run") (param i32) local.get 0 call $inner)
    (func (export "trap") unreachable))"#;

#[test]
fn an_error_of_a_host_function_comes_out_with_its_type() {
    let (mut store, instance) = with_data((), THROUGH, |linker| {
        let act =
            |code: i32| -> Result<()> { if code > 0 { Err(Error::new(No(code)).context("acting")) } else { Ok(()) } };
        linker.func_wrap("host", "act", act).unwrap();
    });
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    run.call(&mut store, 0).unwrap();
    let error = run.call(&mut store, 7).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&No(7)));
    assert_eq!(format!("{error:#}"), "acting: the host says no to 7");
    let names: Vec<_> =
        error.downcast_ref::<WasmBacktrace>().unwrap().frames().iter().map(|f| f.func_index()).collect();
    assert_eq!(names, [1, 2]);
    run.call(&mut store, 0).unwrap();
}

#[test]
fn a_panic_of_a_host_function_goes_on_outside_of_wasm() {
    struct Noisy(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Noisy {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let dropped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = dropped.clone();
    let (mut store, instance) = with_data((), THROUGH, move |linker| {
        let act = move |code: i32| {
            let _noisy = Noisy(dropped.clone());
            assert!(code == 0, "code {code}");
        };
        linker.func_wrap("host", "act", act).unwrap();
    });
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, 3))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "code 3");
    assert!(seen.load(std::sync::atomic::Ordering::Relaxed));
    // The store is usable as before.
    run.call(&mut store, 0).unwrap();
    let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
    assert!(trap.call(&mut store, ()).unwrap_err().is::<Trap>());
}

#[test]
fn a_trap_below_a_host_function_comes_out_above_it() {
    let text = r#"(module
        (import "host" "again" (func $again (param i32)))
        (func $fail unreachable)
        (func $go (export "go") (param i32)
            (if (i32.eqz (local.get 0)) (then call $fail) (else (call $again (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (mut store, instance) = with_data(0u32, text, |linker| {
        let again = |mut caller: Caller<'_, u32>, depth: i32| -> Result<()> {
            let go = caller.get_export("go").unwrap().into_func().unwrap().typed::<i32, ()>(&caller)?;
            let result = go.call(&mut caller, depth);
            *caller.data_mut() += 1;
            // The host may go on after a trap, or pass it on.
            if depth == 2 { Ok(()) } else { result }
        };
        linker.func_wrap("host", "again", again).unwrap();
    });
    let go = instance.get_typed_func::<i32, ()>(&mut store, "go").unwrap();
    let error = go.call(&mut store, 2).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(*store.data(), 2);
    // The frames of all activations are there, the host's between them are not.
    let frames: Vec<_> =
        error.downcast_ref::<WasmBacktrace>().unwrap().frames().iter().map(|f| f.func_index()).collect();
    assert_eq!(frames, [1, 2, 2, 2]);
    go.call(&mut store, 3).unwrap();
    go.call(&mut store, 0).unwrap_err();
}

const DEEP: &str = r#"(module
    (import "host" "deeper" (func $deeper (param i32) (result i32)))
    (func $sum (export "sum") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0))
            (then (i32.const 0))
            (else (i32.add (i32.const 1) (call $sum (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "zigzag") (param i32) (result i32) (call $deeper (i32.add (local.get 0) (i32.const 1)))))"#;

fn deep(max_wasm_stack: usize) -> (Store<()>, Instance) {
    let engine = Engine::new(Config::new().max_wasm_stack(max_wasm_stack)).unwrap();
    let mut linker = Linker::new(&engine);
    let deeper = |mut caller: Caller<'_, ()>, depth: i32| -> Result<i32> {
        let zigzag = caller.get_export("zigzag").unwrap().into_func().unwrap().typed::<i32, i32>(&caller)?;
        zigzag.call(&mut caller, depth)
    };
    linker.func_wrap("host", "deeper", deeper).unwrap();
    let module = super::module(&engine, DEEP);
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

#[test]
fn the_configured_stack_is_what_recursion_gets() {
    let depth_of = |max_wasm_stack: usize| {
        let work = move || {
            let (mut store, instance) = deep(max_wasm_stack);
            let sum = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
            let (mut fits, mut too_much) = (0, 1 << 24);
            while fits + 1 < too_much {
                let middle = (fits + too_much) / 2;
                match sum.call(&mut store, middle) {
                    Ok(result) => {
                        assert_eq!(result, middle);
                        fits = middle;
                    }
                    Err(error) => {
                        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
                        too_much = middle;
                    }
                }
            }
            fits as usize
        };
        std::thread::Builder::new().stack_size(12 << 20).spawn(work).unwrap().join().unwrap()
    };
    let (small, medium, large) = (depth_of(128 << 10), depth_of(1 << 20), depth_of(8 << 20));
    // Frames of one size, so depths are as the stacks, up to the tolerance.
    let frame = (8 << 20) / large;
    assert!((16..=256).contains(&frame), "frames of {frame} bytes");
    assert!((medium * frame).abs_diff(1 << 20) < 32 << 10, "{medium} frames of {frame} bytes");
    assert!((small * frame).abs_diff(128 << 10) < 32 << 10, "{small} frames of {frame} bytes");
    // More than the thread has is not given.
    assert!(depth_of(1 << 40) * frame < 12 << 20);
}

#[test]
fn endless_recursion_through_the_host_is_a_stack_overflow() {
    for max in [64 << 10, 512 << 10] {
        let (mut store, instance) = deep(max);
        let zigzag = instance.get_typed_func::<i32, i32>(&mut store, "zigzag").unwrap();
        for _ in 0..3 {
            let error = zigzag.call(&mut store, 0).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{error:?}");
            assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 20);
        }
    }
}

#[test]
fn a_host_function_can_use_another_store() {
    let text = r#"(module (import "host" "other" (func $other (param i32) (result i32)))
        (memory 1)
        (func (export "run") (param i32) (result i32)
            (drop (call $other (local.get 0))) (i32.load (i32.mul (local.get 0) (i32.const 65536)))))"#;
    let inner = std::sync::Mutex::new(alone(
        r#"(module (memory 1) (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#,
    ));
    let (mut store, instance) = with_data((), text, move |linker| {
        let other = move |at: i32| -> Result<i32> {
            let (store, instance) = &mut *inner.lock().unwrap();
            let load = instance.get_typed_func::<i32, i32>(&mut *store, "load")?;
            assert!(load.call(&mut *store, 65536).unwrap_err().is::<Trap>());
            load.call(&mut *store, if at == 2 { 65536 } else { 0 }).map_err(|e| e.context("inner"))
        };
        linker.func_wrap("host", "other", other).unwrap();
    });
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 0).unwrap(), 0);
    let outer = run.call(&mut store, 1).unwrap_err();
    assert_eq!(outer.to_string(), "out of bounds memory access");
    let inner = run.call(&mut store, 2).unwrap_err();
    assert_eq!(format!("{inner:#}"), "inner: out of bounds memory access");
    assert_eq!(run.call(&mut store, 0).unwrap(), 0);
}

#[test]
fn threads_trap_independently() {
    let engine = Engine::default();
    let text = r#"(module (memory 1) (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 100) (local.get 0))))"#;
    let module = super::module(&engine, text);
    let linker = Linker::new(&engine);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for i in 0..300 {
                    let mut store = Store::new(&engine, ());
                    let instance = linker.instantiate(&mut store, &module).unwrap();
                    let at = instance.get_typed_func::<i32, i32>(&mut store, "at").unwrap();
                    let div = instance.get_typed_func::<i32, i32>(&mut store, "div").unwrap();
                    assert_eq!(at.call(&mut store, 65535).unwrap(), 0);
                    assert!(at.call(&mut store, 65536 + i).unwrap_err().is::<Trap>());
                    assert_eq!(div.call(&mut store, 7).unwrap(), 14);
                    let error = div.call(&mut store, 0).unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
                }
            });
        }
    });
}

#[test]
fn backtraces_can_be_switched_off_and_limited() {
    let frames = |config: &Config| {
        let engine = Engine::new(config).unwrap();
        let text = r#"(module (func $f (export "f") (param i32)
            (if (i32.eqz (local.get 0)) (then unreachable)) (call $f (i32.sub (local.get 0) (i32.const 1)))))"#;
        let module = super::module(&engine, text);
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let error = instance.get_typed_func::<i32, ()>(&mut store, "f").unwrap().call(&mut store, 99).unwrap_err();
        assert!(error.is::<Trap>());
        error.downcast_ref::<WasmBacktrace>().map(|backtrace| backtrace.frames().len())
    };
    assert_eq!(frames(Config::new().wasm_backtrace(false)), None);
    assert_eq!(frames(Config::new().wasm_backtrace_max_frames(3)), Some(3));
    assert_eq!(frames(Config::new().wasm_backtrace_max_frames(1000)), Some(100));
}

/// Optimised code calls the loader to trap, other code executes an instruction
/// that faults: nobody sees a difference but in time.
#[test]
fn unreachable_code_traps_alike_whether_it_calls_or_faults() {
    let text = r#"(module
        (import "" "call" (func $host))
        (memory (export "memory") 1)
        (func $leaf (export "leaf") (param i32)
            (i32.store (i32.const 8) (local.get 0))
            (if (local.get 0) (then (unreachable)))
            (i32.store (i32.const 12) (i32.const 1)))
        (func $middle (param i32) (call $leaf (local.get 0)))
        (func $caught (export "caught") (param i32)
            (block $b (try_table (catch_all $b) (call $middle (local.get 0)))))
        (func (export "through") (call $host))
        (func $deep (export "deep") (param i32)
            (if (i32.eqz (local.get 0)) (then (unreachable)))
            (call $deep (i32.sub (local.get 0) (i32.const 1)))))"#;
    let mut seen = Vec::new();
    for (opt_level, debug) in [(OptLevel::Speed, false), (OptLevel::None, false), (OptLevel::Speed, true)] {
        let mut options = Options::new();
        (options.opt_level, options.debug) = (opt_level, debug);
        let artifact = wasmc::compile(text.as_bytes(), &options).unwrap();
        let engine = Engine::default();
        // SAFETY: the bytes come straight from the compiler.
        let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("", "call", |mut caller: Caller<'_, ()>| -> Result<()> {
                let leaf = caller.get_export("leaf").and_then(|leaf| leaf.into_func()).unwrap();
                leaf.typed::<i32, ()>(&caller)?.call(&mut caller, 3)
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let mut outcome = Vec::new();
        for round in 0..3 {
            for (name, argument) in [("leaf", 1), ("caught", 2), ("deep", 40)] {
                let function = instance.get_typed_func::<i32, ()>(&mut store, name).unwrap();
                let error = function.call(&mut store, argument).unwrap_err();
                outcome.push((name, error.downcast_ref::<Trap>().copied(), names(&error)));
            }
            let through = instance.get_typed_func::<(), ()>(&mut store, "through").unwrap();
            let error = through.call(&mut store, ()).unwrap_err();
            outcome.push(("through", error.downcast_ref::<Trap>().copied(), names(&error)));
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            assert_eq!(memory.data(&store)[8..16], [3, 0, 0, 0, 0, 0, 0, 0], "round {round}");
            instance.get_typed_func::<i32, ()>(&mut store, "leaf").unwrap().call(&mut store, 0).unwrap();
            assert_eq!(memory.data(&store)[8..13], [0, 0, 0, 0, 1]);
            memory.data_mut(&mut store)[12] = 0;
        }
        seen.push(outcome);
    }
    let unreachable = Some(Trap::UnreachableCodeReached);
    assert_eq!(seen[0][0], ("leaf", unreachable, vec!["leaf".to_owned()]));
    assert_eq!(seen[0][1].2, ["leaf", "middle", "caught"]);
    assert_eq!(seen[0][3].2, ["leaf", "through"]);
    assert!(seen[0].iter().all(|(_, trap, _)| *trap == unreachable), "{seen:?}");
    assert!(seen[0] == seen[1] && seen[0] == seen[2], "{seen:#?}");
}

/// The names of the functions in an error's backtrace.
fn names(error: &Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_owned()).collect()
}
