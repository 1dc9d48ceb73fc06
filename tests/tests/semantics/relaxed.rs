//! Relaxed SIMD in deterministic mode: the specification's deterministic
//! profile, as computed here lane by lane, on every CPU.

use super::{cpus, module};
use wasmc::{OptLevel, Options, Target};
use wasmc_loader::{Engine, Instance, Store};
use wasmc_tests::rng::Rng;

type Bytes = [u8; 16];
type Model = fn(Bytes, Bytes, Bytes) -> Bytes;

fn lanes<const N: usize, const W: usize, T>(from: Bytes, make: fn([u8; W]) -> T) -> [T; N] {
    std::array::from_fn(|lane| make(from[lane * W..][..W].try_into().unwrap()))
}

fn bytes<const N: usize, const W: usize>(lanes: [[u8; W]; N]) -> Bytes {
    lanes.concat().try_into().unwrap()
}

fn f32s(x: Bytes) -> [f32; 4] {
    lanes(x, f32::from_le_bytes)
}

fn f64s(x: Bytes) -> [f64; 2] {
    lanes(x, f64::from_le_bytes)
}

fn i16s(x: Bytes) -> [i16; 8] {
    lanes(x, i16::from_le_bytes)
}

fn i32s(x: Bytes) -> [i32; 4] {
    lanes(x, i32::from_le_bytes)
}

fn f32x4(lane: impl Fn(usize) -> f32) -> Bytes {
    bytes::<4, 4>(std::array::from_fn(|i| lane(i).to_le_bytes()))
}

fn f64x2(lane: impl Fn(usize) -> f64) -> Bytes {
    bytes::<2, 8>(std::array::from_fn(|i| lane(i).to_le_bytes()))
}

fn i16x8(lane: impl Fn(usize) -> i16) -> Bytes {
    bytes::<8, 2>(std::array::from_fn(|i| lane(i).to_le_bytes()))
}

fn u32x4(lane: impl Fn(usize) -> u32) -> Bytes {
    bytes::<4, 4>(std::array::from_fn(|i| lane(i).to_le_bytes()))
}

/// The smaller one; a NaN if either is, and the negative one of two zeros.
fn smaller(x: f64, y: f64) -> f64 {
    match () {
        () if x.is_nan() || y.is_nan() => f64::NAN,
        () if x == y => {
            if x.is_sign_negative() {
                x
            } else {
                y
            }
        }
        () => {
            if x < y {
                x
            } else {
                y
            }
        }
    }
}

fn larger(x: f64, y: f64) -> f64 {
    -smaller(-x, -y)
}

fn select(x: Bytes, y: Bytes, mask: Bytes) -> Bytes {
    std::array::from_fn(|i| x[i] & mask[i] | y[i] & !mask[i])
}

/// The saturated sum of two products of signed bytes.
fn dot(x: Bytes, y: Bytes, lane: usize) -> i16 {
    let product = |i: usize| i32::from(x[i] as i8) * i32::from(y[i] as i8);
    (product(2 * lane) + product(2 * lane + 1)).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Every operator, how many operands it has, and what it computes.
const OPERATORS: [(&str, usize, Model); 19] = [
    ("f32x4.relaxed_madd", 3, |x, y, z| f32x4(|i| f32s(x)[i] * f32s(y)[i] + f32s(z)[i])),
    ("f32x4.relaxed_nmadd", 3, |x, y, z| f32x4(|i| -f32s(x)[i] * f32s(y)[i] + f32s(z)[i])),
    ("f64x2.relaxed_madd", 3, |x, y, z| f64x2(|i| f64s(x)[i] * f64s(y)[i] + f64s(z)[i])),
    ("f64x2.relaxed_nmadd", 3, |x, y, z| f64x2(|i| -f64s(x)[i] * f64s(y)[i] + f64s(z)[i])),
    ("f32x4.relaxed_min", 2, |x, y, _| f32x4(|i| smaller(f32s(x)[i].into(), f32s(y)[i].into()) as f32)),
    ("f32x4.relaxed_max", 2, |x, y, _| f32x4(|i| larger(f32s(x)[i].into(), f32s(y)[i].into()) as f32)),
    ("f64x2.relaxed_min", 2, |x, y, _| f64x2(|i| smaller(f64s(x)[i], f64s(y)[i]))),
    ("f64x2.relaxed_max", 2, |x, y, _| f64x2(|i| larger(f64s(x)[i], f64s(y)[i]))),
    ("i8x16.relaxed_laneselect", 3, select),
    ("i16x8.relaxed_laneselect", 3, select),
    ("i32x4.relaxed_laneselect", 3, select),
    ("i64x2.relaxed_laneselect", 3, select),
    ("i8x16.relaxed_swizzle", 2, |x, at, _| at.map(|at| x.get(usize::from(at)).copied().unwrap_or(0))),
    // Conversions of numbers in Rust saturate, and have 0 for NaNs.
    ("i32x4.relaxed_trunc_f32x4_s", 1, |x, _, _| u32x4(|i| f32s(x)[i] as i32 as u32)),
    ("i32x4.relaxed_trunc_f32x4_u", 1, |x, _, _| u32x4(|i| f32s(x)[i] as u32)),
    ("i32x4.relaxed_trunc_f64x2_s_zero", 1, |x, _, _| u32x4(|i| f64s(x).get(i).map_or(0, |x| *x as i32 as u32))),
    ("i32x4.relaxed_trunc_f64x2_u_zero", 1, |x, _, _| u32x4(|i| f64s(x).get(i).map_or(0, |x| *x as u32))),
    ("i16x8.relaxed_q15mulr_s", 2, |x, y, _| {
        i16x8(|i| ((i32::from(i16s(x)[i]) * i32::from(i16s(y)[i]) + 0x4000) >> 15).min(i16::MAX.into()) as i16)
    }),
    ("i16x8.relaxed_dot_i8x16_i7x16_s", 2, |x, y, _| i16x8(|i| dot(x, y, i))),
];

/// The one operator whose result is made of that of another.
const DOT_ADD: (&str, usize, Model) = ("i32x4.relaxed_dot_i8x16_i7x16_add_s", 3, |x, y, z| {
    u32x4(|i| (i32::from(dot(x, y, 2 * i)) + i32::from(dot(x, y, 2 * i + 1))).wrapping_add(i32s(z)[i]) as u32)
});

fn operators() -> impl Iterator<Item = (&'static str, usize, Model)> {
    OPERATORS.into_iter().chain([DOT_ADD])
}

/// A function that is called like the operator and takes halves of vectors.
fn function(name: &str, count: usize) -> String {
    let operand = |i| format!("(i64x2.replace_lane 1 (i64x2.splat (local.get {})) (local.get {}))", 2 * i, 2 * i + 1);
    let operands: String = (0..count).map(operand).collect();
    format!(
        "(func (export \"{name}\") (param i64 i64 i64 i64 i64 i64) (result i64 i64) (local $v v128)
           (local.set $v ({name} {operands}))
           (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))\n"
    )
}

