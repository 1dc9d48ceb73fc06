//! A program that carries artifacts in all ways; built by the tests.

use std::fmt::Write;
use wasmc_loader::{
    Config, Engine, Instance, InstanceLimits, InstantiationStrategy, Linker, Module, Result, Store, WasmBacktrace,
    include_artifact, linked_artifact,
};

/// Loads both guests from `carrier`: `embedded`, `linked`, or a folder with files.
fn load(engine: &Engine, carrier: &str) -> Result<[Module; 2]> {
    // SAFETY: the artifacts are the compiler's, and nobody changes them.
    unsafe {
        Ok(match carrier {
            "embedded" => [
                Module::from_embedded(engine, include_artifact!("../guest.cwasm"))?,
                Module::from_embedded(engine, include_artifact!(concat!(env!("CARGO_MANIFEST_DIR"), "/other.cwasm")))?,
            ],
            "linked" => [
                Module::from_linked(engine, linked_artifact!(guest))?,
                Module::from_linked(engine, linked_artifact!(other_guest))?,
            ],
            folder => [
                Module::open(engine, format!("{folder}/guest.cwasm"))?,
                Module::open(engine, format!("{folder}/other.cwasm"))?,
            ],
        })
    }
}

fn number(store: &mut Store<()>, instance: Instance, name: &str) -> Result<i32> {
    instance.get_typed_func::<(), i32>(&mut *store, name)?.call(store, ())
}

/// What the guests do, as text.
fn observe(engine: &Engine, carrier: &str, out: &mut String) -> Result<()> {
    let [guest, other] = load(engine, carrier)?;
    let linker = Linker::new(engine);
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &guest)?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let end = memory.data_size(&store);
        let image = [&memory.data(&store)[..9], &memory.data(&store)[end - 3..]].concat();
        let fib = instance.get_typed_func::<i32, i32>(&mut store, "fib")?.call(&mut store, 20)?;
        writeln!(out, "{} {fib}", String::from_utf8_lossy(&image))?;
        let counts = [number(&mut store, instance, "count")?, number(&mut store, instance, "count")?];
        instance.reset(&mut store)?;
        writeln!(out, "counts {counts:?} {}", number(&mut store, instance, "count")?)?;
        let error = number(&mut store, instance, "fail").unwrap_err();
        let trace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let names: Vec<_> = trace.frames().iter().map(|frame| frame.func_name()).collect();
        writeln!(out, "{} {names:?}", error.root_cause())?;
        let instance = linker.instantiate(&mut store, &other)?;
        writeln!(out, "other {}", number(&mut store, instance, "answer")?)?;
    }
    Ok(())
}

/// The same for every strategy.
pub fn run(carrier: &str) -> String {
    let mut out = String::new();
    for &strategy in InstantiationStrategy::ALL {
        let mut config = Config::new();
        config.allocation_strategy(InstanceLimits { count: 4, ..InstanceLimits::default() });
        config.instantiation_strategy(strategy);
        let engine = Engine::new(&config).unwrap();
        writeln!(out, "{strategy}").unwrap();
        if let Err(error) = observe(&engine, carrier, &mut out) {
            writeln!(out, "error: {error:#}").unwrap();
        }
    }
    out
}

/// The same for who loads this as a library.
#[unsafe(no_mangle)]
pub extern "C" fn print_linked_and_embedded() {
    print!("{}{}", run("linked"), run("embedded"));
}
