//! A process for a guest that starts threads: `guest FILE` compiles and runs a
//! program of WASI, and ends as that does. A trap gives exit code 134.

use std::process::exit;
use wasmc_loader::{Engine, Error, Linker, Module, Result, Store};
use wasmc_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiThreads};

fn main() -> Result<()> {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: guest FILE");
        exit(2);
    };
    let wasm = std::fs::read(file).map_err(Error::new)?;
    let artifact = wasmc::compile(&wasm, &wasmc::Options::default()).map_err(Error::new)?;
    let engine = Engine::default();
    // SAFETY: compiled above.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&engine, WasiCtxBuilder::new().inherit_stdio().build());
    let threads = WasiThreads::link(&mut linker, &mut store, &module, end)?;
    let instance = threads.instantiate(&mut store)?;
    if let Err(error) = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ()) {
        end(error);
    }
    Ok(())
}

fn end(error: Error) {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        exit(*code);
    }
    eprintln!("{error:?}");
    exit(134)
}
