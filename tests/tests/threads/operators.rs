//! Every atomic operator against a model, on memories of every kind: shared or
//! not, with indices of 32 bits or of 64, the first or another one.

use super::module;
use wasmc_loader::{Engine, Instance, Linker, Store, Trap, Val};
use wasmc_tests::rng::Rng;

/// Where the model's bytes begin, and how many there are.
const START: u64 = 256;
const LENGTH: usize = 64;

const UPDATES: [&str; 6] = ["add", "sub", "and", "or", "xor", "xchg"];

/// An operator: its name, its type, and the bytes it accesses.
struct Operator {
    name: String,
    kind: Kind,
    wide: bool,
    bytes: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Load,
    Store,
    Update(usize),
    Exchange,
}

fn operators() -> Vec<Operator> {
    let mut all = Vec::new();
    for (ty, sizes) in [("i32", &[4, 1, 2][..]), ("i64", &[8, 1, 2, 4])] {
        for (i, bytes) in sizes.iter().enumerate() {
            let (bits, unsigned) = if i == 0 { (String::new(), "") } else { ((8 * bytes).to_string(), "_u") };
            let mut add = |name: String, kind| all.push(Operator { name, kind, wide: ty == "i64", bytes: *bytes });
            add(format!("{ty}.atomic.load{bits}{unsigned}"), Kind::Load);
            add(format!("{ty}.atomic.store{bits}"), Kind::Store);
            for (number, update) in UPDATES.iter().enumerate() {
                add(format!("{ty}.atomic.rmw{bits}.{update}{unsigned}"), Kind::Update(number));
            }
            add(format!("{ty}.atomic.rmw{bits}.cmpxchg{unsigned}"), Kind::Exchange);
        }
    }
    assert_eq!(all.len(), 7 + 7 + 6 * 7 + 7);
    all
}

impl Operator {
    fn ty(&self) -> &'static str {
        if self.wide { "i64" } else { "i32" }
    }

    fn operands(&self) -> usize {
        match self.kind {
            Kind::Load => 0,
            Kind::Store | Kind::Update(_) => 1,
            Kind::Exchange => 2,
        }
    }

    /// A function that does this in memory 1, at an offset.
    fn function(&self, index: &str, offset: u64) -> String {
        let (ty, name) = (self.ty(), &self.name);
        let params = format!(" {ty}").repeat(self.operands());
        let gets: String = (0..=self.operands()).map(|i| format!("(local.get {i})")).collect();
        let result = if self.kind == Kind::Store { String::new() } else { format!("(result {ty})") };
        format!(
            r#"(func (export "{name}+{offset}") (param {index}{params}) {result} ({name} 1 offset={offset} {gets}))"#
        )
    }

    /// What it returns and leaves behind, given what was there.
    fn model(&self, old: u64, [a, b]: [u64; 2]) -> (u64, u64) {
        let mask = u64::MAX >> (64 - 8 * self.bytes);
        let new = match self.kind {
            Kind::Load => old,
            Kind::Store => a,
            Kind::Update(0) => old.wrapping_add(a),
            Kind::Update(1) => old.wrapping_sub(a),
            Kind::Update(2) => old & a,
            Kind::Update(3) => old | a,
            Kind::Update(4) => old ^ a,
            Kind::Update(_) => a,
            Kind::Exchange => {
                if old == a & mask {
                    b
                } else {
                    old
                }
            }
        };
        (old, new & mask)
    }
}

struct Subject {
    store: Store<()>,
    instance: Instance,
    index64: bool,
}

impl Subject {
    fn index(&self, at: u64) -> Val {
        if self.index64 { Val::I64(at as i64) } else { Val::I32(at as u32 as i32) }
    }

    fn call(&mut self, name: &str, mut arguments: Vec<Val>, at: u64) -> Result<Option<u64>, Trap> {
        arguments.insert(0, self.index(at));
        let f = self.instance.get_func(&mut self.store, name).unwrap();
        let mut results = vec![Val::I32(0); f.ty(&self.store).results().len()];
        f.call(&mut self.store, &arguments, &mut results).map_err(|error| *error.downcast_ref::<Trap>().unwrap())?;
        Ok(results.first().map(|value| match value {
            Val::I32(value) => u64::from(value.cast_unsigned()),
            Val::I64(value) => value.cast_unsigned(),
            other => panic!("{other:?}"),
        }))
    }
}

#[test]
fn every_operator_does_what_the_model_does_in_every_kind_of_memory() {
    let operators = operators();
    let mut rng = Rng::new(7);
    for index in ["i32", "i64"] {
        for shared in ["", "shared"] {
            let limits = if index == "i64" { "i64 1 2" } else { "1 2" };
            let offsets = [0, 8, 40];
            let functions: String =
                operators.iter().flat_map(|op| offsets.map(|offset| op.function(index, offset))).collect();
            let text = format!(
                r#"(module (memory 1) (memory {limits} {shared}) {functions}
                    (func (export "peek") (param {index}) (result i64) (i64.load8_u 1 (local.get 0))))"#
            );
            let engine = Engine::default();
            let module = module(&engine, &text);
            let mut store = Store::new(&engine, ());
            let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
            let mut subject = Subject { store, instance, index64: index == "i64" };
            let mut bytes = [0u8; LENGTH];
            for round in 0..4000 {
                let op = &operators[round % operators.len()];
                let offset = rng.pick(&offsets);
                let name = format!("{}+{offset}", op.name);
                let width = op.bytes as usize;
                let position = rng.below(LENGTH / width) * width;
                let at = (START + position as u64).wrapping_sub(offset);
                let mut old = [0; 8];
                old[..width].copy_from_slice(&bytes[position..][..width]);
                let old = u64::from_le_bytes(old);
                let mut operands = [rng.next_u64(), rng.next_u64()];
                if op.kind == Kind::Exchange && rng.below(2) == 0 {
                    // The upper part does not count.
                    operands[0] = old | (operands[0] & !(u64::MAX >> (64 - 8 * op.bytes)));
                }
                let value = |x: u64| if op.wide { Val::I64(x as i64) } else { Val::I32(x as u32 as i32) };
                let arguments = operands[..op.operands()].iter().map(|x| value(*x)).collect::<Vec<_>>();
                let (result, new) = op.model(old, operands);
                let found = subject.call(&name, arguments.clone(), at).unwrap();
                assert_eq!(found, (op.kind != Kind::Store).then_some(result), "{name} {shared} {operands:x?}");
                bytes[position..][..width].copy_from_slice(&new.to_le_bytes()[..width]);

                if width > 1 {
                    let crooked = at + 1 + rng.below(width - 1) as u64;
                    assert_eq!(subject.call(&name, arguments.clone(), crooked), Err(Trap::HeapMisaligned), "{name}");
                }
                let outside = subject.call(&name, arguments, (1 << 16) - offset);
                assert_eq!(outside, Err(Trap::MemoryOutOfBounds), "{name}");
                if round % 64 == 0 {
                    for (i, byte) in bytes.iter().enumerate() {
                        let found = subject.call("peek", Vec::new(), START + i as u64).unwrap();
                        assert_eq!(found, Some(u64::from(*byte)), "byte {i} after {name}");
                    }
                }
            }
        }
    }
}
