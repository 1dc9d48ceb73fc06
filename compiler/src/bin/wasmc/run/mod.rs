//! `wasmc run`: runs a program.

mod limits;
mod report;
mod setup;
mod value;

use crate::args::{RunArgs, usage};
use crate::input;
use crate::log::count;
use crate::output::{Destination, print};
use anyhow::{Context, bail};
use limits::Limits;
use setup::{Program, engine};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Mutex;
use wasmc_loader::{ExternType, Instance, Linker, Module, Store, Val};
use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiThreads};

/// Runs the program; its exit code is this one's.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let ctx = context(args)?;
    let recording = args.record_working_set.as_deref().map(|path| Destination::new(path, true)).transpose()?;
    if recording.as_ref().is_some_and(|file| file.is(args.input())) {
        let name = input::name(args.input());
        bail!("the working set would replace the program, {name}; name another file with `--record-working-set FILE`");
    }
    let program = Program::read(args)?;
    let engine = engine(args, &program)?;
    let module = program.load(&engine)?;
    if args.log.verbose {
        anstream::eprint!("{}", setup::describe(&module, args.strategy.strategy));
    }
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx).map_err(report::error)?;
    if args.trap_unknown_imports {
        linker.define_unknown_imports_as_traps(&module).map_err(report::error)?;
    }
    let mut store = Store::new(&engine, ctx);
    let limits = Limits::new(args, &engine)?;
    limits.apply(&mut store);
    let name = input::name(args.input());
    let threads = threads(&mut linker, &mut store, &module, &name).inspect(|threads| {
        if let Some(threads) = threads {
            threads.prepare(move |store| limits.apply(store));
        }
    });
    let done = threads
        .and_then(|threads| match &threads {
            // They are kept until the program has come to its end.
            Some(threads) => Ok((threads.instantiate(&mut store)?, threads.clone().into())),
            None => Ok((linker.instantiate(&mut store, &module)?, None)),
        })
        .map_err(|error| Stop::Guest(error, "cannot instantiate"))
        .and_then(|(instance, _threads): (_, Option<WasiThreads<_>>)| {
            let done = start(args, &module, &mut store, instance);
            match &recording {
                // What a program did that failed is no example.
                Some(file) if ended(&done) => record(args, file, &module, &store, instance).map_err(Stop::Command)?,
                _ => {}
            }
            done
        });
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Stop::Guest(error, what)) => report::guest_error(limits.explain(error), what, &name),
        Err(Stop::Command(error)) => Err(error),
    }
}

/// Lets the program start threads, if it wants to.
fn threads(
    linker: &mut Linker<WasiCtx>,
    store: &mut Store<WasiCtx>,
    module: &Module,
    name: &str,
) -> Result<Option<WasiThreads<WasiCtx>>, wasmc_loader::Error> {
    if !WasiThreads::<WasiCtx>::are_used_by(module) {
        return Ok(None);
    }
    let name = name.to_owned();
    WasiThreads::link(linker, store, module, move |error| end(error, &name)).map(Some)
}

/// Ends this process because a thread of the program has not returned.
fn end(error: wasmc_loader::Error, name: &str) {
    // Of several threads that do this at once, the first one is right.
    static ENDING: Mutex<()> = Mutex::new(());
    let _ending = ENDING.lock();
    std::process::exit(report::thread_error(error, name).into())
}

/// Whether a program came to its end, by returning or by asking to exit.
fn ended(done: &Result<(), Stop>) -> bool {
    match done {
        Ok(()) => true,
        Err(Stop::Guest(error, _)) => error.is::<I32Exit>(),
        Err(Stop::Command(_)) => false,
    }
}

/// Writes down the pages that the program changed.
fn record(
    args: &RunArgs,
    file: &Destination,
    module: &Module,
    store: &Store<WasiCtx>,
    instance: Instance,
) -> anyhow::Result<()> {
    let set = module.record_working_set(store, &instance).map_err(report::error);
    let set = set.with_context(|| format!("cannot record the working set of {}", input::name(args.input())))?;
    file.write(set.to_text().as_bytes())?;
    if args.log.verbose {
        anstream::eprintln!("wrote a working set of {} of 4 KiB to {file}", count(set.pages(), "page"));
    }
    Ok(())
}

