//! NaN canonicalisation: no operator that computes returns another NaN than
//! the positive one without a payload.

use super::{cpus, module};
use wasmc::{OptLevel, Options, Target};
use wasmc_loader::{Engine, Instance, Store};

/// What an operator takes or returns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    F32,
    F64,
    F32x4,
    F64x2,
}

use Shape::{F32, F32x4, F64, F64x2};

/// An operator, with the shape of its operands, their number, and the shape of
/// its result.
struct Operator(String, Shape, usize, Shape);

fn operators() -> Vec<Operator> {
    let mut all = vec![
        Operator("f32.demote_f64".into(), F64, 1, F32),
        Operator("f64.promote_f32".into(), F32, 1, F64),
        Operator("f32x4.demote_f64x2_zero".into(), F64x2, 1, F32x4),
        Operator("f64x2.promote_low_f32x4".into(), F32x4, 1, F64x2),
    ];
    for (prefix, shape) in [("f32", F32), ("f64", F64), ("f32x4", F32x4), ("f64x2", F64x2)] {
        let mut add = |count, names: &[&str]| {
            all.extend(names.iter().map(|name| Operator(format!("{prefix}.{name}"), shape, count, shape)));
        };
        add(1, &["sqrt", "ceil", "floor", "trunc", "nearest"]);
        add(2, &["add", "sub", "mul", "div", "min", "max"]);
        if matches!(shape, F32x4 | F64x2) {
            add(2, &["relaxed_min", "relaxed_max"]);
            add(3, &["relaxed_madd", "relaxed_nmadd"]);
        }
    }
    all
}

impl Operator {
    /// A function that is called like the operator, takes two numbers, makes
    /// all operands of them, and returns 128 bits.
    fn function(&self) -> String {
        let Operator(name, from, count, to) = self;
        let operand = |(first, second)| match from {
            F32 => format!("(f32.reinterpret_i32 (i32.wrap_i64 (local.get {first})))"),
            F64 => format!("(f64.reinterpret_i64 (local.get {first}))"),
            _ => format!("(i64x2.replace_lane 1 (i64x2.splat (local.get {first})) (local.get {second}))"),
        };
        let operands: String = [(0, 1), (1, 0), (0, 0)].into_iter().take(*count).map(operand).collect();
        let value = format!("({name} {operands})");
        let results = match to {
            F32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value})) (i64.const 0)"),
            F64 => format!("(i64.reinterpret_f64 {value}) (i64.const 0)"),
            _ => format!(
                "(local.set $v {value}) (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v))"
            ),
        };
        format!("(func (export \"{name}\") (param i64 i64) (result i64 i64) (local $v v128) {results})\n")
    }
}

/// Numbers and NaNs of every kind, each 64 bits wide; two floats of 32 bits
/// make one.
fn inputs(shape: Shape) -> Vec<i64> {
    if matches!(shape, F64 | F64x2) {
        let nans = [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff4_dead_beef_0000_u64];
        let numbers = [0.0, -0.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, -2.5];
        return nans.into_iter().chain(numbers.map(f64::to_bits)).map(|bits| bits as i64).collect();
    }
    let numbers = [0.0, -0.0, 1.5, f32::INFINITY, f32::NEG_INFINITY, -2.5].map(f32::to_bits);
    let all: Vec<u32> = [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffa1_2345].into_iter().chain(numbers).collect();
    all.iter()
        .zip(all.iter().cycle().skip(3))
        .map(|(low, high)| (u64::from(*high) << 32 | u64::from(*low)) as i64)
        .collect()
}

/// The NaNs among the floats in a result.
fn nans(shape: Shape, (low, high): (i64, i64)) -> Vec<u64> {
    let halves = [low as u64, high as u64].into_iter();
    if matches!(shape, F64 | F64x2) {
        halves.filter(|bits| f64::from_bits(*bits).is_nan()).collect()
    } else {
        let lanes = halves.flat_map(|half| [half & 0xffff_ffff, half >> 32]);
        lanes.filter(|bits| f32::from_bits(*bits as u32).is_nan()).collect()
    }
}

/// Calls every operator with every pair of inputs; what NaNs each returned.
fn run(options: &Options) -> Vec<(Operator, Vec<u64>)> {
    let text: String = operators().iter().map(Operator::function).collect();
    let engine = Engine::default();
    let module = module(&engine, &format!("(module {text})"), options);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let call = |operator: Operator| {
        let Operator(name, from, _, to) = &operator;
        let function = instance.get_typed_func::<(i64, i64), (i64, i64)>(&mut store, name).unwrap();
        let inputs = inputs(*from);
        let pairs = inputs.iter().flat_map(|a| inputs.iter().map(move |b| (*a, *b)));
        let found = pairs.flat_map(|pair| nans(*to, function.call(&mut store, pair).unwrap())).collect();
        (operator, found)
    };
    operators().into_iter().map(call).collect()
}

fn canonical(shape: Shape) -> u64 {
    if matches!(shape, F64 | F64x2) { 0x7ff8_0000_0000_0000 } else { 0x7fc0_0000 }
}

#[test]
fn every_computed_nan_is_the_canonical_one_on_every_cpu() {
    for cpu in cpus() {
        for opt_level in [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size] {
            let target = Target::default().cpu(cpu).unwrap();
            let options = Options { target, opt_level, canonicalize_nans: true, verify: true, ..Options::new() };
            for (Operator(name, _, _, to), found) in run(&options) {
                assert!(!found.is_empty(), "{name} returned no NaN");
                for bits in found {
                    assert_eq!(bits, canonical(to), "{name} returned {bits:#x} for {cpu} at {opt_level:?}");
                }
            }
        }
    }
}

/// The other side: without the option operands' NaNs show through, so that
/// the test above sees something.
#[test]
fn without_the_option_nans_are_the_cpus() {
    let other = |(Operator(name, _, _, to), found): (Operator, Vec<u64>)| {
        found.iter().any(|bits| *bits != canonical(to)).then_some(name)
    };
    let names: Vec<String> = run(&Options::new()).into_iter().filter_map(other).collect();
    for name in ["f32.add", "f64.mul", "f32x4.sub", "f64x2.div", "f32.demote_f64", "f64x2.promote_low_f32x4"] {
        assert!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
    }
}

#[test]
fn the_artifact_says_whether_nans_are_canonical() {
    for canonicalize_nans in [false, true] {
        let artifact = wasmc::compile(b"(module)", &Options { canonicalize_nans, ..Options::new() }).unwrap();
        let report = wasmc::inspect::Report::read(&artifact, 0).unwrap();
        assert_eq!(report.canonical_nans, canonicalize_nans);
    }
}
