//! Generated modules do the same compiled as interpreted: results, traps,
//! calls of imports, and everything that can be seen afterwards.
//!
//! `WASMC_ROUNDS` multiplies the number of modules, `WASMC_SEED` runs one.

use crate::build::in_parallel;
use crate::interpreter::{self, Interpreter};
use crate::native::{self, Native};
use crate::sides::{Side, Type, Value};
use arbitrary::Unstructured;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasm_smith::{Config, Module};
use wasmc::{OptLevel, Options, Target, Tunables};
use wasmc_loader::Engine;
use wasmc_tests::rng::{Rng, rounds};

/// Calls and loop iterations after which a module stops itself.
const FUEL: u32 = 1000;

/// A trap whose moment depends on how large frames are.
const DEEP: &str = "StackOverflow";

/// A module that both sides support, stops after a while, and leaves nothing
/// open: floats have one NaN, and sizes have limits that memory suffices for.
fn generate(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    // Not all bytes make a module of the shape that is asked for.
    let mut module = std::iter::repeat_with(|| {
        let config = config(&mut rng);
        let length = rng.pick(&[500, 4000, 16000]);
        Module::new(config, &mut Unstructured::new(&rng.bytes(length))).ok()
    });
    let mut module = module.find_map(|module| module).expect("the iterator does not end");
    module.ensure_termination(FUEL).expect("every function is a valid one");
    module.to_bytes()
}

fn config(rng: &mut Rng) -> Config {
    Config {
        allow_start_export: rng.below(4) == 0,
        canonicalize_nans: true,
        // Random addresses hit nothing; these modules get farther.
        disallow_traps: rng.below(2) == 0,
        export_everything: true,
        max_funcs: 12,
        max_imports: rng.pick(&[0, 10]),
        max_instructions: rng.pick(&[20, 100, 1000]),
        max_memories: rng.pick(&[1, 1, 3]),
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_tables: rng.pick(&[1, 4]),
        max_table_elements: 500,
        memory_max_size_required: true,
        table_max_size_required: true,
        min_data_segments: rng.below(3),
        min_element_segments: rng.below(3),
        min_funcs: 4,
        min_globals: 2,
        min_memories: u32::from(rng.below(8) != 0),
        min_tables: u32::from(rng.below(4) != 0),
        min_types: 4,
        tail_call_enabled: rng.below(2) == 0,
        custom_page_sizes_enabled: rng.below(3) == 0,
        memory64_enabled: rng.below(2) == 0,
        wide_arithmetic_enabled: rng.below(2) == 0,
        // What one of the sides does not support, or leaves open.
        acquire_release_atomics_enabled: false,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        ..Config::default()
    }
}

/// Options that make different code for the same module.
fn options(seed: u64) -> Options {
    let tight = Tunables { memory_reservation: 4 << 20, memory_guard: 1 << 16, ..Tunables::default() };
    let (cpu, opt_level, tunables) = match seed % 5 {
        0 => ("baseline", OptLevel::Speed, Tunables::default()),
        1 => ("native", OptLevel::Speed, Tunables::default()),
        2 => ("native", OptLevel::None, Tunables::default()),
        3 => ("native", OptLevel::Speed, tight),
        _ => ("baseline", OptLevel::Size, tight),
    };
    let target = Target::default().cpu(cpu).unwrap();
    Options { target, opt_level, tunables, verify: true, jobs: NonZeroUsize::new(1), ..Options::new() }
}

fn argument(rng: &mut Rng, ty: Type) -> Value {
    const INTERESTING: [u64; 8] =
        [0, 1, u64::MAX, 1 << 31, 1 << 63, 0x7fff_ffff, 0x7ff8_0000_0000_0000, 0x3ff0_0000_0000_0000];
    let bits = match rng.below(3) {
        0 => rng.pick(&INTERESTING),
        1 => rng.next_u64() & 0xffff,
        _ => rng.next_u64(),
    };
    match ty {
        Type::I32 => Value::I32(bits as i32),
        Type::I64 => Value::I64(bits as i64),
        Type::F32 => Value::F32(bits as u32),
        Type::F64 => Value::F64(bits),
        Type::V128 => Value::V128(u128::from(bits) << 64 | u128::from(rng.next_u64())),
        Type::Func => Value::Func(false),
        Type::Extern => Value::Extern((bits & 1 == 0).then_some(bits as u32)),
    }
}

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    calls: usize,
    traps: usize,
    /// Modules that were left when a stack ended.
    deep: usize,
    /// Modules whose instantiation traps.
    stillborn: usize,
}

