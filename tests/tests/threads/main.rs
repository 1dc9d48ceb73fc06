//! Threads: instances of one module in several stores, on several threads,
//! with one shared memory. What is raced for here is counted, never timed.

mod failures;
mod growth;
mod litmus;
mod operators;
mod scripts;
mod sharing;
mod updates;
mod waiting;
mod wasi;

use wasmc_loader::{Config, Engine, Instance, Linker, MemoryType, Module, SharedMemory, Store};

/// Compiles text and loads it.
fn module(engine: &Engine, text: &str) -> Module {
    let wasm = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut options = wasmc::Options::new();
    options.features.apply("all").unwrap();
    options.jobs = std::num::NonZeroUsize::new(1);
    let artifact = wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"));
    wasmc_tests::carriers::load(engine, &artifact).unwrap_or_else(|e| panic!("{e:?}"))
}

/// A module that imports a shared memory as `memory` from `m`, and that memory.
struct Guest {
    engine: Engine,
    module: Module,
    memory: SharedMemory,
    linker: Linker<()>,
}

impl Guest {
    /// `text` is the module without its import of `pages` pages.
    fn new(pages: u32, text: &str) -> Guest {
        let engine = Engine::new(&Config::new()).unwrap();
        let import = format!(r#"(module (import "m" "memory" (memory {pages} {pages} shared)) {text})"#);
        let module = module(&engine, &import);
        let memory = SharedMemory::new(&engine, MemoryType::shared(pages, pages)).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define(&Store::new(&engine, ()), "m", "memory", memory.clone()).unwrap();
        Guest { engine, module, memory, linker }
    }

    /// An instance in a store of its own.
    fn instance(&self) -> (Store<()>, Instance) {
        let mut store = Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &self.module).unwrap();
        (store, instance)
    }

    /// Calls a function of two numbers on an instance of its own.
    fn call(&self, (function, a, b): (&str, i32, i32)) -> i32 {
        let (mut store, instance) = self.instance();
        let f = instance.get_typed_func::<(i32, i32), i32>(&mut store, function).unwrap();
        f.call(&mut store, (a, b)).unwrap_or_else(|e| panic!("{function}({a}, {b}): {e:?}"))
    }

    /// Makes the calls at the same time, each on a thread; their results.
    fn race(&self, calls: &[(&str, i32, i32)]) -> Vec<i32> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = calls.iter().map(|call| scope.spawn(|| self.call(*call))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Bytes of the memory, while nobody writes them.
    fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = &self.memory.data()[at..at + N];
        // SAFETY: the tests ask for this when no other thread runs.
        std::array::from_fn(|i| unsafe { *bytes[i].get() })
    }
}
