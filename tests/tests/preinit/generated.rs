//! Generated modules: an instance that begins initialised is, for all that a
//! host can see, like one that was initialised when it ran, and goes on alike.

use super::state::State;
use super::{instantiate, load, options, quiet};
use arbitrary::Unstructured;
use std::sync::Arc;
use wasm_smith::Config;
use wasmc::init::Error;
use wasmc_loader::{Engine, ExternType, Instance, Module, Store, Val, ValType};
use wasmc_tests::rng::{Rng, rounds};

/// Calls and loop iterations after which a module stops itself.
const FUEL: u32 = 300;

fn generate(rng: &mut Rng) -> Vec<u8> {
    std::iter::repeat_with(|| {
        let config = Config {
            allow_start_export: rng.below(2) == 0,
            disallow_traps: rng.below(4) != 0,
            export_everything: true,
            max_imports: 0,
            max_funcs: 10,
            min_funcs: 5,
            max_types: 3,
            min_types: 2,
            max_instructions: 200,
            max_memories: rng.pick(&[1, 3]),
            min_memories: 1,
            max_memory32_bytes: 1 << 20,
            max_memory64_bytes: 1 << 20,
            memory_max_size_required: true,
            max_tables: rng.pick(&[1, 4]),
            min_tables: 1,
            max_table_elements: 300,
            table_max_size_required: true,
            min_globals: 3,
            min_data_segments: rng.below(4),
            min_element_segments: rng.below(4),
            bulk_memory_enabled: true,
            reference_types_enabled: true,
            simd_enabled: rng.below(2) == 0,
            memory64_enabled: rng.below(3) == 0,
            multi_value_enabled: true,
            tail_call_enabled: rng.below(2) == 0,
            custom_page_sizes_enabled: rng.below(3) == 0,
            relaxed_simd_enabled: false,
            threads_enabled: false,
            gc_enabled: false,
            exceptions_enabled: false,
            canonicalize_nans: true,
            ..Config::default()
        };
        let bytes = rng.bytes(1 << 14);
        let mut module = wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
        module.ensure_termination(FUEL).ok()?;
        Some(module.to_bytes())
    })
    .flatten()
    .next()
    .expect("repeated without end")
}

/// The functions that a module exports without parameters and results.
fn initialisers(module: &Module) -> Vec<String> {
    let plain = |ty: &ExternType| ty.func().is_some_and(|ty| ty.params().len() + ty.results().len() == 0);
    module.exports().filter(|export| plain(&export.ty())).map(|export| export.name().to_owned()).collect()
}

fn argument(ty: ValType, rng: &mut Rng) -> Option<Val> {
    let number = rng.pick(&[0, 1, 7, 0x1_0000, u64::MAX, rng.clone().next_u64()]);
    Some(match ty {
        ValType::I32 => Val::I32(number as i32),
        ValType::I64 => Val::I64(number as i64),
        ValType::F32 => Val::F32((number as f32).to_bits()),
        ValType::F64 => Val::F64((number as f64).to_bits()),
        _ => Val::default_for_ty(&ty)?,
    })
}

/// Calls a function; what it says, with references told apart only from null.
fn outcome(store: &mut Store<()>, instance: Instance, name: &str, rng: &mut Rng) -> Option<String> {
    let function = instance.get_func(&mut *store, name)?;
    let ty = function.ty(&*store);
    let args: Option<Vec<Val>> = ty.params().iter().map(|ty| argument(*ty, rng)).collect();
    let mut results = vec![Val::I32(0); ty.results().len()];
    let done = function.call(&mut *store, &args?, &mut results);
    Some(match done {
        Err(error) => error.root_cause(),
        Ok(()) => {
            let tell = |result: &Val| match result {
                Val::FuncRef(func) => format!("function: {}", func.is_some()),
                other => format!("{other:?}"),
            };
            results.iter().map(tell).collect::<Vec<_>>().join(", ")
        }
    })
}

/// Compares both ways to begin; whether the module could be initialised.
fn compare(wasm: &[u8], rng: &mut Rng) -> bool {
    let engine = Engine::default();
    let mut options = options();
    options.canonicalize_nans = true;
    let plain = load(&engine, &wasmc::compile(wasm, &options).unwrap());
    let names = initialisers(&plain);
    let export = (!names.is_empty()).then(|| names[rng.below(names.len())].clone());
    let mut init = quiet(export.as_deref());
    // So that the export is the function that globals and tables may hold.
    init.keep_exports = true;
    let snapshot = match wasmc::init::run(wasm, &options, &init) {
        Ok(snapshot) => snapshot,
        // One that asks for more memory than there may be gets none, and here an error.
        Err(Error::NothingToRun { .. } | Error::Memory { .. }) => return false,
        Err(Error::Failed { reason, .. }) => {
            let mut store = Store::new(&engine, ());
            let begun = Instance::new(&mut store, &plain, &[]);
            let failed = begun.and_then(|instance| match &export {
                Some(name) => instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ()),
                None => Ok(()),
            });
            let error = failed.expect_err("it fails at run time too").root_cause();
            assert!(reason.contains(&error), "{reason} at compile time, {error} at run time");
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    options.snapshot = Some(Arc::new(snapshot));
    let baked = load(&engine, &wasmc::compile(wasm, &options).unwrap());
    let (mut late, late_instance) = instantiate(&plain);
    if let Some(name) = &export {
        late_instance.get_typed_func::<(), ()>(&mut late, name).unwrap().call(&mut late, ()).unwrap();
    }
    let (mut early, early_instance) = instantiate(&baked);
    let expected = State::of(&mut late, late_instance);
    let same = |store: &mut Store<()>, instance, expected: &State, when: &str| {
        if let Some(difference) = State::of(store, instance).difference(expected) {
            panic!("{when}: {difference}");
        }
    };
    same(&mut early, early_instance, &expected, "at first");
    let functions = plain.exports().filter(|export| export.ty().func().is_some());
    let functions: Vec<String> = functions.map(|export| export.name().to_owned()).collect();
    for _ in 0..6 {
        let name = &functions[rng.below(functions.len())];
        let (mut one, mut other) = (rng.clone(), rng.clone());
        let expected = outcome(&mut late, late_instance, name, &mut one);
        assert_eq!(outcome(&mut early, early_instance, name, &mut other), expected, "{name}");
        *rng = one;
    }
    let after = State::of(&mut late, late_instance);
    same(&mut early, early_instance, &after, "after calls");
    early_instance.reset(&mut early).unwrap();
    same(&mut early, early_instance, &expected, "after a reset");
    true
}

#[test]
fn instances_that_begin_initialised_are_like_those_that_were_initialised_when_they_ran() {
    let run = |seed: u64| {
        let mut rng = Rng::new(seed);
        let wasm = generate(&mut rng);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compare(&wasm, &mut rng)));
        done.unwrap_or_else(|_| panic!("WASMC_SEED={seed} shows it"))
    };
    if let Ok(seed) = std::env::var("WASMC_SEED") {
        run(seed.parse().expect("WASMC_SEED is a number"));
        return;
    }
    // Many modules have nothing that could initialise them.
    let mut seeds = 0..;
    for _ in 0..rounds(40) {
        assert!(seeds.any(run), "there is always another seed");
    }
}
