//! The guest: a module that can write everywhere, and its host.

use std::num::NonZeroUsize;
use wasmc_loader::{Caller, Engine, Error, Extern, Instance, InstancePre, Linker, Memory, Module, Result, Store};

pub const PAGE: usize = 4096;
/// What tenants write.
pub const PATTERN: u8 = 0xa5;

/// A guest of some size.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// Pages of 64 KiB of both memories.
    pub pages: usize,
    /// Whether memories have content at first: some bytes in the second page,
    /// more than a page in the middle, and the last bytes.
    pub image: bool,
}

/// All guests: those whose memory is copied as a whole if need be, and larger
/// ones; with zeros where the others have content.
pub const GUESTS: [Guest; 4] = [
    Guest { pages: 2, image: false },
    Guest { pages: 2, image: true },
    Guest { pages: 20, image: true },
    Guest { pages: 21, image: false },
];

fn text(Guest { pages, image }: Guest) -> String {
    let middle = pages * 0x8000 - 5000;
    let last = pages * 0x10000 - 3;
    let data = if image {
        let long = "content ".repeat(1300);
        format!(
            r#"(data (memory $m) (i32.const 4100) "some") (data (memory $m) (i32.const {middle}) "{long}")
            (data (memory $m) (i32.const {last}) "end") (data (memory $n) (i32.const 70) "more")"#
        )
    } else {
        String::new()
    };
    format!(
        r#"(module
        (import "host" "poke" (func $poke (param i32 i32)))
        (memory $m (export "m") {pages} 60) (memory $n (export "n") {pages} 60)
        (table $t (export "t") 40 500 funcref) (table $e (export "e") 30 500 externref)
        (table $fixed (export "fixed") 10 10 funcref)
        (elem (table $t) (i32.const 3) func $fill $poke $touch) (elem (table $fixed) (i32.const 1) func $fill)
        (elem $passive func $touch $touch $touch $touch)
        (global (export "i") (mut i32) (i32.const 7)) (global (export "l") (mut i64) (i64.const -7))
        (global (export "v") (mut v128) (v128.const i64x2 3 -4)) (global (export "x") (mut externref) (ref.null extern))
        (global (export "f") (mut funcref) (ref.func $fill))
        {data} (data $bytes "\a5\a5\a5\a5\a5\a5\a5\a5")
        (func $fill (export "fill") (param i32 i32) (memory.fill (local.get 0) (i32.const 0xa5) (local.get 1)))
        (func (export "fill_n") (param i32 i32) (memory.fill $n (local.get 0) (i32.const 0xa5) (local.get 1)))
        (func $touch (export "touch") (param $at i32) (param $length i32)
            (loop (if (local.get $length) (then
                (i32.store8 (local.get $at) (i32.const 0xa5))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (local.set $length (i32.sub (local.get $length) (i32.const 1)))
                (br 1)))))
        (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "peek_n") (param i32) (result i32) (i32.load8_u $n (local.get 0)))
        (func (export "copy") (param $at i32) (param $length i32)
            (memory.fill $n (i32.const 0) (i32.const 0xa5) (local.get $length))
            (memory.copy $m $n (local.get $at) (i32.const 0) (local.get $length)))
        (func (export "init") (param $at i32) (param $length i32)
            (loop (memory.init $m $bytes (local.get $at) (i32.const 0) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if 0 (local.tee $length (i32.sub (local.get $length) (i32.const 1))))))
        (func (export "poke") (param i32 i32) (call $poke (local.get 0) (local.get 1)))
        (func (export "trap") (param i32 i32) (call $touch (local.get 0) (local.get 1)) (unreachable))
        (func (export "outside") (param i32 i32)
            (call $touch (local.get 0) (local.get 1))
            (memory.fill (i32.const -1) (i32.const 1) (i32.const 3)))
        (func (export "deep") (param i32 i32) (call $touch (local.get 0) (local.get 1)) (call $down))
        (func $down (call $down) (call $down))
        (func (export "grow") (param i32) (result i32) (memory.grow $m (local.get 0)))
        (func (export "grow_n") (param i32) (result i32) (memory.grow $n (local.get 0)))
        (func (export "grow_tables")
            (drop (table.grow $t (ref.func $fill) (i32.const 300)))
            (drop (table.grow $e (ref.null extern) (i32.const 300))))
        (func (export "change_tables") (param externref)
            (table.fill $t (i32.const 0) (ref.func $touch) (table.size $t))
            (table.fill $e (i32.const 0) (local.get 0) (table.size $e))
            (table.init $t $passive (i32.const 1) (i32.const 0) (i32.const 4))
            (table.fill $fixed (i32.const 0) (ref.func $touch) (i32.const 10))
            (table.set $t (i32.const 4) (ref.null func)))
        (func (export "drop_segments") (data.drop $bytes) (elem.drop $passive))
        (func (export "use_segments")
            (memory.init $m $bytes (i32.const 0) (i32.const 0) (i32.const 8))
            (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 4))))"#
    )
}

