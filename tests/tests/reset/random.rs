//! Generated modules: an instance that ran and was reset, or whose slot was
//! handed on, is byte-equal to one that nobody has used, and does the same.

use crate::guest::load;
use crate::kinds::{self, Kind, Way};
use crate::state::State;
use arbitrary::Unstructured;
use std::collections::HashSet;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasm_smith::Config;
use wasmc_loader::{
    Engine, Extern, ExternRef, ExternType, Func, Global, Instance, InstancePre, Linker, Memory, Module, Mutability,
    Ref, Store, Table, Trap, Val, ValType,
};
use wasmc_tests::rng::{Rng, rounds};

/// Calls and loop iterations after which a module stops itself.
const FUEL: u32 = 300;
/// Calls of a story.
const CALLS: usize = 5;
/// Which story is told in each round, and whether all of the instance is
/// looked at before and after: that makes pages resident, which shall not be so
/// in all rounds.
const ROUNDS: [(usize, bool); 9] =
    [(0, true), (0, false), (0, false), (0, false), (1, false), (0, true), (2, false), (2, false), (1, true)];

/// The calls of imports so far.
type Log = Vec<String>;

fn generate(rng: &mut Rng) -> Vec<u8> {
    // Not all bytes make a module of the shape that is asked for.
    let mut module = std::iter::repeat_with(|| {
        let config = Config {
            allow_start_export: rng.below(3) == 0,
            bulk_memory_enabled: true,
            disallow_traps: rng.below(2) == 0,
            export_everything: true,
            max_funcs: 10,
            max_imports: rng.pick(&[0, 0, 6]),
            max_instructions: rng.pick(&[50, 300]),
            max_memories: rng.pick(&[1, 1, 3]),
            max_memory32_bytes: 1 << 20,
            max_memory64_bytes: 1 << 20,
            max_tables: rng.pick(&[1, 4]),
            max_table_elements: 500,
            memory_max_size_required: true,
            table_max_size_required: true,
            min_data_segments: rng.below(4),
            min_element_segments: rng.below(3),
            min_funcs: 4,
            min_globals: 3,
            min_memories: u32::from(rng.below(8) != 0),
            min_tables: u32::from(rng.below(4) != 0),
            min_types: 4,
            custom_page_sizes_enabled: rng.below(3) == 0,
            memory64_enabled: rng.below(2) == 0,
            wide_arithmetic_enabled: rng.below(2) == 0,
            // Proposals that the compiler does not support, or that only some
            // machines do.
            acquire_release_atomics_enabled: false,
            compact_imports_enabled: false,
            exceptions_enabled: false,
            gc_enabled: false,
            shared_everything_threads_enabled: false,
            threads_enabled: false,
            ..Config::default()
        };
        let length = rng.pick(&[1000, 8000]);
        wasm_smith::Module::new(config, &mut Unstructured::new(&rng.bytes(length))).ok()
    });
    let mut module = module.find_map(|module| module).expect("the iterator does not end");
    module.ensure_termination(FUEL).expect("every function is a valid one");
    module.to_bytes()
}

/// A module on one engine.
struct Loaded {
    module: Module,
    /// If its imports are functions that a linker can tell apart.
    pre: Option<InstancePre<Log>>,
}

fn note(number: usize) -> impl Fn(wasmc_loader::Caller<'_, Log>, &[Val], &mut [Val]) -> wasmc_loader::Result<()> {
    move |mut caller, args, _| {
        let shown: Vec<String> = args.iter().map(show).collect();
        caller.data_mut().push(format!("import {number} {shown:?}"));
        Ok(())
    }
}

/// A value without what differs from store to store.
fn show(value: &Val) -> String {
    match value {
        Val::FuncRef(func) => format!("func {}", func.is_some()),
        Val::ExternRef(value) => format!("extern {}", value.is_some()),
        Val::F32(bits) => format!("{bits:#x}"),
        Val::F64(bits) => format!("{bits:#x}"),
        other => format!("{other:?}"),
    }
}

impl Loaded {
    fn new(engine: &Engine, artifact: &[u8]) -> Loaded {
        let module = load(engine, artifact);
        let mut names = HashSet::new();
        let mut linker = Linker::new(engine);
        let mut linkable = true;
        for (number, import) in module.imports().enumerate() {
            let distinct = names.insert((import.module().to_owned(), import.name().to_owned()));
            match import.ty() {
                ExternType::Func(ty) if distinct => {
                    linker.func_new(import.module(), import.name(), ty, note(number)).expect("the name is new");
                }
                _ => linkable = false,
            }
        }
        let pre = linkable.then(|| linker.instantiate_pre(&module).unwrap_or_else(|e| panic!("{e:?}")));
        Loaded { module, pre }
    }

