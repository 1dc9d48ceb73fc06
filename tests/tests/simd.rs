//! SIMD on CPUs with and without the instructions that it is made for. The
//! official suite checks every operator on one CPU; what has a lowering of its
//! own on older ones is checked here on all of them, against a model.

use wasmc::{Options, Target};
use wasmc_loader::{Engine, Instance, Memory, Module, Store};

/// The CPUs of this machine's architecture that it can stand in for.
fn cpus() -> Vec<&'static str> {
    if cfg!(target_arch = "x86_64") { vec!["baseline", "ssse3", "x86-64-v2", "native"] } else { vec!["native"] }
}

struct Program {
    store: Store<()>,
    instance: Instance,
    cpu: &'static str,
}

impl Program {
    /// The module, compiled for and run on every CPU.
    fn on_every_cpu(wat: &str) -> Vec<Program> {
        cpus().into_iter().map(|cpu| Program::new(wat, cpu)).collect()
    }

    fn new(wat: &str, cpu: &'static str) -> Program {
        let options = Options { target: Target::default().cpu(cpu).unwrap(), verify: true, ..Options::new() };
        let artifact = wasmc::compile(wat.as_bytes(), &options).unwrap();
        let engine = Engine::default();
        // SAFETY: the artifact comes straight from the compiler.
        let module = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Program { store, instance, cpu }
    }

    fn memory(&mut self) -> Memory {
        self.instance.get_memory(&mut self.store, "memory").unwrap()
    }
}

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }

    fn below(&mut self, limit: u64) -> u8 {
        (self.next() >> 20).checked_rem(limit).unwrap() as u8
    }
}

/// Floats around which rounding and conversion change their behaviour.
fn floats() -> Vec<f64> {
    let mut floats = vec![0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NAN];
    floats.push(f64::from_bits(0x7ff0_0000_0000_0001));
    floats.push(f64::from_bits(0x7ff8_dead_beef_0000));
    for base in [0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 8_388_607.5, 8_388_608.0, 16_777_216.0, 2_147_483_647.5] {
        floats.extend([base, f64::next_down(base), f64::next_up(base), base + 0.5, base + 0.25]);
        let single = base as f32;
        floats.extend([f64::from(single.next_down()), f64::from(single.next_up())]);
    }
    for power in [31, 32, 51, 52, 53, 54, 63, 64, 100] {
        let base = 2f64.powi(power);
        floats.extend([base, f64::next_down(base), f64::next_up(base), base + 0.5, base - 0.5, base - 1.0]);
    }
    let mut random = Random(1);
    for _ in 0..3000 {
        let bits = random.next();
        floats.push(f64::from_bits(bits));
        // An exponent for which there are both an integer and a fraction.
        let exponent = 1020 + u64::from(random.below(60));
        floats.push(f64::from_bits(bits & 0x800f_ffff_ffff_ffff | exponent << 52));
    }
    floats.iter().flat_map(|x| [*x, -x]).collect()
}

