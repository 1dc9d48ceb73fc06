//! The modules that the tests run.

use std::path::Path;
use wasmc_loader::{
    Config, Engine, Error, Instance, InstanceAllocationStrategy, InstanceLimits, InstancePre, Linker, Module,
    PoolingAllocationStrategy, Result, Store,
};

/// A page of memory with a little data.
pub const SMALL: &str = r#"(module
    (memory (export "memory") 1 3)
    (data (i32.const 16) "small")
    (global $g (mut i32) (i32.const 5))
    (func (export "first") (result i32) (i32.add (i32.load8_u (i32.const 16)) (global.get $g)))
    (func (export "get") (result i32) (i32.load (i32.const 40000)))
    (func (export "put") (param i32)
        (global.set $g (local.get 0))
        (i32.store8 (i32.const 16) (i32.const 1))
        (i32.store (i32.const 40000) (local.get 0))))"#;
/// What `first` of [`SMALL`] returns.
pub const SMALL_FIRST: i32 = b's' as i32 + 5;

/// As compilers lay programs out: a stack, then data, then zeros, a table of
/// functions and imports.
pub const PROGRAM: &str = r#"(module
    (type $number (func (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 20)
    (global $stack (mut i32) (i32.const 1048576))
    (table 3 3 funcref) (elem (i32.const 1) $five $six)
    (data (i32.const 1048576) "The data of a program, which is followed by what is zero at first")
    (func $five (type $number) i32.const 5)
    (func $six (type $number) i32.const 6)
    (func (export "first") (result i32)
        (i32.add (i32.load8_u (i32.const 1048576))
            (i32.add (call_indirect (type $number) (i32.const 1)) (i32.load (i32.const 1200000)))))
    (func (export "get") (result i32) (i32.load (i32.const 1200000)))
    (func (export "put") (param i32)
        (global.set $stack (i32.sub (global.get $stack) (i32.const 64)))
        (i32.store (global.get $stack) (local.get 0))
        (i32.store8 (i32.const 1048576) (i32.const 1))
        (i32.store (i32.const 1200000) (local.get 0))
        (drop (call $write (i32.const 1) (global.get $stack) (i32.const 1) (i32.const 0))))
    (func (export "_start") (call $exit (i32.const 0))))"#;
/// What `first` of [`PROGRAM`] returns.
pub const PROGRAM_FIRST: i32 = b'T' as i32 + 5;

/// Compiles text.
pub fn artifact(text: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).expect("the test's module is text in the format");
    let mut options = wasmc::Options::new();
    options.jobs = std::num::NonZeroUsize::new(1);
    wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Loads an artifact from bytes.
pub fn load(engine: &Engine, artifact: &[u8]) -> Result<Module> {
    // SAFETY: the tests pass what comes straight from the compiler.
    unsafe { Module::from_bytes(engine, artifact) }
}

/// Loads an artifact from a file.
pub fn open(engine: &Engine, path: &Path) -> Result<Module> {
    // SAFETY: the tests write what comes straight from the compiler there, and
    // do not change it.
    unsafe { Module::open(engine, path) }
}

/// Provides what the tests' modules import.
pub fn link(module: &Module) -> Result<InstancePre<()>> {
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("wasi_snapshot_preview1", "fd_write", |_: i32, _: i32, _: i32, _: i32| 0i32)?;
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |_: i32| -> Result<()> { Err(Error::msg("exit")) })?;
    linker.instantiate_pre(module)
}

/// Compiles, loads and links text.
pub fn guest(engine: &Engine, text: &str) -> InstancePre<()> {
    link(&load(engine, &artifact(text)).unwrap()).unwrap()
}

/// A pool of so many slots, of the default size.
pub fn pool(count: u32) -> Config {
    let mut config = Config::new();
    config.allocation_strategy(InstanceLimits { count, ..Default::default() });
    config
}

/// A pool with a strategy.
pub fn pool_with(count: u32, strategy: PoolingAllocationStrategy) -> Config {
    let mut config = Config::new();
    let instance_limits = InstanceLimits { count, ..Default::default() };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling { strategy, instance_limits });
    config
}

/// All ways to choose a slot.
pub const STRATEGIES: [PoolingAllocationStrategy; 3] = [
    PoolingAllocationStrategy::ReuseAffinity,
    PoolingAllocationStrategy::NextAvailable,
    PoolingAllocationStrategy::Random,
];

/// An instance in a store of its own.
pub struct Tenant {
    pub store: Store<()>,
    pub instance: Instance,
}

impl Tenant {
    /// A new one.
    pub fn new(pre: &InstancePre<()>) -> Result<Tenant> {
        let mut store = Store::new(pre.module().engine(), ());
        let instance = pre.instantiate(&mut store)?;
        Ok(Tenant { store, instance })
    }

    /// Calls a function without parameters.
    pub fn number(&mut self, name: &str) -> Result<i32> {
        self.instance.get_typed_func::<(), i32>(&mut self.store, name)?.call(&mut self.store, ())
    }

    /// Leaves a number in the instance.
    pub fn put(&mut self, number: i32) -> Result<()> {
        self.instance.get_typed_func::<i32, ()>(&mut self.store, "put")?.call(&mut self.store, number)
    }

    /// Asserts that nobody has left anything, and leaves a number.
    #[track_caller]
    pub fn settle(&mut self, first: i32, number: i32) {
        assert_eq!(self.number("first").unwrap(), first, "the first state");
        assert_eq!(self.number("get").unwrap(), 0, "another tenant's number");
        self.put(number).unwrap();
    }

    /// Asserts that the number is still there.
    #[track_caller]
    pub fn check(&mut self, number: i32) {
        assert_eq!(self.number("get").unwrap(), number, "the tenant's own number");
    }
}
