//! A program that carries artifacts in all ways; built by the tests.

use std::cell::Cell;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasmc_loader::{
    Config, Engine, Func, Instance, InstanceLimits, InstantiationStrategy, Linker, Module, Result, Store,
    WasmBacktrace, include_artifact, linked_artifact,
};

/// Loads both guests from `carrier`: `embedded`, `linked`, or a folder with files.
fn load(engine: &Engine, carrier: &str) -> Result<[Module; 2]> {
    // SAFETY: the artifacts are the compiler's, and nobody changes them.
    unsafe {
        Ok(match carrier {
            "embedded" => [
                Module::from_embedded(engine, include_artifact!("../guest.cwasm"))?,
                Module::from_embedded(engine, include_artifact!(concat!(env!("CARGO_MANIFEST_DIR"), "/other.cwasm")))?,
            ],
            "linked" => [
                Module::from_linked(engine, linked_artifact!(guest))?,
                Module::from_linked(engine, linked_artifact!(other_guest))?,
            ],
            folder => [
                Module::open(engine, format!("{folder}/guest.cwasm"))?,
                Module::open(engine, format!("{folder}/other.cwasm"))?,
            ],
        })
    }
}

fn number(store: &mut Store<()>, instance: Instance, name: &str) -> Result<i32> {
    instance.get_typed_func::<(), i32>(&mut *store, name)?.call(store, ())
}

/// What the guests do, as text.
fn observe(engine: &Engine, carrier: &str, out: &mut String) -> Result<()> {
    let [guest, other] = load(engine, carrier)?;
    let linker = Linker::new(engine);
    for _ in 0..2 {
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &guest)?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let end = memory.data_size(&store);
        let image = [&memory.data(&store)[..9], &memory.data(&store)[end - 3..]].concat();
        let fib = instance.get_typed_func::<i32, i32>(&mut store, "fib")?.call(&mut store, 20)?;
        writeln!(out, "{} {fib}", String::from_utf8_lossy(&image))?;
        let counts = [number(&mut store, instance, "count")?, number(&mut store, instance, "count")?];
        instance.reset(&mut store)?;
        writeln!(out, "counts {counts:?} {}", number(&mut store, instance, "count")?)?;
        let error = number(&mut store, instance, "fail").unwrap_err();
        let trace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let names: Vec<_> = trace.frames().iter().map(|frame| frame.func_name()).collect();
        writeln!(out, "{} {names:?}", error.root_cause())?;
        let instance = linker.instantiate(&mut store, &other)?;
        writeln!(out, "other {}", number(&mut store, instance, "answer")?)?;
    }
    Ok(())
}

/// The same for every strategy.
pub fn run(carrier: &str) -> String {
    let mut out = String::new();
    for &strategy in InstantiationStrategy::ALL {
        let mut config = Config::new();
        config.allocation_strategy(InstanceLimits { count: 4, ..InstanceLimits::default() });
        config.instantiation_strategy(strategy);
        let engine = Engine::new(&config).unwrap();
        writeln!(out, "{strategy}").unwrap();
        if let Err(error) = observe(&engine, carrier, &mut out) {
            writeln!(out, "error: {error:#}").unwrap();
        }
    }
    out
}

/// The same for who loads this as a library.
#[unsafe(no_mangle)]
pub extern "C" fn print_linked_and_embedded() {
    print!("{}{}", run("linked"), run("embedded"));
}

thread_local! {
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

/// Is pending once.
struct Once {
    polled: bool,
    begun: u32,
}

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.polled, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        println!("begun on thread {}, dropped on thread {}", self.begun, THREAD.get());
    }
}

/// Calls a function that waits for something which is dropped on another thread.
#[unsafe(no_mangle)]
pub extern "C" fn print_threads() {
    let mut store = Store::new(&Engine::default(), ());
    let once = Func::wrap_async(&mut store, |_, (): ()| Box::new(Once { polled: false, begun: THREAD.get() }));
    let once = once.typed::<(), ()>(&store).unwrap();
    let mut call = Box::pin(once.call_async(&mut store, ()));
    for (thread, done) in [(1, false), (2, true)] {
        let poll = || {
            THREAD.set(thread);
            call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert_eq!(std::thread::scope(|scope| scope.spawn(poll).join().unwrap()), done);
    }
}
