//! A host that its guest is linked into, like any other object file: the
//! system's loader maps the guest's code with the program's own, and it is
//! executed there.
//!
//! ```sh
//! cd examples/linked-object && cargo run
//! ```

use wasmc_loader::{Engine, Result, Store};

wasmc_loader::include_module!(collatz);

fn main() -> Result<()> {
    let engine = Engine::default();
    let collatz = collatz::Module::load(&engine)?;
    let imports = collatz.imports::<()>()?;
    let mut store = Store::new(&engine, ());
    let mut instance = collatz.instantiate(&mut store, &imports)?;

    let (mut most, mut number) = (0, 1);
    for n in 1..1000 {
        let steps = instance.steps(n)?;
        if steps > most {
            (most, number) = (steps, n);
        }
    }
    println!("of the numbers below 1000, {number} takes the most steps to 1: {most}");
    Ok(())
}
