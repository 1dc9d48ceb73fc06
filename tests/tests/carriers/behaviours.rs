//! What a module does is the same whatever carries it, on every strategy.

use super::{alone, call, compile_with, engines, module};
use std::thread;
use wasmc_loader::{
    AsContextMut, Caller, Config, Engine, ExternRef, Instance, Linker, MemoryType, Module, ProfilingStrategy,
    SharedMemory, Store, ThrownException, Trap, WasmBacktrace,
};
use wasmc_tests::carriers::{self, Carrier, using};

/// Runs `check` for every carrier, on an engine for every strategy.
fn everywhere(check: impl Fn(&Engine)) {
    for carrier in Carrier::ALL {
        for engine in engines() {
            using(carrier, || check(&engine));
        }
    }
}

const TRAPS: &str = r#"(module $traps
    (memory (export "memory") 1)
    (func $divide (param i32) (result i32) (i32.div_s (i32.const 7) (local.get 0)))
    (func $middle (param i32) (result i32) (i32.add (call $divide (local.get 0)) (i32.const 1)))
    (func (export "divide") (param i32) (result i32) (i32.add (call $middle (local.get 0)) (i32.const 1)))
    (func (export "load") (param i32) (result i32) (i32.load offset=4 (local.get 0)))
    (func (export "unreachable") (unreachable))
    (func $deeper (export "deeper") (param i32) (result i32)
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0))))"#;

#[test]
fn results_and_traps_are_the_same_and_backtraces_name_functions() {
    everywhere(|engine| {
        let module = module(engine, TRAPS);
        let (mut store, instance) = alone(engine, &module);
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "divide", 2).unwrap(), 5);
        let error = call::<i32, i32, _>(&mut store, instance, "divide", 0).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
        let trace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let names: Vec<_> = trace.frames().iter().map(|frame| frame.func_name().unwrap_or("?").to_owned()).collect();
        assert!(names.starts_with(&["divide".into(), "middle".into()]), "{names:?}");
        assert_eq!(trace.frames()[0].module_name(), Some("traps"));
        for (address, trap) in
            [(65528, None), (65529, Some(Trap::MemoryOutOfBounds)), (-1, Some(Trap::MemoryOutOfBounds))]
        {
            let result = call::<i32, i32, _>(&mut store, instance, "load", address);
            assert_eq!(result.as_ref().err().and_then(|e| e.downcast_ref()), trap.as_ref(), "{result:?}");
        }
        let error = call::<(), (), _>(&mut store, instance, "unreachable", ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        let error = call::<i32, i32, _>(&mut store, instance, "deeper", 0).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "divide", 7).unwrap(), 3, "after the traps");
    });
}

#[test]
fn a_module_without_anything_loads() {
    everywhere(|engine| {
        let module = module(engine, "(module)");
        let (mut store, instance) = alone(engine, &module);
        assert_eq!(instance.exports(&mut store).count(), 0);
    });
}

const IMAGE: &str = r#"(module
    (memory (export "memory") 4) (data (i32.const 0) "beginning") (data (i32.const 262141) "end")
    (table (export "table") 2 10 funcref) (elem (i32.const 0) $seven)
    (global $count (export "count") (mut i32) (i32.const 5))
    (data $later "later")
    (func $seven (result i32) (i32.const 7))
    (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0)))
    (func (export "change") (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.const 0) (i32.const 88)) (i32.store8 (i32.const 131072) (i32.const 88))
        (memory.init $later (i32.const 100) (i32.const 0) (i32.const 5)) (data.drop $later)
        (drop (memory.grow (i32.const 1))) (drop (table.grow (ref.null func) (i32.const 1)))
        (global.get $count)))"#;