#[test]
fn rounding_is_exact_on_every_cpu() {
    let operators = ["ceil", "floor", "trunc", "nearest"];
    let mut wat = String::new();
    for op in operators {
        for (bits, lanes) in [(32, 4), (64, 2)] {
            let (float, vector) = (format!("f{bits}"), format!("f{bits}x{lanes}"));
            wat += &format!(
                "(func (export \"{float}.{op}\") (param i{bits}) (result i{bits})
                   (i{bits}.reinterpret_{float} ({float}.{op} ({float}.reinterpret_i{bits} (local.get 0)))))
                 (func (export \"{vector}.{op}\") (param i{bits}) (result i{bits})
                   (i{bits}x{lanes}.extract_lane 1 ({vector}.{op} (i{bits}x{lanes}.splat (local.get 0)))))\n"
            );
        }
    }
    for mut program in Program::on_every_cpu(&format!("(module {wat})")) {
        for op in operators {
            for name in [format!("f64.{op}"), format!("f64x2.{op}")] {
                let function = program.instance.get_typed_func::<i64, i64>(&mut program.store, &name).unwrap();
                for x in floats() {
                    let got = function.call(&mut program.store, x.to_bits() as i64).unwrap() as u64;
                    let wanted = match op {
                        "ceil" => x.ceil(),
                        "floor" => x.floor(),
                        "trunc" => x.trunc(),
                        _ => x.round_ties_even(),
                    };
                    let quiet_nan = x.is_nan() && got & 0x7ff8 << 48 == 0x7ff8 << 48;
                    assert!(got == wanted.to_bits() || quiet_nan, "{} {name} {x:?}: {got:#x}", program.cpu);
                }
            }
            for name in [format!("f32.{op}"), format!("f32x4.{op}")] {
                let function = program.instance.get_typed_func::<i32, i32>(&mut program.store, &name).unwrap();
                for x in floats() {
                    let x = if x.is_nan() { f32::from_bits(0x7f80_0001) } else { x as f32 };
                    let got = function.call(&mut program.store, x.to_bits() as i32).unwrap() as u32;
                    let wanted = match op {
                        "ceil" => x.ceil(),
                        "floor" => x.floor(),
                        "trunc" => x.trunc(),
                        _ => x.round_ties_even(),
                    };
                    let quiet_nan = x.is_nan() && got & 0x7fc0_0000 == 0x7fc0_0000;
                    assert!(got == wanted.to_bits() || quiet_nan, "{} {name} {x:?}: {got:#x}", program.cpu);
                }
            }
        }
    }
}