/// A vector in which lanes are often at the borders of something.
fn vector(rng: &mut Rng) -> Bytes {
    let special32 = [f32::MAX, -f32::MAX, 0.0, -0.0, 1.5, -2.5, 4e9, -4e9, f32::NAN, f32::INFINITY, 2.0, 1.000_000_2];
    let special64 = [f64::MAX, -0.0, 0.0, 1e300, -1e10, 3.7, f64::NAN, f64::NEG_INFINITY, 4_294_967_295.5];
    match rng.below(6) {
        0 => std::array::from_fn(|_| rng.next_u64() as u8),
        1 => [0x80; 16],
        2 => std::array::from_fn(|_| [0, 1, 15, 16, 0x7f, 0x80, 0xff][rng.below(7)]),
        3 => bytes::<4, 4>(std::array::from_fn(|_| special32[rng.below(special32.len())].to_le_bytes())),
        4 => bytes::<2, 8>(std::array::from_fn(|_| special64[rng.below(special64.len())].to_le_bytes())),
        _ => bytes::<4, 4>(std::array::from_fn(|_| ((rng.next_u64() as u32 as f32) / 65_536.0 + 1.0).to_le_bytes())),
    }
}

/// Whether two vectors are the same but for the patterns of NaNs.
fn agree(name: &str, found: Bytes, expected: Bytes) -> bool {
    match &name[..3] {
        "f32" => {
            f32s(found).iter().zip(f32s(expected)).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        "f64" => {
            f64s(found).iter().zip(f64s(expected)).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        _ => found == expected,
    }
}

/// Calls every operator many times; the names of those that did not do as the
/// profile says.
fn deviations(options: &Options, rounds: usize) -> Vec<String> {
    let text: String = operators().map(|(name, count, _)| function(name, count)).collect();
    let engine = Engine::default();
    let module = module(&engine, &format!("(module {text})"), options);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let (mut rng, mut found) = (Rng::new(11), Vec::new());
    for (name, _, model) in operators() {
        type Halves = (i64, i64, i64, i64, i64, i64);
        let function = instance.get_typed_func::<Halves, (i64, i64)>(&mut store, name).unwrap();
        for _ in 0..rounds {
            let inputs = [vector(&mut rng), vector(&mut rng), vector(&mut rng)];
            let [x, y, z] = inputs.map(|x| lanes::<2, 8, i64>(x, i64::from_le_bytes));
            let (low, high) = function.call(&mut store, (x[0], x[1], y[0], y[1], z[0], z[1])).unwrap();
            let result = bytes::<2, 8>([low.to_le_bytes(), high.to_le_bytes()]);
            let expected = model(inputs[0], inputs[1], inputs[2]);
            if !agree(name, result, expected) {
                found.push(format!("{name} of {inputs:x?} is {result:x?} instead of {expected:x?}"));
                break;
            }
        }
    }
    found
}

#[test]
fn results_are_those_of_the_deterministic_profile_on_every_cpu() {
    for cpu in cpus() {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            for canonicalize_nans in [false, true] {
                let target = Target::default().cpu(cpu).unwrap();
                let options = Options {
                    target,
                    opt_level,
                    canonicalize_nans,
                    relaxed_simd_deterministic: true,
                    verify: true,
                    ..Options::new()
                };
                assert_eq!(deviations(&options, 400), [] as [String; 0], "for {cpu} at {opt_level:?}");
            }
        }
    }
}

/// The other side: without the option there are deviations, so that the test
/// above sees something.
#[test]
#[cfg(target_arch = "x86_64")]
fn without_the_option_they_are_the_cpus() {
    let target = Target::default().cpu("ssse3").unwrap();
    let found = deviations(&Options { target, ..Options::new() }, 400);
    for name in ["i32x4.relaxed_trunc_f32x4_s", "i8x16.relaxed_swizzle", "f32x4.relaxed_min", "i16x8.relaxed_dot"] {
        assert!(found.iter().any(|deviation| deviation.starts_with(name)), "{name} is not among {found:#?}");
    }
}

#[test]
fn the_artifact_says_whether_relaxed_simd_is_deterministic() {
    for relaxed_simd_deterministic in [false, true] {
        let artifact = wasmc::compile(b"(module)", &Options { relaxed_simd_deterministic, ..Options::new() }).unwrap();
        let report = wasmc::inspect::Report::read(&artifact, 0).unwrap();
        assert_eq!(report.deterministic_relaxed_simd, relaxed_simd_deterministic);
    }
}