/// What is in an instance: its memory, as a sum, and sizes.
fn content(store: &mut Store<()>, instance: Instance) -> (u64, usize, u64) {
    let memory = instance.get_memory(&mut *store, "memory").unwrap();
    let bytes = memory.data(&*store);
    let sum = bytes.iter().zip(1u64..).map(|(byte, place)| u64::from(*byte) * place).sum();
    let length = bytes.len();
    (sum, length, instance.get_table(&mut *store, "table").unwrap().size(&*store))
}

#[test]
fn every_instance_begins_with_the_image_and_a_reset_restores_it() {
    everywhere(|engine| {
        let module = module(engine, IMAGE);
        let pre = Linker::new(engine).instantiate_pre(&module).unwrap();
        let mut first = None;
        for _ in 0..3 {
            let mut store = Store::new(engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            assert!(memory.data(&store).starts_with(b"beginning") && memory.data(&store).ends_with(b"end"));
            let fresh = content(&mut store, instance);
            assert_eq!(*first.get_or_insert(fresh), fresh);
            for _ in 0..2 {
                assert_eq!(call::<(), i32, _>(&mut store, instance, "change", ()).unwrap(), 6);
                assert_eq!(call::<(), i32, _>(&mut store, instance, "call", ()).unwrap(), 7);
                assert_ne!(content(&mut store, instance), fresh);
                instance.reset(&mut store).unwrap();
                assert_eq!(content(&mut store, instance), fresh);
            }
            call::<(), i32, _>(&mut store, instance, "change", ()).unwrap();
        }
    });
}

#[test]
fn live_instances_do_not_share_what_they_write() {
    everywhere(|engine| {
        let module = module(engine, IMAGE);
        let (mut store, one) = alone(engine, &module);
        let (mut other_store, two) = alone(engine, &module);
        let fresh = content(&mut other_store, two);
        call::<(), i32, _>(&mut store, one, "change", ()).unwrap();
        assert_eq!(content(&mut other_store, two), fresh);
    });
}

const EXCEPTIONS: &str = r#"(module
    (import "host" "fail" (func $fail))
    (tag $number (export "number") (param i32))
    (func $throw (param i32) (throw $number (local.get 0)))
    (func (export "caught") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $number $caught) (call $throw (local.get 0)))
            (unreachable)))
    (func (export "thrown") (param i32) (call $throw (local.get 0)))
    (func (export "through") (result i32)
        (block $any (try_table (catch_all $any) (call $fail)) (return (i32.const 0)))
        (i32.const 1)))"#;

#[test]
fn exceptions_are_caught_and_leave() {
    everywhere(|engine| {
        let module = module(engine, EXCEPTIONS);
        let mut linker = Linker::new(engine);
        let fail = |_: Caller<'_, ()>| -> wasmc_loader::Result<()> { Err(wasmc_loader::Error::msg("the host's")) };
        linker.func_wrap("host", "fail", fail).unwrap();
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(call::<i32, i32, _>(&mut store, instance, "caught", 42).unwrap(), 42);
        let error = call::<i32, (), _>(&mut store, instance, "thrown", 1).unwrap_err();
        assert!(error.is::<ThrownException>(), "{error:?}");
        let error = call::<(), i32, _>(&mut store, instance, "through", ()).unwrap_err();
        assert!(format!("{error:#}").contains("the host's"), "a handler for all does not catch errors of the host");
    });
}

const OBJECTS: &str = r#"(module
    (type $list (struct (field i32) (field (ref null $list))))
    (global $kept (mut (ref null $list)) (ref.null $list))
    (global $extern (export "extern") (mut externref) (ref.null extern))
    (func (export "keep") (param externref) (global.set $extern (local.get 0)))
    (func $build (param $n i32) (result (ref null $list))
        (if (result (ref null $list)) (i32.eqz (local.get $n)) (then (ref.null $list))
            (else (struct.new $list (local.get $n) (call $build (i32.sub (local.get $n) (i32.const 1)))))))
    (func (export "build") (param i32) (global.set $kept (call $build (local.get 0))))
    (func (export "sum") (result i32) (local $at (ref null $list)) (local $sum i32)
        (local.set $at (global.get $kept))
        (block $end (loop $next
            (br_if $end (ref.is_null (local.get $at)))
            (local.set $sum (i32.add (local.get $sum) (struct.get $list 0 (local.get $at))))
            (local.set $at (struct.get $list 1 (local.get $at)))
            (br $next)))
        (local.get $sum)))"#;