/// Why a program did not return.
enum Stop {
    /// It stopped, which may be an exit; and what could not be done.
    Guest(wasmc_loader::Error, &'static str),
    /// It could not be asked to do what the command line says.
    Command(anyhow::Error),
}

/// What the program may see of the system.
fn context(args: &RunArgs) -> anyhow::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio();
    let name = args.input().file_name().map(|name| name.to_string_lossy().into_owned());
    builder.arg(args.argv0.clone().or(name).unwrap_or_default())?;
    if args.invoke.is_none() {
        for argument in args.arguments() {
            builder.arg(text(argument)?)?;
        }
    }
    for variable in &args.variables {
        match variable.split_once('=') {
            Some((name, value)) => builder.env(name, value)?,
            None => match std::env::var(variable) {
                Ok(value) => builder.env(variable, value)?,
                Err(error) => {
                    return Err(usage(format_args!(
                        "'--env {variable}' passes on a variable of this process, but: {error}"
                    )));
                }
            },
        };
    }
    for dir in &args.dirs {
        let (host, guest, dir_perms, file_perms) = preopen(dir)?;
        builder.preopened_dir(host, guest, dir_perms, file_perms)?;
    }
    Ok(builder.build())
}

fn text(argument: &OsString) -> anyhow::Result<&str> {
    argument.to_str().with_context(|| format!("the argument {argument:?} is not UTF-8, as WASI's arguments have to be"))
}

/// Takes `HOST[::GUEST[::ro]]` apart.
fn preopen(dir: &str) -> anyhow::Result<(&str, &str, DirPerms, FilePerms)> {
    let parts: Vec<&str> = dir.split("::").collect();
    Ok(match parts[..] {
        [host] => (host, host, DirPerms::all(), FilePerms::all()),
        [host, guest] => (host, guest, DirPerms::all(), FilePerms::all()),
        [host, guest, "ro"] => (host, guest, DirPerms::READ, FilePerms::READ),
        _ => return Err(usage(format_args!("invalid value '{dir}' for '--dir': it is not HOST[::GUEST[::ro]]"))),
    })
}

/// Calls what is to be called.
fn start(args: &RunArgs, module: &Module, store: &mut Store<WasiCtx>, instance: Instance) -> Result<(), Stop> {
    let guest = |error| Stop::Guest(error, "cannot run");
    if let Some(name) = &args.invoke {
        // A library is set up by this function, if it has one.
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
            initialize.call(&mut *store, ()).map_err(guest)?;
        }
        return invoke(args, module, store, instance, name);
    }
    match instance.get_typed_func::<(), ()>(&mut *store, "_start") {
        Ok(start) => start.call(&mut *store, ()).map_err(guest),
        // The start function of the module itself has run already.
        Err(_) if functions(module).is_empty() => Ok(()),
        Err(_) => Err(Stop::Command(no_function("_start", args, module))),
    }
}

/// Names of the functions that a module exports.
fn functions(module: &Module) -> Vec<String> {
    let exports = module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
    exports.map(|export| export.name().to_owned()).collect()
}

fn no_function(name: &str, args: &RunArgs, module: &Module) -> anyhow::Error {
    let there = functions(module);
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let file = input::name(args.input());
    anyhow::anyhow!("{file} exports no function `{name}`; name another with `--invoke NAME`; there are: {there}")
}

/// Calls an export with arguments from the command line.
fn invoke(
    args: &RunArgs,
    module: &Module,
    store: &mut Store<WasiCtx>,
    instance: Instance,
    name: &str,
) -> Result<(), Stop> {
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Err(Stop::Command(no_function(name, args, module)));
    };
    let ty = function.ty(&*store);
    let values = arguments(args, name, &ty).map_err(Stop::Command)?;
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(&mut *store, &values, &mut results).map_err(|error| Stop::Guest(error, "cannot run"))?;
    let lines: String = results.iter().map(|result| value::show(result) + "\n").collect();
    print(lines.as_bytes()).map_err(Stop::Command)
}

fn arguments(args: &RunArgs, name: &str, ty: &wasmc_loader::FuncType) -> anyhow::Result<Vec<Val>> {
    let (given, wanted) = (args.arguments().len(), ty.params().len());
    if given != wanted {
        bail!("`{name}` is a function {ty}: it takes {wanted} arguments, and {given} are given");
    }
    let mut values = Vec::with_capacity(given);
    for (i, (argument, ty)) in args.arguments().iter().zip(ty.params()).enumerate() {
        let parsed = value::parse(text(argument)?, *ty);
        values.push(
            parsed.with_context(|| format!("argument {} of `{name}`, {argument:?}, is not of type {ty}", i + 1))?,
        );
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_in_three_ways() {
        assert_eq!(preopen("a").unwrap(), ("a", "a", DirPerms::all(), FilePerms::all()));
        assert_eq!(preopen("a:b::/c").unwrap(), ("a:b", "/c", DirPerms::all(), FilePerms::all()));
        assert_eq!(preopen("a::b::ro").unwrap(), ("a", "b", DirPerms::READ, FilePerms::READ));
        assert!(preopen("a::b::rw").is_err());
    }
}
