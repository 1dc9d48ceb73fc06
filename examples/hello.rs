//! The least that a host does: compiles a module, loads it, makes an instance
//! and calls a function.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin hello
//! ```

use wasmc_loader::{Engine, Instance, Module, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In production this part runs elsewhere, and once: on CI, at upload, or as
    // `wasmc hello.wat` on a command line.
    let artifact = wasmc::compile(include_bytes!("guests/hello.wat"), &wasmc::Options::new())?;

    let engine = Engine::default();
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let gcd = instance.get_typed_func::<(u32, u32), u32>(&mut store, "gcd")?;

    println!("the greatest common divisor of 1071 and 462 is {}", gcd.call(&mut store, (1071, 462))?);
    Ok(())
}