/// Runs a module on both sides.
fn compare(seed: u64, wasm: &[u8]) -> Result<Tally, String> {
    let artifact = wasmc::compile(wasm, &options(seed)).map_err(|e| format!("does not compile: {e}"))?;
    let engine = Engine::new(wasmc_loader::Config::new().max_wasm_stack(8 << 20)).map_err(|e| format!("{e:#}"))?;
    let compiled = native::load(&engine, &artifact);
    let interpreted = interpreter::load(wasm)?;
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut tally = Tally::default();
    for (name, params) in native::functions(&compiled) {
        // A new instance for each function: fuel is not renewed.
        let (mut left, mut right) = match (Native::instantiate(&compiled), Interpreter::instantiate(&interpreted)) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(left), Err(right)) if left == right || left == DEEP => {
                tally.stillborn = 1;
                return Ok(tally);
            }
            (left, right) => return Err(format!("instantiation: {:?} and {:?}", left.err(), right.err())),
        };
        if let Some(difference) = left.state().difference(&right.state()) {
            return Err(format!("new instances differ: {difference}"));
        }
        for _ in 0..3 {
            let args: Vec<Value> = params.iter().map(|ty| argument(&mut rng, *ty)).collect();
            let (found, expected) = (left.call(&name, &args), right.call(&name, &args));
            if [&found, &expected].into_iter().any(|result| result.as_ref().is_err_and(|trap| trap == DEEP)) {
                tally.deep = 1;
                return Ok(tally);
            }
            if found != expected {
                return Err(format!("{name:?} of {args:?}: {found:?} and {expected:?}"));
            }
            if let Some(difference) = left.state().difference(&right.state()) {
                return Err(format!("after {name:?} of {args:?}, which gives {found:?}: {difference}"));
            }
            tally.calls += 1;
            tally.traps += usize::from(found.is_err());
        }
    }
    Ok(tally)
}

/// Keeps the module of a failed comparison, for the one who looks into it.
fn kept(seed: u64, wasm: &[u8]) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{seed}.wasm"));
    match std::fs::write(&path, wasm) {
        Ok(()) => format!("{} (WASMC_SEED={seed})", path.display()),
        Err(error) => format!("seed {seed}, and {} cannot be written: {error}", path.display()),
    }
}

#[test]
fn generated_modules_do_what_an_interpreter_does() {
    let seeds: Vec<u64> = match std::env::var("WASMC_SEED") {
        Ok(seed) => vec![seed.parse().expect("WASMC_SEED is a number")],
        Err(_) => (0..rounds(1000) as u64).collect(),
    };
    let outcomes = in_parallel(&seeds, |seed| {
        let wasm = generate(*seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| compare(*seed, &wasm)));
        let outcome = outcome.unwrap_or_else(|_| Err("panics".to_owned()));
        outcome.map_err(|problem| format!("{}: {problem}", kept(*seed, &wasm)))
    });
    let mut total = Tally::default();
    let mut failed = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(tally) => {
                total.calls += tally.calls;
                total.traps += tally.traps;
                total.deep += tally.deep;
                total.stillborn += tally.stillborn;
            }
            Err(problem) => failed.push(problem),
        }
    }
    let summary = format!(
        "differential: {} modules, {} calls compared, {} of them traps; {} modules trap at once, {} overflow the stack\n",
        seeds.len(),
        total.calls,
        total.traps,
        total.stillborn,
        total.deep,
    );
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} of {} modules differ:\n{}", failed.len(), seeds.len(), failed.join("\n"));
    assert!(seeds.len() == 1 || total.calls > 2 * seeds.len(), "hardly anything was compared");
}