/// Compiles text for the loader.
pub fn compile(text: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"));
    let mut options = wasmc::Options::new();
    options.jobs = NonZeroUsize::new(1);
    wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"))
}

/// The artifact of a guest, compiled once.
pub fn artifact(guest: usize) -> &'static [u8] {
    use std::sync::OnceLock;
    static ARTIFACTS: [OnceLock<Vec<u8>>; GUESTS.len()] = [const { OnceLock::new() }; GUESTS.len()];
    ARTIFACTS[guest].get_or_init(|| compile(&text(GUESTS[guest])))
}

pub fn load(engine: &Engine, artifact: &[u8]) -> Module {
    wasmc_tests::carriers::load(engine, artifact).unwrap_or_else(|e| panic!("{e:?}"))
}

/// What the guest's import does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Poke {
    #[default]
    Nothing,
    /// Writes with `Memory::write`.
    Write,
    /// The same on another thread.
    WriteElsewhere,
    /// Writes through a slice.
    Slice,
    /// The same on another thread.
    SliceElsewhere,
    /// Calls the guest, which writes.
    Call,
    /// Lets the guest be called on another thread.
    CallElsewhere,
    /// Writes, and returns an error.
    Fail,
    /// Writes, and panics.
    Panic,
}

/// The host's data.
#[derive(Debug, Default)]
pub struct Host {
    pub poke: Poke,
}

/// Runs something on another thread.
pub fn elsewhere<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn poke(mut caller: Caller<'_, Host>, at: i32, length: i32) -> Result<()> {
    let memory = caller.get_export("m").and_then(Extern::into_memory).expect("the guest exports its memory");
    let call = |caller: &mut Caller<'_, Host>| {
        let fill = caller.get_export("fill").and_then(Extern::into_func).expect("the guest exports `fill`");
        fill.typed::<(i32, i32), ()>(&*caller)?.call(caller, (at, length))
    };
    let (start, bytes) = (at as usize, vec![PATTERN; length as usize]);
    let slice = |memory: Memory, caller: &mut Caller<'_, Host>| {
        memory.data_mut(&mut *caller)[start..][..bytes.len()].fill(PATTERN);
    };
    match caller.data().poke {
        Poke::Nothing => {}
        Poke::Write => memory.write(&mut caller, start, &bytes)?,
        Poke::WriteElsewhere => elsewhere(|| memory.write(&mut caller, start, &bytes))?,
        Poke::Slice => slice(memory, &mut caller),
        Poke::SliceElsewhere => {
            let part = &mut memory.data_mut(&mut caller)[start..][..bytes.len()];
            elsewhere(|| part.fill(PATTERN));
        }
        Poke::Call => call(&mut caller)?,
        Poke::CallElsewhere => elsewhere(|| call(&mut caller))?,
        Poke::Fail => {
            memory.write(&mut caller, start, &bytes)?;
            return Err(Error::msg("the host refuses"));
        }
        Poke::Panic => {
            memory.write(&mut caller, start, &bytes)?;
            std::panic::resume_unwind(Box::new("the host panics"));
        }
    }
    Ok(())
}

/// A guest with its import.
pub fn pre(engine: &Engine, artifact: &[u8]) -> InstancePre<Host> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "poke", poke).unwrap_or_else(|e| panic!("{e:?}"));
    linker.instantiate_pre(&load(engine, artifact)).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Calls an export with two numbers.
pub fn call<T>(store: &mut Store<T>, instance: Instance, name: &str, at: usize, length: usize) -> Result<()> {
    let func = instance.get_typed_func::<(i32, i32), ()>(&mut *store, name)?;
    func.call(store, (at as i32, length as i32))
}

/// Calls an export that takes a number and returns one.
pub fn number<T>(store: &mut Store<T>, instance: Instance, name: &str, argument: usize) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, name)?.call(store, argument as i32)
}