    /// Whether something is imported that `Instance::reset` leaves as it is.
    fn imports_state(&self) -> bool {
        self.module.imports().any(|import| match import.ty() {
            ExternType::Func(_) | ExternType::Tag(_) => false,
            ExternType::Global(ty) => ty.mutability() == Mutability::Var,
            ExternType::Table(_) | ExternType::Memory(_) => true,
        })
    }

    fn instantiate(&self, store: &mut Store<Log>) -> Result<Instance, String> {
        let made = match &self.pre {
            Some(pre) => pre.instantiate(&mut *store),
            None => {
                let imports: Vec<Extern> = self.imports(store);
                Instance::new(&mut *store, &self.module, &imports)
            }
        };
        made.map_err(|e| format!("{e}"))
    }

    fn imports(&self, store: &mut Store<Log>) -> Vec<Extern> {
        let provide = |(number, ty): (usize, ExternType)| match ty {
            ExternType::Func(ty) => Func::new(&mut *store, ty, note(number)).into(),
            ExternType::Global(ty) => {
                let value = Val::default_for_ty(ty.content()).unwrap();
                Global::new(&mut *store, ty, value).unwrap().into()
            }
            ExternType::Table(ty) => {
                let null = Ref::null(&ty.element().as_ref().unwrap().heap);
                Table::new(&mut *store, ty, null).unwrap().into()
            }
            ExternType::Memory(ty) => Memory::new(&mut *store, ty).unwrap().into(),
            ExternType::Tag(ty) => panic!("no {ty} is asked for"),
        };
        self.module.imports().map(|import| import.ty()).enumerate().map(provide).collect()
    }

    /// The next tenant of a place.
    fn next(&self, way: Way, kept: Option<(Store<Log>, Instance)>) -> Result<(Store<Log>, Instance), String> {
        let Some((mut store, mut instance)) = kept else {
            let mut store = Store::new(self.module.engine(), Log::new());
            let instance = self.instantiate(&mut store)?;
            return Ok((store, instance));
        };
        store.data_mut().clear();
        match way {
            Way::Anew => unreachable!("nothing is kept"),
            Way::Again => instance = self.instantiate(&mut store)?,
            Way::ResetInstance => instance.reset(&mut store).map_err(|e| format!("{e}"))?,
            Way::ResetStore => store.reset().map_err(|e| format!("{e}"))?,
        }
        Ok((store, instance))
    }
}

/// An argument; references to the host's values are made in the store.
fn argument(store: &mut Store<Log>, ty: ValType, bits: u64) -> Val {
    let small = if bits & 1 == 0 { bits >> 48 } else { bits };
    match ty {
        ValType::I32 => Val::I32(small as i32),
        ValType::I64 => Val::I64(small as i64),
        ValType::EXTERNREF if bits & 2 == 0 => Val::ExternRef(Some(ExternRef::new(store, bits as u32).unwrap())),
        other => Val::default_for_ty(&other).unwrap(),
    }
}

/// Calls exports; which, and how, the seed says.
fn tell(store: &mut Store<Log>, instance: Instance, seed: u64) -> Log {
    let mut rng = Rng::new(seed);
    let exports = instance.module(&*store).exports();
    let functions: Vec<_> =
        exports.filter_map(|export| Some((export.name().to_owned(), export.ty().func()?.clone()))).collect();
    let mut told = Log::new();
    for _ in 0..CALLS {
        let (name, ty) = &functions[rng.below(functions.len())];
        let args: Vec<Val> = ty.params().iter().map(|ty| argument(store, *ty, rng.next_u64())).collect();
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default_for_ty(ty).unwrap()).collect();
        let func = instance.get_func(&mut *store, name).expect("the function is exported");
        let result = func.call(&mut *store, &args, &mut results).map_err(|e| format!("{e}"));
        told.push(format!("{name}: {:?}", result.map(|()| results.iter().map(show).collect::<Vec<_>>())));
    }
    told.append(store.data_mut());
    told
}

/// A story of an instance that nobody has used before.
struct Story {
    seed: u64,
    first: State,
    told: Log,
    last: State,
}

/// What was compared.
#[derive(Default)]
struct Tally {
    modules: usize,
    stillborn: usize,
    deep: usize,
    /// By way.
    rounds: [usize; 4],
}

fn same(found: &State, expected: &State, when: &str) -> Result<(), String> {
    found.difference(expected).map_or(Ok(()), |difference| Err(format!("{when}: {difference}")))
}

