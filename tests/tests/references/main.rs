//! References in the host's hands: values of its own that wasm refers to, and
//! wasm's objects, rooted, read, changed and made.

mod calls;
mod externs;
mod lifetimes;
mod objects;
mod roots;
mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmc_loader::{Caller, Config, Engine, ExternRef, Instance, Linker, Module, Rooted, Store};

/// Engines whose stores collect garbage when they need to, and as often as
/// they can.
fn engines() -> [Engine; 2] {
    [Engine::default(), Engine::new(Config::new().gc_stress(true)).unwrap()]
}

fn module(engine: &Engine, text: &str) -> Module {
    let artifact = wasmc::compile(text.as_bytes(), &wasmc::Options::default()).unwrap_or_else(|e| panic!("{e:?}"));
    wasmc_tests::carriers::load(engine, &artifact).unwrap_or_else(|e| panic!("{e:?}"))
}

/// `host.gc` collects garbage, `host.echo` returns its argument, `host.fail`
/// returns an error and `host.panic` panics.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "gc", |mut caller: Caller<'_, ()>| caller.gc()).unwrap();
    linker.func_wrap("host", "echo", |value: Option<Rooted<ExternRef>>| value).unwrap();
    let fail = |_: Option<Rooted<ExternRef>>| -> wasmc_loader::Result<()> { wasmc_loader::bail!("on purpose") };
    linker.func_wrap("host", "fail", fail).unwrap();
    let panic = |value: Option<Rooted<ExternRef>>| assert!(value.is_none(), "on purpose");
    linker.func_wrap("host", "panic", panic).unwrap();
    linker
}

fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = linker(engine).instantiate(&mut store, &module(engine, text)).unwrap_or_else(|e| panic!("{e:?}"));
    (store, instance)
}

/// Counts how often values that share it are dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

impl Drops {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A value to be dropped.
    fn value(&self) -> Counted {
        Counted(self.clone())
    }
}

/// A value of the host's that tells when it is dropped.
struct Counted(Drops);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}
