//! The ways in which a byte of a memory can be written.

use crate::guest::{Host, PATTERN, Poke, call, compile, elsewhere, load};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use wasmc_loader::{Caller, Extern, Func, Instance, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A call of this export writes.
    Call(&'static str),
    /// One that ends in a trap.
    Trap(&'static str),
    /// One on another thread.
    CallElsewhere(&'static str),
    /// A call of a host function, which writes somehow.
    Host(Poke),
    /// The same, with the call on another thread.
    HostElsewhere(Poke),
    /// `Memory::write`.
    Write,
    WriteElsewhere,
    /// `Memory::data_mut`.
    Slice,
    SliceElsewhere,
    /// `Memory::data_ptr`.
    Address,
    /// A host function that the host calls, and that calls the guest.
    Direct,
    /// The same with an array of values.
    DirectUntyped,
    /// An instance of another module that imports the memory.
    Borrower,
    /// A segment of another module that is copied when an instance is made.
    Segment,
    /// The same, and that happens on another thread.
    SegmentElsewhere,
    /// The store is used in the middle of a call into another one.
    Nested,
}

pub const ALL: &[Way] = &[
    Way::Call("touch"),
    Way::Call("fill"),
    Way::Call("copy"),
    Way::Call("init"),
    Way::Trap("trap"),
    Way::Trap("outside"),
    Way::Trap("deep"),
    Way::CallElsewhere("touch"),
    Way::CallElsewhere("fill"),
    Way::Host(Poke::Write),
    Way::Host(Poke::WriteElsewhere),
    Way::Host(Poke::Slice),
    Way::Host(Poke::SliceElsewhere),
    Way::Host(Poke::Call),
    Way::Host(Poke::CallElsewhere),
    Way::Host(Poke::Fail),
    Way::Host(Poke::Panic),
    Way::HostElsewhere(Poke::Write),
    Way::HostElsewhere(Poke::Call),
    Way::HostElsewhere(Poke::CallElsewhere),
    Way::Write,
    Way::WriteElsewhere,
    Way::Slice,
    Way::SliceElsewhere,
    Way::Address,
    Way::Direct,
    Way::DirectUntyped,
    Way::Borrower,
    Way::Segment,
    Way::SegmentElsewhere,
    Way::Nested,
];

fn poke(store: &mut Store<Host>, instance: Instance, poke: Poke, at: usize, length: usize) {
    store.data_mut().poke = poke;
    let result = catch_unwind(AssertUnwindSafe(|| call(store, instance, "poke", at, length)));
    match (poke, result) {
        (Poke::Panic, Err(_)) | (Poke::Fail, Ok(Err(_))) => {}
        (Poke::Panic | Poke::Fail, other) => panic!("{poke:?} gives {other:?}"),
        (_, Ok(result)) => result.unwrap_or_else(|e| panic!("{poke:?}: {e:?}")),
        (_, Err(panic)) => std::panic::resume_unwind(panic),
    }
}

/// An instance that imports the memory: it fills the range, or copies a
/// segment to its start.
fn borrow(store: &mut Store<Host>, instance: Instance, text: &'static str, cell: &OnceLock<Vec<u8>>) -> Instance {
    let artifact = cell.get_or_init(|| compile(text));
    let module = load(store.engine(), artifact);
    let memory = instance.get_memory(&mut *store, "m").expect("the guest exports its memory");
    Instance::new(&mut *store, &module, &[memory.into()]).unwrap_or_else(|e| panic!("{e:?}"))
}

fn borrower(store: &mut Store<Host>, instance: Instance) -> Instance {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = r#"(module (import "" "m" (memory 1)) (func (export "fill") (param i32 i32)
        (memory.fill (local.get 0) (i32.const 0xa5) (local.get 1))))"#;
    borrow(store, instance, text, &ARTIFACT)
}

/// Where [`Way::Segment`] writes, whatever it is asked for.
const SEGMENT: usize = 0x1_5000;

fn segment(store: &mut Store<Host>, instance: Instance) {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    borrow(store, instance, r#"(module (import "" "m" (memory 1)) (data (i32.const 0x15000) "\a5"))"#, &ARTIFACT);
}

/// A host function that calls an export of the guest.
fn direct(store: &mut Store<Host>, instance: Instance, at: usize, length: usize, typed: bool) {
    let fill = instance.get_func(&mut *store, "fill").expect("the guest exports `fill`");
    let through = Func::wrap(&mut *store, move |mut caller: Caller<'_, Host>, at: i32, length: i32| {
        fill.typed::<(i32, i32), ()>(&caller)?.call(&mut caller, (at, length))
    });
    let (at, length) = (at as i32, length as i32);
    let called = if typed {
        through.typed::<(i32, i32), ()>(&*store).and_then(|func| func.call(&mut *store, (at, length)))
    } else {
        through.call(&mut *store, &[at.into(), length.into()], &mut [])
    };
    called.unwrap_or_else(|e| panic!("{e:?}"));
}

/// Calls the guest from within a call into another store.
fn nested(store: Store<Host>, instance: Instance, at: usize, length: usize) -> Store<Host> {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = r#"(module (import "" "f" (func $f)) (func (export "f") (call $f)))"#;
    let artifact = ARTIFACT.get_or_init(|| compile(text));
    let engine = store.engine().clone();
    let mut outer = Store::new(&engine, Some(store));
    let inner = Func::wrap(&mut outer, move |mut caller: Caller<'_, Option<Store<Host>>>| {
        let store = caller.data_mut().as_mut().expect("the store is there until the end");
        call(store, instance, "touch", at, length)
    });
    let module = load(outer.engine(), artifact);
    let run = Instance::new(&mut outer, &module, &[Extern::Func(inner)]);
    let run = run.and_then(|caller| caller.get_typed_func::<(), ()>(&mut outer, "f"));
    run.and_then(|run| run.call(&mut outer, ())).unwrap_or_else(|e| panic!("{e:?}"));
    outer.data_mut().take().expect("the store is still there")
}

