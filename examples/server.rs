//! A server that answers each request in an instance of its own, which it takes
//! from a pool, and within a deadline.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin server [ADDRESS]
//! curl http://127.0.0.1:8080/
//! ```
//!
//! HTTP is done here only as far as the example needs it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use wasmc_loader::{
    Caller, Config, Context, Engine, Extern, InstanceLimits, InstancePre, InstantiationStrategy, Linker, Memory,
    Module, Result, Store, Trap,
};

/// How often the engine's clock ticks, and how many ticks a request may take.
const TICK: Duration = Duration::from_millis(50);
const DEADLINE: u64 = 20;

/// What belongs to a request.
struct Request {
    path: String,
    answer: Option<(u32, Vec<u8>)>,
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let threads = thread::available_parallelism()?.get();

    let mut config = Config::new();
    config.instantiation_strategy(InstantiationStrategy::PoolingCopyOnWrite);
    config.allocation_strategy(InstanceLimits { count: u32::try_from(threads)?, ..InstanceLimits::default() });
    // Code that can be stopped is compiled for it: `wasmc --epoch`.
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let options = wasmc::Options { epoch: true, ..wasmc::Options::new() };
    let artifact = wasmc::compile(include_bytes!("guests/handler.wasm"), &options)?;
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut linker = Linker::new(&engine);
    linker.func_wrap("http", "path", path)?;
    linker.func_wrap("http", "respond", respond)?;
    let handler = linker.instantiate_pre(&module)?;

    let listener = TcpListener::bind(&address).with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on http://{}/", listener.local_addr()?);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        });
        for _ in 0..threads {
            scope.spawn(|| {
                for connection in listener.incoming() {
                    if let Err(error) = connection.and_then(|connection| serve(&engine, &handler, connection)) {
                        println!("connection: {error}");
                    }
                }
            });
        }
    });
    Ok(())
}

/// Answers the one request of a connection.
fn serve(engine: &Engine, handler: &InstancePre<Request>, connection: TcpStream) -> io::Result<()> {
    // The other end has to be in time as well.
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(&connection).lines();
    let head = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}

    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = handle(engine, handler, path.clone()).unwrap_or_else(|error| {
        println!("{path}: {error:#}");
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => (504, b"the handler took too long\n".to_vec()),
            _ => (500, b"the handler failed\n".to_vec()),
        }
    });
    let mut out = &connection;
    write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    out.write_all(&body)
}

/// Runs the guest for one request. Whatever happens in it, its instance goes
/// back to the pool when the store is dropped, and is as new for the next.
fn handle(engine: &Engine, handler: &InstancePre<Request>, path: String) -> Result<(u32, Vec<u8>)> {
    let mut store = Store::new(engine, Request { path, answer: None });
    store.set_epoch_deadline(DEADLINE);
    let instance = handler.instantiate(&mut store)?;
    instance.get_typed_func::<(), ()>(&mut store, "handle")?.call(&mut store, ())?;
    store.into_data().answer.context("the handler gave no answer")
}

/// The host function behind `http.path`: copies as much of the path as there is
/// room for, and returns how long it is.
fn path(mut caller: Caller<'_, Request>, buffer: u32, capacity: u32) -> Result<u32> {
    let (memory, request) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let path = request.path.as_bytes();
    let part = &path[..path.len().min(capacity as usize)];
    let place = memory.get_mut(buffer as usize..).and_then(|rest| rest.get_mut(..part.len()));
    place.context("the buffer is out of bounds")?.copy_from_slice(part);
    Ok(u32::try_from(path.len())?)
}

/// The host function behind `http.respond`.
fn respond(mut caller: Caller<'_, Request>, status: u32, body: u32, length: u32) -> Result<()> {
    let (memory, request) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let body = memory.get(body as usize..).and_then(|rest| rest.get(..length as usize));
    request.answer = Some((status, body.context("the body is out of bounds")?.to_vec()));
    Ok(())
}

/// The memory of the guest that calls.
fn memory(caller: &mut Caller<'_, Request>) -> Result<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory).context("the guest exports no memory")
}