#[test]
fn saturating_conversions_of_doubles_are_exact_on_every_cpu() {
    let wat = "(module
        (func (export \"u\") (param f64) (result i32)
          (i32x4.extract_lane 1 (i32x4.trunc_sat_f64x2_u_zero (f64x2.splat (local.get 0)))))
        (func (export \"s\") (param f64) (result i32)
          (i32x4.extract_lane 1 (i32x4.trunc_sat_f64x2_s_zero (f64x2.splat (local.get 0)))))
        (func (export \"zero\") (param f64) (result i64)
          (i64x2.extract_lane 1 (i32x4.trunc_sat_f64x2_u_zero (f64x2.splat (local.get 0))))))";
    for mut program in Program::on_every_cpu(wat) {
        let unsigned = program.instance.get_typed_func::<f64, i32>(&mut program.store, "u").unwrap();
        let signed = program.instance.get_typed_func::<f64, i32>(&mut program.store, "s").unwrap();
        let zero = program.instance.get_typed_func::<f64, i64>(&mut program.store, "zero").unwrap();
        for x in floats() {
            let cpu = program.cpu;
            assert_eq!(unsigned.call(&mut program.store, x).unwrap() as u32, x as u32, "{cpu} {x:?}");
            assert_eq!(signed.call(&mut program.store, x).unwrap(), x as i32, "{cpu} {x:?}");
            assert_eq!(zero.call(&mut program.store, x).unwrap(), 0, "{cpu} {x:?}");
        }
    }
}

/// Shuffles of every kind that has a lowering of its own, and of no kind.
fn shuffles() -> Vec<[u8; 16]> {
    let mut random = Random(2);
    let mut shuffles = Vec::new();
    for width in [1u8, 2, 4, 8] {
        for round in 0..60 {
            // Lanes of one operand, of the other, of both, or of one for each half.
            let lanes: [u8; 16] = std::array::from_fn(|_| random.below(u64::from(32 / width)));
            shuffles.push(std::array::from_fn(|i| {
                let (i, count) = (i as u8, 16 / width);
                let lane = lanes[usize::from(i / width)];
                let lane = match round % 5 {
                    0 => lane % count,
                    1 => lane % count + count,
                    2 if i < 8 => lane % count,
                    2 => lane % count + count,
                    3 if i >= 8 => lane % count,
                    3 => lane % count + count,
                    _ => lane,
                };
                lane * width + i % width
            }));
        }
        // Lanes rotated, and the order of their bytes reversed.
        for first in 0..width {
            let rotated = |i: u8| i - i % width + (i + first) % width;
            shuffles.push(std::array::from_fn(|i| rotated(i as u8)));
            shuffles.push(std::array::from_fn(|i| 16 + rotated(i as u8)));
        }
        shuffles.push(std::array::from_fn(|i| i as u8 ^ (width - 1)));
        for (half, swap) in [(0, 0), (8, 0), (0, 16), (8, 16)] {
            let interleaved = |i: u8| (half + i / width / 2 * width + i % width) + ((i / width % 2 * 16) ^ swap);
            shuffles.push(std::array::from_fn(|i| interleaved(i as u8)));
        }
    }
    shuffles.extend((0..=16).map(|start| std::array::from_fn(|i| start + i as u8)));
    for _ in 0..20 {
        shuffles.push(std::array::from_fn(|i| i as u8 + 16 * random.below(2)));
        let permuted: [u8; 4] = std::array::from_fn(|_| 2 * random.below(4));
        let halves = |i: u8, half: u8| {
            if i / 8 == half { 8 * half + permuted[usize::from(i % 8 / 2)] + i % 2 } else { i }
        };
        let both = |i: u8| halves(halves(i, 0), 1);
        shuffles.push(std::array::from_fn(|i| both(i as u8)));
        shuffles.push(std::array::from_fn(|i| both(i as u8) ^ 1));
        for half in [0, 1] {
            shuffles.push(std::array::from_fn(|i| halves(i as u8, half)));
            shuffles.push(std::array::from_fn(|i| 16 + halves(i as u8, half)));
        }
    }
    shuffles
}

#[test]
fn shuffles_and_swizzles_match_the_model_on_every_cpu() {
    let shuffles = shuffles();
    let mut wat = "(module (memory (export \"memory\") 1)".to_owned();
    let operands = ["(v128.load (i32.const 16))", "(v128.const i64x2 0 0)", "(v128.load (i32.const 0))"];
    for (number, lanes) in shuffles.iter().enumerate() {
        let lanes = lanes.map(|lane| lane.to_string()).join(" ");
        for (kind, operand) in operands.iter().enumerate() {
            wat += &format!(
                "(func (export \"{number} {kind}\")
                   (v128.store (i32.const 32) (i8x16.shuffle {lanes} (v128.load (i32.const 0)) {operand})))\n"
            );
        }
    }
    wat += "(func (export \"swizzle\")
              (v128.store (i32.const 32) (i8x16.swizzle (v128.load (i32.const 0)) (v128.load (i32.const 16))))))";
    for mut program in Program::on_every_cpu(&wat) {
        let mut random = Random(3);
        let memory = program.memory();
        let mut run = |name: &str, random: &mut Random| {
            let bytes: [u8; 32] = std::array::from_fn(|_| random.below(256));
            memory.write(&mut program.store, 0, &bytes).unwrap();
            program
                .instance
                .get_typed_func::<(), ()>(&mut program.store, name)
                .unwrap()
                .call(&mut program.store, ())
                .unwrap();
            let mut result = [0; 16];
            memory.read(&program.store, 32, &mut result).unwrap();
            (bytes, result)
        };
        for (number, lanes) in shuffles.iter().enumerate() {
            for kind in 0..operands.len() {
                let (bytes, result) = run(&format!("{number} {kind}"), &mut random);
                let wanted = lanes.map(|lane| match (kind, lane) {
                    (1, 16..) => 0,
                    (2, _) => bytes[usize::from(lane % 16)],
                    _ => bytes[usize::from(lane)],
                });
                assert_eq!(result, wanted, "{} shuffle {lanes:?} of kind {kind}", program.cpu);
            }
        }
        for _ in 0..200 {
            let (bytes, result) = run("swizzle", &mut random);
            let wanted =
                std::array::from_fn(|i| if bytes[16 + i] < 16 { bytes[usize::from(bytes[16 + i])] } else { 0 });
            assert_eq!(result, wanted, "{} swizzle {bytes:?}", program.cpu);
        }
    }
}
