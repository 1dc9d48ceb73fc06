//! Uses everything that bindings have, and prints what comes of it.

#![forbid(unsafe_code)]

use plugins::everything::{self, JsItems};
use plugins::plugin;
use wasmc_loader::{AsContextMut as _, Caller, Engine, ExternRef, Func, Result, Rooted, Store, Trap, V128, Val};

wasmc_loader::include_module!(own);

/// The data of the stores.
#[derive(Default)]
struct State {
    log: Vec<i32>,
}

impl plugin::Env for State {
    fn log(caller: &mut Caller<'_, Self>, code: i32) -> Result<()> {
        caller.data_mut().log.push(code);
        if code < 0 { Err(wasmc_loader::Error::msg("negative")) } else { Ok(()) }
    }

    fn scale(_caller: &mut Caller<'_, Self>, value: f64, by: i64) -> Result<f64> {
        Ok(value * by as f64)
    }
}

impl everything::Js for State {
    fn call_me(_caller: &mut Caller<'_, Self>, value: V128) -> Result<V128> {
        Ok(V128::from(value.as_u128() + 1))
    }

    fn seventeen(_caller: &mut Caller<'_, Self>, params: &[Val], results: &mut [Val]) -> Result<()> {
        results[0] = Val::I32(params.iter().map(Val::unwrap_i32).sum());
        Ok(())
    }
}

impl everything::WasiIoStreams020 for State {
    fn read(caller: &mut Caller<'_, Self>, value: Option<Rooted<ExternRef>>) -> Result<Option<Rooted<ExternRef>>> {
        assert!(value.is_none());
        Ok(Some(ExternRef::new(caller, "from the host")?))
    }
}

fn plugin(engine: &Engine) -> Result<()> {
    let plugin = plugin::Module::load(engine)?;
    println!("{:?} has {} exports", plugin.name(), plugin.exports().len());
    let imports = plugin.imports::<State>()?;
    let mut store = Store::new(engine, State::default());
    let sum: i32 = plugin.instantiate(&mut store, &imports)?.add(1, 2)?;
    println!("1 + 2 = {sum}");

    let mut instance = plugin.instantiate(&mut store, &imports)?;
    println!("7 / 2 = {:?}", instance.divide(7, 2)?);
    println!("1.5 * 3 = {}", instance.scaled(1.5)?);
    let error = instance.divide(1, 0).unwrap_err();
    println!("1 / 0: {:?}", error.downcast_ref::<Trap>());
    instance.report(5)?;
    println!("-1: {}", instance.report(-1).unwrap_err());
    println!("log: {:?}", instance.store().data().log);
    println!("memory: {:?}", std::str::from_utf8(&instance.memory().data()[16..36]));
    instance.memory().write(16, b"changed")?;
    let count = instance.counter().get();
    instance.counter().set(count + 1)?;

    // The same without borrowing the store.
    let exports = instance.into_exports();
    println!("counter: {}", exports.counter().get(&mut store));
    println!("{} pages", exports.memory().size(&store));
    println!("3 + 4 = {}", exports.add(&mut store, 3, 4)?);
    store.reset()?;
    let mut instance = exports.bind(&mut store);
    println!("counter after a reset: {}", instance.counter().get());
    println!("memory after a reset: {:?}", std::str::from_utf8(&instance.memory().data()[16..36]));

    // Imports from a linker.
    let mut linker = wasmc_loader::Linker::<State>::new(engine);
    plugin.link_env(&mut linker)?;
    let imports = plugin.imports_from(&linker)?;
    println!("5 + 6 = {}", plugin.instantiate(&mut store, &imports)?.add(5, 6)?);

    // The same module loaded again is another one.
    let other = plugin::Module::load(engine)?;
    println!("another: {}", other.instantiate(&mut store, &imports).unwrap_err());
    Ok(())
}

fn everything(engine: &Engine) -> Result<()> {
    let everything = everything::Module::load(engine)?;
    let mut store = Store::new(engine, State::default());
    let mut items = JsItems::new(&everything, &mut store)?;
    items.base = wasmc_loader::bindings::ConstGlobal::new(&mut store, 1024)?;
    items.level.set(&mut store, 0.25)?;
    let imports = everything.imports(&store, &items)?;
    let mut instance = everything.instantiate(&mut store, &imports)?;
    println!("value {} {}", instance.value()?, instance.get_value()?);
    println!("globals {} {} {}", instance.r#type().get(), instance.größe().get(), instance.level().get());
    println!("object {:?}", instance.object().get().is_none());
    println!("{} {}", instance.exports_()?, instance.export_16(3)?);
    instance.self_()?;
    println!("vector {:x}", instance.vector(V128::from(0xffff_u128))?.as_u128());
    let value = instance._2nd(None)?.expect("the host returns one");
    let context = instance.store().as_context_mut();
    println!("reference {:?}", value.data(&context)?.and_then(|data| data.downcast_ref::<&str>()));
    instance.values().set(0, Some(value))?;
    println!("values {}", instance.values().get(0).flatten().is_some());
    let pair = instance.make(8, 9)?;
    println!("first {}", instance.first(pair)?);
    println!("pairs {}", instance.pairs().size());
    let func = Func::wrap(instance.store().as_context_mut(), |a: i32| a);
    instance.functions().set(2, Some(func))?;
    println!("functions {}", instance.functions().get(2).flatten().is_some());
    instance.js_memory().write(0, b"shared")?;
    println!("grown from {}", instance.own().grow(1)?);
    println!("tag {}", instance.oops().ty(instance.store().as_context_mut()).ty());
    let mut sum = [Val::I32(0)];
    instance.many(&(0..17).map(Val::I32).collect::<Vec<_>>(), &mut sum)?;
    println!("many {}", sum[0].unwrap_i32());
    println!("thrown: {}", instance.throw(3).unwrap_err());
    println!("memory {:?}", &items.memory.data(&store)[..6]);
    Ok(())
}

fn own(engine: &Engine) -> Result<()> {
    let own = own::Module::load(engine)?;
    let mut store = Store::new(engine, ());
    println!("2 * 21 = {}", own.instantiate(&mut store, &own.imports()?)?.twice(21)?);
    Ok(())
}

fn main() -> Result<()> {
    let engine = Engine::default();
    own(&engine)?;
    plugin(&engine)?;
    everything(&engine)
}
