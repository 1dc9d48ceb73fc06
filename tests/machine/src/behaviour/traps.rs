//! Traps, of each kind that code can end with, and where they were.

use super::{Run, outcome, reason};
use wasmc_loader::{Config, Linker, Result, Store};

/// Optimised, and not at all; then `unreachable` takes a signal too.
pub fn traps(run: &mut Run<'_>) -> Result<()> {
    for guest in ["traps", "traps-plain"] {
        let (mut store, instance) = run.alone(&Config::new(), guest)?;
        let module = instance.module(&store).clone();
        for export in module.exports().filter(|export| export.ty().func().is_some()) {
            let function = instance.get_typed_func::<(), ()>(&mut store, export.name())?;
            // On the second thread for the first time.
            let first = outcome(function.call(&mut store, ()));
            let second = std::thread::scope(|scope| scope.spawn(|| outcome(function.call(&mut store, ()))).join());
            let second = second.expect("a trap ends code, not the thread");
            let times = if first == second { "twice" } else { "once" };
            run.see(format_args!("{guest} {}: {first}, {times}", export.name()));
        }
    }
    Ok(())
}

/// Files and lines.
pub fn lines(run: &mut Run<'_>) -> Result<()> {
    let module = run.load(&Config::new(), "lines")?;
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "check", |_: i32| {})?;
    let mut store = Store::new(module.engine(), ());
    let instance = linker.instantiate(&mut store, &module)?;
    let function = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    for arguments in [(6, 2), (1, 0), (-1, 1)] {
        match function.call(&mut store, arguments) {
            Ok(value) => run.see(format_args!("lines {arguments:?}: {value}")),
            Err(error) => {
                run.see(format_args!("lines {arguments:?}: {}", reason(&error)));
                // Where things are in the file of wasm, which is no place in machine code.
                let places = format!("{error:?}");
                for place in places.lines().filter(|line| line.trim_start().starts_with("at ")) {
                    run.see(format_args!("lines {}", place.trim_start()));
                }
            }
        }
    }
    Ok(())
}