fn compare(loaded: &Loaded, kind: &Kind, stories: &[Story]) -> Result<usize, String> {
    let mut kept = None;
    for (number, (story, look)) in ROUNDS.into_iter().enumerate() {
        let story = &stories[story];
        let (mut store, instance) = loaded.next(kind.way, kept.take())?;
        if look {
            same(&State::of(&mut store, instance), &story.first, &format!("before round {number}"))?;
        }
        let told = tell(&mut store, instance, story.seed);
        if told != story.told {
            return Err(format!("in round {number}: {told:?} instead of {:?}", story.told));
        }
        if look {
            same(&State::of(&mut store, instance), &story.last, &format!("after round {number}"))?;
        }
        kept = kind.stays().then_some((store, instance));
    }
    let (mut store, instance) = loaded.next(kind.way, kept)?;
    same(&State::of(&mut store, instance), &stories[0].first, "in the end")?;
    Ok(ROUNDS.len())
}

/// Runs one module under some kinds.
fn run(seed: u64, kinds: &[(Kind, Engine)], tally: &mut Tally) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let wasm = generate(&mut rng);
    let options = wasmc::Options { jobs: NonZeroUsize::new(1), ..wasmc::Options::new() };
    let artifact = wasmc::compile(&wasm, &options).map_err(|e| format!("does not compile: {e}"))?;
    let fresh = Loaded::new(&kinds::fresh(), &artifact);
    let mut stories = Vec::new();
    for number in 0..3 {
        let (mut store, instance) = match fresh.next(Way::Anew, None) {
            Ok(made) => made,
            Err(_) => {
                tally.stillborn += 1;
                return stillborn(&artifact, kinds);
            }
        };
        let first = State::of(&mut store, instance);
        let seed = seed ^ number << 32;
        let told = tell(&mut store, instance, seed);
        if told.iter().any(|line| line.contains(&Trap::StackOverflow.to_string())) {
            // When that happens depends on how deep the stack is already.
            tally.deep += 1;
            return Ok(());
        }
        let last = State::of(&mut store, instance);
        stories.push(Story { seed, first, told, last });
    }
    for _ in 0..6 {
        let (kind, engine) = &kinds[rng.below(kinds.len())];
        let loaded = Loaded::new(engine, &artifact);
        let applies = match kind.way {
            Way::ResetInstance => !loaded.imports_state(),
            Way::Again => loaded.pre.is_some(),
            Way::Anew | Way::ResetStore => true,
        };
        if applies {
            let rounds = compare(&loaded, kind, &stories).map_err(|e| format!("{}: {e}", kind.name))?;
            tally.rounds[kind.way as usize] += rounds;
        }
    }
    tally.modules += 1;
    Ok(())
}

/// A module whose instantiation traps does so each time, in each slot.
fn stillborn(artifact: &[u8], kinds: &[(Kind, Engine)]) -> Result<(), String> {
    for (kind, engine) in kinds.iter().step_by(5) {
        let loaded = Loaded::new(engine, artifact);
        for _ in 0..3 {
            if loaded.next(Way::Anew, None).is_ok() {
                return Err(format!("{}: instantiation should trap", kind.name));
            }
        }
    }
    Ok(())
}

/// Runs some of the modules, all in the same slots.
fn worker(seeds: &[u64], failed: &mut Vec<String>) -> Tally {
    let mut tally = Tally::default();
    let kinds: Vec<(Kind, Engine)> = kinds::all().into_iter().map(|kind| (kind.clone(), kind.engine())).collect();
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(*seed, &kinds, &mut tally)));
        if let Err(problem) = outcome.unwrap_or_else(|_| Err("panics".to_owned())) {
            failed.push(format!("WASMC_SEED={seed}: {problem}"));
        }
    }
    tally
}

#[test]
fn generated_modules_are_as_at_first_after_each_way_of_reset() {
    let seeds: Vec<u64> = match std::env::var("WASMC_SEED") {
        Ok(seed) => vec![seed.parse().expect("WASMC_SEED is a number")],
        Err(_) => (0..rounds(120) as u64).collect(),
    };
    let mut failed = Vec::new();
    // As a guest may use more of the stack than threads of tests have.
    let run = || worker(&seeds, &mut failed);
    let tally = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn_scoped(scope, run);
        thread.expect("a thread can be started").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let summary = format!(
        "resets: {} generated modules, rounds by way {:?}; {} modules trap at once, {} overflow the stack\n",
        tally.modules, tally.rounds, tally.stillborn, tally.deep,
    );
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failed.is_empty(), "{} of {} modules differ:\n{}", failed.len(), seeds.len(), failed.join("\n"));
    let enough = tally.rounds.iter().all(|rounds| *rounds > seeds.len() / 4);
    assert!(seeds.len() == 1 || enough, "hardly anything was compared");
}