impl Way {
    /// Whether it makes another instance, so that it takes another slot, which
    /// pools for one do not have, and stays in a store that is not dropped.
    pub fn needs_slot(self) -> bool {
        matches!(self, Way::Borrower | Way::Segment | Way::SegmentElsewhere | Way::Nested)
    }

    /// Writes [`PATTERN`] to some of the bytes from `at` on.
    pub fn write(self, mut store: Store<Host>, instance: Instance, at: usize, length: usize) -> Store<Host> {
        let memory = instance.get_memory(&mut store, "m").expect("the guest exports its memory");
        let bytes = || vec![PATTERN; length];
        let fine = |result: wasmc_loader::Result<()>| result.unwrap_or_else(|e| panic!("{self:?}: {e:?}"));
        match self {
            Way::Call(name) => fine(call(&mut store, instance, name, at, length)),
            Way::Trap(name) => drop(call(&mut store, instance, name, at, length).unwrap_err()),
            Way::CallElsewhere(name) => elsewhere(|| fine(call(&mut store, instance, name, at, length))),
            Way::Host(kind) => poke(&mut store, instance, kind, at, length),
            Way::HostElsewhere(kind) => elsewhere(|| poke(&mut store, instance, kind, at, length)),
            Way::Write => memory.write(&mut store, at, &bytes()).unwrap(),
            Way::WriteElsewhere => elsewhere(|| memory.write(&mut store, at, &bytes()).unwrap()),
            Way::Slice => memory.data_mut(&mut store)[at..at + length].fill(PATTERN),
            Way::SliceElsewhere => {
                let part = &mut memory.data_mut(&mut store)[at..at + length];
                elsewhere(|| part.fill(PATTERN));
            }
            Way::Address => {
                let start = memory.data_ptr(&store);
                // SAFETY: within the memory, which nobody uses meanwhile.
                unsafe { start.add(at).write_bytes(PATTERN, length) };
            }
            Way::Direct => direct(&mut store, instance, at, length, true),
            Way::DirectUntyped => direct(&mut store, instance, at, length, false),
            Way::Borrower => {
                let borrower = borrower(&mut store, instance);
                fine(call(&mut store, borrower, "fill", at, length));
            }
            Way::Segment => segment(&mut store, instance),
            Way::SegmentElsewhere => elsewhere(|| segment(&mut store, instance)),
            Way::Nested => store = nested(store, instance, at, length),
        }
        let at = if matches!(self, Way::Segment | Way::SegmentElsewhere) { SEGMENT } else { at };
        assert_eq!(memory.data(&store)[at], PATTERN, "{self:?} has not written");
        store
    }
}
