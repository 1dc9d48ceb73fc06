//! A host whose guest is compiled when the host is, and is part of it: no file
//! beside the program, and no type that is only checked when it runs.
//!
//! ```sh
//! cd examples/build-script && cargo run
//! ```

use wasmc_loader::{Caller, Context, Engine, Extern, Result, Store};

// What `build.rs` has made of `guest/pricing.wat`.
wasmc_loader::include_module!(pricing);

/// The data of a store. What the guest imports from `shop` are its methods.
struct Customer {
    regular: bool,
}

impl pricing::Shop for Customer {
    fn discount(caller: &mut Caller<'_, Self>, pieces: i32) -> Result<i32> {
        let for_many = if pieces >= 10 { 5 } else { 0 };
        Ok(if caller.data().regular { for_many + 3 } else { for_many })
    }

    fn log(caller: &mut Caller<'_, Self>, at: i32, length: i32) -> Result<()> {
        let memory = caller.get_export("memory").and_then(Extern::into_memory).context("no memory")?;
        let bytes = memory.data(&*caller).get(at as u32 as usize..).and_then(|rest| rest.get(..length as u32 as usize));
        println!("the guest says: {}", String::from_utf8_lossy(bytes.context("the text is out of bounds")?));
        Ok(())
    }
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let pricing = pricing::Module::load(&engine)?;
    let imports = pricing.imports::<Customer>()?;

    for regular in [false, true] {
        let mut store = Store::new(&engine, Customer { regular });
        let mut instance = pricing.instantiate(&mut store, &imports)?;
        // Methods, with the types of the guest's functions: were one to change,
        // this would not compile.
        let prices = [instance.price(3, 250)?, instance.price(200, 250)?];
        println!("regular customer: {regular}; {} orders: {prices:?}", instance.orders().get());
    }
    Ok(())
}
