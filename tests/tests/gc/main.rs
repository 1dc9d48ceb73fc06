//! The collector under real modules: what it finds in frames, globals and
//! tables, and what a store's heap costs and gives back.

mod exceptions;
mod externs;
mod heaps;
mod objects;
mod places;

use wasmc::{OptLevel, Options};
use wasmc_loader::{Caller, Config, Engine, Func, Instance, Linker, Module, Store};

const LEVELS: [OptLevel; 4] = [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size];

/// Compiles text.
fn artifact(text: &str, level: OptLevel) -> Vec<u8> {
    let options = Options { opt_level: level, ..Options::default() };
    wasmc::compile(text.as_bytes(), &options).unwrap_or_else(|e| panic!("{e:?}"))
}

fn module(engine: &Engine, text: &str, level: OptLevel) -> Module {
    wasmc_tests::carriers::load(engine, &artifact(text, level)).unwrap_or_else(|e| panic!("{e:?}"))
}

/// An engine whose heaps move everything at every allocation.
fn stressed() -> Engine {
    Engine::new(Config::new().gc_stress(true)).unwrap()
}

/// What the tests' modules can import: `host.gc` collects, `host.direct` calls
/// a function of the host's that does, `host.call` calls the export `back` of
/// the caller, and so does `host.elsewhere`, on another thread.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "gc", |mut caller: Caller<'_, ()>| caller.gc()).unwrap();
    let call = |mut caller: Caller<'_, ()>, value: i32| -> wasmc_loader::Result<i32> {
        let back = caller.get_export("back").and_then(|export| export.into_func()).unwrap();
        let back = back.typed::<i32, i32>(&caller)?;
        caller.gc();
        let result = back.call(&mut caller, value)?;
        caller.gc();
        Ok(result)
    };
    linker.func_wrap("host", "call", call).unwrap();
    let direct = |mut caller: Caller<'_, ()>| {
        let inner = Func::wrap(&mut caller, |mut caller: Caller<'_, ()>| caller.gc());
        inner.call(&mut caller, &[], &mut [])
    };
    linker.func_wrap("host", "direct", direct).unwrap();
    let elsewhere = |mut caller: Caller<'_, ()>, value: i32| {
        let back = caller.get_export("back").and_then(|export| export.into_func()).unwrap();
        let back = back.typed::<i32, i32>(&caller)?;
        std::thread::scope(|scope| scope.spawn(|| back.call(&mut caller, value)).join().unwrap())
    };
    linker.func_wrap("host", "elsewhere", elsewhere).unwrap();
    linker
}

/// Instantiates a module in a store of its own.
fn instance(engine: &Engine, text: &str, level: OptLevel) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = linker(engine).instantiate(&mut store, &module(engine, text, level)).unwrap();
    (store, instance)
}

/// Calls `run` of a module with a number, at every optimisation level, with and
/// without a collection at every allocation; it returns what it should.
fn check(text: &str, cases: &[(i32, i32)]) {
    for level in LEVELS {
        for engine in [stressed(), Engine::default()] {
            let (mut store, instance) = instance(&engine, text, level);
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            for (argument, result) in cases {
                assert_eq!(run.call(&mut store, *argument).unwrap(), *result, "run({argument}) at {level:?}");
            }
        }
    }
}
