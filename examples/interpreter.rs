//! An interpreter for Forth as a guest. Its dictionary is filled when it is
//! compiled: every instance begins with it, and none has to do the work.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin interpreter [LINE...]
//! ```

use std::sync::Arc;
use wasmc::Options;
use wasmc::init::InitOptions;
use wasmc_loader::{Caller, Context, Engine, Extern, Instance, Linker, Module, Result, Store, ensure};

fn main() -> Result<()> {
    let mut lines: Vec<String> = std::env::args().skip(1).collect();
    if lines.is_empty() {
        lines = ["1071 462 gcd .", ": cube dup square * ; 12 cube .", "5 stars"].map(String::from).into();
    }

    // `wasmc forth.wasm --init=boot`: the compiler calls `boot`, and notes in the
    // artifact what memory and globals are then.
    let wasm = include_bytes!("guests/forth.wasm");
    let mut options = Options::new();
    let init = InitOptions { export: Some("boot".to_owned()), ..InitOptions::default() };
    options.snapshot = Some(Arc::new(wasmc::init::run(wasm, &options, &init)?));

    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "print", print)?;
    let (mut store, forth) = start(&engine, &linker, &wasmc::compile(wasm, &Options::new())?)?;
    println!("compiled as it is, it begins with {} words", words(&mut store, &forth)?);
    let (mut store, forth) = start(&engine, &linker, &wasmc::compile(wasm, &options)?)?;
    println!("initialised, it begins with {} words", words(&mut store, &forth)?);
    for line in &lines {
        eval(&mut store, &forth, line)?;
        println!("> {line}\n{}", std::mem::take(store.data_mut()).trim_end_matches('\n'));
    }
    Ok(())
}

/// An instance of what the compiler has made.
fn start(engine: &Engine, linker: &Linker<String>, artifact: &[u8]) -> Result<(Store<String>, Instance)> {
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(engine, artifact)? };
    let mut store = Store::new(engine, String::new());
    let forth = linker.instantiate(&mut store, &module)?;
    Ok((store, forth))
}

/// How many words the interpreter knows.
fn words(store: &mut Store<String>, forth: &Instance) -> Result<u32> {
    forth.get_typed_func::<(), u32>(&mut *store, "words")?.call(store, ())
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
