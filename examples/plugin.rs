//! A plug-in that calls functions of the host and shares its memory with it.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin plugin [TITLE...]
//! ```

use wasmc_loader::{Caller, Context, Engine, Extern, Instance, Linker, Module, Result, Store, ensure};

/// What belongs to one use of the plug-in; host functions get at it.
struct State {
    longest: u32,
    log: Vec<String>,
}

fn main() -> Result<()> {
    let mut titles: Vec<String> = std::env::args().skip(1).collect();
    if titles.is_empty() {
        titles = ["Hello, World!", "  The C Programming Language (2nd ed.)"].map(String::from).into();
    }

    let artifact = wasmc::compile(include_bytes!("guests/slug.wasm"), &wasmc::Options::new())?;
    let engine = Engine::default();
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };

    // The functions that the plug-in imports. They are looked up and their types
    // are checked once, for all instances.
    let mut linker = Linker::<State>::new(&engine);
    linker.func_wrap("host", "longest", |caller: Caller<'_, State>| caller.data().longest)?;
    linker.func_wrap("host", "log", log)?;
    let plugin = linker.instantiate_pre(&module)?;

    for title in &titles {
        let mut store = Store::new(&engine, State { longest: 20, log: Vec::new() });
        let instance = plugin.instantiate(&mut store)?;
        println!("{title:?} -> {:?}", slug(&mut store, &instance, title)?);
        for message in &store.data().log {
            println!("    the plug-in says: {message}");
        }
    }
    Ok(())
}

/// Has the plug-in make an address of a title.
fn slug(store: &mut Store<State>, instance: &Instance, title: &str) -> Result<String> {
    let memory = instance.get_memory(&mut *store, "memory").context("the plug-in exports no memory")?;
    let reserve = instance.get_typed_func::<u32, u32>(&mut *store, "reserve")?;
    let slug = instance.get_typed_func::<u32, u32>(&mut *store, "slug")?;

    let length = u32::try_from(title.len())?;
    let place = reserve.call(&mut *store, length)?;
    ensure!(place != 0, "the plug-in has no room for {length} bytes");
    memory.write(&mut *store, place as usize, title.as_bytes())?;

    let length = slug.call(&mut *store, length)?;
    let mut text = vec![0; length as usize];
    memory.read(&*store, place as usize, &mut text)?;
    Ok(String::from_utf8(text)?)
}

/// The host function behind `host.log`. An error that it returns ends the
/// plug-in's call, and is what the caller gets.
fn log(mut caller: Caller<'_, State>, at: u32, length: u32) -> Result<()> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory).context("the plug-in exports no memory")?;
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let (start, length) = (at as usize, length as usize);
    let message = bytes.get(start..).and_then(|rest| rest.get(..length)).context("the message is out of bounds")?;
    state.log.push(String::from_utf8_lossy(message).into_owned());
    Ok(())
}
