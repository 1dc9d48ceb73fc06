//! Accesses and bulk operations against a model: a vector of bytes, and sums
//! that are too wide to wrap.

use super::{module, tunables};
use std::fmt::Write as _;
use wasmc::Tunables;
use wasmc_loader::{Engine, Extern, Instance, Memory, Store, Trap, TypedFunc};
use wasmc_tests::rng::Rng;

/// Where a memory is, from the point of view of the code that uses it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    First,
    Second,
    Imported,
}

/// A memory to be tested.
#[derive(Debug, Clone, Copy)]
struct Kind {
    index64: bool,
    page_shift: u32,
    place: Place,
    /// Pages at first and at most; they are few.
    pages: (u64, Option<u64>),
    tunables: Tunables,
}

/// Bytes that an access takes, and how a value gets from memory to an `i64`
/// and back.
const ACCESSES: [(u64, &str, &str); 4] = [
    (1, "i64.load8_u", "i64.store8"),
    (4, "i64.load32_u", "i64.store32"),
    (8, "i64.load", "i64.store"),
    (16, "i64x2.extract_lane 1 (v128.load", "v128.store"),
];

const BYTES: &[u8] = b"0123456789abcdef";

impl Kind {
    fn offsets(self) -> Vec<u64> {
        let mut offsets = vec![0, 1, 8, 60, 65_535, 65_536, (32 << 20) - 8, 32 << 20, (1 << 31) - 1, u32::MAX.into()];
        if self.index64 {
            offsets.extend([1 << 32, (1 << 32) + 5, (1 << 63) - 1, 1 << 63, u64::MAX - 15, u64::MAX - 7, u64::MAX]);
        }
        offsets
    }

    fn memory_type(self) -> String {
        let maximum = self.pages.1.map_or(String::new(), |pages| pages.to_string());
        let index = if self.index64 { "i64" } else { "i32" };
        format!("{index} {} {maximum} (pagesize {})", self.pages.0, 1u64 << self.page_shift)
    }