#[test]
fn objects_survive_collections_that_find_them_in_frames() {
    everywhere(|engine| {
        let mut config: Config = engine.config().clone();
        config.gc_stress(true);
        let engine = &Engine::new(&config).unwrap();
        let module = module(engine, OBJECTS);
        let (mut store, instance) = alone(engine, &module);
        call::<i32, (), _>(&mut store, instance, "build", 100).unwrap();
        store.gc();
        assert_eq!(call::<(), i32, _>(&mut store, instance, "sum", ()).unwrap(), 5050);
        let value = ExternRef::new(&mut store, "kept".to_owned()).unwrap();
        instance.get_func(&mut store, "keep").unwrap().call(&mut store, &[value.into()], &mut []).unwrap();
        store.gc();
        let global = instance.get_global(&mut store, "extern").unwrap().get(&mut store);
        let value = global.unwrap_externref().unwrap();
        let found = value.data(&store).unwrap().and_then(|any| any.downcast_ref::<String>()).cloned();
        assert_eq!(found.as_deref(), Some("kept"));
    });
}

const SHARED: &str = r#"(module
    (import "host" "memory" (memory 1 1 shared))
    (func (export "add") (param i32) (local $i i32)
        (loop $again
            (drop (i32.atomic.rmw.add (i32.const 8) (local.get 0)))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))))"#;

#[test]
fn threads_share_a_memory_and_a_module() {
    everywhere(|engine| {
        let module = module(engine, SHARED);
        let memory = SharedMemory::new(engine, MemoryType::shared(1, 1)).unwrap();
        thread::scope(|scope| {
            for number in 1..=4 {
                let (module, memory) = (&module, memory.clone());
                scope.spawn(move || {
                    let mut store = Store::new(engine, ());
                    let mut linker = Linker::new(engine);
                    linker.define(&mut store, "host", "memory", memory).unwrap();
                    let instance = linker.instantiate(&mut store, module).unwrap();
                    call::<i32, (), _>(&mut store, instance, "add", number).unwrap();
                });
            }
        });
        let mut bytes = [0; 4];
        for (byte, cell) in bytes.iter_mut().zip(&memory.data()[8..12]) {
            // SAFETY: no thread is left that writes.
            *byte = unsafe { *cell.get() };
        }
        assert_eq!(i32::from_le_bytes(bytes), 10_000);
    });
}

#[test]
fn a_module_is_dropped_and_loaded_again_and_belongs_to_several_engines() {
    everywhere(|engine| {
        for _ in 0..20 {
            let module = module(engine, IMAGE);
            let (mut store, instance) = alone(engine, &module);
            drop(module);
            assert_eq!(call::<(), i32, _>(&mut store, instance, "change", ()).unwrap(), 6);
        }
        let others: Vec<Engine> = engines().collect();
        let modules: Vec<Module> = others.iter().map(|engine| module(engine, IMAGE)).collect();
        for (engine, module) in others.iter().zip(&modules) {
            let (mut store, instance) = alone(engine, module);
            assert_eq!(call::<(), i32, _>(&mut store, instance, "change", ()).unwrap(), 6);
        }
    });
}

