//! A host program: `invoke FILE FUNCTION NUMBER` calls a function of an
//! artifact that takes and returns an i32. Debuggers and profilers look at it.

use wasmc_loader::{Config, Engine, Instance, Module, Result, Store};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, function, number] = arguments.as_slice() else {
        eprintln!("usage: invoke FILE FUNCTION NUMBER");
        std::process::exit(2);
    };
    let number = number.parse().map_err(wasmc_loader::Error::new)?;
    let engine = Engine::new(Config::new().debugger(true))?;
    // SAFETY: tests pass a file that the compiler has just written.
    let module = unsafe { Module::open(&engine, file)? };
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let function = instance.get_typed_func::<i32, i32>(&mut store, function)?;
    println!("{}", function.call(&mut store, number)?);
    Ok(())
}
