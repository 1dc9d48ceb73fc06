//! Runs the initialiser.

use super::world::{self, World};
use super::{Error, InitOptions, freeze, load};
use crate::options::Options;
use crate::parse::{self, ParsedModule};
use crate::snapshot::Snapshot;
use crate::target::Target;
use sha2::{Digest as _, Sha256};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use wasmc_artifacts::format::ExternKind;
use wasmc_loader::snapshot::InstanceState;
use wasmc_loader::{Config, Engine, Linker, Module, Store};

/// The function that WASI's reactors are set up by.
const REACTOR: &str = "_initialize";

/// What functions that initialise are called otherwise.
const USUAL: [&str; 2] = ["wizer-initialize", "wizer.initialize"];

/// Bytes of stack that an initialiser may use.
const STACK: usize = 8 << 20;

/// Bytes of stack of the thread that it runs on.
const THREAD_STACK: usize = STACK + (8 << 20);

/// Most frames in the backtrace of one that fails.
const FRAMES: usize = 64;

/// How long code that is interrupted may take to notice.
const GRACE: Duration = Duration::from_secs(2);

/// What runs after the start function.
struct Plan {
    /// Exported functions, in order.
    exports: Vec<String>,
    /// What runs, for people.
    told: String,
}

/// Runs the initialiser of a module, in the binary or the text format, and
/// takes down the state in which it leaves an instance.
///
/// Of `options`, what decides about the meaning of code is used (proposals,
/// deterministic stack, tunables); the module runs on this machine whatever
/// the target is.
///
/// # Errors
/// [`Error`], for a module that does not compile, an initialiser that is not
/// there, traps, exits or takes too long, and a state that cannot be frozen.
pub fn run(wasm: &[u8], options: &Options, init: &InitOptions) -> Result<Snapshot, Error> {
    let wasm = crate::binary(wasm)?;
    let options = here(options)?;
    let mut parsed = parse::parse(&wasm, &options)?;
    let plan = plan(&mut parsed, init)?;
    let (state, told) = execute(&wasm, &options, init, &plan)?;
    let bytes = parsed.memories.iter().zip(&state.memories);
    let bytes = bytes.map(|(ty, memory)| memory.pages << ty.page_size_log2.unwrap_or(16)).sum();
    if bytes > init.max_memory {
        return Err(Error::Memory { bytes, limit: init.max_memory });
    }
    let spent = if init.keep_exports { Vec::new() } else { plan.exports };
    let empty = Snapshot::empty(Sha256::digest(&wasm).into(), told, spent, init.renames.clone());
    freeze::freeze(&parsed, state, empty)
}

/// Options for code that runs in this process, and gives the same results on
/// every machine.
fn here(options: &Options) -> Result<Options, Error> {
    let mut options = options.clone();
    options.target = Target::default().cpu("native")?;
    options.canonicalize_nans = true;
    options.relaxed_simd_deterministic = true;
    options.debug = false;
    // So that it can be stopped.
    options.epoch = true;
    options.fuel = false;
    options.strip = false;
    options.working_set = None;
    options.snapshot = None;
    options.progress = None;
    Ok(options)
}

/// Finds what is to run.
fn plan(module: &mut ParsedModule<'_>, init: &InitOptions) -> Result<Plan, Error> {
    let function = |name: &str| {
        let found = module.exports.iter().find(|export| export.kind == ExternKind::Func && export.name == name);
        found.map(|export| export.index)
    };
    let mut exports: Vec<String> = Vec::new();
    if function(REACTOR).is_some() {
        exports.push(REACTOR.to_owned());
    }
    match &init.export {
        Some(name) if function(name).is_none() => {
            return Err(Error::NoExport { name: name.clone(), exports: candidates(module) });
        }
        Some(name) if name != REACTOR => exports.push(name.clone()),
        Some(_) => {}
        None => exports.extend(USUAL.iter().find(|name| function(name).is_some()).map(|name| (*name).to_owned())),
    }
    for name in &exports {
        let index = function(name).unwrap_or_default();
        let ty = module.func_type(index);
        if !ty.params().is_empty() || !ty.results().is_empty() {
            return Err(Error::Signature { name: name.clone(), ty: ty.to_string() });
        }
        if module.is_imported_function(index) {
            return Err(Error::Imported { name: name.clone() });
        }
    }
    check_renames(module, &init.renames)?;
    let start = module.start.map(|_| "start function".to_owned());
    let told: Vec<String> = start.into_iter().chain(exports.iter().cloned()).collect();
    if told.is_empty() {
        return Err(Error::NothingToRun { exports: candidates(module) });
    }
    Ok(Plan { exports, told: told.join(", ") })
}