    /// A module whose functions all take 64-bit numbers, which are indices as
    /// they are, or their low halves.
    fn text(self) -> String {
        let ty = self.memory_type();
        let memory = match self.place {
            Place::First => format!("(memory $m (export \"memory\") {ty})"),
            Place::Second => format!("(memory 1) (memory $m (export \"memory\") {ty})"),
            Place::Imported => format!("(memory $m (import \"owner\" \"memory\") {ty}) (memory 1)"),
        };
        let index = |local: u32| match self.index64 {
            true => format!("(local.get {local})"),
            false => format!("(i32.wrap_i64 (local.get {local}))"),
        };
        let count = |value: &str| if self.index64 { value.to_owned() } else { format!("(i64.extend_i32_u {value})") };
        let mut text = format!("(module {memory} (data $d \"{}\")\n", String::from_utf8_lossy(BYTES));
        for offset in self.offsets() {
            for (size, load, store) in ACCESSES {
                let (at, close) = (index(0), if size == 16 { ")" } else { "" });
                let value = if size == 16 { "(i64x2.splat (local.get 1))" } else { "(local.get 1)" };
                writeln!(
                    text,
                    "(func (export \"load {size}+{offset}\") (param i64) (result i64) ({load} $m offset={offset} {at}){close})
                     (func (export \"store {size}+{offset}\") (param i64 i64) ({store} $m offset={offset} {at} {value}))"
                )
                .unwrap();
            }
        }
        let (to, from, length) = (index(0), index(1), index(2));
        let (size, grown) = (count("(memory.size $m)"), count(&format!("(memory.grow $m {to})")));
        writeln!(
            text,
            "(func (export \"fill\") (param i64 i64 i64) (memory.fill $m {to} (i32.wrap_i64 (local.get 1)) {length}))
             (func (export \"copy\") (param i64 i64 i64) (memory.copy $m $m {to} {from} {length}))
             (func (export \"init\") (param i64 i64 i64)
               (memory.init $m $d {to} (i32.wrap_i64 (local.get 1)) (i32.wrap_i64 (local.get 2))))
             (func (export \"size\") (result i64) {size})
             (func (export \"grow\") (param i64) (result i64) {grown}))"
        )
        .unwrap();
        text
    }
}

/// An instance, and what is expected of it.
struct Pair {
    kind: Kind,
    store: Store<()>,
    instance: Instance,
    memory: Memory,
    bytes: Vec<u8>,
}

type Ternary = TypedFunc<(i64, i64, i64), ()>;

impl Pair {
    fn new(engine: &Engine, kind: Kind) -> Pair {
        let mut store = Store::new(engine, ());
        let code = module(engine, &kind.text(), kind.tunables);
        let mut imports: Vec<Extern> = Vec::new();
        if kind.place == Place::Imported {
            let owner = format!("(module (memory (export \"memory\") {}))", kind.memory_type());
            let owner = Instance::new(&mut store, &module(engine, &owner, kind.tunables), &[]).unwrap();
            imports.push(owner.get_memory(&mut store, "memory").unwrap().into());
        }
        let instance = Instance::new(&mut store, &code, &imports).unwrap();
        let memory = match imports.first() {
            Some(Extern::Memory(memory)) => *memory,
            _ => instance.get_memory(&mut store, "memory").unwrap(),
        };
        let bytes = vec![0; (kind.pages.0 << kind.page_shift) as usize];
        Pair { kind, store, instance, memory, bytes }
    }

    /// An operand as the code takes it.
    fn operand(&self, value: u64) -> u64 {
        if self.kind.index64 { value } else { value & u64::from(u32::MAX) }
    }

    /// The positions of `length` bytes from `start` on, if they are in the
    /// memory.
    fn range(&self, start: u128, length: u64) -> Option<std::ops::Range<usize>> {
        let end = start + u128::from(length);
        (end <= self.bytes.len() as u128).then_some(start as usize..end as usize)
    }

    /// An interesting number: near a border, perhaps one that an offset leads
    /// to.
    fn number(&self, rng: &mut Rng, offset: u64) -> u64 {
        let borders = [0, self.bytes.len() as u64, 4096, 1 << 20, 32 << 20, 1 << 31, 1 << 32, 1 << 33, 1 << 63];
        let near = rng.pick(&borders).wrapping_add(rng.below(35) as u64).wrapping_sub(17);
        match rng.below(4) {
            0 => near,
            1 => rng.below(self.bytes.len() + 1) as u64,
            _ => near.wrapping_sub(offset),
        }
    }

    fn access(&mut self, rng: &mut Rng) {
        let offset = rng.pick(&self.kind.offsets());
        let (size, ..) = rng.pick(&ACCESSES);
        let index = self.number(rng, offset);
        let range = self.range(u128::from(self.operand(index)) + u128::from(offset), size);
        let what = format!("{size} bytes at {index:#x}+{offset:#x} of {:#x} in {:?}", self.bytes.len(), self.kind);
        if rng.below(2) == 0 {
            let name = format!("load {size}+{offset}");
            let load = self.instance.get_typed_func::<i64, i64>(&mut self.store, &name).unwrap();
            let found = load.call(&mut self.store, index as i64);
            // Of a vector its second half.
            let expected = range.map(|range| {
                let bytes = &self.bytes[range];
                bytes.rchunks(8).next().unwrap().iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
            });
            match expected {
                Some(expected) => assert_eq!(found.unwrap() as u64, expected, "{what}"),
                None => assert_eq!(trap(found), Trap::MemoryOutOfBounds, "{what}"),
            }
        } else {
            let name = format!("store {size}+{offset}");
            let store = self.instance.get_typed_func::<(i64, i64), ()>(&mut self.store, &name).unwrap();
            let value = rng.next_u64();
            let found = store.call(&mut self.store, (index as i64, value as i64));
            match range {
                Some(range) => {
                    found.unwrap_or_else(|e| panic!("{what}: {e}"));
                    let bytes = self.bytes[range].iter_mut();
                    bytes.zip(value.to_le_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
                }
                None => assert_eq!(trap(found), Trap::MemoryOutOfBounds, "{what}"),
            }
        }
    }

    fn bulk(&mut self, rng: &mut Rng) {
        let name = rng.pick(&["fill", "copy", "init"]);
        let (to, length) = (self.number(rng, 0), self.length(rng));
        let middle = if name == "fill" { rng.next_u64() } else { self.number(rng, 0) };
        let what = format!("{name}({to:#x}, {middle:#x}, {length:#x}) of {:#x} in {:?}", self.bytes.len(), self.kind);
        let function: Ternary = self.instance.get_typed_func(&mut self.store, name).unwrap();
        let found = function.call(&mut self.store, (to as i64, middle as i64, length as i64));
        let (low, bytes) = (u64::from(u32::MAX), self.bytes.clone());
        let length = if name == "init" { length & low } else { self.operand(length) };
        let target = self.range(self.operand(to).into(), length);
        let source = match name {
            "fill" => target.clone().map(|target| vec![middle as u8; target.len()]),
            "copy" => self.range(self.operand(middle).into(), length).map(|range| bytes[range].to_vec()),
            _ => {
                let start = (middle & low) as usize;
                BYTES.get(start..start.saturating_add(length as usize)).map(<[u8]>::to_vec)
            }
        };
        match target.zip(source) {
            Some((target, source)) => {
                found.unwrap_or_else(|e| panic!("{what}: {e}"));
                self.bytes[target].copy_from_slice(&source);
            }
            None => assert_eq!(trap(found), Trap::MemoryOutOfBounds, "{what}"),
        }
    }

    fn length(&self, rng: &mut Rng) -> u64 {
        if rng.below(2) == 0 { rng.below(20) as u64 } else { self.number(rng, 0) }
    }

    fn grow(&mut self, rng: &mut Rng) {
        let delta = rng.pick(&[0, 1, 2, 3, 1 << 16, 1 << 32, (1 << 32) + 1, 1 << 48, 1 << 63, u64::MAX - 1, u64::MAX]);
        let old = self.bytes.len() as u64 >> self.kind.page_shift;
        let grow = self.instance.get_typed_func::<i64, i64>(&mut self.store, "grow").unwrap();
        let found = grow.call(&mut self.store, delta as i64).unwrap() as u64;
        let new = u128::from(old) + u128::from(self.operand(delta));
        let what = format!("from {old} by {delta:#x} in {:?}", self.kind);
        match self.kind.pages.1.filter(|maximum| new <= u128::from(*maximum)) {
            Some(_) => {
                assert_eq!(found, old, "{what}");
                self.bytes.resize((new << self.kind.page_shift) as usize, 0);
            }
            // Without a maximum, by how much is up to the machine: so not.
            None if self.kind.pages.1.is_none() && self.operand(delta) == 0 => assert_eq!(found, old, "{what}"),
            None => assert_eq!(found, self.operand(u64::MAX), "{what}"),
        }
        let size = self.instance.get_typed_func::<(), i64>(&mut self.store, "size").unwrap();
        let size = size.call(&mut self.store, ()).unwrap() as u64;
        assert_eq!(size, self.bytes.len() as u64 >> self.kind.page_shift, "{what}");
    }
}

fn trap<T: std::fmt::Debug>(result: wasmc_loader::Result<T>) -> Trap {
    match result {
        Ok(value) => panic!("it returned {value:?}"),
        Err(error) => *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("no trap: {error:?}")),
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    // The first and the last size of pages of one byte are multiples of the
    // target's pages.
    let sizes = [
        (16, (1, Some(5))),
        (16, (2, Some(2))),
        (0, (100, Some(4200))),
        (0, (4096, Some(4096))),
        (0, (0, Some(70_000))),
    ];
    let places = [Place::First, Place::Second, Place::Imported];
    tunables().into_iter().flat_map(move |tunables| {
        [false, true].into_iter().flat_map(move |index64| {
            sizes.into_iter().flat_map(move |(page_shift, pages)| {
                places.map(|place| Kind { index64, page_shift, place, pages, tunables })
            })
        })
    })
}

#[test]
fn accesses_and_bulk_operations_do_as_the_model_does() {
    let engine = Engine::default();
    let mut rng = Rng::new(64);
    for kind in kinds() {
        let mut pair = Pair::new(&engine, kind);
        for round in 0..1200 {
            match rng.below(40) {
                0 => pair.grow(&mut rng),
                1..10 => pair.bulk(&mut rng),
                _ => pair.access(&mut rng),
            }
            if round % 100 == 99 {
                assert_eq!(pair.memory.data_size(&pair.store), pair.bytes.len(), "{kind:?}");
                assert!(pair.memory.data(&pair.store) == pair.bytes, "the contents differ in {kind:?}");
            }
        }
    }
}

/// An expression of whose value something may be known, made of two 64-bit
/// parameters.
fn expression(rng: &mut Rng, depth: u32) -> String {
    let small = [0, 1, 3, 7, 8, 16, 31, 32, 33, 63, 64, 100, 255, 65_535, 1 << 20, u32::MAX.into(), 1 << 33, u64::MAX];
    if depth == 0 {
        return match rng.below(3) {
            0 => format!("(i64.const {})", rng.pick(&small) as i64),
            other => format!("(local.get {})", other - 1),
        };
    }
    let of = |rng: &mut Rng| expression(rng, depth - 1);
    let (a, b) = (of(rng), of(rng));
    let constant = format!("(i64.const {})", rng.pick(&small) as i64);
    let divisor = format!("(i64.const {})", rng.pick(&small[1..]) as i64);
    match rng.below(16) {
        0 => format!("(i64.extend_i32_u (i32.wrap_i64 {a}))"),
        1 | 2 => format!("(i64.and {a} {constant})"),
        3 => format!("(i64.and {a} {b})"),
        4 => format!("(i64.or {a} {b})"),
        5 => format!("(i64.xor {a} {b})"),
        6 | 7 => format!("(i64.add {a} {b})"),
        8 => format!("(i64.mul {a} {b})"),
        9 | 10 => format!("(i64.shl {a} {constant})"),
        11 => format!("(i64.shr_u {a} {constant})"),
        12 => format!("(i64.rem_u {a} {divisor})"),
        13 => format!("(select {a} {b} (i32.wrap_i64 (local.get 0)))"),
        14 => format!("(i64.extend_i32_u (i64.lt_u {a} {b}))"),
        _ => format!("(i64.load32_u $other (i64.and {a} (i64.const 0xff)))"),
    }
}

#[test]
fn accesses_at_indices_of_which_something_is_known_do_as_the_model_does() {
    let engine = Engine::default();
    let mut rng = Rng::new(7);
    let operands =
        [0, 1, 2, 255, 65_535, 65_536, 1 << 20, 1 << 31, u32::MAX.into(), 1 << 32, 1 << 52, 1 << 63, u64::MAX];
    for tunables in tunables() {
        for _ in 0..12 {
            let mut text = "(module (memory $m i64 2 4) (memory $other i64 1) (data (memory $other) (i64.const 0) \"\\ff\\01\\ff\\ff\\ff\")\n".to_owned();
            for number in 0..30 {
                let (depth, offset) = (1 + rng.below(5) as u32, rng.pick(&[0, 1, 60_000, 1 << 20, 1_u64 << 32]));
                let value = expression(&mut rng, depth);
                writeln!(
                    text,
                    "(func (export \"value {number}\") (param i64 i64) (result i64) {value})
                     (func (export \"offset {number}\") (result i64) (i64.const {offset}))
                     (func (export \"load {number}\") (param i64 i64) (result i64)
                       (i64.load8_u $m offset={offset} {value}))"
                )
                .unwrap();
            }
            let code = module(&engine, &(text + ")"), tunables);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &code, &[]).unwrap();
            for number in 0..30 {
                let function = |store: &mut Store<()>, name: &str| {
                    instance.get_typed_func::<(i64, i64), i64>(store, &format!("{name} {number}")).unwrap()
                };
                let (value, load) = (function(&mut store, "value"), function(&mut store, "load"));
                let offset = instance.get_typed_func::<(), i64>(&mut store, &format!("offset {number}")).unwrap();
                let offset = offset.call(&mut store, ()).unwrap() as u64;
                for _ in 0..40 {
                    let mut operand = || rng.pick(&operands).wrapping_add(rng.below(3) as u64).wrapping_sub(1) as i64;
                    let operands = (operand(), operand());
                    let index = value.call(&mut store, operands).unwrap() as u64;
                    let found = load.call(&mut store, operands);
                    if u128::from(index) + u128::from(offset) < 2 << 16 {
                        assert_eq!(found.unwrap(), 0, "{index:#x}+{offset:#x}");
                    } else {
                        assert_eq!(trap(found), Trap::MemoryOutOfBounds, "{index:#x}+{offset:#x}");
                    }
                }
            }
        }
    }
}
