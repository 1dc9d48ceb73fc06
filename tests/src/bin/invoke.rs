//! A host program: `invoke FILE FUNCTION NUMBER [perf-map]` calls a function of
//! an artifact that takes and returns an i32. Debuggers and profilers look at it;
//! with `perf-map` the artifact is loaded from bytes, and its functions are listed
//! for `perf`.

use wasmc_loader::{Config, Engine, Instance, Module, ProfilingStrategy, Result, Store};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, function, number, listed @ ..] = arguments.as_slice() else {
        eprintln!("usage: invoke FILE FUNCTION NUMBER [perf-map]");
        std::process::exit(2);
    };
    let number = number.parse().map_err(wasmc_loader::Error::new)?;
    let module = if listed.is_empty() {
        let engine = Engine::new(Config::new().debugger(true))?;
        // SAFETY: tests pass a file that the compiler has just written.
        unsafe { Module::open(&engine, file)? }
    } else {
        let engine = Engine::new(Config::new().profiler(ProfilingStrategy::PerfMap))?;
        let artifact = std::fs::read(file).map_err(wasmc_loader::Error::new)?;
        // SAFETY: as above.
        unsafe { Module::from_bytes(&engine, &artifact)? }
    };
    let engine = module.engine().clone();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let function = instance.get_typed_func::<i32, i32>(&mut store, function)?;
    println!("{}", function.call(&mut store, number)?);
    Ok(())
}
