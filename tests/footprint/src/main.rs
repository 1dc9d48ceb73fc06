//! A host program that does what every host does, and no more: opens an
//! artifact into a pool, links a typed host function, calls a typed export.

use wasmc_loader::{Caller, Config, Engine, InstantiationStrategy, Linker, Module, Result, Store};

fn main() -> Result<()> {
    let mut config = Config::new();
    config.instantiation_strategy(InstantiationStrategy::PoolingCopyOnWrite);
    let engine = Engine::new(&config)?;
    // SAFETY: who starts this has put a file there that `wasmc` made, and does not change it.
    let module = unsafe { Module::open(&engine, "sum.cwasm")? };
    let mut linker = Linker::<u64>::new(&engine);
    linker.func_wrap("host", "count", |mut caller: Caller<'_, u64>, by: u64| *caller.data_mut() += by)?;
    let pre = linker.instantiate_pre(&module)?;
    let mut store = Store::new(&engine, 0);
    let instance = pre.instantiate(&mut store)?;
    let sum = instance.get_typed_func::<(i32, i32), i32>(&mut store, "sum")?.call(&mut store, (40, 2))?;
    // The module is to have told the host what it returns.
    std::process::exit(i32::from(sum as u64 != *store.data()))
}