#[test]
fn modules_from_different_carriers_work_together() {
    let provider = r#"(module
        (memory (export "memory") 1) (data (i32.const 4) "\2a")
        (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
        (func (export "fail") (unreachable)))"#;
    let user = r#"(module $user
        (import "provider" "memory" (memory 1))
        (import "provider" "double" (func $double (param i32) (result i32)))
        (import "provider" "fail" (func $fail))
        (func (export "run") (result i32) (call $double (i32.load (i32.const 4))))
        (func $through (export "through") (call $fail)))"#;
    for engine in engines() {
        for (first, second) in Carrier::ALL.into_iter().flat_map(|a| Carrier::ALL.map(|b| (a, b))) {
            let provider = using(first, || module(&engine, provider));
            let user = using(second, || module(&engine, user));
            let mut store = Store::new(&engine, ());
            let mut linker = Linker::new(&engine);
            linker.module(&mut store, "provider", &provider).unwrap();
            let instance = linker.instantiate(&mut store, &user).unwrap();
            assert_eq!(call::<(), i32, _>(&mut store, instance, "run", ()).unwrap(), 84);
            let error = call::<(), (), _>(&mut store, instance, "through", ()).unwrap_err();
            let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames().len();
            assert_eq!(frames, 2, "{error:?}");
        }
    }
}

#[test]
fn debug_information_and_the_debugger_interface_do_no_harm() {
    let options = wasmc::Options { debug: true, ..wasmc::Options::new() };
    let artifact = compile_with(TRAPS, &options);
    everywhere(|engine| {
        let mut config = engine.config().clone();
        config.debugger(true);
        let engine = Engine::new(&config).unwrap();
        let module = carriers::load(&engine, &artifact).unwrap();
        let (mut store, instance) = alone(&engine, &module);
        let error = call::<i32, i32, _>(&mut store, instance, "divide", 0).unwrap_err();
        let trace = error.downcast_ref::<WasmBacktrace>().unwrap();
        assert!(trace.frames().iter().all(|frame| frame.module_offset().is_some()), "{trace}");
        store.as_context_mut().gc();
    });
}

/// What `perf` is told of code between two addresses: where it begins, how long it
/// is, and what it is called.
#[cfg(target_os = "linux")]
fn listed(map: &std::path::Path, text: &std::ops::Range<usize>) -> Vec<(usize, usize, String)> {
    let lines = std::fs::read_to_string(map).unwrap_or_default();
    let parts = lines.lines().map(|line| {
        let mut parts = line.splitn(3, ' ');
        let mut number = || usize::from_str_radix(parts.next().unwrap(), 16).unwrap();
        let (start, length) = (number(), number());
        (start, length, parts.next().unwrap().to_owned())
    });
    parts.filter(|(start, ..)| text.contains(start)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn profilers_are_told_of_functions_that_no_file_has_the_names_of() {
    let path = std::path::PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
    let artifact = compile_with(TRAPS, &wasmc::Options::new());
    let mut kept = Vec::new();
    for carrier in Carrier::ALL {
        for engine in engines() {
            let mut config = engine.config().clone();
            config.profiler(ProfilingStrategy::PerfMap);
            let engine = Engine::new(&config).unwrap();
            let module = using(carrier, || carriers::load(&engine, &artifact)).unwrap();
            let (mut store, instance) = alone(&engine, &module);
            assert_eq!(call::<i32, i32, _>(&mut store, instance, "divide", 2).unwrap(), 5);
            let error = call::<i32, i32, _>(&mut store, instance, "divide", 0).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
            assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 3);
            let (text, listed) = (module.text(), listed(&path, &module.text()));
            if matches!(carrier, Carrier::File | Carrier::Linked) {
                assert_eq!(listed, [], "{carrier:?}");
            } else {
                let functions = module.functions().map(|function| {
                    let name = function.name.unwrap_or("?");
                    (text.start + function.offset, function.len, format!("{name} [traps]"))
                });
                for function in functions {
                    assert!(listed.contains(&function), "{carrier:?}: no {function:?} in {listed:?}");
                }
                assert_eq!(listed.iter().map(|(_, length, _)| length).sum::<usize>(), text.len());
            }
            // So that no other module has its addresses.
            kept.push(module);
        }
    }
    std::fs::remove_file(&path).unwrap();
}
