//! How a program ended.

use crate::backtrace::frames;
use crate::log;
use std::process::ExitCode;
use wasmc_loader::{Error, LinkError, Trap, UnknownImportError, WasmBacktrace};
use wasmc_wasi::I32Exit;

/// What a shell reports of a program that was aborted by a signal.
const ABORTED: u8 = 134;

/// Frames taken note of: more than fit into the stack of a guest.
pub(super) const MAX_FRAMES: usize = 1 << 17;

/// The loader's error as one of this command.
pub(super) fn error(error: Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}

/// The exit code of a guest that ended with an error: its own if it asked to
/// exit, and otherwise one that says that it failed, after the reason and the
/// backtrace were printed.
pub(super) fn guest_error(found: Error, doing: &str, name: &str) -> anyhow::Result<ExitCode> {
    if let Some(code) = exit_code(&found) {
        return Ok(ExitCode::from(code));
    }
    let (trapped, code) = tell(found, doing, name);
    Ok(if trapped { ExitCode::from(ABORTED) } else { code })
}

/// The same for a thread of the guest.
pub(super) fn thread_error(found: Error, name: &str) -> u8 {
    exit_code(&found).unwrap_or_else(|| {
        let (trapped, _) = tell(found, "cannot run", name);
        if trapped { ABORTED } else { 1 }
    })
}

/// What a guest exited with, if it did, of which the system keeps the low
/// eight bits.
fn exit_code(found: &Error) -> Option<u8> {
    found.downcast_ref::<I32Exit>().map(|exit| exit.0 as u8)
}

/// Prints reason and backtrace; whether it was a trap, and the code of an
/// error that is none.
fn tell(found: Error, doing: &str, name: &str) -> (bool, ExitCode) {
    let trapped = found.is::<Trap>() || found.is::<UnknownImportError>();
    let could_trap = found.downcast_ref::<LinkError>().is_some_and(|error| {
        error.problems().iter().any(|problem| problem.found().is_none() && problem.expected().func().is_some())
    });
    let frames = found.downcast_ref::<WasmBacktrace>().map(|backtrace| frames(backtrace.frames()));
    let found = error(found).context(if trapped { format!("{name} trapped") } else { format!("{doing} {name}") });
    let code = log::failure(&found);
    if let Some(frames) = frames {
        anstream::eprint!("{frames}");
    }
    if could_trap {
        anstream::eprintln!("  to let missing functions trap only when they are called, use `--trap-unknown-imports`");
    }
    (trapped, code)
}
