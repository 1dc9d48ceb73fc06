//! An interpreter for Forth as a guest, whose dictionary is filled
//! when it starts.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin interpreter [LINE...]
//! ```

use wasmc_loader::{Caller, Context, Engine, Extern, Instance, Linker, Module, Result, Store, ensure};

fn main() -> Result<()> {
    let mut lines: Vec<String> = std::env::args().skip(1).collect();
    if lines.is_empty() {
        lines = ["1071 462 gcd .", ": cube dup square * ; 12 cube .", "5 stars"].map(String::from).into();
    }

    let wasm = include_bytes!("guests/forth.wasm");
    let artifact = wasmc::compile(wasm, &wasmc::Options::new())?;
    let engine = Engine::default();
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "print", print)?;
    let mut store = Store::new(&engine, String::new());
    let forth = linker.instantiate(&mut store, &module)?;
    forth.get_typed_func::<(), ()>(&mut store, "boot")?.call(&mut store, ())?;
    let words = forth.get_typed_func::<(), u32>(&mut store, "words")?;
    println!("the dictionary has {} words", words.call(&mut store, ())?);
    for line in &lines {
        eval(&mut store, &forth, line)?;
        println!("> {line}\n{}", std::mem::take(store.data_mut()).trim_end_matches('\n'));
    }
    Ok(())
}

/// Lets the interpreter execute a line. What it prints is in the store then.
fn eval(store: &mut Store<String>, forth: &Instance, line: &str) -> Result<()> {
    let memory = forth.get_memory(&mut *store, "memory").context("the guest exports no memory")?;
    let place = forth.get_typed_func::<u32, u32>(&mut *store, "line")?;
    let eval = forth.get_typed_func::<u32, u32>(&mut *store, "eval")?;
    let length = u32::try_from(line.len())?;
    let place = place.call(&mut *store, length)?;
    ensure!(place != 0, "the interpreter has no room for {length} bytes");
    memory.write(&mut *store, place as usize, line.as_bytes())?;
    eval.call(&mut *store, length)?;
    Ok(())
}

/// The host function behind `host.print`.
fn print(mut caller: Caller<'_, String>, at: u32, length: u32) -> Result<()> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory).context("the guest exports no memory")?;
    let (bytes, output) = memory.data_and_store_mut(&mut caller);
    let text = bytes.get(at as usize..).and_then(|rest| rest.get(..length as usize));
    output.push_str(&String::from_utf8_lossy(text.context("the text is out of bounds")?));
    Ok(())
}