/// Checks that what is to take another export's place is there, and fits.
fn check_renames(module: &mut ParsedModule<'_>, renames: &[(String, String)]) -> Result<(), Error> {
    let find = |module: &ParsedModule<'_>, name: &str| {
        let export = module.exports.iter().find(|export| export.name == name)?;
        Some((export.kind == ExternKind::Func).then_some(export.index))
    };
    for (place, name) in renames {
        let Some(Some(new)) = find(module, name) else {
            return Err(Error::NoExport { name: name.clone(), exports: candidates(module) });
        };
        let types = match find(module, place) {
            None => continue,
            Some(None) => None,
            Some(Some(old)) => Some((module.func_type(old).to_string(), module.func_type(new).to_string())),
        };
        match types {
            Some((old, new)) if old == new => {}
            types => {
                return Err(Error::Rename {
                    name: name.clone(),
                    place: place.clone(),
                    types: types.map_or("is no function".into(), |(old, new)| format!("has the type {old}, not {new}")),
                });
            }
        }
    }
    Ok(())
}

/// The exported functions that could initialise a module, with words before them.
fn candidates(module: &ParsedModule<'_>) -> String {
    let names = module.exports.iter().filter(|export| {
        export.kind == ExternKind::Func && {
            let ty = module.func_type(export.index);
            ty.params().is_empty() && ty.results().is_empty()
        }
    });
    let names: Vec<String> = names.map(|export| format!("`{}`", export.name)).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("; without parameters and results there are: {}", names.join(", "))
    }
}

/// Runs what is to run, on a thread of its own; the state in which that leaves
/// the instance, and what has run.
fn execute(wasm: &[u8], options: &Options, init: &InitOptions, plan: &Plan) -> Result<(InstanceState, String), Error> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK).wasm_backtrace_max_frames(FRAMES).epoch_interruption(true);
    let engine = Engine::new(&config).map_err(Error::load)?;
    let module = load::compiled(&engine, wasm, options)?;
    let mut store = Store::new(&engine, World::new(init)?);
    store.limiter(|world| world);
    store.set_epoch_deadline(u64::MAX);
    let handle = store.interrupt_handle().map_err(Error::load)?;
    let linker = world::linker(&module, &mut store)?;
    let exports = plan.exports.clone();
    let limit = init.max_memory;
    let mut run = move || {
        let state = call(&linker, &mut store, &module, &exports);
        match store.data().refused {
            Some(refused) => Err(refused.error(limit)),
            None => state,
        }
    };
    let (done, result) = mpsc::channel();
    let spawned = thread::Builder::new().name("wasmc init".into()).stack_size(THREAD_STACK).spawn(move || {
        // Who waits no longer does not want to know.
        let _ = done.send(run());
    });
    spawned.map_err(|error| Error::Load(format!("cannot start a thread: {error}")))?;
    match result.recv_timeout(init.timeout) {
        Ok(state) => Ok((state?, plan.told.clone())),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            handle.interrupt();
            // Code stops now. If the host keeps it, its thread is left behind.
            let _ = result.recv_timeout(GRACE);
            Err(Error::Timeout { what: plan.told.clone(), limit: init.timeout })
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::Load("the thread that ran it has panicked".into())),
    }
}

/// Makes an instance, which runs the start function, and calls exports.
fn call(
    linker: &Linker<World>,
    store: &mut Store<World>,
    module: &Module,
    exports: &[String],
) -> Result<InstanceState, Error> {
    let instance = linker.instantiate_pre(module).map_err(Error::load)?.instantiate(&mut *store);
    let instance = instance.map_err(|error| Error::ended("the start function", &error))?;
    for name in exports {
        let function = instance.get_typed_func::<(), ()>(&mut *store, name).map_err(Error::load)?;
        function.call(&mut *store, ()).map_err(|error| Error::ended(&format!("`{name}`"), &error))?;
    }
    store.data().check_descriptors()?;
    Ok(InstanceState::of(store, &instance))
}
